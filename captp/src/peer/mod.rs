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
//! it claims to be. One that we dialled is ended: it would be of no use.
//!
//! When both sides dial at once, both find out and come to the same result (section
//! "Crossed Hellos" of the CapTP draft): of the two session keys of the dialling
//! sides, the connection of the one with the lower id gives way. A session that gives
//! way is not cut but *retired*: what is under way on it is finished, and it ends when
//! nothing has been for [`PeerSettings::retire_after`].
//!
//! A connection is crossed with another only while that is new. One that comes when the
//! other has been up for [`PeerSettings::handshake`], or that the same side opened,
//! *supersedes* it: the peer would not open another if that were any good. What is left
//! on the old one may be used on, and breaks when nothing has been heard on it for
//! [`PeerSettings::superseded`].
//!
//! On netlayers that prove only the dialled side (`websocket`), a peer that dialled us
//! can't be proven, and a foreign one may end the connection by which we dial it, as
//! crossed with its own. By the rule above it keeps ours if our key has the higher id,
//! so that is how we choose it ([`SessionKey::of_high_rank`](crate::SessionKey)): the
//! proven session stays, and the unproven one ends. A dial that nevertheless gives way to
//! one that is of no use to us is made once more.

mod dial;
mod given;
mod settings;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::time::Duration;

use self::dial::{Dial, Stage};
use self::given::Given;
pub use self::settings::PeerSettings;
use crate::crypto::{PublicId, PublicKey, SessionId};
use crate::error::SessionEnd;
use crate::gifts::Gifts;
use crate::locator::{PeerId, PeerLocator};
use crate::session::Established;

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
    /// Connect to a peer; [`Peer::connected`] or [`Peer::connect_failed`] follows.
    Connect(PeerLocator),
    /// Those who wait for a session with a peer have it, or know why there is none.
    Dialled(PeerId, Result<ConnId, SessionEnd>),
    /// End a session, telling the peer why.
    Close(ConnId, &'static str),
    /// The same, if nothing is under way on it.
    CloseUnused(ConnId, &'static str),
    /// The same, if nothing was heard from its peer since this was last asked.
    CloseSilent(ConnId, &'static str),
}

/// What is said when a session that gave way is ended.
const GAVE_WAY: &str = "crossed hellos: another session has taken the place of this one";

/// What is said when a session that was superseded is ended.
const SUPERSEDED: &str = "superseded: another session has taken the place of this one";

/// What an unverified peer is told, where it is refused.
const UNVERIFIED: &str = "this netlayer has not proven who you are";

/// What a peer is told that does not greet.
const SILENT: &str = "no op:start-session in time";

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
    /// Whom [`Action::Connect`] asked for, and no answer has come.
    connecting: HashSet<PeerId>,
    gifts: Gifts<R, W>,
    /// What we gave away, for receivers that can't reach it.
    given: Given<R>,
    timers: BTreeSet<(Duration, Timer)>,
    actions: VecDeque<Action>,
}

#[derive(Debug)]
struct Connection {
    /// Whom we dialled, if we did.
    dialled: Option<PeerId>,
    our_id: PublicId,
    live: Option<Live>,
    standing: Standing,
}

/// Whether a connection may be the one with its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Good,
    /// It gave way to another, and is looked at when the time comes.
    GaveWay(Duration),
    /// The same, with one that is not crossed with it: after `silent` it may be dead.
    Superseded {
        due: Duration,
        silent: Duration,
    },
}

/// How two connections with one peer stand to each other.
enum Between {
    Crossed { gives_way: ConnId },
    Superseded,
}

#[derive(Clone, Debug)]
struct Live {
    peer: PeerId,
    verified: bool,
    peer_key: PublicKey,
    session: SessionId,
    since: Duration,
}

/// What may become due. One that has been overtaken by events does nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Greeting(ConnId),
    GaveWay(PeerId),
    Retired(ConnId),
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
            given: Given::new(),
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
        let timer = self.timers.first().map(|(due, _)| *due);
        [timer, self.gifts.deadline(), self.given.deadline()].into_iter().flatten().min()
    }

    /// Does what is due. Gives those who have waited for a gift in vain, and references
    /// to drop, since that may run code of others.
    pub fn tick(&mut self, now: Duration) -> (Vec<W>, Vec<R>) {
        let (in_vain, mut dropped) = self.gifts.expire(now);
        dropped.extend(self.given.expire(now));
        while self.timers.first().is_some_and(|(due, _)| *due <= now) {
            let Some((_, timer)) = self.timers.pop_first() else { break };
            match timer {
                Timer::Greeting(conn) => {
                    if self.connections.get(&conn).is_some_and(|conn| conn.live.is_none()) {
                        self.actions.push_back(Action::Close(conn, SILENT));
                    }
                }
                Timer::GaveWay(peer) => {
                    if self.waits_in_vain(&peer, now) {
                        self.dial_again(&peer);
                    }
                }
                Timer::Retired(conn) => self.look_at_retired(conn, now),
            }
        }
        (in_vain, dropped)
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

    /// The handshake on a connection is done.
    pub fn established(&mut self, conn: ConnId, peer: &Established, now: Duration) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let live = Live {
            peer: peer.location.id(),
            verified: peer.proof.is_good(),
            peer_key: peer.peer_key,
            session: peer.session_id,
            since: now,
        };
        connection.live = Some(live.clone());
        let dialled = connection.dialled.is_some();
        self.gifts.session_started(live.session, live.peer_key);
        if live.verified {
            return self.take_place(conn, &live, now);
        }
        // What is meant for the peer that was dialled is for nobody else.
        if self.settings.refuse_unverified || dialled {
            self.actions.push_back(Action::Close(conn, UNVERIFIED));
        }
        // If this is what a dial gave way to, another try will win against it.
        self.dial_again(&live.peer);
    }

    /// Makes a verified session the one with its peer, unless there is another one that
    /// has to be.
    fn take_place(&mut self, conn: ConnId, live: &Live, now: Duration) {
        let other = self.session_with(&live.peer).or_else(|| self.greeting(&live.peer));
        let other = other.filter(|other| *other != conn);
        let between = other.map(|other| (other, self.between(conn, other, now)));
        match between {
            Some((_, Between::Crossed { gives_way })) if gives_way == conn => {
                self.retire(conn, Standing::GaveWay(now + self.settings.retire_after));
            }
            _ => {
                self.places.insert(live.peer.clone(), conn);
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.standing = Standing::Good;
                }
            }
        }
        match between {
            Some((other, Between::Crossed { gives_way })) if gives_way == other => {
                self.retire(other, Standing::GaveWay(now + self.settings.retire_after));
            }
            Some((other, Between::Superseded)) => {
                let PeerSettings { retire_after, superseded, .. } = self.settings;
                let (due, silent) = (now + retire_after, now + superseded);
                self.retire(other, Standing::Superseded { due, silent });
            }
            _ => {}
        }
        if let Some(place) = self.session_with(&live.peer) {
            self.dial_is_over(&live.peer, Ok(place));
        }
    }

    /// How a session that has just begun stands to one that was there.
    fn between(&self, conn: ConnId, other: ConnId, now: Duration) -> Between {
        let (Some(one), Some(two)) = (self.connections.get(&conn), self.connections.get(&other))
        else {
            return Between::Superseded;
        };
        let (ours, theirs) = match (&one.dialled, &two.dialled) {
            (Some(_), None) => (conn, other),
            (None, Some(_)) => (other, conn),
            _ => return Between::Superseded,
        };
        if two.live.as_ref().is_some_and(|two| two.since + self.settings.handshake <= now) {
            return Between::Superseded;
        }
        let (outbound, inbound) = if ours == conn { (one, two) } else { (two, one) };
        let Some(inbound) = &inbound.live else { return Between::Superseded };
        let gives_way = if outbound.our_id < inbound.peer_key.id() { ours } else { theirs };
        Between::Crossed { gives_way }
    }

    fn retire(&mut self, conn: ConnId, standing: Standing) {
        let connection = self.connections.get_mut(&conn);
        let connection = connection.filter(|conn| conn.standing == Standing::Good);
        if let (Some(connection), Some(due)) = (connection, standing.due()) {
            connection.standing = standing;
            self.set(due, Timer::Retired(conn));
        }
    }

    fn look_at_retired(&mut self, conn: ConnId, now: Duration) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        // What was set for an earlier time when it was retired means nothing.
        if connection.standing.due().is_none_or(|due| now < due) {
            return;
        }
        let due = now + self.settings.retire_after;
        self.actions.push_back(Action::CloseUnused(conn, GAVE_WAY));
        match &mut connection.standing {
            Standing::Superseded { due: next, silent } => {
                *next = due;
                if *silent <= now {
                    *silent = now + self.settings.superseded;
                    self.actions.push_back(Action::CloseSilent(conn, SUPERSEDED));
                }
            }
            standing => *standing = Standing::GaveWay(due),
        }
        self.set(due, Timer::Retired(conn));
    }

    /// A connection is gone. Gives those who waited for a gift of its peer's, who wait
    /// in vain, and references to drop.
    pub fn ended(&mut self, conn: ConnId, end: &SessionEnd, now: Duration) -> (Vec<W>, Vec<R>) {
        let dialled = self.dialled_by(conn);
        let Some(connection) = self.connections.remove(&conn) else { return (vec![], vec![]) };
        if let Some(peer) = dialled {
            self.dial_failed(&peer, end, now);
        }
        let Some(live) = connection.live else { return (vec![], vec![]) };
        if self.session_with(&live.peer) == Some(conn) {
            self.places.remove(&live.peer);
            self.restore(&live.peer);
        }
        let in_vain = self.gifts.session_ended(&live.session);
        (in_vain, self.given.session_ended(conn))
    }

    /// Nobody has a peer's place: a session that gave way, and is still there, may have
    /// it back.
    fn restore(&mut self, peer: &PeerId) {
        if self.places.contains_key(peer) {
            return;
        }
        let mut retired = self.connections.iter_mut().filter(|(_, conn)| {
            conn.live.as_ref().is_some_and(|live| live.verified && live.peer == *peer)
        });
        if let Some((&conn, connection)) = retired.next_back() {
            connection.standing = Standing::Good;
            self.places.insert(peer.clone(), conn);
        }
    }

    fn session_id(&self, conn: ConnId) -> Option<SessionId> {
        Some(self.connections.get(&conn)?.live.as_ref()?.session)
    }

    // For tests and simulations.

    /// Whether nothing is left of anything: no connection, dial or gift.
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
            if connection.standing != Standing::Good {
                return Err(format!("{conn} is retired and has a place"));
            }
        }
        for (peer, dial) in &self.dials {
            if let Stage::Greeting(conn) = dial.stage
                && !self.connections.contains_key(&conn)
            {
                return Err(format!("the dial of {peer} waits for {conn}, which is gone"));
            }
            if self.places.contains_key(peer) && !matches!(dial.stage, Stage::Greeting(_)) {
                return Err(format!("{peer} is dialled though it has a session"));
            }
        }
        Ok(())
    }
}

impl Standing {
    /// When a session that is not in good standing is looked at.
    const fn due(self) -> Option<Duration> {
        match self {
            Self::Good => None,
            Self::GaveWay(due) | Self::Superseded { due, .. } => Some(due),
        }
    }
}
