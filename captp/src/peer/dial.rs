//! Dials of a [`Peer`]: one at a time for each peer, shared by all who want a session
//! with it.

use std::collections::hash_map::Entry;
use std::time::Duration;

use super::{Action, ConnId, Connection, Peer, Standing, Timer};
use crate::crypto::PublicId;
use crate::error::SessionEnd;
use crate::locator::{PeerId, PeerLocator};

/// A dial under way.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) to: PeerLocator,
    /// It has given way before: not a third time.
    again: bool,
    pub(super) stage: Stage,
}

/// How far a dial has come.
#[derive(Debug)]
pub(super) enum Stage {
    Connecting,
    Greeting(ConnId),
    /// The connection gave way to another, which we have not seen yet.
    GaveWay(Duration),
}

impl<R: Clone, W> Peer<R, W> {
    /// A session with a peer is wanted: the one there is, or one that
    /// [`Action::Dialled`] will tell of. All who ask meanwhile share one connection.
    pub fn dial(&mut self, peer: &PeerLocator) -> Option<ConnId> {
        let id = peer.id();
        if let Some(conn) = self.session_with(&id) {
            return Some(conn);
        }
        if let Entry::Vacant(place) = self.dials.entry(id) {
            place.insert(Dial { to: peer.clone(), again: false, stage: Stage::Connecting });
            self.connect(peer);
        }
        None
    }

    /// Asks for a connection, unless one is on its way: a dial that is over, since the
    /// peer dialled us, may have left one behind.
    fn connect(&mut self, to: &PeerLocator) {
        if self.connecting.insert(to.id()) {
            self.actions.push_back(Action::Connect(to.clone()));
        }
    }

    /// The connection that [`Action::Connect`] asked for is there. Whether it is still of
    /// use: the peer may have dialled us meanwhile. Drop it if not.
    #[must_use]
    pub fn connected(&mut self, peer: &PeerId) -> bool {
        self.connecting.remove(peer);
        self.dials.get(peer).is_some_and(|dial| matches!(dial.stage, Stage::Connecting))
    }

    /// [`Action::Connect`] did not succeed. Whether anybody waits for the connection;
    /// the caller tells them why they shall not have it.
    pub fn connect_failed(&mut self, peer: &PeerId) -> bool {
        let waited_for = self.connected(peer);
        if waited_for {
            self.dials.remove(peer);
        }
        waited_for
    }

    /// The highest id among the keys of peers that claim, unproven, to be this one, and
    /// that have dialled us. If one of them is the peer, it ends what we dial it by
    /// unless our key has a higher id: see
    /// [`SessionKey::of_high_rank`](crate::SessionKey::of_high_rank).
    #[must_use]
    pub fn claim_on(&self, peer: &PeerId) -> Option<PublicId> {
        let accepted = self.connections.values().filter(|conn| conn.dialled.is_none());
        let claims = accepted.filter_map(|conn| conn.live.as_ref());
        let claims = claims.filter(|live| !live.verified && live.peer == *peer);
        claims.map(|live| live.peer_key.id()).max()
    }

    /// A connection is open; our `op:start-session` goes out by it.
    pub fn opened(
        &mut self,
        conn: ConnId,
        dialled: Option<&PeerLocator>,
        our_id: PublicId,
        now: Duration,
    ) {
        if let Some(to) = dialled {
            let stage = Stage::Connecting;
            let dial = self.dials.entry(to.id());
            let dial = dial.or_insert_with(|| Dial { to: to.clone(), again: false, stage });
            dial.stage = Stage::Greeting(conn);
            self.connecting.remove(&to.id());
        }
        let dialled = dialled.map(PeerLocator::id);
        let opened = Connection { dialled, our_id, live: None, standing: Standing::Good };
        self.connections.insert(conn, opened);
        self.set(now + self.settings.handshake, Timer::Greeting(conn));
    }

    /// The connection by which a peer is dialled, until it has greeted.
    pub(super) fn greeting(&self, peer: &PeerId) -> Option<ConnId> {
        match self.dials.get(peer)?.stage {
            Stage::Greeting(conn) => Some(conn),
            _ => None,
        }
    }

    /// Whom the dial that is greeting on this connection is for.
    pub(super) fn dialled_by(&self, conn: ConnId) -> Option<PeerId> {
        let peer = self.connections.get(&conn)?.dialled.clone()?;
        (self.greeting(&peer) == Some(conn)).then_some(peer)
    }

    pub(super) fn dial_is_over(&mut self, peer: &PeerId, outcome: Result<ConnId, SessionEnd>) {
        if self.dials.remove(peer).is_some() {
            self.actions.push_back(Action::Dialled(peer.clone(), outcome));
        }
    }

    /// The connection of a dial is gone before it was of any use.
    pub(super) fn dial_failed(&mut self, peer: &PeerId, end: &SessionEnd, now: Duration) {
        // One that gave way to it may have what this one lacks.
        self.restore(peer);
        if let Some(conn) = self.session_with(peer) {
            return self.dial_is_over(peer, Ok(conn));
        }
        let due = now + self.settings.retire_after;
        let Some(dial) = self.dials.get_mut(peer).filter(|dial| !dial.again && gave_way(end))
        else {
            return self.dial_is_over(peer, Err(end.clone()));
        };
        // The peer may have found out about the two before we have.
        dial.stage = Stage::GaveWay(due);
        self.set(due, Timer::GaveWay(peer.clone()));
        if self.claim_on(peer).is_some() {
            self.dial_again(peer);
        }
    }

    /// What a dial of ours gave way to is of no use to us, or does not come: dials once
    /// more.
    pub(super) fn dial_again(&mut self, peer: &PeerId) {
        if let Some(dial) = self.dials.get_mut(peer)
            && matches!(dial.stage, Stage::GaveWay(_))
        {
            dial.again = true;
            dial.stage = Stage::Connecting;
            let to = dial.to.clone();
            self.connect(&to);
        }
    }

    /// Whether a dial has waited in vain for what it gave way to.
    pub(super) fn waits_in_vain(&self, peer: &PeerId, now: Duration) -> bool {
        let stage = self.dials.get(peer).map(|dial| &dial.stage);
        matches!(stage, Some(Stage::GaveWay(due)) if *due <= now)
    }
}

/// Whether a session ended because it gave way to another with the same peer. Goblins
/// says "Crossed hellos mitigation".
fn gave_way(end: &SessionEnd) -> bool {
    matches!(end, SessionEnd::PeerAborted(why) | SessionEnd::Closed(why)
        if why.to_ascii_lowercase().contains("crossed hellos"))
}
