//! What values look like on the wire, to whom, and that they come out as they went in.

mod support;

use captp::{Dialect, ErrorValue, Passable, Record, SessionConfig, Tagged};
use num_bigint::BigInt;
use support::{BOOTSTRAP, Pair, Resolver, Side, Value, config};

fn with_dialect(name: &str, seed: u8, dialect: Dialect) -> SessionConfig {
    let mut config = config(name, seed);
    config.dialect = dialect;
    config
}

fn record(label: &'static str, fields: Vec<Value>) -> Value {
    Value::Record(Box::new(Record { label: Value::symbol(label), fields }))
}

fn tagged(tag: &str, value: Value) -> Value {
    Value::Tagged(Box::new(Tagged { tag: tag.into(), value }))
}

fn error(message: &str, fields: Vec<Value>, label: Option<&str>) -> Value {
    Value::Error(Box::new(ErrorValue {
        message: message.into(),
        fields,
        label: label.map(Into::into),
    }))
}

fn mystery() -> Value {
    error(ErrorValue::<()>::UNSAID, vec![], Some("exn:fail:mystery"))
}

/// Says one value from `a` to `b`, and gives what `b` hears and the bytes.
fn through(pair: &mut Pair, value: Value) -> (Value, Vec<u8>) {
    pair.a.deliver(BOOTSTRAP, &[value], None).unwrap();
    let bytes = pair.a.transmit(true);
    pair.b.receive(&bytes);
    (pair.b.message().1.remove(0), bytes)
}

/// Values that are passed between peers, whatever their dialect.
fn values() -> Vec<Value> {
    let big = |digits: usize| "7".repeat(digits).parse::<BigInt>().unwrap();
    vec![
        ().into(),
        Value::Null,
        true.into(),
        i64::MIN.into(),
        i64::MAX.into(),
        0.into(),
        u64::MAX.into(),
        big(20).into(),
        (-big(4096)).into(),
        1.5.into(),
        f64::NEG_INFINITY.into(),
        f64::MIN_POSITIVE.into(),
        "\u{1f9cc} goblin \u{0} \u{10ffff}".into(),
        Value::symbol("sym\u{1f9cc}"),
        bytes::Bytes::from(vec![0xff; 40_000]).into(),
        Value::List(vec![]),
        Value::List(vec![Value::List(vec![Value::Null])]),
        Value::Struct(vec![]),
        Value::Struct(vec![("a".into(), 1.into()), ("bb".into(), Value::List(vec![]))]),
        Value::Map(vec![(Value::symbol("a"), 1.into())]),
        Value::Map(vec![("a".into(), 2.into()), (Value::symbol("a"), 1.into())]),
        Value::Set(vec![]),
        Value::Set(vec!["a".into(), Value::symbol("a")]),
        tagged("point", Value::List(vec![1.into(), 2.into()])),
        record("strange", vec![]),
        record("strange", vec![record("stranger", vec![tagged("t", Value::Null)])]),
        Value::Record(Box::new(Record { label: "a string".into(), fields: vec![1.into()] })),
    ]
}

#[test]
fn what_goes_in_comes_out() {
    let mut pair = Pair::new();
    for value in values() {
        assert_eq!(through(&mut pair, value.clone()).0, value);
        let nested = Value::Struct(vec![("in".into(), tagged("t", Value::List(vec![value])))]);
        assert_eq!(through(&mut pair, nested.clone()).0, nested);
    }
}

#[test]
fn there_is_one_nan_and_two_zeros() {
    let mut pair = Pair::new();
    let odd = [0x7ff8_0000_0000_0000, 0xfff8_0000_0000_0001, 0x7ff0_0000_0000_0001_u64];
    let mut said = odd.map(|bits| through(&mut pair, f64::from_bits(bits).into()).1).to_vec();
    said.dedup();
    assert_eq!(said.len(), 1, "one NaN");
    let (Value::Float(zero), _) = through(&mut pair, (-0.0).into()) else { panic!("a float") };
    assert!(zero.is_sign_negative());
}

/// Every record that living peers send, wherever it stands, is a value, and the
/// session goes on.
#[test]
fn other_peoples_records_wherever_they_stand() {
    let cases = [
        ("<4'void>", Value::Undefined),
        ("<4'null>", Value::Null),
        ("<2'kw1'a>", record("kw", vec![Value::symbol("a")])),
        ("<4'pair1+2+>", record("pair", vec![1.into(), 2.into()])),
        ("<3'vec>", record("vec", vec![])),
        ("<3'vec1+2+3+>", record("vec", vec![1.into(), 2.into(), 3.into()])),
        ("<16'exn:fail:mystery>", mystery()),
        ("<10'desc:error4\"oops>", error("oops", vec![], None)),
        ("<10'desc:error>", error(ErrorValue::<()>::UNSAID, vec![], None)),
        (
            "<10'desc:error4\"oops9\"TypeError{1\"a1+}>",
            error(
                "oops",
                vec!["TypeError".into(), Value::Struct(vec![("a".into(), 1.into())])],
                None,
            ),
        ),
        ("<10'desc:error7+>", error(ErrorValue::<()>::UNSAID, vec![7.into()], None)),
        ("<11'desc:tagged1'a1+>", tagged("a", 1.into())),
        ("<11'user-record1'a1+>", tagged("a", 1.into())),
        ("<11'user-record1\"a1+>", tagged("a", 1.into())),
        // Of a shape that nobody has sent yet.
        (
            "<11'user-record1'a1+2+>",
            record("user-record", vec![Value::symbol("a"), 1.into(), 2.into()]),
        ),
        ("<11'desc:tagged>", record("desc:tagged", vec![])),
        ("<4'void1+>", record("void", vec![1.into()])),
        ("<4'null1+>", record("null", vec![1.into()])),
        ("<9'desc:newt1+>", record("desc:newt", vec![1.into()])),
        ("F\u{0}\u{0}\u{0}\u{0}", 0.0.into()),
    ];
    for (encoded, value) in cases {
        let list = Value::List(vec![value.clone()]);
        let nested = [
            (encoded.to_owned(), value.clone()),
            (format!("[{encoded}]"), list.clone()),
            (format!("{{1\"k[{encoded}]}}"), Value::Struct(vec![("k".into(), list.clone())])),
            (format!("<4'pair[{encoded}]>"), record("pair", vec![list.clone()])),
            (format!("<10'desc:error1\"e[{encoded}]>"), error("e", vec![list.clone()], None)),
            (format!("<11'desc:tagged1't{encoded}>"), tagged("t", value.clone())),
        ];
        for (encoded, value) in nested {
            let mut pair = Pair::new();
            let said = format!("<10'op:deliver<11'desc:export0+>[{encoded}]ff>");
            pair.a.receive(said.as_bytes());
            assert_eq!(pair.a.message().1, std::slice::from_ref(&value), "{encoded}");
            for verb in ["7'fulfill", "5'break"] {
                pair.a.deliver(BOOTSTRAP, &[], Some(Resolver(3))).unwrap();
                let resolver = pair.a.session.table_counts().exports;
                let said = format!("<10'op:deliver<11'desc:export{resolver}+>[{verb}{encoded}]ff>");
                pair.a.receive(said.as_bytes());
                let (Resolver(3), outcome) = pair.a.settled() else { panic!("settled") };
                assert_eq!(outcome.is_ok(), verb == "7'fulfill");
                assert_eq!(outcome.unwrap_or_else(|reason| reason), value, "{encoded}");
            }
            assert!(pair.a.session.is_live());
        }
    }
}

/// How `value` is written to a peer that has said `heard`.
fn written(dialect: Dialect, heard: &str, value: Value) -> String {
    let mut pair = Pair::with(with_dialect("alice", 1, dialect), config("bob", 2));
    if !heard.is_empty() {
        pair.a.receive(format!("<10'op:deliver<11'desc:export0+>[{heard}]ff>").as_bytes());
        drop(pair.a.message());
    }
    argument(&mut pair.a, value)
}

fn argument(side: &mut Side, value: Value) -> String {
    side.deliver(BOOTSTRAP, &[value], None).unwrap();
    let said = String::from_utf8(side.transmit(true)).unwrap();
    let (_, args) = said.split_once("<11'desc:export0+>[").unwrap();
    args.split(']').next().unwrap().to_owned()
}

#[test]
fn errors_are_written_as_the_peer_takes_them() {
    let ours = || error("oops", vec!["TypeError".into(), 7.into()], None);
    let open = "<10'desc:error4\"oops9\"TypeError7+>";
    let goblins = "<16'exn:fail:mystery>";
    let cases = [
        (Dialect::UNHEARD, "", ours(), "4\"oops"),
        (Dialect::ONE, "", ours(), "4\"oops"),
        // Endo has been heard: its record takes a message and no more.
        (Dialect::TODAY, "<10'desc:error1\"x>", ours(), "<10'desc:error4\"oops>"),
        (Dialect::UNHEARD, "<10'desc:error1\"x>", ours(), "<10'desc:error4\"oops>"),
        // Somebody with a more open record.
        (Dialect::TODAY, "<10'desc:error1\"x1\"y>", ours(), open),
        // Goblins: its record says nothing, and ours would end the session.
        (Dialect::TODAY, goblins, ours(), "4\"oops"),
        (Dialect::TODAY, goblins, mystery(), goblins),
        (Dialect::TODAY, "<2'kw1'a>", ours(), "4\"oops"),
        // Even if somebody's error has come through it.
        (Dialect::TODAY, "<2'kw1'a><10'desc:error1\"x1\"y>", ours(), "4\"oops"),
        (Dialect::DRAFT, "", ours(), "<10'desc:error4\"oops>"),
        (Dialect::HOBGOBLIN, "", ours(), open),
        (Dialect::HOBGOBLIN, "", mystery(), goblins),
        (
            Dialect::HOBGOBLIN,
            "",
            error(ErrorValue::<()>::UNSAID, vec![7.into()], None),
            "<10'desc:error7+>",
        ),
    ];
    for (dialect, heard, value, expected) in cases {
        assert_eq!(written(dialect, heard, value), expected, "having heard {heard:?}");
    }
}

#[test]
fn tagged_values_and_null_are_written_as_the_peer_takes_them() {
    let ours = || tagged("a", 1.into());
    let cases = [
        ("", ours(), "<11'desc:tagged1'a1+>"),
        ("<11'user-record1'a1+>", ours(), "<11'user-record1'a1+>"),
        ("<16'exn:fail:mystery>", ours(), "<11'user-record1'a1+>"),
        ("<11'user-record1'a1+><11'desc:tagged1'a1+>", ours(), "<11'desc:tagged1'a1+>"),
        ("", Value::Null, "<4'null>"),
        ("<16'exn:fail:mystery>", Value::Null, "<4'void>"),
    ];
    for (heard, value, expected) in cases {
        assert_eq!(written(Dialect::TODAY, heard, value), expected, "having heard {heard:?}");
    }
}

/// Two nodes of ours find out about each other from one call, in forms that every
/// peer accepts, and from then on lose nothing of an error.
#[test]
fn our_own_nodes_keep_whole_errors() {
    for (ours, theirs) in [
        (Dialect::UNHEARD, Dialect::UNHEARD),
        (Dialect::TODAY, Dialect::TODAY),
        (Dialect::UNHEARD, Dialect::TODAY),
        (Dialect::TODAY, Dialect::UNHEARD),
    ] {
        let mut pair = Pair::with(with_dialect("alice", 1, ours), with_dialect("bob", 2, theirs));
        let asked = pair.a.deliver(BOOTSTRAP, &[], Some(Resolver(1))).unwrap().unwrap();
        pair.pump();
        let question = pair.b.message().2.unwrap();
        pair.b.answer(question, Ok(().into()));
        pair.pump();
        drop(pair.a.settled());
        pair.a.events.clear();
        pair.a.session.release(captp::RemotePos::Answer(asked), 0);
        pair.pump();
        assert!(pair.b.events.iter().all(|event| support::name(event) == "Dropped"));
        pair.b.events.clear();
        let held = pair.a.runtime.local(false);
        for value in [
            error(
                "oops",
                vec!["TypeError".into(), Passable::Struct(vec![("n".into(), 7.into())])],
                None,
            ),
            error("oops", vec![Value::List(vec![error("why", vec![], None)])], Some("exn:ours")),
            mystery(),
        ] {
            assert_eq!(through(&mut pair, value.clone()).0, unlabelled(value));
        }
        // References in errors are counted as everywhere.
        drop(through(&mut pair, error("oops", vec![Value::Ref(held)], None)));
        assert_eq!(pair.a.session.table_counts().exports, 1);
        // And back.
        pair.b.deliver(BOOTSTRAP, &[error("oops", vec![1.into()], None)], None).unwrap();
        pair.pump();
        assert_eq!(pair.a.message().1, [error("oops", vec![1.into()], None)]);
        pair.assert_quiescent();
    }
}

/// A label that is not known for an error's comes out as a plain record.
fn unlabelled(value: Value) -> Value {
    let Value::Error(error) = &value else { return value };
    match error.label.as_deref() {
        None | Some("exn:fail:mystery") => value,
        Some(label) => {
            let mut fields = vec![Value::String(error.message.clone())];
            fields.extend(error.fields.iter().cloned());
            Value::Record(Box::new(Record { label: Value::Symbol(label.into()), fields }))
        }
    }
}
