//! The command line.

pub(crate) mod fleet;
pub(crate) mod groups;
mod settle;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use ocapn::netlayers::{ListenSpec, PublicAddress};

pub(crate) use crate::config::quantity::duration;
use crate::config::{KEYS, Settings};
use crate::kinds::Kind;
use crate::output::screen::ColorChoice;
use crate::units::Scope;

pub(crate) use settle::flags;

use fleet::{FleetCommand, Forward, GetBinding, MachineCommon, Offer};
use groups::Form;
pub(crate) use groups::NodeChoice;

/// OCapN nodes, calls by capability, and fleets of machines.
#[derive(Debug, Parser)]
#[command(
    name = "hob",
    version,
    about,
    after_help = "\
Exit codes:
  0  done                              5  unreachable or timed out
  1  the call broke, or it failed      6  not there yet: pending
  2  something given can't be used     7  identity mismatch
  3  not found                         8  done for a part of the fleet only
  4  refused, revoked or expired     130  interrupted

What is not said on the command line is taken from environment variables, then from
the config file: see hob config show --origin.

Capabilities are secrets: whoever reads a .cap file may call the object.

Try it:
  hob demo"
)]
pub(crate) struct Cli {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Log more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Log nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// The config file [env: HOB_CONFIG] [default: as `hob where` says]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) color: ColorChoice,
    /// Log bare messages, for a parent process that tells them on
    #[arg(long, global = true, hide = true)]
    pub(crate) plain_log: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node in the foreground
    #[command(after_help = "\
It prints where it listens, then `ready`. Ctrl-C or SIGTERM ends it.
Its identity, its objects and what it exports stay in the state directory.

Examples:
  hob node --listen tcp-tls:0.0.0.0:7000 --public-address boss.example:7000
  hob node --state ./a --listen tcp-tls:127.0.0.1:0
  hob node                       # for this user on this machine only")]
    Node(ServeOptions),
    /// Have the running node export an object, and write its capability to a file
    #[command(after_help = "\
Asked again for the same name and kind, the node gives the same capability.

Examples:
  hob export counter --kind counter -o counter.cap
  hob export settings --kind kv -o - | ssh b hob call --file - keys")]
    Export(Export),
    /// Take back the capabilities of an exported object
    #[command(after_help = "\
Whoever has called the object already and is still connected can go on.")]
    Revoke(Revoke),
    /// Call an object
    #[command(override_usage = "hob call [OPTIONS] TARGET [ARG]...
       hob call [OPTIONS] --file FILE [ARG]...")]
    #[command(after_help = CALL_HELP)]
    Call(Call),
    /// Look at, copy and move what a node keeps
    #[command(subcommand)]
    State(StateCommand),
    /// Run a boss: a node with machines
    #[command(after_help = "\
Writes boss.cap to the state directory. The boss understands create-machine name,
enrolment name, get-machine name, list-machines, and bind machine name other-machine
[other-name].

Examples:
  hob boss --state ./boss --listen tcp-tls:10.0.0.1:7000
  hob call --file boss/boss.cap create-machine '\"db-machine\"'
  hob call --file boss/boss.cap --cap-out db.enrol.cap enrolment '\"db-machine\"'")]
    Boss(BossOptions),
    /// Make this a machine of a fleet, and run its node
    #[command(after_help = "\
Writes hob.cap to the state directory: the machine's bindings, which understand
register-binding name value, list-bindings and get-binding name.

Examples:
  hob join --state ./db --enrol db.enrol.cap --listen tcp-tls:10.0.0.2:7000
  hob call --file db/hob.cap list-bindings")]
    Join(Join),
    /// Make, bind and look after the machines of a fleet, by its boss
    #[command(subcommand)]
    Fleet(FleetCommand),
    /// On a machine of a fleet: say what is bound to a name, or call it
    #[command(after_help = "\
Examples:
  hob get-binding db
  hob get-binding db get '\"last-entry\"'")]
    GetBinding(GetBinding),
    /// On a machine of a fleet: list what is bound
    ListBindings {
        #[command(flatten)]
        common: MachineCommon,
    },
    /// On a machine of a fleet: have an object bound, so that other machines may be given it
    #[command(after_help = "\
An object of a file is one of this machine's node, or it lasts only as long as its
session.

Examples:
  hob offer notes --kind kv
  hob offer cache --tcp 127.0.0.1:6379
  hob offer db --postgres shop
  hob export db --kind kv --transport unix -o db.cap && hob offer db -f db.cap")]
    Offer(Offer),
    /// On a machine of a fleet: have what is bound reached at a local port or socket
    #[command(after_help = "\
Example:
  hob forward db --listen unix:/run/hob/db/.s.PGSQL.5432 && psql -h /run/hob/db")]
    Forward(Forward),
    /// See three machines find each other: a boss, a database, an application
    #[command(after_help = "\
With --netns each process gets a network namespace and an address of its own. That
needs root and iproute2.")]
    Demo(Demo),
    /// Show the settings, and where they come from
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Say where things are: state, socket, config files, logs, and the node's locators
    Where(Where),
    /// Write systemd units for a node, a boss and a machine
    #[command(after_help = "\
The units are hob-node.service, hob-boss.service and hob-join.service. One state
directory serves one of them at a time.

Examples:
  hob units --system && systemctl daemon-reload && systemctl enable --now hob-boss
  hob units --user --dir ./units")]
    Units(Units),
    /// Run the services of this machine in the foreground
    #[command(after_help = crate::services::SHEPHERD_HELP)]
    Shepherd(crate::services::ShepherdOptions),
    /// Look at, start and stop services; the same as herd
    #[command(after_help = crate::services::SVC_HELP)]
    Svc(crate::services::Svc),
    /// Make another machine what a file or a directory says, by its deploy agent
    #[command(after_help = crate::deploy::client::HELP)]
    Deploy(crate::deploy::client::Deploy),
    /// Watch machines, services, bindings, sessions and what happens
    #[command(after_help = crate::top::HELP)]
    Top(crate::top::TopOptions),
    /// Print a completion script
    #[command(after_help = "\
Example:
  hob completions bash > ~/.local/share/bash-completion/completions/hob")]
    Completions {
        /// For which shell
        shell: Shell,
    },
    /// Print the manual page
    Man {
        /// Write it and the pages of all commands to this directory instead
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
}

const CALL_HELP: &str = "\
Sends exactly the arguments given. A bare word is a symbol, so the first one is usually
the method; an object that takes plain arguments is called with those alone.

Arguments:
  42  -7  3.14          numbers              [1 2 3]          a list
  true  false           booleans             '{\"name\": 1}'   a struct
  '\"hi\"'                a string             '#{1 2}'         a set
  increment  \"'true\"    symbols              '<point 1 2>'    a record
  0x00ff  'b\"hi\"'     bytes                '<void>' '<null>'  nothing, null
  @counter.cap          the object of that file

A URI on the command line is seen by everybody on this machine: prefer --file or -.

Results are written the same way, nothing as nothing at all; references show as <'object>
or <'promise>. With --json a result is {\"fulfilled\": VALUE}, a broken call
{\"broken\": \"why\"}, any other failure {\"error\": \"why\"}.
Nothing is null, and what JSON has no word for is an object with one key:
{\"@symbol\": s}, {\"@int\": digits} beyond 64 bits, {\"@bytes\": base64}, {\"@float\": s},
{\"@set\": […]}, {\"@map\": [[k, v], …]}, {\"@tagged\": [tag, v]}, {\"@record\": […]},
{\"@error\": […]}, {\"@ref\": \"object\"}, {\"@sturdyref\": uri}.

Examples:
  hob call --file counter.cap increment 5
  hob call \"$(cat counter.cap)\" increment 5 --json
  hob call @echo.cap '\"hi\"' 42 @counter.cap
  ssh a cat counter.cap | hob call - value";

/// How a node is set up.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeOptions {
    /// The state directory [env: HOB_STATE] [config: state.path] [default: as `hob where`
    /// says]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state: Option<PathBuf>,
    /// Where to listen; may be repeated. The first is what capabilities name.
    /// tcp-tls:HOST:PORT, unix:PATH, websocket:HOST:PORT (nothing is secret), or, with
    /// no security at all, tcp-testing-only:HOST:PORT; then settings, as in
    /// ?framing=length [env: HOB_LISTEN, separated by spaces] [config: node.listen]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Vec<ListenSpec>,
    /// Where others reach the TCP address, if not where it listens
    /// [env: HOB_PUBLIC_ADDRESS] [config: node.public_address]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) public_address: Option<PublicAddress>,
    /// A limit, as in the config file's [limits]; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = limit)]
    pub(crate) limit: Vec<String>,
    /// End when standard input is closed
    #[arg(long, hide = true)]
    pub(crate) stop_with_stdin: bool,
    /// All settings, also those that have no option here.
    #[arg(skip)]
    pub(crate) settings: Arc<Settings>,
}

impl ServeOptions {
    /// Puts in what the command line has not said.
    fn settle(&mut self, settings: &Arc<Settings>) {
        self.state = self.state.take().or_else(|| settings.state());
        if self.listen.is_empty() {
            self.listen = settings.listen();
        }
        self.public_address = self.public_address.take().or_else(|| settings.public_address());
        self.settings = settings.clone();
    }
}

/// `hob boss`.
#[derive(Args, Debug)]
pub(crate) struct BossOptions {
    #[command(flatten)]
    pub(crate) serve: ServeOptions,
    /// How often to compare what is with what should be [env: HOB_RECONCILE] [config:
    /// boss.reconcile] [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) reconcile: Option<Duration>,
    /// How long enrolments are good for [env: HOB_ENROL_TTL] [config: boss.enrol_ttl]
    /// [default: 15m]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) enrol_ttl: Option<Duration>,
    /// How long a machine may say nothing until its provider is asked to start it again
    /// [env: HOB_REVIVE_AFTER] [config: boss.revive_after] [default: 2m]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) revive_after: Option<Duration>,
    /// Who makes machines where nobody is named [env: HOB_PROVIDER] [config:
    /// boss.default_provider] [default: manual]
    #[arg(long, value_name = "NAME")]
    pub(crate) default_provider: Option<String>,
}

/// That it is a limit there is: what it is set to is read with the other settings.
fn limit(text: &str) -> Result<String, String> {
    let names = || KEYS.iter().filter_map(|key| key.name.strip_prefix("limits."));
    match text.split_once('=') {
        Some((name, _)) if names().any(|known| known == name) => Ok(text.to_owned()),
        _ => Err(format!(
            "write NAME=VALUE; the limits are {}",
            names().collect::<Vec<_>>().join(", ")
        )),
    }
}

/// `hob config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the settings, as a config file would have them
    #[command(after_help = "\
Secrets in the tables of providers are not shown.

Examples:
  hob config show --origin
  hob config show --state ./a --json")]
    Show {
        /// Print a table that says for each setting where it comes from
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        form: Form,
        #[command(flatten)]
        options: Box<BossOptions>,
    },
    /// Say whether the config file and the environment can be used
    Check {
        #[command(flatten)]
        form: Form,
    },
}

/// `hob where`.
#[derive(Args, Debug)]
pub(crate) struct Where {
    #[command(flatten)]
    pub(crate) form: Form,
    #[command(flatten)]
    pub(crate) node: NodeChoice,
}

/// `hob units`.
#[derive(Args, Debug)]
pub(crate) struct Units {
    /// For the whole machine
    #[arg(long, conflicts_with = "user")]
    pub(crate) system: bool,
    /// For this user alone [default, unless the user is root]
    #[arg(long)]
    pub(crate) user: bool,
    /// The directory [default: /etc/systemd/system or ~/.config/systemd/user]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
    /// The program that the units start [default: this one]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) program: Option<PathBuf>,
    /// A file with the node's key that systemd passes on as a credential, instead of a key
    /// in the state directory
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) identity: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) consent: groups::Consent,
}

impl Units {
    /// For whom, if that was said.
    pub(crate) const fn scope(&self) -> Option<Scope> {
        match (self.system, self.user) {
            (true, _) => Some(Scope::System),
            (_, true) => Some(Scope::User),
            _ => None,
        }
    }
}

/// `hob export`.
#[derive(Args, Debug)]
pub(crate) struct Export {
    /// What the node calls the object
    pub(crate) name: String,
    /// The kind of object
    #[arg(long, value_enum)]
    pub(crate) kind: Kind,
    /// The file for its capability, mode 0600; - for standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,
    /// By which transport others shall reach it [default: that of the first --listen]
    #[arg(long)]
    pub(crate) transport: Option<String>,
    #[command(flatten)]
    pub(crate) node: NodeChoice,
}

/// `hob revoke`.
#[derive(Args, Debug)]
pub(crate) struct Revoke {
    /// The name it was exported under
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) node: NodeChoice,
}

/// `hob state`. With a running node, what is durable at that moment; else the state
/// directory's store.
#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// Say what is stored, what nothing holds, and what will not come back as it was
    #[command(after_help = "\
What nothing holds is dropped at the next collection: bind or export it again if it
should stay.")]
    Doctor {
        #[command(flatten)]
        node: NodeChoice,
    },
    /// Copy the store to a new file, also while the node runs
    #[command(after_help = "\
To go back to it, end the node and move the copy to store.redb in the state directory.

Example:
  hob state backup monday.redb")]
    Backup {
        /// The file, made with mode 0600
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        #[command(flatten)]
        node: NodeChoice,
    },
    /// Write the store as text, a line for each thing, to a new file
    #[command(after_help = "\
The text may hold sturdyrefs, which are secrets.

Example:
  hob state export state.txt")]
    Export {
        /// The file, made with mode 0600
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        #[command(flatten)]
        node: NodeChoice,
    },
    /// Make the store of a state directory that has none from such text
    #[command(after_help = "\
Example:
  hob state import state.txt --state ./new")]
    Import {
        /// The file with the text
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        #[command(flatten)]
        node: NodeChoice,
    },
}

/// `hob call`.
#[derive(Args, Debug)]
pub(crate) struct Call {
    /// The target (an ocapn:// URI, @FILE, or - for standard input), unless --file
    /// names it; then what to send
    #[arg(value_name = "TARGET|ARG", allow_negative_numbers = true)]
    pub(crate) words: Vec<String>,
    /// The target's capability file; - for standard input
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// If the result is a sturdyref, write it to this file, mode 0600
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) cap_out: Option<PathBuf>,
    /// Print the secrets of sturdyrefs in the result
    #[arg(long)]
    pub(crate) reveal: bool,
    /// How long to wait, as 500ms, 30s or 2m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// `hob join`.
#[derive(Args, Debug)]
pub(crate) struct Join {
    /// The file with the machine's enrolment, which is removed once it has been used; -
    /// for standard input. A machine that has joined already needs none
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) enrol: Option<PathBuf>,
    /// How long to wait for the boss, as 500ms, 30s or 2m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Where the services of this machine are defined: a file, or a directory of .toml
    /// files [env: HOB_SERVICES] [config: machine.services] [default: services in the state
    /// directory]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) services: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) serve: ServeOptions,
}

/// `hob demo`.
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Give each process a network namespace of its own
    #[arg(long)]
    pub(crate) netns: bool,
    /// How long each step may take, as 500ms, 30s or 2m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_the_command_line_sets_is_found_under_the_names_of_the_settings() {
        let words = "hob -v node --state ./a --listen unix:/a --listen unix:/b";
        let matches = Cli::command().try_get_matches_from(words.split(' ')).unwrap();
        let flags = flags(&matches);
        assert_eq!(flags["listen"], ["unix:/a", "unix:/b"]);
        assert_eq!(flags["state"], ["./a"]);
        assert!(!flags.contains_key("public-address"));
        let words = "hob boss --limit sessions=5 --limit sessions=7 --reconcile 5s";
        let matches = Cli::command().try_get_matches_from(words.split(' ')).unwrap();
        let flags = super::flags(&matches);
        assert_eq!(
            (&*flags["limits.sessions"], &*flags["reconcile"]),
            (&["7".into()][..], &["5s".into()][..])
        );
        assert_eq!(flags.len(), 2);
        let unknown = Cli::command().try_get_matches_from(["hob", "node", "--limit", "x=1"]);
        assert!(unknown.unwrap_err().to_string().contains("the limits are sessions,"));
        let matches = Cli::command().try_get_matches_from(["hob", "call", "-", "x"]).unwrap();
        assert!(super::flags(&matches).is_empty());
    }
}
