//! Candidates at work: who there is, the processes of each, and asking them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::sockets::Transport;
use crate::work::{Job, Sample};

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Ours,
    /// Both sides in one process.
    OursLoopback,
    /// The floor.
    Tokio,
    Blocking,
    /// One of the program of the peers.
    Peer(&'static str),
}

impl Who {
    /// As in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours | Self::OursLoopback => "ours",
            Self::Tokio => "tokio",
            Self::Blocking => "blocking",
            Self::Peer(name) => name,
        }
    }

    /// As in the processes' arguments.
    const fn argument(self) -> &'static str {
        match self {
            Self::OursLoopback => "loopback",
            _ => self.name(),
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Ours, Self::OursLoopback, Self::Tokio, Self::Blocking]
            .into_iter()
            .find(|who| who.argument() == name)
    }
}

/// What processes are started with.
pub(crate) struct Starter {
    pub(crate) directory: PathBuf,
    /// The program of the peers.
    pub(crate) peers: Option<PathBuf>,
    servers: std::cell::Cell<usize>,
}

/// Which cores the two sides run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Both on the first.
    Same,
    /// One each.
    Split,
}

/// A process that is called, ended with this.
pub(crate) struct Server {
    child: Child,
    pub(crate) addresses: Vec<String>,
}

/// A process that calls, ended with this, and those that it calls.
pub(crate) struct Pair {
    pub(crate) who: Who,
    worker: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    servers: Vec<Server>,
}

impl Starter {
    pub(crate) const fn new(directory: PathBuf, peers: Option<PathBuf>) -> Self {
        Self { directory, peers, servers: std::cell::Cell::new(0) }
    }

    fn command(&self, who: Who) -> Command {
        let ours = std::env::current_exe().expect("this program");
        Command::new(match (who, &self.peers) {
            (Who::Peer(_), Some(peers)) => peers.as_path(),
            _ => ours.as_path(),
        })
    }

    /// Starts a process that is called, with so many nodes, if it has nodes.
    pub(crate) fn serve(
        &self,
        who: Who,
        transport: Transport,
        placement: Placement,
        nodes: usize,
    ) -> Server {
        self.servers.set(self.servers.get() + 1);
        let directory = self.directory.join(self.servers.get().to_string());
        std::fs::create_dir_all(&directory).expect("a directory");
        pin(usize::from(placement == Placement::Split));
        let mut child = self
            .command(who)
            .args(["serve", who.argument(), transport.name()])
            .arg(&directory)
            .arg(nodes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("its output");
        let addresses: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        assert!(!addresses.is_empty(), "{} serves", who.name());
        Server { child, addresses }
    }

    /// Starts a process that calls these. `size` is how long the floor's messages are.
    pub(crate) fn call(
        &self,
        who: Who,
        transport: Transport,
        servers: Vec<Server>,
        size: usize,
    ) -> Pair {
        pin(0);
        let ids: Vec<String> = servers.iter().map(|it| it.child.id().to_string()).collect();
        let mut worker = self
            .command(who)
            .args(["work", who.argument(), transport.name()])
            .arg(&self.directory)
            .arg(size.to_string())
            .arg(ids.join(","))
            .args(servers.iter().flat_map(|server| &server.addresses))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let orders = worker.stdin.take();
        let answers = BufReader::new(worker.stdout.take().expect("its output"));
        Pair { who, worker, orders, answers, servers }
    }

    /// Starts both.
    pub(crate) fn pair(
        &self,
        who: Who,
        transport: Transport,
        placement: Placement,
        size: usize,
    ) -> Pair {
        let servers = match who {
            Who::OursLoopback => Vec::new(),
            _ => vec![self.serve(who, transport, placement, 1)],
        };
        self.call(who, transport, servers, size)
    }
}

impl Pair {
    /// Has a job done. `None` if the candidate can't.
    ///
    /// # Panics
    ///
    /// If it fails at it.
    pub(crate) fn ask(&mut self, job: Job, count: usize) -> Option<Sample> {
        let orders = self.orders.as_mut().expect("it is only taken at the end");
        writeln!(orders, "{} {count}", job.name()).expect("the process is there");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("its output");
        let line = line.trim_end();
        assert!(!line.is_empty(), "{} fails at {count} times {}", self.who.name(), job.name());
        (line != "-").then(|| Sample::parse(line).expect("a sample"))
    }

    /// Bytes that the process that calls has in memory.
    pub(crate) fn resident(&self) -> f64 {
        resident(self.worker.id())
    }

    /// The same of those that are called.
    pub(crate) fn servers_resident(&self) -> f64 {
        self.servers.iter().map(|server| resident(server.child.id())).sum()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _exited = self.worker.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _exited = self.child.wait();
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn resident(process: u32) -> f64 {
    let statm = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<f64>().ok());
    pages.unwrap_or(f64::NAN) * rustix::param::page_size() as f64
}

/// Runs this process, and what it starts from here on, on one core. Where that is not
/// allowed, the figures are merely noisier.
pub(crate) fn pin(core: usize) {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    if let Err(error) = rustix::thread::sched_setaffinity(None, &cores) {
        eprintln!("not pinned to core {core}: {error}");
    }
}

/// Lets this process, and what it starts from here on, have as many files as it may: a
/// thousand sessions are more than usual.
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        eprintln!("only as many files as usual: {error}");
    }
}

/// Builds the program of the peers, and says where it is.
pub(crate) fn build_peers() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(&manifest)
        .env_remove("CARGO_TARGET_DIR")
        .status();
    assert!(status.is_ok_and(|status| status.success()), "the peers build");
    manifest.with_file_name("target/release/peers")
}
