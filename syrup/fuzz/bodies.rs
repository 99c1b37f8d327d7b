//! What the fuzz targets do, shared with a test that runs without a fuzzer.

use syrup::text;
use syrup::{
    DecodeErrorKind, Decoder, Dict, Encoder, Mode, Options, Record, Scanner, Set, Token, Value,
    ValueRef,
};

const STRICT: Mode = Mode::Strict;

fn options(mode: Mode) -> Options {
    Options { mode, ..Options::default() }
}

/// Any bytes: nothing panics, errors lie within the input, and all ways to read agree.
pub(crate) fn decode(input: &[u8]) {
    let strict = tokens(input, STRICT);
    let tolerant = tokens(input, Mode::Tolerant);
    assert!(tolerant || !strict, "tolerance accepts more");

    let borrowed = ValueRef::decode_with(input, &options(STRICT));
    let owned = Value::decode_with(input, &options(STRICT));
    assert_eq!(borrowed.is_ok(), strict);
    assert_eq!(owned.is_ok(), strict);
    if let (Ok(borrowed), Ok(owned)) = (borrowed, owned) {
        assert_eq!(owned.to_vec(), input, "strict input is canonical");
        assert_eq!(encode(&borrowed), input);
    }
    if let Ok(value) = Value::decode(input) {
        assert!(tolerant);
        check(&value);
        let borrowed = ValueRef::decode(input).expect("what Value takes, ValueRef takes");
        assert_eq!(encode(&borrowed), value.to_vec());
    }
}

/// Whether the input is one value, by its tokens.
fn tokens(input: &[u8], mode: Mode) -> bool {
    let mut decoder = Decoder::with_options(input, &options(mode));
    let mut count = 0;
    let mut at = 0;
    loop {
        match decoder.token() {
            Ok(Token::BigInt(digits)) => assert!(i64::try_from(digits.to_bigint()).is_err()),
            Ok(_) => {}
            Err(error) => {
                assert!(error.offset <= input.len(), "{error:?}");
                return false;
            }
        }
        assert!(decoder.position() > at, "every token takes bytes");
        at = decoder.position();
        count += 1;
        assert!(count <= input.len());
        if decoder.depth() == 0 {
            break;
        }
    }
    let mut skipper = Decoder::with_options(input, &options(mode));
    assert_eq!(skipper.skip().map(<[u8]>::len), Ok(at));
    decoder.end().is_ok()
}

fn encode(value: &ValueRef<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut Encoder::new(&mut bytes)).expect("no key twice");
    bytes
}

/// A value survives being written and read, as bytes and as text.
fn check(value: &Value) {
    let bytes = value.to_vec();
    let again = Value::decode_with(&bytes, &options(STRICT)).expect("what was written");
    assert_eq!(&again, value);
    let text = value.to_string();
    assert_eq!(text::parse(&text).as_ref(), Ok(value), "{text}");
    let text = format!("{value:#}");
    assert_eq!(text::parse(&text).as_ref(), Ok(value), "{text}");
}

/// A value made from the bytes survives being written and read.
pub(crate) fn round_trip(mut input: &[u8]) {
    check(&make(&mut input, 0));
}

/// Makes some value, one byte deciding which.
fn make(input: &mut &[u8], depth: usize) -> Value {
    let mut take = |count: usize| {
        let (taken, rest) = input.split_at(count.min(input.len()));
        *input = rest;
        taken
    };
    let choice = take(1).first().copied().unwrap_or_default();
    let number =
        |bytes: &[u8]| bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    match (choice % 12, usize::from(choice / 12)) {
        (0, odd) => Value::Bool(odd % 2 == 1),
        (1, size) => Value::Int(number(take(size % 9)).cast_signed()),
        (2, size) => num_bigint::BigInt::from_signed_bytes_be(take(size)).into(),
        (3, _) => Value::F32(f32::from_bits(u32::try_from(number(take(4))).unwrap_or(0))),
        (4, _) => Value::F64(f64::from_bits(number(take(8)))),
        (5, size) => Value::bytes(take(size)),
        (6, size) => Value::String(String::from_utf8_lossy(take(size)).into_owned()),
        (7, size) => Value::Symbol(String::from_utf8_lossy(take(size)).into_owned()),
        _ if depth > 20 || input.is_empty() => Value::List(Vec::new()),
        (8, size) => Value::List((0..size).map(|_| make(input, depth + 1)).collect()),
        (9, size) => {
            let label = make(input, depth + 1);
            let fields = (0..size).map(|_| make(input, depth + 1));
            Value::Record(Record::new(label, fields))
        }
        (10, size) => {
            let entry = |_| (make(input, depth + 1), make(input, depth + 1));
            Dict::new((0..size).map(entry)).map_or(Value::Bool(false), Value::Dict)
        }
        (_, size) => {
            let members = (0..size).map(|_| make(input, depth + 1));
            Set::new(members).map_or(Value::Bool(false), Value::Set)
        }
    }
}

/// Where values end does not depend on how the stream is cut, and the decoder agrees.
pub(crate) fn scanner_split(input: &[u8]) {
    // Small limits, so that short inputs cross them.
    let mut options = Options::default();
    options.limits.size = 200;
    options.limits.depth = 8;
    options.limits.int_digits = 20;

    let whole = scan(&options, input, &[]);
    let input = input.get(..300).unwrap_or(input);
    if input.len() < 300 {
        for cut in 0..=input.len() {
            assert_eq!(scan(&options, input, &[cut]), whole, "cut at {cut}");
        }
        let every: Vec<usize> = (0..input.len()).collect();
        assert_eq!(scan(&options, input, &every), whole, "cut everywhere");
    }

    let mut decoder = Decoder::with_options(input, &options);
    let first = Scanner::new(&options).scan(input);
    match decoder.skip() {
        Ok(value) => assert_eq!(first, Ok(Some(value.len()))),
        Err(error) if error.kind == DecodeErrorKind::Incomplete => {
            assert_eq!(first, Ok(None), "both wait for more");
        }
        // The scanner leaves most checks to the decoder.
        Err(_) => {}
    }
}

/// The ends of the values in a stream that is cut in these places, and how it ended.
fn scan(options: &Options, input: &[u8], cuts: &[usize]) -> (Vec<usize>, Option<DecodeErrorKind>) {
    let mut scanner = Scanner::new(options);
    let (mut start, mut ends) = (0, Vec::new());
    for end in cuts.iter().copied().chain([input.len()]) {
        while start < end {
            match scanner.scan(&input[start..end]) {
                Ok(Some(length)) => {
                    assert!(length > 0);
                    start += length;
                    ends.push(start);
                }
                Ok(None) => break,
                Err(error) => return (ends, Some(error.kind)),
            }
        }
    }
    (ends, None)
}

/// Any text: no panic, errors lie within it, and what parses survives being printed.
pub(crate) fn text(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else {
        return;
    };
    let notation = text::parse(input);
    let argument = text::parse_argument(input);
    for parsed in [&notation, &argument] {
        match parsed {
            Ok(value) => check(value),
            Err(error) => assert!(input.is_char_boundary(error.offset), "{error}"),
        }
    }
    if notation.is_ok() {
        assert_eq!(notation, argument, "an argument only adds to the notation");
    }
}
