//! Promises that settle, chain, go round in circles, and are forgotten.

mod recorder;

use std::sync::{Arc, Mutex};

use recorder::Recorder;
use vat_runtime::{Fault, Identity, Manual, Promise, Value, Vat, promise};

#[test]
fn a_promise_settles_when_the_last_of_its_chain_does() {
    let (first, first_resolver) = promise();
    let (second, second_resolver) = promise();
    first_resolver.fulfill(&second);
    assert!(first.is_promise());
    assert_eq!(first.outcome(), None);
    second_resolver.fulfill(3);
    assert_eq!(first.wait(), Ok(3.into()));
    assert_eq!(first.wait(), Ok(3.into()), "it can be asked again");
    let (third, third_resolver) = promise();
    third_resolver.fulfill(&first);
    assert_eq!(third.outcome(), Some(Ok(3.into())));
}

#[test]
fn a_cycle_breaks() {
    let (one, resolver) = promise();
    resolver.fulfill(&one);
    assert_eq!(one.wait(), Err("the promise was resolved to itself".into()));

    let (first, first_resolver) = promise();
    let (second, second_resolver) = promise();
    let (third, third_resolver) = promise();
    first_resolver.fulfill(&second);
    second_resolver.fulfill(&third);
    let waiting = first.send(vec![]);
    third_resolver.fulfill(&first);
    for promise in [first, second, third, waiting] {
        assert!(promise.wait().is_err());
    }
}

#[test]
fn cycles_closed_by_two_threads_at_once_break() {
    for _ in 0..500 {
        let (first, first_resolver) = promise();
        let (second, second_resolver) = promise();
        let to = second.clone();
        let other = std::thread::spawn(move || first_resolver.fulfill(&to));
        second_resolver.fulfill(&first);
        other.join().unwrap();
        assert!(first.wait().is_err());
        assert!(second.wait().is_err());
    }
}

#[test]
fn a_dropped_resolver_breaks_its_promise() {
    let (lost, resolver) = promise();
    let waiting = lost.send(vec![]);
    drop(resolver);
    assert_eq!(lost.wait(), Err("the resolver was dropped".into()));
    assert_eq!(waiting.wait(), Err("the resolver was dropped".into()));
}

#[test]
fn a_resolver_is_a_capability() {
    let (fulfilled, resolver) = promise();
    let resolver = resolver.into_ref();
    let noise = resolver.send(vec!["fulfill".into(), 1.into()]);
    assert!(noise.wait().is_err(), "a string is not a method");
    assert!(resolver.send(vec![]).wait().is_err());
    assert!(fulfilled.is_promise());
    let done = resolver.send(vec![Value::symbol("fulfill"), 1.into()]);
    assert_eq!(done.wait(), Ok(Value::Undefined));
    assert_eq!(fulfilled.wait(), Ok(1.into()));
    let again = resolver.send(vec![Value::symbol("break"), 2.into()]);
    assert!(again.wait().is_err());
    assert_eq!(fulfilled.wait(), Ok(1.into()));

    let (broken, resolver) = promise();
    resolver.into_ref().send_only(vec![Value::symbol("break"), "why".into()]);
    assert_eq!(broken.wait(), Err(Fault::from(Value::from("why"))));

    let (lost, resolver) = promise();
    drop(resolver.into_ref());
    assert!(lost.wait().is_err());
}

#[test]
fn identity_sees_through_settled_promises() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand);
    let actor = vat.spawn(Recorder::default());
    let (outer, outer_resolver) = promise();
    let (inner, inner_resolver) = promise();
    let key = |reference: &vat_runtime::Ref| match reference.identity() {
        Identity::Local { key, promise } => (key, promise),
        other => panic!("{other:?}"),
    };
    assert_ne!(key(&outer), key(&inner));
    outer_resolver.fulfill(&inner);
    assert_eq!(key(&outer), key(&inner));
    assert!(key(&outer).1);
    inner_resolver.fulfill(&actor);
    assert_eq!(key(&outer), key(&actor));
    assert!(!key(&actor).1);
    assert_ne!(outer.clone().into_ref(), actor, "equality is that of the reference");
    let data = Promise::settled(Ok(5.into()));
    assert!(matches!(data.identity(), Identity::Value(Value::Int(5))));
    let broken = Promise::settled(Err("no".into()));
    assert!(key(&broken).1);
}

/// How long a chain is that would fill a stack, were there a call for each link.
const LONG: i64 = if cfg!(miri) { 1000 } else { 100_000 };

/// A loop that answers each round with the promise of the next makes such chains.
#[test]
fn a_long_chain_settles_and_drops_without_a_deep_stack() {
    let (first, mut resolver) = promise();
    for _ in 0..LONG {
        let (next, next_resolver) = promise();
        resolver.fulfill(next);
        resolver = next_resolver;
    }
    let waiting = first.send(vec![]);
    resolver.fulfill(1);
    assert_eq!(first.wait(), Ok(1.into()));
    assert!(waiting.wait().is_err());
    drop(first);
}

/// Each message waits in the promise of the one before: all break, one after the
/// other.
#[test]
fn a_long_pipeline_breaks_without_a_deep_stack() {
    let (first, resolver) = promise();
    let mut last = first;
    for _ in 0..LONG {
        last = last.send(vec![]);
    }
    resolver.break_with("gone");
    assert_eq!(last.wait(), Err("gone".into()));
}

/// A list made of promises for its rest, dropped from its head.
#[test]
fn a_long_list_of_promises_drops_without_a_deep_stack() {
    let mut rest = Promise::settled(Ok(Value::Null));
    for number in 0..LONG {
        rest = Promise::settled(Ok(Value::List(vec![number.into(), rest.into()])));
    }
    drop(rest);
}

#[test]
fn a_panicking_callback_keeps_nobody_else_from_hearing() {
    let (settled, resolver) = promise();
    settled.when_settled(|_| panic!("on purpose"));
    let second = settled.settling();
    resolver.fulfill(1);
    assert_eq!(second.wait(), Ok(1.into()));
}

#[test]
fn who_asks_while_others_are_told_is_told_after_them() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = |who: &'static str| {
        let told = told.clone();
        move || told.lock().unwrap().push(who)
    };
    let (open, resolver) = promise();
    let (first, second, late, again) = (tell("first"), tell("second"), tell("late"), open.clone());
    open.when_settled(move |_| {
        first();
        again.when_settled(move |_| late());
    });
    open.when_settled(move |_| second());
    resolver.fulfill(1);
    assert_eq!(*told.lock().unwrap(), ["first", "second", "late"]);
}
