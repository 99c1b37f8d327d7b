//! Ours: nodes that are called, and one that calls.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ocapn::netlayers::{
    Identity, LoopbackNetwork, Netlayer, TcpOptions, TcpTestingOnly, TcpTls, Unix, UnixOptions,
};
use ocapn::{Args, Behaviour, Fault, Limits, Node, Ref, Reply, Sturdyref, Turn, Value, Vat};

use crate::sockets::Transport;
use crate::work::{self, Candidate, Job, MEBIBYTE, PAYLOAD, SPREAD, WINDOW, windowed};

/// References in one answer, when many are taken.
const BATCH: usize = 1000;
/// Exports that may be left when all is let go of.
const FEW: usize = 16;

async fn netlayer(transport: Transport, directory: &Path, name: &str) -> Box<dyn Netlayer> {
    match transport {
        Transport::Unix => {
            let bound = Unix::bind(directory.join(name), UnixOptions::default()).await;
            Box::new(bound.expect("a Unix socket"))
        }
        Transport::Tcp => {
            let bound = TcpTestingOnly::bind("127.0.0.1:0", TcpOptions::default()).await;
            Box::new(bound.expect("a port"))
        }
        Transport::Tls => {
            let identity = Identity::generate().expect("an identity");
            let bound = TcpTls::bind("127.0.0.1:0", identity, TcpOptions::default()).await;
            Box::new(bound.expect("a port"))
        }
    }
}

fn start(netlayer: Box<dyn Netlayer>) -> Node {
    // Room for a million references and whatever else there is.
    let mut limits = Limits::default();
    limits.exports = 2_000_000;
    limits.imports = 2_000_000;
    let builder = Node::builder().limits(limits).sessions_per_netlayer(10_000);
    builder.netlayer_boxed(netlayer).start()
}

/// What a call carries.
fn message() -> Args {
    vec![Value::symbol("echo"), Value::from(PAYLOAD)]
}

// The process that is called.

/// Serves for ever with so many nodes.
pub(crate) async fn serve(transport: Transport, directory: &Path, name: &str, nodes: usize) {
    let mut serving = Vec::new();
    for number in 0..nodes {
        let node = start(netlayer(transport, directory, &format!("{name}-{number}")).await);
        serving.push((at_desk(&node).reveal_uri(), node));
    }
    let addresses: Vec<&str> = serving.iter().map(|(address, _)| address.as_str()).collect();
    work::say(&addresses.join(" "));
    std::future::pending::<()>().await;
}

fn at_desk(node: &Node) -> Sturdyref {
    let shared = Shared { node: node.clone(), pool: Mutex::default() };
    let desk = node.vat("bench").spawn(Desk(Arc::new(shared)));
    node.mint(&desk).expect("a netlayer")
}

/// Does what the jobs need.
struct Desk(Arc<Shared>);

struct Shared {
    node: Node,
    /// Objects that wait to be taken.
    pool: Mutex<Vec<Ref>>,
}

impl Shared {
    fn pool(&self) -> MutexGuard<'_, Vec<Ref>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Behaviour for Desk {
    fn receive(&self, turn: &mut Turn<'_>, mut args: Args) -> Result<Reply, Fault> {
        let number = |at: usize| args.get(at).and_then(Value::as_int);
        let number = |at| number(at).and_then(|it| usize::try_from(it).ok()).ok_or("a number");
        match args.first().and_then(Value::as_symbol) {
            Some("echo") => Ok(Reply::value(args.pop().unwrap_or_default())),
            Some("next") => Ok(Reply::value(Value::Ref(turn.spawn(Self(self.0.clone()))))),
            Some("forget") => Ok(Reply::value(())),
            Some("put") => match args.get(1) {
                Some(Value::Bytes(bytes)) => Ok(Reply::value(bytes.len() as u64)),
                _ => Err("bytes".into()),
            },
            Some("prepare") => {
                let (mut pool, wanted) = (self.0.pool(), number(1)?);
                while pool.len() < wanted {
                    pool.push(turn.spawn(echo));
                }
                Ok(Reply::value(()))
            }
            Some("give") => {
                let (from, to) = (number(1)?, number(2)?);
                let pool = self.0.pool();
                let given = pool.get(from..to).ok_or("as many as are prepared")?;
                Ok(Reply::value(Value::List(given.iter().cloned().map(Value::Ref).collect())))
            }
            Some("exports") => {
                let sessions = self.0.node.sessions();
                let exports: usize = sessions.iter().map(|it| it.tables.exports).sum();
                Ok(Reply::value(exports as u64))
            }
            Some("call") => {
                let rest = args.split_off(2.min(args.len()));
                match args.pop() {
                    Some(Value::Ref(target)) => Ok(Reply::value(turn.send(&target, rest))),
                    _ => Err("a target".into()),
                }
            }
            _ => Err("no such job".into()),
        }
    }
}

fn echo(_turn: &mut Turn<'_>, mut args: Args) -> Result<Reply, Fault> {
    Ok(Reply::value(args.pop().unwrap_or_default()))
}

// The process that calls.

/// A node that calls, and more of them when there have to be more sessions.
pub(crate) struct Ours {
    transport: Transport,
    directory: PathBuf,
    node: Node,
    vat: Vat,
    /// The objects that are called; of a handoff, the exporter's and the receiver's.
    at: Vec<Sturdyref>,
    echo: Ref,
    receiver: Option<Ref>,
    mebibyte: Bytes,
    held: Vec<Ref>,
    /// Nodes without a session yet.
    fresh: Vec<Node>,
    sessions: Vec<(Node, Ref)>,
    made: usize,
}

impl Ours {
    /// With what a server has printed.
    pub(crate) async fn new(transport: Transport, directory: &Path, addresses: &[String]) -> Self {
        let name = format!("client-{}", std::process::id());
        let node = start(netlayer(transport, directory, &name).await);
        Self::with(node, transport, directory, addresses).await
    }

    async fn with(
        node: Node,
        transport: Transport,
        directory: &Path,
        addresses: &[String],
    ) -> Self {
        let parse = |address: &String| address.parse().expect("a sturdyref");
        let at: Vec<Sturdyref> = addresses.iter().map(parse).collect();
        let first = at.first().expect("somebody to call");
        Self {
            transport,
            directory: directory.to_owned(),
            vat: node.vat("bench"),
            echo: node.resolve(first).await.expect("the object"),
            receiver: None,
            mebibyte: Bytes::from(vec![7; MEBIBYTE]),
            held: Vec::new(),
            fresh: Vec::new(),
            sessions: Vec::new(),
            made: 0,
            node,
            at,
        }
    }

    /// Both sides in this process, over `loopback`. The server's node comes along, to be
    /// kept.
    pub(crate) async fn loopback() -> (Self, Node) {
        let network = LoopbackNetwork::new();
        let netlayer = |name| network.netlayer(name).expect("a free name");
        let server = start(Box::new(netlayer("server")));
        let address = at_desk(&server).reveal_uri();
        let node = start(Box::new(netlayer("client")));
        // The transport is that of further sessions, of which there are none.
        (Self::with(node, Transport::Unix, Path::new("."), &[address]).await, server)
    }

    fn exporter(&self) -> &Sturdyref {
        self.at.first().expect("somebody to call")
    }

    async fn ask(&self, what: &'static str, numbers: &[usize]) -> Value {
        let numbers = numbers.iter().map(|number| Value::from(*number as u64));
        let args = std::iter::once(Value::symbol(what)).chain(numbers).collect();
        self.echo.send(args).await.expect("an answer")
    }

    /// A node that has no session.
    async fn another(&mut self) -> Node {
        self.made += 1;
        let name = format!("client-{}-{}", std::process::id(), self.made);
        start(netlayer(self.transport, &self.directory, &name).await)
    }

    /// Gives the receiver the exporter's object, which it calls: until the answer is
    /// here.
    async fn handoff(receiver: &Ref, object: &Ref) {
        let mut args = vec![Value::symbol("call"), Value::Ref(object.clone())];
        args.extend(message());
        receiver.send(args).await.expect("an answer");
    }

    async fn hold(&mut self, count: usize) {
        while self.held.len() < count {
            let (from, to) = (self.held.len(), count.min(self.held.len() + BATCH));
            let Value::List(given) = self.ask("give", &[from, to]).await else {
                panic!("a list of references")
            };
            self.held.extend(given.iter().filter_map(Value::as_ref).cloned());
            assert_eq!(self.held.len(), to, "as many as were asked for");
        }
    }

    async fn release(&mut self) {
        self.held = Vec::new();
        while self.ask("exports", &[]).await.as_int() > Some(FEW as i64) {}
    }

    /// More sessions, each with one call made: from a node of its own each to the server,
    /// or from one node to as many servers as there are.
    async fn connect(&mut self, count: usize) -> bool {
        for _ in 0..count {
            let to = if self.at.len() > 1 {
                match self.at.get(self.sessions.len() + 1) {
                    Some(to) => to.clone(),
                    None => return false,
                }
            } else {
                self.exporter().clone()
            };
            let node = if self.at.len() > 1 { self.node.clone() } else { self.another().await };
            let echo = node.resolve(&to).await.expect("the object");
            echo.send(message()).await.expect("an answer");
            self.sessions.push((node, echo));
        }
        true
    }

    /// Passes objects of this side, made for it, to somebody who forgets them.
    async fn pass(&self, count: usize) {
        windowed(count, WINDOW, |_| {
            let object = self.vat.spawn(echo);
            self.echo.send(vec![Value::symbol("forget"), Value::Ref(object)])
        })
        .await;
        let exports = || self.node.sessions().iter().map(|it| it.tables.exports).sum::<usize>();
        while exports() > FEW {
            self.echo.send(message()).await.expect("an answer");
        }
    }

    async fn forget(&self, count: usize) {
        for number in 1..=count {
            self.echo.send_only(vec![Value::symbol("forget"), Value::from(PAYLOAD)]);
            // As a program would that does anything else.
            if number % 1000 == 0 {
                tokio::task::yield_now().await;
            }
        }
        self.echo.send(message()).await.expect("an answer");
    }
}

/// Neighbours in memory are not called one after the other.
const STRIDE: usize = 7919;

impl Candidate for Ours {
    async fn prepare(&mut self, job: Job, count: usize) {
        if job == Job::Session {
            self.sessions.clear();
            while self.fresh.len() < count {
                let node = self.another().await;
                self.fresh.push(node);
            }
        }
        if matches!(job, Job::Handoff | Job::Handoffs) && self.receiver.is_none() {
            let at = self.at.get(1).expect("a receiver");
            let receiver = self.node.resolve(at).await.expect("the object");
            // Its session with the exporter is there from here on.
            Self::handoff(&receiver, &self.echo).await;
            self.receiver = Some(receiver);
        }
    }

    async fn once(&mut self, job: Job) -> bool {
        match job {
            Job::Call => {
                self.echo.send(message()).await.expect("an answer");
            }
            Job::Pipeline => {
                let first = self.echo.send(vec![Value::symbol("next")]);
                let second = first.send(vec![Value::symbol("next")]);
                second.send(message()).await.expect("an answer");
            }
            Job::Payload => {
                let args = vec![Value::symbol("put"), Value::Bytes(self.mebibyte.clone())];
                self.echo.send(args).await.expect("an answer");
            }
            Job::Session => {
                let node = self.fresh.pop().expect("as many as were prepared");
                let echo = node.enliven(self.exporter());
                echo.send(message()).await.expect("an answer");
                self.sessions.push((node, echo.into_ref()));
            }
            Job::Enliven => {
                self.node.resolve(self.exporter()).await.expect("the object");
            }
            Job::Handoff => {
                let receiver = self.receiver.as_ref().expect("a receiver");
                Self::handoff(receiver, &self.echo).await;
            }
            _ => return false,
        }
        true
    }

    async fn many(&mut self, job: Job, count: usize) -> bool {
        match job {
            Job::Window => windowed(count, WINDOW, |_| self.echo.send(message())).await,
            Job::Flight => {
                let waiting: Vec<_> = (0..count).map(|_| self.echo.send(message())).collect();
                for answer in waiting {
                    answer.await.expect("an answer");
                }
            }
            Job::Forget => self.forget(count).await,
            Job::Pass => self.pass(count).await,
            Job::Prepare => {
                self.ask("prepare", &[count]).await;
            }
            Job::Hold => self.hold(count).await,
            Job::Release => self.release().await,
            Job::Lookup | Job::LookupAll => {
                let few = if job == Job::Lookup { BATCH } else { usize::MAX };
                let held = &self.held[..few.min(self.held.len())];
                let nth = |number: usize| number.wrapping_mul(STRIDE) % held.len().max(1);
                windowed(count, WINDOW, |number| held[nth(number)].send(message())).await;
            }
            Job::Connect => return self.connect(count).await,
            Job::Spread | Job::InTurn => {
                let sessions = &self.sessions;
                let in_a_row = if job == Job::Spread { 1 } else { WINDOW };
                let nth = |number: usize| &sessions[number / in_a_row % sessions.len()].1;
                windowed(count, SPREAD, |number| nth(number).send(message())).await;
            }
            Job::Enlivens => {
                windowed(count, WINDOW, |_| self.node.resolve(self.exporter())).await;
            }
            Job::Handoffs => {
                let receiver = self.receiver.as_ref().expect("a receiver");
                windowed(count, WINDOW, |_| Self::handoff(receiver, &self.echo)).await;
            }
            _ => return false,
        }
        true
    }

    async fn size(&mut self) -> usize {
        const CALLS: u64 = 1000;
        let traffic = || {
            let sessions = self.node.sessions();
            sessions.first().map_or(0, |it| it.traffic.bytes_in + it.traffic.bytes_out)
        };
        let before = traffic();
        for _ in 0..CALLS {
            self.echo.send(message()).await.expect("an answer");
        }
        usize::try_from((traffic() - before) / (2 * CALLS)).expect("a small number")
    }
}
