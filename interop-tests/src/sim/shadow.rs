//! The oracle: what a perfect network would have made of the program so far.
//!
//! It knows what every reference means, which messages went along each reference in
//! which order, and what each promise has come to. It is told what really happens, and
//! finds fault with it.

use std::collections::BTreeSet;

/// Something that references designate, in the order of its making.
pub(super) type Thing = usize;

/// A message's number, in the order of sending.
pub(super) type Mid = usize;

/// A reference that one peer holds: its messages arrive in order.
pub(super) type Stream = usize;

/// What a reference designates.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    /// An object of a peer's, in one of its lives.
    #[expect(dead_code, reason = "shown when a run fails")]
    Object { peer: usize, life: u32 },
    /// A promise that is not resolved.
    Open,
    /// A promise that was resolved to this.
    Is(Thing),
    /// A promise that was resolved to a number.
    Number(i64),
    /// A promise that was broken.
    Broken,
    /// A promise for the answer to a message that has not been answered.
    Answer(Mid),
    /// A promise for what a sturdyref names: one of the slot's objects from this on.
    Fetch { peer: usize, slot: usize, since: usize },
}

/// What a sturdyref has named: the objects, each with when it came and went.
type Slot = Vec<(Thing, usize, Option<usize>)>;

/// What a message says.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    Thing(Thing),
    Number(i64),
    List(Vec<Tree>),
}

/// One message.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) from: usize,
    pub(super) life: u32,
    pub(super) stream: Stream,
    pub(super) target: Thing,
    pub(super) args: Tree,
    pub(super) answer: Option<Thing>,
    pub(super) delivered: bool,
    /// It was sent to what never was a promise.
    pub(super) direct: bool,
    /// It was sent within a process.
    pub(super) near: bool,
}

/// How often interesting things happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Events that did something, and lines of the script.
    pub steps: u64,
    /// Messages sent.
    pub sends: u64,
    /// Messages that arrived at an object.
    pub delivered: u64,
    /// Promises of which somebody was told that they broke.
    pub broken: u64,
    /// Dials that came to a connection.
    pub dials: u64,
    /// Those of them whose other end had dialled, too.
    pub crossed: u64,
    /// Gifts withdrawn at the peer that has them.
    pub handoffs: u64,
    /// Gifts fetched by way of their gifter.
    pub by_proxy: u64,
    /// Connections that broke.
    pub cuts: u64,
    /// Peers that crashed.
    pub crashes: u64,
    /// Dials that nobody took.
    pub refusals: u64,
    /// Settlements that somebody was told of.
    pub settled: u64,
    /// Messages overtaken by a later one of their sender that took another reference to
    /// the same object.
    pub forks: u64,
    /// What peers were seen to be able to name, which they have to have been granted.
    pub names: u64,
    /// Bytes sent.
    pub bytes: u64,
}

impl Counters {
    /// Adds another's.
    pub const fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.sends += other.sends;
        self.delivered += other.delivered;
        self.broken += other.broken;
        self.dials += other.dials;
        self.crossed += other.crossed;
        self.handoffs += other.handoffs;
        self.by_proxy += other.by_proxy;
        self.cuts += other.cuts;
        self.crashes += other.crashes;
        self.refusals += other.refusals;
        self.settled += other.settled;
        self.forks += other.forks;
        self.names += other.names;
        self.bytes += other.bytes;
    }

    /// By name.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, u64); 15] {
        [
            ("steps", self.steps),
            ("sends", self.sends),
            ("delivered", self.delivered),
            ("broken answers", self.broken),
            ("connections", self.dials),
            ("crossed dials", self.crossed),
            ("handoffs", self.handoffs),
            ("gifts fetched by proxy", self.by_proxy),
            ("cuts", self.cuts),
            ("crashes", self.crashes),
            ("refused dials", self.refusals),
            ("settled", self.settled),
            ("overtakings across references", self.forks),
            ("names held against grants", self.names),
            ("bytes", self.bytes),
        ]
    }
}

/// The oracle.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    pub(super) things: Vec<Meaning>,
    /// Who made each of them.
    pub(super) makers: Vec<(usize, u32)>,
    /// The promises for what sturdyrefs name: at which peer, in which slot, from when on.
    pub(super) fetches: Vec<(Thing, usize, usize, usize)>,
    /// What promises became, in the order of time.
    pub(super) became: Vec<(Thing, Thing)>,
    pub(super) messages: Vec<Message>,
    /// The last message that arrived by each reference.
    arrived: Vec<Option<Mid>>,
    /// The last message of a sender's to arrive at an object, whatever the reference.
    last_at: std::collections::BTreeMap<(usize, Thing), Mid>,
    /// For each peer, its slots.
    pub(super) slots: Vec<Vec<Slot>>,
    /// Counts the changes of slots.
    pub(super) version: usize,
    /// Who waits to be told of a settlement: peer, life and which.
    pub(super) waiting: BTreeSet<(usize, u32, usize)>,
    watchers: usize,
    /// Messages may be lost from here on.
    pub(super) faulty: bool,
    /// Handoffs may fail, also without faults.
    pub(super) obstructed: bool,
    /// What went wrong first.
    pub(super) failure: Option<String>,
    pub(super) counters: Counters,
    pub(super) trace: u64,
}

impl Shadow {
    /// Notes something that happened, for the trace.
    pub(super) const fn note(&mut self, kind: u64, what: u64, at: u64) {
        let mut hash = self.trace ^ kind.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash = hash.rotate_left(17).wrapping_mul(0x0100_0000_01b3) ^ what;
        hash = hash.rotate_left(29).wrapping_mul(0x0100_0000_01b3) ^ at;
        self.trace = hash;
    }

    /// Something is wrong. The first report counts.
    pub(super) fn fail(&mut self, what: impl Into<String>) {
        if self.failure.is_none() {
            self.failure = Some(what.into());
        }
    }

    /// Whether messages to objects may pass through peers that told of them.
    pub(super) const fn relays(&self) -> bool {
        self.faulty || self.obstructed
    }

    /// A new thing, made by a peer in one of its lives.
    pub(super) fn thing(&mut self, meaning: Meaning, maker: (usize, u32)) -> Thing {
        if let Meaning::Fetch { peer, slot, since } = meaning {
            self.fetches.push((self.things.len(), peer, slot, since));
        }
        self.things.push(meaning);
        self.makers.push(maker);
        self.things.len() - 1
    }

    /// A new reference.
    pub(super) fn stream(&mut self) -> Stream {
        self.arrived.push(None);
        self.arrived.len() - 1
    }

    /// What a thing has come to.
    pub(super) fn end(&self, mut thing: Thing) -> (Thing, &Meaning) {
        loop {
            match &self.things[thing] {
                Meaning::Is(next) => thing = *next,
                meaning => return (thing, meaning),
            }
        }
    }

    /// Whether `thing` will settle only after `promise` has.
    pub(super) fn waits_for(&self, thing: Thing, promise: Thing) -> bool {
        let mut next = thing;
        loop {
            if next == promise {
                return true;
            }
            next = match &self.things[next] {
                Meaning::Is(next) => *next,
                Meaning::Answer(mid) => self.messages[*mid].target,
                _ => return false,
            };
        }
    }

    /// A promise is resolved.
    pub(super) fn resolve(&mut self, promise: Thing, to: Meaning) {
        if let Meaning::Is(thing) = to {
            self.became.push((promise, thing));
        }
        self.things[promise] = to;
    }

    /// A message is sent.
    pub(super) fn sent(&mut self, message: Message) -> Mid {
        self.counters.sends += 1;
        self.messages.push(message);
        self.messages.len() - 1
    }

    /// A message has arrived at an object.
    pub(super) fn arrived(&mut self, mid: Mid, object: Thing) {
        let Some(message) = self.messages.get(mid).cloned() else {
            return self.fail(format!("message {mid} was never sent"));
        };
        self.counters.delivered += 1;
        if message.delivered {
            self.fail(format!("message {mid} was delivered twice"));
        }
        self.messages[mid].delivered = true;
        let last = self.arrived[message.stream].replace(mid);
        if last.is_some_and(|last| last > mid) {
            self.fail(format!(
                "message {mid} of p{} was overtaken by {} on the same reference",
                message.from,
                last.unwrap_or_default()
            ));
        }
        let before = self.last_at.insert((message.from, object), mid);
        if before.is_some_and(|before| before > mid) {
            self.counters.forks += 1;
        }
        let (end, meaning) = self.end(message.target);
        match meaning {
            Meaning::Fetch { peer, slot, since } => {
                if self.candidate(*peer, *slot, *since, object) {
                    self.resolve(end, Meaning::Is(object));
                } else {
                    self.fail(format!("message {mid} reached what its sturdyref never named"));
                }
            }
            Meaning::Object { .. } if end == object => {}
            other => {
                let other = format!("message {mid} for {end} ({other:?}) arrived at {object}");
                self.fail(other);
            }
        }
    }

    fn candidate(&self, peer: usize, slot: usize, since: usize, object: Thing) -> bool {
        self.candidates(peer, slot, since).any(|thing| thing == object)
    }

    /// What a slot has named from `since` on.
    pub(super) fn candidates(
        &self,
        peer: usize,
        slot: usize,
        since: usize,
    ) -> impl Iterator<Item = Thing> {
        let objects = self.slots[peer][slot].iter();
        let objects = objects.filter(move |(.., gone)| gone.is_none_or(|gone| gone > since));
        objects.map(|(thing, ..)| *thing)
    }

    /// What a slot names now.
    pub(super) fn named(&self, peer: usize, slot: usize) -> Option<Thing> {
        let (thing, _, gone) = self.slots[peer][slot].last()?;
        gone.is_none().then_some(*thing)
    }

    /// Whether a slot has been empty at some time from `since` on.
    fn was_empty(&self, peer: usize, slot: usize, since: usize) -> bool {
        let objects = &self.slots[peer][slot];
        // Each object leaves before the next one comes.
        objects.iter().enumerate().any(|(at, (_, _, gone))| {
            let next = objects.get(at + 1).map(|(_, from, _)| *from);
            gone.is_some_and(|gone| next != Some(gone) && next.is_none_or(|next| next > since))
        })
    }

    /// A slot has another object, or none.
    pub(super) fn set_slot(&mut self, peer: usize, slot: usize, object: Option<Thing>) {
        self.version += 1;
        let version = self.version;
        let objects = &mut self.slots[peer][slot];
        if let Some((_, _, gone @ None)) = objects.last_mut() {
            *gone = Some(version);
        }
        objects.extend(object.map(|object| (object, version, None)));
    }

    /// Somebody waits to be told what a thing settles to.
    pub(super) fn watch(&mut self, peer: usize, life: u32) -> usize {
        self.watchers += 1;
        self.waiting.insert((peer, life, self.watchers));
        self.watchers
    }

    /// And was told. `fault` is why it broke.
    pub(super) fn told(
        &mut self,
        (peer, life, watcher): (usize, u32, usize),
        thing: Thing,
        outcome: Result<Option<i64>, String>,
    ) {
        if !self.waiting.remove(&(peer, life, watcher)) {
            return;
        }
        self.note(9, thing as u64, u64::from(outcome.is_ok()));
        self.counters.settled += 1;
        let (end, meaning) = self.end(thing);
        let meaning = meaning.clone();
        let right = match (&meaning, &outcome) {
            (Meaning::Object { .. }, Ok(None)) => true,
            (Meaning::Number(number), Ok(Some(told))) => number == told,
            (Meaning::Broken, Err(_)) => true,
            (Meaning::Fetch { peer, slot, .. }, Ok(None)) => !self.slots[*peer][*slot].is_empty(),
            (Meaning::Fetch { peer, slot, since }, Err(_)) => {
                let right = self.was_empty(*peer, *slot, *since);
                if right && !self.faulty {
                    self.things[end] = Meaning::Broken;
                }
                right
            }
            (Meaning::Answer(_), Err(_)) => self.is_broken(end),
            _ => false,
        };
        if outcome.is_err() {
            self.counters.broken += 1;
        }
        let excused = self.faulty && outcome.is_err();
        if !(right || excused) {
            self.fail(format!(
                "p{peer} was told that thing {thing} settled to {outcome:?}, but it is {meaning:?}"
            ));
        }
    }

    /// Whether a promise can only be broken.
    pub(super) fn is_broken(&self, thing: Thing) -> bool {
        match self.end(thing).1 {
            Meaning::Broken => true,
            Meaning::Answer(mid) => self.is_in_vain(*mid),
            _ => false,
        }
    }

    /// Whether a message was sent to what can't take any.
    fn is_in_vain(&self, mid: Mid) -> bool {
        let mut mid = mid;
        loop {
            match self.end(self.messages[mid].target).1 {
                Meaning::Broken | Meaning::Number(_) => return true,
                Meaning::Answer(next) => mid = *next,
                _ => return false,
            }
        }
    }

    /// Nothing moves any more: what should have happened has.
    pub(super) fn check_quiet(&mut self) {
        if !self.faulty {
            let lost = self.messages.iter().position(|message| {
                !message.delivered && matches!(self.end(message.target).1, Meaning::Object { .. })
            });
            if let Some(mid) = lost {
                let message = &self.messages[mid];
                let text = format!("message {mid} of p{} was lost: {message:?}", message.from);
                self.fail(text);
            }
        }
    }
}
