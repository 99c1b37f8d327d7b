//! Nodes that are started again: their exports are there, and so is what their actors
//! hold at other nodes.

use std::time::Duration;

use ocapn::netlayers::LoopbackNetwork;
use ocapn::persist::{Durable, Environment, Memory, RestoreError, Store, StoreError};
use ocapn::{Args, Behaviour, Fault, Node, Ref, Reply, Sturdyref, Turn, Value, Vat};
use tokio::time::timeout;

/// Counts by what it is told.
struct Counter(i64);

impl Behaviour for Counter {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let count = self.0 + args.first().and_then(Value::as_int).unwrap_or(0);
        Ok(Reply::become_with(Self(count), count))
    }
}

impl Durable for Counter {
    fn portray(&self) -> Value {
        self.0.into()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        Ok(Self(portrait.as_int().ok_or_else(|| RestoreError::new("a counter is a number"))?))
    }
}

/// Passes messages on to what it holds.
struct Forwarder(Ref);

impl Behaviour for Forwarder {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        Ok(turn.send(&self.0, args).into_ref().into())
    }
}

impl Durable for Forwarder {
    fn portray(&self) -> Value {
        Value::from(&self.0)
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        match portrait {
            Value::Ref(held) => Ok(Self(held)),
            _ => Err(RestoreError::new("a forwarder has a reference")),
        }
    }
}

/// A node's life, and what it leaves.
struct Life {
    node: Node,
    store: Store,
    vat: Vat,
}

impl Life {
    fn begin(network: &LoopbackNetwork, name: &str, disk: &Memory) -> Self {
        let mut environment = Environment::new();
        environment.kind::<Counter>("counter").unwrap();
        environment.kind::<Forwarder>("forwarder").unwrap();
        let node = Node::builder().netlayer(network.netlayer(name).unwrap()).start();
        let store = Store::open(disk.clone()).unwrap();
        node.keep_in(&store).unwrap();
        let limits = vat_runtime::Limits::default();
        let vat = node.open_vat("home", limits, &store, &environment).unwrap();
        Self { node, store, vat }
    }

    async fn end(self) {
        self.node.shutdown().await;
        self.store.close().unwrap();
    }
}

async fn ask(to: &Ref, args: Vec<Value>) -> Result<Value, Fault> {
    timeout(Duration::from_secs(20), to.send(args)).await.expect("it is answered")
}

#[tokio::test]
async fn exports_and_what_was_enlivened_outlive_their_nodes() {
    let network = LoopbackNetwork::new();
    let (disk, other_disk) = (Memory::new(), Memory::new());
    let ada = Life::begin(&network, "ada", &disk);
    let counter = ada.vat.spawn(Counter(0));
    let sturdyref: Sturdyref = ada.node.mint(&counter).unwrap();
    let revoked = ada.node.mint(&counter).unwrap();
    assert!(ada.node.revoke(&revoked.swiss));
    let ben = Life::begin(&network, "ben", &other_disk);
    let enlivened = ben.node.enliven(&sturdyref);
    let forwarder = ben.vat.spawn(Forwarder(enlivened.into_ref()));
    ben.vat.set_root("forwarder", &forwarder).unwrap();
    assert_eq!(ask(&forwarder, vec![1.into()]).await, Ok(1.into()));
    ben.store.wait(ben.store.pending()).unwrap();
    assert_eq!(ben.store.doctor().unwrap().ailments, []);
    drop((counter, forwarder));
    ada.end().await;
    ben.end().await;

    let ben = Life::begin(&network, "ben", &other_disk);
    let forwarder = ben.vat.root("forwarder").unwrap().unwrap();
    // Nobody is there yet to answer.
    let early = forwarder.send(vec![10.into()]);
    let ada = Life::begin(&network, "ada", &disk);
    assert_eq!(ada.vat.actor_count(), 0, "nobody has called");
    let answer = timeout(Duration::from_secs(20), early).await.expect("it is answered");
    assert_eq!(answer, Ok(11.into()));
    assert_eq!(ask(&forwarder, vec![100.into()]).await, Ok(111.into()));
    let refused = ben.node.enliven(&revoked).await.unwrap_err();
    assert_eq!(refused.to_string(), "no such object");
    assert!(ada.node.revoke(&sturdyref.swiss));
    assert!(!ada.node.revoke(&sturdyref.swiss));
    assert!(ben.node.enliven(&sturdyref).await.is_err());
    ben.end().await;
    ada.end().await;
}

#[tokio::test]
async fn a_store_is_one_nodes() {
    let network = LoopbackNetwork::new();
    let ada = Life::begin(&network, "ada", &Memory::new());
    let ben = Node::builder().netlayer(network.netlayer("ben").unwrap()).start();
    assert!(matches!(ben.keep_in(&ada.store), Err(StoreError::AlreadyOpen(_))));
    ada.end().await;
    ben.shutdown().await;
}
