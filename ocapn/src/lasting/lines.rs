//! Which lines a hub has. Owns [`Lines`]: by whom they are told that sessions begin and
//! end.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use captp::locator::{PeerId, Sturdyref};

use super::line::Line;
use crate::hub::Hub;

/// The lines of a hub. Nothing is called or dropped under its locks.
#[derive(Default)]
pub(crate) struct Lines {
    by_peer: Mutex<HashMap<PeerId, HashMap<Sturdyref, Weak<Line>>>>,
    /// Those that lead through a session.
    by_session: Mutex<BTreeMap<u64, Vec<Weak<Line>>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}

fn peer_of(hub: &Hub, sturdyref: &Sturdyref) -> PeerId {
    hub.outside().canonical(&sturdyref.peer).id()
}

impl Lines {
    pub(crate) fn find(&self, hub: &Hub, sturdyref: &Sturdyref) -> Option<Arc<Line>> {
        let peer = peer_of(hub, sturdyref);
        lock(&self.by_peer).get(&peer)?.get(sturdyref)?.upgrade()
    }

    /// The line of a sturdyref, made if there is none.
    pub(super) fn find_or(
        &self,
        hub: &Hub,
        sturdyref: &Sturdyref,
        make: impl FnOnce(PeerId) -> Arc<Line>,
    ) -> Arc<Line> {
        let peer = peer_of(hub, sturdyref);
        let made = make(peer.clone());
        let mut lines = lock(&self.by_peer);
        let place = lines.entry(peer).or_default().entry(sturdyref.clone()).or_default();
        let line = place.upgrade().unwrap_or_else(|| {
            *place = Arc::downgrade(&made);
            made.clone()
        });
        drop(lines);
        line
    }

    /// A line is gone.
    pub(super) fn forget(&self, peer: &PeerId, line: &Line) {
        let mut lines = lock(&self.by_peer);
        let Some(of_peer) = lines.get_mut(peer) else { return };
        let there = of_peer.get(line.sturdyref());
        // Another may have taken its place.
        if there.is_some_and(|there| std::ptr::eq(there.as_ptr(), line)) {
            of_peer.remove(line.sturdyref());
        }
        if of_peer.is_empty() {
            lines.remove(peer);
        }
    }

    /// A line leads through a session from now on.
    pub(super) fn leads_through(&self, session: u64, line: Weak<Line>) {
        let mut lines = lock(&self.by_session);
        let through = lines.entry(session).or_default();
        if through.len().is_power_of_two() {
            through.retain(|line| line.strong_count() > 0);
        }
        through.push(line);
    }

    /// There is a session with this peer.
    pub(crate) fn session_started(&self, peer: &PeerId) {
        let lines: Vec<_> = match lock(&self.by_peer).get(peer) {
            Some(lines) => lines.values().filter_map(Weak::upgrade).collect(),
            None => return,
        };
        lines.iter().for_each(|line| line.session_started());
    }

    /// A session is over, and not in the hub any more.
    pub(crate) fn session_ended(&self, session: u64, why: &str) {
        let lines = lock(&self.by_session).remove(&session).unwrap_or_default();
        lines.iter().filter_map(Weak::upgrade).for_each(|line| line.cut(session, why));
    }

    /// The hub has stopped.
    pub(crate) fn stop(&self) {
        let lines: Vec<_> =
            lock(&self.by_peer).values().flat_map(|lines| lines.values()).cloned().collect();
        lines.iter().filter_map(Weak::upgrade).for_each(|line| line.stop());
    }
}
