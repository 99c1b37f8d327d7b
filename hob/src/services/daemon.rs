//! The services of this process: of `hob shepherd`, which is for nothing else, and of
//! a machine of a fleet.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueHint};
use ocapn::actors::{self, UnixClock};
use ocapn::netlayers::{ListenSpec, Unix, UnixOptions};
use ocapn::persist::{Environment, EnvironmentError};
use ocapn::{Node, Ref, Vat};

use super::catalogue::Catalogue;
use super::controller::{Context, Controller};
use super::exported::Exported;
use super::grants::{Audited, Grants, GrantsRef, Handle};
use super::monitor::{Monitor, MonitorRef};
use super::native::Native;
use super::procfs;
use super::registry::Registry;
use super::relay::Relay;
use super::revival;
use super::shepherd::{Shepherd, ShepherdRef};
use super::users;
use super::zone::Zone;
use crate::cli::ServeOptions;
use crate::exit::BadUsage;
use crate::serve::{Serving, StopSignals};

/// How long everything may take to stop in the end. Longer than services have by default.
const PATIENCE: Duration = Duration::from_secs(60);

/// `hob shepherd`.
#[derive(Args, Debug)]
pub(crate) struct ShepherdOptions {
    /// Where the services are defined: a file, or a directory of .toml files
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) services: PathBuf,
    /// When told to end, leave the services running for the next shepherd
    #[arg(long)]
    pub(crate) leave_running: bool,
    /// A socket for other users of this machine too: what they may do is what they
    /// were granted
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, requires = "users")]
    pub(crate) socket: Option<PathBuf>,
    /// Who may connect to --socket, by name or number
    #[arg(long, value_name = "USER", value_delimiter = ',', requires = "socket")]
    pub(crate) users: Vec<String>,
    /// What this machine is called where several have a part in something [default: its
    /// host name]
    #[arg(long, value_name = "NAME")]
    pub(crate) machine: Option<String>,
    #[command(flatten)]
    pub(crate) serve: ServeOptions,
}

/// After how long a silence the system asks whether another machine is still there. It is
/// given up after twice that.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// Where to listen: also, where nobody else gets to, by what is needed to reach the
/// services of other machines.
fn listening(options: &ServeOptions, definitions: &Catalogue) -> ServeOptions {
    let mut options = options.clone();
    let needed = definitions.0.values().filter_map(|of| of.remote.as_ref()?.sturdyref());
    let dialled = needed.map(|sturdyref| sturdyref.peer.transport.as_str());
    for transport in dialled.collect::<BTreeSet<_>>() {
        let Ok(own) = format!("{transport}:127.0.0.1:0").parse::<ListenSpec>() else { continue };
        let kind = std::mem::discriminant(&own.address);
        let mut kinds = options.listen.iter().map(|of| std::mem::discriminant(&of.address));
        if own.address.is_tcp() && !kinds.any(|there| there == kind) {
            options.listen.push(own);
        }
    }
    for listen in &mut options.listen {
        listen.settings.keepalive = Some(KEEPALIVE);
    }
    options
}

/// The socket for other users. All of them can connect; who is none of those that may is
/// hung up on, by what the kernel says of it.
async fn shared_socket(options: &ShepherdOptions) -> anyhow::Result<Option<Unix>> {
    let Some(path) = &options.socket else { return Ok(None) };
    let path = std::path::absolute(path)?;
    let users = options.users.iter().map(|name| users::user(name).map_err(BadUsage));
    let mut users: BTreeSet<u32> = users.collect::<Result<_, _>>()?;
    users.extend([0, rustix::process::geteuid().as_raw()]);
    let mut unix = UnixOptions::default();
    unix.allowed_users = Some(users);
    let socket = Unix::bind(&path, unix).await.context("the socket for other users")?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o666))?;
    Ok(Some(socket))
}

/// What the actors of services are stored as. Names are for ever.
fn environment(context: &Context, node: &Node) -> Result<Environment, EnvironmentError> {
    let mut kinds = Environment::new();
    let (of, node) = (context.clone(), node.clone());
    let world = context.world.clone();
    let monitored = context.world.clone();
    let (shepherd, grants, exported) = (context.clone(), context.clone(), context.clone());
    kinds
        .kind::<Registry>("registry")?
        .kind::<Handle>("handle")?
        .kind_with("service", 1, Controller::portray, move |portrait| {
            Controller::restore(of.clone(), portrait)
        })?
        .kind::<Relay>("relay")?
        .kind_with("exported-service", 1, Exported::portray, move |portrait| {
            Exported::restore(exported.clone(), portrait)
        })?
        .kind_with("process-monitor", 1, Monitor::portray, move |portrait| {
            Monitor::restore(monitored.clone(), portrait)
        })?
        .kind_with("shepherd", 1, Shepherd::portray, move |portrait| {
            Shepherd::restore(shepherd.clone(), portrait)
        })?
        .kind_with("grants", 1, Grants::portray, move |portrait| {
            Grants::restore(grants.clone(), node.clone(), portrait)
        })?
        .kind_with("audited", 1, Audited::portray, move |portrait| {
            Audited::restore(world.clone(), portrait)
        })?;
    let mut environment = Environment::new();
    let clock = context.clock.clone();
    environment.extend("services", &kinds)?.extend("actors", &actors::environment(clock)?)?;
    Ok(environment)
}

/// The services of this machine and their shepherd: a vat of their own on a node that may
/// have others.
pub(crate) struct Flock {
    pub(crate) shepherd: ShepherdRef,
    /// The right to do everything with the services: what `herd.cap` is for.
    pub(crate) front: Ref,
    /// Where what ends with the process may live.
    pub(crate) live: Vat,
    vat: Vat,
    source: PathBuf,
}

impl Flock {
    /// Takes up what the node's store has of them, or begins with none. Nothing is started
    /// yet. `directory` is the node's state directory, and `source` where services are
    /// defined: it must be there. `called` is what others call this machine.
    ///
    /// # Errors
    ///
    /// If the directories or the store can't be used.
    pub(crate) async fn open(
        node: &Node,
        directory: &Path,
        source: &Path,
        called: Option<&str>,
    ) -> anyhow::Result<Self> {
        let directory = directory.canonicalize()?;
        let source = source.canonicalize().context("the definitions")?;
        let world = Native::new(node.clone(), &directory, source.clone())?.called(called);
        let world = Arc::new(world);
        let clock = UnixClock::new(node.clock());
        let live = node.vat("services' live part");
        let context = Context { world, clock, zone: Zone::of_machine(), live: live.clone() };
        let vat = node.open_vat("services", &environment(&context, node)?)?;
        let shepherd = match vat.root("shepherd")? {
            Some(there) => ShepherdRef::from_ref(there),
            None => {
                let (context, node) = (context.clone(), node.clone());
                let made = vat.run(move |turn| {
                    let monitor = MonitorRef::spawn(turn, Monitor::new(context.world.clone()));
                    let grants = GrantsRef::spawn(turn, Grants::new(context.clone(), node));
                    let shepherd = Shepherd::new(context, turn, monitor, grants.clone());
                    let shepherd = ShepherdRef::spawn(turn, shepherd);
                    grants.call(turn).serve(shepherd.clone())?;
                    Ok(shepherd)
                });
                let made = made.await.map_err(|fault| anyhow!("{fault}"))?;
                vat.set_root("shepherd", made.untyped())?;
                made
            }
        };
        let front = vat.spawn(Handle { shepherd: shepherd.clone(), only: None });
        Ok(Self { shepherd, front, live, vat, source })
    }

    /// Where services are defined: a file or a directory.
    pub(crate) fn source(&self) -> &Path {
        &self.source
    }

    /// Has the services be what is defined, and no others.
    ///
    /// # Errors
    ///
    /// If the shepherd can't use the definitions.
    pub(crate) async fn define(&self, catalogue: Catalogue) -> anyhow::Result<()> {
        let Catalogue(definitions) = catalogue;
        let texts = definitions.iter().map(|(name, of)| (name.clone(), of.to_text())).collect();
        let defined = self.shepherd.define(texts).await;
        defined.map(drop).map_err(|fault| anyhow!("the definitions: {fault}"))
    }

    /// The same with what is where services are defined now. If that can't be used, they
    /// stay as they were.
    pub(crate) async fn define_anew(&self) {
        let defined = match Catalogue::read(&self.source) {
            Ok(catalogue) => self.define(catalogue).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = defined {
            tracing::error!("services stay as they were: {error:#}");
        }
    }

    /// Takes up what runs already and starts what is to run. Says what came of it when that
    /// is known, and ends never.
    pub(crate) fn tend(&self) -> impl Future<Output = ()> + use<> {
        // Before whoever is told of them asks for anything.
        let booting = self.shepherd.boot(procfs::boot());
        async move {
            match booting.await {
                Ok(failed) if failed.is_empty() => tracing::info!("all services have been started"),
                Ok(failed) => tracing::warn!("could not be started: {}", failed.join(", ")),
                Err(fault) => tracing::error!("the services could not be started: {fault}"),
            }
            std::future::pending::<()>().await;
        }
    }

    /// Ends in good order, before the node's store is closed: with all services stopped,
    /// unless they are to be left running for whoever comes next.
    pub(crate) async fn end(self, leave_running: bool) {
        if !leave_running {
            match tokio::time::timeout(PATIENCE, self.shepherd.shut_down().into_future()).await {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => tracing::error!("not all services have stopped: {fault}"),
                Err(_elapsed) => tracing::error!("not all services have stopped in time"),
            }
        }
        self.vat.stop();
    }
}

pub(crate) async fn shepherd(options: &ShepherdOptions) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen()?.or_stdin(options.serve.stop_with_stdin);
    // Before anything is started by half a definition.
    let definitions =
        Catalogue::read(&options.services).map_err(|error| BadUsage(error.to_string()))?;
    let serve = listening(&options.serve, &definitions);
    let socket = shared_socket(options).await?;
    let mut serving = Serving::start_beside(&serve, |_| Ok(Vec::new()), socket).await?;
    let (node, directory) = (serving.node.clone(), serving.state().to_owned());
    let called = options.machine.as_deref();
    let flock = Flock::open(&node, &directory, &options.services, called).await?;
    flock.define(definitions).await?;
    let tending = flock.tend();
    serving.publish(&flock.front, "herd.cap")?;
    serving.announce()?;
    let why = tokio::select! {
        why = signals.wait() => why,
        () = tending => "never",
        error = revival::store_failure(&node) => {
            tracing::error!("services go on, but nothing can be done with them: {error}");
            flock.vat.stop();
            serving.end().await;
            tokio::select! {
                () = revival::room_in(&directory) => return Err(revival::begin_again()),
                why = signals.wait() => anyhow::bail!("{why}; services are left running"),
            }
        }
    };
    tracing::info!("stopping: {why}");
    flock.end(options.leave_running).await;
    serving.end().await;
    Ok(())
}
