//! A node without its event loop: sessions, gifts and sturdyrefs, but no socket, clock
//! or entropy of its own.
//!
//! [`Node`](crate::Node) runs one on tokio. Run it yourself for another event loop, or
//! for a simulation:
//!
//! - What the hub needs of the world it asks of its [`Outside`]. The outside answers
//!   [`Outside::connect`] with [`Hub::connected`] or [`Hub::connect_failed`], tells of
//!   connections that others opened with [`Hub::accepted`], and calls [`Hub::tick`] at
//!   the time last told to [`Outside::wake_at`].
//! - Each connection is a [`Link`]: what is read goes to [`Link::receive`], what
//!   [`Link::transmit`] gives is to be written, and [`Link::disconnected`] says that
//!   the connection is gone. While [`Link::is_paced`] says so nothing is to be read: it
//!   is up to who runs the hub that what waits for its vats is bounded.
//!
//! The rules for more than one session are [`captp::Peer`]'s; this puts them to work.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::task::Waker;
use std::time::{Duration, SystemTime};

use captp::locator::{PeerId, PeerLocator, Sturdyref, SwissNum};
use captp::{
    Action, ConnId, Dialect, Limits, Passable, Peer, PeerSettings, SessionConfig, SessionEnd,
    SessionKey, SwissDigest,
};
use netlayers::{ConnectError, Stranger};
use vat_runtime::persist::StoreError;
use vat_runtime::{Barrier, Promise, Ref, Resolver, Vat};

use crate::lasting::Lines;
pub use crate::link::{Link, Phase};
use crate::origins::Origins;
use crate::outlet::{Held, Moved};
use crate::registry::{Export, Registry};
use crate::{DialError, bootstrap};

/// The world around a [`Hub`]. Nothing is called with a lock held.
pub trait Outside: Send + Sync + 'static {
    /// Time since some moment that stays the same.
    fn now(&self) -> Duration;
    /// Bytes that nobody can guess, for a key or a swiss number.
    fn entropy(&self) -> [u8; 32];
    /// Where others reach us by a transport, if we speak it.
    fn location(&self, transport: &str) -> Option<PeerLocator>;
    /// A locator with the one spelling of its designator that its netlayer proves.
    fn canonical(&self, peer: &PeerLocator) -> PeerLocator {
        peer.clone()
    }
    /// Whether what an unproven peer claims to be is taken at face value, as on
    /// netlayers for testing that can prove nothing.
    fn trusts_claims(&self, transport: &str) -> bool;
    /// Whether peers that dial us can prove who they are, or are taken to be who they
    /// say. Where they can't, as on `websocket`, connections to them are opened with keys
    /// of high rank, which don't give way to theirs.
    fn knows_who_dials(&self, _transport: &str) -> bool {
        true
    }
    /// The time of day, by which exports expire.
    fn wall_time(&self) -> SystemTime {
        SystemTime::now()
    }
    /// Dial a peer of a transport that we speak. Called with a canonical locator, and
    /// not again for the same peer before it has been answered.
    fn connect(&self, peer: PeerLocator);
    /// Call [`Hub::tick`] at this time, or never. Replaces what was said before.
    fn wake_at(&self, deadline: Option<Duration>);
}

/// What a node lets its peers have, and how it speaks to them.
#[derive(Clone)]
#[non_exhaustive]
pub struct HubSettings {
    /// What each session may cost.
    pub limits: Limits,
    /// How sessions, dials and gifts are kept.
    pub peers: PeerSettings,
    /// The dialect to speak whatever the netlayer. By default it is that of the
    /// netlayer's known peers until the peer has been heard.
    pub dialect: Option<Dialect>,
    /// The protocol version to say and require.
    pub version: String,
    /// Whether promises of third parties that have not settled are given as gifts, too.
    /// By default their receivers reach them by way of us until they settle: not every
    /// exporter takes promises.
    pub give_promises: bool,
    /// What output waits for: no message, answer or acknowledgement leaves before the
    /// turn it came from is durable. When it fails, every session ends and none begins. By
    /// default nothing is waited for.
    pub barrier: Option<Arc<dyn Barrier>>,
}

impl fmt::Debug for HubSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubSettings")
            .field("limits", &self.limits)
            .field("peers", &self.peers)
            .field("dialect", &self.dialect)
            .field("version", &self.version)
            .field("give_promises", &self.give_promises)
            .field("barrier", &self.barrier.is_some())
            .finish()
    }
}

impl Default for HubSettings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            peers: PeerSettings::default(),
            dialect: None,
            version: SessionConfig::VERSION.to_owned(),
            give_promises: false,
            barrier: None,
        }
    }
}

/// A node without its event loop. See the module's text.
pub struct Hub {
    outside: Box<dyn Outside>,
    settings: HubSettings,
    state: Mutex<State>,
    registry: Registry,
    origins: Origins,
    lines: Lines,
    /// Sessions whose output waits.
    held: Held,
    stopping: AtomicBool,
    turned_away: OnceLock<OnTurnedAway>,
    me: Weak<Self>,
}

/// Somebody wanted what it has no right to. Told of the first time, and then each time
/// there have been twice as many: who tries much does not have much written down.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TurnedAway {
    /// It asked for an object by a number that names none: one that is no more, or a guess.
    NoSuchObject {
        /// Where its connection comes from, as the netlayer says. Empty if we dialled.
        address: String,
        /// How often in this session.
        count: u64,
    },
    /// A netlayer has hung up on it for who it is.
    Stranger(Stranger),
}

pub(crate) type OnTurnedAway = Arc<dyn Fn(&TurnedAway) + Send + Sync>;

struct State {
    peer: Peer<Ref, Resolver>,
    links: BTreeMap<ConnId, Arc<Link>>,
    /// Those who wait for a session.
    waiting: HashMap<PeerId, Vec<Waiter>>,
    /// What [`Outside::wake_at`] was last told.
    deadline: Option<Duration>,
}

pub(crate) type Dialled = Result<Arc<Link>, DialError>;
type Waiter = Box<dyn FnOnce(Dialled) + Send>;

impl Hub {
    /// A hub with nobody connected.
    #[must_use]
    pub fn new(outside: impl Outside, settings: HubSettings) -> Arc<Self> {
        let barrier = settings.barrier.clone();
        let hub = Arc::new_cyclic(|me: &Weak<Self>| Self {
            outside: Box::new(outside),
            state: Mutex::new(State {
                peer: Peer::new(settings.peers),
                links: BTreeMap::new(),
                waiting: HashMap::new(),
                deadline: None,
            }),
            settings,
            registry: Registry::default(),
            origins: Origins::default(),
            lines: Lines::default(),
            held: Held::default(),
            stopping: AtomicBool::new(false),
            turned_away: OnceLock::new(),
            me: me.clone(),
        });
        if let Some(barrier) = barrier {
            barrier.watch(Waker::from(Arc::new(Moved(hub.handle()))));
        }
        hub
    }

    pub(crate) fn handle(&self) -> Weak<Self> {
        Weak::clone(&self.me)
    }

    pub(crate) const fn origins(&self) -> &Origins {
        &self.origins
    }

    pub(crate) const fn lines(&self) -> &Lines {
        &self.lines
    }

    pub(crate) const fn outside(&self) -> &dyn Outside {
        &*self.outside
    }

    /// Who is told of those who are turned away. The first has a say.
    pub(crate) fn tell_of_turned_away(&self, hook: OnTurnedAway) {
        let _set_before = self.turned_away.set(hook);
    }

    pub(crate) fn turned_away(&self, who: &TurnedAway) {
        if let Some(hook) = self.turned_away.get() {
            hook(who);
        }
    }

    pub(crate) const fn settings(&self) -> &HubSettings {
        &self.settings
    }

    /// Whether a locator is one of ours.
    #[must_use]
    pub fn is_us(&self, peer: &PeerLocator) -> bool {
        let ours = self.outside.location(&peer.transport);
        ours.is_some_and(|ours| ours.same_peer(&self.outside.canonical(peer)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Changes the state of things and does what is to be done about it, the latter
    /// without the lock.
    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (changed, actions, deadline) = {
            let mut state = self.lock();
            let changed = change(&mut state);
            let actions: Vec<Action> = std::iter::from_fn(|| state.peer.poll_action()).collect();
            let deadline = state.peer.deadline();
            let news = (deadline != state.deadline).then_some(deadline);
            state.deadline = deadline;
            (changed, actions, news)
        };
        if let Some(deadline) = deadline {
            self.outside.wake_at(deadline);
        }
        for action in actions {
            self.perform(action);
        }
        changed
    }

    fn perform(&self, action: Action) {
        match action {
            Action::Connect(peer) => self.outside.connect(peer),
            Action::Dialled(peer, outcome) => {
                let (waiting, link) = {
                    let mut state = self.lock();
                    let waiting = state.waiting.remove(&peer).unwrap_or_default();
                    let conn = outcome.as_ref().ok();
                    (waiting, conn.and_then(|conn| state.links.get(conn)).cloned())
                };
                let end = outcome.err().unwrap_or(SessionEnd::Disconnected);
                let dialled = link.ok_or(DialError::Handshake { peer, end });
                for waiter in waiting {
                    waiter(dialled.clone());
                }
            }
            Action::Close(conn, reason) => {
                if let Some(link) = self.link(conn) {
                    link.close(reason);
                }
            }
            Action::CloseSilent(conn, reason) => {
                if let Some(link) = self.link(conn).filter(|link| link.is_silent()) {
                    link.close(reason);
                }
            }
            Action::CloseUnused(conn, reason) => {
                if let Some(link) = self.link(conn).filter(|link| link.is_unused()) {
                    link.close(reason);
                }
            }
        }
    }

    pub(crate) const fn held(&self) -> &Held {
        &self.held
    }

    /// More is durable than before, or nothing more will be.
    pub(crate) fn barrier_moved(&self) {
        let held = self.held.take();
        let failed = self.settings.barrier.as_ref().and_then(|barrier| barrier.failed());
        if let Some(why) = failed {
            // Whoever stops a node closes its store then, which is no failure.
            if !self.is_stopping() {
                tracing::error!(%why, "the store has failed: all sessions end");
            }
            held.iter().chain(&self.links()).for_each(|link| link.store_failed());
        } else {
            held.iter().for_each(|link| link.barrier_moved());
        }
    }

    /// Does what is due by now.
    pub fn tick(&self) {
        let now = self.outside.now();
        let (in_vain, dropped) = self.update(|state| state.peer.tick(now));
        for resolver in in_vain {
            resolver.break_with("the gift was not left in time");
        }
        drop(dropped);
    }

    // Connections.

    /// What [`Outside::connect`] asked for is there; `proven` is the designator that the
    /// netlayer has verified of the other side. `None` if it is of no use any more.
    pub fn connected(&self, peer: &PeerLocator, proven: Option<String>) -> Option<Arc<Link>> {
        if !self.lock().peer.connected(&peer.id()) {
            return None;
        }
        self.open(&peer.transport, Some(peer), proven)
    }

    /// What [`Outside::connect`] asked for could not be had.
    pub fn connect_failed(&self, peer: &PeerLocator, error: ConnectError) {
        let id = peer.id();
        let waiting = self.update(|state| {
            let waited_for = state.peer.connect_failed(&id);
            waited_for.then(|| state.waiting.remove(&id)).flatten().unwrap_or_default()
        });
        let error = DialError::Connect(Arc::new(error));
        for waiter in waiting {
            waiter(Err(error.clone()));
        }
    }

    /// Somebody has connected by a transport that we speak. `None` if we don't.
    pub fn accepted(&self, transport: &str, proven: Option<String>) -> Option<Arc<Link>> {
        self.open(transport, None, proven)
    }

    fn open(
        &self,
        transport: &str,
        dialled: Option<&PeerLocator>,
        proven: Option<String>,
    ) -> Option<Arc<Link>> {
        let settings = &self.settings;
        let location = self.outside.location(transport)?;
        let key = self.new_key(transport, dialled);
        let mut config = SessionConfig::new(location, key);
        let our_id = config.key.public().id();
        config.dialled = dialled.cloned();
        config.proven = proven;
        config.trust_claims = self.outside.trusts_claims(transport);
        // Only on a netlayer for testing may peers of every dialect turn up.
        config.dialect = settings.dialect.unwrap_or(if config.trust_claims {
            Dialect::UNHEARD
        } else {
            Dialect::TODAY
        });
        config.version.clone_from(&settings.version);
        config.limits = settings.limits;
        let link = Link::new(config, Weak::clone(&self.me), settings.barrier.clone());
        let now = self.outside.now();
        self.update(|state| {
            state.links.insert(link.conn(), Arc::clone(&link));
            state.peer.opened(link.conn(), dialled, our_id, now);
        });
        // Whoever stops the node sees the session in the table, or we see this.
        if self.is_stopping() {
            link.close(STOPPED);
        }
        if settings.barrier.as_ref().is_some_and(|barrier| barrier.failed().is_some()) {
            link.store_failed();
        }
        Some(link)
    }

    /// A key for a new session.
    fn new_key(&self, transport: &str, dialled: Option<&PeerLocator>) -> SessionKey {
        match dialled {
            Some(peer) if !self.outside.knows_who_dials(transport) => {
                let claim = self.lock().peer.claim_on(&peer.id());
                SessionKey::of_high_rank(claim, || self.outside.entropy())
            }
            _ => SessionKey::from_entropy(self.outside.entropy()),
        }
    }

    /// The handshake is done.
    pub(crate) fn session_started(&self, link: &Link) {
        let Some(peer) = link.peer() else { return };
        tracing::debug!(link = link.key(), peer = %peer.location.id(), proof = ?peer.proof, "session");
        let now = self.outside.now();
        self.update(|state| state.peer.established(link.conn(), peer, now));
        self.lines.session_started(&peer.location.id());
    }

    pub(crate) fn session_ended(&self, link: &Link, end: &SessionEnd) {
        tracing::debug!(link = link.key(), %end, "session ended");
        let now = self.outside.now();
        let (in_vain, dropped, link) = self.update(|state| {
            let (in_vain, dropped) = state.peer.ended(link.conn(), end, now);
            (in_vain, dropped, state.links.remove(&link.conn()))
        });
        for resolver in in_vain {
            resolver.break_with("the session with the gifter has ended");
        }
        drop(dropped);
        if let Some(link) = link {
            self.lines.session_ended(link.key(), &end.to_string());
        }
    }

    /// The sessions there are, oldest first.
    #[must_use]
    pub fn links(&self) -> Vec<Arc<Link>> {
        self.lock().links.values().cloned().collect()
    }

    pub(crate) fn link(&self, conn: ConnId) -> Option<Arc<Link>> {
        self.lock().links.get(&conn).cloned()
    }

    /// The live session with a peer, if there is one.
    pub(crate) fn session_with(&self, peer: &PeerLocator) -> Option<Arc<Link>> {
        let id = self.outside.canonical(peer).id();
        let state = self.lock();
        state.links.get(&state.peer.session_with(&id)?).cloned()
    }

    /// Calls back with a session with a peer, or why there is none: at once with the
    /// session there is, or when one has been dialled.
    pub(crate) fn session(&self, peer: &PeerLocator, then: impl FnOnce(Dialled) + Send + 'static) {
        let peer = self.outside.canonical(peer);
        if self.is_stopping() {
            return then(Err(DialError::Stopped));
        }
        if self.outside.location(&peer.transport).is_none() {
            return then(Err(DialError::NoNetlayer(peer.transport)));
        }
        let there = self.update(|state| match state.peer.dial(&peer) {
            Some(conn) => state.links.get(&conn).cloned().map(|link| (link, then)),
            None => {
                state.waiting.entry(peer.id()).or_default().push(Box::new(then));
                None
            }
        });
        if let Some((link, then)) = there {
            then(Ok(link));
        }
    }

    // Gifts.

    pub(crate) fn peer<T>(&self, f: impl FnOnce(&mut Peer<Ref, Resolver>) -> T) -> T {
        self.update(|state| f(&mut state.peer))
    }

    // Sturdyrefs.

    /// Exports what was exported when a durable vat was open last, and keeps there from
    /// now on what actors of durable vats are exported. The vat is for nothing else.
    ///
    /// # Errors
    ///
    /// If the vat has no store, or that can't be read.
    pub fn keep_exports(&self, vat: Vat) -> Result<(), StoreError> {
        self.registry.keep(vat, self.outside.wall_time())
    }

    /// Exports an object under a swiss number, until [`Hub::revoke`].
    pub fn register(&self, swiss: &SwissNum, object: Ref) {
        self.register_until(swiss, object, None);
    }

    /// Like [`Hub::register`], until a time of day, in whole seconds.
    pub fn register_until(&self, swiss: &SwissNum, object: Ref, expires: Option<SystemTime>) {
        let export = Export { object, expires };
        self.registry.register(SwissDigest::of(swiss.as_bytes()), export, false);
    }

    /// Like [`Hub::register`], for as long as this process runs.
    pub fn register_ephemeral(&self, swiss: &SwissNum, object: Ref) {
        let export = Export { object, expires: None };
        self.registry.register(SwissDigest::of(swiss.as_bytes()), export, true);
    }

    /// Takes a swiss number back. Whether there was something to revoke.
    pub fn revoke(&self, swiss: &SwissNum) -> bool {
        self.revoke_digest(&SwissDigest::of(swiss.as_bytes()))
    }

    /// Takes the swiss number of that digest back.
    pub fn revoke_digest(&self, digest: &SwissDigest) -> bool {
        self.registry.revoke(digest)
    }

    /// The object that we export under a swiss number.
    #[must_use]
    pub fn lookup(&self, swiss: &[u8]) -> Option<Ref> {
        self.registry.lookup(swiss, self.outside.wall_time())
    }

    /// A promise for the object that a sturdyref names. Messages may be sent to it at
    /// once; they leave when there is a session with its peer.
    pub fn enliven(&self, sturdyref: &Sturdyref) -> Promise {
        if self.is_us(&sturdyref.peer) {
            return Promise::settled(bootstrap::fetch(self, sturdyref.swiss.as_bytes()));
        }
        if let Some(link) = self.session_with(&sturdyref.peer) {
            let promise = link.bootstrap().send(fetch(sturdyref.swiss.as_bytes()));
            self.remember(&promise, sturdyref);
            return promise;
        }
        let (promise, resolver) = vat_runtime::promise();
        self.remember(&promise, sturdyref);
        let args = fetch(sturdyref.swiss.as_bytes());
        self.session(&sturdyref.peer, move |dialled| match dialled {
            Ok(link) => link.bootstrap().deliver(args, Some(resolver)),
            Err(error) => resolver.break_with(error.to_string()),
        });
        promise
    }

    // The end.

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Ends every session, telling each peer why, and exports nothing any more. Dials
    /// no more and serves no new connection.
    pub fn stop(&self, reason: &str) {
        self.stopping.store(true, Ordering::SeqCst);
        for link in self.links() {
            link.close(reason);
        }
        self.registry.clear();
        let waiting = std::mem::take(&mut self.lock().waiting);
        for waiter in waiting.into_values().flatten() {
            waiter(Err(DialError::Stopped));
        }
        self.lines.stop();
    }

    // For tests and simulations.

    /// Whether nothing is left of any session: neither connection nor dial nor gift.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let state = self.lock();
        state.peer.is_empty() && state.links.is_empty() && state.waiting.is_empty()
    }

    /// The gifts that the peer of a session has left, and those that it may have by way of
    /// us, by session.
    #[must_use]
    pub fn gifts(&self) -> Vec<(ConnId, Ref)> {
        self.lock().peer.gifts().collect()
    }

    /// Checks what must always hold, in every session.
    ///
    /// # Errors
    ///
    /// Says which invariant is broken.
    pub fn check(&self) -> Result<(), String> {
        self.lock().peer.check()?;
        self.links().iter().try_for_each(|link| link.check())
    }
}

/// What is said when the hub stops.
pub(crate) const STOPPED: &str = "the node is shut down";

/// The arguments that ask a bootstrap object for what has a swiss number.
pub(crate) fn fetch(swiss: &[u8]) -> Vec<Passable<Ref>> {
    vec![Passable::symbol("fetch"), Passable::Bytes(bytes::Bytes::copy_from_slice(swiss))]
}
