//! The world: peers, the connections between them, and what happens next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use bytes::{Bytes, BytesMut};
use captp::Dialect;
use captp::locator::{PeerLocator, Sturdyref, SwissNum};
use netlayers::{ConnectError, UnreachableCause};
use ocapn::hub::{Hub, HubSettings, Link};
use vat_runtime::{DRIVE_BUDGET, Vat, drive_with_budget};

use super::actor::{Actor, Ground};
use super::outside::{Bell, Bench, Call, Calls, Place, TRANSPORT, locator, number};
use super::rng::Rng;
use super::script::{Line, Op, Proof, SLOTS, Script, Spec};
use super::shadow::{Counters, Meaning};

/// How long released references wait for a message to travel with, as on a node.
const RELEASE_AFTER: u64 = 1000;

/// A run of one script.
pub struct World {
    pub(super) spec: Spec,
    pub(super) rng: Rng,
    pub(super) now: u64,
    pub(super) ground: Arc<Ground>,
    pub(super) calls: Arc<Calls>,
    taken: Vec<Call>,
    pub(super) peers: Vec<Peer>,
    pub(super) conns: Vec<Conn>,
    /// Connections that are not over, oldest first.
    pub(super) open: Vec<usize>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    /// Events that are not timers.
    pub(super) moving: usize,
    /// Until when dials between two peers fail.
    parted: BTreeMap<(usize, usize), u64>,
    /// Until when dials to a peer fail.
    refusing: BTreeMap<usize, u64>,
    /// Dials under way, by who dials whom.
    dialling: BTreeSet<(usize, u32, usize)>,
    /// Messages travel one by one, and somebody else says which arrives next.
    exploring: bool,
    /// Says what happens.
    pub(super) log: Option<Vec<String>>,
    out: VecDeque<Bytes>,
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
    bench: Arc<Bench>,
}

/// A connection between two peers.
pub(super) struct Conn {
    pub(super) ends: [End; 2],
}

/// One end of a connection.
pub(super) struct End {
    pub(super) peer: usize,
    pub(super) life: u32,
    pub(super) link: Option<Arc<Link>>,
    bell: Arc<Bell>,
    waker: Waker,
    /// On the way to this end.
    coming: VecDeque<Bytes>,
    input: BytesMut,
    /// When the last of it arrives.
    last: u64,
    delay: u64,
    /// A flush is on the way; the idle one, too.
    flushing: bool,
    idling: bool,
    /// Nothing comes from here any more.
    silent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
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
    #[must_use]
    pub fn new(script: &Script, log: bool) -> Self {
        let spec = script.spec.clone();
        let ground = Ground::new(spec.peers);
        let mut world = Self {
            rng: Rng::new(spec.seed),
            now: 0,
            ground,
            calls: Arc::default(),
            taken: Vec::new(),
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
    fn start(&mut self, peer: usize) {
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

    fn mint(&mut self, peer: usize, slot: usize) {
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

    // Events.

    fn at(&mut self, time: u64, event: Event) {
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

    fn count(&self, kind: u64, what: usize) {
        let mut shadow = self.ground.shadow();
        shadow.counters.steps += 1;
        shadow.note(kind, what as u64, self.now);
    }

    fn happen(&mut self, event: Event) {
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
    fn driven(&self, body: impl FnOnce()) {
        drive_with_budget(if self.spec.inline { DRIVE_BUDGET } else { 0 }, body);
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
                Call::Flush { conn, side } => {
                    if !self.conns[conn].ends[side].flushing {
                        self.conns[conn].ends[side].flushing = true;
                        let time = self.now + self.rng.below(self.spec.delay / 20 + 2);
                        self.at(time, Event::Flush { conn, side, idle: false });
                    }
                }
                Call::Ready { peer, life } if self.peers[peer].life == life => {
                    if !self.peers[peer].turn {
                        self.peers[peer].turn = true;
                        let time = self.now + self.rng.below(self.spec.delay / 10 + 2);
                        self.at(time, Event::Turn { peer, life });
                    }
                }
                _ => {}
            }
        }
        self.taken = taken;
    }

    // Connections.

    fn dial(&mut self, peer: usize, life: u32, to: &PeerLocator) {
        let Some(to) = number(to) else { return };
        if !self.dialling.insert((peer, life, to)) {
            self.ground.shadow().fail(format!("p{peer} dials p{to} twice at once"));
        }
        let time = self.now + self.rng.below(self.spec.delay * 3 + 2);
        self.at(time, Event::Dialled { peer, life, to });
    }

    fn is_parted(&self, one: usize, other: usize) -> bool {
        let pair = (one.min(other), one.max(other));
        self.parted.get(&pair).is_some_and(|until| *until > self.now)
    }

    fn dialled(&mut self, peer: usize, life: u32, to: usize) {
        self.dialling.remove(&(peer, life, to));
        if self.peers[peer].life != life {
            return;
        }
        let Some(node) = &self.peers[peer].node else { return };
        let hub = node.hub.clone();
        self.count(3, peer);
        let refused = self.is_parted(peer, to)
            || self.spec.is_walled(peer, to)
            || self.refusing.get(&to).is_some_and(|until| *until > self.now);
        let there = self.peers.get(to).and_then(|peer| peer.node.as_ref());
        let Some(there) = there.filter(|_| !refused) else {
            self.ground.shadow().counters.refusals += 1;
            let (address, cause) = (format!("p{to}"), UnreachableCause::NobodyThere);
            let error = ConnectError::Unreachable { address, cause };
            return self.driven(|| hub.connect_failed(&locator(to), error));
        };
        let prove = |proven: bool, peer| proven.then(|| format!("p{peer}"));
        let ours = prove(self.spec.proof != Proof::Claims, to);
        let theirs = prove(self.spec.proof == Proof::Both, peer);
        let far = there.hub.clone();
        let Some(link) = hub.connected(&locator(to), ours) else { return };
        let Some(other) = far.accepted(TRANSPORT, theirs) else { return };
        let crossed = self.open.iter().any(|conn| {
            let [one, two] = &self.conns[*conn].ends;
            (one.peer, two.peer) == (to, peer) && one.link.as_ref().is_some_and(|l| !l.is_ended())
        });
        let mut shadow = self.ground.shadow();
        shadow.counters.dials += 1;
        shadow.counters.crossed += u64::from(crossed);
        drop(shadow);
        let conn = self.conns.len();
        self.say(|| format!("connection {conn}: p{peer} to p{to}"));
        let ends = [(peer, link), (to, other)].into_iter().enumerate();
        let ends: Vec<End> =
            ends.map(|(side, (peer, link))| self.open_end(conn, side, peer, link)).collect();
        let Ok(ends) = ends.try_into() else { return };
        self.conns.push(Conn { ends });
        self.open.push(conn);
        for side in 0..2 {
            self.conns[conn].ends[side].bell.clone().wake_now();
        }
    }

    fn open_end(&mut self, conn: usize, side: usize, peer: usize, link: Arc<Link>) -> End {
        let calls = self.calls.clone();
        let bell = Arc::new(Bell { conn, side, calls, rung: AtomicBool::new(false) });
        let waker = Waker::from(bell.clone());
        // Some directions are much slower than others.
        let delay = if self.rng.percent(25) {
            self.spec.delay
        } else {
            self.rng.below(self.spec.delay / 4 + 1)
        };
        End {
            peer,
            life: self.peers[peer].life,
            link: Some(link),
            bell,
            waker,
            coming: VecDeque::new(),
            input: BytesMut::new(),
            last: 0,
            delay,
            flushing: false,
            idling: false,
            silent: false,
        }
    }

    /// Writes what an end has to send.
    fn flush(&mut self, conn: usize, side: usize, idle: bool) {
        let end = &mut self.conns[conn].ends[side];
        if idle {
            end.idling = false;
        } else {
            end.flushing = false;
        }
        let Some(link) = end.link.clone().filter(|_| !end.silent) else { return };
        end.bell.rung.store(false, Ordering::Relaxed);
        link.register(&end.waker);
        let mut out = std::mem::take(&mut self.out);
        let waiting = link.transmit(idle, &mut out);
        let mut length = 0;
        let time = self.arrival(conn, 1 - side);
        let mut shadow = self.ground.shadow();
        for bytes in &out {
            length += bytes.len();
            count_gifts(bytes, &mut shadow.counters);
        }
        shadow.counters.bytes += length as u64;
        drop(shadow);
        let far = &mut self.conns[conn].ends[1 - side];
        if self.exploring {
            one_by_one(&mut out);
        }
        let pieces = out.len();
        far.coming.extend(out.drain(..));
        self.out = out;
        for _ in 0..pieces {
            self.at(time, Event::Arrive { conn, side: 1 - side });
        }
        if link.is_ended() {
            self.conns[conn].ends[side].silent = true;
            let time = self.arrival(conn, 1 - side);
            self.at(time, Event::End { conn, side: 1 - side });
            self.say(|| format!("connection {conn}: side {side} ended: {:?}", link.end()));
        } else if waiting && !self.conns[conn].ends[side].idling {
            self.conns[conn].ends[side].idling = true;
            self.at(self.now + RELEASE_AFTER, Event::Flush { conn, side, idle: true });
        }
    }

    /// When what is sent to an end now arrives there.
    fn arrival(&mut self, conn: usize, side: usize) -> u64 {
        let end = &mut self.conns[conn].ends[side];
        let delay = end.delay / 2 + self.rng.below(end.delay / 2 + 2);
        end.last = end.last.max(self.now + delay);
        end.last
    }

    fn arrive(&mut self, conn: usize, side: usize) {
        let end = &mut self.conns[conn].ends[side];
        let (peer, life) = (end.peer, end.life);
        let Some(mut bytes) = end.coming.pop_front() else { return };
        let Some(link) = end.link.clone() else { return };
        if bytes.len() > 1 && self.spec.chunks && self.rng.percent(30) {
            let cut = 1 + self.rng.below(bytes.len() as u64 - 1) as usize;
            let rest = bytes.split_off(cut);
            self.conns[conn].ends[side].coming.push_front(rest);
            // At once, and before what comes behind it: the queue is in order.
            let time = self.now;
            self.at(time, Event::Arrive { conn, side });
        }
        self.count(1, conn * 2 + side);
        if self.peers[peer].life != life || link.is_ended() {
            return;
        }
        let mut input = std::mem::take(&mut self.conns[conn].ends[side].input);
        input.extend_from_slice(&bytes);
        if self.log.is_some() {
            let text = super::words(&bytes);
            self.say(|| format!("connection {conn}: to p{peer}: {text}"));
        }
        self.driven(|| link.receive(&mut input));
        self.conns[conn].ends[side].input = input;
    }

    /// An end sees that the connection is gone.
    fn end(&mut self, conn: usize, side: usize) {
        let end = &mut self.conns[conn].ends[side];
        end.coming.clear();
        end.silent = true;
        let Some(link) = end.link.take() else {
            if self.conns[conn].ends[1 - side].link.is_none() {
                self.open.retain(|open| *open != conn);
            }
            return;
        };
        let (peer, life) = (end.peer, end.life);
        self.count(2, conn * 2 + side);
        if self.peers[peer].life == life {
            self.driven(|| link.disconnected());
        }
        // The other one hears of it, if it has not.
        let far = &self.conns[conn].ends[1 - side];
        if far.link.is_some() {
            let time = self.arrival(conn, 1 - side);
            self.at(time, Event::End { conn, side: 1 - side });
        } else {
            self.open.retain(|open| *open != conn);
        }
    }

    /// Breaks a connection: both ends see it when they do, and some of what is on the
    /// way is lost.
    fn cut(&mut self, conn: usize) {
        self.say(|| format!("connection {conn} is cut"));
        self.ground.shadow().counters.cuts += 1;
        for side in 0..2 {
            let end = &mut self.conns[conn].ends[side];
            end.silent = true;
            let keep = self.rng.below(end.coming.len() as u64 + 1) as usize;
            end.coming.truncate(keep);
            if let Some(last) = end.coming.back_mut() {
                let len = self.rng.below(last.len() as u64 + 1) as usize;
                last.truncate(len);
            }
            let time = self.now + self.rng.below(self.spec.delay * 2 + 2);
            self.at(time, Event::End { conn, side });
        }
    }

    fn crash(&mut self, peer: usize, back: u64) {
        if self.peers[peer].node.is_none() {
            return;
        }
        self.say(|| format!("p{peer} crashes"));
        self.ground.shadow().counters.crashes += 1;
        self.take_down(peer);
        for slot in 0..SLOTS {
            self.ground.shadow().set_slot(peer, slot, None);
        }
        self.at(self.now + back, Event::Restart { peer });
    }

    /// Ends a life of a peer's.
    pub(super) fn take_down(&mut self, peer: usize) {
        let life = self.peers[peer].life;
        self.peers[peer].life += 1;
        self.ground.store(peer).life = life + 1;
        self.ground.shadow().waiting.retain(|(who, at, _)| (*who, *at) != (peer, life));
        let mut links = Vec::new();
        for conn in self.open.clone() {
            for side in 0..2 {
                let end = &mut self.conns[conn].ends[side];
                if end.peer == peer && end.life == life {
                    links.extend(end.link.take());
                    self.cut(conn);
                }
            }
        }
        let store = std::mem::take(&mut *self.ground.store(peer));
        self.ground.store(peer).life = life + 1;
        let node = self.peers[peer].node.take();
        if let Some(node) = &node {
            node.vat.stop();
            node.hub.stop("the peer is gone");
            node.bench.clear();
        }
        links.iter().for_each(|link| link.disconnected());
        drop((store, links, node));
    }

    // The program.

    /// Does one line of the script.
    pub(super) fn perform(&mut self, line: &Line) {
        let peer = line.peer % self.spec.peers;
        self.count(6, peer);
        if line.op.is_fault() {
            self.ground.shadow().faulty = true;
        }
        let (life, number) = (self.peers[peer].life, self.spec.peers);
        let Some(node) = &self.peers[peer].node else { return };
        let (hub, vat) = (node.hub.clone(), node.vat.clone());
        let ground = self.ground.clone();
        let actor = Actor::program(&ground, peer, life);
        let spawn = &mut |object| vat.spawn(object);
        match &line.op {
            Op::Enliven { at, slot } => self.enliven(peer, at % number, slot % SLOTS),
            Op::Send(send) => actor.send(send, spawn),
            Op::Promise => drop(actor.promise()),
            Op::Resolve { which, with } => actor.resolve(*which, with, spawn),
            Op::Drop { var } => {
                let mut store = ground.store(peer);
                let len = store.vars.len();
                let gone = (len > 0).then(|| store.vars.remove(len - 1 - var % len));
                drop(store);
                drop(gone);
            }
            Op::Listen { var } => {
                if let Some(var) = ground.var(peer, *var) {
                    actor.watch(&var.reference, var.thing);
                    actor.send_when_settled(var);
                }
            }
            Op::Mint { slot } => self.mint(peer, slot % SLOTS),
            Op::Revoke { slot } => self.revoke(peer, slot % SLOTS),
            Op::Close { link } => {
                let links = hub.links();
                if let Some(link) = (!links.is_empty()).then(|| &links[link % links.len()]) {
                    link.close("the script says so");
                }
            }
            Op::Cut { conn } if !self.open.is_empty() => {
                self.cut(self.open[conn % self.open.len()]);
            }
            Op::Crash { back } => self.crash(peer, *back),
            Op::Part { other, time } => self.part(peer, other % number, *time),
            Op::Refuse { time } => drop(self.refusing.insert(peer, self.now + time)),
            Op::Settle => self.settle(),
            Op::Cut { .. } => {}
        }
        self.answer_calls();
    }

    fn enliven(&mut self, peer: usize, at: usize, slot: usize) {
        if self.spec.is_walled(peer, at) {
            return;
        }
        let life = self.peers[peer].life;
        let Some(node) = &self.peers[peer].node else { return };
        let sturdyref = Sturdyref::new(locator(at), Self::swiss(slot));
        let promise = node.hub.enliven(&sturdyref);
        let mut shadow = self.ground.shadow();
        let since = shadow.version;
        let thing = shadow.thing(Meaning::Fetch { peer: at, slot, since });
        drop(shadow);
        let actor = Actor::program(&self.ground, peer, life);
        actor.watch(&promise, thing);
        self.ground.keep(peer, life, promise.into_ref(), thing);
    }

    fn part(&mut self, one: usize, other: usize, time: u64) {
        self.parted.insert((one.min(other), one.max(other)), self.now + time);
        for conn in self.open.clone() {
            let [near, far] = &self.conns[conn].ends;
            if [(near.peer, far.peer), (far.peer, near.peer)].contains(&(one, other)) {
                self.cut(conn);
            }
        }
    }

    /// All faults are over: what is parted may meet again.
    pub(super) fn heal(&mut self) {
        self.parted.clear();
        self.refusing.clear();
    }
}

/// Divides what is sent into its messages.
fn one_by_one(out: &mut VecDeque<Bytes>) {
    let mut all = BytesMut::new();
    out.drain(..).for_each(|bytes| all.extend_from_slice(&bytes));
    let mut scanner = syrup::Scanner::new(&syrup::Options::default());
    while let Ok(Some(length)) = scanner.scan(&all) {
        out.push_back(all.split_to(length).freeze());
    }
    out.extend((!all.is_empty()).then(|| all.freeze()));
}

/// Counts the gifts that are fetched by these bytes, from where they are or by way of
/// their gifter. The latter are asked for with 32 random bytes, and no sturdyref here
/// has those.
fn count_gifts(bytes: &[u8], counters: &mut Counters) {
    const WITHDRAW: &[u8] = b"13'withdraw-gift";
    const FETCH: &[u8] = b"5'fetch32:";
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\'') {
        let from = |back: usize| at.checked_sub(back).and_then(|at| bytes.get(at..));
        if from(2).is_some_and(|bytes| bytes.starts_with(WITHDRAW)) {
            counters.handoffs += 1;
        } else if let Some(rest) = from(1).and_then(|bytes| bytes.strip_prefix(FETCH)) {
            counters.by_proxy += u64::from(rest.first() != rest.get(1));
        }
    }
}

impl Bell {
    /// Rings.
    fn wake_now(self: Arc<Self>) {
        std::task::Wake::wake(self);
    }
}

/// One direction of a connection: the connection, and the end that it leads to.
pub(super) type Lane = (usize, usize);

/// For those who choose what happens next.
impl World {
    /// From now on messages travel one by one.
    pub(super) fn explore(&mut self) {
        self.exploring = true;
    }

    /// Lets everything happen but arrivals.
    pub(super) fn hurry(&mut self) {
        loop {
            let mut events: Vec<_> = std::mem::take(&mut self.events).into_vec();
            events.sort();
            // The least comes last.
            let next = events.iter().rposition(|Reverse((.., event))| {
                matches!(
                    event,
                    Event::Flush { idle: false, .. } | Event::Turn { .. } | Event::Dialled { .. }
                )
            });
            let event = next.map(|at| events.remove(at).0.2);
            self.events = events.into();
            let Some(event) = event else { return };
            self.moving -= 1;
            self.happen(event);
            self.answer_calls();
        }
    }

    /// The directions in which something is on its way.
    pub(super) fn lanes(&self) -> Vec<Lane> {
        let lanes = self.events.iter().filter_map(|Reverse((.., event))| lane(event));
        let lanes: BTreeSet<Lane> = lanes.collect();
        lanes.into_iter().collect()
    }

    /// What comes next in a direction, in words.
    pub(super) fn describe(&self, (conn, side): Lane) -> String {
        let end = &self.conns[conn].ends[side];
        let text = end.coming.front().map_or("the end".into(), |bytes| super::words(bytes));
        format!("to p{} from p{}: {text}", end.peer, self.conns[conn].ends[1 - side].peer)
    }

    /// Lets the next of a direction arrive.
    pub(super) fn deliver(&mut self, which: Lane) {
        let mut events: Vec<_> = std::mem::take(&mut self.events).into_vec();
        events.sort();
        let next = events.iter().rposition(|Reverse((.., event))| lane(event) == Some(which));
        let event = next.map(|at| events.remove(at).0.2);
        self.events = events.into();
        if let Some(event) = event {
            self.moving -= 1;
            self.happen(event);
            self.answer_calls();
        }
    }
}

fn lane(event: &Event) -> Option<Lane> {
    match event {
        Event::Arrive { conn, side } | Event::End { conn, side } => Some((*conn, *side)),
        _ => None,
    }
}

impl World {
    /// Virtual time in microseconds.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// What has come of the run so far.
    pub(super) fn report(&mut self) -> super::Report {
        let shadow = self.ground.shadow();
        super::Report {
            failure: shadow.failure.clone(),
            counters: shadow.counters,
            trace: shadow.trace,
            log: self.log.take().unwrap_or_default(),
        }
    }
}
