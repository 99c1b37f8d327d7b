//! `op:start-session` and who the peer may be.

mod support;

use captp::locator::PeerLocator;
use captp::{Event, PeerViolation, Proof, SessionConfig, SessionEnd, SessionKey};
use support::{Pair, Side, config, location};

/// How two sides that greet each other end.
fn greet(a: SessionConfig, b: SessionConfig) -> (Side, Side) {
    let (mut a, mut b) = (Side::new(a), Side::new(b));
    loop {
        let (from_a, from_b) = (a.transmit(true), b.transmit(true));
        if from_a.is_empty() && from_b.is_empty() {
            return (a, b);
        }
        b.receive(&from_a);
        a.receive(&from_b);
    }
}

fn started(side: &mut Side) -> captp::Established {
    match side.next() {
        Event::Started(established) => *established,
        other => panic!("expected a start, got {}", support::name(&other)),
    }
}

fn violation(side: &mut Side) -> PeerViolation {
    match side.end() {
        SessionEnd::Violation(violation) => violation,
        other => panic!("expected a violation, got {other}"),
    }
}

#[test]
fn both_sides_know_each_other_and_the_session() {
    let (mut a, mut b) = greet(config("alice", 1), config("bob", 2));
    let (at_a, at_b) = (started(&mut a), started(&mut b));
    assert_eq!(at_a.session_id, at_b.session_id);
    assert_eq!(at_a.location, location("bob"));
    assert_eq!(at_b.peer_key, SessionKey::from_entropy([1; 32]).public());
}

#[test]
fn a_claim_is_verified_only_by_the_netlayer() {
    let cases = [
        (None, false, Proof::None),
        (None, true, Proof::FaceValue),
        (Some("bob"), false, Proof::Netlayer),
        (Some("bob"), true, Proof::Netlayer),
        (Some("mallory"), false, Proof::None),
        (Some("mallory"), true, Proof::None),
    ];
    for (proven, trust_claims, proof) in cases {
        let mut alice = config("alice", 1);
        alice.proven = proven.map(str::to_owned);
        alice.trust_claims = trust_claims;
        let (mut a, _) = greet(alice, config("bob", 2));
        assert_eq!(started(&mut a).proof, proof, "{proven:?} {trust_claims}");
    }
}

#[test]
fn a_claim_to_another_netlayers_name_is_not_verified() {
    let mut alice = config("alice", 1);
    alice.proven = Some("bob".to_owned());
    let mut bob = config("bob", 2);
    bob.location = PeerLocator::new("onion", "bob");
    let (mut a, _) = greet(alice, bob);
    assert_eq!(started(&mut a).proof, Proof::None);
}

#[test]
fn who_answers_must_be_who_was_dialled() {
    let mut alice = config("alice", 1);
    alice.dialled = Some(location("carol"));
    let (mut a, mut b) = greet(alice, config("bob", 2));
    assert!(matches!(violation(&mut a), PeerViolation::NotWhoWeDialled { .. }));
    assert!(matches!(b.end(), SessionEnd::PeerAborted(_)));
}

#[test]
fn who_was_dialled_must_be_who_is_proven() {
    let mut alice = config("alice", 1);
    alice.dialled = Some(location("bob"));
    alice.proven = Some("mallory".to_owned());
    let (mut a, _) = greet(alice, config("bob", 2));
    let PeerViolation::NotWhoWeDialled { claimed, .. } = violation(&mut a) else { panic!() };
    assert_eq!(claimed, location("mallory").id());
}

#[test]
fn hints_do_not_make_another_peer() {
    let mut alice = config("alice", 1);
    alice.dialled = Some(location("bob").with_hint("host", "192.0.2.1"));
    let (mut a, _) = greet(alice, config("bob", 2));
    assert_eq!(started(&mut a).location, location("bob"));
}

#[test]
fn another_version_is_refused() {
    let mut bob = config("bob", 2);
    bob.version = "goblins-0.16".to_owned();
    let (mut a, mut b) = greet(config("alice", 1), bob);
    let PeerViolation::Version { theirs } = violation(&mut a) else { panic!("a version") };
    assert_eq!(theirs, "goblins-0.16");
    // Both sides refuse; which abort arrives first does not matter.
    b.end();
}

#[test]
fn our_own_greeting_sent_back_to_us_is_refused() {
    let mut alice = Side::new(config("alice", 1));
    let greeting = alice.transmit(false);
    alice.receive(&greeting);
    assert_eq!(violation(&mut alice), PeerViolation::OurOwnKey);
}

#[test]
fn a_changed_location_is_not_signed_for() {
    let mut alice = Side::new(config("alice", 1));
    let mut bob = Side::new(config("bob", 2));
    let mut greeting = bob.transmit(false);
    let place = greeting.windows(3).position(|bytes| bytes == b"bob").unwrap();
    greeting[place..place + 3].copy_from_slice(b"eve");
    alice.receive(&greeting);
    assert_eq!(violation(&mut alice), PeerViolation::LocationSignature);
    let last_words = String::from_utf8_lossy(&alice.transmit(false)).into_owned();
    assert!(last_words.ends_with("<8'op:abort34\"location signature does not verify>"));
}

#[test]
fn nothing_comes_before_the_greeting_and_it_comes_once() {
    let mut alice = Side::new(config("alice", 1));
    alice.receive(b"<10'op:deliver<11'desc:export0+>[]ff>");
    assert_eq!(violation(&mut alice), PeerViolation::NotStarted);

    let mut pair = Pair::new();
    let again = Side::new(config("bob", 2)).transmit(false);
    pair.a.receive(&again);
    assert_eq!(violation(&mut pair.a), PeerViolation::StartedTwice);
}

#[test]
fn an_abort_may_come_at_any_time() {
    let mut alice = Side::new(config("alice", 1));
    alice.receive(b"<8'op:abort4\"full>");
    assert_eq!(alice.end(), SessionEnd::PeerAborted("full".to_owned()));
}

#[test]
fn a_greeting_may_come_in_pieces() {
    let mut alice = Side::new(config("alice", 1));
    for byte in Side::new(config("bob", 2)).transmit(false) {
        assert!(alice.events.is_empty());
        alice.receive(&[byte]);
    }
    started(&mut alice);
}
