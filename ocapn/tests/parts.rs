//! Parts of values that are not there yet, between nodes.

mod support;

use ocapn::{Behaviour, Fault, Reply, TableCounts, Turn, Value};
use support::{Counter, loopback_nodes, until};

/// Answers with a struct that has a list that has a counter, tagged.
struct Shelf;

impl Behaviour for Shelf {
    fn receive(&self, turn: &mut Turn<'_>, _args: ocapn::Args) -> Result<Reply, Fault> {
        let counter = Value::Ref(turn.spawn(Counter(40)));
        let tagged = captp::Tagged { tag: "counter".into(), value: counter };
        let list = Value::List(vec![1.into(), Value::Tagged(Box::new(tagged))]);
        Ok(Reply::value(Value::Struct(vec![("list".into(), list)])))
    }
}

#[tokio::test]
async fn a_part_of_an_answer_is_sent_a_message_before_the_answer_is_there() {
    let (server, client) = loopback_nodes();
    let vat = server.vat("objects");
    let shelf = client.enliven(&server.mint(&vat.spawn(Shelf)).unwrap());
    for _ in 0..2 {
        let answer = shelf.send(vec![]);
        let counter = answer.get("list").index(1).untag("counter");
        let count = counter.send(vec![Value::symbol("increment"), 2.into()]);
        assert_eq!(count.await, Ok(42.into()));
        assert_eq!(answer.get("list").index(0).await, Ok(1.into()));
        let missing = answer.get("shelf").await.unwrap_err();
        assert_eq!(missing.to_string(), "the value has no such part");
        assert!(answer.index(7).await.is_err());
    }
    drop(shelf);
    until(&client, |tables| tables == TableCounts::default()).await;
    until(&server, |tables| tables == TableCounts::default()).await;
}
