//! Our side of the network: which session is the one with each peer.
//!
//! Owns the rules that concern more than one session: a peer has one session with us
//! (crossed hellos, second sessions, shared dials), gifts are left in one session and
//! fetched by another, and what has been given goes on by way of us if its receiver
//! can't reach where it is.
//!
//! Like [`Session`](crate::Session) it is fed what happens and gives what is to be
//! done: after every input, drain [`Peer::poll_action`]. The sessions themselves are
//! run by the caller, each under a lock of its own, so that one never waits for
//! another.
//!
//! # One session for each peer
//!
//! Only *verified* sessions count: those whose netlayer has proven who the other side
//! is. A session with an unproven claim is usable for what its peer asks of us, but it
//! takes no place, ends no other session, and nothing is sent by it to the peer that
//! it claims to be.
//!
//! When both sides dial at once, both find out and come to the same result (section
//! "Crossed Hellos" of the CapTP draft): of the two session keys of the dialling
//! sides, the connection of the one with the lower id gives way. A session that gives
//! way is not cut but *retired*: what is under way on it is finished, and it ends when
//! nothing has been for [`PeerSettings::retire_after`].
//!
//! On netlayers that prove only the dialled side (`websocket`), a peer that dialled us
//! can't be proven, and a foreign one may end the connection by which we dial it, as
//! crossed with its own. By the rule above it keeps ours if our key has the higher id,
//! so that is how we choose it ([`Peer::session_key`]): the proven session stays, and
//! the unproven one ends.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::time::Duration;

use crate::crypto::{PublicId, PublicKey, SessionId, SessionKey};
use crate::error::{LimitExceeded, SessionEnd};
use crate::gifts::{DepositError, Gifts, Withdrawal};
use crate::handoff::{GiftId, HandoffGive, HandoffReceive, Signed};
use crate::locator::{PeerId, PeerLocator};
use crate::session::Established;

/// How our side of the network behaves. Times are counted by whatever clock the caller
/// gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerSettings {
    /// How long a peer may take to send its `op:start-session`, and how long we wait
    /// for the session that a connection of ours gave way to. Default 10 s.
    pub handshake: Duration,
    /// How long a session that gave way must be unused before it is ended. More than a
    /// message takes to arrive: the peer may have sent one before it knew. Default 1 s.
    pub retire_after: Duration,
    /// How long gifts are kept for their receivers after their gifter has left.
    /// Default 60 s.
    pub keep_gifts: Duration,
    /// How long what we gave to a third party is held, so that it can be had by way of
    /// us if it can't be reached directly. Default 30 s, which is more than an attempt
    /// to reach it takes.
    pub stand_in: Duration,
    /// Most gifts that a peer may leave for others at a time, most withdrawals that may
    /// wait for one of its gifts, and most gifts of ours that we stand in for. Default
    /// 10,000, as in [`Limits`](crate::Limits).
    pub gifts: usize,
    /// Whether sessions with peers that are not proven to be who they say are ended.
    /// Default `false`.
    pub refuse_unverified: bool,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            retire_after: Duration::from_secs(1),
            keep_gifts: Duration::from_secs(60),
            stand_in: Duration::from_secs(30),
            gifts: crate::Limits::default().gifts,
            refuse_unverified: false,
        }
    }
}

/// One connection, under a number of the caller's. No two that were ever given to one
/// [`Peer`] may be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.0)
    }
}

/// Something for the caller to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect to a peer; [`Peer::opened`] or [`Peer::connect_failed`] follows.
    Connect(PeerLocator),
    /// Those who wait for a session with a peer have it, or know why there is none.
    Dialled(PeerId, Result<ConnId, SessionEnd>),
    /// End a session, telling the peer why.
    Close(ConnId, &'static str),
    /// The same, if nothing is under way on it.
    CloseUnused(ConnId, &'static str),
}

/// What is said when a session that gave way is ended.
const GAVE_WAY: &str = "crossed hellos: another session has taken the place of this one";

/// What an unverified peer is told, where it is refused.
const UNVERIFIED: &str = "this netlayer has not proven who you are";

/// What a peer is told that does not greet.
const SILENT: &str = "no op:start-session in time";

/// How many keys are tried for one that wins against the unproven sessions of the peer
/// to be dialled. Each costs some 20 us; one such session is won against nearly always.
const KEYS_TO_TRY: usize = 256;

/// Our side of the network. See the module's text.
///
/// `R` is a reference and `W` is whoever waits for one, as in [`Gifts`].
#[derive(Debug)]
pub struct Peer<R, W> {
    settings: PeerSettings,
    connections: BTreeMap<ConnId, Connection>,
    /// The session with each peer that has proven who it is.
    places: HashMap<PeerId, ConnId>,
    /// Dials under way.
    dials: HashMap<PeerId, Dial>,
    /// Whom [`Action::Connect`] asked for, and no answer has come. The dial may be over
    /// before, since the peer dialled us, and there may be another by then.
    connecting: HashSet<PeerId>,
    gifts: Gifts<R, W>,
    /// What we gave away, for receivers that can't reach it.
    given: BTreeMap<GiftId, Given<R>>,
    timers: BTreeSet<(Duration, Timer)>,
    actions: VecDeque<Action>,
}

#[derive(Debug)]
struct Connection {
    /// Whom we dialled, if we did.
    dialled: Option<PeerId>,
    our_id: PublicId,
    live: Option<Live>,
    retired: bool,
}

#[derive(Clone, Debug)]
struct Live {
    peer: PeerId,
    verified: bool,
    peer_key: PublicKey,
    session: SessionId,
}

/// How far a dial has come.
#[derive(Debug)]
enum Dial {
    Connecting,
    Greeting(ConnId),
    /// The connection gave way to another, which we have not seen yet.
    GaveWay(SessionEnd),
}

#[derive(Debug)]
struct Given<R> {
    to: ConnId,
    reference: R,
    until: Duration,
}

/// What may become due. One that has been overtaken by events does nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Greeting(ConnId),
    GaveWay(PeerId),
    Retired(ConnId),
    GiftsOf(SessionId),
    Given(GiftId),
}

impl<R: Clone, W> Peer<R, W> {
    /// Nobody is connected.
    #[must_use]
    pub fn new(settings: PeerSettings) -> Self {
        Self {
            connections: BTreeMap::new(),
            places: HashMap::new(),
            dials: HashMap::new(),
            connecting: HashSet::new(),
            gifts: Gifts::new(settings.gifts),
            given: BTreeMap::new(),
            timers: BTreeSet::new(),
            actions: VecDeque::new(),
            settings,
        }
    }

    /// What is to be done next, until there is nothing.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Peer::tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Does what is due. Gives references to drop, since that may run code of others.
    pub fn tick(&mut self, now: Duration) -> Vec<R> {
        let mut dropped = Vec::new();
        while self.timers.first().is_some_and(|(due, _)| *due <= now) {
            let Some((_, timer)) = self.timers.pop_first() else { break };
            match timer {
                Timer::Greeting(conn) => {
                    if self.connections.get(&conn).is_some_and(|conn| conn.live.is_none()) {
                        self.actions.push_back(Action::Close(conn, SILENT));
                    }
                }
                Timer::GaveWay(peer) => {
                    if let Some(Dial::GaveWay(end)) = self.dials.get(&peer) {
                        let end = end.clone();
                        self.dial_is_over(&peer, Err(end));
                    }
                }
                Timer::Retired(conn) => {
                    if self.connections.get(&conn).is_some_and(|conn| conn.retired) {
                        self.actions.push_back(Action::CloseUnused(conn, GAVE_WAY));
                        self.set(now + self.settings.retire_after, Timer::Retired(conn));
                    }
                }
                Timer::GiftsOf(session) => dropped.extend(self.gifts.forget(&session)),
                Timer::Given(gift) => {
                    if self.given.get(&gift).is_some_and(|given| given.until <= now) {
                        dropped.extend(self.given.remove(&gift).map(|given| given.reference));
                    }
                }
            }
        }
        dropped
    }

    fn set(&mut self, due: Duration, timer: Timer) {
        self.timers.insert((due, timer));
    }

    // Sessions.

    /// The session with a peer, if there is one.
    #[must_use]
    pub fn session_with(&self, peer: &PeerId) -> Option<ConnId> {
        self.places.get(peer).copied()
    }

    /// A session with a peer is wanted: the one there is, or one that
    /// [`Action::Dialled`] will tell of. All who ask meanwhile share one connection.
    pub fn dial(&mut self, peer: &PeerLocator) -> Option<ConnId> {
        let id = peer.id();
        if let Some(conn) = self.session_with(&id) {
            return Some(conn);
        }
        self.dials.entry(id).or_insert_with_key(|id| {
            if self.connecting.insert(id.clone()) {
                self.actions.push_back(Action::Connect(peer.clone()));
            }
            Dial::Connecting
        });
        None
    }

    /// The connection that [`Action::Connect`] asked for is there. Whether it is still of
    /// use: the peer may have dialled us meanwhile. Drop it if not.
    #[must_use]
    pub fn connected(&mut self, peer: &PeerId) -> bool {
        self.connecting.remove(peer);
        matches!(self.dials.get(peer), Some(Dial::Connecting))
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

    /// A key for the session on a new connection. `entropy` is called once, or, when a
    /// peer is dialled that may hold the connection for crossed with one that we can't
    /// prove to be its, a few times.
    pub fn session_key(
        &self,
        dialled: Option<&PeerId>,
        mut entropy: impl FnMut() -> [u8; 32],
    ) -> SessionKey {
        let claims = self.connections.values().filter_map(|conn| conn.live.as_ref());
        let claims = claims.filter(|live| !live.verified && dialled == Some(&live.peer));
        let highest = claims.map(|live| live.peer_key.id()).max();
        let mut key = SessionKey::from_entropy(entropy());
        let mut tried = 1;
        while highest.is_some_and(|highest| key.public().id() < highest) && tried < KEYS_TO_TRY {
            key = SessionKey::from_entropy(entropy());
            tried += 1;
        }
        key
    }

    /// A connection is open; our `op:start-session` goes out by it.
    pub fn opened(
        &mut self,
        conn: ConnId,
        dialled: Option<&PeerLocator>,
        our_id: PublicId,
        now: Duration,
    ) {
        let dialled = dialled.map(PeerLocator::id);
        if let Some(peer) = &dialled {
            self.dials.insert(peer.clone(), Dial::Greeting(conn));
        }
        let opened = Connection { dialled, our_id, live: None, retired: false };
        self.connections.insert(conn, opened);
        self.set(now + self.settings.handshake, Timer::Greeting(conn));
    }

    /// The handshake on a connection is done.
    pub fn established(&mut self, conn: ConnId, peer: &Established, now: Duration) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let live = Live {
            peer: peer.location.id(),
            verified: peer.verified,
            peer_key: peer.peer_key,
            session: peer.session_id,
        };
        connection.live = Some(live.clone());
        self.gifts.session_started(live.session, live.peer_key);
        if live.verified {
            self.take_place(conn, &live, now);
        } else if self.settings.refuse_unverified {
            self.actions.push_back(Action::Close(conn, UNVERIFIED));
        } else if let Some(peer) = self.dialled_by(conn) {
            // Whoever dialled has what it asked for, for what it is worth.
            self.dial_is_over(&peer, Ok(conn));
        }
    }

    /// Makes a verified session the one with its peer, unless there is another one that
    /// has to be.
    fn take_place(&mut self, conn: ConnId, live: &Live, now: Duration) {
        let greeting = match self.dials.get(&live.peer) {
            Some(Dial::Greeting(greeting)) => Some(*greeting),
            _ => None,
        };
        let other = self.session_with(&live.peer).or(greeting).filter(|other| *other != conn);
        if other.is_some_and(|other| self.gives_way(conn, other)) {
            self.retire(conn, now);
        } else {
            self.places.insert(live.peer.clone(), conn);
            if let Some(connection) = self.connections.get_mut(&conn) {
                connection.retired = false;
            }
            // A session that is not crossed with this one has been superseded by it:
            // the peer would not open another if that were any good.
            if let Some(other) = other {
                self.retire(other, now);
            }
        }
        if let Some(place) = self.session_with(&live.peer) {
            self.dial_is_over(&live.peer, Ok(place));
        }
    }

    /// Whether `conn` is crossed with `other` and has to give way to it.
    fn gives_way(&self, conn: ConnId, other: ConnId) -> bool {
        let (Some(one), Some(two)) = (self.connections.get(&conn), self.connections.get(&other))
        else {
            return false;
        };
        let (outbound, inbound) = match (&one.dialled, &two.dialled) {
            (Some(_), None) => (one, two),
            (None, Some(_)) => (two, one),
            _ => return false,
        };
        let Some(theirs) = inbound.live.as_ref().map(|live| live.peer_key.id()) else {
            return false;
        };
        (outbound.our_id < theirs) == one.dialled.is_some()
    }

    fn retire(&mut self, conn: ConnId, now: Duration) {
        if let Some(connection) = self.connections.get_mut(&conn).filter(|conn| !conn.retired) {
            connection.retired = true;
            self.set(now + self.settings.retire_after, Timer::Retired(conn));
        }
    }

    /// Whom the dial that is greeting on this connection is for.
    fn dialled_by(&self, conn: ConnId) -> Option<PeerId> {
        let peer = self.connections.get(&conn)?.dialled.clone()?;
        matches!(self.dials.get(&peer), Some(Dial::Greeting(at)) if *at == conn).then_some(peer)
    }

    fn dial_is_over(&mut self, peer: &PeerId, outcome: Result<ConnId, SessionEnd>) {
        if self.dials.remove(peer).is_some() {
            self.actions.push_back(Action::Dialled(peer.clone(), outcome));
        }
    }

    /// A connection is gone. Gives those who waited for a gift of its peer's, who wait
    /// in vain, and references to drop.
    pub fn ended(&mut self, conn: ConnId, end: &SessionEnd, now: Duration) -> (Vec<W>, Vec<R>) {
        let dialled = self.dialled_by(conn);
        let Some(connection) = self.connections.remove(&conn) else { return (vec![], vec![]) };
        if let Some(peer) = dialled {
            if gave_way(end) {
                // The peer may have found out about the two before we have.
                self.dials.insert(peer.clone(), Dial::GaveWay(end.clone()));
                self.set(now + self.settings.handshake, Timer::GaveWay(peer));
            } else {
                self.dial_is_over(&peer, Err(end.clone()));
            }
        }
        let Some(live) = connection.live else { return (vec![], vec![]) };
        if self.session_with(&live.peer) == Some(conn) {
            self.places.remove(&live.peer);
            self.restore(&live.peer);
        }
        let (in_vain, left) = self.gifts.session_ended(&live.session);
        if left {
            self.set(now + self.settings.keep_gifts, Timer::GiftsOf(live.session));
        }
        let given = self.given.extract_if(.., |_, given| given.to == conn);
        (in_vain, given.map(|(_, given)| given.reference).collect())
    }

    /// The session that had a peer's place is gone: one that gave way to it, and is
    /// still there, may have it back.
    fn restore(&mut self, peer: &PeerId) {
        let mut retired = self.connections.iter_mut().filter(|(_, conn)| {
            conn.retired
                && conn.live.as_ref().is_some_and(|live| live.verified && live.peer == *peer)
        });
        if let Some((&conn, connection)) = retired.next_back() {
            connection.retired = false;
            self.places.insert(peer.clone(), conn);
        }
    }

    // Gifts.

    /// The peer of a session leaves a gift there. Gives who waited for it, along with
    /// the gift.
    ///
    /// # Errors
    ///
    /// If it can't be kept: the reference is given back.
    pub fn deposit(
        &mut self,
        by: ConnId,
        gift: GiftId,
        reference: R,
    ) -> Result<Option<(R, W)>, (DepositError, R)> {
        match self.session_id(by) {
            Some(session) => self.gifts.deposit(&session, gift, reference),
            None => Err((DepositError::Ended, reference)),
        }
    }

    /// The peer of a session comes for a gift that another one left. `is_us` tells
    /// whether a locator is ours.
    pub fn withdraw(
        &mut self,
        by: ConnId,
        receive: &Signed<HandoffReceive>,
        is_us: impl FnOnce(&PeerLocator) -> bool,
        who: W,
    ) -> Withdrawal<R, W> {
        match self.session_id(by) {
            Some(session) => self.gifts.withdraw(&session, receive, is_us, who),
            None => Withdrawal::Refused(crate::WithdrawError::OtherSession, who),
        }
    }

    /// A gift of our own objects has come to ourselves: see [`Gifts::withdraw_here`].
    pub fn withdraw_here(
        &mut self,
        give: &Signed<HandoffGive>,
        receiver_key: &PublicKey,
        who: W,
    ) -> Withdrawal<R, W> {
        self.gifts.withdraw_here(give, receiver_key, who)
    }

    /// We gave something to the peer of the session `to`: it is held for a while, in
    /// case the receiver can't reach where it is.
    ///
    /// # Errors
    ///
    /// If too much is held already: then it should be sent as our own.
    pub fn gave(
        &mut self,
        to: ConnId,
        gift: GiftId,
        reference: R,
        now: Duration,
    ) -> Result<(), LimitExceeded> {
        if self.given.len() >= self.settings.gifts {
            return Err(LimitExceeded { name: "gifts", limit: self.settings.gifts as u64 });
        }
        let until = now + self.settings.stand_in;
        self.set(until, Timer::Given(gift.clone()));
        self.given.insert(gift, Given { to, reference, until });
        Ok(())
    }

    /// The receiver of a gift of ours asks for it by way of us. Only the peer of the
    /// session that it was given in may, with the gift's id for a swiss number.
    #[must_use]
    pub fn stand_in(&self, by: ConnId, gift: &GiftId) -> Option<R> {
        let given = self.given.get(gift).filter(|given| given.to == by)?;
        Some(given.reference.clone())
    }

    fn session_id(&self, conn: ConnId) -> Option<SessionId> {
        Some(self.connections.get(&conn)?.live.as_ref()?.session)
    }

    // For tests and simulations.

    /// Whether nothing is left of anything: no connection, dial, gift or timer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
            && self.dials.is_empty()
            && self.gifts.is_empty()
            && self.given.is_empty()
    }

    /// Checks what must always hold.
    ///
    /// # Errors
    ///
    /// Says which invariant is broken.
    pub fn check(&self) -> Result<(), String> {
        for (peer, conn) in &self.places {
            let connection = self.connections.get(conn).ok_or(format!("{conn} is gone"))?;
            let live = connection.live.as_ref().ok_or(format!("{conn} has a place unproven"))?;
            if !live.verified || live.peer != *peer {
                return Err(format!("{conn} has the place of {peer}, and is not proven to be it"));
            }
            if connection.retired {
                return Err(format!("{conn} is retired and has a place"));
            }
        }
        for (peer, dial) in &self.dials {
            if let Dial::Greeting(conn) = dial
                && !self.connections.contains_key(conn)
            {
                return Err(format!("the dial of {peer} waits for {conn}, which is gone"));
            }
            if self.places.contains_key(peer) && !matches!(dial, Dial::Greeting(_)) {
                return Err(format!("{peer} is dialled though it has a session"));
            }
        }
        Ok(())
    }
}

/// Whether a session ended because it gave way to another with the same peer. Goblins
/// says "Crossed hellos mitigation".
fn gave_way(end: &SessionEnd) -> bool {
    matches!(end, SessionEnd::PeerAborted(why) | SessionEnd::Closed(why)
        if why.to_ascii_lowercase().contains("crossed hellos"))
}
