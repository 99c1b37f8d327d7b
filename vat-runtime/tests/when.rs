//! Handlers for each case of a promise, as closures and as actors, and resolvers that are
//! capabilities.

mod manual;
mod recorder;

use manual::Cell;
use recorder::Recorder;
use vat_runtime::{
    Actormap, Args, Behaviour, Fault, Manual, Promise, Ref, Reply, Resolver, Turn, Value, Vat,
    is_live, is_sturdy, promise,
};

/// Runs a program, settles its promise and gives what it logged.
fn settled(
    outcome: Result<Value, Fault>,
    program: impl FnOnce(&mut Turn<'_>, Promise, Ref),
) -> Vec<Value> {
    let map = Actormap::new();
    let recorder = Recorder::default();
    let log = map.spawn(recorder.clone());
    let resolver: Resolver = map
        .run_and_commit(|turn| {
            let (vow, resolver) = turn.promise();
            program(turn, vow, log.clone());
            Ok(resolver)
        })
        .unwrap();
    assert_eq!(map.churn(), 0, "nothing is known yet");
    resolver.resolve(outcome);
    map.churn();
    recorder.heard()
}

/// Sets up a handler of each kind, of closures or of actors.
fn all(turn: &mut Turn<'_>, vow: Promise, log: Ref, as_actors: bool) {
    if as_actors {
        let tagged = |tag: &'static str, log: &Ref| {
            let log = log.clone();
            move |turn: &mut Turn<'_>, args: Args| {
                turn.send_only(&log, vec![Value::List(vec![tag.into(), Value::List(args)])]);
                Ok(Reply::value(()))
            }
        };
        let [fulfilled, broken, finally] =
            ["fulfilled", "broken", "finally"].map(|tag| turn.spawn(tagged(tag, &log)));
        turn.when(vow).fulfilled_to(&fulfilled).broken_to(&broken).finally_to(&finally).listen();
        return;
    }
    let say = |log: &Ref, turn: &mut Turn<'_>, tag: &'static str, args: Args| {
        turn.send_only(log, vec![Value::List(vec![tag.into(), Value::List(args)])]);
        Ok(())
    };
    let logs = [log.clone(), log.clone(), log];
    let [one, two, three] = logs;
    turn.when(vow)
        .fulfilled(move |turn, value| say(&one, turn, "fulfilled", vec![value]))
        .broken(move |turn, fault| say(&two, turn, "broken", vec![fault.into_value()]))
        .finally(move |turn| say(&three, turn, "finally", vec![]))
        .listen();
}

#[test]
fn each_handler_hears_its_case_and_the_last_hears_of_both() {
    for as_actors in [false, true] {
        let note = |tag: &'static str, args: Args| Value::List(vec![tag.into(), Value::List(args)]);
        let heard = settled(Ok(7.into()), |turn, vow, log| all(turn, vow, log, as_actors));
        assert_eq!(heard, [note("fulfilled", vec![7.into()]), note("finally", vec![])]);
        let heard = settled(Err("no".into()), |turn, vow, log| all(turn, vow, log, as_actors));
        assert_eq!(heard, [note("broken", vec![Value::error("no")]), note("finally", vec![])]);
    }
}

#[test]
fn a_promise_of_handlers_settles_as_they_say_or_as_the_target_does() {
    fn outcome(
        of: Result<Value, Fault>,
        program: impl FnOnce(&mut Turn<'_>, Promise) -> Promise,
    ) -> Option<Result<Value, Fault>> {
        let mut told = None;
        settled(of, |turn, vow, _log| told = Some(program(turn, vow)));
        told.and_then(|told| told.outcome())
    }
    let fulfilled = |turn: &mut Turn<'_>, vow: Promise| {
        turn.when(vow)
            .fulfilled(|_turn, value| Ok(value.as_int().map_or(0, |int| int + 1)))
            .promise()
    };
    assert_eq!(outcome(Ok(1.into()), fulfilled), Some(Ok(2.into())));
    assert_eq!(outcome(Err("no".into()), fulfilled), Some(Err("no".into())));
    let broken = |turn: &mut Turn<'_>, vow: Promise| {
        turn.when(vow).broken(|_turn, fault| Ok(fault.to_string())).promise()
    };
    assert_eq!(outcome(Ok(1.into()), broken), Some(Ok(1.into())));
    assert_eq!(outcome(Err("no".into()), broken), Some(Ok("no".into())));
    let failing = |turn: &mut Turn<'_>, vow: Promise| {
        turn.when(vow).fulfilled(|_turn, _value| Err::<(), _>("worse".into())).promise()
    };
    assert_eq!(outcome(Ok(1.into()), failing), Some(Err("worse".into())));
    let neither = |turn: &mut Turn<'_>, vow: Promise| {
        turn.when(vow).finally(|_turn| Err::<(), _>("unheard".into())).promise()
    };
    assert_eq!(outcome(Ok(1.into()), neither), Some(Ok(1.into())));
    let actor = |turn: &mut Turn<'_>, vow: Promise| {
        let echo = turn.spawn(|_: &mut Turn<'_>, mut args: Args| {
            Ok(Reply::value(args.pop().unwrap_or_default()))
        });
        turn.when(vow).fulfilled_to(&echo).broken_to(&echo).promise()
    };
    assert_eq!(outcome(Ok(5.into()), actor), Some(Ok(5.into())));
    assert_eq!(outcome(Err("no".into()), actor), Some(Ok(Value::error("no"))));
}

#[test]
fn the_last_handler_runs_although_another_failed() {
    let heard = settled(Ok(1.into()), |turn, vow, log| {
        turn.when(vow)
            .fulfilled(|turn, value| {
                turn.send_only(&turn.me(), vec![value]);
                Err::<(), _>("no".into())
            })
            .finally(move |turn| {
                turn.send_only(&log, vec!["finally".into()]);
                Ok(())
            })
            .listen();
    });
    assert_eq!(heard, ["finally".into()]);
}

#[test]
fn a_handler_changes_its_actor_only_if_it_ends_well() {
    let map = Actormap::new();
    let cell = map.spawn(Cell(0.into()));
    for (fail, expected) in [(true, 0), (false, 1)] {
        let to = cell.clone();
        map.run_and_commit(move |turn| {
            turn.when(1)
                .fulfilled(move |turn, value| {
                    turn.call(&to, vec![value])?;
                    if fail { Err("no".into()) } else { Ok(()) }
                })
                .listen();
            Ok(())
        })
        .unwrap();
        assert_eq!(map.churn(), 1);
        assert_eq!(map.peek(&cell, vec![]), Ok(expected.into()));
    }
}

#[test]
fn a_resolver_can_be_called_and_settles_when_the_turn_ends_well() {
    let hand = Manual::new();
    let vat = Vat::new("vat", hand.clone());
    let made = vat.run(|turn| Ok(turn.spawn_promise()));
    hand.run_until_idle();
    let (vow, resolver) = made.wait().unwrap();
    let symbol = |verb: &'static str| Value::symbol(verb);

    let held = resolver.clone();
    let failed = vat.run(move |turn| -> Result<(), Fault> {
        turn.call(&held, vec![symbol("fulfill"), 1.into()])?;
        Err("no".into())
    });
    let held = resolver.clone();
    let misused = vat.run(move |turn| {
        assert!(turn.call(&held, vec![symbol("dance"), 1.into()]).is_err());
        assert!(turn.call(&held, vec![]).is_err());
        Ok(())
    });
    hand.run_until_idle();
    assert!(failed.wait().is_err() && misused.wait().is_ok());
    assert!(vow.is_promise());
    let (held, seen) = (resolver.clone(), vow.clone());
    let done = vat.run(move |turn| {
        turn.call(&held, vec![symbol("fulfill"), 2.into()])?;
        Ok(seen.is_promise())
    });
    hand.run_until_idle();
    assert_eq!(done.wait(), Ok(true));
    assert_eq!(vow.outcome(), Some(Ok(2.into())));
    let again = vat.run(move |turn| turn.call(&resolver, vec![symbol("fulfill"), 3.into()]));
    hand.run_until_idle();
    assert_eq!(again.wait(), Err("the promise has been resolved already".into()));
}

#[test]
fn a_promise_becomes_what_it_resolves_to() {
    let map = Actormap::new();
    let cell = map.spawn(Cell(1.into()));
    let (first, resolver) = promise();
    let (second, last) = promise();
    assert!(map.poke(&first, vec![]).is_err());
    assert!(!map.is_near(&first));
    resolver.fulfill(&second);
    last.fulfill(&cell);
    for vow in [&first, &second] {
        assert!(map.is_near(vow) && !vow.is_promise());
        assert_eq!(map.poke(vow, vec![]), Ok(1.into()));
    }
    let near = map.run(|turn| Ok((turn.is_near(&first), turn.is_far(&first))));
    assert_eq!(near, Ok((true, false)));
}

#[test]
fn what_is_near_far_local_live() {
    let hand = Manual::new();
    let vat = Vat::new("vat", hand.clone());
    let far = vat.spawn(Cell(1.into()));
    let map = Actormap::new();
    let near = map.spawn(Cell(1.into()));
    let (open, _resolver) = promise();
    let seen = map.run(|turn| {
        Ok([&near, &far, &*open].map(|to| (turn.is_near(to), turn.is_far(to), to.is_local())))
    });
    let expected = [(true, false, true), (false, true, true), (false, false, true)];
    assert_eq!(seen, Ok(expected));
    assert!(is_live(&Value::from(&near)) && !is_sturdy(&Value::from(&near)));
    assert!(!is_live(&1.into()));
}

/// Says which version of the program it is.
struct Version(i64);

impl Behaviour for Version {
    fn receive(&self, _turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
        Ok(self.0.into())
    }
}

#[test]
fn an_actor_of_a_running_vat_is_given_another_behaviour() {
    let hand = Manual::new();
    let vat = Vat::new("vat", hand.clone());
    let actor = vat.spawn(Version(1));
    let before = actor.send(vec![]);
    let replaced = vat.replace_behaviour(&actor, Version(2));
    let after = actor.send(vec![]);
    let elsewhere = Vat::new("other", hand.clone()).replace_behaviour(&actor, Version(3));
    hand.run_until_idle();
    assert!(replaced.wait().is_ok() && elsewhere.wait().is_err());
    assert_eq!((before.wait(), after.wait()), (Ok(1.into()), Ok(2.into())));
}
