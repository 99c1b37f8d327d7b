//! A node: netlayers, sessions, vats and sturdyrefs under one roof.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use captp::locator::{PeerLocator, Sturdyref, SwissNum};
use captp::{
    ConnId, Dialect, Limits, Passable, PeerSettings, Proof, SessionEnd, SwissDigest, TableCounts,
    Traffic,
};
use netlayers::Netlayer;
use tokio::sync::oneshot;
use vat_runtime::persist::{Environment, Store, StoreError};
use vat_runtime::{Clock, Limits as VatLimits, LongTurn, Promise, Ref, Vat};

use crate::bootstrap;
use crate::driver::{DialError, Driver};
use crate::entropy;
use crate::glue;
use crate::hub::{Hub, HubSettings, Link, Phase, STOPPED, TurnedAway, fetch};
use crate::scheduler::TokioScheduler;

/// A node of the object capability network.
///
/// Runs on the tokio runtime it was started on. Clones are handles to one node;
/// [`Node::shutdown`] ends it, and so does dropping the last handle.
#[derive(Clone)]
pub struct Node {
    driver: Arc<Driver>,
}

/// Sets a node up.
pub struct NodeBuilder {
    netlayers: Vec<Arc<dyn Netlayer>>,
    settings: HubSettings,
    sessions_per_netlayer: usize,
    long_turn: Box<dyn Fn(&LongTurn) + Send + Sync>,
}

impl Default for NodeBuilder {
    fn default() -> Self {
        let settings = HubSettings::default();
        let long_turn = Box::new(|_: &LongTurn| {});
        Self { netlayers: Vec::new(), settings, sessions_per_netlayer: 1024, long_turn }
    }
}

impl NodeBuilder {
    /// Adds a netlayer. One a transport; the first is what [`Node::mint`] names.
    #[must_use]
    pub fn netlayer(self, netlayer: impl Netlayer) -> Self {
        self.netlayer_boxed(Box::new(netlayer))
    }

    /// The same for a netlayer whose kind is known only at run time.
    #[must_use]
    pub fn netlayer_boxed(mut self, netlayer: Box<dyn Netlayer>) -> Self {
        self.netlayers.push(netlayer.into());
        self
    }

    /// What each session may cost.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// How sessions, dials and gifts are kept: timeouts, and whether peers must be
    /// proven to be who they say.
    ///
    /// ```
    /// let mut settings = ocapn::PeerSettings::default();
    /// settings.keep_gifts = std::time::Duration::from_secs(600);
    /// let node = ocapn::Node::builder().peers(settings);
    /// ```
    #[must_use]
    pub const fn peers(mut self, settings: PeerSettings) -> Self {
        self.settings.peers = settings;
        self
    }

    /// How long a peer may take to send its `op:start-session`. Default 10 s.
    #[must_use]
    pub const fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.settings.peers.handshake = timeout;
        self
    }

    /// Ends sessions with peers that their netlayer has not proven to be who they say,
    /// instead of serving them. Default `false`: on netlayers that prove only the dialled
    /// side, `unix` and `websocket`, nobody could dial us at all.
    #[must_use]
    pub const fn refuse_unverified(mut self, refuse: bool) -> Self {
        self.settings.peers.refuse_unverified = refuse;
        self
    }

    /// Whether promises of third parties are given as gifts before they settle: see
    /// [`HubSettings::give_promises`]. Default `false`.
    #[must_use]
    pub const fn give_promises(mut self, give: bool) -> Self {
        self.settings.give_promises = give;
        self
    }

    /// How many accepted sessions each netlayer may have at a time. Default 1,024.
    /// Further connections wait to be accepted.
    #[must_use]
    pub const fn sessions_per_netlayer(mut self, sessions: usize) -> Self {
        self.sessions_per_netlayer = sessions;
        self
    }

    /// The dialect to speak whatever the netlayer. By default it is that of the
    /// netlayer's known peers until the peer has been heard.
    #[must_use]
    pub const fn dialect(mut self, dialect: Dialect) -> Self {
        self.settings.dialect = Some(dialect);
        self
    }

    /// The protocol version to say and require. Default
    /// [`SessionConfig::VERSION`](captp::SessionConfig::VERSION).
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.settings.version = version.into();
        self
    }

    /// Is told of turns of the node's vats that take longer than
    /// [`VatLimits::turn_time`], while they run: of actors that loop or block. They are
    /// logged as errors in any case. The hook is called on a thread of its own.
    #[must_use]
    pub fn on_long_turn(mut self, hook: impl Fn(&LongTurn) + Send + Sync + 'static) -> Self {
        self.long_turn = Box::new(hook);
        self
    }

    /// Starts the node: it accepts connections from here on.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(self) -> Node {
        let started = self.start_in(None);
        // Only a store can be in the way.
        started.expect("a node without a store starts")
    }

    /// Starts a node with a store: [`Node::open_vat`] opens vats whose actors outlive the
    /// process, and what of them is exported stays so, until it is revoked or expires.
    ///
    /// What the store holds of peers' objects is enlivened by the node when it is first
    /// used. A store belongs to one node.
    ///
    /// # Errors
    ///
    /// If the store can't be read.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start_durable(self, store: &Store) -> Result<Node, StoreError> {
        self.start_in(Some(store))
    }

    fn start_in(self, store: Option<&Store>) -> Result<Node, StoreError> {
        let Self { netlayers, settings, sessions_per_netlayer, long_turn } = self;
        let driver = Driver::start(netlayers, settings, sessions_per_netlayer, store, long_turn)?;
        Ok(Node { driver: Arc::new(driver) })
    }
}

/// Why a sturdyref could not be enlivened.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnlivenError {
    /// No session with the peer could be had.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The peer does not know the object, or says it does not.
    #[error("the peer refuses: {0}")]
    NoSuchObject(String),
    /// The session ended before the peer answered.
    #[error("session ended: {0}")]
    SessionEnded(SessionEnd),
}

/// A session, as it stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Which session of this node it is: no other has or had the same number.
    pub number: u64,
    /// Where the peer says it is.
    pub peer: PeerLocator,
    /// How we know that it is there. Anybody may be the peer of a session for which
    /// this is [`Proof::None`], or on `tcp-testing-only`.
    pub proof: Proof,
    /// How many references the peer holds that lead to other peers' objects by way of
    /// us, because it can't reach them itself or they are promises that have not settled.
    pub standing_in: usize,
    /// Messages and bytes each way.
    pub traffic: Traffic,
    /// Bytes for the peer that wait for the connection to take them.
    pub queued_bytes: usize,
    /// How full the session's tables are.
    pub tables: TableCounts,
    /// Whether the peer is not read for now, because vats that it speaks to are behind.
    pub paced: bool,
    /// About how many bytes of its messages wait for vats to take them.
    pub waiting_bytes: usize,
    /// About how many bytes of its messages wait for promises to settle.
    pub parked_bytes: usize,
}

impl Node {
    /// Begins to set a node up.
    #[must_use]
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    /// A new vat, driven by the node's tokio runtime. It lives until the node ends or
    /// it is stopped, whether or not the handle is kept.
    pub fn vat(&self, name: &str) -> Vat {
        self.vat_with_limits(name, VatLimits::default())
    }

    /// Like [`Node::vat`], with limits of its own.
    pub fn vat_with_limits(&self, name: &str, limits: VatLimits) -> Vat {
        let scheduler = TokioScheduler::new(self.driver.runtime().clone());
        let vat = Vat::with_limits(name, scheduler, limits);
        self.driver.keep(&vat);
        vat
    }

    /// Opens the vat of that name in the node's store, or makes it: see
    /// [`Vat::open`]. It lives until the node ends or it is stopped, whether or not the
    /// handle is kept.
    ///
    /// # Errors
    ///
    /// If the node was not started with a store ([`NodeBuilder::start_durable`]), or the
    /// vat is open already.
    pub fn open_vat(&self, name: &str, environment: &Environment) -> Result<Vat, StoreError> {
        self.open_vat_with_limits(name, environment, VatLimits::default())
    }

    /// Like [`Node::open_vat`], with limits of its own.
    ///
    /// # Errors
    ///
    /// As [`Node::open_vat`].
    pub fn open_vat_with_limits(
        &self,
        name: &str,
        environment: &Environment,
        limits: VatLimits,
    ) -> Result<Vat, StoreError> {
        self.driver.open_vat(name, limits, environment)
    }

    /// The store that the node was started with.
    #[must_use]
    pub fn store(&self) -> Option<&Store> {
        self.driver.store()
    }

    /// Waits until all that has happened so far survives a crash. At once if the node has
    /// no store.
    ///
    /// Peers need not be made to wait: nothing that this node says to them leaves before
    /// what it follows from is durable.
    ///
    /// # Errors
    ///
    /// If the store has failed or is closed.
    pub async fn durable(&self) -> Result<(), StoreError> {
        match self.store() {
            Some(store) => store.until_durable(store.pending()).await,
            None => Ok(()),
        }
    }

    /// Where this node can be reached, a locator for each netlayer.
    #[must_use]
    pub fn locations(&self) -> Vec<PeerLocator> {
        self.driver.netlayers().iter().map(|netlayer| netlayer.location()).collect()
    }

    /// Makes a sturdyref for an object: from now on whoever holds it can enliven it.
    /// It names the node by its first netlayer.
    ///
    /// The node holds the object until [`Node::revoke`]; across restarts, if the object
    /// is an actor of a vat of its store ([`Node::open_vat`]).
    ///
    /// # Errors
    ///
    /// If the node has no netlayer to be reached by.
    pub fn mint(&self, object: &Ref) -> Result<Sturdyref, MintError> {
        let location = self.first_location()?;
        Ok(self.mint_at(object, location, SwissNum::from_entropy(entropy::bytes())))
    }

    /// Like [`Node::mint`], until a time of day, in whole seconds. Live references that
    /// were had before go on working.
    ///
    /// # Errors
    ///
    /// As [`Node::mint`].
    pub fn mint_until(&self, object: &Ref, expires: SystemTime) -> Result<Sturdyref, MintError> {
        let location = self.first_location()?;
        let swiss = SwissNum::from_entropy(entropy::bytes());
        self.hub().register_until(&swiss, object.clone(), Some(expires));
        Ok(Sturdyref::new(location, swiss))
    }

    /// Like [`Node::mint`], by the netlayer of the transport named.
    ///
    /// # Errors
    ///
    /// If the node has no such netlayer.
    pub fn mint_for(&self, object: &Ref, transport: &str) -> Result<Sturdyref, MintError> {
        let location = self.hub().outside().location(transport);
        let location = location.ok_or_else(|| MintError::NoNetlayer(transport.to_owned()))?;
        Ok(self.mint_at(object, location, SwissNum::from_entropy(entropy::bytes())))
    }

    /// Like [`Node::mint_for`], for as long as this process runs, whatever the object: the
    /// node's store is not told.
    ///
    /// # Errors
    ///
    /// As [`Node::mint_for`].
    pub fn mint_ephemeral(&self, object: &Ref, transport: &str) -> Result<Sturdyref, MintError> {
        let location = self.hub().outside().location(transport);
        let location = location.ok_or_else(|| MintError::NoNetlayer(transport.to_owned()))?;
        let swiss = SwissNum::from_entropy(entropy::bytes());
        self.hub().register_ephemeral(&swiss, object.clone());
        Ok(Sturdyref::new(location, swiss))
    }

    /// Like [`Node::mint`], under a swiss number of the caller's: for well-known
    /// objects. Whoever can guess the number holds the object.
    ///
    /// # Errors
    ///
    /// If the node has no netlayer to be reached by.
    pub fn mint_with(&self, object: &Ref, swiss: SwissNum) -> Result<Sturdyref, MintError> {
        Ok(self.mint_at(object, self.first_location()?, swiss))
    }

    fn mint_at(&self, object: &Ref, location: PeerLocator, swiss: SwissNum) -> Sturdyref {
        self.hub().register(&swiss, object.clone());
        Sturdyref::new(location, swiss)
    }

    fn first_location(&self) -> Result<PeerLocator, MintError> {
        let first = self.driver.netlayers().first().ok_or(MintError::Unreachable)?;
        Ok(first.location())
    }

    /// Takes a sturdyref back: it can't be enlivened any more. Live references that
    /// were had by it go on working. Whether there was something to revoke.
    pub fn revoke(&self, swiss: &SwissNum) -> bool {
        self.hub().revoke(swiss)
    }

    /// Takes the sturdyref back whose swiss number has this digest: for those who keep no
    /// secrets. Whether there was something to revoke.
    pub fn revoke_digest(&self, digest: &SwissDigest) -> bool {
        self.hub().revoke_digest(digest)
    }

    /// A promise for the object that a sturdyref names. Messages may be sent to it at
    /// once; they leave when there is a session with its peer.
    pub fn enliven(&self, sturdyref: &Sturdyref) -> Promise {
        self.hub().enliven(sturdyref)
    }

    /// The object that a sturdyref names, once its peer has confirmed it; with what
    /// went wrong told apart, unlike [`Node::enliven`].
    ///
    /// # Errors
    ///
    /// If the peer can't be reached or proven, or does not know the object.
    pub async fn resolve(&self, sturdyref: &Sturdyref) -> Result<Ref, EnlivenError> {
        let swiss = sturdyref.swiss.as_bytes();
        if self.hub().is_us(&sturdyref.peer) {
            return self
                .hub()
                .lookup(swiss)
                .ok_or_else(|| EnlivenError::NoSuchObject(bootstrap::NO_SUCH_OBJECT.to_owned()));
        }
        let link = self.session(&sturdyref.peer).await?;
        match link.bootstrap().send(fetch(swiss)).await {
            Ok(Passable::Ref(object)) => Ok(object),
            Ok(other) => {
                Err(EnlivenError::NoSuchObject(format!("the peer gave a {}", other.kind())))
            }
            Err(fault) => match link.end() {
                Some(end) => Err(EnlivenError::SessionEnded(end)),
                None => Err(EnlivenError::NoSuchObject(fault.to_string())),
            },
        }
    }

    async fn session(&self, peer: &PeerLocator) -> Result<Arc<Link>, DialError> {
        let (tell, told) = oneshot::channel();
        self.hub().session(peer, |dialled| {
            // Whoever asked may have stopped waiting.
            let _heard = tell.send(dialled);
        });
        told.await.unwrap_or(Err(DialError::Stopped))
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.driver.hub
    }

    /// The node's clock: tokio's time, whose alarms ring until the node ends.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.driver.clock().clone()
    }

    /// Waits until the session that a remote reference lives on ends, and says how.
    /// Gives `None` at once for a reference that is not remote.
    pub async fn on_sever(&self, reference: &Ref) -> Option<SessionEnd> {
        let (key, _) = glue::remote(reference)?;
        let Some(link) = self.hub().link(ConnId(key)) else {
            return Some(SessionEnd::Disconnected);
        };
        let mut phase = link.phase();
        let ended = phase.wait_for(|phase| matches!(phase, Phase::Ended(_))).await;
        match ended.as_deref() {
            Ok(Phase::Ended(end)) => Some(end.clone()),
            _ => Some(SessionEnd::Disconnected),
        }
    }

    /// Has the hook told of those who want what they have no right to, by which attempts to
    /// guess can be recorded. It must not block. Only the first hook is told.
    pub fn on_turned_away(&self, hook: impl Fn(&TurnedAway) + Send + Sync + 'static) {
        let hook: Arc<dyn Fn(&TurnedAway) + Send + Sync> = Arc::new(hook);
        for netlayer in self.driver.netlayers() {
            let hook = Arc::clone(&hook);
            let strangers = move |who: &_| hook(&TurnedAway::Stranger(Clone::clone(who)));
            netlayer.on_stranger(Box::new(strangers));
        }
        self.hub().tell_of_turned_away(hook);
    }

    /// The sessions there are now.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionInfo> {
        let links = self.hub().links();
        links.iter().filter_map(|link| describe(link)).collect()
    }

    /// The session that a remote reference lives on, and so the peer that answers for
    /// it. `None` if the reference is not remote or its session has ended.
    ///
    /// Of a reference that was handed over this is its own peer. If that could not be
    /// reached, or has nothing to be reached by, it is the peer that gave the reference:
    /// that one passes on what is said, and could change it.
    #[must_use]
    pub fn session_of(&self, reference: &Ref) -> Option<SessionInfo> {
        let (key, _) = glue::remote(reference)?;
        let link = self.hub().link(ConnId(key)).filter(|link| !link.is_ended())?;
        describe(&link)
    }

    /// Ends every session, telling each peer, stops listening, and stops the node's
    /// vats. Waits until what was to be said has been sent, and what was to be kept is
    /// durable, or can't be.
    pub async fn shutdown(&self) {
        let mut tasks = self.driver.stop(STOPPED);
        while tasks.join_next().await.is_some() {}
        if let Err(error) = self.durable().await {
            tracing::error!(%error, "not all that happened has been stored");
        }
    }
}

/// Why a sturdyref could not be minted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// The node has no netlayer: nobody could enliven it.
    #[error("the node has no netlayer to be reached by")]
    Unreachable,
    /// The node has no netlayer of that transport.
    #[error("the node has no {0} netlayer")]
    NoNetlayer(String),
}

fn describe(link: &Link) -> Option<SessionInfo> {
    let peer = link.peer()?;
    Some(SessionInfo {
        number: link.conn().0,
        peer: peer.location.clone(),
        proof: peer.proof,
        standing_in: link.standing_in(),
        traffic: link.traffic(),
        queued_bytes: link.queued_bytes(),
        tables: link.table_counts(),
        paced: link.is_paced(),
        waiting_bytes: link.intake().queued_bytes(),
        parked_bytes: link.intake().parked_bytes(),
    })
}
