//! Dials, second sessions, reconnects and what becomes of a session that gave way.

use std::time::Duration;

use captp::locator::PeerLocator;
use captp::{Action, ConnId, Peer, PeerSettings, SessionEnd, SessionKey};

use crate::support::location;
use crate::world::{Proves, World, peer_id};

const ALICE: usize = 0;
const BOB: usize = 1;
const SECOND: Duration = Duration::from_secs(1);

fn two() -> World {
    World::new(Proves::Both, &["alice", "bob"])
}

/// Alice has a session with Bob, by dialling.
fn connected() -> (World, ConnId) {
    let mut world = two();
    world.ask(ALICE, BOB);
    world.run();
    let conn = world.session(ALICE, BOB).unwrap();
    (world, conn)
}

fn dials(world: &World) -> usize {
    world.nodes[ALICE].connects
}

#[test]
fn a_hundred_who_ask_share_one_connection() {
    let mut world = two();
    for _ in 0..100 {
        assert_eq!(world.ask(ALICE, BOB), None);
    }
    world.run();
    assert_eq!(dials(&world), 1);
    assert_eq!(world.nodes[ALICE].dialled.len(), 1, "all are told at once");
    let conn = world.session(ALICE, BOB);
    assert_eq!(world.ask(ALICE, BOB), conn, "who asks now has it at once");
    assert_eq!(world.nodes[BOB].ends.len(), 1);
}

#[test]
fn changed_hints_are_the_same_peer() {
    let (mut world, conn) = connected();
    let moved = location("bob").with_hint("host", "192.0.2.7");
    assert_eq!(world.peer(ALICE).dial(&moved), Some(conn));

    let mut world = two();
    world.ask(ALICE, BOB);
    assert_eq!(world.peer(ALICE).dial(&moved), None);
    world.run();
    assert_eq!(dials(&world), 1);
    // Another designator or another netlayer is another peer.
    for other in [location("carol"), PeerLocator::new("onion", "bob")] {
        assert_eq!(world.peer(ALICE).dial(&other), None);
    }
}

#[test]
fn a_dial_that_fails_is_told_and_may_be_tried_again() {
    let mut world = two();
    world.unreachable = Some(BOB);
    world.ask(ALICE, BOB);
    world.run();
    assert!(!world.peer(ALICE).connected(&peer_id("bob")), "nobody waits any more");
    world.unreachable = None;
    world.ask(ALICE, BOB);
    world.run();
    assert!(world.agree(ALICE, BOB));
}

#[test]
fn a_connection_is_not_wanted_once_the_peer_has_dialled_us() {
    let mut world = two();
    world.ask(ALICE, BOB);
    world.ask(BOB, ALICE);
    // Only what Bob has dialled answers.
    let to_bob = world.nodes[ALICE].dialling.pop_front().unwrap();
    world.run();
    let conn = world.session(ALICE, BOB).unwrap();
    assert_eq!(world.nodes[ALICE].dialled, [Ok(conn)], "by the session that Bob opened");
    assert!(!world.peer(ALICE).connected(&peer_id("bob")));
    world.nodes[ALICE].dialling.push_back(to_bob);
    world.run();
    assert_eq!(world.wires.len(), 1, "the connection that came too late was dropped");
    assert!(!world.peer(ALICE).connect_failed(&peer_id("bob")), "and its failure is no news");
}

#[test]
fn a_peer_that_does_not_greet_is_given_up_on() {
    let mut world = two();
    world.ask(ALICE, BOB);
    let to_bob = world.steps()[0];
    world.take(to_bob);
    world.wires[0].stuck = true;
    world.pass(SECOND * 9);
    assert!(world.nodes[ALICE].dialled.is_empty());
    world.pass(SECOND * 2);
    let told = &world.nodes[ALICE].dialled;
    assert_eq!(told, &[Err(SessionEnd::Closed("no op:start-session in time".to_owned()))]);
    assert!(world.nodes.iter().all(|node| node.ends.is_empty()));
    assert!(world.peer(ALICE).is_empty());
    assert_eq!(world.peer(ALICE).deadline(), None);
}

#[test]
fn after_a_cut_there_is_a_new_session() {
    let (mut world, conn) = connected();
    world.cut(ALICE, conn);
    assert_eq!(world.nodes[ALICE].ended[&conn], SessionEnd::Disconnected);
    assert_eq!((world.session(ALICE, BOB), world.session(BOB, ALICE)), (None, None));
    world.ask(ALICE, BOB);
    world.run();
    assert!(world.agree(ALICE, BOB));
    assert!(!world.peer(ALICE).is_empty());
}

#[test]
fn a_second_session_of_the_same_side_supersedes_the_first() {
    let (mut world, first) = connected();
    // Alice has lost the session, and Bob has not noticed.
    let at_bob = world.session(BOB, ALICE).unwrap();
    world.nodes[BOB].ends.get_mut(&at_bob).unwrap().in_use = true;
    world.restart(ALICE);
    world.ask(ALICE, BOB);
    world.pass(SECOND / 2);
    assert!(world.agree(ALICE, BOB));
    assert_ne!(world.session(BOB, ALICE), Some(at_bob));
    // What is in use on it has its chance, and then it ends.
    assert!(!world.nodes[BOB].ended.contains_key(&at_bob));
    world.pass(SECOND * 59);
    assert!(!world.nodes[BOB].ended.contains_key(&at_bob), "it may yet be heard");
    world.pass(SECOND * 65);
    let SessionEnd::Closed(why) = &world.nodes[BOB].ended[&at_bob] else { panic!("closed") };
    assert!(why.starts_with("superseded"), "{why}");
    assert!(world.agree(ALICE, BOB));
    assert!(!world.nodes[ALICE].ended.contains_key(&first), "nobody told the dead");
}

#[test]
fn a_superseded_session_that_is_not_in_use_ends_soon() {
    let (mut world, _) = connected();
    let at_bob = world.session(BOB, ALICE).unwrap();
    world.restart(ALICE);
    world.ask(ALICE, BOB);
    world.pass(SECOND * 2);
    assert!(world.nodes[BOB].ended.contains_key(&at_bob));
    assert!(world.agree(ALICE, BOB));
}

/// The one that restarted was dialled before, and dials now. That looks like crossed
/// hellos but for the time, and whichever key is higher, the dead session loses.
#[test]
fn a_peer_that_restarted_is_not_taken_for_crossed() {
    for seed in 0..8 {
        let (mut world, dead) = connected();
        world.nodes[ALICE].ends.get_mut(&dead).unwrap().in_use = true;
        world.pass(SECOND * 10);
        world.restart(BOB);
        world.nodes[BOB].keys = [[seed; 32]].into();
        world.ask(BOB, ALICE);
        world.pass(SECOND * 30);
        assert!(world.agree(ALICE, BOB), "{seed}");
        assert_ne!(world.session(ALICE, BOB), Some(dead));
        assert!(world.nodes[BOB].dialled.iter().all(Result::is_ok));
    }
}

/// Two connections, crossed, of which Alice's stays.
fn crossed() -> (World, ConnId, ConnId) {
    let mut world = two();
    let id = |seed| SessionKey::from_entropy([seed; 32]).public().id();
    let (low, high) = if id(1) < id(2) { (1, 2) } else { (2, 1) };
    world.nodes[ALICE].keys = [[high; 32], [50; 32]].into();
    world.nodes[BOB].keys = [[51; 32], [low; 32]].into();
    world.ask(ALICE, BOB);
    world.ask(BOB, ALICE);
    world.run();
    let stays = world.session(ALICE, BOB).unwrap();
    let gave_way = *world.nodes[ALICE].ends.keys().find(|conn| **conn != stays).unwrap();
    assert!(world.nodes[ALICE].ends[&stays].dialled);
    (world, stays, gave_way)
}

#[test]
fn what_gave_way_ends_when_it_is_unused_and_not_before() {
    let (mut world, stays, gave_way) = crossed();
    for node in &mut world.nodes {
        node.ends.values_mut().for_each(|end| end.in_use = true);
    }
    world.pass(SECOND * 300);
    assert!(world.is_whole(ALICE, gave_way), "it is in use");
    for node in &mut world.nodes {
        node.ends.values_mut().for_each(|end| end.in_use = false);
    }
    world.pass(SECOND);
    assert!(!world.nodes[ALICE].ends.contains_key(&gave_way));
    assert_eq!(world.session(ALICE, BOB), Some(stays), "that is never ended for being unused");
    assert!(world.agree(ALICE, BOB));
}

#[test]
fn what_gave_way_has_its_place_back_when_the_other_is_cut() {
    let (mut world, stays, gave_way) = crossed();
    world.cut(ALICE, stays);
    assert_eq!(world.session(ALICE, BOB), Some(gave_way));
    assert!(world.agree(ALICE, BOB));
    world.pass(SECOND * 60);
    assert!(world.agree(ALICE, BOB), "and is not ended as one that gave way");
}

#[test]
fn a_dial_that_is_cut_falls_back_on_what_gave_way_to_it() {
    let mut world = two();
    let id = |seed| SessionKey::from_entropy([seed; 32]).public().id();
    let (low, high) = if id(1) < id(2) { (1, 2) } else { (2, 1) };
    world.nodes[ALICE].keys = [[high; 32], [50; 32]].into();
    world.nodes[BOB].keys = [[51; 32], [low; 32]].into();
    world.ask(ALICE, BOB);
    let dialling = world.steps()[0];
    world.take(dialling);
    // Bob's greeting on it is under way for ever.
    world.wires[0].stuck = true;
    world.ask(BOB, ALICE);
    world.run();
    assert_eq!(world.session(ALICE, BOB), None, "it waits for its own");
    world.wires[0].stuck = false;
    let greeting = *world.nodes[ALICE].ends.keys().next().unwrap();
    world.cut(ALICE, greeting);
    let conn = world.session(ALICE, BOB).unwrap();
    assert_eq!(world.nodes[ALICE].dialled, [Ok(conn)]);
    assert!(world.is_whole(ALICE, conn));
}

/// Alice by hand: the peer ends what she dials as crossed.
#[test]
fn a_dial_that_gave_way_waits_is_made_once_more_and_fails() {
    let mut peer = Peer::<(), ()>::new(PeerSettings::default());
    let bob = location("bob");
    let crossed = SessionEnd::PeerAborted("Crossed hellos mitigation".to_owned());
    let id = SessionKey::from_entropy([1; 32]).public().id();
    assert_eq!(peer.dial(&bob), None);
    assert_eq!(peer.poll_action(), Some(Action::Connect(bob.clone())));
    peer.opened(ConnId(1), Some(&bob), id, Duration::ZERO);
    peer.ended(ConnId(1), &crossed, Duration::ZERO);
    assert_eq!(peer.poll_action(), None, "the other may be there any moment");
    peer.tick(SECOND);
    assert_eq!(peer.poll_action(), Some(Action::Connect(bob.clone())));
    peer.opened(ConnId(2), Some(&bob), id, SECOND);
    peer.check().unwrap();
    peer.ended(ConnId(2), &crossed, SECOND);
    assert_eq!(peer.poll_action(), Some(Action::Dialled(bob.id(), Err(crossed.clone()))));
    assert!(peer.is_empty());
    // Any other end is told at once.
    peer.dial(&bob);
    peer.opened(ConnId(3), Some(&bob), id, SECOND);
    peer.ended(ConnId(3), &SessionEnd::Disconnected, SECOND);
    peer.poll_action();
    let told = Action::Dialled(bob.id(), Err(SessionEnd::Disconnected));
    assert_eq!(peer.poll_action(), Some(told));
}

#[test]
fn times_are_settings() {
    let mut settings = PeerSettings::default();
    settings.handshake = SECOND * 3;
    let mut world = World::with(Proves::Both, &["alice", "bob"], settings);
    world.ask(ALICE, BOB);
    let dialling = world.steps()[0];
    world.take(dialling);
    world.wires[0].stuck = true;
    world.pass(SECOND * 3);
    assert!(world.nodes[ALICE].dialled[0].is_err());
}
