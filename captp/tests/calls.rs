//! Calls, answers and pipelining between two sessions.

mod support;

use captp::{Passable, RemotePos};
use support::{BOOTSTRAP, Pair, Resolver, Value, remote};

#[test]
fn a_call_is_answered() {
    let mut pair = Pair::new();
    let (theirs, ours) = pair.introduce();
    let args = [Value::symbol("add"), 5.into()];
    let answer = pair.a.deliver(remote(&theirs), &args, Some(Resolver(7))).unwrap().unwrap();
    pair.pump();
    let (to, heard, question) = pair.b.message();
    assert_eq!(to, Some(ours.clone()));
    assert_eq!(heard, args);
    pair.b.answer(question.unwrap(), Ok(5.into()));
    pair.pump();
    assert_eq!(pair.a.settled(), (Resolver(7), Ok(5.into())));
    pair.a.session.release(RemotePos::Answer(answer), 0);
    drop((to, theirs));
    pair.assert_quiescent();
}

#[test]
fn a_question_may_be_sent_messages_before_it_is_answered() {
    let mut pair = Pair::new();
    let (theirs, _) = pair.introduce();
    let first = pair.a.deliver(remote(&theirs), &[], Some(Resolver(1))).unwrap().unwrap();
    let second =
        pair.a.deliver(RemotePos::Answer(first), &[1.into()], Some(Resolver(2))).unwrap().unwrap();
    pair.pump();
    let (_, _, question) = pair.b.message();
    let question = question.unwrap();
    let (to, args, _) = pair.b.message();
    assert_eq!(to.as_ref(), Some(&question.promise), "addressed to the promised answer");
    assert_eq!(args, [Value::from(1)]);
    for answer in [first, second] {
        pair.a.session.release(RemotePos::Answer(answer), 0);
    }
    drop((theirs, to, question));
    pair.pump();
    pair.a.session.close("done");
    pair.pump();
}

#[test]
fn a_message_that_wants_no_answer_gets_none() {
    let mut pair = Pair::new();
    let (theirs, _) = pair.introduce();
    assert_eq!(pair.a.deliver(remote(&theirs), &["hi".into()], None).unwrap(), None);
    pair.pump();
    let (_, args, question) = pair.b.message();
    assert!(question.is_none());
    assert_eq!(args, [Value::from("hi")]);
    drop(theirs);
    pair.assert_quiescent();
}

#[test]
fn every_kind_of_value_arrives_as_it_was_sent() {
    let mut pair = Pair::new();
    let big: num_bigint::BigInt = "-123456789012345678901234567890".parse().unwrap();
    let long = bytes::Bytes::from(vec![9; 100_000]);
    let args: Vec<Value> = vec![
        ().into(),
        Passable::Null,
        true.into(),
        i64::MIN.into(),
        big.into(),
        (-0.5).into(),
        f64::INFINITY.into(),
        "h\u{e9}llo \u{1f600}".into(),
        Passable::symbol("method"),
        long.into(),
        Passable::List(vec![1.into(), Passable::List(vec![])]),
        Passable::Struct(vec![("aaa".into(), 2.into()), ("zz".into(), 1.into())]),
        Passable::Map(vec![(1.into(), "one".into()), ("two".into(), 2.into())]),
        Passable::Set(vec![1.into(), 2.into()]),
        Passable::Tagged(Box::new(captp::Tagged { tag: "t".into(), value: 1.into() })),
        Passable::Record(Box::new(captp::Record {
            label: Passable::symbol("unheard-of"),
            fields: vec![1.into()],
        })),
        "ocapn://abc.tcp-tls/s/c3dpc3M?host=127.0.0.1&port=1"
            .parse::<captp::locator::Sturdyref>()
            .unwrap()
            .into(),
    ];
    pair.a.deliver(BOOTSTRAP, &args, None).unwrap();
    pair.pump();
    let (_, heard, _) = pair.b.message();
    assert_eq!(heard, args);
    pair.assert_quiescent();
}

#[test]
fn a_nan_is_one_value_on_the_wire() {
    let mut pair = Pair::new();
    let odd = f64::from_bits(0xfff8_0000_0000_0001);
    pair.a.deliver(BOOTSTRAP, &[odd.into()], None).unwrap();
    pair.pump();
    let (_, heard, _) = pair.b.message();
    let [Value::Float(heard)] = heard[..] else { panic!("a float") };
    assert_eq!(heard.to_bits(), f64::NAN.to_bits());
}

#[test]
fn a_listener_is_passed_on() {
    let mut pair = Pair::new();
    let promise = pair.b.runtime.local(true);
    pair.b.deliver(BOOTSTRAP, &[Value::Ref(promise.clone())], None).unwrap();
    pair.pump();
    let (_, mut args, _) = pair.a.message();
    let Some(Value::Ref(imported)) = args.pop() else { panic!("a promise") };
    pair.a.session.listen(remote(&imported), Resolver(3)).unwrap();
    pair.pump();
    let captp::Event::Listen { to, listener } = pair.b.next() else { panic!("a listen") };
    assert_eq!(to, promise);
    pair.b.deliver(remote(&listener), &[Value::symbol("fulfill"), 42.into()], None).unwrap();
    drop(listener);
    pair.pump();
    assert_eq!(pair.a.settled(), (Resolver(3), Ok(42.into())));
    drop((imported, to));
    pair.assert_quiescent();
}

#[test]
fn a_promise_settles_once() {
    let mut pair = Pair::new();
    pair.a.deliver(BOOTSTRAP, &[], Some(Resolver(1))).unwrap();
    pair.pump();
    let (_, _, question) = pair.b.message();
    let listener = question.unwrap().listener.unwrap();
    for value in [1, 2] {
        let args = [Value::symbol("fulfill"), value.into()];
        pair.b.deliver(remote(&listener), &args, None).unwrap();
    }
    pair.pump();
    assert_eq!(pair.a.settled(), (Resolver(1), Ok(1.into())));
    assert!(pair.a.events.is_empty());
}

#[test]
fn a_resolver_let_go_unused_breaks_the_promise() {
    let mut pair = Pair::new();
    pair.a.deliver(BOOTSTRAP, &[], Some(Resolver(1))).unwrap();
    pair.pump();
    drop(pair.b.message());
    pair.pump();
    let (resolver, outcome) = pair.a.settled();
    assert_eq!(resolver, Resolver(1));
    assert!(outcome.is_err());
}
