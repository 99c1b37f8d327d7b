//! A node in the foreground: from the state directory to the last goodbye.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use ocapn::netlayers::{Identities, ListenError, Unix, UnixOptions};
use ocapn::persist::{Redb, Store};
use ocapn::{Node, Ref, Vat};
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::Admin;
use crate::cli::ServeOptions;
use crate::exit::BadUsage;
use crate::fleet::{Fleet, MANUAL, Settings};
use crate::notify::Notifier;
use crate::state::{LockedState, StateDir};
use crate::{capfile, kinds, output};

/// How long peers have to take note that the node ends.
const GOODBYE: Duration = Duration::from_secs(5);

/// A node that runs in its state directory.
pub(crate) struct Serving {
    pub(crate) node: Node,
    /// Where the objects live, also those of former processes.
    pub(crate) kept: Vat,
    /// What the actors of a fleet do things with.
    pub(crate) fleet: Fleet,
    state: LockedState,
    caps: Vec<PathBuf>,
    systemd: Notifier,
}

impl Serving {
    /// Takes the state directory and listens everywhere, on the state directory's own
    /// socket last.
    pub(crate) async fn start(options: &ServeOptions) -> anyhow::Result<Self> {
        Self::start_with(options, |_state| Ok(Vec::new())).await
    }

    /// The same, for a boss: `providers` sets up those that there are in the state
    /// directory, and gives their names.
    pub(crate) async fn start_with(
        options: &ServeOptions,
        providers: impl FnOnce(&Path) -> anyhow::Result<Vec<String>>,
    ) -> anyhow::Result<Self> {
        Self::start_beside(options, providers, None).await
    }

    /// The same with one more netlayer, which capabilities name before others of its kind.
    pub(crate) async fn start_beside(
        options: &ServeOptions,
        providers: impl FnOnce(&Path) -> anyhow::Result<Vec<String>>,
        beside: Option<Unix>,
    ) -> anyhow::Result<Self> {
        let public = options.public_address.as_ref();
        let tcp = options.listen.iter().filter(|listen| listen.address.is_tcp());
        match (public, tcp.count()) {
            (Some(_), 0) => {
                let why = "--public-address means nothing without a TCP --listen";
                return Err(BadUsage(why.to_owned()).into());
            }
            (Some(_), 2..) => {
                let why = "--public-address can't stand for more than one TCP --listen";
                return Err(BadUsage(why.to_owned()).into());
            }
            _ => {}
        }
        let state = StateDir::named(options.state.clone())?.lock()?;
        let providers = providers(state.path())?;
        let settings = &options.settings;
        let mut builder =
            Node::builder().limits(settings.limits()).sessions_per_netlayer(settings.sessions());
        for listen in &options.listen {
            let public = public.filter(|_| listen.address.is_tcp());
            let identities = Identities::KeptIn(state.keys());
            let netlayer =
                listen.listen(public, &identities).await.map_err(|error| match error {
                    ListenError::Bind(error) => error.into(),
                    ListenError::Identity(error) => error.into(),
                    other => anyhow::Error::from(other),
                })?;
            builder = builder.netlayer_boxed(netlayer);
        }
        if let Some(beside) = beside {
            builder = builder.netlayer(beside);
        }
        let socket = Unix::bind(state.path().join("sock"), UnixOptions::default()).await;
        builder = builder.netlayer(socket.context("the state directory's own socket")?);
        let store = open_store(&state)?;
        let node = builder.start_durable(&store)?;
        let fleet = Settings {
            default_provider: settings.default_provider().unwrap_or(MANUAL).to_owned(),
            enrol_ttl: settings.enrol_ttl(),
            reconcile: settings.reconcile(),
            revive_after: settings.revive_after(),
            providers,
        };
        let fleet = Fleet::new(node.clone(), fleet);
        let kept = node.open_vat("node", &kinds::environment(&fleet)?)?;
        Ok(Self { node, kept, fleet, state, caps: Vec::new(), systemd: Notifier::of_process() })
    }

    /// The state directory.
    pub(crate) fn state(&self) -> &Path {
        self.state.path()
    }

    /// Writes a sturdyref for the object into the state directory, for the owner's use
    /// over the directory's own socket.
    pub(crate) fn publish(&mut self, object: &Ref, file: &str) -> anyhow::Result<()> {
        let sturdyref = self.node.mint_ephemeral(object, "unix")?;
        let path = self.state.path().join(file);
        capfile::write(&path, &sturdyref)?;
        self.caps.push(path);
        Ok(())
    }

    /// Publishes the admin object, says where the node listens and that it is ready.
    pub(crate) fn announce(&mut self) -> anyhow::Result<()> {
        let admin = self.kept.root_or_spawn("admin", || Admin::new(self.fleet.clone()))?;
        self.publish(&admin, "admin.cap")?;
        for location in self.node.locations() {
            output::line(&format!("listening {location}"))?;
        }
        output::line("ready")?;
        self.systemd.ready(&format!("reachable in {} ways", self.node.locations().len()));
        Ok(())
    }

    /// Serves until a signal says to stop, and says goodbye. Meanwhile does what else is
    /// to be done, which is called off when the node is to end.
    pub(crate) async fn until_stopped(
        self,
        signals: &mut StopSignals,
        meanwhile: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        self.until_told(signals, meanwhile).await;
        self.end().await;
        Ok(())
    }

    /// The same without the goodbye.
    pub(crate) async fn until_told(
        &self,
        signals: &mut StopSignals,
        meanwhile: impl Future<Output = ()>,
    ) {
        let meanwhile = async {
            meanwhile.await;
            std::future::pending::<()>().await;
        };
        let why = tokio::select! {
            why = signals.wait() => why,
            () = meanwhile => "nothing is left to be done",
            () = self.systemd.keep_alive(&self.kept) => "the watchdog is gone",
        };
        tracing::info!("stopping: {why}");
    }

    /// Ends the node in good order.
    pub(crate) async fn end(self) {
        self.systemd.stopping();
        for cap in &self.caps {
            if let Err(error) = std::fs::remove_file(cap) {
                tracing::warn!(%error, "can't remove {}", cap.display());
            }
        }
        self.fleet.end().await;
        if tokio::time::timeout(GOODBYE, self.node.shutdown()).await.is_err() {
            tracing::warn!("some peers took no note that this node ends");
        }
        self.kept.stop();
        if let Some(Err(error)) = self.node.store().map(Store::close) {
            tracing::error!("not all that happened is stored: {error}");
        }
    }
}

/// Opens the store in a state directory, or makes it.
fn open_store(state: &StateDir) -> anyhow::Result<Store> {
    let path = state.store();
    let open = || Ok::<_, anyhow::Error>(Store::open(Redb::open(&path)?)?);
    open().with_context(|| format!("the store {}", path.display()))
}

/// The signals that say to stop. They are heard from the moment this is made, so that
/// one that comes while something is being set up is acted on afterwards.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    stdin: bool,
}

impl StopSignals {
    pub(crate) fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            stdin: false,
        })
    }

    /// Also takes the end of standard input as a signal.
    pub(crate) fn or_stdin(mut self, stdin: bool) -> Self {
        self.stdin = stdin;
        self
    }

    /// Waits for a signal, and says which.
    pub(crate) async fn wait(&mut self) -> &'static str {
        let listens = self.stdin;
        let stdin = async {
            if !listens {
                return std::future::pending().await;
            }
            let mut sink = [0; 256];
            let mut stdin = tokio::io::stdin();
            while !matches!(stdin.read(&mut sink).await, Ok(0) | Err(_)) {}
        };
        tokio::select! {
            _ = self.interrupt.recv() => "interrupted",
            _ = self.terminate.recv() => "told to terminate",
            _ = self.hangup.recv() => "the terminal is gone",
            () = stdin => "standard input was closed",
        }
    }
}
