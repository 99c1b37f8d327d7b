//! What a peer's node sees of the world: its clock, its entropy, its dials; and how the
//! world hears that something is to be done.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;
use std::time::Duration;

use captp::locator::PeerLocator;
use ocapn::hub::Outside;
use vat_runtime::{Ran, ReadyVat, Scheduler};

use super::rng::Rng;
use super::script::Proof;

/// The transport of all simulated peers.
pub(super) const TRANSPORT: &str = "sim";

/// What the world is told, to be acted on after the step.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Virtual time in microseconds.
    pub(super) now: AtomicU64,
    list: Mutex<Vec<Call>>,
}

/// Something that a node wants done.
#[derive(Debug)]
pub(super) enum Call {
    /// A peer, in this life, dials another.
    Connect { peer: usize, life: u32, to: PeerLocator },
    /// A peer wants its timer.
    WakeAt { peer: usize, life: u32, at: Option<u64> },
    /// One end of a connection has something to send.
    Flush { conn: usize, side: usize },
    /// A peer's vat has something to do.
    Ready { peer: usize, life: u32 },
}

impl Calls {
    fn tell(&self, call: Call) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    /// Takes what was told.
    pub(super) fn take(&self, into: &mut Vec<Call>) {
        into.append(&mut self.list.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The locator of a peer.
pub(super) fn locator(peer: usize) -> PeerLocator {
    PeerLocator::new(TRANSPORT, format!("p{peer}"))
}

/// Which peer a locator is of.
pub(super) fn number(peer: &PeerLocator) -> Option<usize> {
    peer.designator.strip_prefix('p')?.parse().ok()
}

/// One peer's outside, in one of its lives.
pub(super) struct Place {
    pub(super) peer: usize,
    pub(super) life: u32,
    pub(super) calls: Arc<Calls>,
    pub(super) entropy: Mutex<Rng>,
    pub(super) proof: Proof,
}

impl Outside for Place {
    fn now(&self) -> Duration {
        Duration::from_micros(self.calls.now.load(Ordering::Relaxed))
    }

    fn entropy(&self) -> [u8; 32] {
        self.entropy.lock().unwrap_or_else(PoisonError::into_inner).bytes32()
    }

    fn location(&self, transport: &str) -> Option<PeerLocator> {
        (transport == TRANSPORT).then(|| locator(self.peer))
    }

    fn trusts_claims(&self, _transport: &str) -> bool {
        self.proof == Proof::Claims
    }

    fn knows_who_dials(&self, _transport: &str) -> bool {
        self.proof != Proof::Dialled
    }

    fn connect(&self, to: PeerLocator) {
        self.calls.tell(Call::Connect { peer: self.peer, life: self.life, to });
    }

    fn wake_at(&self, deadline: Option<Duration>) {
        let at = deadline.map(|at| u64::try_from(at.as_micros()).unwrap_or(u64::MAX));
        self.calls.tell(Call::WakeAt { peer: self.peer, life: self.life, at });
    }
}

/// Notes that one end of a connection has something to send.
pub(super) struct Bell {
    pub(super) conn: usize,
    pub(super) side: usize,
    pub(super) calls: Arc<Calls>,
    pub(super) rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::Relaxed) {
            self.calls.tell(Call::Flush { conn: self.conn, side: self.side });
        }
    }
}

/// Keeps a peer's vats until the world runs them.
pub(super) struct Bench {
    pub(super) peer: usize,
    pub(super) life: u32,
    pub(super) calls: Arc<Calls>,
    pub(super) ready: Mutex<VecDeque<ReadyVat>>,
}

impl Bench {
    fn lock(&self) -> MutexGuard<'_, VecDeque<ReadyVat>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs so many turns of the vat that has waited longest.
    pub(super) fn step(&self, turns: usize) {
        let next = self.lock().pop_front();
        if let Some(vat) = next
            && let Ran::More(vat) = vat.run(turns)
        {
            self.ready(vat);
        }
    }

    /// Throws away what waits.
    pub(super) fn clear(&self) {
        let ready = std::mem::take(&mut *self.lock());
        drop(ready);
    }
}

impl Scheduler for Bench {
    fn ready(&self, vat: ReadyVat) {
        self.lock().push_back(vat);
        self.calls.tell(Call::Ready { peer: self.peer, life: self.life });
    }
}
