//! Typed references over sessions: pipelining, what goes by hand, errors, descriptions.

mod support;

use ocapn::netlayers::{Unix, UnixOptions};
use ocapn::typed::describe;
use ocapn::{Answer, Args, Fault, Node, Passable, Ref, Turn, Value, interface, object};
use support::loopback_nodes;

/// Makes counters.
#[interface]
trait Makes {
    fn counter(&self, turn: &mut Turn<'_>, from: i64) -> CounterRef;
}

/// Counts.
#[interface]
trait Counter {
    /// Counts on.
    fn add(&mut self, by: i64, how: Option<How>) -> Result<i64, Fault>;
    /// What another counter has counted.
    fn value_of(&self, turn: &mut Turn<'_>, other: CounterRef) -> Answer<i64>;
    fn value(&self) -> i64;
    /// Adds what another counter counts, which takes time.
    fn add_from(&self, turn: &mut Turn<'_>, other: CounterRef) -> Answer<i64>;
}

#[derive(Passable, Clone, Debug, PartialEq, Default)]
#[passable(default)]
struct How {
    twice: bool,
}

struct Maker;

#[object]
impl Makes for Maker {
    fn counter(&self, turn: &mut Turn<'_>, from: i64) -> CounterRef {
        CounterRef::spawn(turn, Count(from))
    }
}

#[derive(Clone)]
struct Count(i64);

#[object]
impl Counter for Count {
    fn add(&mut self, by: i64, how: Option<How>) -> Result<i64, Fault> {
        let times = if how.unwrap_or_default().twice { 2 } else { 1 };
        self.0 = self.0.checked_add(by * times).ok_or("too many")?;
        Ok(self.0)
    }

    fn value_of(&self, turn: &mut Turn<'_>, other: CounterRef) -> Answer<i64> {
        other.send(turn).value()
    }

    fn value(&self) -> i64 {
        self.0
    }

    fn add_from(&self, turn: &mut Turn<'_>, other: CounterRef) -> Answer<i64> {
        let me = CounterRef::from_ref(turn.me());
        turn.spawn_async(async move |here| {
            let by = here.ask(move |turn| other.send(turn).value()).await?;
            // Others may have counted meanwhile: this is the state of this turn.
            here.turn(move |turn| me.call(turn).add(by, None)).await
        })
    }
}

fn maker(server: &Node, client: &Node) -> (Ref, MakesRef) {
    let maker = MakesRef::spawn_in(&server.vat("makers"), Maker);
    let there = client.enliven(&server.mint(maker.untyped()).unwrap());
    (maker.untyped().clone(), there.into())
}

async fn pipelines(server: Node, client: Node) {
    let (_kept, maker) = maker(&server, &client);
    let counter = maker.counter(5).cap();
    counter.send_only_now().add(1, None);
    let sum = counter.add(10, Some(How { twice: true }));
    assert_eq!(sum.await, Ok(26));
    let own = CounterRef::spawn_in(&client.vat("own"), Count(100));
    assert_eq!(counter.value_of(own.clone()).await, Ok(100));
    assert_eq!(counter.add_from(own).await, Ok(126));
    client.shutdown().await;
    server.shutdown().await;
}

#[tokio::test]
async fn pipelining_over_loopback() {
    let (server, client) = loopback_nodes();
    pipelines(server, client).await;
}

#[tokio::test]
async fn pipelining_over_unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let node = async |name: &str| {
        let path = folder.path().join(name);
        let netlayer = Unix::bind(path, UnixOptions::default()).await.unwrap();
        Node::builder().netlayer(netlayer).start()
    };
    pipelines(node("server").await, node("client").await).await;
}

#[tokio::test]
async fn messages_by_hand_are_the_same() {
    let (server, client) = loopback_nodes();
    let (_kept, maker) = maker(&server, &client);
    let by_hand = maker.untyped();
    let counter = by_hand.send(vec![Value::symbol("counter"), 5.into()]);
    let twice = Value::Struct(vec![("twice".into(), true.into())]);
    let message: Args = vec![Value::symbol("add"), 10.into(), twice];
    assert_eq!(counter.send(message).await, Ok(25.into()));
    assert_eq!(counter.send(vec![Value::symbol("add"), 1.into()]).await, Ok(26.into()));
}

#[tokio::test]
async fn errors_come_back_in_words() {
    let (server, client) = loopback_nodes();
    let (_kept, maker) = maker(&server, &client);
    let wrong = maker.untyped().send(vec![Value::symbol("counter"), "five".into()]);
    assert_eq!(wrong.await.unwrap_err().to_string(), {
        "argument \"from\" of method \"counter\": expected an integer, found a string"
    });
    let not_there = CounterRef::from_ref(maker.untyped().clone()).value();
    let fault = not_there.await.unwrap_err().to_string();
    assert_eq!(fault, "no method \"value\": Makes has \"counter\"");
    let too_many = maker.counter(i64::MAX).cap().add(1, None);
    assert_eq!(too_many.await.unwrap_err().to_string(), "too many");
    let not_a_counter: Answer<CounterRef> =
        Answer::from(maker.counter(5).cap().value().into_promise());
    assert_eq!(not_a_counter.await.unwrap_err().to_string(), {
        "the answer: expected a reference to Counter, found an integer"
    });
}

#[tokio::test]
async fn an_object_at_a_peer_describes_itself() {
    let (server, client) = loopback_nodes();
    let (_kept, maker) = maker(&server, &client);
    let description = describe(maker.untyped()).await.unwrap();
    assert_eq!(description.to_string(), {
        "Makes: Makes counters.\n  counter(from: integer) -> reference to Counter\n"
    });
    let description = describe(maker.counter(5).cap().untyped()).await.unwrap();
    assert_eq!(description, CounterRef::DESCRIPTION.describe());
}
