//! Who was ever granted what: the half of the oracle that knows of authority.
//!
//! A peer is granted what it makes, what it fetches by a sturdyref, what is said to it,
//! and what a promise that it holds becomes. Messages go along references, and whoever
//! they pass through is granted what they say. To an object they go directly, as long as
//! handoffs succeed; to a promise, and to an object that can't be reached or is not
//! fetched yet, by way of whoever told of it, and so on, up to who made it. Real messages may take a shorter way,
//! never a longer one.

use std::collections::BTreeMap;

use super::shadow::{Meaning, Message, Mid, Shadow, Thing, Tree};

/// Peers in their lives, as bits.
type Nodes = u64;

/// What each peer, in each of its lives, was ever granted. Nothing is taken back: who once
/// held a thing may keep it.
#[derive(Debug, Default)]
pub(super) struct Grants {
    nodes: BTreeMap<(usize, u32), usize>,
    /// For each thing and node: who told it of that, or itself.
    told: Vec<Vec<Nodes>>,
    /// What each thing may turn out to be.
    leads: Vec<Vec<Thing>>,
    /// The messages to each thing, or to what turns out to be it.
    uses: Vec<Vec<Mid>>,
    /// What each message says, flat.
    says: Vec<Vec<Thing>>,
    /// Things of which there is news.
    news: Vec<Thing>,

    is_news: Vec<bool>,
    /// How much of what became of promises is known here.
    became: usize,
    /// Handoffs may fail.
    relays: bool,
}

const fn bit(node: usize) -> Nodes {
    1 << node
}

/// The nodes of a set.
fn each(mut nodes: Nodes) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let node = (nodes != 0).then(|| nodes.trailing_zeros() as usize)?;
        nodes &= nodes - 1;
        Some(node)
    })
}

impl Grants {
    /// Takes in what has happened since the last time.
    pub(super) fn catch_up(&mut self, shadow: &Shadow) {
        if shadow.relays() != self.relays {
            self.relays = shadow.relays();
            (0..self.told.len()).for_each(|thing| self.mark(thing));
        }
        for thing in self.told.len()..shadow.things.len() {
            self.told.push(Vec::new());
            self.leads.push(Vec::new());
            self.uses.push(Vec::new());
            self.is_news.push(false);
            let maker = self.node(shadow.makers[thing]);
            self.tell(thing, maker, maker);
        }
        for &(fetch, peer, slot, since) in &shadow.fetches {
            let lives: Vec<usize> =
                self.nodes.range((peer, 0)..=(peer, u32::MAX)).map(|(_, node)| *node).collect();
            let asks = self.node(shadow.makers[fetch]);
            for there in lives {
                self.tell(fetch, asks, there);
                self.tell(fetch, there, there);
            }
            for object in shadow.candidates(peer, slot, since) {
                self.lead(fetch, object);
            }
        }
        for (promise, thing) in &shadow.became[self.became..] {
            self.lead(*promise, *thing);
        }
        self.became = shadow.became.len();
        for (mid, message) in shadow.messages.iter().enumerate().skip(self.says.len()) {
            let mut says = Vec::new();
            flatten(&message.args, &mut says);
            self.says.push(says);
            self.use_for(message.target, mid);
        }
        while let Some(thing) = self.news.pop() {
            self.is_news[thing] = false;
            self.spread(thing, shadow);
        }
    }

    /// A peer's number in one of its lives. Those that are too many share the last one,
    /// and what one of them was granted all were.
    fn node(&mut self, who: (usize, u32)) -> usize {
        let next = self.nodes.len().min(Nodes::BITS as usize - 1);
        *self.nodes.entry(who).or_insert(next)
    }

    /// `who` hears of a thing from `by`.
    fn tell(&mut self, thing: Thing, who: usize, by: usize) {
        let told = &mut self.told[thing];
        if told.len() <= who {
            told.resize(who + 1, 0);
        }
        if told[who] & bit(by) == 0 {
            told[who] |= bit(by);
            self.mark(thing);
        }
    }

    fn mark(&mut self, thing: Thing) {
        if !std::mem::replace(&mut self.is_news[thing], true) {
            self.news.push(thing);
        }
    }

    /// One thing turns out to be another, or may.
    fn lead(&mut self, thing: Thing, to: Thing) {
        if !self.leads[thing].contains(&to) {
            self.leads[thing].push(to);
            self.mark(thing);
            for mid in self.uses[thing].clone() {
                self.use_for(to, mid);
            }
        }
    }

    /// A message goes to a thing, whatever that turns out to be.
    fn use_for(&mut self, thing: Thing, mid: Mid) {
        if !self.uses[thing].contains(&mid) {
            self.uses[thing].push(mid);
            self.mark(thing);
            for to in self.leads[thing].clone() {
                self.use_for(to, mid);
            }
        }
    }

    /// Acts on news of a thing.
    fn spread(&mut self, thing: Thing, shadow: &Shadow) {
        let told = self.told[thing].clone();
        for to in self.leads[thing].clone() {
            for (who, by) in told.iter().enumerate() {
                // What somebody has made itself becomes what it has made it.
                each(by & !bit(who)).for_each(|by| self.tell(to, who, by));
            }
        }
        for mid in self.uses[thing].clone() {
            let message = &shadow.messages[mid];
            let from = self.node((message.from, message.life));
            for (one, next) in self.way(from, message, shadow) {
                for at in 0..self.says[mid].len() {
                    self.tell(self.says[mid][at], next, one);
                }
                if let Some(answer) = message.answer {
                    self.tell(answer, one, next);
                    self.tell(answer, next, next);
                }
            }
        }
    }

    /// Who told a node of a thing.
    fn told(&self, thing: Thing, who: usize) -> Nodes {
        self.told[thing].get(who).copied().unwrap_or_default()
    }

    /// All the ways that a message from a node to a thing may take, as steps from one node
    /// to the next.
    fn way(&mut self, from: usize, message: &Message, shadow: &Shadow) -> Vec<(usize, usize)> {
        let to = message.target;
        let (mut seen, mut steps) = (vec![(from, to)], Vec::new());
        if message.direct && !self.relays && matches!(shadow.things[to], Meaning::Object { .. }) {
            let home = self.node(shadow.makers[to]);
            if home != from {
                (seen, steps) = (vec![(home, to)], vec![(from, home)]);
            } else if message.near {
                return steps;
            }
        }
        let mut done = 0;
        while let Some(&(one, thing)) = seen.get(done) {
            done += 1;
            let mut nexts = self.told(thing, one);
            if matches!(shadow.things[thing], Meaning::Object { .. }) && !self.relays {
                let home = bit(self.node(shadow.makers[thing]));
                // Who has it from a third party may not have fetched it yet. And what comes
                // back to its maker by another session than it left by goes round.
                let relays =
                    |by: &usize| home == bit(one) || self.told(thing, *by) & !home & !bit(*by) != 0;
                nexts = each(nexts).filter(relays).fold(home, |nexts, by| nexts | bit(by));
            }
            for next in each(nexts & !bit(one)) {
                steps.push((one, next));
                if !seen.contains(&(next, thing)) {
                    seen.push((next, thing));
                }
            }
            for &lead in &self.leads[thing] {
                if !seen.contains(&(one, lead)) {
                    seen.push((one, lead));
                }
            }
        }
        steps
    }

    /// Whether a peer was ever granted a thing.
    pub(super) fn granted(&self, thing: Thing, who: (usize, u32)) -> bool {
        let node = self.nodes.get(&who);
        node.is_some_and(|node| self.told(thing, *node) != 0)
    }
}

/// The things in a message.
fn flatten(tree: &Tree, into: &mut Vec<Thing>) {
    match tree {
        Tree::Thing(thing) => into.push(*thing),
        Tree::Number(_) => {}
        Tree::List(trees) => trees.iter().for_each(|tree| flatten(tree, into)),
    }
}
