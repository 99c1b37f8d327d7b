//! A node's event loop: netlayers, connections, timers and vats on tokio. Owns every
//! task of the node.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::Duration;

use captp::locator::PeerLocator;
use netlayers::{AcceptError, Authentication, Channel, ConnectError, Netlayer, UnreachableCause};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use vat_runtime::persist::{Environment, Store, StoreError};
use vat_runtime::{LongTurn, Vat, Watchdog};

use crate::clock::{self, TokioClock};
use crate::connection;
use crate::entropy;
use crate::hub::{Hub, HubSettings, Link, Outside};
use crate::origins;
use crate::scheduler::TokioScheduler;

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
        peer: captp::locator::PeerId,
        /// How the session ended.
        end: captp::SessionEnd,
    },
    /// The node is shut down.
    #[error("the node is shut down")]
    Stopped,
}

/// The vat of a node's store that holds what the node exports.
const EXPORTS: &str = "ocapn/exports";

/// A node at work, until its last handle is dropped.
pub(crate) struct Driver {
    pub(crate) hub: Arc<Hub>,
    world: Arc<World>,
    store: Option<Store>,
    watchdog: Option<Watchdog>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.stop("the node has ended").detach_all();
    }
}

/// The world around the node's hub.
struct World {
    netlayers: Vec<Arc<dyn Netlayer>>,
    /// Set once, as soon as there is a hub.
    hub: OnceLock<Weak<Hub>>,
    tasks: Mutex<JoinSet<()>>,
    vats: Mutex<Vec<Vat>>,
    stopping: watch::Sender<bool>,
    deadline: watch::Sender<Option<Duration>>,
    started: Instant,
    clock: Arc<TokioClock>,
    runtime: tokio::runtime::Handle,
    me: Weak<Self>,
}

impl Driver {
    pub(crate) fn start(
        netlayers: Vec<Arc<dyn Netlayer>>,
        mut settings: HubSettings,
        sessions_per_netlayer: usize,
        store: Option<&Store>,
        long_turn: impl Fn(&LongTurn) + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let world = Arc::new_cyclic(|me| World {
            netlayers,
            hub: OnceLock::new(),
            tasks: Mutex::default(),
            vats: Mutex::default(),
            stopping: watch::Sender::new(false),
            deadline: watch::Sender::new(None),
            started: Instant::now(),
            clock: TokioClock::new(),
            runtime: tokio::runtime::Handle::current(),
            me: me.clone(),
        });
        settings.barrier = store.map(Store::barrier).or(settings.barrier);
        let hub = Hub::new(Arc::clone(&world), settings);
        let _first = world.hub.set(Arc::downgrade(&hub));
        let watchdog = clock::real_time().map(|clock| Watchdog::new(clock, long_turn));
        let driver = Self { hub, world, store: store.cloned(), watchdog };
        // Before anybody can ask for them.
        if let Some(store) = store {
            store.connect(origins::Peers::of(&driver.hub), Some(driver.clock().clone()));
            let limits = vat_runtime::Limits::default();
            driver.hub.keep_exports(driver.open_vat(EXPORTS, limits, &Environment::new())?)?;
        }
        let Self { hub, world, .. } = &driver;
        world.spawn_until_stopped(keep_time(Arc::downgrade(world), Arc::downgrade(hub)));
        world.spawn_until_stopped(world.clock.run());
        for netlayer in &world.netlayers {
            let permits = Arc::new(Semaphore::new(sessions_per_netlayer));
            let accepting = accept_all(Arc::downgrade(world), Arc::clone(netlayer), permits);
            world.spawn_until_stopped(accepting);
        }
        Ok(driver)
    }

    pub(crate) const fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// Opens a vat of the node's store, and keeps it for as long as the node lives.
    pub(crate) fn open_vat(
        &self,
        name: &str,
        limits: vat_runtime::Limits,
        environment: &Environment,
    ) -> Result<Vat, StoreError> {
        let store = self.store.as_ref().ok_or(StoreError::NotDurable)?;
        let scheduler = TokioScheduler::new(self.world.runtime.clone());
        let vat = Vat::open(name, scheduler, limits, store, environment)?;
        self.keep(&vat);
        Ok(vat)
    }

    pub(crate) fn netlayers(&self) -> &[Arc<dyn Netlayer>] {
        &self.world.netlayers
    }

    pub(crate) fn runtime(&self) -> &tokio::runtime::Handle {
        &self.world.runtime
    }

    pub(crate) fn clock(&self) -> &Arc<TokioClock> {
        &self.world.clock
    }

    /// Keeps a vat for as long as the node lives, and watches it.
    pub(crate) fn keep(&self, vat: &Vat) {
        if let Some(watchdog) = &self.watchdog {
            watchdog.watch(vat);
        }
        let mut vats = lock(&self.world.vats);
        vats.retain(|vat| !vat.is_stopped());
        vats.push(vat.clone());
    }

    /// Stops accepting and dialling, and ends every session. Gives the tasks that
    /// are still saying goodbye.
    pub(crate) fn stop(&self, reason: &str) -> JoinSet<()> {
        let world = &self.world;
        world.stopping.send_replace(true);
        for netlayer in world.netlayers.iter().map(Arc::clone) {
            world.spawn(async move { netlayer.shutdown().await });
        }
        self.hub.stop(reason);
        let vats = std::mem::take(&mut *lock(&world.vats));
        for vat in vats {
            vat.stop();
        }
        std::mem::take(&mut *lock(&world.tasks))
    }
}

impl World {
    fn hub(&self) -> Option<Arc<Hub>> {
        self.hub.get()?.upgrade()
    }

    fn netlayer(&self, transport: &str) -> Option<&Arc<dyn Netlayer>> {
        self.netlayers.iter().find(|netlayer| netlayer.transport() == transport)
    }

    /// Runs a task for as long as the node does not forget it.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // A runtime that is shut down drops what it is given right there, and dropping a
        // session may lead back here: not before the lock is given back.
        let place = Arc::new(Mutex::new(Some(Box::pin(task))));
        let there = Arc::clone(&place);
        let started = async move {
            let task = lock(&there).take();
            if let Some(task) = task {
                task.await;
            }
        };
        {
            let mut tasks = lock(&self.tasks);
            while tasks.try_join_next().is_some() {}
            tasks.spawn_on(started, &self.runtime);
        }
        drop(place);
    }

    fn spawn_until_stopped(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut stopping = self.stopping.subscribe();
        self.spawn(async move {
            tokio::select! {
                () = task => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        });
    }
}

impl Outside for Arc<World> {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn entropy(&self) -> [u8; 32] {
        entropy::bytes()
    }

    fn location(&self, transport: &str) -> Option<PeerLocator> {
        self.netlayer(transport).map(|netlayer| netlayer.location())
    }

    fn canonical(&self, peer: &PeerLocator) -> PeerLocator {
        let mut peer = peer.clone();
        if let Some(netlayer) = self.netlayer(&peer.transport) {
            peer.designator = netlayer.canonical_designator(&peer.designator).into_owned();
        }
        peer
    }

    fn trusts_claims(&self, transport: &str) -> bool {
        self.netlayer(transport).is_some_and(|netlayer| {
            netlayer.guarantees().authentication == Authentication::FaceValue
        })
    }

    fn knows_who_dials(&self, transport: &str) -> bool {
        self.netlayer(transport)
            .is_none_or(|netlayer| netlayer.guarantees().authentication != Authentication::Dialled)
    }

    fn connect(&self, peer: PeerLocator) {
        let (hub, netlayer) = (self.hub(), self.netlayer(&peer.transport).cloned());
        // The hub asks only for transports that it was told of.
        if let (Some(hub), Some(netlayer)) = (hub, netlayer) {
            self.spawn_until_stopped(dial(Weak::clone(&self.me), hub, netlayer, peer));
        }
    }

    fn wake_at(&self, deadline: Option<Duration>) {
        self.deadline.send_replace(deadline);
    }
}

/// Connects, and leaves the connection to a task of its own.
fn dial(
    world: Weak<World>,
    hub: Arc<Hub>,
    netlayer: Arc<dyn Netlayer>,
    peer: PeerLocator,
) -> impl Future<Output = ()> + Send + 'static {
    // Made here, since a task may be dropped before it has run at all.
    let unanswered = Unanswered(Some((Arc::clone(&hub), peer.clone())));
    async move {
        let connected = netlayer.connect(&peer).await;
        unanswered.answered();
        match connected {
            Ok(Channel { io, proven, .. }) => {
                let link = hub.connected(&peer, proven);
                if let (Some(link), Some(world)) = (link, world.upgrade()) {
                    world.spawn(connection::run(link, io));
                }
            }
            Err(error) => hub.connect_failed(&peer, error),
        }
    }
}

/// Answers the hub if the attempt to connect is dropped before it has come to an end, as
/// by a runtime that is shut down: whoever waits for it would wait for ever.
struct Unanswered(Option<(Arc<Hub>, PeerLocator)>);

impl Unanswered {
    fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some((hub, peer)) = self.0.take() {
            let cause = UnreachableCause::Io(std::io::Error::other("the event loop has ended"));
            let address = peer.id().to_string();
            hub.connect_failed(&peer, ConnectError::Unreachable { address, cause });
        }
    }
}

/// Wakes the hub when something is due.
async fn keep_time(world: Weak<World>, hub: Weak<Hub>) {
    let Some(mut deadline) = world.upgrade().map(|world| world.deadline.subscribe()) else {
        return;
    };
    let Some(started) = world.upgrade().map(|world| world.started) else { return };
    drop(world);
    loop {
        let due = *deadline.borrow_and_update();
        let sleep = async {
            match due {
                Some(due) => tokio::time::sleep_until(started + due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep => match hub.upgrade() {
                Some(hub) => hub.tick(),
                None => return,
            },
            changed = deadline.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

/// Accepts connections, as many at a time as there are permits.
async fn accept_all(world: Weak<World>, netlayer: Arc<dyn Netlayer>, permits: Arc<Semaphore>) {
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        match netlayer.accept().await {
            Ok(channel) => {
                let Some(world) = world.upgrade() else { return };
                let Some(hub) = world.hub() else { return };
                if let Some(link) = hub.accepted(netlayer.transport(), channel.proven.clone()) {
                    world.spawn(accepted(link, channel, permit));
                }
            }
            Err(AcceptError::Closed) => return,
            Err(error) => tracing::warn!(%error, "could not accept a connection"),
        }
    }
}

async fn accepted(link: Arc<Link>, channel: Channel, permit: OwnedSemaphorePermit) {
    link.comes_from(channel.peer_address);
    connection::run(link, channel.io).await;
    drop(permit);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}
