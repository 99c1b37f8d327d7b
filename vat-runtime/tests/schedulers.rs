//! Stepping by hand is deterministic; a thread of its own runs a vat without help.

mod recorder;

use std::sync::{Arc, Mutex};

use recorder::Recorder;
use vat_runtime::{Args, Fault, Manual, OwnThread, Ref, Reply, Turn, Value, Vat, promise};

/// Sends a counted-down number on to the next vat and logs where it is.
fn relay(log: Arc<Mutex<Vec<String>>>) -> impl Fn(&mut Turn<'_>, Args) -> Result<Reply, Fault> {
    move |turn: &mut Turn<'_>, args: Args| {
        let number = args.first().and_then(Value::as_int).unwrap_or_default();
        log.lock().unwrap().push(format!("{} {number}", turn.vat_name()));
        if let (1.., Some(next)) = (number, args.get(1).and_then(Value::as_ref)) {
            let me = turn.me();
            turn.send_only(next, vec![(number - 1).into(), me.into()]);
        }
        Ok(().into())
    }
}

#[test]
fn stepping_by_hand_runs_vats_in_turn() {
    let run = || {
        let log = Arc::new(Mutex::new(Vec::new()));
        let hand = Manual::new();
        let vats = ["a", "b", "c"].map(|name| Vat::new(name, hand.clone()));
        let actors: Vec<Ref> = vats.iter().map(|vat| vat.spawn(relay(log.clone()))).collect();
        actors[0].send_only(vec![3.into(), (&actors[1]).into()]);
        actors[2].send_only(vec![2.into(), (&actors[0]).into()]);
        hand.run_until_idle();
        drop(actors);
        log.lock().unwrap().clone()
    };
    let first = run();
    assert_eq!(first, ["a 3", "c 2", "b 2", "a 1", "c 0", "a 1", "b 0"].map(str::to_owned));
    assert_eq!(first, run());
}

#[test]
fn one_step_is_one_turn() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    assert!(!hand.step());
    let recorder = Recorder::default();
    let actor = vat.spawn(recorder.clone());
    actor.send_only(vec![1.into()]);
    actor.send_only(vec![2.into()]);
    assert!(hand.step(), "the actor is put in place");
    assert!(hand.step());
    assert_eq!(recorder.heard(), vec![1.into()]);
    assert!(hand.step());
    assert!(!hand.step());
    assert_eq!(recorder.heard(), vec![1.into(), 2.into()]);
}

#[test]
fn a_thread_of_its_own_runs_many_vats() {
    let own = OwnThread::start("vats").unwrap();
    let vats: Vec<Vat> = (0..10).map(|_| Vat::new("test", own.clone())).collect();
    let actors: Vec<Ref> = vats.iter().map(|vat| vat.spawn(Recorder::default())).collect();
    let (first, resolver) = promise();
    let mut last = first;
    for actor in &actors {
        let next = actor.send(vec![last.into()]);
        last = next;
    }
    resolver.fulfill("through all");
    assert_eq!(last.wait(), Ok("through all".into()));
}

#[test]
fn a_promise_is_a_future() {
    let own = OwnThread::start("vat").unwrap();
    let vat = Vat::new("test", own);
    let actor = vat.spawn(Recorder::default());
    let answers: Vec<_> = (0..100).map(|number| actor.send(vec![number.into()])).collect();
    for (number, answer) in (0..100).zip(answers) {
        assert_eq!(answer.settling().wait(), Ok(Value::from(number)));
    }
    let turn = vat.run(|turn| Ok(turn.vat_name().len()));
    assert_eq!(turn.wait(), Ok(4));
}
