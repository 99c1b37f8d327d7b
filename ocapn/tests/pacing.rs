//! Sessions over sockets: what floods a busy node is paced, both sides may flood at once,
//! and other sessions go on.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ocapn::netlayers::{TcpOptions, TcpTestingOnly};
use ocapn::{Args, Fault, Limits, Node, Ref, Reply, SessionInfo, Turn, Value, Vat, VatLimits};
use support::{Counter, testing_node};
use vat_runtime::Manual;

const KILOBYTE: usize = 1 << 10;

async fn node_with(limits: Limits) -> Node {
    let netlayer = TcpTestingOnly::bind("127.0.0.1:0", TcpOptions::default()).await.unwrap();
    Node::builder().netlayer(netlayer).limits(limits).start()
}

type Heard = Arc<Mutex<Vec<i64>>>;

/// A vat that runs only when it is told to, and an object in it that notes what it hears.
fn busy(queue: usize) -> (Arc<Manual>, Vat, Ref, Heard) {
    let hand = Manual::new();
    let vat = Vat::with_limits("busy", hand.clone(), VatLimits::default().queue(queue));
    let heard = Heard::default();
    let actor = vat.spawn(listener(heard.clone()));
    // The actor waits to be put in place: the vat is awake, and its scheduler has it.
    (hand, vat, actor, heard)
}

fn listener(
    heard: Heard,
) -> impl Fn(&mut Turn<'_>, Args) -> Result<Reply, Fault> + Send + Sync + 'static {
    move |_turn, args| {
        heard.lock().unwrap().extend(args.first().and_then(Value::as_int));
        Ok(().into())
    }
}

/// Waits until something is so; a test that waits in vain fails.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let waited = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), waited).await.is_ok(), "{what}");
}

fn paced(node: &Node) -> Vec<SessionInfo> {
    node.sessions().into_iter().filter(|session| session.paced).collect()
}

#[tokio::test]
async fn a_flooded_vat_stays_small_and_hears_everything_in_order() {
    const MESSAGES: i64 = 30_000;
    const QUEUE: usize = 1000;
    // No read takes more than this many messages of this size.
    const ONE_READ: usize = 256;
    let (server, flooder, calm) =
        (testing_node().await, testing_node().await, testing_node().await);
    let (hand, vat, actor, heard) = busy(QUEUE);
    let target = flooder.enliven(&server.mint(&actor).unwrap());
    let counter = server.mint(&server.vat("counters").spawn(Counter(0))).unwrap();
    let counter = calm.resolve(&counter).await.unwrap();
    target.settling().await.unwrap();

    let filler = Value::from("x".repeat(KILOBYTE).as_str());
    for message in 0..MESSAGES {
        target.send_only(vec![message.into(), filler.clone()]);
    }
    until("the flood is paced", || !paced(&server).is_empty()).await;
    let read = paced(&server)[0].traffic.messages_in;
    for count in 1..=100 {
        let answer = counter.send(vec![Value::symbol("increment"), 1.into()]).await;
        assert_eq!(answer, Ok(count.into()), "others go on");
    }
    assert_eq!(paced(&server)[0].traffic.messages_in, read, "nothing was read meanwhile");

    let mut most = 0;
    while heard.lock().unwrap().len() < MESSAGES as usize {
        most = most.max(vat.backlog());
        if !hand.step() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::task::yield_now().await;
    }
    assert!(most <= QUEUE + 1 + ONE_READ, "{most} turns waited");
    assert_eq!(*heard.lock().unwrap(), (0..MESSAGES).collect::<Vec<_>>());
    assert!(paced(&server).is_empty());
}

#[tokio::test]
async fn big_messages_are_bounded_by_their_bytes() {
    const MESSAGES: i64 = 60;
    let mut limits = Limits::default();
    limits.waiting_bytes = 4 << 20;
    let (server, flooder) = (node_with(limits).await, testing_node().await);
    let (hand, vat, actor, heard) = busy(100_000);
    let target = flooder.enliven(&server.mint(&actor).unwrap());
    target.settling().await.unwrap();
    let filler = Value::Bytes(vec![0; 1 << 20].into());
    for message in 0..MESSAGES {
        target.send_only(vec![message.into(), filler.clone()]);
    }
    until("the flood is paced", || !paced(&server).is_empty()).await;
    let mut most = 0;
    while heard.lock().unwrap().len() < MESSAGES as usize {
        let waiting = server.sessions()[0].waiting_bytes;
        most = most.max(waiting);
        assert!(vat.backlog() <= 8);
        if !hand.step() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::task::yield_now().await;
    }
    assert!(most > 4 << 20 && most < 7 << 20, "{most} bytes waited");
    assert_eq!(*heard.lock().unwrap(), (0..MESSAGES).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_paced_session_still_says_what_it_has_to_and_ends_when_told() {
    let (server, flooder) = (testing_node().await, testing_node().await);
    let (_hand, _vat, actor, _) = busy(10);
    let target = flooder.enliven(&server.mint(&actor).unwrap());
    let heard = Heard::default();
    let mouth =
        server.enliven(&flooder.mint(&flooder.vat("ears").spawn(listener(heard.clone()))).unwrap());
    mouth.settling().await.unwrap();
    target.settling().await.unwrap();
    for message in 0..1000 {
        target.send_only(vec![message.into()]);
    }
    until("the flood is paced", || !paced(&server).is_empty()).await;
    mouth.send_only(vec![1.into()]);
    until("it is heard", || *heard.lock().unwrap() == [1]).await;
    server.shutdown().await;
    until("the peer knows", || flooder.sessions().is_empty()).await;
}

#[tokio::test]
async fn two_that_flood_each_other_both_get_through() {
    const MESSAGES: i64 = 20_000;
    let (one, two) = (testing_node().await, testing_node().await);
    let (first, second) = (Heard::default(), Heard::default());
    let at_one = one.mint(&one.vat("ears").spawn(listener(first.clone()))).unwrap();
    let at_two = two.mint(&two.vat("ears").spawn(listener(second.clone()))).unwrap();
    let (to_one, to_two) =
        (two.resolve(&at_one).await.unwrap(), one.resolve(&at_two).await.unwrap());
    let filler = Value::from("x".repeat(KILOBYTE).as_str());
    // More than both systems keep for a socket, before either connection has run.
    for message in 0..MESSAGES {
        to_one.send_only(vec![message.into(), filler.clone()]);
        to_two.send_only(vec![message.into(), filler.clone()]);
    }
    let all = MESSAGES as usize;
    until("both have heard everything", || {
        first.lock().unwrap().len() == all && second.lock().unwrap().len() == all
    })
    .await;
    assert_eq!(*first.lock().unwrap(), (0..MESSAGES).collect::<Vec<_>>());
    assert_eq!(*second.lock().unwrap(), (0..MESSAGES).collect::<Vec<_>>());
}

#[tokio::test]
async fn two_that_ask_each_other_more_than_they_hear_both_get_answers() {
    const QUESTIONS: usize = 4_000;
    let (one, two) = (testing_node().await, testing_node().await);
    let at_one = one.mint(&one.vat("echoes").spawn(support::Echo)).unwrap();
    let at_two = two.mint(&two.vat("echoes").spawn(support::Echo)).unwrap();
    let (to_one, to_two) =
        (two.resolve(&at_one).await.unwrap(), one.resolve(&at_two).await.unwrap());
    let filler = Value::from("x".repeat(4 * KILOBYTE).as_str());
    let ask = |whom: &Ref| (0..QUESTIONS).map(|_| whom.send(vec![filler.clone()])).collect();
    let (first, second): (Vec<_>, Vec<_>) = (ask(&to_one), ask(&to_two));
    let answered = async {
        for answer in first.into_iter().chain(second) {
            assert_eq!(answer.await, Ok(vec![filler.clone()].into()));
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), answered).await.is_ok());
}
