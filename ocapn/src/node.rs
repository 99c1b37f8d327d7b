//! A node: netlayers, sessions, vats and sturdyrefs under one roof.

use std::sync::{Arc, Weak};
use std::time::Duration;

use captp::locator::{PeerLocator, Sturdyref, SwissNum};
use captp::{
    Dialect, Limits, Passable, SessionConfig, SessionEnd, SwissDigest, TableCounts, Traffic,
};
use netlayers::Netlayer;
use vat_runtime::{Promise, Ref, Vat};

use crate::bootstrap;
use crate::entropy;
use crate::glue;
use crate::link::{Link, Phase};
use crate::scheduler::TokioScheduler;
use crate::shared::{DialError, Settings, Shared};

/// A node of the object capability network.
///
/// Runs on the tokio runtime it was started on. Clones are handles to one node;
/// [`Node::shutdown`] ends it, and so does dropping the last handle.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
    _running: Arc<Running>,
}

/// Ends the node's tasks with the last handle.
struct Running {
    shared: Weak<Shared>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.stop("the node has ended").detach_all();
        }
    }
}

/// Sets a node up.
pub struct NodeBuilder {
    netlayers: Vec<Arc<dyn Netlayer>>,
    settings: Settings,
}

impl Default for NodeBuilder {
    fn default() -> Self {
        Self {
            netlayers: Vec::new(),
            settings: Settings {
                limits: Limits::default(),
                handshake: Duration::from_secs(10),
                sessions_per_netlayer: 1024,
                dialect: None,
                version: SessionConfig::VERSION.to_owned(),
            },
        }
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

    /// How long a peer may take to send its `op:start-session`. Default 10 s.
    #[must_use]
    pub const fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.settings.handshake = timeout;
        self
    }

    /// How many accepted sessions each netlayer may have at a time. Default 1,024.
    /// Further connections wait to be accepted.
    #[must_use]
    pub const fn sessions_per_netlayer(mut self, sessions: usize) -> Self {
        self.settings.sessions_per_netlayer = sessions;
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
    /// [`SessionConfig::VERSION`].
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.settings.version = version.into();
        self
    }

    /// Starts the node: it accepts connections from here on.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(self) -> Node {
        let shared = Shared::start(self.netlayers, self.settings);
        let running = Arc::new(Running { shared: Arc::downgrade(&shared) });
        Node { shared, _running: running }
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
    /// Where the peer says it is.
    pub peer: PeerLocator,
    /// Whether it has proven that.
    pub verified: bool,
    /// Messages and bytes each way.
    pub traffic: Traffic,
    /// How full the session's tables are.
    pub tables: TableCounts,
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
        let vat = Vat::new(name, TokioScheduler::new(self.shared.runtime.clone()));
        self.shared.keep(&vat);
        vat
    }

    /// Where this node can be reached, a locator for each netlayer.
    #[must_use]
    pub fn locations(&self) -> Vec<PeerLocator> {
        self.shared.netlayers.iter().map(|netlayer| netlayer.location()).collect()
    }

    /// Makes a sturdyref for an object: from now on whoever holds it can enliven it.
    /// It names the node by its first netlayer.
    ///
    /// The node holds the object until [`Node::revoke`].
    ///
    /// # Errors
    ///
    /// If the node has no netlayer to be reached by.
    pub fn mint(&self, object: &Ref) -> Result<Sturdyref, MintError> {
        self.mint_at(object, self.first_location()?, SwissNum::from_entropy(entropy::bytes()))
    }

    /// Like [`Node::mint`], by the netlayer of the transport named.
    ///
    /// # Errors
    ///
    /// If the node has no such netlayer.
    pub fn mint_for(&self, object: &Ref, transport: &str) -> Result<Sturdyref, MintError> {
        let netlayer = self.shared.netlayer(transport);
        let netlayer = netlayer.ok_or_else(|| MintError::NoNetlayer(transport.to_owned()))?;
        self.mint_at(object, netlayer.location(), SwissNum::from_entropy(entropy::bytes()))
    }

    /// Like [`Node::mint`], under a swiss number of the caller's: for well-known
    /// objects. Whoever can guess the number holds the object.
    ///
    /// # Errors
    ///
    /// If the node has no netlayer to be reached by.
    pub fn mint_with(&self, object: &Ref, swiss: SwissNum) -> Result<Sturdyref, MintError> {
        self.mint_at(object, self.first_location()?, swiss)
    }

    fn mint_at(
        &self,
        object: &Ref,
        location: PeerLocator,
        swiss: SwissNum,
    ) -> Result<Sturdyref, MintError> {
        self.shared.registry.register(SwissDigest::of(swiss.as_bytes()), object.clone());
        Ok(Sturdyref::new(location, swiss))
    }

    fn first_location(&self) -> Result<PeerLocator, MintError> {
        let first = self.shared.netlayers.first().ok_or(MintError::Unreachable)?;
        Ok(first.location())
    }

    /// Takes a sturdyref back: it can't be enlivened any more. Live references that
    /// were had by it go on working. Whether there was something to revoke.
    pub fn revoke(&self, swiss: &SwissNum) -> bool {
        self.shared.registry.revoke(&SwissDigest::of(swiss.as_bytes()))
    }

    /// A promise for the object that a sturdyref names. Messages may be sent to it at
    /// once; they leave when there is a session with its peer.
    pub fn enliven(&self, sturdyref: &Sturdyref) -> Promise {
        if self.shared.is_us(&sturdyref.peer) {
            let (promise, resolver) = vat_runtime::promise();
            resolver.resolve(bootstrap::fetch(&self.shared, sturdyref.swiss.as_bytes()));
            return promise;
        }
        if let Some(link) = self.shared.session_with(&sturdyref.peer) {
            return link.bootstrap().send(fetch(sturdyref));
        }
        let (promise, resolver) = vat_runtime::promise();
        let (shared, sturdyref) = (Arc::clone(&self.shared), sturdyref.clone());
        self.shared.spawn(async move {
            match shared.session(&sturdyref.peer).await {
                Ok(link) => link.bootstrap().deliver(fetch(&sturdyref), Some(resolver)),
                Err(error) => resolver.break_with(error.to_string()),
            }
        });
        promise
    }

    /// The object that a sturdyref names, once its peer has confirmed it; with what
    /// went wrong told apart, unlike [`Node::enliven`].
    ///
    /// # Errors
    ///
    /// If the peer can't be reached or proven, or does not know the object.
    pub async fn resolve(&self, sturdyref: &Sturdyref) -> Result<Ref, EnlivenError> {
        if self.shared.is_us(&sturdyref.peer) {
            let found = self.shared.registry.lookup(sturdyref.swiss.as_bytes());
            return found
                .ok_or_else(|| EnlivenError::NoSuchObject(bootstrap::NO_SUCH_OBJECT.to_owned()));
        }
        let link = self.shared.session(&sturdyref.peer).await?;
        match link.bootstrap().send(fetch(sturdyref)).await {
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

    /// Waits until the session that a remote reference lives on ends, and says how.
    /// Gives `None` at once for a reference that is not remote.
    pub async fn on_sever(&self, reference: &Ref) -> Option<SessionEnd> {
        let (key, _) = glue::remote(reference)?;
        let Some(link) = self.shared.link(key) else {
            return Some(SessionEnd::Disconnected);
        };
        let mut phase = link.phase();
        let ended = phase.wait_for(|phase| matches!(phase, Phase::Ended(_))).await;
        match ended.as_deref() {
            Ok(Phase::Ended(end)) => Some(end.clone()),
            _ => Some(SessionEnd::Disconnected),
        }
    }

    /// The sessions there are now.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionInfo> {
        let links = self.shared.links();
        links.iter().filter_map(|link| describe(link)).collect()
    }

    /// The session that a remote reference lives on, and so the peer that answers for
    /// it. `None` if the reference is not remote or its session has ended.
    #[must_use]
    pub fn session_of(&self, reference: &Ref) -> Option<SessionInfo> {
        let (key, _) = glue::remote(reference)?;
        let link = self.shared.link(key).filter(|link| !link.is_ended())?;
        describe(&link)
    }

    /// Ends every session, telling each peer, stops listening, and stops the node's
    /// vats. Waits until what was to be said has been sent.
    pub async fn shutdown(&self) {
        let mut tasks = self.shared.stop("the node is shut down");
        while tasks.join_next().await.is_some() {}
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

fn fetch(sturdyref: &Sturdyref) -> Vec<Passable<Ref>> {
    let swiss = bytes::Bytes::copy_from_slice(sturdyref.swiss.as_bytes());
    vec![Passable::symbol("fetch"), Passable::Bytes(swiss)]
}

fn describe(link: &Link) -> Option<SessionInfo> {
    let peer = link.peer()?;
    Some(SessionInfo {
        peer: peer.location.clone(),
        verified: peer.verified,
        traffic: link.traffic(),
        tables: link.table_counts(),
    })
}
