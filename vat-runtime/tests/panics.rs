//! A panic fails the turn and nothing else, and says nothing to the sender.

mod recorder;

use std::panic::{AssertUnwindSafe, catch_unwind};

use recorder::Recorder;
use vat_runtime::{Args, Fault, Manual, Reply, Turn, Value, Vat};

#[test]
fn a_panic_breaks_the_answer_without_its_message() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let recorder = Recorder::default();
    let log = vat.spawn(recorder.clone());
    let actor = vat.spawn(move |turn: &mut Turn<'_>, args: Args| -> Result<Reply, Fault> {
        turn.send_only(&log, args.clone());
        assert!(args.first() != Some(&Value::Null), "secret detail");
        Ok(1.into())
    });
    let bad = actor.send(vec![Value::Null]);
    let good = actor.send(vec![5.into()]);
    hand.run_until_idle();
    assert_eq!(bad.wait(), Err("the object failed".into()));
    assert_eq!(good.wait(), Ok(1.into()));
    assert_eq!(recorder.heard(), vec![5.into()]);
}

#[test]
fn a_panic_in_a_callee_fails_the_turn_even_if_a_caller_catches_it() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let recorder = Recorder::default();
    let log = vat.spawn(recorder.clone());
    let bad = vat.spawn(|_turn: &mut Turn<'_>, _args: Args| -> Result<Reply, Fault> {
        panic!("on purpose")
    });
    let caller = vat.spawn(move |turn: &mut Turn<'_>, _args: Args| {
        turn.send_only(&log, vec![1.into()]);
        let caught = catch_unwind(AssertUnwindSafe(|| turn.call(&bad, vec![])));
        assert!(caught.is_err());
        Ok(().into())
    });
    let answer = caller.send(vec![]);
    hand.run_until_idle();
    assert_eq!(answer.wait(), Err("a panic was caught within the turn".into()));
    assert_eq!(recorder.heard(), vec![]);
    let next = vat.run(|_turn| Ok(1));
    hand.run_until_idle();
    assert_eq!(next.wait(), Ok(1), "the vat goes on");
}

#[test]
fn a_panicking_drop_leaves_the_vat_running() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let bomb = Bomb;
    let actor = vat.spawn(move |_turn: &mut Turn<'_>, _args: Args| {
        let _ = &bomb;
        Ok(Reply::becomes(Recorder::default()))
    });
    // Its answer comes after the old behaviour is dropped: it must not get lost.
    let answer = actor.send(vec![]);
    let later = actor.send(vec![2.into()]);
    hand.run_until_idle();
    assert!(answer.outcome().is_some());
    assert_eq!(later.wait(), Ok(2.into()));
}
