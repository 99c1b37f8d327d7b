//! Nodes that are started anew, and turns that fail in durable vats.

use std::time::Duration;

use ocapn::netlayers::LoopbackNetwork;
use ocapn::persist::{Backoff, Environment, Memory, Store};
use ocapn::{Args, Behaviour, Fault, Lasting, LastingLimits, Node, Ref, Reply, Turn, Value};

use crate::{Recorder, number};

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
