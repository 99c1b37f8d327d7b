//! `drive` runs the vats that become ready on the thread that woke them.

mod recorder;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;

use recorder::{Recorder, numbers};
use vat_runtime::{Args, Fault, Manual, Reply, Turn, Value, Vat, drive, drive_with_budget};

#[test]
fn vats_run_before_drive_returns() {
    let hand = Manual::new();
    let here = Vat::new("here", hand.clone());
    let there = Vat::new("there", hand.clone());
    let threads = Arc::new(Mutex::new(Vec::new()));
    let seen = threads.clone();
    let far = there.spawn(move |_turn: &mut Turn<'_>, args: Args| -> Result<Reply, Fault> {
        seen.lock().unwrap().push(thread::current().id());
        Ok(Reply::value(args))
    });
    let near = here.spawn(move |turn: &mut Turn<'_>, args: Args| -> Result<Reply, Fault> {
        Ok(turn.send(&far, args).into())
    });
    hand.run_until_idle();
    let answer = drive(|| {
        let answer = near.send(vec![1.into()]);
        assert_eq!(answer.outcome(), None, "not before the body is done");
        answer
    });
    assert_eq!(answer.outcome(), Some(Ok(vec![1].into())));
    assert_eq!(*threads.lock().unwrap(), vec![thread::current().id()]);
    assert!(!hand.step(), "the scheduler never heard of it");
}

#[test]
fn a_drive_within_a_drive_leaves_the_vats_to_the_outer_one() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let recorder = Recorder::default();
    let actor = vat.spawn(recorder.clone());
    hand.run_until_idle();
    drive(|| {
        drive(|| actor.send_only(vec![0.into()]));
        assert_eq!(recorder.heard(), vec![]);
        actor.send_only(vec![1.into()]);
    });
    assert_eq!(recorder.heard(), numbers(0..2));
}

/// Sends itself one message more for each that it gets.
fn endless(turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
    let number = args.first().and_then(Value::as_int).unwrap_or_default();
    let me = turn.me();
    turn.send_only(&me, vec![(number + 1).into()]);
    Ok(().into())
}

#[test]
fn what_is_past_the_budget_goes_to_the_scheduler() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let recorder = Recorder::default();
    let actor = vat.spawn(recorder.clone());
    let waiting = Vat::new("waiting", hand.clone());
    let other = waiting.spawn(recorder.clone());
    hand.run_until_idle();
    drive_with_budget(70, || {
        (0..100).for_each(|number| actor.send_only(vec![number.into()]));
        other.send_only(vec!["other".into()]);
    });
    let mut expected = numbers(0..64);
    expected.push("other".into());
    expected.extend(numbers(64..69));
    assert_eq!(recorder.heard(), expected, "no vat keeps the others waiting");
    assert!(hand.step());
    assert_eq!(recorder.heard().len(), 71);
    assert_eq!(hand.run_until_idle(), 30);

    let vat = Vat::new("endless", hand.clone());
    let actor = vat.spawn(endless);
    drive(|| actor.send_only(vec![0.into()]));
    assert!(hand.step(), "the rest is with the scheduler");
}

#[test]
fn a_panic_in_the_body_leaves_the_vats_to_their_scheduler() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let recorder = Recorder::default();
    let actor = vat.spawn(recorder.clone());
    hand.run_until_idle();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        drive(|| {
            actor.send_only(vec![0.into()]);
            panic!("on purpose");
        })
    }));
    assert!(caught.is_err());
    assert_eq!(recorder.heard(), vec![]);
    hand.run_until_idle();
    assert_eq!(recorder.heard(), numbers(0..1));
}
