//! Encodings and their values, in one table used in both directions, and the recorded
//! messages of other implementations.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use syrup::{
    DecodeErrorKind, Decoder, Encoder, Mode, Options, Scanner, Token, Value, ValueRef, text,
};

/// The value as text, and its encoding.
const TABLE: &[(&str, &[u8])] = &[
    ("true", b"t"),
    ("false", b"f"),
    ("0", b"0+"),
    ("1", b"1+"),
    ("-1", b"1-"),
    ("42", b"42+"),
    ("9223372036854775807", b"9223372036854775807+"),
    ("-9223372036854775808", b"9223372036854775808-"),
    ("9223372036854775808", b"9223372036854775808+"),
    ("-9223372036854775809", b"9223372036854775809-"),
    ("18446744073709551615", b"18446744073709551615+"),
    ("18446744073709551616", b"18446744073709551616+"),
    ("123456789012345678901234567890", b"123456789012345678901234567890+"),
    ("1.0_f32", b"F\x3f\x80\0\0"),
    ("-0.0_f32", b"F\x80\0\0\0"),
    ("1.0", b"D\x3f\xf0\0\0\0\0\0\0"),
    ("-0.0", b"D\x80\0\0\0\0\0\0\0"),
    ("123.456", b"D\x40\x5e\xdd\x2f\x1a\x9f\xbe\x77"),
    ("+inf", b"D\x7f\xf0\0\0\0\0\0\0"),
    ("-inf", b"D\xff\xf0\0\0\0\0\0\0"),
    ("+nan", b"D\x7f\xf8\0\0\0\0\0\0"),
    ("0x", b"0:"),
    ("b\"cat\"", b"3:cat"),
    ("0x00ff", b"2:\0\xff"),
    ("b\"0123456789\"", b"10:0123456789"),
    ("\"\"", b"0\""),
    ("\"bear\"", b"4\"bear"),
    ("\"\u{e9}\u{1f43b}\"", b"6\"\xc3\xa9\xf0\x9f\x90\xbb"),
    ("'\"\"", b"0'"),
    ("'fetch", b"5'fetch"),
    ("'op:deliver", b"10'op:deliver"),
    ("[]", b"[]"),
    ("[\"foo\" 123 false [0xff]]", b"[3\"foo123+f[1:\xff]]"),
    ("{}", b"{}"),
    // Entries are in the order of the encoded keys: lengths count before contents, and
    // as digits.
    ("{\"bee\": 1, \"c\": 2}", b"{1\"c2+3\"bee1+}"),
    ("{\"a\": 1, \"abcdefghij\": 2}", b"{1\"a1+10\"abcdefghij2+}"),
    ("{\"ab\": 1, \"abcdefghij\": 2}", b"{10\"abcdefghij2+2\"ab1+}"),
    ("{0x01: 1, b\"0123456789\": 2}", b"{10:01234567892+1:\x011+}"),
    (
        "{[]: 1, 9: 2, 10: 3, -1: 4, 'k: 5, \"k\": 6, true: 7, 1.0: 8}",
        b"{1\"k6+1'k5+1-4+10+3+9+2+D\x3f\xf0\0\0\0\0\0\08+[]1+t7+}",
    ),
    ("#{}", b"#$"),
    ("#{3 20 'b 'a}", b"#1'a1'b20+3+$"),
    ("<'void>", b"<4'void>"),
    ("<'point 3 -4>", b"<5'point3+4->"),
    ("<[\"label\"] <'a> {1: #{2}}>", b"<[5\"label]<1'a>{1+#2+$}>"),
];

const STRICT: Options = Options { mode: Mode::Strict, limits: syrup::Limits::DEFAULT };

/// Accepted by the tolerant mode only: the encoding, why strict mode refuses it and
/// where, and the canonical encoding.
const TOLERATED: &[(&[u8], usize, DecodeErrorKind, &[u8])] = &[
    (b"01+", 0, DecodeErrorKind::LeadingZero, b"1+"),
    (b"00+", 0, DecodeErrorKind::LeadingZero, b"0+"),
    (b"0-", 0, DecodeErrorKind::NegativeZero, b"0+"),
    (b"[00-]", 1, DecodeErrorKind::LeadingZero, b"[0+]"),
    (b"03:cat", 0, DecodeErrorKind::LeadingZero, b"3:cat"),
    (b"[t00\"]", 2, DecodeErrorKind::LeadingZero, b"[t0\"]"),
    (b"<01'a>", 1, DecodeErrorKind::LeadingZero, b"<1'a>"),
    (b"{1\"b1+1\"a2+}", 6, DecodeErrorKind::UnsortedKey, b"{1\"a2+1\"b1+}"),
    (b"#2+1+$", 3, DecodeErrorKind::UnsortedKey, b"#1+2+$"),
    (b"{2\"aa1+10\"aaaaaaaaaa2+}", 7, DecodeErrorKind::UnsortedKey, b"{10\"aaaaaaaaaa2+2\"aa1+}"),
];

#[test]
fn the_table_holds_in_both_directions() {
    for (text, bytes) in TABLE {
        let value = text::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(value.to_vec(), *bytes, "{text}");
        assert_eq!(Value::decode_with(bytes, &STRICT), Ok(value), "{text}");
        whole(bytes);
    }
}

/// One value in canonical form, read in every way and written again.
fn whole(bytes: &[u8]) {
    let value = Value::decode_with(bytes, &STRICT).expect("canonical");
    assert_eq!(value.to_vec(), bytes);
    let borrowed = ValueRef::decode_with(bytes, &STRICT).expect("canonical");
    let mut again = Vec::new();
    borrowed.encode(&mut Encoder::new(&mut again)).expect("no key twice");
    assert_eq!(again, bytes);

    let mut decoder = Decoder::new(bytes);
    assert_eq!(decoder.skip(), Ok(bytes));
    assert_eq!(decoder.end(), Ok(()));
    assert_eq!(copy_tokens(bytes), bytes);
    assert_eq!(text::parse(&value.to_string()), Ok(value));

    let mut scanner = Scanner::new(&STRICT);
    for end in (1..bytes.len()).step_by(if cfg!(miri) { 997 } else { 1 }) {
        assert_eq!(scanner.scan(&bytes[..end]), Ok(None));
        let error = Value::decode(&bytes[..end]).expect_err("it is cut off");
        assert_eq!((error.offset, error.kind), (end, DecodeErrorKind::Incomplete));
    }
    assert_eq!(scanner.scan(bytes), Ok(Some(bytes.len())));
}

/// Writes the tokens that are read.
fn copy_tokens(bytes: &[u8]) -> Vec<u8> {
    let mut copy = Vec::new();
    let mut out = Encoder::new(&mut copy);
    let mut decoder = Decoder::with_options(bytes, &STRICT);
    while decoder.position() < bytes.len() {
        match decoder.token().expect("canonical") {
            Token::Bool(value) => out.bool(value),
            Token::Int(value) => out.int(value),
            Token::BigInt(value) => out.bigint(&value.to_bigint()),
            Token::F32(value) => out.f32(value),
            Token::F64(value) => out.f64(value),
            Token::Bytes(value) => {
                out.bytes_header(value.len());
                out.raw(value);
            }
            Token::String(value) => out.string(value),
            Token::Symbol(value) => out.symbol(value),
            Token::ListStart => out.begin_list(),
            Token::ListEnd => out.end_list(),
            Token::DictStart => out.begin_dict(),
            Token::DictEnd => out.end_dict(),
            Token::SetStart => out.begin_set(),
            Token::SetEnd => out.end_set(),
            Token::RecordStart => out.begin_record(),
            Token::RecordEnd => out.end_record(),
        }
    }
    copy
}

#[test]
fn only_tolerance_takes_what_is_not_canonical() {
    for (bytes, offset, kind, canonical) in TOLERATED {
        let shown = String::from_utf8_lossy(bytes);
        let error = Value::decode_with(bytes, &STRICT).expect_err(&shown);
        assert_eq!((error.offset, error.kind), (*offset, *kind), "{shown}");
        let value = Value::decode(bytes).unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!(value.to_vec(), *canonical, "{shown}");
    }
}

fn recordings() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/interop/vectors");
    if folder.is_dir() {
        return Some(folder);
    }
    // Not by eprintln, which the test harness would keep to itself.
    let _said = writeln!(std::io::stderr(), "skipped: no {}", folder.display());
    None
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

#[test]
fn recorded_messages_come_out_as_they_went_in() {
    let Some(folder) = recordings() else { return };
    let mut count = 0;
    for file in files(&folder.join("messages"), "syrup") {
        // A length and a certificate, before TLS begins.
        if file.ends_with("tcp-tls-clear-preamble.syrup") {
            continue;
        }
        whole(&fs::read(&file).expect("readable"));
        count += 1;
    }
    assert_eq!(count, 21);
}

#[test]
fn recorded_sessions_come_out_as_they_went_in() {
    const NOT_SYRUP: [&str; 4] =
        ["clear-preamble", "http-request", "http-response", "end-of-stream"];
    let Some(folder) = recordings() else { return };
    let (mut messages, mut sessions) = (0, 0);
    for file in files(&folder, "hex") {
        sessions += 1;
        let mut stream = Vec::new();
        let mut ends = Vec::new();
        for line in fs::read_to_string(&file).expect("text").lines().take(MOST) {
            let mut words = line.split(' ');
            let label = words.nth(2).expect("number, sender, label");
            if NOT_SYRUP.contains(&label) {
                continue;
            }
            let bytes = unhex(words.next().expect("bytes"));
            whole(&bytes);
            stream.extend_from_slice(&bytes);
            ends.push(stream.len());
            messages += 1;
        }
        assert_eq!(scan(&stream), ends, "{}", file.display());
    }
    assert_eq!(sessions, 9);
    assert!(messages > if cfg!(miri) { 12 } else { 500 }, "only {messages} messages");
}

/// How many messages of a recorded session are read.
const MOST: usize = if cfg!(miri) { 12 } else { usize::MAX };

/// The ends of the values in a stream that comes in pieces of seven bytes.
fn scan(stream: &[u8]) -> Vec<usize> {
    let mut scanner = Scanner::new(&STRICT);
    let (mut start, mut ends) = (0, Vec::new());
    for end in (0..stream.len()).step_by(if cfg!(miri) { 9973 } else { 7 }).chain([stream.len()]) {
        while let Some(length) = scanner.scan(&stream[start..end]).expect("Syrup") {
            start += length;
            ends.push(start);
        }
    }
    ends
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex"))
        .collect()
}
