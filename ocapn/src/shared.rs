//! The life of a node's sessions: accepted, dialled, found again, ended.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use captp::locator::{PeerId, PeerLocator};
use captp::{Dialect, Gifts, Limits, SessionConfig, SessionEnd, SessionKey};
use netlayers::{AcceptError, Authentication, Channel, ConnectError, Netlayer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::connection;
use crate::link::{Link, Phase};
use crate::registry::Registry;
use vat_runtime::{Ref, Resolver, Vat};

/// What a node lets its peers have.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) handshake: Duration,
    pub(crate) sessions_per_netlayer: usize,
    pub(crate) dialect: Option<Dialect>,
    pub(crate) version: String,
}

/// What a node's handles, tasks and sessions share.
pub(crate) struct Shared {
    pub(crate) netlayers: Vec<Arc<dyn Netlayer>>,
    pub(crate) registry: Registry,
    gifts: Mutex<Gifts<Ref, Resolver>>,
    settings: Settings,
    sessions: Mutex<Sessions>,
    tasks: Mutex<JoinSet<()>>,
    vats: Mutex<Vec<Vat>>,
    stopping: watch::Sender<bool>,
    /// Changes whenever a session has taken its place in `by_peer`.
    placed: watch::Sender<()>,
    pub(crate) runtime: tokio::runtime::Handle,
    me: Weak<Self>,
}

#[derive(Default)]
struct Sessions {
    /// Every session, by its link's key.
    all: HashMap<u64, Arc<Link>>,
    /// The session with each peer that has proven who it is.
    by_peer: HashMap<PeerId, Arc<Link>>,
    /// Sessions that we dialled and whose peer has not answered yet.
    greeting: HashMap<PeerId, Arc<Link>>,
    /// Dials under way, each shared by all who want the peer.
    dials: HashMap<PeerId, watch::Receiver<Option<Dialled>>>,
}

type Dialled = Result<Arc<Link>, DialError>;

/// Why there is no session with a peer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// None of our netlayers speaks the peer's transport.
    #[error("no netlayer for {0} here")]
    NoNetlayer(String),
    /// The netlayer could not connect.
    #[error(transparent)]
    Connect(Arc<ConnectError>),
    /// Connected, but the handshake failed.
    #[error("session with {peer} failed: {end}")]
    Handshake {
        /// Whom we dialled.
        peer: PeerId,
        /// How the session ended.
        end: SessionEnd,
    },
    /// The node is shut down.
    #[error("the node is shut down")]
    Stopped,
}

impl Shared {
    pub(crate) fn start(netlayers: Vec<Arc<dyn Netlayer>>, settings: Settings) -> Arc<Self> {
        let shared = Arc::new_cyclic(|me| Self {
            netlayers,
            registry: Registry::default(),
            gifts: Mutex::new(Gifts::new(settings.limits.gifts)),
            settings,
            sessions: Mutex::default(),
            tasks: Mutex::default(),
            vats: Mutex::default(),
            stopping: watch::Sender::new(false),
            placed: watch::Sender::new(()),
            runtime: tokio::runtime::Handle::current(),
            me: me.clone(),
        });
        for netlayer in &shared.netlayers {
            let permits = Arc::new(Semaphore::new(shared.settings.sessions_per_netlayer));
            let accepting = accept_all(Weak::clone(&shared.me), Arc::clone(netlayer), permits);
            let mut stopping = shared.stopping.subscribe();
            shared.spawn(async move {
                tokio::select! {
                    () = accepting => {}
                    _ = stopping.wait_for(|stopping| *stopping) => {}
                }
            });
        }
        shared
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    pub(crate) fn gifts(&self) -> MutexGuard<'_, Gifts<Ref, Resolver>> {
        self.gifts.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Keeps a vat for as long as the node lives.
    pub(crate) fn keep(&self, vat: &Vat) {
        let mut vats = self.vats.lock().unwrap_or_else(|poison| poison.into_inner());
        vats.retain(|vat| !vat.is_stopped());
        vats.push(vat.clone());
    }

    /// Runs a task for as long as the node does not forget it.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(|poison| poison.into_inner());
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &self.runtime);
    }

    /// Whether a locator is one of ours.
    pub(crate) fn is_us(&self, peer: &PeerLocator) -> bool {
        let peer = self.canonical(peer);
        self.netlayers.iter().any(|netlayer| netlayer.location().same_peer(&peer))
    }

    pub(crate) fn netlayer(&self, transport: &str) -> Option<&Arc<dyn Netlayer>> {
        self.netlayers.iter().find(|netlayer| netlayer.transport() == transport)
    }

    // Sessions.

    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.lock().all.values().cloned().collect()
    }

    pub(crate) fn link(&self, key: u64) -> Option<Arc<Link>> {
        self.lock().all.get(&key).cloned()
    }

    /// A locator with the one spelling of its designator that its netlayer proves.
    fn canonical(&self, peer: &PeerLocator) -> PeerLocator {
        let mut peer = peer.clone();
        if let Some(netlayer) = self.netlayer(&peer.transport) {
            peer.designator = netlayer.canonical_designator(&peer.designator).into_owned();
        }
        peer
    }

    /// The live session with a peer, if there is one.
    pub(crate) fn session_with(&self, peer: &PeerLocator) -> Option<Arc<Link>> {
        self.lock().by_peer.get(&self.canonical(peer).id()).filter(|link| !link.is_ended()).cloned()
    }

    /// A session with a peer: the one there is, or a new one. All who ask while it is
    /// being dialled share one connection.
    pub(crate) async fn session(self: &Arc<Self>, peer: &PeerLocator) -> Dialled {
        let peer = &self.canonical(peer);
        let id = peer.id();
        let mut dialled = {
            let mut sessions = self.lock();
            if let Some(link) = sessions.by_peer.get(&id).filter(|link| !link.is_ended()) {
                return Ok(Arc::clone(link));
            }
            if let Some(dial) = sessions.dials.get(&id) {
                dial.clone()
            } else {
                let (tell, dial) = watch::channel(None);
                sessions.dials.insert(id.clone(), dial.clone());
                let (shared, peer) = (Arc::clone(self), peer.clone());
                self.spawn(async move {
                    let dialled = shared.dial(&peer).await;
                    shared.lock().dials.remove(&peer.id());
                    tell.send_replace(Some(dialled));
                });
                dial
            }
        };
        let outcome = dialled.wait_for(Option::is_some).await;
        // The dialling task is gone without a word only when the node is.
        outcome.ok().and_then(|outcome| outcome.clone()).unwrap_or(Err(DialError::Stopped))
    }

    async fn dial(&self, peer: &PeerLocator) -> Dialled {
        if *self.stopping.borrow() {
            return Err(DialError::Stopped);
        }
        let netlayer = self
            .netlayer(&peer.transport)
            .ok_or_else(|| DialError::NoNetlayer(peer.transport.clone()))?;
        let channel = netlayer.connect(peer).await;
        let channel = channel.map_err(|error| DialError::Connect(Arc::new(error)))?;
        let link = self.open(netlayer, &channel, Some(peer.clone()));
        self.lock().greeting.insert(peer.id(), Arc::clone(&link));
        let (mut phase, handshake) = (link.phase(), self.settings.handshake);
        self.spawn(connection::run(Arc::clone(&link), channel, handshake));
        let _greeted = phase.wait_for(|phase| !matches!(phase, Phase::Greeting)).await.is_ok();
        let end = link.end();
        let greeting = self.lock().greeting.remove(&peer.id());
        drop(greeting);
        let Some(end) = end else {
            // Another session may have taken this one's place already.
            return Ok(self.session_with(peer).unwrap_or(link));
        };
        if gave_way(&end)
            && let Some(other) = self.session_opened_by(peer).await
        {
            return Ok(other);
        }
        Err(DialError::Handshake { peer: peer.id(), end })
    }

    /// Waits for the session to which ours gave way: the peer may have found out about
    /// the two before we have.
    async fn session_opened_by(&self, peer: &PeerLocator) -> Option<Arc<Link>> {
        let mut placed = self.placed.subscribe();
        let opened = async {
            loop {
                if let Some(link) = self.session_with(peer) {
                    return Some(link);
                }
                placed.changed().await.ok()?;
            }
        };
        tokio::time::timeout(self.settings.handshake, opened).await.ok().flatten()
    }

    /// Makes the session for a channel.
    fn open(
        &self,
        netlayer: &Arc<dyn Netlayer>,
        channel: &Channel,
        dialled: Option<PeerLocator>,
    ) -> Arc<Link> {
        let settings = &self.settings;
        let guarantees = netlayer.guarantees();
        let mut config = SessionConfig::new(
            netlayer.location(),
            SessionKey::from_entropy(crate::entropy::bytes()),
        );
        config.dialled = dialled;
        config.proven.clone_from(&channel.proven);
        config.trust_claims = guarantees.authentication == Authentication::FaceValue;
        // Only on the netlayer for testing may peers of every dialect turn up.
        config.dialect = settings.dialect.unwrap_or(if config.trust_claims {
            Dialect::UNHEARD
        } else {
            Dialect::TODAY
        });
        config.version.clone_from(&settings.version);
        config.limits = settings.limits;
        let link = Link::new(config, Weak::clone(&self.me));
        self.lock().all.insert(link.key(), Arc::clone(&link));
        // Whoever stops the node sees the session in the table, or we see this.
        if *self.stopping.borrow() {
            link.close("the node is shut down");
        }
        link
    }

    /// The handshake is done.
    pub(crate) fn session_started(&self, link: &Arc<Link>) {
        let Some(peer) = link.peer() else { return };
        tracing::debug!(link = link.key(), peer = %peer.location.id(), peer.verified, "session");
        self.gifts().session_started(peer.session_id, peer.peer_key);
        // A claim that nothing proves neither takes nor blocks the place of the peer
        // that it is about.
        if peer.verified {
            self.take_place(link, peer);
        }
    }

    /// Makes a verified session the one with its peer, unless there is another one
    /// that has to be.
    ///
    /// When both sides have dialled, both find out and both come to the same result
    /// (section "Crossed Hellos" of the CapTP draft): of the two session keys of the
    /// dialling sides, the connection of the one with the lower id gives way. It is
    /// retired rather than cut: what is under way on it is finished.
    fn take_place(&self, link: &Arc<Link>, peer: &captp::Established) {
        let id = peer.location.id();
        let mut sessions = self.lock();
        let place = sessions.by_peer.get(&id).filter(|other| !other.is_ended());
        let other = place.or_else(|| sessions.greeting.get(&id));
        let other = other.filter(|other| other.key() != link.key()).cloned();
        let gives_way = other.as_ref().filter(|other| {
            link.is_dialled() != other.is_dialled() && {
                let (outbound, inbound) =
                    if link.is_dialled() { (link, *other) } else { (*other, link) };
                let theirs = inbound.peer().map(|peer| peer.peer_key.id());
                let outbound_loses = theirs.is_some_and(|theirs| outbound.our_id() < theirs);
                outbound_loses == link.is_dialled()
            }
        });
        let before = if gives_way.is_some() {
            Some(Arc::clone(link))
        } else {
            sessions.by_peer.insert(id, Arc::clone(link));
            // A session that is not crossed with this one has been superseded by it:
            // the peer would not open another if that were any good.
            other
        };
        drop(sessions);
        self.placed.send_replace(());
        if let Some(before) = before {
            self.spawn(retire(before));
        }
    }

    pub(crate) fn session_ended(&self, link: &Arc<Link>, end: &SessionEnd) {
        tracing::debug!(link = link.key(), %end, "session ended");
        if let Some(peer) = link.peer() {
            let (gifts, waiting) = self.gifts().session_ended(&peer.session_id);
            drop(gifts);
            for resolver in waiting {
                resolver.break_with("the session with the gifter has ended");
            }
        }
        let mut sessions = self.lock();
        let one = sessions.all.remove(&link.key());
        let two = link.peer().and_then(|peer| {
            let id = peer.location.id();
            let ours = sessions.by_peer.get(&id).is_some_and(|other| other.key() == link.key());
            if ours { sessions.by_peer.remove(&id) } else { None }
        });
        drop(sessions);
        drop((one, two));
    }

    /// Stops accepting and dialling, and ends every session. Gives the tasks that
    /// are still saying goodbye.
    pub(crate) fn stop(&self, reason: &str) -> JoinSet<()> {
        self.stopping.send_replace(true);
        for netlayer in self.netlayers.iter().map(Arc::clone) {
            self.spawn(async move { netlayer.shutdown().await });
        }
        for link in self.links() {
            link.close(reason);
        }
        self.registry.clear();
        let vats =
            std::mem::take(&mut *self.vats.lock().unwrap_or_else(|poison| poison.into_inner()));
        for vat in vats {
            vat.stop();
        }
        let mut tasks = self.tasks.lock().unwrap_or_else(|poison| poison.into_inner());
        std::mem::take(&mut *tasks)
    }
}

/// How long a session whose place has been taken must have been unused before it is
/// ended: the peer may have sent something on it before it knew.
const RETIRE_AFTER: Duration = Duration::from_secs(1);

/// What is said when a session that gave way is ended.
const GAVE_WAY: &str = "crossed hellos: another session has taken the place of this one";

/// Whether a session ended because it gave way to another with the same peer. Goblins
/// says "Crossed hellos mitigation".
fn gave_way(end: &SessionEnd) -> bool {
    matches!(end, SessionEnd::PeerAborted(why) | SessionEnd::Closed(why)
        if why.to_ascii_lowercase().contains("crossed hellos"))
}

/// Ends a session whose place has been taken, when nothing is under way on it.
async fn retire(link: Arc<Link>) {
    let mut phase = link.phase();
    let ended = phase.wait_for(|phase| matches!(phase, Phase::Ended(_)));
    let closed = async {
        loop {
            tokio::time::sleep(RETIRE_AFTER).await;
            if link.is_unused() {
                link.close(GAVE_WAY);
            }
        }
    };
    tokio::select! {
        _ = ended => {}
        () = closed => {}
    }
}

/// Accepts connections, as many at a time as there are permits.
async fn accept_all(shared: Weak<Shared>, netlayer: Arc<dyn Netlayer>, permits: Arc<Semaphore>) {
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        match netlayer.accept().await {
            Ok(channel) => {
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                let link = shared.open(&netlayer, &channel, None);
                let handshake = shared.settings.handshake;
                shared.spawn(accepted(link, channel, handshake, permit));
            }
            Err(AcceptError::Closed) => return,
            Err(error) => tracing::warn!(%error, "could not accept a connection"),
        }
    }
}

async fn accepted(
    link: Arc<Link>,
    channel: Channel,
    handshake: Duration,
    permit: OwnedSemaphorePermit,
) {
    connection::run(link, channel, handshake).await;
    drop(permit);
}
