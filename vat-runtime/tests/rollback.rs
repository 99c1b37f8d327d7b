//! A turn that fails leaves nothing behind: no state, no actor, no message, no
//! resolution, no handler.

mod recorder;

use std::sync::{Arc, Mutex};

use recorder::Recorder;
use vat_runtime::{Args, Fault, Manual, Promise, Ref, Reply, Turn, Value, Vat, promise};

fn cell(value: Value) -> impl Fn(&mut Turn<'_>, Args) -> Result<Reply, Fault> + Send + Sync {
    move |_turn: &mut Turn<'_>, mut args: Args| match args.pop() {
        Some(next) => Ok(Reply::becomes(cell(next))),
        None => Ok(value.clone().into()),
    }
}

#[test]
fn state_and_messages_of_a_failed_turn_are_gone() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let other = Vat::new("other", hand.clone());
    let recorder = Recorder::default();
    let near = vat.spawn(recorder.clone());
    let far = other.spawn(recorder.clone());
    let state = vat.spawn(cell(1.into()));
    let (settled, resolver) = promise();

    let (held, answers) = (state.clone(), Arc::new(Mutex::new(Vec::<Promise>::new())));
    let escaped = answers.clone();
    let failed = vat.run(move |turn| -> Result<(), Fault> {
        turn.call(&held, vec![2.into()])?;
        assert_eq!(turn.call(&held, vec![])?, 2.into());
        turn.send_only(&near, vec!["near".into()]);
        escaped.lock().unwrap().push(turn.send(&far, vec!["far".into()]));
        turn.resolve(resolver, Ok(1.into()));
        let spawned = turn.spawn(recorder.clone());
        turn.on(&spawned, |_turn, _outcome| panic!("a handler of a failed turn ran"));
        escaped.lock().unwrap().push(turn.promise().0);
        Err("no".into())
    });
    let read = state.send(vec![]);
    hand.run_until_idle();

    assert_eq!(failed.wait(), Err("no".into()));
    assert_eq!(read.wait(), Ok(1.into()));
    assert_eq!(settled.wait(), Err("no".into()), "a resolver cannot be handed back");
    let answers = answers.lock().unwrap();
    assert_eq!(answers[0].wait(), Err("no".into()), "the promise of a message never sent");
    assert!(answers[1].wait().is_err());
    assert_eq!(vat.actor_count(), 1, "only the state is held");
    assert_eq!(other.actor_count(), 0);
}

#[test]
fn nothing_is_heard_of_a_failed_turn_and_everything_of_the_next() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let recorder = Recorder::default();
    let to = vat.spawn(recorder.clone());
    let teller = vat.spawn(move |turn: &mut Turn<'_>, args: Args| {
        turn.send_only(&to, args.clone());
        if args.first() == Some(&Value::Null) { Err("null".into()) } else { Ok(().into()) }
    });
    teller.send_only(vec![1.into()]);
    teller.send_only(vec![Value::Null]);
    teller.send_only(vec![2.into()]);
    hand.run_until_idle();
    assert_eq!(recorder.heard(), vec![1.into(), 2.into()]);
}

#[test]
fn an_actor_of_a_failed_turn_never_exists() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let slot = Arc::new(Mutex::new(None::<Ref>));
    let leak = slot.clone();
    let failed = vat.run(move |turn| -> Result<(), Fault> {
        *leak.lock().unwrap() = Some(turn.spawn(Recorder::default()));
        Err("no".into())
    });
    hand.run_until_idle();
    assert!(failed.wait().is_err());
    let ghost = slot.lock().unwrap().take().unwrap();
    let later = vat.spawn(Recorder::default());
    let to_ghost = ghost.send(vec![1.into()]);
    let to_later = later.send(vec![2.into()]);
    hand.run_until_idle();
    assert_eq!(to_ghost.wait(), Err("the actor does not exist".into()));
    assert_eq!(to_later.wait(), Ok(2.into()), "its place was not given away meanwhile");
    drop((ghost, later));
    hand.run_until_idle();
    assert_eq!(vat.actor_count(), 0);
}

#[test]
fn effects_happen_in_the_order_of_the_program_and_the_answer_last() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let recorder = Recorder::default();
    let to = vat.spawn(recorder.clone());
    let (early, resolver) = promise();
    let resolver = Mutex::new(Some(resolver));
    let log = to.clone();
    early.when_settled(move |_| log.send_only(vec!["resolved".into()]));
    let log = to.clone();
    let actor = vat.spawn(move |turn: &mut Turn<'_>, _args: Args| {
        turn.send_only(&to, vec!["first".into()]);
        let resolver = resolver.lock().unwrap().take().unwrap();
        turn.resolve(resolver, Ok(().into()));
        turn.send_only(&to, vec!["second".into()]);
        Ok(().into())
    });
    actor.send(vec![]).when_settled(move |_| log.send_only(vec!["answered".into()]));
    hand.run_until_idle();
    let expected = ["first", "resolved", "second", "answered"].map(Value::from);
    assert_eq!(recorder.heard(), expected);
}
