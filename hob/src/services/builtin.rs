//! Services that are built in: actors of the shepherd's node, and no processes.
//!
//! | kind | what it does | actions |
//! |---|---|---|
//! | `deploy` | makes this machine what somebody says: see [`deploy`](crate::deploy) | `deploy` |
//! | `monitoring` | says from time to time what the shepherd uses | `now` |
//! | `echo` | gives back what it is given, for trying things out | `echo` |
//!
//! Each is an object that understands `act ACTION ARGUMENTS` and `stop`, and lives until
//! it has been stopped, or the shepherd ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ocapn::actors::timeout;
use ocapn::{
    Answer, Args, Behaviour, Clock, Fault, FromValue as _, Node, Ref, Reply, Turn, Value, object,
};
use serde::{Deserialize, Serialize};
use tokio::net::unix::pipe;
use tokio::runtime::Handle;

use super::controller::Context;
use super::process::Launch;
use super::text::Period;
use crate::deploy::{self, Agent, AgentRef, Orders, Tools, Workshop};

/// Which actor a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Builtin {
    /// The deploy agent.
    Deploy,
    /// Says what the shepherd uses.
    Monitoring,
    /// Gives back what it is given.
    Echo,
}

impl Builtin {
    /// As it is written.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Monitoring => "monitoring",
            Self::Echo => "echo",
        }
    }

    /// What can be done with it.
    pub(crate) const fn actions(self) -> &'static [&'static str] {
        match self {
            Self::Deploy => &["deploy"],
            Self::Monitoring => &["now"],
            Self::Echo => &["echo"],
        }
    }

    /// Whether that is how it can be.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub(crate) fn check(
        self,
        settings: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), String> {
        match self {
            Self::Deploy => deploy::Settings::of(settings).map(drop),
            Self::Monitoring => MonitoringSettings::of(settings).map(drop),
            Self::Echo if settings.is_empty() => Ok(()),
            Self::Echo => Err("settings: echo has none".to_owned()),
        }
    }
}

/// Where services that are built in find what they need.
pub(crate) struct Ground {
    pub(crate) node: Node,
    pub(crate) runtime: Handle,
    /// For what it keeps.
    pub(crate) directory: PathBuf,
    /// Takes what it says.
    pub(crate) pipe: PathBuf,
}

/// Begins a service.
///
/// # Errors
///
/// Why it can't be.
pub(crate) async fn open(ground: Ground, context: Context, launch: Launch) -> Result<Ref, String> {
    let settings = &launch.definition.settings;
    let say = voice(&ground.pipe)?;
    match launch.definition.builtin {
        None => Err("nothing is built in under no name".to_owned()),
        Some(Builtin::Echo) => Ok(context.live.spawn(Echo)),
        Some(Builtin::Monitoring) => {
            let settings = MonitoringSettings::of(settings)?;
            let monitoring =
                Monitoring { say: say.into(), clock: context.clock.clone(), settings, over: false };
            let monitoring = MonitoringRef::spawn_in(&context.live, monitoring);
            monitoring.ring().ignore();
            Ok(monitoring.untyped().clone())
        }
        Some(Builtin::Deploy) => {
            let settings = deploy::Settings::of(settings)?;
            let Ground { node, runtime, directory, .. } = ground;
            let (workshop, left) = Workshop::open(directory, settings.clone(), runtime).await?;
            let (world, service) = (context.world.clone(), launch.service.clone());
            let audit =
                Box::new(move |line: String| world.audit(format!("service={service} {line}")));
            let tools = Tools { node, clock: context.clock.clone(), settings, say, audit };
            let agent = AgentRef::spawn_in(&context.live, Agent::new(tools, workshop, left));
            agent.recover().ignore();
            let orders = context.live.spawn(Orders(agent.clone()));
            Ok(context.live.spawn(Deploy { agent, orders }))
        }
    }
}

/// What writes lines to a pipe. Lines for which there is no room are not written: nobody
/// is to wait for that.
fn voice(pipe: &Path) -> Result<Box<dyn Fn(String) + Send + Sync>, String> {
    let sender = pipe::OpenOptions::new().open_sender(pipe);
    let sender = sender.map_err(|error| format!("the pipe for its output: {error}"))?;
    Ok(Box::new(move |text: String| {
        let _no_room = sender.try_write(format!("{}\n", text.replace('\n', " ")).as_bytes());
    }))
}

/// The deploy agent, as a service.
struct Deploy {
    agent: AgentRef,
    orders: Ref,
}

impl Behaviour for Deploy {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        match told(args)? {
            Told::Stop => self.agent.call(turn).stop().map(|over| Reply::value(Value::from(over))),
            Told::Act(args) => turn.call(&self.orders, args).map(Reply::value),
        }
    }
}

struct Echo;

impl Behaviour for Echo {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        Ok(Reply::value(match told(args)? {
            Told::Stop => Value::Undefined,
            Told::Act(args) => Value::List(args),
        }))
    }
}

/// What a service that is built in is told.
enum Told {
    /// With those arguments. Each has but one action, which it is known to be.
    Act(Vec<Value>),
    Stop,
}

fn told(args: Args) -> Result<Told, Fault> {
    let mut args = args.into_iter();
    let method = args.next();
    match (method.as_ref().and_then(Value::as_symbol), args.next(), args.next()) {
        (Some("stop"), _, _) => Ok(Told::Stop),
        (Some("act"), Some(_), Some(args)) => Ok(Told::Act(Vec::from_value(args)?)),
        _ => Err("a service is told to act or to stop".into()),
    }
}

/// How often it says something.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct MonitoringSettings {
    every: Period,
}

impl Default for MonitoringSettings {
    fn default() -> Self {
        Self { every: Period(Duration::from_secs(15 * 60)) }
    }
}

impl MonitoringSettings {
    fn of(table: &serde_json::Map<String, serde_json::Value>) -> Result<Self, String> {
        let settings: Self = serde_json::from_value(table.clone().into())
            .map_err(|error| format!("settings: {error}"))?;
        if settings.every.0 < Duration::from_secs(1) {
            return Err("settings: every is less than 1s".to_owned());
        }
        Ok(settings)
    }
}

/// Says what the shepherd uses.
#[derive(Clone)]
struct Monitoring {
    say: Arc<dyn Fn(String) + Send + Sync>,
    clock: Arc<dyn Clock>,
    settings: MonitoringSettings,
    over: bool,
}

#[object(reference = MonitoringRef)]
impl Monitoring {
    /// Says it now, and again after a while.
    #[method]
    fn ring(&self, turn: &mut Turn<'_>) {
        if self.over {
            return;
        }
        (self.say)(usage());
        let me = MonitoringRef::from_ref(turn.me());
        let rings = timeout(turn, &self.clock, self.settings.every.0);
        turn.on(&rings, move |turn, _| me.send_only(turn).ring());
    }

    #[method]
    fn act(&self, action: String, args: Vec<Value>) -> Result<String, Fault> {
        match (action.as_str(), args.is_empty()) {
            ("now", true) => Ok(usage()),
            _ => Err("it can be asked for now, without arguments".into()),
        }
    }

    #[method]
    fn stop(&mut self) -> Answer<()> {
        self.over = true;
        Answer::ready(())
    }
}

/// What this process uses.
fn usage() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let resident = field("VmRSS");
    format!(
        "resident memory: {}.{} MiB; threads: {}; open files: {files}",
        resident / 1024,
        resident % 1024 * 10 / 1024,
        field("Threads"),
    )
}
