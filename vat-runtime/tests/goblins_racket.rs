//! The programs of Racket Goblins' manual, written anew: the same results. Each names the
//! section that it is after.

mod manual;
mod recorder;

use manual::{Cell, Greeter, NoisyIncrementer};
use recorder::Recorder;
use vat_runtime::{
    Actormap, Args, Behaviour, Fault, Manual, Ref, Reply, Turn, Value, Vat, is_live, promise,
};

/// 3.1.2, Constructors and bcom.
#[test]
fn the_noisy_incrementer_counts() {
    let am = Actormap::new();
    let incr1 = am.spawn(NoisyIncrementer(0));
    assert_eq!(am.poke(&incr1, vec![]), Ok("My new count is: 1".into()));
    assert_eq!(am.poke(&incr1, vec![20.into()]), Ok("My new count is: 21".into()));
    let incr2 = am.spawn(NoisyIncrementer(18));
    assert_eq!(am.poke(&incr2, vec![42.into()]), Ok("My new count is: 60".into()));
}

/// 3.4.1, Actormap methods: each of them.
#[test]
fn the_methods_of_actormaps() {
    let am = Actormap::new();
    let cell = am.spawn(Cell(1.into()));
    // actormap-spawn: the actor is only in the new map.
    let (later, new_am) = am.spawn_apart(Cell(2.into())).unwrap();
    assert!(am.peek(&later, vec![]).is_err());
    assert_eq!(new_am.peek(&later, vec![]), Ok(2.into()));
    // actormap-turn
    let turned = am.turn(&cell, vec![5.into()]).unwrap();
    assert_eq!(turned.value, Value::Undefined);
    assert!(turned.to_near.is_empty() && turned.to_far.is_empty());
    assert_eq!(am.peek(&cell, vec![]), Ok(1.into()));
    assert_eq!(turned.map.peek(&cell, vec![]), Ok(5.into()));
    // actormap-peek leaves no mark, actormap-poke! does.
    am.peek(&cell, vec![6.into()]).unwrap();
    assert_eq!(am.peek(&cell, vec![]), Ok(1.into()));
    am.poke(&cell, vec![7.into()]).unwrap();
    assert_eq!(am.peek(&cell, vec![]), Ok(7.into()));
    // actormap-run and actormap-run!
    let double = |turn: &mut Turn<'_>| {
        let value = turn.call(&cell, vec![])?.as_int().unwrap_or_default() * 2;
        turn.call(&cell, vec![value.into()])?;
        turn.call(&cell, vec![])
    };
    assert_eq!(am.run(double), Ok(14.into()));
    assert_eq!(am.run(double), Ok(14.into()));
    assert_eq!(am.run_and_commit(double), Ok(14.into()));
    assert_eq!(am.run_and_commit(double), Ok(28.into()));
    // actormap-reckless-poke!
    am.reckless_poke(&cell, vec![3.into()]).unwrap();
    assert_eq!(am.peek(&cell, vec![]), Ok(3.into()));
}

/// 3.4.3, transactormap.
#[test]
fn a_transactormap_is_merged_once() {
    let am = Actormap::new();
    let cell = am.spawn(Cell(1.into()));
    let first = am.turn(&cell, vec![2.into()]).unwrap().map;
    let second = first.turn(&cell, vec![3.into()]).unwrap().map;
    assert!(!second.is_merged() && !second.is_whactormap());
    assert_eq!(second.parent().peek(&cell, vec![]), Ok(2.into()));
    assert_eq!(second.delta().len(), 1);
    // Merging goes down to the whactormap.
    second.merge().unwrap();
    assert!(second.is_merged() && first.is_merged());
    assert_eq!(am.peek(&cell, vec![]), Ok(3.into()));
}

/// 3.4.4 and 2.4.2, Time travel: snapshotting and restoring.
#[test]
fn time_travel() {
    let am = Actormap::new();
    let cell = am.spawn(Cell("past".into()));
    let past = am.snapshot().unwrap();
    am.poke(&cell, vec!["present".into()]).unwrap();
    let am2 = past.to_actormap();
    assert_eq!(am.peek(&cell, vec![]), Ok("present".into()));
    assert_eq!(am2.peek(&cell, vec![]), Ok("past".into()));
    // The past has a future of its own.
    am2.poke(&cell, vec!["other future".into()]).unwrap();
    assert_eq!(am.peek(&cell, vec![]), Ok("present".into()));
}

/// 3.4.6, Vat connectors: what is in no vat is near only within its own map.
#[test]
fn actors_of_two_actormaps_do_not_appear_in_each_other() {
    let (am, other) = (Actormap::new(), Actormap::new());
    let alice = am.spawn(Greeter("Alice"));
    let held = alice.clone();
    let caller =
        other.spawn(move |turn: &mut Turn<'_>, args: Args| turn.call(&held, args).map(Reply::from));
    assert!(other.poke(&caller, vec!["Bob".into()]).is_err());
    assert_eq!(am.poke(&alice, vec!["Bob".into()]), Ok("Hello Bob, my name is Alice!".into()));
}

/// 2.2, Vats, actors, spawning, and immediate calls: a greeter that counts.
struct CountingGreeter {
    name: &'static str,
    called: i64,
}

impl Behaviour for CountingGreeter {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let whom = args.first().and_then(Value::as_str).ok_or("whom?")?;
        let called = self.called + 1;
        let text = format!("[{called}] Hello {whom}, my name is {}!", self.name);
        Ok(Reply::become_with(Self { name: self.name, called }, text))
    }
}

/// A vat to enter, and its scheduler.
fn vat() -> (std::sync::Arc<Manual>, Vat) {
    let hand = Manual::new();
    let vat = Vat::new("a-vat", hand.clone());
    (hand, vat)
}

#[test]
fn a_greeter_counts_how_often_it_was_called() {
    let (hand, vat) = vat();
    let greeted = vat.run(|turn| {
        let julius = turn.spawn(CountingGreeter { name: "Julius", called: 0 });
        let first = turn.call(&julius, vec!["Gaius".into()])?;
        Ok((first, turn.call(&julius, vec!["Brutus".into()])?))
    });
    hand.run_until_idle();
    let expected = ("[1] Hello Gaius, my name is Julius!", "[2] Hello Brutus, my name is Julius!");
    assert_eq!(greeted.wait(), Ok((expected.0.into(), expected.1.into())));
}

/// 2.3.1, The basics: an actor of another vat is sent to, not called.
#[test]
fn an_actor_of_another_vat_answers_a_promise() {
    let (hand, a_vat) = vat();
    let b_vat = Vat::new("b-vat", hand.clone());
    let alice = a_vat.spawn(Greeter("Alice"));
    let heard = Recorder::default();
    let log = b_vat.spawn(heard.clone());
    let far = alice.clone();
    let called = b_vat.run(move |turn| turn.call(&far, vec!["Bob".into()]));
    drop(b_vat.run(move |turn| {
        let vow = turn.send(&alice, vec!["Bob".into()]);
        turn.when(vow)
            .fulfilled(move |turn, value| {
                turn.call(
                    &log,
                    vec![format!("Heard back: {}", value.as_str().unwrap_or("?")).into()],
                )
            })
            .listen();
        Ok(())
    }));
    hand.run_until_idle();
    assert!(called.wait().is_err());
    assert_eq!(heard.heard(), ["Heard back: Hello Bob, my name is Alice!".into()]);
}

/// 2.3.2, Making and resolving our own promises.
#[test]
fn a_promise_of_our_own_is_resolved_by_its_resolver() {
    for (verb, expected) in [("fulfill", "Got: how nice"), ("break", "Uh oh: how nice")] {
        let (hand, vat) = vat();
        let heard = Recorder::default();
        let log = vat.spawn(heard.clone());
        let pair = vat.run(move |turn| {
            let (vow, resolver) = turn.spawn_promise();
            let (good, bad) = (log.clone(), log);
            let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
            turn.when(vow)
                .fulfilled(move |turn, value| {
                    turn.call(&good, vec![format!("Got: {}", text(&value)).into()])
                })
                .broken(move |turn, fault| turn.call(&bad, vec![format!("Uh oh: {fault}").into()]))
                .listen();
            Ok(resolver)
        });
        hand.run_until_idle();
        assert!(heard.heard().is_empty());
        // The resolver is a capability like any other.
        pair.wait().unwrap().send_only(vec![Value::symbol(verb), "how nice".into()]);
        hand.run_until_idle();
        assert_eq!(heard.heard(), [expected.into()]);
    }
}

/// 2.3.3 to 2.3.6: finally; no handler; what is no promise; a promise of the handler.
#[test]
fn on_in_all_its_forms() {
    let am = Actormap::new();
    let heard = Recorder::default();
    let log = am.spawn(heard.clone());
    let vow = am
        .run_and_commit(|turn| {
            let say = |what: &'static str| {
                let log = log.clone();
                move |turn: &mut Turn<'_>| turn.call(&log, vec![what.into()])
            };
            let (broken, resolver) = turn.promise();
            turn.resolve(resolver, Err("oh no".into()));
            turn.when(broken).finally(say("finally")).listen();
            // On-fulfilled is optional, and 7 is no promise.
            let seven = turn.when(7).promise();
            Ok(turn
                .when(seven)
                .fulfilled(|_turn, seven| Ok(seven.as_int().map_or(0, |n| n * 2)))
                .promise())
        })
        .unwrap();
    am.churn();
    assert_eq!(heard.heard(), ["finally".into()]);
    assert_eq!(vow.outcome(), Some(Ok(14.into())));
}

/// Makes cars of a colour.
fn car_factory(turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
    let colour = args.first().and_then(Value::as_str).ok_or("what colour?")?.to_owned();
    let car = turn.spawn(move |_turn: &mut Turn<'_>, _args: Args| {
        Ok(Reply::value(format!("The {colour} car says: *vroom vroom*!")))
    });
    Ok(car.into())
}

/// 2.3.7, Promise pipelining: the car is driven before it is made.
#[test]
fn a_car_is_driven_before_it_is_made() {
    let (hand, a_vat) = vat();
    let b_vat = Vat::new("b-vat", hand.clone());
    let factory = a_vat.spawn(car_factory);
    let noise = b_vat.run(move |turn| {
        let car = turn.send(&factory, vec!["green".into()]);
        Ok(turn.send(&car, vec![]))
    });
    hand.run_until_idle();
    assert_eq!(
        noise.wait().unwrap().outcome(),
        Some(Ok("The green car says: *vroom vroom*!".into()))
    );
}

/// 2.3.8, Broken promise contagion: what is sent to a promise that breaks breaks too.
#[test]
fn a_car_that_explodes_is_not_driven() {
    let (hand, vat) = vat();
    let factory = vat.spawn(|_: &mut Turn<'_>, _: Args| -> Result<Reply, Fault> {
        Err("Your car exploded, before it was even finished".into())
    });
    let caught = vat.run(move |turn| {
        let car = turn.send(&factory, vec!["green".into()]);
        let noise = turn.send(&car, vec![]);
        Ok(turn.when(noise).broken(|_turn, fault| Ok(format!("Caught: {fault}"))).promise())
    });
    hand.run_until_idle();
    assert_eq!(
        caught.wait().unwrap().outcome(),
        Some(Ok("Caught: Your car exploded, before it was even finished".into()))
    );
}

/// 2.5.3, Behavior pivoting as a kind of state machine: a knight who becomes a corpse.
struct Knight(i64);

impl Behaviour for Knight {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let damage = args.first().and_then(Value::as_int).ok_or("how hard?")?;
        let left = self.0 - damage;
        if left > 0 {
            return Ok(Reply::become_with(Self(left), "Tis but a scratch"));
        }
        let dead = |_turn: &mut Turn<'_>, _args: Args| Ok(Reply::value("..."));
        Ok(Reply::become_with(dead, "All right, we'll call it a draw"))
    }
}

#[test]
fn a_knight_becomes_something_else() {
    let am = Actormap::new();
    let knight = am.spawn(Knight(10));
    let hit = |damage: i64| am.poke(&knight, vec![damage.into()]).unwrap();
    assert_eq!(hit(4), "Tis but a scratch".into());
    let wounded = am.snapshot().unwrap();
    assert_eq!(hit(6), "All right, we'll call it a draw".into());
    assert_eq!(hit(1), "...".into());
    // He was not dead then.
    assert_eq!(wounded.to_actormap().poke(&knight, vec![1.into()]), Ok("Tis but a scratch".into()));
}

/// 3.3, References, and 3.6: once resolved, a promise acts just like what it resolved to.
#[test]
fn references_tell_what_they_are() {
    let am = Actormap::new();
    let cell = am.spawn(Cell(1.into()));
    let (vow, resolver) = promise();
    assert!(vow.is_promise() && is_live(&Value::from(&vow)) && !am.is_near(&vow));
    resolver.fulfill(&cell);
    assert!(!vow.is_promise() && am.is_near(&vow));
    let to: Ref = vow.into();
    assert_eq!(am.peek(&to, vec![]), Ok(1.into()));
}
