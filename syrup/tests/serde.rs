//! Rust types to Syrup and back.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use syrup::serde::Error;
use syrup::{DecodeErrorKind, from_slice, to_vec};

/// The bytes a value has, in both directions.
fn both<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, bytes: &str) {
    let written = to_vec(value).expect("it can be written");
    assert_eq!(String::from_utf8_lossy(&written), bytes);
    assert_eq!(&from_slice::<T>(bytes.as_bytes()).expect("it can be read"), value);
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Unit;

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(rename = "desc:export")]
struct Export(u64);

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(rename = "point")]
struct Point(i64, i64);

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Machine {
    zone: String,
    id: u8,
    load: Option<f64>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(rename_all = "lowercase")]
enum Order {
    Stop,
    Wait(u32),
    Move(i8, i8),
    Say { text: String, loud: bool },
}

#[test]
fn atoms_have_their_syrup() {
    both(&true, "t");
    both(&-5i8, "5-");
    both(&u64::MAX, "18446744073709551615+");
    both(&i128::MIN, "170141183460469231731687303715884105728-");
    both(&u128::MAX, "340282366920938463463374607431768211455+");
    both(&'é', "2\"é");
    both(&"abc".to_owned(), "3\"abc");
    both(&(), "<4'void>");
    both(&None::<u8>, "<4'null>");
    both(&Some(7u8), "7+");
    assert_eq!(to_vec(&1.5f32).expect("written"), b"F\x3f\xc0\0\0");
    assert_eq!(from_slice::<f64>(b"D\x3f\xf8\0\0\0\0\0\0"), Ok(1.5));
}

#[test]
fn compounds_have_their_syrup() {
    both(&vec![1, 2], "[1+2+]");
    both(&(1, "a".to_owned()), "[1+1\"a]");
    both(&Unit, "<4'Unit>");
    both(&Export(5), "<11'desc:export5+>");
    both(&Point(3, -4), "<5'point3+4->");
    let machine = Machine { zone: "b".into(), id: 1, load: None };
    both(&machine, "{2\"id1+4\"load<4'null>4\"zone1\"b}");
    both(&BTreeMap::from([(10, 'a'), (9, 'b')]), "{10+1\"a9+1\"b}");
}

#[test]
fn variants_have_their_syrup() {
    both(&Order::Stop, "4'stop");
    both(&Order::Wait(3), "<4'wait3+>");
    both(&Order::Move(1, -1), "<4'move1+1->");
    both(&Order::Say { text: "hi".into(), loud: true }, "<3'say{4\"loudt4\"text2\"hi}>");
    both(&vec![Order::Stop, Order::Wait(1), Order::Stop], "[4'stop<4'wait1+>4'stop]");
    both(&Some(Order::Wait(1)), "<4'wait1+>");
}

#[test]
fn texts_and_bytes_are_borrowed() {
    let texts: Vec<&str> = from_slice(b"[1\"a1'b]").expect("two texts");
    assert_eq!(texts, ["a", "b"]);
    assert_eq!(from_slice::<&[u8]>(b"3:abc"), Ok(b"abc".as_slice()));
}

#[test]
fn maps_are_written_in_canonical_order() {
    let map: HashMap<String, u8> = (0..100).map(|n| ("k".repeat(n.into()), n)).collect();
    let bytes = to_vec(&map).expect("written");
    let strict = syrup::Options { mode: syrup::Mode::Strict, ..Default::default() };
    assert_eq!(syrup::serde::from_slice_with(&bytes, &strict), Ok(map));
}

#[test]
fn reading_is_lenient_where_that_is_harmless() {
    let machine: Machine = from_slice(b"{4'zone1\"b2\"id1+5\"other[<1'x>]}").expect("a machine");
    assert_eq!(machine, Machine { zone: "b".into(), id: 1, load: None });
    assert_eq!(from_slice::<Vec<u8>>(b"#1+2+$"), Ok(vec![1, 2]));
    assert_eq!(from_slice::<Order>(b"<4'stop>"), Ok(Order::Stop));
}

#[test]
fn errors_say_where() {
    fn fails<T: DeserializeOwned + Debug>(bytes: &[u8], offset: usize, part: &str) {
        match from_slice::<T>(bytes) {
            Err(Error::Type { offset: at, message }) => {
                assert!(message.contains(part), "{message}");
                assert_eq!(at, offset, "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
    fails::<u8>(b"256+", 0, "256");
    fails::<Vec<u8>>(b"[1+1-]", 3, "-1");
    fails::<Vec<u8>>(b"[1+1\"a]", 3, "expected u8");
    fails::<Point>(b"<4'void1+2+>", 0, "expected a record with the label point");
    fails::<Point>(b"<5'point1+2+3+>", 12, "more than");
    fails::<Point>(b"<5'point1+>", 0, "invalid length 1");
    fails::<(u8, u8)>(b"[1+2+3+]", 5, "more than");
    fails::<Machine>(b"{2\"id1+}", 0, "missing field `zone`");
    fails::<Order>(b"4'jump", 0, "unknown variant");
    fails::<Order>(b"4'wait", 6, "record with fields");
    fails::<Order>(b"<4'wait1+2+>", 9, "more than one field");
    fails::<u128>(b"340282366920938463463374607431768211456+", 0, "128 bits");
    let cut = from_slice::<Vec<u8>>(b"[1+");
    assert!(matches!(cut, Err(Error::Decode(error)) if error.kind == DecodeErrorKind::Incomplete));
    let more = from_slice::<u8>(b"1+2+");
    assert!(
        matches!(more, Err(Error::Decode(error)) if error.kind == DecodeErrorKind::TrailingBytes)
    );
}

#[test]
fn nesting_is_limited_whatever_the_options_say() {
    #[derive(Deserialize, Debug)]
    #[serde(transparent)]
    struct Nest(#[allow(dead_code, reason = "only to be read")] Vec<Nest>);
    let nested = |depth| [vec![b'['; depth], vec![b']'; depth]].concat();
    let mut options = syrup::Options::default();
    options.limits.depth = usize::MAX;
    syrup::serde::from_slice_with::<Nest>(&nested(512), &options).expect("just deep enough");
    let error = syrup::serde::from_slice_with::<Nest>(&nested(513), &options);
    let error = error.expect_err("too deep");
    assert!(matches!(error, Error::Decode(error)
        if (error.offset, error.kind) == (512, DecodeErrorKind::DepthLimit(512))));
}
