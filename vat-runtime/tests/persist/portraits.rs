//! Every passable can be part of a portrait, and is the same after a restart.

use bytes::Bytes;
use captp::locator::Sturdyref;
use captp::{ErrorValue, Record, Tagged};
use vat_runtime::persist::{MAX_DEPTH, Memory};
use vat_runtime::{Fault, Promise, Value};

use crate::kit::{Counter, Holder, World, set};

/// What a holder holds after a restart of what it was given.
fn restored(value: Value) -> Value {
    let disk = Memory::new();
    let world = World::open(disk.clone());
    let vat = world.vat("values");
    let holder = vat.root_or_spawn("holder", || Holder(value)).unwrap();
    world.hand.run_until_idle();
    drop(holder);
    world.commit();
    let world = World::open(disk);
    let vat = world.vat("values");
    world.get(&vat.root("holder").unwrap().unwrap())
}

fn sturdyref() -> Sturdyref {
    "ocapn://ada.loopback/s/AAECAwQFBgcICQoLDA0ODxAREhMUFRYX".parse().unwrap()
}

#[test]
fn data_comes_back_as_it_was() {
    let text = |text: &str| Value::String(text.into());
    let record =
        |label: Value, fields: Vec<Value>| Value::Record(Box::new(Record { label, fields }));
    let big = "123456789012345678901234567890".parse::<num_bigint::BigInt>().unwrap();
    let error = |label: Option<&str>| ErrorValue {
        message: "no".into(),
        fields: vec![1.into(), Value::symbol("why")],
        label: label.map(Into::into),
    };
    let values = vec![
        Value::Undefined,
        Value::Null,
        true.into(),
        false.into(),
        0.into(),
        i64::MIN.into(),
        i64::MAX.into(),
        Value::from(big.clone()),
        Value::from(-big),
        1.5.into(),
        (-0.0).into(),
        f64::INFINITY.into(),
        text(""),
        text("ünïcode \u{1f600}"),
        Value::symbol("fetch"),
        Bytes::from_static(b"\x00\xff").into(),
        Value::List(vec![]),
        vec![Value::from(1), text("two"), Value::Null].into(),
        Value::Struct(vec![]),
        Value::Struct(vec![("a".into(), 1.into()), ("b".into(), Value::List(vec![]))]),
        Value::Map(vec![]),
        Value::Map(vec![(text("a"), 1.into())]),
        // In the order of the encoded keys, as on the wire.
        Value::Map(vec![(Value::symbol("k"), Value::Null), (1.into(), 2.into())]),
        Value::Set(vec![]),
        Value::Set(vec![1.into(), 2.into()]),
        Value::Tagged(Box::new(Tagged { tag: "money".into(), value: 5.into() })),
        Value::Error(Box::new(error(None))),
        Value::Error(Box::new(error(Some("exn:fail:mystery")))),
        sturdyref().into(),
        record(Value::symbol("point"), vec![3.into(), 4.into()]),
        record(text("not a symbol"), vec![]),
        record(Value::symbol("vec"), vec![1.into(), 2.into()]),
        record(Value::symbol("kw"), vec![Value::symbol("size")]),
        Value::Encoded(Bytes::from_static(b"[1+]")),
    ];
    for value in &values {
        assert_eq!(&restored(value.clone()), value);
    }
    assert!(matches!(restored(f64::NAN.into()), Value::Float(nan) if nan.is_nan()));
    assert_eq!(restored(values.clone().into()), values.into());
}

/// Records that look like what references are stored as must not become references.
#[test]
fn data_cannot_be_made_to_look_like_references() {
    let labels = [
        "near", "far", "remote", "encase", "broken", "void", "null", "tagged", "error", "record",
        "map", "encoded", "ocapn-id",
    ];
    for label in labels {
        for fields in [vec![], vec![1.into()], vec![1.into(), 1.into()], vec!["x".into()]] {
            let record = Record { label: Value::symbol(label), fields };
            let value = Value::Record(Box::new(record));
            assert_eq!(restored(value.clone()), value);
        }
    }
}

#[test]
fn promises_come_back_as_what_they_came_to() {
    let fulfilled = Promise::settled(Ok(vec![Value::from(1)].into()));
    let held = restored(fulfilled.into());
    assert_eq!(held.as_ref().unwrap().outcome(), Some(Ok(vec![Value::from(1)].into())));
    let broken = Promise::settled(Err(Fault::from("no luck")));
    let held = restored(broken.into());
    assert_eq!(held.as_ref().unwrap().outcome(), Some(Err("no luck".into())));

    let disk = Memory::new();
    let world = World::open(disk.clone());
    let vat = world.vat("values");
    let counter = vat.spawn(Counter(1));
    let to_actor = Promise::settled(Ok(Value::from(&counter)));
    vat.set_root("holder", vat.spawn(Holder(to_actor.into()))).unwrap();
    world.hand.run_until_idle();
    world.commit();
    let world = World::open(disk);
    let vat = world.vat("values");
    let held = world.get(&vat.root("holder").unwrap().unwrap());
    assert_eq!(world.ask(held.as_ref().unwrap(), vec![1.into()]), Ok(2.into()));
}

#[test]
fn a_promise_that_settles_later_is_stored_then() {
    let disk = Memory::new();
    let world = World::open(disk.clone());
    let vat = world.vat("values");
    let (promise, resolver) = vat_runtime::promise();
    let holder = vat.root_or_spawn("holder", || Holder(promise.into())).unwrap();
    world.hand.run_until_idle();
    world.commit();
    let before = disk.fork();
    resolver.fulfill(42);
    assert!(world.store.pending() > world.store.durable(), "it is to be written anew");
    world.commit();
    drop(holder);

    let outcome = |disk| {
        let world = World::open(disk);
        let vat = world.vat("values");
        let held = world.get(&vat.root("holder").unwrap().unwrap());
        held.as_ref().unwrap().outcome().unwrap()
    };
    assert_eq!(outcome(disk), Ok(42.into()));
    let fault = outcome(before).unwrap_err().to_string();
    assert_eq!(fault, "not stored: a promise that has not settled");
}

#[test]
fn values_nest_as_deep_as_is_said_and_no_deeper() {
    let nested = |depth: usize| (0..depth).fold(Value::from(1), |inner, _| vec![inner].into());
    // One level is the holder's own.
    let deep = nested(MAX_DEPTH - 1);
    assert_eq!(restored(deep.clone()), deep);
    let mut value = restored(nested(3 * MAX_DEPTH));
    while let Value::List(mut items) = value {
        value = items.pop().unwrap();
    }
    let fault = value.as_ref().unwrap().outcome().unwrap().unwrap_err();
    assert!(fault.to_string().contains("nested deeper than"), "{fault}");
}

#[test]
fn what_repeats_a_key_is_reported() {
    let disk = Memory::new();
    let world = World::open(disk);
    let vat = world.vat("values");
    let twice = Value::Struct(vec![("a".into(), 1.into()), ("a".into(), 2.into())]);
    let holder = vat.root_or_spawn("holder", || Holder(Value::Null)).unwrap();
    assert!(world.ask(&holder, set(twice)).is_ok());
    world.commit();
    let report = world.store.doctor().unwrap().to_string();
    assert!(report.contains("a struct that has a field twice at .held was not stored"), "{report}");
}
