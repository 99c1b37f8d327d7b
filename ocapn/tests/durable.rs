//! Nodes that are started anew: what they export, and what they hold of others.

use std::time::{Duration, SystemTime};

use ocapn::netlayers::LoopbackNetwork;
use ocapn::persist::{Durable, Environment, Memory, RestoreError, Store, StoreError};
use ocapn::{Args, Behaviour, Fault, Node, Promise, Ref, Reply, Sturdyref, Turn, Value};

/// A number; a number given is added.
struct Counter(i64);

impl Behaviour for Counter {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let sum = self.0 + args.first().and_then(Value::as_int).unwrap_or(0);
        Ok(Reply::become_with(Self(sum), sum))
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

/// Passes everything on to what it was given last.
struct Holder(Option<Ref>);

impl Behaviour for Holder {
    fn receive(&self, turn: &mut Turn<'_>, mut args: Args) -> Result<Reply, Fault> {
        match (args.first(), &self.0) {
            (Some(Value::Ref(_)), _) => {
                let Some(Value::Ref(held)) = args.pop() else { return Err("one".into()) };
                Ok(Reply::becomes(Self(Some(held))))
            }
            (_, Some(held)) => Ok(turn.send(held, args).into()),
            (_, None) => Err("nothing is held".into()),
        }
    }
}

impl Durable for Holder {
    fn portray(&self) -> Value {
        self.0.as_ref().map_or(Value::Null, Value::from)
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        match portrait {
            Value::Ref(held) => Ok(Self(Some(held))),
            _ => Ok(Self(None)),
        }
    }
}

struct World {
    network: LoopbackNetwork,
    environment: Environment,
}

impl World {
    fn new() -> Self {
        let mut environment = Environment::new();
        environment.kind::<Counter>("counter").unwrap().kind::<Holder>("holder").unwrap();
        Self { network: LoopbackNetwork::new(), environment }
    }

    fn node(&self, name: &str, disk: &Memory) -> Result<Node, StoreError> {
        let netlayer = self.network.netlayer(name).unwrap();
        Node::builder().netlayer(netlayer).start_durable(&Store::open(disk.clone())?)
    }

    fn plain(&self, name: &str) -> Node {
        Node::builder().netlayer(self.network.netlayer(name).unwrap()).start()
    }
}

async fn ask(object: &Promise, by: i64) -> i64 {
    object.send(vec![by.into()]).await.unwrap().as_int().unwrap()
}

/// Ends a node as `kill` would as far as its peers are concerned, after what it did is
/// durable.
async fn end(node: Node) {
    node.durable().await.unwrap();
    node.shutdown().await;
    node.store().unwrap().close().unwrap();
}

#[tokio::test]
async fn what_is_exported_stays_exported() {
    let world = World::new();
    let disk = Memory::new();
    let client = world.plain("client");
    let ada = world.node("ada", &disk).unwrap();
    let vat = ada.open_vat("counters", &world.environment).unwrap();
    let kept = ada.mint(&vat.spawn(Counter(0))).unwrap();
    let revoked = ada.mint(&vat.spawn(Counter(0))).unwrap();
    let hour = Duration::from_secs(3600);
    let brief = ada.mint_until(&vat.spawn(Counter(0)), SystemTime::now() - hour).unwrap();
    let long = ada.mint_until(&vat.spawn(Counter(7)), SystemTime::now() + hour).unwrap();
    let fleeting = ada.mint(&ada.vat("memory").spawn(Counter(0))).unwrap();
    assert!(ada.revoke(&revoked.swiss));
    assert_eq!(ask(&client.enliven(&kept), 5).await, 5);
    assert!(client.resolve(&brief).await.is_err(), "it has expired");
    assert_eq!(ask(&client.enliven(&fleeting), 1).await, 1);
    end(ada).await;
    drop(vat);

    let ada = world.node("ada", &disk).unwrap();
    // What is sent before its vat is open waits for that.
    let early = client.enliven(&kept).send(vec![1.into()]);
    let _vat = ada.open_vat("counters", &world.environment).unwrap();
    assert_eq!(early.await, Ok(6.into()));
    assert_eq!(ask(&client.enliven(&kept), 1).await, 7);
    assert_eq!(ask(&client.enliven(&long), 1).await, 8);
    for gone in [&revoked, &brief, &fleeting] {
        assert!(client.resolve(gone).await.is_err());
    }
    assert!(ada.revoke(&kept.swiss));
    end(ada).await;
    let ada = world.node("ada", &disk).unwrap();
    assert!(client.resolve(&kept).await.is_err(), "revoked for good");
    ada.shutdown().await;
}

#[tokio::test]
async fn what_is_held_of_a_peer_is_found_again() {
    let world = World::new();
    let (disk, far_disk) = (Memory::new(), Memory::new());
    let ada = world.node("ada", &disk).unwrap();
    let far = world.node("far", &far_disk).unwrap();
    let counters = far.open_vat("counters", &world.environment).unwrap();
    let counter: Sturdyref = far.mint(&counters.spawn(Counter(0))).unwrap();
    let vat = ada.open_vat("holders", &world.environment).unwrap();
    // One that is held while it is still a promise, and one whose object is known.
    let (early, late) = (vat.spawn(Holder(None)), vat.spawn(Holder(None)));
    vat.set_root("early", &early).unwrap();
    vat.set_root("late", &late).unwrap();
    let promise = ada.enliven(&counter);
    early.send(vec![Value::Ref(promise.clone().into_ref())]).await.unwrap();
    let Value::Ref(object) = promise.await.unwrap() else { panic!("an object") };
    late.send(vec![Value::Ref(object)]).await.unwrap();
    assert_eq!(late.send(vec![3.into()]).await, Ok(3.into()));
    drop((early, late, vat));
    end(ada).await;

    for sum in [5, 9] {
        let ada = world.node("ada", &disk).unwrap();
        let vat = ada.open_vat("holders", &world.environment).unwrap();
        let early = vat.root("early").unwrap().unwrap();
        let late = vat.root("late").unwrap().unwrap();
        assert_eq!(early.send(vec![1.into()]).await, Ok((sum - 1).into()));
        assert_eq!(late.send(vec![1.into()]).await, Ok(sum.into()));
        drop((early, late, vat));
        end(ada).await;
        let again = world.plain(&format!("client {sum}"));
        assert_eq!(ask(&again.enliven(&counter), 2).await, sum + 2);
    }
    far.shutdown().await;
}
