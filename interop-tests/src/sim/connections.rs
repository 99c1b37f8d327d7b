//! The connections of a world: dials, what travels with which delay, and ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use bytes::{Bytes, BytesMut};
use captp::locator::PeerLocator;
use netlayers::{ConnectError, UnreachableCause};
use ocapn::hub::Link;

use super::outside::{Bell, TRANSPORT, locator, number};
use super::script::Proof;
use super::shadow::Counters;
use super::world::{Event, World};

/// How long released references wait for a message to travel with, as on a node.
const RELEASE_AFTER: u64 = 1000;

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
    pub(super) coming: VecDeque<Bytes>,
    input: BytesMut,
    /// When the last of it arrives.
    last: u64,
    delay: u64,
    /// A flush is on the way; the idle one, too.
    pub(super) flushing: bool,
    idling: bool,
    /// Nothing comes from here any more.
    silent: bool,
}

impl World {
    pub(super) fn dial(&mut self, peer: usize, life: u32, to: &PeerLocator) {
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

    pub(super) fn dialled(&mut self, peer: usize, life: u32, to: usize) {
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
    pub(super) fn flush(&mut self, conn: usize, side: usize, idle: bool) {
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

    pub(super) fn arrive(&mut self, conn: usize, side: usize) {
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
    pub(super) fn end(&mut self, conn: usize, side: usize) {
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
    pub(super) fn cut(&mut self, conn: usize) {
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
