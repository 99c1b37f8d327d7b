//! Worlds without a vat: what is tried leaves nothing, what is committed stays, nothing
//! is sent by itself, and a world can go back.

mod manual;
mod recorder;

use std::sync::{Arc, Mutex};

use manual::{Cell, NoisyIncrementer};
use recorder::Recorder;
use vat_runtime::{
    Actormap, Args, Behaviour, Fault, Limits, Manual, Ref, Reply, Turn, Value, Vat, WeakRef,
    promise,
};

fn read(map: &Actormap, cell: &Ref) -> Value {
    map.peek(cell, vec![]).unwrap()
}

#[test]
fn what_is_tried_leaves_nothing() {
    let map = Actormap::new();
    let cell = map.spawn(Cell(1.into()));
    assert_eq!(map.peek(&cell, vec![2.into()]), Ok(Value::Undefined));
    assert_eq!(read(&map, &cell), 1.into());
    let (inside, answer) = map
        .run(|turn| {
            turn.call(&cell, vec![2.into()])?;
            let ghost = turn.spawn(Cell(3.into()));
            let answer = turn.send(&ghost, vec![]);
            Ok((turn.call(&cell, vec![])?, answer))
        })
        .unwrap();
    assert_eq!(inside, 2.into());
    assert_eq!(read(&map, &cell), 1.into());
    assert_eq!(map.len(), 1);
    assert_eq!(answer.wait(), Err("the turn was only tried".into()));
    assert!(map.take_mail().is_empty());
}

#[test]
fn a_turn_that_fails_leaves_nothing_in_either_kind_of_map() {
    let base = Actormap::new();
    let cell = base.spawn(Cell(1.into()));
    for map in [base.clone(), base.branch().into()] {
        let mut ghost = None;
        let failed = map.run_and_commit(|turn| -> Result<(), Fault> {
            turn.call(&cell, vec![2.into()])?;
            turn.send_only(&cell, vec![3.into()]);
            ghost = Some(turn.spawn(Cell(4.into())));
            Err("no".into())
        });
        assert_eq!(failed, Err("no".into()));
        assert_eq!(read(&map, &cell), 1.into());
        assert!(map.take_mail().is_empty());
        let ghost = ghost.unwrap();
        assert_eq!(map.peek(&ghost, vec![]), Err("the actor does not exist".into()));
        assert_eq!(map.len(), 1);
    }
}

#[test]
fn a_panic_fails_the_turn_and_the_map_goes_on() {
    let map = Actormap::new();
    let cell = map.spawn(Cell(1.into()));
    let held = cell.clone();
    let faulty = map.spawn(move |turn: &mut Turn<'_>, _args: Args| -> Result<Reply, Fault> {
        turn.call(&held, vec![2.into()])?;
        panic!("told to")
    });
    assert_eq!(map.poke(&faulty, vec![]), Err("the object failed".into()));
    assert_eq!(read(&map, &cell), 1.into());
}

#[test]
fn the_actors_of_two_worlds_are_not_near() {
    let (one, other) = (Actormap::new(), Actormap::new());
    let here = one.spawn(Cell(1.into()));
    let there = other.spawn(Cell(2.into()));
    assert!(one.is_near(&here) && !one.is_near(&there));
    assert!(one.peek(&there, vec![]).is_err());
    let called = one.run(|turn| {
        assert!(turn.is_near(&here) && !turn.is_near(&there));
        turn.call(&there, vec![])
    });
    assert_eq!(called, Err("cannot call what is not near: send to it".into()));
}

#[test]
fn nothing_is_sent_before_the_caller_sends_it() {
    let hand = Manual::new();
    let vat = Vat::new("vat", hand.clone());
    let recorder = Recorder::default();
    let far = vat.spawn(recorder.clone());
    let map = Actormap::new();
    let near = map.spawn(recorder.clone());
    let (settled, resolver) = promise();
    let resolver = Mutex::new(Some(resolver));
    let (to_near, to_far) = (near.clone(), far.clone());
    let teller = map.spawn(move |turn: &mut Turn<'_>, args: Args| {
        turn.send_only(&to_near, vec!["near".into()]);
        turn.send_only(&to_far, vec!["far".into()]);
        if let Some(resolver) = resolver.lock().unwrap().take() {
            turn.resolve(resolver, Ok(1.into()));
        }
        Ok(Reply::value(args.len() as u64))
    });
    let turned = map.turn(&teller, vec![Value::Null]).unwrap();
    hand.run_until_idle();
    assert_eq!(turned.value, 1.into());
    assert!(settled.is_promise());
    assert!(recorder.heard().is_empty());
    let targets: Vec<_> = turned.to_near.iter().map(|mail| mail.target().cloned()).collect();
    assert_eq!(targets, [Some(near.clone()), None]);
    assert_eq!(turned.to_far.len(), 1);
    assert_eq!(turned.to_far[0].args(), Some(&["far".into()][..]));
    assert!(!turned.to_far[0].wants_answer());

    for mail in turned.to_far {
        assert!(!map.dispatch(mail));
    }
    hand.run_until_idle();
    assert_eq!(recorder.heard(), ["far".into()]);
    let ran: Vec<_> = turned.to_near.into_iter().map(|mail| map.dispatch(mail)).collect();
    assert_eq!(ran, [true, false]);
    assert_eq!(recorder.heard(), ["far".into(), "near".into()]);
    assert_eq!(settled.wait(), Ok(1.into()));
}

#[test]
fn dropped_mail_breaks_its_promises() {
    let map = Actormap::new();
    let recorder = Recorder::default();
    let to = map.spawn(recorder.clone());
    let answer = map.run_and_commit(|turn| Ok(turn.send(&to, vec![1.into()]))).unwrap();
    let mail = map.take_mail();
    assert!(mail[0].wants_answer());
    drop(mail);
    assert_eq!(map.churn(), 0);
    assert_eq!(answer.wait(), Err("the message was not sent".into()));
    assert!(recorder.heard().is_empty());
}

#[test]
fn no_turn_is_committed_while_too_much_mail_waits() {
    let map = Actormap::with_limits("full", Limits::default().queue(3));
    let cell = map.spawn(Cell(0.into()));
    let held = cell.clone();
    let teller = map.spawn(move |turn: &mut Turn<'_>, _: Args| {
        turn.send_only(&held, vec![1.into()]);
        Ok(Reply::value(()))
    });
    for _ in 0..3 {
        map.poke(&teller, vec![]).unwrap();
    }
    let full = Err("too much mail waits in the actormap".into());
    assert_eq!(map.poke(&teller, vec![]), full);
    assert_eq!(map.churn(), 3);
    assert!(map.poke(&teller, vec![]).is_ok());
}

/// Two messages for each that is dispatched can't go on for ever.
#[test]
fn a_flood_within_a_map_breaks_at_ten_times_the_limit() {
    let map = Actormap::with_limits("full", Limits::default().queue(3));
    let heard = Recorder::default();
    let log = map.spawn(heard.clone());
    let flood = map.spawn(move |turn: &mut Turn<'_>, _: Args| {
        turn.send_only(&turn.me(), vec![]);
        turn.send_only(&turn.me(), vec![]);
        turn.send_only(&log, vec![1.into()]);
        Ok(Reply::value(()))
    });
    map.poke(&flood, vec![]).unwrap();
    for _ in 0..1000 {
        assert!(map.step());
    }
    assert!(!heard.heard().is_empty());
    assert!((30..=33).contains(&map.take_mail().len()));
}

#[test]
fn churning_runs_messages_and_handlers_until_nothing_waits() {
    let map = Actormap::new();
    let cell = map.spawn(Cell(1.into()));
    let log = map.spawn(Cell(Value::Null));
    let (held, told) = (cell.clone(), log.clone());
    let answer = map
        .run_and_commit(move |turn| {
            turn.send_only(&held, vec![5.into()]);
            let now = turn.send(&held, vec![]);
            Ok(turn.on_promise(now, move |turn, outcome| {
                turn.call(&told, vec![outcome?])?;
                Ok("told".into())
            }))
        })
        .unwrap();
    assert_eq!(map.churn(), 3);
    assert_eq!(answer.outcome(), Some(Ok("told".into())));
    assert_eq!(read(&map, &log), 5.into());
    assert_eq!(map.churn(), 0);
    // What comes from outside waits as well.
    let answer = cell.send(vec![]);
    assert!(answer.is_promise());
    assert_eq!(map.churn(), 1);
    assert_eq!(answer.outcome(), Some(Ok(5.into())));
}

#[test]
fn an_actor_goes_with_its_last_reference() {
    let map = Actormap::new();
    let inner = map.spawn(Cell(1.into()));
    let outer = map.spawn(Cell((&inner).into()));
    drop(inner);
    assert_eq!(map.len(), 2);
    map.poke(&outer, vec![Value::Null]).unwrap();
    assert_eq!(map.len(), 1);
    drop(outer);
    assert!(map.is_empty());
}

#[test]
fn the_last_handle_breaks_what_waits() {
    let map = Actormap::new();
    let cell = map.spawn(Cell(1.into()));
    let waiting = cell.send(vec![]);
    drop(map);
    assert!(waiting.wait().is_err());
    assert!(cell.send(vec![]).wait().is_err());
}

#[test]
fn a_world_goes_back_and_on() {
    let map = Actormap::new();
    let cell = map.spawn(Cell(0.into()));
    let mut past = vec![];
    for number in 1..=3 {
        past.push(map.snapshot().unwrap());
        map.poke(&cell, vec![number.into()]).unwrap();
    }
    let now = map.snapshot().unwrap();
    for (number, snapshot) in past.iter().enumerate() {
        map.restore(snapshot).unwrap();
        assert_eq!(read(&map, &cell), Value::from(number as u64));
        // Another future.
        map.poke(&cell, vec!["else".into()]).unwrap();
    }
    map.restore(&now).unwrap();
    assert_eq!(read(&map, &cell), 3.into());
    assert!(Actormap::new().restore(&now).is_err(), "that is another world");
}

#[test]
fn a_fork_is_thrown_away_without_a_trace() {
    let map = Actormap::new();
    let cells: Vec<_> = (0..200).map(|number| map.spawn(Cell(number.into()))).collect();
    let fork = map.fork().unwrap();
    let mut born = None;
    for cell in &cells {
        fork.poke(cell, vec!["forked".into()]).unwrap();
        born = Some(fork.spawn(Cell(1.into())));
    }
    let born = born.unwrap();
    assert_eq!(read(&fork, &born), 1.into());
    assert_eq!(read(&map, &cells[7]), 7.into());
    assert_eq!(map.peek(&born, vec![]), Err("the actor does not exist".into()));
    map.poke(&cells[8], vec!["mapped".into()]).unwrap();
    assert_eq!(read(&fork, &cells[8]), "forked".into());
    drop(fork);
    assert_eq!(read(&map, &cells[9]), 9.into());
    assert_eq!(map.len(), 200);
}

/// What a snapshot remembers of an actor must not become what stands behind another one
/// that has taken its place since: that would be somebody else's authority.
#[test]
fn a_snapshot_gives_nobody_the_behaviour_of_a_dead_actor() {
    let map = Actormap::new();
    let secret = map.spawn(Cell("secret".into()));
    let before = map.snapshot().unwrap();
    let fork = map.fork().unwrap();
    drop(secret);
    assert!(map.is_empty());
    // In the place that has become free.
    let stranger = map.spawn(Cell("stranger".into()));
    assert_eq!(fork.peek(&stranger, vec![]), Err("the actor does not exist".into()));
    assert!(fork.is_empty(), "the fork has heard of the end too");
    map.restore(&before).unwrap();
    assert_eq!(map.peek(&stranger, vec![]), Err("the actor does not exist".into()));
    assert!(map.is_empty());
    assert!(before.to_actormap().is_empty());
}

/// For a fork that nobody uses a list of 65,536 dead is kept; past that it looks for
/// them itself.
#[test]
#[cfg_attr(miri, ignore = "as many turns as it takes to cross the limit: half an hour")]
fn a_fork_that_was_left_alone_finds_its_dead() {
    let map = Actormap::new();
    let living = map.spawn(Cell(1.into()));
    let dying: Vec<_> = (0..100).map(|number| map.spawn(Cell(number.into()))).collect();
    let fork = map.fork().unwrap();
    for _ in 0..70 {
        map.run_and_commit(|turn| {
            for _ in 0..1000 {
                drop(turn.spawn(Cell(Value::Null)));
            }
            Ok(())
        })
        .unwrap();
    }
    drop(dying);
    assert_eq!((map.len(), fork.len()), (1, 1));
    assert_eq!(read(&fork, &living), 1.into());
    let newcomer = fork.spawn(Cell(2.into()));
    assert_eq!((read(&fork, &newcomer), fork.len(), map.len()), (2.into(), 2, 1));
}

#[test]
fn threads_use_a_map_one_after_the_other() {
    let map = Actormap::new();
    let count = map.spawn(NoisyIncrementer(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..500).for_each(|_| drop(map.poke(&count, vec![]).unwrap())));
        }
    });
    assert_eq!(map.poke(&count, vec![]), Ok("My new count is: 2001".into()));
}

#[test]
fn a_snapshot_keeps_what_its_actors_hold() {
    let map = Actormap::new();
    let inner = map.spawn(Cell(1.into()));
    let weak: WeakRef = inner.downgrade();
    let outer = map.spawn(Cell((&inner).into()));
    drop(inner);
    let before = map.snapshot().unwrap();
    map.poke(&outer, vec![Value::Null]).unwrap();
    assert_eq!(map.len(), 2, "the snapshot holds it");
    map.restore(&before).unwrap();
    let inner = weak.upgrade().unwrap();
    assert_eq!(read(&map, &inner), 1.into());
    map.poke(&outer, vec![Value::Null]).unwrap();
    drop((inner, before));
    assert!(weak.upgrade().is_none());
    assert_eq!(map.len(), 1);
}

#[test]
fn a_reckless_poke_leaves_what_was_done_before_the_fault() {
    let map = Actormap::new();
    let cell = map.spawn(Cell(1.into()));
    let held = cell.clone();
    let faulty = map.spawn(move |turn: &mut Turn<'_>, _args: Args| -> Result<Reply, Fault> {
        turn.call(&held, vec![2.into()])?;
        turn.send_only(&held, vec![3.into()]);
        Err("no".into())
    });
    assert!(map.poke(&faulty, vec![]).is_err());
    assert_eq!(read(&map, &cell), 1.into());
    assert_eq!(map.reckless_poke(&faulty, vec![]), Err("no".into()));
    assert_eq!(read(&map, &cell), 2.into());
    assert!(map.take_mail().is_empty());
    assert!(map.branch().reckless_poke(&cell, vec![]).is_err());
    // Prudent again.
    map.poke(&cell, vec![1.into()]).unwrap();
    assert!(map.poke(&faulty, vec![]).is_err());
    assert_eq!(read(&map, &cell), 1.into());
}

/// Uses the map that it is in from within its turn.
struct Meddler(Arc<Mutex<Option<Actormap>>>, Ref);

impl Behaviour for Meddler {
    fn receive(&self, _turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
        let map = self.0.lock().unwrap().clone().ok_or("no map")?;
        assert!(map.snapshot().is_err());
        assert!(map.spawn(Cell(1.into())).wait().is_err());
        map.poke(&self.1, vec![]).map(Reply::from)
    }
}

#[test]
fn a_turn_cannot_use_the_map_it_is_in() {
    let map = Actormap::new();
    let cell = map.spawn(Cell(1.into()));
    let slot = Arc::new(Mutex::new(None));
    let meddler = map.spawn(Meddler(slot.clone(), cell));
    *slot.lock().unwrap() = Some(map.clone());
    assert_eq!(map.poke(&meddler, vec![]), Err("the actormap is in the middle of a turn".into()));
    assert_eq!(map.len(), 2);
    slot.lock().unwrap().take();
}

#[test]
fn calls_nest_up_to_the_limit() {
    let map = Actormap::with_limits("shallow", Limits::default().call_depth(3));
    let deep = map.spawn(|turn: &mut Turn<'_>, args: Args| {
        let left = args.first().and_then(Value::as_int).ok_or("how deep?")?;
        if left > 1 {
            turn.call(&turn.me(), vec![(left - 1).into()])?;
        }
        Ok(().into())
    });
    assert!(map.poke(&deep, vec![3.into()]).is_ok());
    assert_eq!(map.poke(&deep, vec![4.into()]), Err("calls are nested too deep".into()));
}

#[test]
fn a_behaviour_is_looked_at_and_replaced_from_outside() {
    let map = Actormap::new();
    let actor = map.spawn(Cell(1.into()));
    assert!(map.behaviour(&actor).unwrap().name().ends_with("Cell"));
    map.replace_behaviour(&actor, NoisyIncrementer(1)).unwrap();
    assert_eq!(map.poke(&actor, vec![]), Ok("My new count is: 2".into()));
    assert!(Actormap::new().replace_behaviour(&actor, Cell(1.into())).is_err());
}

#[test]
fn a_vats_world_can_be_tried_out() {
    let hand = Manual::new();
    let vat = Vat::new("vat", hand.clone());
    let cell = vat.spawn(Cell(1.into()));
    let snapshot = vat.snapshot();
    hand.run_until_idle();
    let what_if = snapshot.wait().unwrap().to_actormap();
    what_if.poke(&cell, vec![2.into()]).unwrap();
    assert_eq!(read(&what_if, &cell), 2.into());
    let real = cell.send(vec![]);
    hand.run_until_idle();
    assert_eq!(real.wait(), Ok(1.into()));
    // The vat sweeps for both.
    drop(cell);
    hand.run_until_idle();
    assert_eq!(vat.actor_count(), 0);
    assert!(what_if.is_empty());
}
