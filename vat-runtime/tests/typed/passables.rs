//! `#[derive(Passable)]`: every shape of struct and enum, and what is said when a value
//! does not fit.

use std::fmt::Debug;

use vat_runtime::{FromValue, IntoValue, Passable, Type, Typed, Value};

#[track_caller]
fn there_and_back<T: Passable + Clone + PartialEq + Debug>(own: T, value: impl Into<Value>) {
    let value = value.into();
    assert_eq!(own.clone().into_value(), value);
    assert_eq!(T::from_value(value), Ok(own));
}

#[track_caller]
fn refused<T: FromValue + Debug>(value: impl Into<Value>, message: &str) {
    assert_eq!(T::from_value(value.into()).unwrap_err().to_string(), message);
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Struct(fields.map(|(key, value)| (key.into(), value)).into())
}

fn tagged(tag: &str, value: Value) -> Value {
    let mut template = Shape::Scaled(0).into_value();
    if let Value::Tagged(inner) = &mut template {
        inner.tag = tag.into();
        inner.value = value;
    }
    template
}

#[derive(Passable, Clone, Debug, PartialEq)]
struct Seat {
    nick: String,
    row_number: Option<u8>,
    #[passable(default)]
    marks: Vec<u8>,
    #[passable(rename = "in")]
    room: u8,
}

#[test]
fn structs_by_their_fields() {
    let seat = Seat { nick: "ada".into(), row_number: Some(3), marks: vec![], room: 1 };
    let all = [
        ("nick", "ada".into()),
        ("row_number", 3.into()),
        ("marks", Value::List(vec![])),
        ("in", 1.into()),
    ];
    there_and_back(seat, fields(all));
    let least = fields([("in", 1.into()), ("unknown", 5.into()), ("nick", "ada".into())]);
    let least = Seat::from_value(least).unwrap();
    assert_eq!(least, Seat { nick: "ada".into(), row_number: None, marks: vec![], room: 1 });
    assert_eq!(least.into_value(), {
        fields([("nick", "ada".into()), ("marks", Value::List(vec![])), ("in", 1.into())])
    });
    refused::<Seat>(fields([("in", 1.into())]), "field \"nick\": expected a string, found nothing");
    refused::<Seat>(fields([("nick", 5.into())]), {
        "field \"nick\": expected a string, found an integer"
    });
    refused::<Seat>(5, "expected a struct Seat, found an integer");
    let undefined = fields([("nick", Value::Undefined)]);
    refused::<Seat>(undefined, "field \"nick\": expected a string, found nothing");
}

#[derive(Passable, Clone, Debug, PartialEq)]
#[passable(rename_all = "camelCase", deny_unknown, default)]
struct Knobs {
    max_length: u8,
    is_on: bool,
}

impl Default for Knobs {
    fn default() -> Self {
        Self { max_length: 80, is_on: true }
    }
}

#[derive(Passable, Clone, Debug, PartialEq)]
#[passable(rename_all = "kebab-case")]
struct Kebab {
    max_length: u8,
}

#[test]
fn structs_with_defaults_and_other_names() {
    there_and_back(Knobs { max_length: 1, is_on: false }, {
        fields([("maxLength", 1.into()), ("isOn", false.into())])
    });
    assert_eq!(Knobs::from_value(fields([])), Ok(Knobs::default()));
    assert_eq!(Knobs::from_value(fields([("isOn", false.into())])).unwrap().max_length, 80);
    assert_eq!(Knobs::absent(), Some(Knobs::default()));
    assert_eq!(Seat::absent(), None);
    refused::<Knobs>(fields([("max_length", 1.into())]), {
        "expected no further fields, found the field \"max_length\""
    });
    there_and_back(Kebab { max_length: 1 }, fields([("max-length", 1.into())]));
}

#[derive(Passable, Clone, Debug, PartialEq)]
struct Nick(String);

#[derive(Passable, Clone, Debug, PartialEq)]
struct Point(i64, i64);

#[derive(Passable, Clone, Debug, PartialEq)]
struct NobodyThere;

#[test]
fn tuples_and_structs_without_fields() {
    there_and_back(Nick("ada".into()), "ada");
    assert_eq!(Nick::TYPE, &Type::String);
    there_and_back(Point(1, -1), Value::List(vec![1.into(), (-1).into()]));
    there_and_back(NobodyThere, Value::symbol("nobody-there"));
    refused::<Nick>(5, "expected a string, found an integer");
    refused::<Point>(Value::List(vec![]), "expected a list of 2 elements, found one of 0");
    refused::<NobodyThere>(Value::symbol("x"), {
        "expected \"nobody-there\", found the symbol \"x\""
    });
    refused::<NobodyThere>("x", "expected \"nobody-there\", found a string");
}

#[derive(Passable, Clone, Debug, PartialEq)]
enum Shape {
    Empty,
    #[passable(rename = "unit!")]
    Unit,
    Scaled(u8),
    Point(i64, i64),
    InTheAir {
        height: u8,
        note: Option<String>,
    },
}

#[test]
fn enums_by_symbols_and_tags() {
    there_and_back(Shape::Empty, Value::symbol("empty"));
    there_and_back(Shape::Unit, Value::symbol("unit!"));
    there_and_back(Shape::Scaled(3), tagged("scaled", 3.into()));
    let point = tagged("point", Value::List(vec![1.into(), 2.into()]));
    there_and_back(Shape::Point(1, 2), point);
    there_and_back(Shape::InTheAir { height: 3, note: None }, {
        tagged("in-the-air", fields([("height", 3.into())]))
    });
    let expected = "expected one of \"empty\", \"unit!\", \"scaled\", \"point\", \"in-the-air\"";
    refused::<Shape>(Value::symbol("x"), &format!("{expected}, found the symbol \"x\""));
    refused::<Shape>(Value::symbol("scaled"), &format!("{expected}, found the symbol \"scaled\""));
    refused::<Shape>(tagged("empty", 1.into()), &format!("{expected}, found the tag \"empty\""));
    refused::<Shape>(7, &format!("{expected}, found an integer"));
    refused::<Shape>(tagged("scaled", "x".into()), {
        "tag \"scaled\": expected an integer, found a string"
    });
    refused::<Shape>(tagged("in-the-air", fields([])), {
        "field \"height\" of tag \"in-the-air\": expected an integer, found nothing"
    });
    refused::<Shape>(tagged("in-the-air", 5.into()), {
        "tag \"in-the-air\": expected a struct Shape::InTheAir, found an integer"
    });
}

#[derive(Passable, Clone, Debug, PartialEq)]
struct Pair<A, B> {
    first: A,
    second: Option<Box<Pair<A, B>>>,
    third: Option<B>,
}

#[test]
fn types_within_types_and_within_themselves() {
    let inner = Pair { first: 1_u8, second: None, third: Some(true) };
    let pair = Pair { first: 2_u8, second: Some(Box::new(inner)), third: None };
    let value = fields([("first", 1.into()), ("third", true.into())]);
    there_and_back(pair, fields([("first", 2.into()), ("second", value)]));
}
