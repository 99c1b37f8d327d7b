//! The text notation, in one table used in both directions.

use num_bigint::BigInt;
use syrup::text::{self, Build, Container, Printer, Syntax, Values};
use syrup::{Dict, Set, Value};

fn dict(entries: &[(&str, Value)]) -> Value {
    let entries = entries.iter().map(|(key, value)| (Value::from(*key), value.clone()));
    Value::Dict(Dict::new(entries).expect("distinct keys"))
}

/// Text as it is printed, and its value.
fn table() -> Vec<(&'static str, Value)> {
    let big = "18446744073709551616".parse::<BigInt>().expect("a number");
    vec![
        ("true", Value::Bool(true)),
        ("false", Value::Bool(false)),
        ("42", Value::Int(42)),
        ("-7", Value::Int(-7)),
        ("18446744073709551616", Value::from(big)),
        ("1.0", Value::F64(1.0)),
        ("-0.0", Value::F64(-0.0)),
        ("1e300", Value::F64(1e300)),
        ("5e-324", Value::F64(5e-324)),
        ("1.5_f32", Value::F32(1.5)),
        ("1e30_f32", Value::F32(1e30)),
        ("+inf", Value::F64(f64::INFINITY)),
        ("-inf_f32", Value::F32(f32::NEG_INFINITY)),
        ("+nan", Value::F64(f64::from_bits(0x7ff8 << 48))),
        ("+nan:fff8000000000001", Value::F64(f64::from_bits(0xfff8_0000_0000_0001))),
        ("+nan_f32", Value::F32(f32::from_bits(0x7fc0_0000))),
        ("+nan:7fc00001_f32", Value::F32(f32::from_bits(0x7fc0_0001))),
        ("0x", Value::bytes(b"")),
        ("0x00ff", Value::bytes([0, 255])),
        (r#"b"a \"b\" \\""#, Value::bytes(*br#"a "b" \"#)),
        (r#""""#, Value::from("")),
        (r#""a\n\t\"é\u{202e}""#, Value::from("a\n\t\"é\u{202e}")),
        ("'fetch", Value::symbol("fetch")),
        ("'op:deliver", Value::symbol("op:deliver")),
        ("'true", Value::symbol("true")),
        ("'7", Value::symbol("7")),
        ("'@", Value::symbol("@")),
        (r#"'"""#, Value::symbol("")),
        (r#"'"a:""#, Value::symbol("a:")),
        (r#"'":a:""#, Value::symbol(":a:")),
        (r#"'"two words""#, Value::symbol("two words")),
        ("[]", Value::List(vec![])),
        ("[1 [2] 3]", Value::List(vec![1.into(), vec![2.into()].into(), 3.into()])),
        ("{}", dict(&[])),
        (r#"{"a": 1, "b": 'c}"#, dict(&[("a", 1.into()), ("b", Value::symbol("c"))])),
        (
            "{'a: 1, 'b:c: 2}",
            Value::Dict(
                Dict::new([(Value::symbol("a"), 1.into()), (Value::symbol("b:c"), 2.into())])
                    .expect("distinct keys"),
            ),
        ),
        ("#{1 2}", Value::Set(Set::new([2.into(), 1.into()]).expect("distinct"))),
        ("<'point 3 -4>", Value::record("point", [3.into(), (-4).into()])),
        ("<'void>", Value::record("void", [])),
    ]
}

#[test]
fn prints_and_parses_the_table() {
    for (text, value) in table() {
        assert_eq!(value.to_string(), text);
        assert_eq!(text::parse(text), Ok(value.clone()), "{text}");
        assert_eq!(text::parse_argument(text), Ok(value), "{text}");
    }
}

#[test]
fn parses_other_spellings() {
    for (text, printed) in [
        (" +42 ", "42"),
        ("007", "7"),
        ("-0", "0"),
        ("1E3", "1000.0"),
        ("0xAb", "0xab"),
        (r#"b"\xff\n""#, "0xff0a"),
        ("[1,2 , 3,]", "[1 2 3]"),
        ("[[][]]", "[[] []]"),
        (r#"{"b":2"a":1}"#, r#"{"a": 1, "b": 2}"#),
        (r#"{ "b" : 2 , "a" : 1 , }"#, r#"{"a": 1, "b": 2}"#),
        (r#"<'a"b">"#, r#"<'a "b">"#),
        (r#"'"plain""#, "'plain"),
        ("<[1] 2>", "<[1] 2>"),
    ] {
        let value = text::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(value.to_string(), printed);
    }
}

#[test]
fn takes_bare_words_on_a_command_line_only() {
    for (text, printed) in [
        ("increment", "'increment"),
        ("-", "'-"),
        ("-x", "'-x"),
        ("b", "'b"),
        ("inf", "'inf"),
        ("nan", "'nan"),
        ("ocapn://abc.tcp-tls/s/x?port=1&host=h", "'ocapn://abc.tcp-tls/s/x?port=1&host=h"),
        ("[a b:c {d: e}]", "['a 'b:c {'d: 'e}]"),
        ("<op:abort \"why\">", "<'op:abort \"why\">"),
    ] {
        let value = text::parse_argument(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(value.to_string(), printed);
        assert!(text::parse(text).is_err(), "{text}");
    }
}

#[test]
fn says_what_is_wrong_and_where() {
    for (text, offset, message) in [
        ("", 0, "a value is wanted here"),
        ("  ", 2, "a value is wanted here"),
        ("1 2", 2, "something follows the value"),
        ("[1 2", 0, "no ']' closes this"),
        ("[1 [2 3]", 0, "no ']' closes this"),
        ("[1 2}", 4, "']' is wanted here"),
        ("]", 0, "']' can't begin a value"),
        ("<>", 0, "a record needs a label"),
        (r#"{"a" 1}"#, 5, "a key is followed by ':' and a value"),
        (r#"{"a": 1, "a": 2}"#, 0, "a key occurs twice"),
        ("#{1 1}", 0, "a member occurs twice"),
        ("\"abc", 0, "no '\"' closes this"),
        ("[\"a\\q\"]", 3, "no escape: \\q"),
        (r#""\u{d800}""#, 1, "\\u{HEX} of a Unicode character"),
        (r#""\u{+41}""#, 1, "\\u{HEX} of a Unicode character"),
        (r#"b"é""#, 2, "bytes hold ASCII characters; write others as \\xHH"),
        (r#"b"\xg0""#, 2, "\\x and two hex digits"),
        ("0xabc", 0, "0xabc is not bytes: 0x and pairs of hex digits"),
        ("1.2.3", 0, "1.2.3 is not a number: quote it to make it a string or symbol"),
        ("5apples", 0, "5apples is not a number: quote it to make it a string or symbol"),
        ("[hello]", 1, "hello is not a value: write 'hello or \"hello\""),
        ("'", 1, "a symbol's name is wanted here"),
        ("@", 1, "a reference's name is wanted here"),
        ("@a.cap", 0, "no reference such as @a.cap can stand here"),
        ("é", 0, "é is not a value: write 'é or \"é\""),
    ] {
        let error = text::parse(text).expect_err(text);
        assert_eq!((error.offset, error.message.as_str()), (offset, message), "{text}");
    }
}

#[test]
fn refuses_what_is_over_a_limit() {
    let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
    assert!(text::parse(&nested(128)).is_ok());
    let error = text::parse(&nested(129)).expect_err("too deep");
    assert_eq!((error.offset, error.message.as_str()), (128, "nested deeper than 128"));

    let deep = Syntax { depth: usize::MAX, ..Syntax::default() };
    assert!(text::parse_with(&nested(512), &deep, &mut Values).is_ok());
    assert!(text::parse_with(&nested(513), &deep, &mut Values).is_err());

    assert!(text::parse(&"9".repeat(4096)).is_ok());
    let error = text::parse(&"9".repeat(4097)).expect_err("too long");
    assert_eq!(error.message, "number of more than 4096 digits");
}

#[test]
fn breaks_long_lines() {
    let text = r#"<'point {"x": [1 2 3], "y": "twelve bytes"} 'end>"#;
    let value = text::parse(text).expect("valid");
    let mut out = Printer::pretty(30);
    out.value(&value);
    let printed = out.finish();
    let expected =
        "<'point\n  {\n    \"x\": [1 2 3],\n    \"y\": \"twelve bytes\",\n  }\n  'end\n>";
    assert_eq!(printed, expected);
    assert_eq!(text::parse(&printed), Ok(value));
}

/// Counts references and makes strings of everything: what a program with its own
/// value type does.
struct Names(Vec<String>);

impl Build for Names {
    type Value = ();
    fn bool(&mut self, _: bool) -> Result<(), String> {
        Ok(())
    }
    fn int(&mut self, _: BigInt) -> Result<(), String> {
        Ok(())
    }
    fn f32(&mut self, _: f32) -> Result<(), String> {
        Err("no single-precision floats".to_owned())
    }
    fn f64(&mut self, _: f64) -> Result<(), String> {
        Ok(())
    }
    fn bytes(&mut self, _: Vec<u8>) -> Result<(), String> {
        Ok(())
    }
    fn string(&mut self, _: String) -> Result<(), String> {
        Ok(())
    }
    fn symbol(&mut self, _: String) -> Result<(), String> {
        Ok(())
    }
    fn list(&mut self, _: Vec<()>) -> Result<(), String> {
        Ok(())
    }
    fn dict(&mut self, _: Vec<((), ())>) -> Result<(), String> {
        Ok(())
    }
    fn set(&mut self, _: Vec<()>) -> Result<(), String> {
        Ok(())
    }
    fn record(&mut self, (): (), _: Vec<()>) -> Result<(), String> {
        Ok(())
    }
    fn reference(&mut self, name: &str) -> Result<(), String> {
        self.0.push(name.to_owned());
        Ok(())
    }
}

#[test]
fn hands_references_to_the_builder() {
    let mut names = Names(Vec::new());
    let text = r#"[@counter.cap {"at": @"my file.cap"} <'x @/var/lib/a.cap>]"#;
    text::parse_with(text, &Syntax::default(), &mut names).expect("valid");
    assert_eq!(names.0, ["counter.cap", "my file.cap", "/var/lib/a.cap"]);

    let error = text::parse_with("[1 1.5_f32]", &Syntax::default(), &mut names);
    let error = error.expect_err("the builder refuses it");
    assert_eq!(error.to_string(), "no single-precision floats at byte 3");
}

#[test]
fn prints_references_that_parse_back() {
    let mut out = Printer::compact();
    out.begin(Container::List);
    out.reference("a b");
    out.reference("c.cap");
    out.end();
    let text = out.finish();
    assert_eq!(text, r#"[@"a b" @c.cap]"#);
    let mut names = Names(Vec::new());
    text::parse_with(&text, &Syntax::default(), &mut names).expect("valid");
    assert_eq!(names.0, ["a b", "c.cap"]);
}
