//! What must hold for any value and any bytes.

use num_bigint::BigInt;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use syrup::{
    DecodeErrorKind, Decoder, Dict, Encoder, Mode, Options, Record, Scanner, Set, Value, ValueRef,
    text,
};

const STRICT: Options = Options { mode: Mode::Strict, limits: syrup::Limits::DEFAULT };

/// The same cases in every run.
fn config() -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(0x5ea_5e11),
        failure_persistence: None,
        cases: if cfg!(miri) { 4 } else { ProptestConfig::default().cases },
        ..ProptestConfig::default()
    }
}

fn text_atom() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z:.!-]{0,12}", any::<String>()]
}

fn value() -> impl Strategy<Value = Value> {
    let atom = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-20i64..20).prop_map(Value::Int),
        vec(any::<u8>(), 0..20).prop_map(|bytes| BigInt::from_signed_bytes_be(&bytes).into()),
        any::<u32>().prop_map(|bits| Value::F32(f32::from_bits(bits))),
        any::<u64>().prop_map(|bits| Value::F64(f64::from_bits(bits))),
        any::<f64>().prop_map(Value::F64),
        vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
        text_atom().prop_map(Value::String),
        text_atom().prop_map(Value::Symbol),
    ];
    atom.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::List),
            vec((inner.clone(), inner.clone()), 0..6)
                .prop_filter_map("a key twice", |entries| Dict::new(entries).ok())
                .prop_map(Value::Dict),
            vec(inner.clone(), 0..6)
                .prop_filter_map("a member twice", |members| Set::new(members).ok())
                .prop_map(Value::Set),
            (inner.clone(), vec(inner, 0..4))
                .prop_map(|(label, fields)| Value::Record(Record::new(label, fields))),
        ]
    })
}

fn scan_all(stream: &[u8], cut: usize) -> Vec<usize> {
    let mut scanner = Scanner::new(&STRICT);
    let (mut start, mut ends) = (0, Vec::new());
    for end in [cut, stream.len()] {
        while start < end {
            let Some(length) = scanner.scan(&stream[start..end]).expect("Syrup") else {
                break;
            };
            start += length;
            ends.push(start);
        }
    }
    ends
}

/// As `scan_all`, never showing a byte twice.
fn scan_once(stream: &[u8], cut: usize) -> Vec<usize> {
    let mut scanner = Scanner::new(&STRICT);
    let (mut start, mut ends) = (0, Vec::new());
    for end in [cut, stream.len()] {
        while start < end {
            let length = scanner.scan_next(&stream[start..end]).expect("Syrup");
            start = length.map_or(end, |length| start + length);
            ends.extend(length.map(|_| start));
        }
    }
    ends
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn values_survive_bytes(value in value()) {
        let bytes = value.to_vec();
        prop_assert_eq!(Value::decode_with(&bytes, &STRICT), Ok(value));
        let borrowed = ValueRef::decode_with(&bytes, &STRICT).expect("canonical");
        let mut again = Vec::new();
        borrowed.encode(&mut Encoder::new(&mut again)).expect("no key twice");
        prop_assert_eq!(again, bytes);
    }

    #[test]
    fn values_survive_text(value in value()) {
        prop_assert_eq!(text::parse(&value.to_string()), Ok(value.clone()));
        prop_assert_eq!(text::parse(&format!("{value:#}")), Ok(value.clone()));
        prop_assert_eq!(text::parse_argument(&value.to_string()), Ok(value));
    }

    #[test]
    fn equality_order_and_hash_are_those_of_the_encodings(one in value(), two in value()) {
        use std::hash::BuildHasher;
        let (first, second) = (one.to_vec(), two.to_vec());
        prop_assert_eq!(one.cmp(&two), first.cmp(&second));
        prop_assert_eq!(one == two, first == second);
        let hasher = std::hash::RandomState::new();
        let again = Value::decode(&first).expect("canonical");
        prop_assert_eq!(hasher.hash_one(&one), hasher.hash_one(&again));
    }

    #[test]
    fn texts_of_any_length_are_ordered_as_encoded(one in 0usize..1200, two in 0usize..1200) {
        for make in [
            |length| Value::String("x".repeat(length)),
            |length| Value::Symbol("x".repeat(length)),
            |length| Value::Bytes(vec![b'x'; length]),
        ] {
            let (one, two) = (make(one), make(two));
            prop_assert_eq!(one.cmp(&two), one.to_vec().cmp(&two.to_vec()));
        }
    }

    #[test]
    fn a_cut_anywhere_changes_no_boundary(values in vec(value(), 1..4)) {
        let mut stream = Vec::new();
        let mut ends = Vec::new();
        for value in &values {
            stream.extend(value.to_vec());
            ends.push(stream.len());
        }
        for cut in 0..=stream.len() {
            prop_assert_eq!(scan_all(&stream, cut), ends.clone());
            prop_assert_eq!(scan_once(&stream, cut), ends.clone());
        }
    }

    #[test]
    fn a_cut_off_value_is_incomplete(value in value()) {
        let bytes = value.to_vec();
        for end in 0..bytes.len() {
            let cut = &bytes[..end];
            let error = Decoder::new(cut).skip().expect_err("it is cut off");
            prop_assert_eq!((error.kind, error.offset), (DecodeErrorKind::Incomplete, end));
            prop_assert_eq!(Scanner::new(&STRICT).scan(cut), Ok(None));
        }
    }

    #[test]
    fn what_strict_takes_is_canonical(value in value(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = value.to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(value) = Value::decode_with(&bytes, &STRICT) {
            prop_assert_eq!(value.to_vec(), bytes);
        }
    }

    #[test]
    fn strict_refuses_swapped_entries(value in value(), one in value(), two in value()) {
        prop_assume!(one != two);
        let (first, second) = (one.clone().min(two.clone()), one.max(two));
        let mut bytes = Vec::new();
        let mut out = Encoder::new(&mut bytes);
        out.begin_dict();
        for key in [&second, &first] {
            key.encode(&mut out);
            value.encode(&mut out);
        }
        out.end_dict();
        let refused = Value::decode_with(&bytes, &STRICT).map_err(|error| error.kind);
        prop_assert_eq!(refused, Err(DecodeErrorKind::UnsortedKey));
        let sorted = Dict::new([(first, value.clone()), (second, value)]).expect("two keys");
        prop_assert_eq!(Value::decode(&bytes), Ok(Value::Dict(sorted)));
    }

    #[test]
    fn any_text_parses_or_says_where_not(text in "[a-z0-9\"'\\\\@#{}<>\\[\\]:, .+-]{0,24}") {
        match text::parse_argument(&text) {
            Ok(value) => prop_assert_eq!(text::parse(&value.to_string()), Ok(value)),
            Err(error) => prop_assert!(error.offset <= text.len() && text.is_char_boundary(error.offset)),
        }
    }
}
