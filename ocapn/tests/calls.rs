//! Calls between nodes, over each kind of netlayer.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ocapn::netlayers::{LoopbackNetwork, Netlayer, TcpOptions, TcpTls, tcp_tls};
use ocapn::{Node, TableCounts, Value};
use support::{Counter, Dropped, Echo, Maker, loopback_nodes, tcp_tls_node, testing_node, until};

async fn counts_to_fifteen(server: Node, client: Node) {
    let vat = server.vat("objects");
    let sturdyref = server.mint(&vat.spawn(Counter(0))).unwrap();
    let counter = client.enliven(&sturdyref);
    let first = counter.send(vec![Value::symbol("increment"), 5.into()]);
    let second = counter.send(vec![Value::symbol("increment"), 10.into()]);
    assert_eq!(first.await, Ok(5.into()));
    assert_eq!(second.await, Ok(15.into()));
    let wrong = counter.send(vec![Value::symbol("decrement")]).await.unwrap_err();
    assert_eq!(wrong.to_string(), "a counter understands increment and value");
    drop(counter);
    until(&client, |tables| tables == TableCounts::default()).await;
    until(&server, |tables| tables == TableCounts::default()).await;
    client.shutdown().await;
    server.shutdown().await;
}

#[tokio::test]
async fn over_loopback() {
    let (server, client) = loopback_nodes();
    counts_to_fifteen(server, client).await;
}

#[tokio::test]
async fn over_tcp_tls() {
    counts_to_fifteen(tcp_tls_node().await, tcp_tls_node().await).await;
}

#[tokio::test]
async fn over_tcp_testing_only() {
    let (server, client) = (testing_node().await, testing_node().await);
    let vat = server.vat("objects");
    let sturdyref = server.mint(&vat.spawn(Counter(0))).unwrap();
    let counter = client.resolve(&sturdyref).await.unwrap();
    let five = counter.send(vec![Value::symbol("increment"), 5.into()]).await;
    assert_eq!(five, Ok(5.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_keep_their_order_on_many_threads() {
    let (server, client) = loopback_nodes();
    let vat = server.vat("objects");
    let counter = client.enliven(&server.mint(&vat.spawn(Counter(0))).unwrap());
    let calls: Vec<_> =
        (0..10_000).map(|_| counter.send(vec![Value::symbol("increment"), 1.into()])).collect();
    for (expected, call) in (1..).zip(calls) {
        assert_eq!(call.await, Ok(Value::Int(expected)));
    }
}

#[tokio::test]
async fn a_promised_object_can_be_called_before_it_is_there() {
    let (server, client) = loopback_nodes();
    let vat = server.vat("objects");
    let maker = client.enliven(&server.mint(&vat.spawn(Maker)).unwrap());
    let counter = maker.send(vec![]);
    let count = counter.send(vec![Value::symbol("increment"), 7.into()]);
    assert_eq!(count.await, Ok(7.into()));
}

#[tokio::test]
async fn references_travel_both_ways_and_are_dropped_when_nobody_holds_them() {
    let (server, client) = loopback_nodes();
    let (theirs, ours) = (server.vat("theirs"), client.vat("ours"));
    let echo = client.enliven(&server.mint(&theirs.spawn(Echo)).unwrap());
    let drops = Arc::new(AtomicUsize::new(0));
    let mine = ours.spawn(Dropped(Arc::clone(&drops)));
    let back = echo.send(vec![Value::Ref(mine.clone())]).await.unwrap();
    assert_eq!(back, Value::List(vec![Value::Ref(mine.clone())]));
    drop((mine, back));
    until(&client, |tables| tables.exports == 0).await;
    while drops.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_revoked_or_was_never_there_is_no_such_object() {
    let (server, client) = loopback_nodes();
    let vat = server.vat("objects");
    let sturdyref = server.mint(&vat.spawn(Counter(0))).unwrap();
    let held = client.resolve(&sturdyref).await.unwrap();
    assert!(server.revoke(&sturdyref.swiss));
    assert!(!server.revoke(&sturdyref.swiss));
    let gone = client.resolve(&sturdyref).await.unwrap_err();
    assert!(matches!(gone, ocapn::EnlivenError::NoSuchObject(_)), "{gone}");
    let still = held.send(vec![Value::symbol("value")]).await;
    assert_eq!(still, Ok(0.into()), "live references outlive their sturdyref");
}

#[tokio::test]
async fn a_hundred_who_want_one_peer_share_a_connection() {
    let (server, client) = loopback_nodes();
    let vat = server.vat("objects");
    let sturdyref = server.mint(&vat.spawn(Counter(0))).unwrap();
    let all: Vec<_> = (0..100).map(|_| client.enliven(&sturdyref)).collect();
    for one in all {
        one.await.unwrap();
    }
    assert_eq!(server.sessions().len(), 1);
}

/// On many threads, and as many connections counted as were accepted.
async fn a_hundred_at_once(server: impl Netlayer, client: Node) {
    let counting = support::Watched::new(server);
    let accepted = Arc::clone(&counting.accepted);
    let server = Node::builder().netlayer(counting).start();
    let vat = server.vat("objects");
    let sturdyref = server.mint(&vat.spawn(Counter(0))).unwrap();
    let all: Vec<_> = (0..100)
        .map(|nth| {
            let (client, sturdyref) = (client.clone(), sturdyref.clone());
            tokio::spawn(async move {
                match nth % 2 {
                    0 => client.enliven(&sturdyref).await.map(drop).unwrap(),
                    _ => client.resolve(&sturdyref).await.map(drop).unwrap(),
                }
            })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_at_once_over_loopback() {
    let network = LoopbackNetwork::new();
    let client = Node::builder().netlayer(network.netlayer("client").unwrap()).start();
    a_hundred_at_once(network.netlayer("server").unwrap(), client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_at_once_over_tcp_tls() {
    let identity = tcp_tls::Identity::generate().unwrap();
    let options = TcpOptions::default();
    let server = TcpTls::bind("127.0.0.1:0", identity, options).await.unwrap();
    a_hundred_at_once(server, tcp_tls_node().await).await;
}

#[tokio::test]
async fn a_node_enlivens_its_own_sturdyrefs_without_a_session() {
    let (node, _) = loopback_nodes();
    let vat = node.vat("objects");
    let counter = vat.spawn(Counter(1));
    let sturdyref = node.mint(&counter).unwrap();
    assert_eq!(node.resolve(&sturdyref).await.unwrap(), counter);
    assert_eq!(node.enliven(&sturdyref).send(vec![Value::symbol("value")]).await, Ok(1.into()));
    assert!(node.sessions().is_empty());
}

#[tokio::test]
async fn the_end_of_a_session_breaks_what_waited_and_is_told() {
    let (server, client) = loopback_nodes();
    let vat = server.vat("objects");
    let never = vat.spawn(|turn: &mut ocapn::Turn<'_>, _args: ocapn::Args| {
        // A promise that nobody resolves, while its resolver is kept.
        let (promise, resolver) = turn.promise();
        std::mem::forget(resolver);
        Ok(ocapn::Reply::value(promise))
    });
    let held = client.resolve(&server.mint(&never).unwrap()).await.unwrap();
    let waiting = held.send(vec![]);
    let severed = client.on_sever(&held);
    let ((), end) = tokio::join!(server.shutdown(), severed);
    assert!(end.is_some());
    assert!(waiting.await.is_err());
    assert!(held.send(vec![]).await.is_err(), "nothing hangs afterwards");
}

#[tokio::test]
async fn a_netlayer_has_no_more_sessions_than_it_may() {
    let network = LoopbackNetwork::new();
    let server = Node::builder()
        .netlayer(network.netlayer("server").unwrap())
        .sessions_per_netlayer(1)
        .start();
    let client = |name: &str| Node::builder().netlayer(network.netlayer(name).unwrap()).start();
    let (first, second) = (client("first"), client("second"));
    let vat = server.vat("objects");
    let sturdyref = server.mint(&vat.spawn(Counter(1))).unwrap();
    first.resolve(&sturdyref).await.unwrap();
    let waiting = second.enliven(&sturdyref).send(vec![Value::symbol("value")]);
    // What the first is told comes after everything that the server did meanwhile.
    let counter = first.resolve(&sturdyref).await.unwrap();
    counter.send(vec![Value::symbol("value")]).await.unwrap();
    assert_eq!(server.sessions().len(), 1, "the second waits");
    first.shutdown().await;
    assert_eq!(waiting.await, Ok(1.into()), "until there is room");
}

#[tokio::test]
async fn a_vat_lives_as_long_as_its_node() {
    let (node, other) = loopback_nodes();
    let counter = node.vat("objects").spawn(Counter(1));
    let value = || vec![Value::symbol("value")];
    assert_eq!(counter.send(value()).await, Ok(1.into()), "without its handle");
    node.shutdown().await;
    assert!(counter.send(value()).await.is_err());
    let vat = other.vat("objects");
    let counter = vat.spawn(Counter(1));
    vat.stop();
    assert!(counter.send(value()).await.is_err());
}

#[test]
fn a_node_whose_runtime_is_gone_keeps_nobody_waiting() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (server, client) = runtime.block_on(async { loopback_nodes() });
    let sturdyref = server.mint(&server.vat("objects").spawn(Counter(0))).unwrap();
    runtime.shutdown_background();
    // Its user does something else with the node, and on another thread, when told.
    let (again, other) = (client.clone(), sturdyref.clone());
    let (promise, resolver) = ocapn::promise();
    client.enliven(&sturdyref).into_ref().when_settled(move |outcome| {
        drop(again.enliven(&other));
        resolver.resolve(outcome);
    });
    assert!(promise.wait().is_err());
}
