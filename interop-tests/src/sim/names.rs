//! What each peer can really name, held against what it was granted.
//!
//! A peer can name what another one's tables let it: exports, answers that it may still
//! send to, gifts that it has left there or may have by way of there. Where those lead is
//! followed from table to table to an object, or to a promise that somebody made.

use std::collections::HashMap;

use captp::RemotePos;
use vat_runtime::{Identity, Ref, Value};

use super::actor::Ground;
use super::script::SLOTS;
use super::shadow::Thing;
use super::world::World;

/// How many tables a reference may lead through before it is given up.
const FAR: usize = 16;

/// What peers let each other name.
struct Names<'a> {
    ground: &'a Ground,
    /// Of each session, by its number, where it is in `tables`.
    sessions: HashMap<u64, usize>,
    /// The ends of all connections, both of each one after the other.
    tables: Vec<Table>,
    /// Nothing is on its way, so that an answer's position means the same at both ends.
    quiet: bool,
    /// Promises that no program made, of which one knows what they should be.
    held: HashMap<usize, Thing>,
}

/// What one end of a connection lets the other name.
struct Table {
    peer: usize,
    life: u32,
    named: Vec<(RemotePos, Ref)>,
}

/// Where a reference leads.
enum End {
    Thing(Thing),
    /// To a promise that no program made.
    Promise(usize),
}

impl World {
    /// No peer can name anything but what it was ever granted.
    pub(super) fn check_authority(&mut self) {
        let mut grants = std::mem::take(&mut self.grants);
        grants.catch_up(&self.ground.shadow());
        let mut wrong = None;
        self.each_name(|name| {
            let shadow = self.ground.shadow();
            let end = shadow.end(name.thing).0;
            if wrong.is_none() && !grants.granted(end, name.holder) {
                wrong = Some(format!(
                    "p{} can name thing {end} ({:?}) at p{} as {}, and was never granted it",
                    name.holder.0, shadow.things[end], name.at, name.how
                ));
            }
        });
        self.grants = grants;
        if let Some(wrong) = wrong {
            self.ground.shadow().fail(wrong);
        }
        self.check_sturdyrefs();
    }

    /// Swiss numbers name what they should, and nothing once they are taken back.
    fn check_sturdyrefs(&self) {
        for (number, peer) in self.peers.iter().enumerate() {
            let Some(node) = &peer.node else { continue };
            for slot in 0..SLOTS {
                let found = node.hub.lookup(Self::swiss(slot).as_bytes());
                let found = found.and_then(|found| self.ground.known(&found));
                let mut shadow = self.ground.shadow();
                let named = shadow.named(number, slot);
                if found != named {
                    shadow.fail(format!("slot {slot} of p{number} names {found:?}, not {named:?}"));
                }
            }
        }
    }

    /// Everything that anybody can name at somebody else.
    fn each_name(&self, mut f: impl FnMut(Name<'_>)) {
        let mut names = self.names();
        names.find_held(self.peers.len());
        let mut count = 0;
        let mut ends = Vec::new();
        let mut tell = |of: &Ref, index: usize, how: &dyn std::fmt::Display| {
            names.follow(of, FAR, &mut ends);
            let (near, far) = (&names.tables[index], &names.tables[index ^ 1]);
            for end in ends.drain(..) {
                if let End::Thing(thing) = end {
                    count += 1;
                    f(Name { thing, holder: (far.peer, far.life), at: near.peer, how });
                }
            }
        };
        for (index, table) in names.tables.iter().enumerate() {
            table.named.iter().for_each(|(pos, of)| tell(of, index, pos));
        }
        for node in self.peers.iter().filter_map(|peer| peer.node.as_ref()) {
            for (conn, gift) in node.hub.gifts() {
                if let Some(index) = names.sessions.get(&conn.0) {
                    tell(&gift, *index, &"gift");
                }
            }
        }
        self.ground.shadow().counters.names += count;
    }

    fn names(&self) -> Names<'_> {
        let (mut tables, mut sessions) = (Vec::new(), HashMap::new());
        for conn in &self.open {
            for end in &self.conns[*conn].ends {
                let mut named = Vec::new();
                if let Some(link) = end.link.as_ref().filter(|link| !link.is_ended()) {
                    sessions.insert(link.conn().0, tables.len());
                    named = link.named();
                    named.sort_unstable_by_key(|(pos, _)| *pos);
                }
                tables.push(Table { peer: end.peer, life: end.life, named });
            }
        }
        let quiet = self.moving == 0;
        Names { ground: &self.ground, sessions, tables, quiet, held: HashMap::new() }
    }
}

/// Something that one peer can name at another.
struct Name<'a> {
    thing: Thing,
    holder: (usize, u32),
    at: usize,
    how: &'a dyn std::fmt::Display,
}

impl Names<'_> {
    /// Looks at what the programs hold: what leads to a promise for an answer says which.
    fn find_held(&mut self, peers: usize) {
        let mut ends = Vec::new();
        for peer in 0..peers {
            for var in &self.ground.store(peer).vars {
                self.follow(&var.reference, FAR, &mut ends);
                for end in ends.drain(..) {
                    if let End::Promise(key) = end {
                        self.held.entry(key).or_insert(var.thing);
                    }
                }
            }
        }
    }

    /// Follows a reference to where it leads in the end. What is on its way, and what
    /// nobody knows, leads nowhere.
    fn follow(&self, reference: &Ref, far: usize, ends: &mut Vec<End>) {
        match reference.identity() {
            Identity::Local { key, .. } => ends.push(
                match self.ground.known(reference).or_else(|| self.held.get(&key).copied()) {
                    Some(thing) => End::Thing(thing),
                    None => End::Promise(key),
                },
            ),
            Identity::Remote { pos: RemotePos::Answer(_), .. } if !self.quiet => {}
            Identity::Remote { link, pos, .. } if far > 0 => {
                let there = self.sessions.get(&link.key()).map(|near| &self.tables[near ^ 1]);
                let there = there.and_then(|table| {
                    let at = table.named.binary_search_by_key(&pos, |(pos, _)| *pos).ok()?;
                    Some(&table.named[at].1)
                });
                if let Some(next) = there {
                    self.follow(next, far - 1, ends);
                }
            }
            Identity::Remote { .. } => {}
            Identity::Value(value) => self.follow_all(value, far, ends),
        }
    }

    fn follow_all(&self, value: &Value, far: usize, ends: &mut Vec<End>) {
        match value {
            Value::Ref(reference) => self.follow(reference, far, ends),
            Value::List(values) => {
                values.iter().for_each(|value| self.follow_all(value, far, ends));
            }
            _ => {}
        }
    }
}
