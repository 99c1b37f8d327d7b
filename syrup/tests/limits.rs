//! Every limit, crossed by one; and every error, with where it is.

use syrup::{
    DecodeError, DecodeErrorKind as Kind, Decoder, Encoder, Limits, MAX_TREE_DEPTH, Mode, Options,
    Scanner, Value,
};

fn limited(limit: impl FnOnce(&mut Limits)) -> Options {
    let mut options = Options::default();
    limit(&mut options.limits);
    options
}

fn nested(depth: usize) -> Vec<u8> {
    [vec![b'['; depth], vec![b']'; depth]].concat()
}

fn skip<'a>(bytes: &'a [u8], options: &Options) -> Result<&'a [u8], DecodeError> {
    Decoder::with_options(bytes, options).skip()
}

fn error(offset: usize, kind: Kind) -> DecodeError {
    // The fields are public, the constructor is not.
    DecodeError { offset, kind }
}

#[test]
fn errors_are_small() {
    assert!(size_of::<DecodeError>() <= 24);
}

#[test]
fn the_defaults_are_what_is_documented() {
    let limits = Limits::default();
    assert_eq!((limits.depth, limits.size, limits.int_digits), (128, 64 << 20, 4096));
    assert_eq!(Options::default().mode, Mode::Tolerant);
}

#[test]
fn depth_is_limited() {
    let options = limited(|limits| limits.depth = 3);
    assert_eq!(skip(&nested(3), &options), Ok(nested(3).as_slice()));
    assert_eq!(skip(&nested(4), &options), Err(error(3, Kind::DepthLimit(3))));
    for open in [b"[[[{", b"[[[#", b"[[[<"] {
        assert_eq!(skip(open, &options), Err(error(3, Kind::DepthLimit(3))));
    }

    let mut scanner = Scanner::new(&options);
    assert_eq!(scanner.scan(&nested(3)), Ok(Some(6)));
    assert_eq!(scanner.scan(&nested(4)), Err(error(3, Kind::DepthLimit(3))));
    assert!(skip(&nested(128), &Options::default()).is_ok());
    assert!(skip(&nested(129), &Options::default()).is_err());
}

#[test]
fn trees_are_limited_whatever_the_options_say() {
    let options = limited(|limits| limits.depth = usize::MAX);
    assert!(Value::decode_with(&nested(MAX_TREE_DEPTH), &options).is_ok());
    assert_eq!(
        Value::decode_with(&nested(MAX_TREE_DEPTH + 1), &options),
        Err(error(MAX_TREE_DEPTH, Kind::DepthLimit(MAX_TREE_DEPTH)))
    );
    // The decoder itself needs no stack.
    assert!(skip(&nested(1 << 20), &options).is_ok());
}

#[test]
fn size_is_limited() {
    let options = limited(|limits| limits.size = 8);
    let over = |offset| error(offset, Kind::SizeLimit(8));
    for (fits, crosses, decoder_at, scanner_at) in [
        (b"6:abcdef".as_slice(), b"7:abcdefg".as_slice(), 0, 1),
        (b"[4:abcd]", b"[5:abcde]", 0, 9),
        (b"[4:abcd]", b"[6:abcdef", 1, 2),
        (b"7654321+", b"87654321+", 0, 9),
        (b"[[[[]]]]", b"[[[[t]]]]", 0, 9),
    ] {
        assert_eq!(skip(fits, &options), Ok(fits));
        assert_eq!(Scanner::new(&options).scan(fits), Ok(Some(8)));
        assert_eq!(skip(crosses, &options), Err(over(decoder_at)));
        assert_eq!(Scanner::new(&options).scan(crosses), Err(over(scanner_at)));
        // The same in pieces that are shown once.
        for (value, outcome) in [(fits, Ok(8)), (crosses, Err(over(scanner_at)))] {
            let mut scanner = Scanner::new(&options);
            let ends = value.iter().map(|byte| scanner.scan_next(std::slice::from_ref(byte)));
            let first = ends.enumerate().find(|(_, end)| *end != Ok(None)).expect("an end");
            assert_eq!(first.1.map(|_| first.0 + 1), outcome);
        }
    }
    // Found by fuzzing: the decoder asked for more of a value that was too long already.
    for (hopeless, offset) in [(b"[tttttttt".as_slice(), 9), (b"[D", 1), (b"[tttF", 4)] {
        assert_eq!(skip(hopeless, &options), Err(over(offset)));
        assert!(Scanner::new(&options).scan(hopeless).is_err());
    }
    // Each value has the whole size to itself.
    let mut decoder = Decoder::with_options(b"6:abcdef6:abcdef[[[[]]]]", &options);
    for _ in 0..3 {
        assert!(decoder.skip().is_ok());
    }
    assert_eq!(decoder.end(), Ok(()));
}

#[test]
fn an_oversized_length_is_refused_when_its_header_is_seen() {
    for options in [Options::default(), limited(|limits| limits.size = 1000)] {
        let limit = options.limits.size;
        for header in ["99999999999999999999999:", "18446744073709551615\"", "67108865'"] {
            let digits = header.len() - 1;
            let found = Scanner::new(&options).scan(header.as_bytes());
            assert_eq!(found, Err(error(digits, Kind::SizeLimit(limit))));
            let found = skip(header.as_bytes(), &options);
            assert_eq!(found, Err(error(0, Kind::SizeLimit(limit))));
        }
    }
    // With no limit to speak of, arithmetic must not overflow.
    let options = limited(|limits| limits.size = usize::MAX);
    let header = format!("[{}:", usize::MAX);
    assert!(skip(header.as_bytes(), &options).is_err());
    assert!(Scanner::new(&options).scan(header.as_bytes()).is_err());
}

#[test]
fn digits_are_limited() {
    for limit in [3, 18, 19, 20, 40] {
        let options = limited(|limits| limits.int_digits = limit);
        for mark in ["+", "-"] {
            let fits = "9".repeat(limit) + mark;
            let crosses = "9".repeat(limit + 1) + mark;
            assert!(skip(fits.as_bytes(), &options).is_ok());
            assert!(Scanner::new(&options).scan(fits.as_bytes()).is_ok());
            let kind = Kind::IntDigitsLimit(limit);
            assert_eq!(skip(crosses.as_bytes(), &options), Err(error(0, kind)));
            // Refused before the number ends.
            let cut = &crosses.as_bytes()[..=limit];
            assert_eq!(skip(cut, &options), Err(error(0, kind)));
            assert_eq!(Scanner::new(&options).scan(cut), Err(error(limit, kind)));
        }
    }
}

#[test]
fn errors_say_what_and_where() {
    let table: &[(&[u8], usize, Kind)] = &[
        (b"", 0, Kind::Incomplete),
        (b"12", 2, Kind::Incomplete),
        (b"3:ab", 4, Kind::Incomplete),
        (b"D1234567", 8, Kind::Incomplete),
        (b"F123", 4, Kind::Incomplete),
        (b"[1+", 3, Kind::Incomplete),
        (b"x", 0, Kind::UnexpectedByte(b'x')),
        (b"[1+ ]", 3, Kind::UnexpectedByte(b' ')),
        (b"12x", 2, Kind::UnexpectedByte(b'x')),
        (b"+", 0, Kind::UnexpectedByte(b'+')),
        (b"]", 0, Kind::UnexpectedEnd),
        (b"[1+>", 3, Kind::UnexpectedEnd),
        (b"{1+2+$", 5, Kind::UnexpectedEnd),
        (b"#1+}", 3, Kind::UnexpectedEnd),
        (b"<1'a]", 4, Kind::UnexpectedEnd),
        (b"2\"a\xff", 3, Kind::InvalidUtf8),
        (b"[3'\xed\xa0\x80]", 3, Kind::InvalidUtf8),
        (b"{1+}", 3, Kind::KeyWithoutValue),
        (b"{1+t2+}", 6, Kind::KeyWithoutValue),
        (b"<>", 1, Kind::RecordWithoutLabel),
        (b"[<<>>]", 3, Kind::RecordWithoutLabel),
        (b"t1+", 1, Kind::TrailingBytes),
        (b"{1\"at1\"af}", 5, Kind::DuplicateKey),
        (b"#t[]t$", 4, Kind::DuplicateKey),
        (b"{1\"bt1\"at1\"bt}", 9, Kind::DuplicateKey),
        (b"[{{1\"bt1\"at}t{1\"bt1\"at1\"at}t}]", 22, Kind::DuplicateKey),
    ];
    for (bytes, offset, kind) in table {
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(Value::decode(bytes), Err(error(*offset, *kind)), "{shown}");
    }
}

#[test]
fn keys_spelled_differently_are_the_same_to_a_value() {
    let twice = b"[{1+t01+f}]";
    assert!(skip(twice, &Options::default()).is_ok());
    assert_eq!(Value::decode(twice), Err(error(1, Kind::DuplicateKey)));
    assert_eq!(Value::decode(b"#0+0-$"), Err(error(0, Kind::DuplicateKey)));
}

#[test]
fn duplicates_among_many_unsorted_keys_are_found_early() {
    // A set that repeats itself: found long before it ends.
    let mut set = b"#t".to_vec();
    set.extend(b"ft".repeat(1 << 20));
    set.push(b'$');
    let found = Decoder::new(&set).skip().expect_err("members occur twice");
    assert_eq!(found.kind, Kind::DuplicateKey);
    assert!(found.offset < 64, "{found}");

    // The last of many keys repeats the first.
    let mut dict = b"{".to_vec();
    for number in (0..5000).rev() {
        Encoder::new(&mut dict).int(number);
        dict.push(b't');
    }
    assert!(Decoder::new(&[dict.as_slice(), b"}"].concat()).skip().is_ok());
    let at = dict.len();
    dict.extend_from_slice(b"4999+t}");
    assert_eq!(Decoder::new(&dict).skip(), Err(error(at, Kind::DuplicateKey)));
}

#[test]
fn skipping_takes_one_value_and_no_end() {
    let mut decoder = Decoder::new(b"[<1'a2+>{1+[]}]");
    decoder.token().expect("the list");
    assert_eq!(decoder.skip(), Ok(b"<1'a2+>".as_slice()));
    assert_eq!(decoder.skip(), Ok(b"{1+[]}".as_slice()));
    assert_eq!(decoder.skip(), Err(error(14, Kind::UnexpectedEnd)));
}

#[test]
fn an_open_container_is_no_end() {
    let mut decoder = Decoder::new(b"[]");
    decoder.token().expect("the list");
    assert_eq!(decoder.end().map_err(|error| error.kind), Err(Kind::Incomplete));
    decoder.token().expect("its end");
    assert_eq!(decoder.end(), Ok(()));
}

#[test]
fn the_encoder_sorts_and_refuses_duplicates() {
    let mut bytes = b"before".to_vec();
    let mut out = Encoder::new(&mut bytes);
    let entries = [("bb", 1), ("c", 2), ("a", 3)];
    out.dict(entries, |out, key| out.string(key), |out, value| out.int(value))
        .expect("no key twice");
    out.set([2, 10, 1], |out, member| out.int(member)).expect("no member twice");
    assert_eq!(bytes, b"before{1\"a3+1\"c2+2\"bb1+}#1+10+2+$");

    let mut out = Encoder::new(&mut bytes);
    let twice = [("b", 1), ("a", 2), ("b", 3)];
    out.dict(twice, |out, key| out.string(key), |out, value| out.int(value))
        .expect_err("b occurs twice");
    out.set([1, 1], |out, member| out.int(member)).expect_err("1 occurs twice");
    assert_eq!(bytes, b"before{1\"a3+1\"c2+2\"bb1+}#1+10+2+$");
}

/// Reads what is behind the openings with a quick way or, where that declines, without.
fn uint(bytes: &[u8], options: &Options) -> (Option<u64>, Result<usize, DecodeError>) {
    let mut quick = Decoder::with_options(bytes, options);
    quick.token().unwrap();
    let before = quick.position();
    let found = quick.record_of_uint(b"<1'p");
    assert_eq!(found.is_none(), quick.position() == before);
    let mut slow = Decoder::with_options(bytes, options);
    slow.token().unwrap();
    let whole = slow.skip().map(<[u8]>::len);
    if found.is_some() {
        assert_eq!(Ok(quick.position() - before), whole);
    }
    (found, whole)
}

#[test]
fn the_quick_ways_cross_no_limit() {
    let options = Options::default();
    assert_eq!(uint(b"[<1'p12+>]", &options).0, Some(12));
    let largest = b"[<1'p999999999999999999+>]";
    assert_eq!(uint(largest, &options).0, Some(999_999_999_999_999_999));
    // Left to the usual way: what is in another form, is something else, or is not whole.
    for other in ["12-", "012+", "+", "1234567890123456789+", "1+2+", "t"] {
        assert_eq!(uint(format!("[<1'p{other}>]").as_bytes(), &options).0, None, "{other}");
    }
    for other in [&b"[<1'q1+>]"[..], b"[<1'p1+", b"[<1'p1", b"[<1'p", b"[<", b"{<1'p1+>2+}"] {
        assert_eq!(uint(other, &options).0, None);
    }
    let bytes = b"[<1'p12+>]";
    for (limit, allowed) in [
        (limited(|limits| limits.depth = 2), true),
        (limited(|limits| limits.depth = 1), false),
        (limited(|limits| limits.int_digits = 2), true),
        (limited(|limits| limits.int_digits = 1), false),
        (limited(|limits| limits.size = 10), true),
        (limited(|limits| limits.size = 8), false),
    ] {
        assert_eq!(uint(bytes, &limit).0.is_some(), allowed, "{limit:?}");
    }

    let opens = |limit: &Options| Decoder::with_options(b"<1'p1+>", limit).open_record(b"<1'p");
    assert!(opens(&options) && opens(&limited(|limits| limits.depth = 1)));
    assert!(!opens(&limited(|limits| limits.depth = 0)));
    assert!(!opens(&limited(|limits| limits.size = 3)));
    let mut opened = Decoder::new(b"<1'p1+>{}");
    assert!(opened.open_record(b"<1'p"));
    assert_eq!((opened.depth(), opened.token()), (1, Ok(syrup::Token::Int(1))));
    assert_eq!(opened.token(), Ok(syrup::Token::RecordEnd));
    assert_eq!((opened.depth(), opened.skip()), (0, Ok(&b"{}"[..])));
}
