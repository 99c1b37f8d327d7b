//! The world: its peers, its time and what happens next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use captp::Dialect;
use captp::locator::SwissNum;
use ocapn::hub::{Hub, HubSettings};
use vat_runtime::{DRIVE_BUDGET, Vat, drive_with_budget};

use super::Report;
use super::actor::{Actor, Ground};
use super::authority::Grants;
use super::connections::Conn;
use super::outside::{Bench, Call, Calls, Place};
use super::rng::Rng;
use super::script::{Proof, SLOTS, Script, Spec};

/// A run of one script.
pub(super) struct World {
    pub(super) spec: Spec,
    pub(super) rng: Rng,
    pub(super) now: u64,
    pub(super) ground: Arc<Ground>,
    pub(super) calls: Arc<Calls>,
    taken: Vec<Call>,
    /// What each peer was granted.
    pub(super) grants: Grants,
    pub(super) peers: Vec<Peer>,
    pub(super) conns: Vec<Conn>,
    /// Connections that are not over, oldest first.
    pub(super) open: Vec<usize>,
    pub(super) events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    /// Events that are not timers.
    pub(super) moving: usize,
    /// Until when dials between two peers fail.
    pub(super) parted: BTreeMap<(usize, usize), u64>,
    /// Until when dials to a peer fail.
    pub(super) refusing: BTreeMap<usize, u64>,
    /// Dials under way, by who dials whom.
    pub(super) dialling: BTreeSet<(usize, u32, usize)>,
    /// Messages travel one by one, and somebody else says which arrives next.
    pub(super) exploring: bool,
    /// Says what happens.
    pub(super) log: Option<Vec<String>>,
    pub(super) out: VecDeque<Bytes>,
}

/// One peer, in one of its lives.
pub(super) struct Peer {
    pub(super) life: u32,
    pub(super) node: Option<Node>,
    wake: Option<u64>,
    /// A turn is on the way.
    turn: bool,
}

/// What a peer runs.
pub(super) struct Node {
    pub(super) hub: Arc<Hub>,
    pub(super) vat: Vat,
    pub(super) bench: Arc<Bench>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Flush { conn: usize, side: usize, idle: bool },
    Arrive { conn: usize, side: usize },
    End { conn: usize, side: usize },
    Dialled { peer: usize, life: u32, to: usize },
    Turn { peer: usize, life: u32 },
    Restart { peer: usize },
    Tick { peer: usize, life: u32 },
}

impl World {
    /// The world of a script, before anything has happened.
    pub(super) fn new(script: &Script, log: bool) -> Self {
        let spec = script.spec.clone();
        let ground = Ground::new(spec.peers);
        let mut world = Self {
            rng: Rng::new(spec.seed),
            now: 0,
            ground,
            calls: Arc::default(),
            taken: Vec::new(),
            grants: Grants::default(),
            peers: Vec::new(),
            conns: Vec::new(),
            open: Vec::new(),
            events: BinaryHeap::new(),
            order: 0,
            moving: 0,
            parted: BTreeMap::new(),
            refusing: BTreeMap::new(),
            dialling: BTreeSet::new(),
            exploring: false,
            log: log.then(Vec::new),
            out: VecDeque::new(),
            spec,
        };
        // Who can't be proven to be somewhere is not given away, and goes by its gifter.
        let obstructed = world.spec.wall || world.spec.proof == Proof::Dialled;
        world.ground.shadow().obstructed = obstructed;
        for peer in 0..world.spec.peers {
            world.peers.push(Peer { life: 0, node: None, wake: None, turn: false });
            world.start(peer);
        }
        world
    }

    pub(super) fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("{:>10} {}", self.now, what()));
        }
    }

    /// Starts a peer, with its well-known sturdyrefs.
    pub(super) fn start(&mut self, peer: usize) {
        let life = self.peers[peer].life;
        let calls = Arc::clone(&self.calls);
        let proof = self.spec.proof;
        let entropy = Mutex::new(Rng::new(self.rng.next()));
        let place = Place { peer, life, calls: calls.clone(), entropy, proof };
        let mut settings = HubSettings::default();
        settings.give_promises = self.spec.give_promises;
        settings.dialect = Some(Dialect::ONE);
        let bench = Arc::new(Bench { peer, life, calls, ready: Mutex::default() });
        let vat = Vat::new("sim", bench.clone());
        self.ground.store(peer).life = life;
        let node = Node { hub: Hub::new(place, settings), vat, bench };
        self.peers[peer].node = Some(node);
        self.peers[peer].turn = false;
        for slot in 0..SLOTS {
            self.mint(peer, slot);
        }
    }

    pub(super) fn swiss(slot: usize) -> SwissNum {
        SwissNum::new([u8::try_from(slot).unwrap_or(0) + 1; 32]).expect("32 bytes are enough")
    }

    pub(super) fn mint(&mut self, peer: usize, slot: usize) {
        let life = self.peers[peer].life;
        let Some(node) = &self.peers[peer].node else { return };
        let actor = Actor::program(&self.ground, peer, life);
        let Some(var) = actor.object(&mut |object| node.vat.spawn(object)) else { return };
        self.ground.shadow().set_slot(peer, slot, Some(var.thing));
        node.hub.register(&Self::swiss(slot), var.reference);
    }

    pub(super) fn revoke(&mut self, peer: usize, slot: usize) {
        if let Some(node) = &self.peers[peer].node {
            node.hub.revoke(&Self::swiss(slot));
            self.ground.shadow().set_slot(peer, slot, None);
        }
    }

    pub(super) fn at(&mut self, time: u64, event: Event) {
        self.order += 1;
        self.moving += usize::from(!matches!(event, Event::Tick { .. }));
        self.events.push(Reverse((time, self.order, event)));
    }

    /// When the next event is.
    pub(super) fn next_event(&self) -> Option<u64> {
        self.events.peek().map(|Reverse((time, ..))| *time)
    }

    /// Lets the next event happen.
    pub(super) fn step(&mut self) {
        let Some(Reverse((time, _, event))) = self.events.pop() else { return };
        self.moving -= usize::from(!matches!(event, Event::Tick { .. }));
        self.set_time(time);
        self.happen(event);
        self.answer_calls();
    }

    pub(super) fn set_time(&mut self, time: u64) {
        self.now = self.now.max(time);
        self.calls.now.store(self.now, Ordering::Relaxed);
    }

    pub(super) fn count(&self, kind: u64, what: usize) {
        let mut shadow = self.ground.shadow();
        shadow.counters.steps += 1;
        shadow.note(kind, what as u64, self.now);
    }

    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Flush { conn, side, idle } => self.flush(conn, side, idle),
            Event::Arrive { conn, side } => self.arrive(conn, side),
            Event::End { conn, side } => self.end(conn, side),
            Event::Dialled { peer, life, to } => self.dialled(peer, life, to),
            Event::Restart { peer } => {
                if self.peers[peer].node.is_none() {
                    self.say(|| format!("p{peer} starts again"));
                    self.start(peer);
                }
            }
            Event::Turn { peer, life } => {
                if self.peers[peer].life == life
                    && let Some(bench) = self.peers[peer].node.as_ref().map(|n| n.bench.clone())
                {
                    self.peers[peer].turn = false;
                    self.count(4, peer);
                    bench.step(1);
                }
            }
            Event::Tick { peer, life } => {
                let found = &self.peers[peer];
                if found.life == life && found.wake.is_some_and(|wake| wake <= self.now) {
                    let hub = found.node.as_ref().map(|node| node.hub.clone());
                    self.peers[peer].wake = None;
                    self.count(5, peer);
                    if let Some(hub) = hub {
                        self.driven(|| hub.tick());
                    }
                }
            }
        }
    }

    /// Runs vats along with what wakes them, or leaves them to their benches.
    pub(super) fn driven(&self, body: impl FnOnce()) {
        drive_with_budget(if self.spec.inline { DRIVE_BUDGET } else { 0 }, body);
    }

    /// A peer's vat has something to do.
    fn ready(&mut self, peer: usize, life: u32) {
        let found = &mut self.peers[peer];
        if found.life == life && !found.turn {
            found.turn = true;
            let time = self.now + self.rng.below(self.spec.delay / 10 + 2);
            self.at(time, Event::Turn { peer, life });
        }
    }

    /// Acts on what the nodes asked for.
    pub(super) fn answer_calls(&mut self) {
        let mut taken = std::mem::take(&mut self.taken);
        self.calls.take(&mut taken);
        for call in taken.drain(..) {
            match call {
                Call::Connect { peer, life, to } if self.peers[peer].life == life => {
                    self.dial(peer, life, &to);
                }
                Call::WakeAt { peer, life, at } if self.peers[peer].life == life => {
                    self.peers[peer].wake = at;
                    if let Some(at) = at {
                        self.at(at.max(self.now), Event::Tick { peer, life });
                    }
                }
                Call::Flush { conn, side } if !self.conns[conn].ends[side].flushing => {
                    self.conns[conn].ends[side].flushing = true;
                    let time = self.now + self.rng.below(self.spec.delay / 20 + 2);
                    self.at(time, Event::Flush { conn, side, idle: false });
                }
                Call::Ready { peer, life } => self.ready(peer, life),
                _ => {}
            }
        }
        self.taken = taken;
    }

    /// Virtual time in microseconds.
    pub(super) const fn now(&self) -> u64 {
        self.now
    }

    /// What has come of the run so far.
    pub(super) fn report(&mut self) -> Report {
        let shadow = self.ground.shadow();
        Report {
            failure: shadow.failure.clone(),
            counters: shadow.counters,
            trace: shadow.trace,
            log: self.log.take().unwrap_or_default(),
        }
    }
}
