//! Output commit: what a session writes leaves when the turns that it may tell of are
//! durable, and not before. Owns what waits for that, in one session and in a hub.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::Wake;

use bytes::Bytes;
use captp::Session;
use vat_runtime::Barrier;

use crate::glue::Glue;
use crate::hub::Hub;
use crate::link::Link;

/// What a peer is told when the store has failed. Why it has is not the peer's business.
pub(crate) const UNKEPT: &str = "this node can't keep what it says: its store has failed";

/// Where the output of a session waits, if its node has a store.
pub(crate) struct Outlet {
    barrier: Arc<dyn Barrier>,
    /// The last turn that what the session has written may tell of.
    latest: u64,
    /// What was taken from the session, and the turn that it waits for. What is written
    /// meanwhile stays in the session, where it counts against its limit.
    held: Option<(u64, VecDeque<Bytes>)>,
}

impl Outlet {
    pub(crate) const fn new(barrier: Arc<dyn Barrier>) -> Self {
        Self { barrier, latest: 0, held: None }
    }

    /// The session has been written to: by a turn that has its number already.
    pub(crate) fn note(&mut self) {
        self.latest = self.barrier.pending();
    }

    fn is_durable(&self, turn: u64) -> bool {
        turn <= self.barrier.durable()
    }

    /// Moves what may leave to `out`. Gives whether something is left that waits only for
    /// a message to travel with. `wait` has the hub tell when there is more.
    pub(crate) fn transmit(
        &mut self,
        session: &mut Session<Glue>,
        idle: bool,
        out: &mut VecDeque<Bytes>,
        wait: impl Fn(),
    ) -> bool {
        loop {
            if let Some((turn, mut bytes)) = self.held.take() {
                if !self.is_durable(turn) {
                    wait();
                    // It may have come to be while nobody was told.
                    if !self.is_durable(turn) {
                        self.held = Some((turn, bytes));
                        return false;
                    }
                }
                out.append(&mut bytes);
            }
            if self.is_durable(self.latest) {
                session.poll_transmit(idle, out);
                return session.has_output();
            }
            let mut bytes = VecDeque::new();
            session.poll_transmit(idle, &mut bytes);
            if bytes.is_empty() {
                return session.has_output();
            }
            self.held = Some((self.latest, bytes));
        }
    }

    /// How many bytes wait here.
    pub(crate) fn bytes(&self) -> usize {
        self.held.iter().flat_map(|(_, bytes)| bytes).map(Bytes::len).sum()
    }

    pub(crate) const fn is_holding(&self) -> bool {
        self.held.is_some()
    }
}

/// The sessions of a hub whose output waits, those that are over included.
#[derive(Default)]
pub(crate) struct Held(Mutex<BTreeMap<u64, Weak<Link>>>);

impl Held {
    pub(crate) fn add(&self, key: u64, link: Weak<Link>) {
        self.lock().insert(key, link);
    }

    /// Those who wait, until they wait again.
    pub(crate) fn take(&self) -> Vec<Arc<Link>> {
        let links = std::mem::take(&mut *self.lock());
        links.values().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Weak<Link>>> {
        self.0.lock().unwrap_or_else(|poison| poison.into_inner())
    }
}

/// Tells a hub that its barrier has moved.
pub(crate) struct Moved(pub(crate) Weak<Hub>);

impl Wake for Moved {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(hub) = self.0.upgrade() {
            hub.barrier_moved();
        }
    }
}
