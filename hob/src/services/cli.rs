//! `herd`, which is `hob svc`: the command line for services.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueHint};

use super::definition::{Action, Definition, LogSettings, ResourceLimits, Respawn};

pub(crate) const SHEPHERD_HELP: &str = "\
Writes herd.cap to the state directory: the right to do everything with the services.
Enabled services are started, and stopped when the shepherd is told to end. If it is
killed they go on, and the next one finds them.

Example of a definition, services.d/web.toml:
  [service.web-server]
  command = [\"/usr/sbin/nginx\", \"-g\", \"daemon off;\"]
  ready = { port = \"127.0.0.1:80\" }
and of one that stands for a service of another machine:
  [service.web-server-a]
  remote = \"a.cap\"

A service may be built in, in the place of a command: builtin = \"deploy\",
\"monitoring\" or \"echo\".

Examples:
  hob shepherd --state ./s --services services.d
  hob svc status --state ./s";

pub(crate) const SVC_HELP: &str = "\
Any other command is an action of the service's own: herd rotate web-server

Exit codes: 0 done, 1 it failed, 2 usage, 3 no such service, 4 refused by the
capability, 5 no shepherd there or another machine out of reach, 8 done in part.

Examples:
  herd status
  herd start web-server
  herd log web-server -n 20 -f
  herd grant web-server --actions status,restart --expires 1h -o ci.cap
  herd -c ci.cap restart web-server
  herd grant web-server --actions status,start,stop --over tcp-tls -o a.cap
  herd restart web-server-fleet --rolling";

/// `hob svc`.
#[derive(Args, Debug)]
pub(crate) struct Svc {
    /// The shepherd's state directory [default: $XDG_STATE_HOME/hob]
    #[arg(long, short, global = true, value_name = "DIR", env = "HOB_STATE", hide_env_values = true, value_hint = ValueHint::DirPath)]
    pub(crate) state: Option<PathBuf>,
    /// Use this capability instead of the shepherd's herd.cap; - for standard input
    #[arg(long, short, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) cap: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How long to wait, as 500ms, 30s or 2m
    #[arg(long, global = true, value_name = "TIME", default_value = "2m", value_parser = time)]
    pub(crate) timeout: Duration,
    #[command(subcommand)]
    pub(crate) command: SvcCommand,
}

fn time(text: &str) -> Result<Duration, String> {
    let period: super::text::Period = text.parse()?;
    Ok(period.0)
}

/// The program under its other name.
#[derive(Debug, Parser)]
#[command(name = "herd", version, about = "Look at, start and stop services", after_help = SVC_HELP)]
pub(crate) struct Herd {
    #[command(flatten)]
    pub(crate) svc: Svc,
}

/// What to do with services.
#[derive(Debug, Subcommand)]
pub(crate) enum SvcCommand {
    /// Say in what state all services are, or one
    Status {
        /// Which
        service: Option<String>,
        /// How many of the last lines it has said to show
        #[arg(short, default_value_t = 5)]
        n: u64,
    },
    /// Start services, and what they require
    Start {
        /// Which
        #[arg(required = true)]
        services: Vec<String>,
    },
    /// Stop services, and those that require them
    Stop {
        /// Which
        #[arg(required = true)]
        services: Vec<String>,
    },
    /// Stop and start services
    Restart {
        /// Which
        #[arg(required = true)]
        services: Vec<String>,
        /// One by one those of other machines that they stand for, each once the one
        /// before runs again; ends at the first that fails
        #[arg(long)]
        rolling: bool,
        /// How many of them may be down at once
        #[arg(long, value_name = "N", default_value_t = 1, requires = "rolling", value_parser = clap::value_parser!(u64).range(1..))]
        max_unavailable: u64,
    },
    /// Let services be started
    Enable {
        /// Which
        #[arg(required = true)]
        services: Vec<String>,
    },
    /// Let services not be started any more
    Disable {
        /// Which
        #[arg(required = true)]
        services: Vec<String>,
    },
    /// Say what a service is for
    Doc {
        /// Which
        service: String,
    },
    /// Show what a service has said
    Log {
        /// Which
        service: String,
        /// How many lines
        #[arg(short, default_value_t = 20)]
        n: u64,
        /// And what it says from now on
        #[arg(short)]
        follow: bool,
    },
    /// Print what requires what, for Graphviz
    Graph,
    /// Read the definitions anew; with a service, its own action of that name
    Reload {
        /// Which
        service: Option<String>,
    },
    /// Run a command as a service that is in no file
    Spawn(Spawn),
    /// Print what happens to services, a JSON object for each line
    Watch {
        /// Begin after the event of this number, as far as it is still known
        #[arg(long)]
        after: Option<u64>,
    },
    /// Make a capability to some actions of one service
    Grant(Grant),
    /// List the grants
    Grants,
    /// Take a grant back, at once
    Revoke {
        /// Its number
        id: u64,
    },
    /// Show what was granted, used and refused
    Audit {
        /// How many lines
        #[arg(short, default_value_t = 20)]
        n: u64,
    },
    /// An action of the service's own
    #[command(external_subcommand)]
    Other(Vec<String>),
}

/// `herd spawn`.
#[derive(Args, Debug)]
pub(crate) struct Spawn {
    /// What to call it
    pub(crate) name: String,
    /// What it requires
    #[arg(long, value_delimiter = ',')]
    pub(crate) requires: Vec<String>,
    /// It does something and ends
    #[arg(long)]
    pub(crate) one_shot: bool,
    /// Start it again when it ends by itself
    #[arg(long, conflicts_with = "one_shot")]
    pub(crate) respawn: bool,
    /// Where it runs
    #[arg(long)]
    pub(crate) directory: Option<PathBuf>,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

impl Spawn {
    pub(crate) fn definition(&self) -> Definition {
        Definition {
            command: self.command.clone(),
            requires: self.requires.clone(),
            one_shot: self.one_shot,
            directory: self.directory.clone(),
            enabled: true,
            autostart: false,
            respawn: Respawn { enabled: self.respawn, ..Respawn::default() },
            limits: ResourceLimits::default(),
            log: LogSettings::default(),
            actions: std::collections::BTreeMap::<String, Action>::new(),
            ..Definition::default()
        }
    }
}

/// `herd grant`.
#[derive(Args, Debug)]
pub(crate) struct Grant {
    /// For which service
    pub(crate) service: String,
    /// Which actions: status, start, stop, restart, enable, disable, log, doc, or the
    /// service's own
    #[arg(long, required = true, value_delimiter = ',')]
    pub(crate) actions: Vec<String>,
    /// Whom it is for, for the list and the record
    #[arg(long)]
    pub(crate) to: Option<String>,
    /// For how long, as 10m, 1h or 30d
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) expires: Option<Duration>,
    /// How it is to be reached: by a transport that the shepherd listens by, as tcp-tls
    /// [default: unix; from the boss of a fleet tcp-tls]
    #[arg(long, value_name = "TRANSPORT")]
    pub(crate) over: Option<String>,
    /// The file for the capability, mode 0600; - for standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,
}
