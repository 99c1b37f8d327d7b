//! `hob fleet`, and what a machine of a fleet has of its own.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand, ValueHint};

use super::groups::{Consent, Form, Patience, Waiting};
use crate::config::Settings;
use crate::config::quantity::duration;
use crate::fleet::Rules;
use crate::kinds::Kind;
use crate::services::SvcCommand;

/// Which boss.
#[derive(Args, Debug)]
pub(crate) struct BossChoice {
    /// The boss's capability file; - for standard input [default: boss.cap in its state
    /// directory]
    #[arg(long, value_name = "CAP", env = "HOB_BOSS", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    /// The boss's state directory [env: HOB_STATE] [config: state.path]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

/// What all commands about a fleet have.
#[derive(Args, Debug)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) boss: BossChoice,
    #[command(flatten)]
    pub(crate) form: Form,
}

/// `hob fleet`.
#[derive(Debug, Subcommand)]
pub(crate) enum FleetCommand {
    /// Have a machine made, and wait until it has registered
    #[command(after_help = "\
Asked again for the same, it goes on with what was begun. A machine of the provider
`manual` is there already: make it a token, and have it join.

Examples:
  hob fleet create db-machine --provider ssh
  hob fleet create edge-3 --provider linode --set region=us-east --no-wait
  hob fleet create pi && hob fleet token create pi -o pi.enrol.cap")]
    Create(Create),
    /// List the machines
    #[command(after_help = "\
In BINDINGS, * stands after what other machines have given, ! after what is not there
yet. What has no room is left out; with --json or into a pipe nothing is.")]
    List {
        /// Print a line of JSON now, and whenever something has changed
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Show all that is known of a machine
    Show {
        /// The machine
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// Have machines removed, and what they gave and were given taken back
    Destroy {
        /// The machines
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        waiting: Waiting,
        #[command(flatten)]
        common: Common,
    },
    /// Bind on a machine what another machine has
    #[command(after_help = "\
Rules: read-only, methods(get, keys), rate(10/s), count(100), expires(30d), with | between
them. The machine that has it enforces them.

Example:
  hob fleet bind app-machine:db --from db-machine:db --attenuate 'read-only | rate(10/s)'")]
    Bind(Bind),
    /// Bind something else under a name that is bound
    Rebind(Bind),
    /// Take back what is bound on a machine
    Unbind {
        /// The machine and the name
        #[arg(value_name = "MACHINE:NAME")]
        place: Place,
        #[command(flatten)]
        common: Common,
    },
    /// Say what is to be done so that the fleet becomes what a graph says
    #[command(after_help = "\
Example:
  hob fleet plan graph.toml")]
    Plan(Plan),
    /// Have the fleet become what a graph says, and stay so
    #[command(after_help = "\
What the graph has made and no longer has is taken back; what was made by hand is left
alone. The exit code is 6 if not all is there in time, 8 if a part can't be had.

Example:
  hob fleet apply graph.toml --wait")]
    Apply(Apply),
    /// Show what has happened
    #[command(after_help = "\
Examples:
  hob fleet events
  hob fleet events -f --json | jq .text")]
    Events(Events),
    /// Enrolments: what a machine joins with
    #[command(subcommand)]
    Token(TokenCommand),
    /// Deal no more with machines until they are released
    Quarantine {
        /// The machines
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Why, for those who read it later
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Deal with machines again
    Release {
        /// The machines
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Look at, start and stop the services of a machine; the same as hob svc there
    #[command(after_help = FLEET_SVC_HELP)]
    Svc(FleetSvc),
    /// Copy a boss: its store and its keys, also while it runs
    #[command(after_help = "\
The directory holds the boss's key: whoever has it can be the boss.")]
    Backup {
        /// The directory, which is made with mode 0700
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        to: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Make a boss of a backup; end the former one first
    #[command(after_help = "\
Example:
  hob fleet restore ./backup --state ./boss && hob boss --state ./boss")]
    Restore {
        /// The directory with the backup
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        from: PathBuf,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        common: Common,
    },
}

const FLEET_SVC_HELP: &str = "\
It goes by way of the boss: no other way to the machine is needed. What is granted with -o
is a capability that its holder uses without the boss, by tcp-tls unless --over says
otherwise.

Examples:
  hob fleet svc db-machine status
  hob fleet svc db-machine restart postgresql
  hob fleet svc db-machine log postgresql -n 20 -f
  hob fleet svc web-a grant web-server --actions status,start,stop -o a.cap";

/// `hob fleet svc`.
#[derive(Args, Debug)]
pub(crate) struct FleetSvc {
    /// The machine
    pub(crate) machine: String,
    #[command(flatten)]
    pub(crate) common: Anywhere,
    #[command(subcommand)]
    pub(crate) command: SvcCommand,
}

/// What all commands about a fleet have, before or after what is to be done.
#[derive(Debug)]
pub(crate) struct Anywhere(pub(crate) Common);

impl Args for Anywhere {
    fn augment_args(command: Command) -> Command {
        let options = Common::augment_args(Command::new("options"));
        command.args(options.get_arguments().map(|option| option.clone().global(true)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Anywhere {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Common::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

/// `hob fleet create`.
#[derive(Args, Debug)]
pub(crate) struct Create {
    /// The machine's name: 1 to 63 of a-z, 0-9 and -
    pub(crate) name: String,
    /// Who makes it [default: as the boss's config file says]
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// A JSON file with what the provider is to be told; - for standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) spec: Option<PathBuf>,
    /// One thing that the provider is to be told; may be repeated. JSON, or else text
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Don't wait until it has registered
    #[arg(long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `hob fleet bind` and `rebind`.
#[derive(Args, Debug)]
pub(crate) struct Bind {
    /// The machine, and the name on it
    #[arg(value_name = "MACHINE:NAME")]
    pub(crate) place: Place,
    /// The machine that has it, and what it is called there
    #[arg(long, value_name = "MACHINE:NAME")]
    pub(crate) from: Place,
    /// What may be done with it [default: everything]
    #[arg(long, value_name = "RULES", default_value = "", hide_default_value = true)]
    pub(crate) attenuate: Rules,
    /// A service of that machine: it is started for this, and what is bound can be used
    /// while it runs
    #[arg(long, value_name = "SERVICE")]
    pub(crate) requires: Option<String>,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `hob fleet plan`.
#[derive(Args, Debug)]
pub(crate) struct Plan {
    /// The TOML file with the graph; - for standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) graph: PathBuf,
    /// Also destroy the machines that the graph has made and no longer has
    #[arg(long)]
    pub(crate) prune: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `hob fleet apply`.
#[derive(Args, Debug)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) plan: Plan,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

/// `hob fleet events`.
#[derive(Args, Debug)]
pub(crate) struct Events {
    /// Go on with what happens from now on; with --json a line for each event
    #[arg(short, long, visible_alias = "watch")]
    pub(crate) follow: bool,
    /// Begin after the event of this number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) after: u64,
    /// Only what is about this machine
    #[arg(long, value_name = "NAME")]
    pub(crate) machine: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `hob fleet token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make an enrolment for a machine that is pending, or enrols anew
    #[command(after_help = "\
Example:
  hob fleet token create pi --ttl 1h -o pi.enrol.cap")]
    Create {
        /// The machine
        name: String,
        /// How long it is good for [default: as the boss's config file says]
        #[arg(long, value_name = "TIME", value_parser = duration)]
        ttl: Option<Duration>,
        /// The file for it, mode 0600; - for standard output
        #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// List the enrolments that were made
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Take an enrolment back
    Revoke {
        /// As `hob fleet token list` says
        id: String,
        #[command(flatten)]
        common: Common,
    },
}

/// A name on a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The machine.
    pub(crate) machine: String,
    /// The name that is bound there.
    pub(crate) name: String,
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((machine, name)) if !machine.is_empty() && !name.is_empty() => {
                Ok(Self { machine: machine.to_owned(), name: name.to_owned() })
            }
            _ => Err("write MACHINE:NAME, as in app-machine:db"),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.machine, self.name)
    }
}

/// Which machine's bindings: those of the one that runs here.
#[derive(Args, Debug)]
pub(crate) struct MachineCommon {
    /// The capability file of the machine's bindings; - for standard input [default:
    /// hob.cap in its state directory]
    #[arg(long, value_name = "CAP", value_hint = ValueHint::FilePath)]
    pub(crate) hob: Option<PathBuf>,
    /// The machine's state directory [env: HOB_STATE] [config: state.path]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) patience: Patience,
    #[command(flatten)]
    pub(crate) form: Form,
}

/// `hob get-binding`.
#[derive(Args, Debug)]
pub(crate) struct GetBinding {
    /// The name
    pub(crate) name: String,
    /// What to send to what is bound, as with `hob call`
    #[arg(value_name = "ARG", allow_negative_numbers = true)]
    pub(crate) words: Vec<String>,
    /// Print a line of JSON now, and whenever something else is bound, or nothing
    #[arg(long, conflicts_with = "words")]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) common: MachineCommon,
}

/// `hob offer`.
#[derive(Args, Debug)]
pub(crate) struct Offer {
    /// What the machine is to call it
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) what: Offered,
    /// The methods that change nothing, which is what read-only leaves; may be repeated
    /// [default: the usual ones, such as get, keys and value]
    #[arg(long, value_name = "METHOD", value_delimiter = ',')]
    pub(crate) reads: Vec<String>,
    /// The object makes something of its own for each binding: it understands `grant id
    /// rules` and `ungrant id`
    #[arg(long)]
    pub(crate) grants: bool,
    #[command(flatten)]
    pub(crate) common: MachineCommon,
}

/// What is offered: one of these.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct Offered {
    /// The object of this capability file; - for standard input
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    /// A TCP service that this machine reaches there
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) tcp: Option<String>,
    /// A Unix socket of this machine
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) unix: Option<String>,
    /// Roles of a PostgreSQL database, one for each binding: its name, or its settings as
    /// a JSON object with `database`, `host`, `port`, `admin`, `password-file`, `login-host`
    #[arg(long, value_name = "DATABASE|JSON")]
    pub(crate) postgres: Option<String>,
    /// A new object of a kind, as with `hob export`
    #[arg(long, value_enum)]
    pub(crate) kind: Option<Kind>,
}

/// `hob forward`.
#[derive(Args, Debug)]
pub(crate) struct Forward {
    /// The name that is bound
    pub(crate) name: String,
    /// Where programs reach it: unix:PATH or tcp:127.0.0.1:PORT
    #[arg(long, value_name = "ADDRESS", required_unless_present = "end")]
    pub(crate) listen: Option<String>,
    /// End it
    #[arg(long, conflicts_with = "listen")]
    pub(crate) end: bool,
    #[command(flatten)]
    pub(crate) common: MachineCommon,
}

impl Common {
    fn settle(&mut self, settings: &Arc<Settings>) {
        self.boss.state = self.boss.state.take().or_else(|| settings.state());
    }
}

impl MachineCommon {
    pub(crate) fn settle(&mut self, settings: &Arc<Settings>) {
        self.state = self.state.take().or_else(|| settings.state());
    }
}

impl FleetCommand {
    /// What all of them have.
    pub(crate) const fn common(&self) -> &Common {
        match self {
            Self::Create(Create { common, .. })
            | Self::Bind(Bind { common, .. })
            | Self::Rebind(Bind { common, .. })
            | Self::Events(Events { common, .. })
            | Self::Plan(Plan { common, .. })
            | Self::Apply(Apply { plan: Plan { common, .. }, .. })
            | Self::Svc(FleetSvc { common: Anywhere(common), .. })
            | Self::List { common, .. }
            | Self::Show { common, .. }
            | Self::Destroy { common, .. }
            | Self::Unbind { common, .. }
            | Self::Quarantine { common, .. }
            | Self::Release { common, .. }
            | Self::Backup { common, .. }
            | Self::Restore { common, .. }
            | Self::Token(
                TokenCommand::Create { common, .. }
                | TokenCommand::List { common }
                | TokenCommand::Revoke { common, .. },
            ) => common,
        }
    }

    /// Puts in what the command line has not said.
    pub(crate) fn settle(&mut self, settings: &Arc<Settings>) {
        let common = match self {
            Self::Create(Create { common, .. })
            | Self::Bind(Bind { common, .. })
            | Self::Rebind(Bind { common, .. })
            | Self::Events(Events { common, .. })
            | Self::Plan(Plan { common, .. })
            | Self::Apply(Apply { plan: Plan { common, .. }, .. })
            | Self::Svc(FleetSvc { common: Anywhere(common), .. })
            | Self::List { common, .. }
            | Self::Show { common, .. }
            | Self::Destroy { common, .. }
            | Self::Unbind { common, .. }
            | Self::Quarantine { common, .. }
            | Self::Release { common, .. }
            | Self::Backup { common, .. }
            | Self::Restore { common, .. }
            | Self::Token(
                TokenCommand::Create { common, .. }
                | TokenCommand::List { common }
                | TokenCommand::Revoke { common, .. },
            ) => common,
        };
        common.settle(settings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let place: Place = "app-machine:db".parse().unwrap();
        assert_eq!((place.machine.as_str(), place.name.as_str()), ("app-machine", "db"));
        for bad in ["", "app", "app:", ":db"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
