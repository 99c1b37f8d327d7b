//! Async blocks in vats: each resumption is a turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use vat_runtime::{
    Answer, Args, Fault, Here, Ref, Reply, Turn, Value, Vat, interface, object, promise,
};

use crate::vat;

/// Notes what it is told, in order.
#[interface]
trait Log {
    fn note(&mut self, text: String);
    fn notes(&self) -> Vec<String>;
}

#[derive(Clone, Default)]
struct Notes(Vec<String>);

#[object]
impl Log for Notes {
    fn note(&mut self, text: String) {
        self.0.push(text);
    }

    fn notes(&self) -> Vec<String> {
        self.0.clone()
    }
}

fn noting(here: &Here, log: &LogRef, text: &str) -> vat_runtime::typed::InTurn<()> {
    let (log, text) = (log.clone(), text.to_owned());
    here.turn(move |turn| log.call(turn).note(text))
}

fn notes(hand: &vat_runtime::Manual, log: &LogRef) -> Vec<String> {
    hand.run_until_idle();
    let notes = log.notes();
    hand.run_until_idle();
    notes.wait().unwrap()
}

#[test]
fn goes_on_in_a_turn_of_its_own_whenever_it_has_waited() {
    let (hand, vat) = vat();
    let log = LogRef::spawn_in(&vat, Notes::default());
    let (promise, resolver) = promise();
    let inner = log.clone();
    let answer = vat.spawn_async(async move |here: Here| {
        noting(&here, &inner, "one").await?;
        noting(&here, &inner, "two").await?;
        let number = promise.await?.as_int().unwrap_or(0);
        noting(&here, &inner, "three").await?;
        Ok(number + 1)
    });
    assert_eq!(notes(&hand, &log), ["one", "two"]);
    assert_eq!(answer.outcome(), None);
    resolver.fulfill(41);
    assert_eq!(answer.outcome(), None, "it waits for its turn");
    assert_eq!(notes(&hand, &log), ["one", "two", "three"]);
    assert_eq!(answer.wait(), Ok(42));
}

#[test]
fn starts_after_the_turn_and_only_if_that_ends_well() {
    let (hand, vat) = vat();
    let log = LogRef::spawn_in(&vat, Notes::default());
    let (first, second) = (log.clone(), log.clone());
    drop(vat.run(move |turn| {
        let inner = first.clone();
        turn.spawn_async(async move |here| noting(&here, &inner, "block").await).ignore();
        first.call(turn).note("turn")
    }));
    let failed: vat_runtime::Settling<()> = vat.run(move |turn| {
        turn.spawn_async(async move |here| noting(&here, &second, "never").await).ignore();
        Err("failed".into())
    });
    assert_eq!(notes(&hand, &log), ["turn", "block"]);
    assert_eq!(failed.wait(), Err("failed".into()));
}

#[test]
fn the_promise_of_a_block_that_never_starts_breaks_with_the_fault_of_the_turn() {
    let (hand, vat) = vat();
    let (sender, receiver) = std::sync::mpsc::channel();
    let failed: vat_runtime::Settling<()> = vat.run(move |turn| {
        let _ = sender.send(turn.spawn_async(async move |_here| Ok(1_u8)));
        Err("failed".into())
    });
    hand.run_until_idle();
    assert_eq!(failed.wait(), Err("failed".into()));
    assert_eq!(receiver.recv().unwrap().wait(), Err("failed".into()));
}

#[test]
fn a_fault_undoes_the_step_it_is_in_and_no_other() {
    let (hand, vat) = vat();
    let log = LogRef::spawn_in(&vat, Notes::default());
    let (promise, resolver) = promise();
    let inner = log.clone();
    let answer: Answer<()> = vat.spawn_async(async move |here: Here| {
        noting(&here, &inner, "kept").await?;
        promise.await?;
        noting(&here, &inner, "lost").await?;
        let sent = inner.clone();
        here.turn(move |turn| {
            sent.send_only(turn).note("never sent");
            Ok(())
        })
        .await?;
        Err("enough".into())
    });
    hand.run_until_idle();
    resolver.fulfill(());
    assert_eq!(notes(&hand, &log), ["kept"]);
    assert_eq!(answer.wait(), Err("enough".into()));
}

#[test]
fn a_panic_breaks_the_promise_and_tells_nothing() {
    let (hand, vat) = vat();
    let log = LogRef::spawn_in(&vat, Notes::default());
    let inner = log.clone();
    let answer: Answer<()> = vat.spawn_async(async move |here: Here| {
        noting(&here, &inner, "lost").await?;
        panic!("a secret");
    });
    assert_eq!(notes(&hand, &log), Vec::<String>::new());
    assert_eq!(answer.wait(), Err("the object failed".into()));
}

#[test]
fn a_part_of_a_step_that_fails_is_undone_by_itself() {
    let (hand, vat) = vat();
    let log = LogRef::spawn_in(&vat, Notes::default());
    let inner = log.clone();
    let answer = vat.spawn_async(async move |here: Here| {
        noting(&here, &inner, "before").await?;
        let part = inner.clone();
        let failed: Result<(), Fault> = here
            .turn(move |turn| {
                part.call(turn).note("lost")?;
                Err("part".into())
            })
            .await;
        noting(&here, &inner, "after").await?;
        Ok(failed.unwrap_err().to_string())
    });
    assert_eq!(notes(&hand, &log), ["before", "after"]);
    assert_eq!(answer.wait().as_deref(), Ok("part"));
}

#[test]
fn other_turns_come_in_between() {
    let (hand, vat) = vat();
    let log = LogRef::spawn_in(&vat, Notes::default());
    let block = |name: &'static str| {
        let log = log.clone();
        vat.spawn_async(async move |here: Here| {
            for step in 0..2 {
                let sent = log.clone();
                let text = format!("{name}{step}");
                here.ask(move |turn| sent.send(turn).note(text)).await?;
            }
            Ok(())
        })
    };
    block("a").ignore();
    block("b").ignore();
    assert_eq!(notes(&hand, &log), ["a0", "b0", "a1", "b1"]);
}

/// A step for each time that it waits, and none for what it does in its turns.
#[test]
fn as_many_turns_as_it_waits() {
    let (hand, vat) = vat();
    let polls = Arc::new(AtomicUsize::new(0));
    let (promise, resolver) = promise();
    let counted = polls.clone();
    let answer = vat.spawn_async(async move |here: Here| {
        here.turn(|_| Ok(())).await?;
        let waiting = std::pin::pin!(async {
            here.turn(|_| Ok(())).await?;
            promise.await
        });
        Counted(waiting, counted).await
    });
    hand.run_until_idle();
    let before = polls.load(Ordering::SeqCst);
    assert_eq!(before, 2, "once to ask for the turn, once to go on in it");
    resolver.fulfill(5);
    hand.run_until_idle();
    assert_eq!(polls.load(Ordering::SeqCst), before + 1);
    assert_eq!(answer.wait(), Ok(5.into()));
}

struct Counted<F>(F, Arc<AtomicUsize>);

impl<F: Future + Unpin> Future for Counted<F> {
    type Output = F::Output;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<F::Output> {
        self.1.fetch_add(1, Ordering::SeqCst);
        std::pin::Pin::new(&mut self.0).poll(context)
    }
}

#[test]
fn a_block_of_a_vat_that_stops_breaks() {
    let (hand, vat) = vat();
    let (promise, resolver) = promise();
    let waits = vat.spawn_async(async move |_here| promise.await);
    hand.run_until_idle();
    let late = vat.spawn_async(async move |_here| Ok(1_u8));
    vat.stop();
    resolver.fulfill(5);
    assert_eq!(waits.wait(), Err("the vat has stopped".into()));
    assert!(late.wait().is_err());
}

#[test]
fn a_block_that_nothing_can_wake_breaks_and_is_dropped() {
    struct Never;
    impl Future for Never {
        type Output = ();

        fn poll(
            self: std::pin::Pin<&mut Self>,
            _context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<()> {
            std::task::Poll::Pending
        }
    }
    let (hand, vat) = vat();
    let dropped = Arc::new(());
    let held = dropped.clone();
    let answer = vat.spawn_async(async move |_here| {
        Never.await;
        drop(held);
        Ok(())
    });
    hand.run_until_idle();
    assert_eq!(answer.wait(), Err("the resolver was dropped".into()));
    assert_eq!(Arc::strong_count(&dropped), 1);
}

/// Runs on behalf of the actor that started it, and its state is that of the moment.
struct Starter;

impl vat_runtime::Behaviour for Starter {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let started: Ref = turn.me();
        let waits_for = args.into_iter().next().and_then(|first| first.as_ref().cloned());
        let answer = turn.spawn_async(async move |here: Here| {
            if let Some(waits_for) = waits_for {
                waits_for.settling().await?;
            }
            here.turn(move |turn| Ok(turn.me() == started)).await
        });
        Ok(Reply::value(answer))
    }
}

#[test]
fn runs_on_behalf_of_the_actor_that_started_it() {
    let (hand, vat) = vat();
    let starter = vat.spawn(Starter);
    let (promise, resolver) = promise();
    let answer = starter.send(vec![promise.into()]);
    drop(starter);
    hand.run_until_idle();
    assert_eq!(vat.actor_count(), 1, "the block keeps its actor");
    resolver.fulfill(());
    hand.run_until_idle();
    assert_eq!(answer.wait(), Ok(true.into()));
    hand.run_until_idle();
    assert_eq!(vat.actor_count(), 0);
}

#[test]
fn from_elsewhere_it_makes_a_step_for_who_asks() {
    let (hand, vat) = vat();
    let (sender, receiver) = std::sync::mpsc::channel();
    let (promise, resolver) = promise();
    let answer = vat.spawn_async(async move |here: Here| {
        let _ = sender.send(here.clone());
        promise.await
    });
    hand.run_until_idle();
    let here = receiver.recv().unwrap();
    let elsewhere = Vat::new("elsewhere", hand.clone());
    let asked = here.clone();
    let asked = elsewhere
        .spawn_async(async move |_own| asked.turn(|turn| Ok(turn.vat_name().to_owned())).await);
    hand.run_until_idle();
    assert_eq!(asked.wait().as_deref(), Ok("test"));
    resolver.fulfill(Value::Null);
    hand.run_until_idle();
    assert_eq!(answer.wait(), Ok(Value::Null));
    let late = elsewhere.spawn_async(async move |_own| here.turn(|_| Ok(1_u8)).await);
    hand.run_until_idle();
    assert_eq!(late.wait(), Err("the async block has ended".into()));
}

/// Waits once, and has itself woken at once.
struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    }
}

#[test]
fn woken_in_the_middle_of_a_step_it_makes_another() {
    let (hand, vat) = vat();
    let log = LogRef::spawn_in(&vat, Notes::default());
    let block = |name: &'static str| {
        let log = log.clone();
        vat.spawn_async(async move |here: Here| {
            noting(&here, &log, &format!("{name} before")).await?;
            Yield(false).await;
            noting(&here, &log, &format!("{name} after")).await
        })
    };
    block("a").ignore();
    block("b").ignore();
    assert_eq!(notes(&hand, &log), ["a before", "b before", "a after", "b after"]);
}

#[test]
fn woken_from_many_threads_at_once() {
    let vat = Vat::new("test", vat_runtime::OwnThread::start("blocks").unwrap());
    let waits: Vec<_> = (0..64)
        .map(|number: u64| {
            let (parts, resolvers): (Vec<_>, Vec<_>) = (0..8).map(|_| promise()).unzip();
            let answer = vat.spawn_async(async move |here: Here| {
                let mut sum = 0;
                for part in parts {
                    let part = u64::try_from(part.await?.as_int().unwrap_or(0)).unwrap_or(0);
                    sum = here.turn(move |_turn| Ok(sum + part)).await?;
                }
                Ok(sum)
            });
            (number, answer, resolvers)
        })
        .collect();
    std::thread::scope(|scope| {
        for (number, answer, resolvers) in waits {
            scope.spawn(move || {
                for resolver in resolvers.into_iter().rev() {
                    resolver.fulfill(number);
                }
                assert_eq!(answer.wait(), Ok(8 * number));
            });
        }
    });
}
