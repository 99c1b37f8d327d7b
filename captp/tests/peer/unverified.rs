//! Who claims to be somebody without proof is no danger to that somebody.

use std::time::Duration;

use captp::{PeerSettings, SessionEnd};

use crate::support::location;
use crate::world::{Proves, World};

const ALICE: usize = 0;
const BOB: usize = 1;
const SECOND: Duration = Duration::from_secs(1);

fn two(proves: Proves) -> World {
    World::new(proves, &["alice", "bob"])
}

#[test]
fn an_impostor_does_not_displace_who_is_there() {
    let mut world = two(Proves::Both);
    world.ask(ALICE, BOB);
    world.run();
    let conn = world.session(ALICE, BOB);
    for (seed, proven) in [(1, None), (2, Some("mallory")), (3, None)] {
        let (intruder, _) = world.intrude(ALICE, "bob", proven, seed);
        assert_ne!(world.session(ALICE, BOB), Some(intruder));
        assert_eq!(world.session(ALICE, BOB), conn);
    }
    world.pass(SECOND * 300);
    assert_eq!(world.session(ALICE, BOB), conn);
    assert!(world.agree(ALICE, BOB));
    assert_eq!(world.nodes[ALICE].ends.len(), 4, "and is served for what it is");
}

#[test]
fn an_impostor_does_not_get_what_is_meant_for_the_peer() {
    for proves in [Proves::Both, Proves::Dialled] {
        let mut world = two(proves);
        let (intruder, _) = world.intrude(ALICE, "bob", None, 1);
        assert_eq!(world.session(ALICE, BOB), None);
        assert_eq!(world.ask(ALICE, BOB), None, "the peer is dialled");
        world.intrude(ALICE, "bob", None, 2);
        world.run();
        let conn = world.session(ALICE, BOB).unwrap();
        assert_ne!(conn, intruder);
        assert_eq!(world.nodes[ALICE].dialled, [Ok(conn)]);
        assert!(world.is_whole(ALICE, conn));
    }
}

#[test]
fn an_impostor_does_not_block_a_peer_that_dials_us() {
    let mut world = two(Proves::Both);
    world.intrude(ALICE, "bob", Some("mallory"), 1);
    world.ask(BOB, ALICE);
    world.run();
    assert!(world.agree(ALICE, BOB));
}

#[test]
fn an_impostor_does_not_answer_a_dial() {
    let mut world = two(Proves::Both);
    world.ask(ALICE, BOB);
    let dialling = world.steps()[0];
    world.take(dialling);
    // The true one is slow, and somebody is quick.
    world.wires[0].stuck = true;
    world.intrude(ALICE, "bob", None, 1);
    assert!(world.nodes[ALICE].dialled.is_empty());
    world.wires[0].stuck = false;
    world.run();
    assert!(world.agree(ALICE, BOB));
}

/// Their keys may have been chosen to have high ids. The dial takes one of the highest
/// rank it can find, against which the true peer's has little chance.
#[test]
fn impostors_of_high_rank_do_not_win_crossed_hellos_for_the_peer() {
    let mut world = two(Proves::Dialled);
    for seed in 0..50 {
        world.intrude(ALICE, "bob", None, seed);
    }
    assert!(world.peer(ALICE).claim_on(&location("bob").id()).is_some());
    assert_eq!(world.peer(ALICE).claim_on(&location("carol").id()), None);
    world.ask(ALICE, BOB);
    world.run();
    let conn = world.session(ALICE, BOB).unwrap();
    assert!(world.is_whole(ALICE, conn));
    let ours = world.nodes[ALICE].id(conn);
    let keys = (100..200).map(|seed| captp::SessionKey::from_entropy([seed; 32]).public().id());
    assert!(keys.filter(|theirs| *theirs > ours).count() < 5);
}

#[test]
fn unproven_peers_are_refused_where_that_is_set() {
    let mut settings = PeerSettings::default();
    settings.refuse_unverified = true;
    let mut world = World::with(Proves::Both, &["alice", "bob"], settings);
    let (intruder, mut told) = world.intrude(ALICE, "bob", None, 1);
    let SessionEnd::Closed(why) = &world.nodes[ALICE].ended[&intruder] else { panic!("closed") };
    assert_eq!(why, "this netlayer has not proven who you are");
    assert!(!told.events.is_empty());
    told.events.clear();
    world.ask(BOB, ALICE);
    world.run();
    assert!(world.agree(ALICE, BOB), "the proven are not");
    // Nor does it keep a dial from succeeding.
    let mut world = World::with(Proves::Dialled, &["alice", "bob"], settings);
    world.ask(ALICE, BOB);
    world.pass(SECOND);
    assert_eq!(world.nodes[ALICE].dialled.len(), 1);
    let refused = world.nodes[BOB].ended.values().next();
    assert!(matches!(refused, Some(SessionEnd::Closed(why)) if why.contains("not proven")));
}

/// Both are ours, over a netlayer that does not prove who dials. Each has its own
/// session with the other, and neither ends the other's.
#[test]
fn without_proof_of_who_dials_each_side_uses_what_it_dialled() {
    let mut world = two(Proves::Dialled);
    world.ask(ALICE, BOB);
    world.ask(BOB, ALICE);
    world.pass(SECOND * 300);
    for (who, whom) in [(ALICE, BOB), (BOB, ALICE)] {
        let conn = world.session(who, whom).unwrap();
        assert!(world.nodes[who].ends[&conn].dialled);
        assert!(world.is_whole(who, conn));
    }
}

/// Who is dialled aborts, as crossed with a session of its own that we can't know to be
/// its: a second dial has a key that wins, and needs no waiting.
#[test]
fn what_gives_way_to_an_unproven_session_is_dialled_again_at_once() {
    for claimant_first in [true, false] {
        let mut world = two(Proves::Dialled);
        world.nodes[ALICE].keys = [[1; 32], [2; 32]].into();
        world.ask(ALICE, BOB);
        let dialling = world.steps()[0];
        world.take(dialling);
        world.wires[0].stuck = true;
        let dialled = *world.nodes[ALICE].ends.keys().next().unwrap();
        let abort = b"<8'op:abort25\"Crossed hellos mitigation>";
        if claimant_first {
            world.intrude(ALICE, "bob", None, 1);
            world.receive(ALICE, dialled, abort);
        } else {
            world.receive(ALICE, dialled, abort);
            assert!(world.steps().is_empty(), "it may be there any moment, and proven");
            world.intrude(ALICE, "bob", None, 1);
        }
        world.run();
        let conn = world.session(ALICE, BOB).unwrap();
        assert_eq!(world.nodes[ALICE].dialled, [Ok(conn)]);
        let claim = world.peer(ALICE).claim_on(&location("bob").id()).unwrap();
        assert!(world.nodes[ALICE].id(conn) > claim);
    }
}

/// Nobody has proven who answers: what is meant for the peer is not sent there.
#[test]
fn an_unproven_answer_to_a_dial_is_none() {
    let mut world = two(Proves::Nobody);
    world.ask(ALICE, BOB);
    world.pass(SECOND);
    let [Err(SessionEnd::Closed(why))] = &world.nodes[ALICE].dialled[..] else {
        panic!("{:?}", world.nodes[ALICE].dialled)
    };
    assert!(why.contains("not proven"), "{why}");
    assert!(world.nodes.iter().all(|node| node.ends.is_empty()));
}
