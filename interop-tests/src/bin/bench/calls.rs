//! Calls between two processes, and the bare channel under them.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use ocapn::locator::{Locator, PeerLocator};
use ocapn::netlayers::{Channel, Netlayer, TcpOptions, TcpTls, Unix, UnixOptions, tcp_tls};
use ocapn::{Args, Fault, Node, Ref, Reply, Sturdyref, Turn, Value};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use crate::table::{Table, Unit};
use crate::{Stack, Transport};

/// How many calls are in flight at once in the row that says so.
const IN_FLIGHT: usize = 10_000;

pub(crate) async fn netlayer(
    transport: Transport,
    directory: &Path,
    name: &str,
) -> Box<dyn Netlayer> {
    match transport {
        Transport::Unix => {
            let path = directory.join(name);
            let bound = Unix::bind(path, UnixOptions::default()).await;
            Box::new(bound.expect("a Unix socket"))
        }
        Transport::TcpTls => {
            let identity = tcp_tls::Identity::generate().expect("an identity");
            let bound = TcpTls::bind("127.0.0.1:0", identity, TcpOptions::default()).await;
            Box::new(bound.expect("a port"))
        }
    }
}

// The other process.

/// Serves until standard input ends.
pub(crate) async fn serve(transport: Transport, stack: Stack, directory: &Path) {
    let name = if stack == Stack::Raw { "raw" } else { "node" };
    let netlayer = netlayer(transport, directory, name).await;
    let serving = async {
        match stack {
            Stack::Raw => {
                announce(&netlayer.location().to_string());
                while let Ok(channel) = netlayer.accept().await {
                    tokio::spawn(pong(channel));
                }
            }
            Stack::Node | Stack::Caller => {
                let node = Node::builder().netlayer_boxed(netlayer).start();
                let vat = node.vat("bench");
                let object = if stack == Stack::Node { vat.spawn(echo) } else { vat.spawn(call) };
                let sturdyref = node.mint(&object).expect("a netlayer");
                announce(&sturdyref.reveal_uri());
                std::future::pending::<()>().await;
            }
        }
    };
    let mut stdin = tokio::io::stdin();
    let mut scrap = [0; 1];
    tokio::select! {
        () = serving => {}
        _ = stdin.read(&mut scrap) => {}
    }
}

/// Answers with the last argument.
fn echo(_: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
    Ok(Reply::value(args.into_iter().next_back().unwrap_or_default()))
}

/// Calls the first argument with the others.
fn call(turn: &mut Turn<'_>, mut args: Args) -> Result<Reply, Fault> {
    let rest = args.split_off(1.min(args.len()));
    match args.pop() {
        Some(Value::Ref(target)) => Ok(Reply::value(turn.send(&target, rest))),
        _ => Err("a target".into()),
    }
}

fn announce(line: &str) {
    println!("{line}");
    std::io::stdout().flush().expect("standard output");
}

/// Answers each message of the size that the first four bytes say with one as long.
async fn pong(mut channel: Channel) {
    let mut size = [0; 4];
    if channel.io.read_exact(&mut size).await.is_err() {
        return;
    }
    let mut message = vec![0; u32::from_be_bytes(size) as usize];
    while channel.io.read_exact(&mut message).await.is_ok() {
        let sent = async {
            channel.io.write_all(&message).await?;
            channel.io.flush().await
        };
        if sent.await.is_err() {
            return;
        }
    }
}

// This process.

/// A server process, ended with this.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) async fn start(
        transport: Transport,
        stack: Stack,
        directory: &Path,
        core: usize,
    ) -> Self {
        let stack = match stack {
            Stack::Raw => "raw",
            Stack::Node => "node",
            Stack::Caller => "caller",
        };
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["serve", "--transport", transport.name(), "--stack", stack])
            .args(["--core", &core.to_string(), "--directory"])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a server process");
        let stdout = child.stdout.take().expect("its output");
        let stdout = tokio::process::ChildStdout::from_std(stdout).expect("its output");
        let line = BufReader::new(stdout).lines().next_line().await;
        let address = line.expect("its output").expect("its address");
        Self { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _exited = self.child.wait();
    }
}

/// Measures every row of a transport.
pub(crate) async fn measure(table: &mut Table, transport: Transport, calls: usize, core: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let raw = Server::start(transport, Stack::Raw, directory.path(), core).await;
    let ours = Server::start(transport, Stack::Node, directory.path(), core).await;
    let sturdyref: Sturdyref = ours.address.parse().expect("a sturdyref");
    let peer = match raw.address.parse().expect("a locator") {
        Locator::Peer(peer) => peer,
        Locator::Sturdyref(sturdyref) => sturdyref.peer,
    };
    let dialler = netlayer(transport, directory.path(), "raw-client").await;
    let node = Node::builder()
        .netlayer_boxed(netlayer(transport, directory.path(), "node-client").await)
        .start();
    let echo = node.resolve(&sturdyref).await.expect("the object");
    let size = bytes_per_call(&node, &echo).await;
    let name = transport.name();
    for _ in 0..table.reps() {
        let floor = ping_pong(&*dialler, &peer, size, calls).await;
        let sequential = sequential(&echo, calls).await;
        let row = format!("sequential call, {name}");
        table.add(&row, Unit::PerSecond, size, sequential, floor);
        let many = in_flight(&echo).await;
        let row = format!("{IN_FLIGHT} in flight, {name}");
        table.add(&row, Unit::PerSecond, size, many, floor);
    }
    node.shutdown().await;
}

pub(crate) fn message() -> Args {
    vec![
        Value::symbol("echo"),
        Value::from("sixty bytes of text to go there and to come back again, so"),
    ]
}

/// Bytes that a call and its answer put on the wire, half of both: what the floor's
/// messages are long.
async fn bytes_per_call(node: &Node, echo: &Ref) -> usize {
    let before = traffic(node);
    sequential(echo, 1000).await;
    usize::try_from((traffic(node) - before) / 2000).expect("a small number")
}

/// The bytes of a node's first session, both ways.
pub(crate) fn traffic(node: &Node) -> u64 {
    let sessions = node.sessions();
    sessions.first().map_or(0, |s| s.traffic.bytes_in + s.traffic.bytes_out)
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn rate(done: usize, since: Instant) -> f64 {
    done as f64 / since.elapsed().as_secs_f64()
}

pub(crate) async fn ping_pong(
    dialler: &dyn Netlayer,
    peer: &PeerLocator,
    size: usize,
    calls: usize,
) -> f64 {
    let mut channel = dialler.connect(peer).await.expect("a channel");
    let mut message = vec![1; size];
    let length = u32::try_from(size).expect("a small message").to_be_bytes();
    channel.io.write_all(&length).await.expect("a server");
    let start = Instant::now();
    for _ in 0..calls {
        channel.io.write_all(&message).await.expect("a server");
        channel.io.flush().await.expect("a server");
        channel.io.read_exact(&mut message).await.expect("a server");
    }
    rate(calls, start)
}

async fn sequential(echo: &Ref, calls: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        echo.send(message()).await.expect("an answer");
    }
    rate(calls, start)
}

async fn in_flight(echo: &Ref) -> f64 {
    let start = Instant::now();
    let waiting: Vec<_> = (0..IN_FLIGHT).map(|_| echo.send(message())).collect();
    for answer in waiting {
        answer.await.expect("an answer");
    }
    rate(IN_FLIGHT, start)
}
