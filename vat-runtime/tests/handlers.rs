//! Handlers of promises run as turns of the vat that registered them.

mod recorder;

use std::sync::{Arc, Mutex};

use recorder::Recorder;
use vat_runtime::{Args, Fault, Manual, Promise, Ref, Reply, Turn, Value, Vat, promise};

#[test]
fn a_handler_runs_in_its_own_vat_and_on_behalf_of_its_actor() {
    let hand = Manual::new();
    let here = Vat::new("here", hand.clone());
    let there = Vat::new("there", hand.clone());
    let far = there.spawn(Recorder::default());
    let near = here.spawn(Recorder::default());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let asker = here.spawn(move |turn: &mut Turn<'_>, _args: Args| {
        let answer = turn.send(&far, vec![5.into()]);
        let (log, near, me) = (log.clone(), near.clone(), turn.me());
        turn.on(&answer, move |turn, outcome| {
            let called = turn.call(&near, vec![6.into()]);
            let same = turn.me() == me;
            log.lock().unwrap().push((turn.vat_name().to_owned(), outcome, called, same));
        });
        Ok(().into())
    });
    asker.send_only(vec![]);
    hand.run_until_idle();
    let expected = vec![("here".to_owned(), Ok(Value::from(5)), Ok(Value::from(6)), true)];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn a_handler_is_told_of_breaks_and_of_things_that_are_no_promise() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let actor = vat.spawn(Recorder::default());
    let (open, resolver) = promise();
    let to = actor.clone();
    let turn = vat.run(move |turn| {
        let note = |turn: &mut Turn<'_>, target: Value| {
            turn.on_promise(target, |_turn, outcome| match outcome {
                Ok(value) => Ok(Value::List(vec![value])),
                Err(fault) => Ok(Value::from(format!("caught {fault}"))),
            })
        };
        Ok(vec![note(turn, open.into()), note(turn, to.into()), note(turn, 3.into())])
    });
    hand.run_until_idle();
    resolver.break_with("no");
    hand.run_until_idle();
    let results: Vec<_> = turn.wait().unwrap().iter().map(|promise| promise.wait()).collect();
    assert_eq!(
        results,
        vec![
            Ok("caught no".into()),
            Ok(Value::List(vec![actor.into()])),
            Ok(Value::List(vec![3.into()])),
        ]
    );
}

#[test]
fn a_handler_that_fails_undoes_its_turn_and_breaks_its_promise() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let recorder = Recorder::default();
    let log = vat.spawn(recorder.clone());
    let turn = vat.run(move |turn| {
        let failing = turn.on_promise(1, move |turn, _outcome| {
            turn.send_only(&log, vec!["from a failed handler".into()]);
            Err(Fault::from("no"))
        });
        Ok(turn.on_promise(failing, |_turn, outcome| outcome))
    });
    hand.run_until_idle();
    assert_eq!(turn.wait().unwrap().wait(), Err("no".into()));
    assert_eq!(recorder.heard(), vec![]);
}

#[test]
fn handlers_run_in_the_order_registered() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (open, resolver) = promise();
    let (log, target) = (seen.clone(), open);
    drop(vat.run(move |turn| {
        for number in 0..5 {
            let log = log.clone();
            turn.on(&target, move |_turn, _outcome| log.lock().unwrap().push(number));
        }
        Ok(())
    }));
    hand.run_until_idle();
    resolver.fulfill(());
    hand.run_until_idle();
    assert_eq!(*seen.lock().unwrap(), vec![0, 1, 2, 3, 4]);
}

#[test]
fn a_turn_from_outside_belongs_to_no_actor() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let me = vat.run(|turn| Ok(turn.me()));
    hand.run_until_idle();
    assert!(me.wait().unwrap().wait().is_err());
}

/// The answer to a message is a promise of the answer's own answer.
#[test]
fn an_answer_may_be_a_promise() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let echo = vat.spawn(Recorder::default());
    let forward = vat.spawn(move |turn: &mut Turn<'_>, args: Args| -> Result<Reply, Fault> {
        Ok(turn.send(&echo, args).into())
    });
    let answer: Promise = forward.send(vec![8.into()]);
    hand.run_until_idle();
    assert_eq!(answer.wait(), Ok(8.into()));
    let me: Ref = answer.into_ref();
    assert!(!me.is_promise());
}
