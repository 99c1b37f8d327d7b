//! References that heal by themselves.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ocapn::netlayers::{
    AcceptError, BoxFuture, Channel, ConnectError, Guarantees, LoopbackNetwork, Netlayer,
    UnreachableCause,
};
use ocapn::persist::{Backoff, Environment, Memory, Store};
use ocapn::{
    Args, Behaviour, Fault, Lasting, LastingLimits, Node, PeerLocator, Ref, Reply, Resolver,
    Sturdyref, SwissNum, Turn, Unreachable, Value,
};
use support::{Echo, Maker};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// What connections a netlayer makes, and what becomes of them.
#[derive(Clone, Default)]
struct Wires {
    open: Arc<Mutex<Vec<AbortHandle>>>,
    /// Nobody can be dialled.
    down: Arc<AtomicBool>,
    /// Somebody else answers.
    tapped: Arc<AtomicBool>,
    /// From now on nothing passes by what is open, and nobody is told.
    frozen: Arc<Notify>,
}

impl Wires {
    /// Cuts all connections, without a word to either side.
    fn cut(&self) {
        self.open.lock().unwrap().drain(..).for_each(|wire| wire.abort());
    }

    fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }
}

struct Cuttable<N> {
    inner: N,
    wires: Wires,
}

impl<N: Netlayer> Netlayer for Cuttable<N> {
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
        Box::pin(async {
            let address = to.to_string();
            if self.wires.down.load(Ordering::SeqCst) {
                let cause = UnreachableCause::NobodyThere;
                return Err(ConnectError::Unreachable { address, cause });
            }
            if self.wires.tapped.load(Ordering::SeqCst) {
                let expected = to.designator.clone();
                return Err(ConnectError::IdentityMismatch { address, expected, found: None });
            }
            let mut channel = self.inner.connect(to).await?;
            let (io, mut near) = tokio::io::duplex(1 << 16);
            let mut far = std::mem::replace(&mut channel.io, Box::new(io));
            let frozen = self.wires.frozen.clone();
            let wire = tokio::spawn(async move {
                tokio::select! {
                    _over = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                    () = frozen.notified() => {}
                }
                let _open = (near, far);
                std::future::pending().await
            });
            self.wires.open.lock().unwrap().push(wire.abort_handle());
            Ok(channel)
        })
    }

    fn accept(&self) -> BoxFuture<'_, Result<Channel, AcceptError>> {
        self.inner.accept()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.inner.shutdown()
    }
}

/// Answers with the number that it is given, and tells a test of it. Does not answer a
/// negative one.
struct Recorder {
    heard: mpsc::UnboundedSender<i64>,
    held: Mutex<Vec<Resolver>>,
}

impl Recorder {
    fn new() -> (Self, mpsc::UnboundedReceiver<i64>) {
        let (heard, hear) = mpsc::unbounded_channel();
        (Self { heard, held: Mutex::default() }, hear)
    }
}

impl Behaviour for Recorder {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let number = args.first().and_then(Value::as_int).ok_or("a number")?;
        self.heard.send(number).unwrap();
        if number >= 0 {
            return Ok(number.into());
        }
        let (answer, resolver) = turn.promise();
        self.held.lock().unwrap().push(resolver);
        Ok(answer.into())
    }
}

/// Ada has an object, and Ben dials her.
struct Pair {
    network: LoopbackNetwork,
    ada: Node,
    ben: Node,
    wires: Wires,
}

impl Pair {
    fn new() -> Self {
        let network = LoopbackNetwork::new();
        let wires = Wires::default();
        let inner = network.netlayer("ben").unwrap();
        let ben = Node::builder().netlayer(Cuttable { inner, wires: wires.clone() }).start();
        let ada = Node::builder().netlayer(network.netlayer("ada").unwrap()).start();
        Self { network, ada, ben, wires }
    }

    fn mint(&self, object: impl Behaviour) -> Sturdyref {
        self.ada.mint(&self.ada.vat("objects").spawn(object)).unwrap()
    }

    /// Cuts the session and waits until that is noticed.
    async fn cut(&self, sturdyref: &Sturdyref) {
        self.wires.cut();
        while self.ben.lasting_state(sturdyref).unwrap().is_connected() {
            tokio::task::yield_now().await;
        }
    }

    fn lasting(&self, sturdyref: &Sturdyref, limits: LastingLimits) -> Ref {
        let lasting = Lasting::new(&self.ben, sturdyref.clone()).with_limits(limits);
        self.ben.vat("friends").spawn(lasting)
    }
}

fn number(number: i64) -> Args {
    vec![number.into()]
}

fn reason(fault: &Fault) -> Option<Unreachable> {
    Unreachable::of(fault)
}

#[tokio::test(start_paused = true)]
async fn messages_wait_while_the_session_is_cut_and_each_arrives_at_most_once() {
    let pair = Pair::new();
    let (recorder, mut heard) = Recorder::new();
    let sturdyref = pair.mint(recorder);
    let friend = pair.ben.lasting(&pair.ben.vat("friends"), &sturdyref);
    for round in 0..3 {
        assert_eq!(friend.send(number(1)).await, Ok(1.into()));
        let lost = friend.send(number(-1));
        assert_eq!((heard.recv().await, heard.recv().await), (Some(1), Some(-1)));
        // Long enough for it to be a session that was well.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let state = pair.ben.lasting_state(&sturdyref).unwrap();
        let session = pair.ben.session_of(&state.object.unwrap()).unwrap();
        assert_eq!(session.peer.designator, "ada");
        pair.wires.set_down(true);
        pair.wires.cut();
        let fault = lost.await.unwrap_err();
        assert_eq!(reason(&fault), None, "nobody knows what became of it: {fault}");
        let answers = [2, 3, 4].map(|each| friend.send(number(each)));
        // They are not given up while there is patience.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let state = pair.ben.lasting_state(&sturdyref).unwrap();
        assert!(!state.is_connected(), "round {round}");
        assert_eq!(state.waiting, 3);
        assert!(state.last_error.unwrap().contains("nobody of that name"));
        pair.wires.set_down(false);
        for (answer, each) in answers.into_iter().zip([2, 3, 4]) {
            assert_eq!(answer.await, Ok(each.into()));
            assert_eq!(heard.try_recv(), Ok(each), "in order");
        }
    }
    assert!(heard.try_recv().is_err(), "nothing twice");
}

#[tokio::test(start_paused = true)]
async fn answers_are_pipelined() {
    let pair = Pair::new();
    let (recorder, mut heard) = Recorder::new();
    let friend = pair.lasting(&pair.mint(recorder), LastingLimits::default());
    let answer = friend.send(number(-1));
    assert_eq!(heard.recv().await, Some(-1));
    assert!(answer.is_promise() && answer.is_remote(), "what is sent to it goes on to the peer");

    pair.wires.set_down(true);
    pair.wires.cut();
    assert!(answer.await.is_err());
    let maker = pair.lasting(&pair.mint(Maker), LastingLimits::default());
    let counter = maker.send(vec![]);
    let count = counter.send(vec![Value::symbol("increment"), 2.into()]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    pair.wires.set_down(false);
    assert_eq!(count.await, Ok(2.into()), "also what was said while nobody was there");
}

#[tokio::test(start_paused = true)]
async fn no_more_messages_wait_than_may() {
    let pair = Pair::new();
    let (recorder, mut heard) = Recorder::new();
    let sturdyref = pair.mint(recorder);
    let friend = pair.lasting(&sturdyref, LastingLimits::default().waiting(2));
    pair.wires.set_down(true);
    let [one, two, three] = [1, 2, 3].map(|each| friend.send(number(each)));
    let fault = three.await.unwrap_err();
    assert_eq!(reason(&fault), Some(Unreachable::Full));
    assert!(!Unreachable::Full.is_lasting());
    pair.wires.set_down(false);
    assert_eq!((one.await, two.await), (Ok(1.into()), Ok(2.into())));
    assert_eq!(friend.send(number(4)).await, Ok(4.into()));
    assert_eq!([heard.recv().await, heard.recv().await, heard.recv().await], [1, 2, 4].map(Some));
}

#[tokio::test(start_paused = true)]
async fn patience_ends() {
    let pair = Pair::new();
    let (recorder, mut heard) = Recorder::new();
    let sturdyref = pair.mint(recorder);
    let patience = Duration::from_secs(7);
    let friend = pair.lasting(&sturdyref, LastingLimits::default().patience(patience));
    pair.wires.set_down(true);
    let started = Instant::now();
    let early = friend.send(number(1));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let late = friend.send(number(2));
    let fault = early.await.unwrap_err();
    assert_eq!(started.elapsed().as_secs(), 7);
    assert_eq!(reason(&fault), Some(Unreachable::Away));
    let text = "ada.loopback can't be reached: nobody of that name is listening";
    assert_eq!(fault.to_string(), text);
    assert_eq!(reason(&late.await.unwrap_err()), Some(Unreachable::Away));
    assert_eq!(started.elapsed().as_secs(), 10);
    pair.wires.set_down(false);
    assert_eq!(friend.send(number(3)).await, Ok(3.into()), "a later one tries again");
    assert_eq!(heard.recv().await, Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_breaks_all_that_wait_at_once() {
    let pair = Pair::new();
    let ada = pair.ada.locations().remove(0);
    let swiss = SwissNum::from_entropy([7; 32]);
    let sturdyref = Sturdyref::new(ada, swiss.clone());
    let friend = pair.lasting(&sturdyref, LastingLimits::default());
    let started = Instant::now();
    let answers = [1, 2].map(|each| friend.send(number(each)));
    for answer in answers {
        let fault = answer.await.unwrap_err();
        assert_eq!(reason(&fault), Some(Unreachable::NoSuchObject), "{fault}");
        assert_eq!(fault.to_string(), "ada.loopback refuses: no such object");
    }
    let (recorder, _heard) = Recorder::new();
    let object = pair.ada.vat("objects").spawn(recorder);
    pair.ada.mint_with(&object, swiss).unwrap();
    assert_eq!(friend.send(number(3)).await, Ok(3.into()), "it is asked for again");

    tokio::time::sleep(Duration::from_secs(1)).await;
    pair.wires.tapped.store(true, Ordering::SeqCst);
    pair.cut(&sturdyref).await;
    let fault = friend.send(number(4)).await.unwrap_err();
    assert_eq!(reason(&fault), Some(Unreachable::WrongPeer), "{fault}");
    assert!(Unreachable::WrongPeer.is_lasting());
    pair.wires.tapped.store(false, Ordering::SeqCst);
    assert_eq!(friend.send(number(5)).await, Ok(5.into()));

    let elsewhere = PeerLocator::new("carrier-pigeon", "ada");
    let sturdyref = Sturdyref::new(elsewhere, SwissNum::from_entropy([8; 32]));
    let fault = pair.lasting(&sturdyref, LastingLimits::default()).send(vec![]).await.unwrap_err();
    assert_eq!(reason(&fault), Some(Unreachable::BadLocator), "{fault}");
    assert_eq!(started.elapsed().as_secs(), 1, "nobody has waited");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_peer_opens_ends_the_wait() {
    let pair = Pair::new();
    let (recorder, _heard) = Recorder::new();
    let sturdyref = pair.mint(recorder);
    let hours = Duration::from_secs(3600);
    let backoff = Backoff::default().first(5 * hours).most(5 * hours);
    let limits = LastingLimits::default().patience(9 * hours).backoff(backoff);
    let friend = pair.lasting(&sturdyref, limits.clone());
    let keeper = Lasting::new(&pair.ben, pair.mint(Echo)).with_limits(limits).keep_up();
    let kept = keeper.sturdyref().clone();
    pair.wires.set_down(true);
    let started = Instant::now();
    let answer = friend.send(number(1));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(answer.is_promise());
    let echo = pair.ben.mint(&pair.ben.vat("objects").spawn(Echo)).unwrap();
    assert!(pair.ada.enliven(&echo).await.is_ok());
    assert_eq!(answer.await, Ok(1.into()));
    while !pair.ben.lasting_state(&kept).unwrap().is_connected() {
        // In virtual time: this lets it pass.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(started.elapsed() < Duration::from_secs(61));
    drop(keeper);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_comes_back_before_its_end_was_noticed_is_spoken_to_at_once() {
    let pair = Pair::new();
    let ben = pair.ben.mint(&pair.ben.vat("objects").spawn(Echo)).unwrap();
    let sturdyref = pair.mint(Echo);
    let friend = pair.lasting(&sturdyref, LastingLimits::default());
    assert!(friend.send(number(1)).await.is_ok());
    tokio::time::sleep(Duration::from_secs(20)).await;
    pair.wires.frozen.notify_waiters();
    pair.ada.shutdown().await;
    assert!(pair.ben.lasting_state(&sturdyref).unwrap().is_connected(), "as far as he knows");

    let ada = Node::builder().netlayer(pair.network.netlayer("ada").unwrap()).start();
    ada.mint_with(&ada.vat("objects").spawn(Echo), sturdyref.swiss).unwrap();
    assert!(ada.enliven(&ben).await.is_ok());
    let started = Instant::now();
    assert!(friend.send(number(2)).await.is_ok());
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_up_is_there_without_a_message() {
    let pair = Pair::new();
    let sturdyref = pair.mint(Echo);
    let keeper = Lasting::new(&pair.ben, sturdyref.clone()).keep_up();
    let connected = || pair.ben.lasting_state(&sturdyref).unwrap().is_connected();
    for _ in 0..3 {
        // The longest pause.
        tokio::time::sleep(Duration::from_secs(15)).await;
        assert!(connected());
        pair.wires.set_down(true);
        pair.wires.cut();
        // Longer than the patience of any message.
        tokio::time::sleep(Duration::from_secs(500)).await;
        assert!(!connected());
        pair.wires.set_down(false);
    }
    drop(keeper);
    assert!(pair.ben.lasting_state(&sturdyref).is_none());
}

#[tokio::test(start_paused = true)]
async fn messages_outlive_the_reference_that_they_were_sent_to() {
    let pair = Pair::new();
    let (recorder, mut heard) = Recorder::new();
    let sturdyref = pair.mint(recorder);
    let friend = pair.lasting(&sturdyref, LastingLimits::default());
    pair.wires.set_down(true);
    let answer = friend.send(number(1));
    drop(friend);
    tokio::time::sleep(Duration::from_secs(5)).await;
    pair.wires.set_down(false);
    assert_eq!(answer.await, Ok(1.into()));
    assert_eq!(heard.recv().await, Some(1));
    assert!(pair.ben.lasting_state(&sturdyref).is_none(), "nothing is left of it then");
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_for_a_node_that_is_shut_down() {
    let pair = Pair::new();
    let sturdyref = pair.mint(Echo);
    let friend = pair.lasting(&sturdyref, LastingLimits::default());
    pair.wires.set_down(true);
    let started = Instant::now();
    let answer = friend.send(number(1));
    tokio::time::sleep(Duration::from_secs(1)).await;
    pair.ben.shutdown().await;
    let fault = answer.await.unwrap_err();
    assert_eq!(reason(&fault), Some(Unreachable::Away), "{fault}");
    assert_eq!(started.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_live_reference_is_used_for_as_long_as_it_lives() {
    let pair = Pair::new();
    let (recorder, mut heard) = Recorder::new();
    let sturdyref = pair.mint(recorder);
    let live = pair.ben.resolve(&sturdyref).await.unwrap();
    // What can't be enlivened, to show that it is not.
    pair.ada.revoke(&sturdyref.swiss);
    let lasting = Lasting::of(&pair.ben, &live, sturdyref.clone());
    let friend = pair.ben.vat("friends").spawn(lasting);
    assert_eq!(pair.ben.lasting_state(&sturdyref).unwrap().object, Some(live));
    assert_eq!(friend.send(number(1)).await, Ok(1.into()));
    pair.cut(&sturdyref).await;
    let fault = friend.send(number(2)).await.unwrap_err();
    assert_eq!(reason(&fault), Some(Unreachable::NoSuchObject));
    assert_eq!(heard.recv().await, Some(1));
    assert!(heard.try_recv().is_err());
}

// Restarts.

/// A number; a number given is added.
#[derive(Clone, ocapn::Durable)]
struct Sum(i64);

impl Behaviour for Sum {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let sum = self.0 + args.first().and_then(Value::as_int).unwrap_or(0);
        Ok(Reply::become_with(Self(sum), sum))
    }
}

/// Says a number to a friend, calling or sending, and fails if it is odd.
#[derive(Clone, ocapn::Durable)]
struct Teller(Ref);

impl Behaviour for Teller {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let number = args.first().and_then(Value::as_int).ok_or("a number")?;
        let answer = turn.call(&self.0, args.clone())?;
        turn.send_only(&self.0, args);
        if number % 2 == 1 { Err("an odd number".into()) } else { Ok(Reply::value(answer)) }
    }
}

struct World {
    network: LoopbackNetwork,
    ada: Memory,
    ben: Memory,
}

impl World {
    fn new() -> Self {
        Self { network: LoopbackNetwork::new(), ada: Memory::new(), ben: Memory::new() }
    }

    fn node(&self, name: &str, disk: &Memory) -> Node {
        let netlayer = self.network.netlayer(name).unwrap();
        let store = Store::open(disk.clone()).unwrap();
        Node::builder().netlayer(netlayer).start_durable(&store).unwrap()
    }

    /// Ada and her sums.
    fn ada(&self) -> (Node, ocapn::Vat) {
        let node = self.node("ada", &self.ada);
        let mut environment = Environment::new();
        environment.kind::<Sum>("sum").unwrap();
        let vat = node.open_vat("sums", &environment).unwrap();
        (node, vat)
    }

    /// Ben and his friends.
    fn ben(&self) -> (Node, ocapn::Vat) {
        let node = self.node("ben", &self.ben);
        let mut environment = Environment::new();
        let backoff = Backoff::default().first(Duration::from_millis(5));
        let limits = LastingLimits::default().patience(Duration::from_secs(3600)).backoff(backoff);
        environment.kind::<Teller>("teller").unwrap();
        Lasting::kind(&mut environment, "friend", &node, &limits).unwrap();
        let vat = node.open_vat("friends", &environment).unwrap();
        (node, vat)
    }
}

/// Ends a node as `kill` would as far as its peers are concerned, after what it did is
/// durable.
async fn end((node, vat): (Node, ocapn::Vat)) {
    drop(vat);
    node.durable().await.unwrap();
    node.shutdown().await;
    node.store().unwrap().close().unwrap();
}

#[tokio::test]
async fn a_peer_that_is_started_anew_is_found_again() {
    let world = World::new();
    let ada = world.ada();
    let sum = ada.0.mint(&ada.1.spawn(Sum(0))).unwrap();
    let (ben, vat) = world.ben();
    let friend = vat.spawn(Lasting::new(&ben, sum));
    assert_eq!(friend.send(number(5)).await, Ok(5.into()));
    end(ada).await;
    let early = friend.send(number(1));
    let ada = world.ada();
    assert_eq!(early.await, Ok(6.into()));
    end(ada).await;
    let _ada = world.ada();
    assert_eq!(friend.send(number(1)).await, Ok(7.into()), "the first word after that");
}

#[tokio::test]
async fn both_may_be_started_anew_in_any_order() {
    for ada_first in [true, false] {
        let world = World::new();
        let ada = world.ada();
        let sum = ada.0.mint(&ada.1.spawn(Sum(0))).unwrap();
        let (ben, vat) = world.ben();
        let friend = vat.spawn(Lasting::new(&ben, sum.clone()));
        vat.set_root("friend", &friend).unwrap();
        assert_eq!(friend.send(number(1)).await, Ok(1.into()));
        end(ada).await;
        // What was stored does not depend on whether she is there.
        let unused = vat.spawn(Lasting::new(&ben, sum));
        vat.set_root("unused", &unused).unwrap();
        drop((friend, unused));
        end((ben, vat)).await;

        let ada = ada_first.then(|| world.ada());
        let (ben, vat) = world.ben();
        let [friend, unused] = ["friend", "unused"].map(|name| vat.root(name).unwrap().unwrap());
        let answers = [friend.send(number(1)), unused.send(number(2)), friend.send(number(3))];
        let _ada = ada.unwrap_or_else(|| world.ada());
        for (answer, sum) in answers.into_iter().zip([2, 4, 7]) {
            assert_eq!(answer.await, Ok(sum.into()));
        }
        drop((friend, unused));
        end((ben, vat)).await;
    }
}

#[tokio::test]
async fn what_is_kept_up_is_so_again_after_a_restart() {
    let world = World::new();
    let ada = world.ada();
    let sum = ada.0.mint(&ada.1.spawn(Sum(0))).unwrap();
    let (ben, vat) = world.ben();
    vat.set_root("friend", vat.spawn(Lasting::new(&ben, sum.clone()).keep_up())).unwrap();
    end((ben, vat)).await;
    end(ada).await;
    let ben = world.ben();
    let ada = world.ada();
    while !ben.0.lasting_state(&sum).unwrap().is_connected() {
        tokio::task::yield_now().await;
    }
    assert_eq!(ada.0.sessions().len(), 1);
    // Until nothing holds it any more.
    ben.1.remove_root("friend").unwrap();
    ben.0.durable().await.unwrap();
    ben.0.store().unwrap().collect().unwrap();
    while ben.0.lasting_state(&sum).is_some() {
        tokio::task::yield_now().await;
    }
    end(ben).await;
}

#[tokio::test]
async fn a_turn_that_fails_has_said_nothing() {
    let world = World::new();
    let (recorder, mut heard) = Recorder::new();
    let ada = Node::builder().netlayer(world.network.netlayer("ada").unwrap()).start();
    let sturdyref = ada.mint(&ada.vat("objects").spawn(recorder)).unwrap();
    let (ben, vat) = world.ben();
    let friend = vat.spawn(Lasting::new(&ben, sturdyref));
    let teller = vat.spawn(Teller(friend));
    for told in [3, 4, 5, 6] {
        assert_eq!(teller.send(number(told)).await.is_ok(), told % 2 == 0);
    }
    for told in [4, 4, 6, 6] {
        assert_eq!(heard.recv().await, Some(told));
    }
    assert!(heard.try_recv().is_err());
    drop(teller);
    end((ben, vat)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads_and_over_many_cuts_nothing_arrives_twice_or_out_of_order() {
    let pair = Pair::new();
    let (recorder, mut heard) = Recorder::new();
    let sturdyref = pair.mint(recorder);
    let backoff = Backoff::default().first(Duration::from_millis(1)).most(Duration::from_millis(5));
    let patience = Duration::from_secs(3600);
    let limits = LastingLimits::default().patience(patience).waiting(10_000).backoff(backoff);
    let friend = pair.lasting(&sturdyref, limits);
    let mut answered = Vec::new();
    for round in 0..50 {
        let numbers = 20 * round..20 * (round + 1);
        let answers: Vec<_> = numbers.map(|each| (each, friend.send(number(each)))).collect();
        pair.wires.cut();
        for (each, answer) in answers {
            // Some were on their way.
            if let Ok(answer) = answer.await {
                assert_eq!(answer, each.into());
                answered.push(each);
            }
        }
    }
    let mut arrived = Vec::new();
    while let Ok(each) = heard.try_recv() {
        arrived.push(each);
    }
    // A peer may come to read what was on its way after what came by the next session.
    let of_answered = arrived.iter().filter(|each| answered.binary_search(each).is_ok());
    assert!(of_answered.eq(&answered), "each once, in order: {arrived:?}");
    let count = arrived.len();
    arrived.sort_unstable();
    arrived.dedup();
    assert_eq!(arrived.len(), count, "nothing twice");
    assert_eq!(friend.send(number(5000)).await, Ok(5000.into()));
}
