//! End-to-end reference FIFO in every order of arrival: the scenarios that the draft's
//! discussions of order name, each small enough to be tried in all orders, or in as
//! many as the bound says.
//!
//! In each, peer 0 (and others) send along a promise while it resolves to something
//! elsewhere. `vN` counts references from the newest. Each peer begins with its three
//! objects.

use interop_tests::sim::explore::{Explored, explore};
use interop_tests::sim::script::{Line, Script};

/// How many orders are tried, of those that have more: this many that begin alike and
/// this many random ones.
const BOUND: usize = 60;

fn scenario(peers: usize, give_promises: bool, setup: &str, race: &str) -> Explored {
    let world = format!(
        "world peers={peers} proof=Both give-promises={give_promises} inline=true delay=1 \
         chunks=false seed=1\n"
    );
    let setup: Script = format!("{world}{setup}").parse().expect("a setup");
    let race: Vec<Line> = format!("{world}{race}").parse::<Script>().expect("a race").lines;
    let bound = std::env::var("FIFO_BOUND").ok().and_then(|bound| bound.parse().ok());
    let explored = explore(&setup, &race, bound.unwrap_or(BOUND));
    if let Some((failure, order)) = &explored.failure {
        panic!("{failure}, in this order:\n{}", order.join("\n"));
    }
    println!(
        "{} orders{}, {} handoffs, {} overtakings across references",
        explored.runs,
        if explored.complete { ", which are all" } else { "" },
        explored.handoffs,
        explored.overtakings
    );
    explored
}

#[test]
fn s01_a_promise_at_a_peer_resolves_to_an_object_of_the_senders() {
    let explored = scenario(
        2,
        false,
        "+0 p0 enliven p1 0\n\
         +0 p0 send v0 [ v1 ] -> promise\n",
        "+0 p0 tell v0 [ ] -> 1\n\
         +0 p0 tell v0 [ ] -> 1\n\
         +0 p0 tell v0 [ ] -> 1\n\
         +0 p1 resolve 0 v1\n",
    );
    assert!(explored.runs > 0);
}

/// Peer 0 has a promise of peer 1's, which has an object of peer 2's.
const THREE: &str = "+0 p1 enliven p2 0\n\
                     +0 p0 enliven p1 0\n\
                     +0 p0 send v0 [ ] -> promise\n";

#[test]
fn s02_a_promise_at_a_peer_resolves_to_a_third_party() {
    scenario(
        3,
        false,
        THREE,
        "+0 p0 tell v0 [ ] -> 1\n\
         +0 p0 tell v0 [ ] -> 1\n\
         +0 p1 resolve 0 v1\n",
    );
}

#[test]
fn s03_the_way_from_the_shortener_to_the_target_is_slow() {
    scenario(
        3,
        true,
        &format!("{THREE}+0 p0 enliven p2 0\n"),
        "+0 p0 tell v1 [ ] -> 1\n\
         +0 p0 send v1 [ ] -> 1\n\
         +0 p1 resolve 0 v1\n\
         +0 p0 listen v1\n",
    );
}

/// A row of four: a promise at peer 1, one at peer 2, an object at peer 3.
const ROW: &str = "+0 p2 enliven p3 0\n\
                   +0 p1 enliven p2 0\n\
                   +0 p1 send v0 [ ] -> promise\n\
                   +0 p0 enliven p1 0\n\
                   +0 p0 send v0 [ ] -> promise\n";

#[test]
fn s04_an_empty_outbox_shows_nothing() {
    scenario(
        4,
        false,
        ROW,
        "+0 p0 tell v0 [ ] -> 1\n\
         +0 p0 send v0 [ ] -> 1\n\
         +0 p1 resolve 0 v1\n\
         +0 p2 resolve 0 v1\n",
    );
}

#[test]
fn s05_both_middle_links_are_shortened_at_once() {
    scenario(
        4,
        true,
        &format!("{ROW}+0 p1 tell v1 [ v0 ] -> 1\n+0 p3 enliven p2 1\n"),
        "+0 p0 send v0 [ ] -> 1\n\
         +0 p1 resolve 0 v1\n\
         +0 p2 resolve 0 v2\n\
         +0 p0 tell v1 [ ] -> 1\n\
         +0 p3 tell v0 [ ] -> 1\n",
    );
}

#[test]
fn s06_the_shortener_sends_along_its_own_promise() {
    scenario(
        3,
        false,
        THREE,
        "+0 p0 tell v0 [ ] -> 1\n\
         +0 p1 tell v0 [ ] -> 1\n\
         +0 p1 resolve 0 v1\n\
         +0 p1 tell v0 [ ] -> 1\n\
         +0 p0 tell v0 [ ] -> 1\n",
    );
}

#[test]
fn s07_what_a_promise_became_becomes_something_else() {
    scenario(
        4,
        true,
        ROW,
        "+0 p1 resolve 0 v1\n\
         +0 p0 send v0 [ ] -> 1\n\
         +0 p2 resolve 0 v1\n\
         +0 p0 tell v1 [ ] -> 1\n",
    );
}

#[test]
fn s08_new_messages_stay_behind_those_that_waited() {
    let explored = scenario(
        2,
        false,
        "+0 p0 enliven p1 0\n+0 p0 promise\n",
        "+0 p0 tell v0 [ ] -> 1\n\
         +0 p0 tell v0 [ ] -> 1\n\
         +0 p0 resolve 0 v1\n\
         +0 p0 tell v0 [ ] -> 1\n\
         +0 p1 tell v0 [ ] -> 1\n",
    );
    assert!(explored.complete);
}

#[test]
fn s09_two_are_told_of_one_settlement() {
    scenario(
        3,
        false,
        &format!("{THREE}+0 p0 enliven p2 0\n+0 p2 enliven p0 0\n+0 p0 tell v0 [ v1 ] -> 1\n"),
        "+0 p0 listen v1\n\
         +0 p0 listen v1\n\
         +0 p2 listen v0\n\
         +0 p1 resolve 0 v1\n\
         +0 p0 tell v1 [ ] -> 1\n",
    );
}

#[test]
fn s10_a_promise_that_is_known_only_as_an_answer() {
    scenario(
        3,
        false,
        "+0 p1 enliven p2 0\n+0 p0 enliven p1 0\n",
        "+0 p0 send v0 [ ] -> v0\n\
         +0 p0 tell v0 [ ] -> 1\n\
         +0 p0 tell v0 [ ] -> 1\n",
    );
}

#[test]
fn s11_a_promise_resolves_to_a_remote_object_that_the_sender_has_too() {
    let explored = scenario(
        3,
        false,
        &format!("{THREE}+0 p0 enliven p2 0\n"),
        "+0 p0 tell v1 [ ] -> 1\n\
         +0 p1 resolve 0 v1\n\
         +0 p0 send v1 [ ] -> 1\n\
         +0 p0 tell v2 [ ] -> 1\n",
    );
    assert!(explored.overtakings > 0);
}

#[test]
fn s12_gifts_are_fetched_before_and_after_they_are_left() {
    for give_promises in [false, true] {
        let explored = scenario(
            3,
            give_promises,
            "+0 p1 enliven p2 0\n\
             +0 p1 send v0 [ ] -> promise\n\
             +0 p1 enliven p0 0\n\
             +0 p0 enliven p2 0\n",
            "+0 p1 tell v0 [ v1 v2 ] -> 1 then v0 n0\n\
             +0 p2 resolve 0 v1\n",
        );
        assert!(explored.handoffs > 0, "nothing was handed off");
    }
}

#[test]
fn s13_the_session_dies_in_between() {
    for conn in 0..3 {
        scenario(
            3,
            true,
            &format!("{THREE}+0 p0 enliven p2 0\n"),
            &format!(
                "+0 p0 send v1 [ ] -> 1\n\
                 +0 p1 resolve 0 v1\n\
                 +0 p2 cut {conn}\n\
                 +0 p0 send v1 [ ] -> 1\n"
            ),
        );
    }
}

#[test]
fn s14_somebody_asks_after_the_resolution() {
    scenario(
        3,
        false,
        THREE,
        "+0 p1 resolve 0 v1\n\
         +0 p0 tell v0 [ ] -> 1\n\
         +0 p0 listen v0\n",
    );
}

/// The other way round: what takes another reference to the same object may overtake,
/// and in some order does.
#[test]
fn s15_another_reference_may_overtake() {
    let explored = scenario(
        3,
        false,
        &format!("{THREE}+0 p0 enliven p2 0\n"),
        "+0 p0 tell v1 [ ] -> 1\n\
         +0 p0 tell v0 [ ] -> 1\n\
         +0 p1 resolve 0 v1\n",
    );
    assert!(explored.overtakings > 0, "no message was overtaken in any order");
}
