//! What the actors know of processes and of the world outside: the [`World`] that they do
//! things with, real ([`Native`](super::native::Native)) or, in tests, made up.

use std::future::Future;
use std::pin::Pin;

use ocapn::{Passable, Ref, Vat};
use rustix::process::Signal;

use super::catalogue::Catalogue;
use super::controller::Context;
use super::definition::Definition;
use super::remote::Remote;

/// Something that takes time.
pub(crate) type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A process, so that it can be told from a later one with the same number.
#[derive(Passable, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    /// Its number, which is that of its process group and session too.
    pub(crate) pid: i64,
    /// When it was started, in clock ticks since the machine was.
    pub(crate) started: u64,
    /// Which run of the machine.
    pub(crate) boot: String,
    /// What all that comes of it has in its environment.
    pub(crate) invocation: String,
}

/// How a process ended.
#[derive(Passable, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// Nobody knows: it was not our child any more.
    Unknown,
}

impl Exit {
    /// Whether it did what it was to do.
    pub(crate) fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// The service's name.
    pub(crate) service: String,
    /// How it is to run.
    pub(crate) definition: std::sync::Arc<Definition>,
}

/// A process that has been made and does not run its program before it is told to. If it
/// is never told, it ends.
pub(crate) struct Prepared {
    pub(crate) process: Process,
    /// Tells it to. Fails if the program can't be run.
    pub(crate) go: Pending<Result<(), String>>,
}

/// Lines that somebody said, with the times in seconds since 1970.
pub(crate) type Lines = Vec<(i64, String)>;

/// Takes lines, and says when more are wanted.
pub(crate) type Sink = Box<dyn Fn(Lines) -> Pending<()> + Send + Sync>;

/// The world outside of the vat. Nothing here blocks: what takes time is a future, which
/// runs elsewhere.
pub(crate) trait World: Send + Sync + 'static {
    /// Makes a process.
    fn prepare(&self, launch: Launch) -> Pending<Result<Prepared, String>>;

    /// Waits for its end, and for that of everything that it has left behind.
    fn exit(&self, process: Process) -> Pending<Exit>;

    /// Whether it is still that process.
    fn is_alive(&self, process: &Process) -> bool;

    /// Sends a signal to the process and its group.
    fn signal(&self, process: &Process, signal: Signal) -> Result<(), String>;

    /// Waits until it is as ready as its definition wants.
    fn ready(&self, launch: Launch, process: Process) -> Pending<Result<(), String>>;

    /// Opens the sockets of a service, unless they are.
    fn listen(&self, launch: Launch) -> Pending<Result<(), String>>;

    /// Waits until somebody connects to one.
    fn connection(&self, service: &str) -> Pending<Result<(), String>>;

    /// Closes them.
    fn close(&self, service: &str);

    /// Begins to write down what a service says, and tells the sink; goes on with what
    /// has been begun otherwise. Gives the last lines that are there.
    fn log(&self, launch: Launch, sink: Sink) -> Pending<Result<Lines, String>>;

    /// Runs a command to its end and gives what it said.
    fn run(&self, launch: Launch, command: Vec<String>) -> Pending<Result<(Exit, String), String>>;

    /// Begins a service that is built in: the object that understands `act` and `stop`.
    fn builtin(&self, context: Context, launch: Launch) -> Pending<Result<Ref, String>> {
        let _unused = (context, launch);
        Box::pin(std::future::ready(Err("nothing is built in here".to_owned())))
    }

    /// Waits until what the vat has done so far survives a crash.
    fn durable(&self) -> Pending<Result<(), String>>;

    /// Adds a line to the record of who did what.
    fn audit(&self, line: String);

    /// The last lines of it.
    fn audited(&self, lines: usize) -> Pending<Result<Lines, String>>;

    /// Reads the definitions.
    fn catalogue(&self) -> Pending<Result<Catalogue, String>>;

    /// What this machine is called.
    fn machine(&self) -> String;

    /// What stands in the vat for a service of another machine, also while that machine is
    /// away.
    fn remote(&self, vat: &Vat, remote: &Remote) -> Ref;
}
