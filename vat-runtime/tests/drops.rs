//! Actors go when their last reference goes, and all of them when the vat stops.

mod recorder;

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use captp::{AnswerPos, ImportPos, RemotePos};

use recorder::Recorder;
use vat_runtime::{
    Args, Behaviour, Fault, Link, Manual, ReadyVat, Ref, Reply, Resolver, Scheduler, Turn, Vat,
    promise,
};

/// Counts how many behaviours were dropped; holds another actor.
struct Held(Arc<AtomicUsize>, #[expect(dead_code, reason = "held, not used")] Option<Ref>);

impl Behaviour for Held {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        Ok(Reply::value(args))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn an_actor_goes_with_its_last_reference_and_takes_what_only_it_held() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let drops = Arc::new(AtomicUsize::new(0));
    let inner = vat.spawn(Held(drops.clone(), None));
    let outer = vat.spawn(Held(drops.clone(), Some(inner.clone())));
    let second = outer.clone();
    hand.run_until_idle();
    assert_eq!(vat.actor_count(), 2);
    drop((outer, inner));
    assert_eq!(hand.run_until_idle(), 0, "references to both are left");
    drop(second);
    assert_eq!(hand.run_until_idle(), 1);
    assert_eq!((vat.actor_count(), drops.load(Ordering::Relaxed)), (0, 2));
}

#[test]
fn messages_keep_their_target() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let recorder = Recorder::default();
    let answer = vat.spawn(recorder.clone()).send(vec![1.into()]);
    hand.run_until_idle();
    assert_eq!(answer.wait(), Ok(1.into()));
    assert_eq!(vat.actor_count(), 0);
}

#[test]
fn a_handler_keeps_its_actor_until_it_has_run() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let (open, resolver) = promise();
    let actor = vat.spawn(move |turn: &mut Turn<'_>, _args: Args| {
        turn.on(&open, |_turn, _outcome| ());
        Ok(().into())
    });
    actor.send_only(vec![]);
    drop(actor);
    hand.run_until_idle();
    assert_eq!(vat.actor_count(), 1);
    resolver.fulfill(());
    hand.run_until_idle();
    assert_eq!(vat.actor_count(), 0);
}

#[test]
fn slots_are_used_again() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let drops = Arc::new(AtomicUsize::new(0));
    for round in 1..=10 {
        let (count, turn_drops) = (round * 100, drops.clone());
        drop(vat.run(move |turn| {
            (0..100).for_each(|_| drop(turn.spawn(Held(turn_drops.clone(), None))));
            Ok(())
        }));
        hand.run_until_idle();
        assert_eq!((vat.actor_count(), drops.load(Ordering::Relaxed)), (0, count));
    }
}

#[test]
fn stopping_drops_every_actor_and_breaks_every_message() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let drops = Arc::new(AtomicUsize::new(0));
    let actor = vat.spawn(Held(drops.clone(), None));
    let cycle = vat.spawn(Held(drops.clone(), Some(actor.clone())));
    hand.run_until_idle();
    let waiting = actor.send(vec![]);
    let turn = vat.run(|_turn| Ok(()));
    vat.stop();
    assert!(vat.is_stopped());
    assert_eq!((vat.actor_count(), drops.load(Ordering::Relaxed)), (0, 2));
    let late = cycle.send(vec![]);
    let late_turn = vat.run(|_turn| Ok(()));
    for fault in [
        waiting.wait().unwrap_err(),
        late.wait().unwrap_err(),
        turn.wait().unwrap_err(),
        late_turn.wait().unwrap_err(),
    ] {
        assert_eq!(fault.to_string(), "the vat has stopped");
    }
    hand.run_until_idle();
    drop((actor, cycle));
    assert_eq!(hand.run_until_idle(), 0);
}

#[test]
fn the_last_handle_stops_the_vat_even_from_within_a_turn() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let drops = Arc::new(AtomicUsize::new(0));
    let actor = vat.spawn(Held(drops.clone(), None));
    let inside = vat.clone();
    let turn = vat.run(move |turn| {
        drop(inside);
        Ok(turn.vat_name().to_owned())
    });
    drop(vat);
    hand.run_until_idle();
    assert_eq!(turn.wait(), Ok("test".to_owned()), "the turn it is in still ends well");
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    assert!(actor.send(vec![]).wait().is_err());
}

#[test]
fn a_vat_that_its_scheduler_drops_stops() {
    struct Careless;
    impl Scheduler for Careless {
        fn ready(&self, vat: ReadyVat) {
            drop(vat);
        }
    }
    let vat = Vat::new("test", Arc::new(Careless));
    let actor = vat.spawn(Recorder::default());
    assert!(vat.is_stopped());
    assert!(actor.send(vec![]).wait().is_err());
}

#[test]
fn a_handler_of_a_stopped_vat_breaks_its_promise() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let (open, resolver) = promise();
    let turn = vat.run(move |turn| Ok(turn.on_promise(open, |_turn, outcome| outcome)));
    hand.run_until_idle();
    let result = turn.wait().unwrap();
    vat.stop();
    resolver.fulfill(1);
    assert_eq!(result.wait(), Err("the vat has stopped".into()));
}

#[test]
fn a_vat_stopped_within_a_turn_breaks_what_waits_behind_it() {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    let actor = vat.spawn(Recorder::default());
    let inside = vat.clone();
    let stopping = vat.run(move |_turn| {
        inside.stop();
        Ok(())
    });
    let behind = actor.send(vec![]);
    hand.run_until_idle();
    assert_eq!(stopping.wait(), Ok(()));
    assert_eq!(behind.outcome(), Some(Err("the vat has stopped".into())));
    assert_eq!(vat.actor_count(), 0);
}

/// A peer that answers when told, and counts the positions that are not released.
#[derive(Default)]
struct Counting {
    questions: Mutex<Vec<Resolver>>,
    held: AtomicI64,
}

impl Link for Counting {
    fn key(&self) -> u64 {
        1
    }

    fn deliver(&self, _: RemotePos, _: Args, answer: Option<Resolver>) -> Option<AnswerPos> {
        self.questions.lock().unwrap().push(answer?);
        self.held.fetch_add(1, Ordering::Relaxed);
        Some(AnswerPos(0))
    }

    fn listen(&self, _: RemotePos, _: Resolver) {}

    fn release(&self, _: RemotePos, _: u32) {
        self.held.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Each round trip pipelines to the answer of the one before, all of them hold on to
/// each other while they are open, and the promises are dropped before or after they
/// are answered.
#[test]
fn a_million_pipelined_calls_leave_nothing() {
    let link = Arc::new(Counting::default());
    let object = Ref::remote_object(link.clone(), ImportPos(1), 0);
    link.held.fetch_add(1, Ordering::Relaxed);
    let mut kept = Vec::new();
    let many = if cfg!(miri) { 30 } else { 1_000_i64 };
    for round in 0..many {
        let mut last = object.clone();
        for step in 0..many {
            let next = last.send(vec![]);
            if (step + round) % 7 == 0 {
                last.send_only(vec![]);
                kept.push(last);
            }
            last = next.into_ref();
        }
        drop(last);
        let questions = std::mem::take(&mut *link.questions.lock().unwrap());
        for (number, resolver) in questions.into_iter().enumerate() {
            match number % 3 {
                0 => resolver.fulfill(5),
                1 => resolver.fulfill(&object),
                _ => resolver.fulfill(kept.first().unwrap_or(&object)),
            }
        }
        kept.clear();
        assert_eq!(link.held.load(Ordering::Relaxed), 1, "round {round}");
    }
    let all = Arc::strong_count(&link);
    assert_eq!(all, 2, "ours and the object's");
    drop(object);
    assert_eq!(link.held.load(Ordering::Relaxed), 0);
}
