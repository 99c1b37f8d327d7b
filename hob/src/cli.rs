//! The command line.

use ocapn::netlayers::{ListenSpec, PublicAddress};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::kinds::Kind;

/// OCapN nodes, calls by capability, and fleets of machines.
#[derive(Debug, Parser)]
#[command(
    name = "hob",
    version,
    about,
    after_help = "\
Exit codes:
  0  done                              3  no such object
  1  the call broke, or it failed      5  unreachable or timed out
  2  something given can't be used     7  identity mismatch

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
    Boss(ServeOptions),
    /// Make this a machine of a fleet, and run its node
    #[command(after_help = "\
Writes hob.cap to the state directory: the machine's bindings, which understand
register-binding name value, list-bindings and get-binding name.

Examples:
  hob join --state ./db --enrol db.enrol.cap --listen tcp-tls:10.0.0.2:7000
  hob call --file db/hob.cap list-bindings")]
    Join(Join),
    /// See three machines find each other: a boss, a database, an application
    #[command(after_help = "\
With --netns each process gets a network namespace and an address of its own. That
needs root and iproute2.")]
    Demo(Demo),
    /// Run the services of this machine in the foreground
    #[command(after_help = crate::services::SHEPHERD_HELP)]
    Shepherd(crate::services::ShepherdOptions),
    /// Look at, start and stop services; the same as herd
    #[command(after_help = crate::services::SVC_HELP)]
    Svc(crate::services::Svc),
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
#[derive(Args, Debug)]
pub(crate) struct ServeOptions {
    /// The state directory [default: $XDG_STATE_HOME/hob]
    #[arg(long, value_name = "DIR", env = "HOB_STATE", hide_env_values = true, value_hint = ValueHint::DirPath)]
    pub(crate) state: Option<PathBuf>,
    /// Where to listen; may be repeated. The first is what capabilities name.
    /// tcp-tls:HOST:PORT, unix:PATH, websocket:HOST:PORT (nothing is secret), or, with
    /// no security at all, tcp-testing-only:HOST:PORT; then settings, as in
    /// ?framing=length
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Vec<ListenSpec>,
    /// Where others reach the TCP address, if not where it listens
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) public_address: Option<PublicAddress>,
    /// End when standard input is closed
    #[arg(long, hide = true)]
    pub(crate) stop_with_stdin: bool,
}

/// Which running node to use.
#[derive(Args, Debug)]
pub(crate) struct NodeChoice {
    /// The node's state directory [default: $XDG_STATE_HOME/hob]
    #[arg(long, value_name = "DIR", env = "HOB_STATE", hide_env_values = true, value_hint = ValueHint::DirPath)]
    pub(crate) state: Option<PathBuf>,
    /// How long to wait, as 500ms, 30s or 2m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
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

/// A time: a number, with `ms`, `s`, `m` or `h` after it, seconds if nothing is.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || "write a time as 500ms, 30s, 2m or 1h".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wanted()),
    };
    let number: f64 = number.parse().map_err(|_| wanted())?;
    let seconds = number * factor;
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| "that is too long".to_owned())?;
    if time.is_zero() || seconds > 366.0 * 86400.0 {
        return Err("a time between nothing and a year is wanted".to_owned());
    }
    Ok(time)
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
    fn times() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "s", "-1s", "0", "1.2.3", "5 days", "9999999h", "nan", "1e400"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
