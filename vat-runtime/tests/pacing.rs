//! A vat that is behind holds the sessions that go on delivering to it, and no others;
//! what waits is bounded, and nothing is lost.

mod recorder;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use recorder::{Recorder, numbers};
use vat_runtime::{
    Args, Fault, Intake, Limits, Manual, Ref, Reply, Turn, Value, Vat, drive, promise,
};

const MEGABYTE: usize = 1 << 20;

/// An intake, and how often it said that it may go on.
fn intake() -> (Arc<Intake>, Arc<AtomicUsize>) {
    let went_on = Arc::new(AtomicUsize::new(0));
    let count = went_on.clone();
    let changed = move || {
        count.fetch_add(1, Ordering::SeqCst);
    };
    (Intake::new(MEGABYTE, MEGABYTE, changed), went_on)
}

fn busy(queue: usize) -> (Arc<Manual>, Vat, Recorder, Ref) {
    let hand = Manual::new();
    let vat = Vat::with_limits("busy", hand.clone(), Limits::default().queue(queue));
    let recorder = Recorder::default();
    let actor = vat.spawn(recorder.clone());
    hand.run_until_idle();
    (hand, vat, recorder, actor)
}

fn number(value: i64) -> Args {
    vec![value.into()]
}

#[test]
fn who_delivers_to_a_vat_that_is_behind_is_held_until_half_is_left() {
    let (hand, vat, recorder, actor) = busy(10);
    let (intake, went_on) = intake();
    for value in 0..10 {
        intake.deliver(&actor, number(value), None);
        assert!(!intake.is_paced());
    }
    for value in 10..13 {
        intake.deliver(&actor, number(value), None);
        assert!(intake.is_paced(), "from the limit on");
    }
    assert_eq!(vat.backlog(), 13, "nothing that has been read is refused");
    for left in (6..13).rev() {
        assert!(hand.step());
        assert_eq!(vat.backlog(), left);
        assert!(intake.is_paced(), "with {left} left");
    }
    assert!(hand.step());
    assert_eq!((vat.backlog(), intake.is_paced()), (5, false));
    assert_eq!(went_on.load(Ordering::SeqCst), 1);
    hand.run_until_idle();
    assert_eq!(recorder.heard(), numbers(0..13));
    assert_eq!((went_on.load(Ordering::SeqCst), intake.queued_bytes()), (1, 0));
}

#[test]
fn those_who_do_not_deliver_to_it_are_not_held() {
    let (hand, _vat, recorder, actor) = busy(4);
    let other_vat = Vat::with_limits("other", hand.clone(), Limits::default().queue(4));
    let other = other_vat.spawn(Recorder::default());
    let ((flood, _), (calm, _)) = (intake(), intake());
    for value in 0..20 {
        flood.deliver(&actor, number(value), None);
    }
    calm.deliver(&other, number(1), None);
    assert!(flood.is_paced());
    assert!(!calm.is_paced());
    calm.deliver(&actor, number(20), None);
    assert!(calm.is_paced(), "now it adds to it");
    hand.run_until_idle();
    assert!(!flood.is_paced() && !calm.is_paced());
    assert_eq!(recorder.heard(), numbers(0..21));
}

#[test]
fn who_is_held_by_two_vats_waits_for_both() {
    let (hand, one, _, first) = busy(2);
    let two = Vat::with_limits("two", hand.clone(), Limits::default().queue(2));
    let second = two.spawn(Recorder::default());
    hand.run_until_idle();
    let (intake, went_on) = intake();
    for actor in [&first, &second, &first, &second, &first, &second] {
        intake.deliver(actor, number(0), None);
    }
    one.stop();
    assert!(intake.is_paced(), "by the other");
    two.stop();
    assert!(!intake.is_paced(), "a vat that has stopped holds nobody");
    assert_eq!((went_on.load(Ordering::SeqCst), intake.queued_bytes()), (1, 0));
}

#[test]
fn a_vat_that_is_dropped_holds_nobody() {
    let (hand, vat, _, actor) = busy(2);
    let (intake, _) = intake();
    for value in 0..4 {
        intake.deliver(&actor, number(value), None);
    }
    assert!(intake.is_paced());
    drop((vat, actor, hand));
    assert!(!intake.is_paced());
}

#[test]
fn bytes_count_too() {
    let (hand, _vat, _, actor) = busy(1000);
    let (intake, went_on) = intake();
    let big = || vec![Value::from("x".repeat(MEGABYTE / 4).as_str())];
    for _ in 0..3 {
        intake.deliver(&actor, big(), None);
        assert!(!intake.is_paced());
    }
    intake.deliver(&actor, big(), None);
    assert!(intake.is_paced());
    hand.step();
    hand.step();
    assert!(intake.is_paced(), "still more than half");
    hand.step();
    assert!(!intake.is_paced());
    assert_eq!(went_on.load(Ordering::SeqCst), 1);
}

#[test]
fn what_waits_in_a_promise_does_not_pace_but_is_bounded() {
    let (hand, _vat, recorder, actor) = busy(1000);
    let (intake, _) = intake();
    let (target, resolver) = promise();
    for value in 0..100 {
        intake.deliver(&target, number(value), None);
    }
    assert!(intake.parked_bytes() > 0);
    assert_eq!(intake.queued_bytes(), 0);
    assert!(!intake.is_paced() && !intake.is_overrun());
    // From one promise to the next, then on to the actor.
    let (further, last) = promise();
    resolver.fulfill(further);
    assert!(intake.parked_bytes() > 0);
    last.fulfill(actor.clone());
    assert_eq!(intake.parked_bytes(), 0);
    assert!(intake.queued_bytes() > 0);
    hand.run_until_idle();
    assert_eq!(intake.queued_bytes(), 0);
    assert_eq!(recorder.heard(), numbers(0..100));

    let (target, resolver) = promise();
    while !intake.is_overrun() {
        assert!(intake.parked_bytes() <= MEGABYTE);
        intake.deliver(&target, vec!["x".repeat(1000).as_str().into()], None);
    }
    assert!(!intake.is_paced());
    drop(resolver);
    assert_eq!(intake.parked_bytes(), 0, "what breaks waits no longer");
}

#[test]
fn what_this_process_sends_is_not_held_back_but_breaks_at_ten_times_the_limit() {
    let (hand, vat, recorder, actor) = busy(10);
    let answers: Vec<_> = (0..105).map(|value| actor.send(number(value))).collect();
    assert_eq!(vat.backlog(), 100);
    let too_late = vat.run(|_turn| Ok(()));
    for late in &answers[100..] {
        let fault = late.outcome().unwrap().unwrap_err();
        assert_eq!(fault.to_string(), "the vat is too far behind");
    }
    assert_eq!(too_late.wait().unwrap_err().to_string(), "the vat is too far behind");
    hand.run_until_idle();
    assert_eq!(recorder.heard(), numbers(0..100));
    assert!(answers[..100].iter().all(|answer| matches!(answer.outcome(), Some(Ok(_)))));
    assert!(actor.send(number(0)).outcome().is_none(), "and it goes on");
}

#[test]
fn a_turn_that_floods_its_own_vat_hears_of_it() {
    let hand = Manual::new();
    let vat = Vat::with_limits("own", hand.clone(), Limits::default().queue(10));
    let recorder = Recorder::default();
    let heard = recorder.clone();
    let flood = vat.run(move |turn| {
        let actor = turn.spawn(heard);
        Ok((0..150).map(|value| turn.send(&actor, number(value))).collect::<Vec<_>>())
    });
    hand.run_until_idle();
    let answers = flood.wait().unwrap();
    let broken = answers.iter().filter(|answer| matches!(answer.outcome(), Some(Err(_)))).count();
    assert_eq!(broken, 50);
    assert_eq!(recorder.heard(), numbers(0..100));
}

/// Sends itself two messages for each that it gets.
fn doubling(turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
    let me = turn.me();
    turn.send_only(&me, args.clone());
    turn.send_only(&me, args);
    Ok(().into())
}

#[test]
fn a_flood_from_within_is_bounded_and_others_are_let_in() {
    let hand = Manual::new();
    let vat = Vat::with_limits("own", hand.clone(), Limits::default().queue(10));
    vat.spawn(doubling).send_only(vec![]);
    for _ in 0..1000 {
        assert!(hand.step());
        assert!(vat.backlog() <= 101, "{}", vat.backlog());
    }
    let (intake, _) = intake();
    let recorder = Recorder::default();
    let actor = vat.spawn(recorder.clone());
    intake.deliver(&actor, number(7), None);
    for _ in 0..200 {
        hand.step();
    }
    assert_eq!(recorder.heard(), numbers(7..8), "sessions are paced, never refused");
    vat.stop();
    assert!(!intake.is_paced());
}

#[test]
fn a_drive_that_keeps_up_paces_nobody_for_long() {
    let (_hand, vat, recorder, actor) = busy(10);
    let (intake, went_on) = intake();
    drive(|| (0..100).for_each(|value| intake.deliver(&actor, number(value), None)));
    assert_eq!(vat.backlog(), 0);
    assert!(!intake.is_paced());
    assert_eq!(went_on.load(Ordering::SeqCst), 1);
    assert_eq!(recorder.heard(), numbers(0..100));
}
