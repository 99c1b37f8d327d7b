//! Third parties: a reference given on leads to its object without us.

mod support;

use ocapn::netlayers::LoopbackNetwork;
use ocapn::{Args, Behaviour, Fault, Node, Reply, Turn, Value};
use support::{Counter, Echo, Maker, tcp_tls_node};

/// Calls what it is given: `target args…`.
struct Caller;

impl Behaviour for Caller {
    fn receive(&self, turn: &mut Turn<'_>, mut args: Args) -> Result<Reply, Fault> {
        let Value::Ref(target) = args.remove(0) else { return Err("a target".into()) };
        Ok(Reply::value(turn.send(&target, args)))
    }
}

struct Three {
    exporter: Node,
    gifter: Node,
    receiver: Node,
}

impl Three {
    fn on_loopback() -> Self {
        let network = LoopbackNetwork::new();
        let node = |name: &str| Node::builder().netlayer(network.netlayer(name).unwrap()).start();
        Self { exporter: node("exporter"), gifter: node("gifter"), receiver: node("receiver") }
    }

    async fn on_tcp_tls() -> Self {
        let (exporter, gifter) = (tcp_tls_node().await, tcp_tls_node().await);
        Self { exporter, gifter, receiver: tcp_tls_node().await }
    }

    /// The gifter gives the receiver a counter of the exporter's, and the receiver
    /// counts with it. Then the gifter is gone.
    async fn give_a_counter(self) {
        let vat = self.exporter.vat("counters");
        let counter = self.exporter.mint(&vat.spawn(Counter(10))).unwrap();
        let vat_of_receiver = self.receiver.vat("callers");
        let caller = self.receiver.mint(&vat_of_receiver.spawn(Caller)).unwrap();
        let echo = self.receiver.mint(&vat_of_receiver.spawn(Echo)).unwrap();

        let counter = self.gifter.resolve(&counter).await.unwrap();
        let caller = self.gifter.resolve(&caller).await.unwrap();
        let increment =
            |by: i64| vec![Value::Ref(counter.clone()), Value::symbol("increment"), by.into()];
        assert_eq!(caller.send(increment(5)).await, Ok(15.into()));
        assert_eq!(caller.send(increment(1)).await, Ok(16.into()));
        assert_eq!(self.receiver.sessions().len(), 2, "one with the gifter, one with the exporter");
        assert_eq!(self.gifter.sessions().len(), 2);

        // What was given comes back as what it was.
        let echo = self.gifter.resolve(&echo).await.unwrap();
        let back = echo.send(vec![Value::Ref(counter.clone())]).await.unwrap();
        let Value::List(back) = back else { panic!("a list") };
        let Some(Value::Ref(back)) = back.into_iter().next() else { panic!("a reference") };
        assert_eq!(back.send(vec![Value::symbol("value")]).await, Ok(16.into()));
    }
}

#[tokio::test]
async fn over_loopback() {
    Three::on_loopback().give_a_counter().await;
}

#[tokio::test]
async fn over_tcp_tls() {
    Three::on_tcp_tls().await.give_a_counter().await;
}

impl Three {
    /// What the receiver has of a counter of the exporter's that the gifter gave it.
    async fn counter_of_receiver(&self) -> ocapn::Ref {
        let vat = self.exporter.vat("objects");
        let counter = self.exporter.mint(&vat.spawn(Counter(0))).unwrap();
        let (kept, keep) = ocapn::promise();
        let keep = keep.into_ref();
        let keeper =
            self.receiver.vat("keeper").spawn(move |turn: &mut Turn<'_>, mut args: Args| {
                let given = args.remove(0);
                turn.send_only(&keep, vec![Value::symbol("fulfill"), given]);
                Ok(Reply::value(()))
            });
        let keeper = self.receiver.mint(&keeper).unwrap();
        let counter = self.gifter.resolve(&counter).await.unwrap();
        let keeper = self.gifter.resolve(&keeper).await.unwrap();
        keeper.send(vec![Value::Ref(counter)]).await.unwrap();
        let Ok(Value::Ref(kept)) = kept.await else { panic!("a reference") };
        kept
    }
}

/// Who answers for a reference shows, to its holder and to whoever stands in.
#[tokio::test]
async fn by_which_way_a_reference_leads_shows() {
    for direct in [true, false] {
        let network = LoopbackNetwork::new();
        let node = |name: &str| Node::builder().netlayer(network.netlayer(name).unwrap()).start();
        let mut layer = support::Watched::new(network.netlayer("receiver").unwrap());
        layer.unreachable = if direct { "" } else { "exporter" };
        let receiver = Node::builder().netlayer(layer).start();
        let three = Three { exporter: node("exporter"), gifter: node("gifter"), receiver };
        let kept = three.counter_of_receiver().await;
        let peer = three.receiver.session_of(&kept).unwrap().peer;
        let standing_in: usize =
            three.gifter.sessions().iter().map(|session| session.standing_in).sum();
        let (name, count) = if direct { ("exporter", 0) } else { ("gifter", 1) };
        assert_eq!((peer.designator.as_str(), standing_in), (name, count));
        assert_eq!(kept.send(vec![Value::symbol("increment"), 2.into()]).await, Ok(2.into()));
    }
}

#[tokio::test]
async fn the_gifter_may_leave() {
    let three = Three::on_loopback();
    let kept = three.counter_of_receiver().await;
    three.gifter.shutdown().await;
    assert_eq!(kept.send(vec![Value::symbol("increment"), 3.into()]).await, Ok(3.into()));
}

#[tokio::test]
async fn a_promise_goes_by_proxy_until_it_settles() {
    let Three { exporter, gifter, receiver } = Three::on_loopback();
    let vat = exporter.vat("objects");
    let maker = gifter.enliven(&exporter.mint(&vat.spawn(Maker)).unwrap());
    let caller_vat = receiver.vat("callers");
    let caller = gifter.enliven(&receiver.mint(&caller_vat.spawn(Caller)).unwrap());
    // Nothing is awaited until the end.
    let counter = maker.send(vec![]);
    let args = vec![Value::from(counter), Value::symbol("increment"), 2.into()];
    assert_eq!(caller.send(args).await, Ok(2.into()));
}

#[tokio::test]
async fn an_exporter_that_is_gone_breaks_the_gift() {
    let Three { exporter, gifter, receiver } = Three::on_loopback();
    let vat = exporter.vat("objects");
    let counter = gifter.resolve(&exporter.mint(&vat.spawn(Counter(0))).unwrap()).await.unwrap();
    let caller_vat = receiver.vat("callers");
    let caller = gifter.resolve(&receiver.mint(&caller_vat.spawn(Caller)).unwrap()).await.unwrap();
    let args = vec![Value::Ref(counter), Value::symbol("value")];
    let call = caller.send(args);
    exporter.shutdown().await;
    assert!(call.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_dial_each_other_at_once_end_with_one_session() {
    for _ in 0..20 {
        let network = LoopbackNetwork::new();
        let node = |name: &str| Node::builder().netlayer(network.netlayer(name).unwrap()).start();
        let (alice, bob) = (node("alice"), node("bob"));
        let (at_alice, at_bob) = (alice.vat("objects"), bob.vat("objects"));
        let of_alice = alice.mint(&at_alice.spawn(Counter(1))).unwrap();
        let of_bob = bob.mint(&at_bob.spawn(Counter(2))).unwrap();
        let (to_bob, to_alice) = (alice.enliven(&of_bob), bob.enliven(&of_alice));
        let value = || vec![Value::symbol("value")];
        let (two, one) =
            tokio::join!(to_bob.send(value()).settling(), to_alice.send(value()).settling());
        assert_eq!((two, one), (Ok(2.into()), Ok(1.into())));
        drop((to_bob, to_alice));
        support::until_sessions(&alice, 1).await;
        support::until_sessions(&bob, 1).await;
    }
}

/// Sessions that were cut while the other side's call was on them, and ends that were
/// acted on before beginnings: each showed in some of these rounds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_nodes_that_dial_each_other_on_many_threads_lose_nothing() {
    for _ in 0..200 {
        let (alice, bob) = (support::testing_node().await, support::testing_node().await);
        let of_alice = alice.mint(&alice.vat("objects").spawn(Counter(1))).unwrap();
        let of_bob = bob.mint(&bob.vat("objects").spawn(Counter(2))).unwrap();
        let (here, there) = (alice.clone(), bob.clone());
        let to_bob = tokio::spawn(async move { here.resolve(&of_bob).await.map(drop) });
        let to_alice = tokio::spawn(async move { there.resolve(&of_alice).await.map(drop) });
        to_bob.await.unwrap().unwrap();
        to_alice.await.unwrap().unwrap();
        alice.shutdown().await;
        bob.shutdown().await;
    }
}
