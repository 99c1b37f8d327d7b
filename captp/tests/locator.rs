//! Locators and sturdyrefs as URIs: vectors, round trips, hostile input.

use std::collections::{BTreeMap, HashSet};

use captp::locator::{
    Locator, LocatorError, LocatorLimits, PeerId, PeerLocator, Sturdyref, SwissNum,
};
use proptest::prelude::*;

fn peer(uri: &str) -> PeerLocator {
    uri.parse().unwrap_or_else(|error| panic!("{uri}: {error}"))
}

fn refusal(uri: &str) -> LocatorError {
    match uri.parse::<Locator>() {
        Ok(locator) => panic!("{uri} was accepted as {locator:?}"),
        Err(error) => error,
    }
}

#[test]
fn the_suites_locator() {
    let uri = "ocapn://a2ef69ddd5f84840970612ff660f5058.tcp-testing-only?host=127.0.0.1&port=22045";
    let expected = PeerLocator::new("tcp-testing-only", "a2ef69ddd5f84840970612ff660f5058")
        .with_hint("host", "127.0.0.1")
        .with_hint("port", "22045");
    assert_eq!(peer(uri), expected);
    assert_eq!(expected.to_string(), uri);
}

#[test]
fn a_sturdyref_with_a_readable_swiss_number() {
    let uri = "ocapn://64ck4t6dfbahg4psnslwa7jkljcd27f5w6png6g6n2543tkmrxmq.tcp-tls\
               /s/SU81OGwxbGFUeWhjcmdES2JFekZPTzMyTURkNnpFNXc?host=127.0.0.1&port=43859";
    let echo: Sturdyref = uri.parse().unwrap();
    assert_eq!(echo.swiss.as_bytes(), b"IO58l1laTyhcrgDKbEzFOO32MDd6zE5w");
    assert_eq!(echo.reveal_uri(), uri);
    assert_eq!(echo.peer.hints["port"], "43859");
    assert_eq!(uri.parse::<Locator>().unwrap(), Locator::Sturdyref(echo));
}

#[test]
fn forms_that_mean_the_same() {
    let table = [
        ("ocapn://a.t?", "ocapn://a.t"),
        ("ocapn://a.t/", "ocapn://a.t"),
        ("OCapN://a.t/?x=1", "ocapn://a.t?x=1"),
        ("ocapn://a.t?port=1&host=h", "ocapn://a.t?host=h&port=1"),
        ("ocapn://a.b.c.t", "ocapn://a.b.c.t"),
        ("ocapn://MiXeD.Tt", "ocapn://MiXeD.Tt"),
        ("ocapn://%61.t", "ocapn://a.t"),
        ("ocapn://ä.t", "ocapn://%C3%A4.t"),
        // Guile and Python both read a plus as a space, and write %2B for a plus.
        ("ocapn://a.t?x=1+2%2b3", "ocapn://a.t?x=1%202%2B3"),
        (
            "ocapn://a.t?url=ws://127.0.0.1:80/?a=b",
            "ocapn://a.t?url=ws%3A%2F%2F127.0.0.1%3A80%2F%3Fa%3Db",
        ),
        ("ocapn://a.t?x=", "ocapn://a.t?x="),
        // Goblins writes names raw.
        ("ocapn://a.t?50%=x&a+b=y", "ocapn://a.t?50%25=x&a%2Bb=y"),
    ];
    for (given, canonical) in table {
        assert_eq!(peer(given).to_string(), canonical, "{given}");
    }
    let padded: Sturdyref = "ocapn://a.t/s/AQ==".parse().unwrap();
    assert_eq!(padded.reveal_uri(), "ocapn://a.t/s/AQ");
}

#[test]
fn every_rule_has_its_refusal() {
    use LocatorError as E;
    let table = [
        ("", E::Scheme),
        ("ocapn:a.t", E::Scheme),
        ("https://a.t", E::Scheme),
        (" ocapn://a.t", E::Scheme),
        ("ocapn://", E::NoTransport),
        ("ocapn://a", E::NoTransport),
        ("ocapn://a.", E::EmptyTransport),
        ("ocapn://.t", E::EmptyDesignator),
        ("ocapn://a.t:80", E::HostCharacter(':')),
        ("ocapn://me@a.t", E::HostCharacter('@')),
        ("ocapn://a.t\n", E::HostCharacter('\n')),
        ("ocapn://a.t/x", E::Path),
        ("ocapn://a.t/s", E::Path),
        ("ocapn://a.t//s/AQ", E::Path),
        ("ocapn://a.t#top", E::Fragment),
        ("ocapn://a.t?x=1#top", E::Fragment),
        ("ocapn://a.t?x", E::HintWithoutValue { index: 1 }),
        ("ocapn://a.t?x=1&", E::HintWithoutValue { index: 2 }),
        ("ocapn://a.t?=1", E::EmptyHintName { index: 1 }),
        ("ocapn://a.t?x=1&%78=1", E::DuplicateHint { name: "x".into() }),
        ("ocapn://a.t?x=%", E::Escape),
        ("ocapn://a.t?x=%4", E::Escape),
        ("ocapn://a.t?x=%+4", E::Escape),
        ("ocapn://a.t?x=%4ä", E::Escape),
        ("ocapn://%zz.t", E::Escape),
        ("ocapn://a.t?x=%ff", E::NotUtf8),
        ("ocapn://a.t/s/", E::EmptySwiss),
        ("ocapn://a.t/s/A", E::SwissEncoding),
        ("ocapn://a.t/s/AQ/x", E::SwissEncoding),
        ("ocapn://a.t/s/+/+/", E::SwissEncoding),
        // Bits left over would make two spellings of one number.
        ("ocapn://a.t/s/AR", E::SwissEncoding),
    ];
    for (uri, expected) in table {
        assert_eq!(refusal(uri), expected, "{uri:?}");
    }
    assert_eq!("ocapn://a.t".parse::<Sturdyref>(), Err(E::NoSwiss));
    assert_eq!("ocapn://a.t/s/AQ".parse::<PeerLocator>(), Err(E::UnexpectedSwiss));
}

#[test]
fn limits_hold_at_their_edge() {
    let limits = LocatorLimits { uri_bytes: 24, hints: 2, swiss_bytes: 2 };
    let parse = |uri: &str| Locator::parse_within(uri, &limits).map(|_| ());
    assert_eq!(parse("ocapn://a.t?x=1&y=2&abc="), Err(LocatorError::TooManyHints { limit: 2 }));
    assert_eq!(parse("ocapn://a.t?x=1&y=22222"), Ok(()));
    assert_eq!(parse("ocapn://a.t?x=1&y=222222"), Ok(()));
    assert_eq!(
        parse("ocapn://a.t?x=1&y=2222222"),
        Err(LocatorError::UriTooLong { len: 25, limit: 24 })
    );
    assert_eq!(parse("ocapn://a.t/s/AQI"), Ok(()));
    assert_eq!(parse("ocapn://a.t/s/AQID"), Err(LocatorError::SwissTooLong { limit: 2 }));

    assert!(SwissNum::new([1; SwissNum::MAX_LEN]).is_ok());
    let too_long = LocatorError::SwissTooLong { limit: SwissNum::MAX_LEN };
    assert_eq!(SwissNum::new([1; SwissNum::MAX_LEN + 1]), Err(too_long));
    assert_eq!(SwissNum::new([]), Err(LocatorError::EmptySwiss));

    let default = LocatorLimits::default();
    let long = format!("ocapn://a.t?x={}", "y".repeat(default.uri_bytes));
    assert!(matches!(refusal(&long), LocatorError::UriTooLong { .. }));
    let many: Vec<_> = (0..=default.hints).map(|n| format!("h{n}=")).collect();
    let limit = default.hints;
    assert_eq!(
        refusal(&format!("ocapn://a.t?{}", many.join("&"))),
        LocatorError::TooManyHints { limit }
    );
}

#[test]
fn hints_do_not_say_who_a_peer_is() {
    let here = peer("ocapn://a.t?host=x");
    let there = peer("ocapn://a.t?host=y");
    assert!(here.same_peer(&there) && here != there);
    assert_eq!(HashSet::from([here.id(), PeerId::from(&there)]).len(), 1);
    assert!(!here.same_peer(&peer("ocapn://A.t?host=x")));
    assert!(!here.same_peer(&peer("ocapn://a.u?host=x")));
    assert_eq!(here.id().to_string(), "a.t");
}

#[test]
fn secrets_stay_out_of_logs_and_errors() {
    let swiss = SwissNum::from_entropy([0xAB; 32]);
    let secret = Sturdyref::new(peer("ocapn://a.t?x=1"), swiss.clone());
    let kept = "q6urq6";
    let redacted = format!("ocapn://a.t/s/{kept}…?x=1");
    assert_eq!(secret.redacted().to_string(), redacted);
    assert_eq!(format!("{secret:?}"), format!("Sturdyref({redacted})"));
    assert_eq!(format!("{swiss:?}"), format!("SwissNum({kept}…)"));
    assert!(!format!("{:?}", secret.redacted()).contains("q6urq6u"));
    // Of a short one even six characters would be too much.
    assert_eq!(format!("{:?}", SwissNum::new(b"123456789012345").unwrap()), "SwissNum(…)");

    let spoilt = "ocapn://a.t/s/c2VjcmV0!";
    let error = refusal(spoilt);
    assert!(!format!("{error} {error:?}").contains("c2Vj"));
}

#[test]
fn swiss_numbers_compare_whole() {
    let of = |bytes: &[u8]| SwissNum::new(bytes).unwrap();
    assert_eq!(of(b"abc"), of(b"abc"));
    for other in [&b"abd"[..], b"bbc", b"ab", b"abcd"] {
        assert_ne!(of(b"abc"), of(other));
    }
}

prop_compose! {
    fn any_peer()(
        transport in "\\PC{1,12}|[a-z.%/?#: -]{1,12}",
        designator in "\\PC{1,12}|[a-z.%/?#: -]{1,12}",
        hints in prop::collection::btree_map("\\PC{1,8}|[%=&+ ]{1,8}", "\\PC{0,8}|[%=&+ ]{0,8}", 0..5),
    ) -> PeerLocator {
        PeerLocator { transport, designator, hints: hints as BTreeMap<String, String> }
    }
}

proptest! {
    #[test]
    fn any_peer_comes_back(peer in any_peer()) {
        let uri = peer.to_string();
        prop_assert!(uri.is_ascii());
        prop_assert_eq!(uri.parse::<PeerLocator>(), Ok(peer));
    }

    #[test]
    fn any_sturdyref_comes_back(peer in any_peer(), swiss in prop::collection::vec(any::<u8>(), 1..80)) {
        let sturdyref = Sturdyref::new(peer, SwissNum::new(swiss).unwrap());
        prop_assert_eq!(sturdyref.reveal_uri().parse::<Sturdyref>(), Ok(sturdyref));
    }

    #[test]
    fn nothing_panics_and_what_parses_is_stable(tail in "\\PC*|[a.t/s?=&%+#0-9A-F]{0,24}") {
        if let Ok(Locator::Peer(peer)) = format!("ocapn://{tail}").parse() {
            prop_assert_eq!(peer.to_string().parse::<PeerLocator>(), Ok(peer));
        }
        let _ = tail.parse::<Locator>();
    }
}
