//! Inboxes, and publishing to subscribers.

mod by_hand;
mod recorder;

use by_hand::{ByHand, NOTHING, list};
use recorder::Recorder;
use vat_runtime::actors::{inbox, pubsub, pubsub_with_limit};
use vat_runtime::{Args, Fault, Reply, Turn, Value, Vat};

#[test]
fn an_inbox_gives_messages_to_readers_in_order_whichever_come_first() {
    let test = ByHand::default();
    let (reader, writer, _stop) = test.turn(|turn| Ok(inbox(turn, 2))).unwrap();
    assert_eq!(test.send(&writer, vec![1.into()]), NOTHING);
    assert_eq!(test.send(&writer, vec![2.into()]), NOTHING);
    let full = test.send(&writer, vec![3.into()]).unwrap_err().to_string();
    assert_eq!(full, "no room for more than 2");
    assert_eq!(test.send(&reader, vec![]), Ok(1.into()));
    assert_eq!(test.send(&reader, vec![]), Ok(2.into()));

    let (first, second, third) = (reader.send(vec![]), reader.send(vec![]), reader.send(vec![]));
    test.hand.run_until_idle();
    assert!(first.is_promise() && second.is_promise());
    assert!(third.wait().is_err(), "only two readers wait");
    assert_eq!(test.send(&writer, vec![4.into()]), NOTHING);
    assert_eq!(test.send(&writer, vec![5.into()]), NOTHING);
    assert_eq!((first.wait(), second.wait()), (Ok(4.into()), Ok(5.into())));
    assert!(test.send(&reader, vec![1.into()]).is_err(), "a reader has nothing to say");
    assert!(test.send(&writer, vec![]).is_err(), "and a writer has");
}

#[test]
fn a_stopped_inbox_breaks_who_waits_and_refuses_all() {
    let test = ByHand::default();
    let (reader, writer, stop) = test.turn(|turn| Ok(inbox(turn, 8))).unwrap();
    let waits = reader.send(vec![]);
    assert_eq!(test.send(&stop, vec![]), NOTHING);
    for (side, args) in [(&reader, vec![]), (&writer, vec![1.into()]), (&stop, vec![])] {
        assert_eq!(test.send(side, args), Err("the inbox is closed".into()));
    }
    assert_eq!(waits.wait(), Err("the inbox is closed".into()));
}

#[test]
fn a_message_of_a_failed_turn_reaches_no_reader() {
    let test = ByHand::default();
    let (reader, writer, _stop) = test.turn(|turn| Ok(inbox(turn, 8))).unwrap();
    let waits = reader.send(vec![]);
    let to = writer.clone();
    let failed = test.turn(move |turn| -> Result<(), Fault> {
        turn.call(&to, vec![1.into()])?;
        Err("no".into())
    });
    assert!(failed.is_err() && waits.is_promise());
    assert_eq!(test.send(&writer, vec![2.into()]), NOTHING);
    assert_eq!(waits.wait(), Ok(2.into()));
}

#[test]
fn what_is_published_reaches_who_has_subscribed() {
    let test = ByHand::default();
    let pubsub = test.turn(|turn| Ok(pubsub(turn))).unwrap();
    let (one, two) = (Recorder::default(), Recorder::default());
    let subscribers = [test.spawn(one.clone()), test.spawn(two.clone())];
    for subscriber in [&subscribers[0], &subscribers[1], &subscribers[0]] {
        assert_eq!(test.call(&pubsub, "subscribe", [subscriber.into()]), NOTHING);
    }
    assert_eq!(test.call(&pubsub, "subscribers", []), Ok(list(&subscribers)));
    assert_eq!(test.call(&pubsub, "publish", [1.into(), 2.into()]), Ok(true.into()));
    assert_eq!(test.call(&pubsub, "unsubscribe", [(&subscribers[0]).into()]), NOTHING);
    assert_eq!(test.call(&pubsub, "unsubscribe", [(&subscribers[0]).into()]), NOTHING);
    assert_eq!(test.call(&pubsub, "publish", [3.into()]), Ok(true.into()));
    assert_eq!(one.heard(), [1.into()]);
    assert_eq!(two.heard(), [1.into(), 3.into()]);
    for private in ["took", "missed", "list", "add"] {
        assert!(test.fault(&pubsub, private, [(&subscribers[1]).into()]).contains("no method"));
    }
}

#[test]
fn a_dead_subscriber_is_dropped_and_one_that_stumbles_is_not() {
    let test = ByHand::default();
    let pubsub = test.turn(|turn| Ok(pubsub(turn))).unwrap();
    let other = Vat::new("other", test.hand.clone());
    let dead = other.spawn(Recorder::default());
    // Fails at each odd number.
    let clumsy = test.spawn(|_: &mut Turn<'_>, args: Args| -> Result<Reply, Fault> {
        let number = args.first().and_then(Value::as_int).unwrap_or_default();
        if number % 2 == 1 { Err("odd".into()) } else { Ok(().into()) }
    });
    for subscriber in [&dead, &clumsy] {
        assert_eq!(test.call(&pubsub, "subscribe", [subscriber.into()]), NOTHING);
    }
    other.stop();
    for number in 1..=2 {
        assert!(test.call(&pubsub, "publish", [number.into()]).is_ok());
    }
    assert_eq!(test.call(&pubsub, "subscribers", []), Ok(list([&dead, &clumsy])), "not yet");
    for number in 3..=9 {
        assert!(test.call(&pubsub, "publish", [number.into()]).is_ok());
    }
    assert_eq!(test.call(&pubsub, "subscribers", []), Ok(list([&clumsy])));
}

#[test]
fn so_many_subscribe_and_no_more() {
    let test = ByHand::default();
    let pubsub = test.turn(|turn| Ok(pubsub_with_limit(turn, 1))).unwrap();
    let subscribers = [test.spawn(Recorder::default()), test.spawn(Recorder::default())];
    assert_eq!(test.call(&pubsub, "subscribe", [(&subscribers[0]).into()]), NOTHING);
    let fault = test.fault(&pubsub, "subscribe", [(&subscribers[1]).into()]);
    assert_eq!(fault, "no room for more than 1");
}
