//! Nodes for tests, and an object to call.

#![allow(dead_code, reason = "each test binary uses what it needs")]

pub(crate) mod bare;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ocapn::netlayers::UnreachableCause;
use ocapn::netlayers::{AcceptError, BoxFuture, Channel, ConnectError, Guarantees, Netlayer};
use ocapn::netlayers::{LoopbackNetwork, TcpOptions, TcpTestingOnly, TcpTls, tcp_tls};
use ocapn::{Args, Behaviour, Fault, Node, PeerLocator, Reply, Turn, Value};

/// Counts: `increment n` answers with the new count, `value` with the present one.
pub(crate) struct Counter(pub(crate) i64);

impl Behaviour for Counter {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        match (args.first().and_then(Value::as_symbol), args.get(1).and_then(Value::as_int)) {
            (Some("increment"), Some(by)) => Ok(Reply::become_with(Self(self.0 + by), self.0 + by)),
            (Some("value"), None) => Ok(Reply::value(self.0)),
            _ => Err("a counter understands increment and value".into()),
        }
    }
}

/// Makes counters.
pub(crate) struct Maker;

impl Behaviour for Maker {
    fn receive(&self, turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
        Ok(Reply::value(Value::Ref(turn.spawn(Counter(0)))))
    }
}

/// Answers with its arguments.
pub(crate) struct Echo;

impl Behaviour for Echo {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        Ok(Reply::value(Value::List(args)))
    }
}

/// Counts how often its behaviour has been dropped.
pub(crate) struct Dropped(pub(crate) Arc<AtomicUsize>);

impl Behaviour for Dropped {
    fn receive(&self, _turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
        Ok(Reply::value(()))
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) async fn tcp_tls_node() -> Node {
    let identity = tcp_tls::Identity::generate().unwrap();
    let netlayer = TcpTls::bind("127.0.0.1:0", identity, TcpOptions::default()).await.unwrap();
    Node::builder().netlayer(netlayer).start()
}

pub(crate) async fn testing_node() -> Node {
    let netlayer = TcpTestingOnly::bind("127.0.0.1:0", TcpOptions::default()).await.unwrap();
    Node::builder().netlayer(netlayer).start()
}

/// Two nodes in one process.
pub(crate) fn loopback_nodes() -> (Node, Node) {
    let network = LoopbackNetwork::new();
    let node = |name: &str| Node::builder().netlayer(network.netlayer(name).unwrap()).start();
    (node("alice"), node("bob"))
}

/// Waits until what a node's sessions hold satisfies a condition: releases travel
/// in their own time.
pub(crate) async fn until(node: &Node, condition: impl Fn(ocapn::TableCounts) -> bool) {
    let settled = async {
        while !node.sessions().iter().all(|session| condition(session.tables)) {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(10), settled).await;
    assert!(waited.is_ok(), "{:?}", node.sessions());
}

/// Waits until a node has so many sessions.
pub(crate) async fn until_sessions(node: &Node, count: usize) {
    let settled = async {
        while node.sessions().len() != count {
            // In virtual time: this lets it pass.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(10), settled).await;
    assert!(waited.is_ok(), "{:?}", node.sessions());
}

/// A netlayer that counts what it has accepted, and can't reach some peer.
pub(crate) struct Watched<N> {
    pub(crate) inner: N,
    pub(crate) accepted: Arc<AtomicUsize>,
    pub(crate) unreachable: &'static str,
}

impl<N> Watched<N> {
    pub(crate) fn new(inner: N) -> Self {
        Self { inner, accepted: Arc::default(), unreachable: "" }
    }
}

impl<N: Netlayer> Netlayer for Watched<N> {
    fn transport(&self) -> &'static str {
        self.inner.transport()
    }

    fn location(&self) -> PeerLocator {
        self.inner.location()
    }

    fn guarantees(&self) -> Guarantees {
        self.inner.guarantees()
    }

    fn connect<'a>(&'a self, to: &'a PeerLocator) -> BoxFuture<'a, Result<Channel, ConnectError>> {
        if to.designator == self.unreachable {
            let (address, cause) = (to.to_string(), UnreachableCause::NobodyThere);
            return Box::pin(async { Err(ConnectError::Unreachable { address, cause }) });
        }
        self.inner.connect(to)
    }

    fn accept(&self) -> BoxFuture<'_, Result<Channel, AcceptError>> {
        Box::pin(async {
            let accepted = self.inner.accept().await;
            self.accepted.fetch_add(usize::from(accepted.is_ok()), Ordering::SeqCst);
            accepted
        })
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.inner.shutdown()
    }
}
