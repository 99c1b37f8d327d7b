//! What the tests share: machines, programs that are served, and what asks objects.

use std::path::Path;

use ocapn::actors;
use ocapn::netlayers::LoopbackNetwork;
use ocapn::persist::{Environment, Memory, Store};
use ocapn::{Args, Fault, Node, Ref, Reply, Resolver, Turn, Value, Vat};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::wrap::socket::Socket;
use crate::wrap::{Address, Forward, SocketService, StreamLimits, Wrap, environment};

/// A node with a store, and what wrappers on it need.
pub(super) struct Machine {
    pub(super) node: Node,
    pub(super) vat: Vat,
    pub(super) wrap: Wrap,
}

impl Machine {
    pub(super) fn start(network: &LoopbackNetwork, name: &str, disk: &Memory) -> Self {
        Self::with_limits(network, name, disk, StreamLimits::default())
    }

    pub(super) fn with_limits(
        network: &LoopbackNetwork,
        name: &str,
        disk: &Memory,
        limits: StreamLimits,
    ) -> Self {
        let store = Store::open(disk.clone()).unwrap();
        let netlayer = network.netlayer(name).unwrap();
        Self::on(Node::builder().netlayer(netlayer).start_durable(&store).unwrap(), limits)
    }

    pub(super) fn on(node: Node, limits: StreamLimits) -> Self {
        let wrap = Wrap::new(&node, limits);
        let mut kinds = Environment::new();
        kinds.extend("wrap", &environment(&wrap).unwrap()).unwrap();
        kinds.extend("actors", &actors::environment(node.clock()).unwrap()).unwrap();
        let vat = node.open_vat("node", &kinds).unwrap();
        Self { node, vat, wrap }
    }

    /// Ends as `kill` would have it for peers, after all it did is durable.
    pub(super) async fn end(self) {
        self.wrap.end().await;
        self.node.durable().await.unwrap();
        self.node.shutdown().await;
        self.node.store().unwrap().close().unwrap();
    }

    pub(super) async fn spawn(
        &self,
        make: impl FnOnce(&mut Turn<'_>, &Wrap) -> Result<Ref, Fault> + Send + 'static,
    ) -> Ref {
        let wrap = self.wrap.clone();
        self.vat.run(move |turn| make(turn, &wrap)).await.unwrap()
    }

    pub(super) async fn socket(&self, address: &Address) -> Ref {
        self.sockets(address, SocketService::CONNECTIONS).await
    }

    pub(super) async fn sockets(&self, address: &Address, connections: usize) -> Ref {
        let address = address.clone();
        self.spawn(move |turn, wrap| SocketService::spawn(turn, wrap, address, connections)).await
    }

    /// What another machine has, as it is seen from here.
    pub(super) fn get(&self, other: &Self, object: &Ref) -> Ref {
        self.node.enliven(&other.node.mint(object).unwrap()).into_ref()
    }

    /// A forward that listens, and where.
    pub(super) async fn forward(&self, listen: &str, target: &Ref) -> (Ref, Address) {
        let (listen, target) = (listen.parse().unwrap(), target.clone());
        let forward = self.spawn(move |turn, wrap| {
            let connections = Forward::CONNECTIONS;
            Ok(turn.spawn(Forward::new(wrap, "test", listen, target, connections)?))
        });
        let forward = forward.await;
        let address = ask(&forward, "start", vec![]).await.unwrap();
        let address = address.as_str().unwrap().parse().unwrap();
        (forward, address)
    }
}

/// Two machines: the one with the service, and the one with the program.
pub(super) fn pair() -> (Machine, Machine) {
    let network = LoopbackNetwork::new();
    let start = |name| Machine::start(&network, name, &Memory::new());
    (start("service"), start("program"))
}

pub(super) async fn ask(object: &Ref, method: &str, args: Args) -> Result<Value, Fault> {
    let mut message = vec![Value::Symbol(method.into())];
    message.extend(args);
    object.send(message).await
}

/// A field of a struct that an object answers with.
pub(super) async fn field(object: &Ref, method: &str, name: &str) -> Value {
    let Value::Struct(fields) = ask(object, method, vec![]).await.unwrap() else {
        panic!("{method} answers with a struct")
    };
    let field = fields.into_iter().find(|(field, _)| field.as_str() == name);
    field.unwrap_or_else(|| panic!("{method} has {name}")).1
}

/// Asks until it is so. For what is told by nobody, such as a count.
pub(super) async fn until(object: &Ref, method: &str, name: &str, value: &Value) {
    while field(object, method, name).await != *value {
        tokio::task::yield_now().await;
    }
}

/// A program that serves each connection, until it is dropped.
pub(super) struct Served {
    pub(super) address: Address,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Served {
    pub(super) async fn tcp<F>(serve: impl Fn(Socket) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap().to_string());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(Socket::Tcp(stream)));
            }
        });
        Self { address, task }
    }

    pub(super) fn unix<F>(path: &Path, serve: impl Fn(Socket) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = UnixListener::bind(path).unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(Socket::Unix(stream)));
            }
        });
        Self { address: Address::Unix(path.to_owned()), task }
    }
}

/// Sends back what comes, and ends when that does.
pub(super) async fn echo(socket: Socket) {
    let (mut reader, mut writer) = tokio::io::split(socket);
    if tokio::io::copy(&mut reader, &mut writer).await.is_ok() {
        writer.shutdown().await.unwrap();
    }
}

/// Sends it and reads back as much, as one who writes and reads at the same time.
pub(super) async fn exchange(
    socket: &mut (impl AsyncRead + AsyncWrite + Unpin),
    bytes: &[u8],
) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(socket);
    let mut back = vec![0; bytes.len()];
    let (wrote, read) = tokio::join!(writer.write_all(bytes), reader.read_exact(&mut back));
    wrote.unwrap();
    read.unwrap();
    back
}

/// Bytes that are out of place anywhere else.
pub(super) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

/// What came by a sink that answers nothing by itself.
pub(super) enum Came {
    Write(Vec<u8>, Resolver),
    End(Resolver),
    Abort(String),
}

/// A sink that is played by hand.
pub(super) fn by_hand(vat: &Vat) -> (Ref, mpsc::UnboundedReceiver<Came>) {
    let (to, from) = mpsc::unbounded_channel();
    let sink = vat.spawn(move |turn: &mut Turn<'_>, args: Args| {
        let (answer, resolver) = turn.promise();
        let came = match (args[0].as_symbol().unwrap(), args.get(1)) {
            ("write", Some(Value::Bytes(bytes))) => Came::Write(bytes.to_vec(), resolver),
            ("end", None) => Came::End(resolver),
            ("abort", Some(Value::String(why))) => Came::Abort(why.to_string()),
            other => panic!("{other:?}"),
        };
        // The test may have seen enough.
        let _seen = to.send(came);
        Ok(Reply::value(answer))
    });
    (sink, from)
}
