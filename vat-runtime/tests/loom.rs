//! Every order in which threads can come by, for what they share: the strand of a vat, the
//! drop of references, promises, routes and pacing. Runs with
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p vat-runtime --test loom --target-dir target/loom
//! ```
//!
//! Each test tells with how many orders it has run. No more than four preemptions are
//! looked at in each; `LOOM_MAX_PREEMPTIONS` sets another bound. Not in loom's sight are
//! the counts of `Arc`s, and a `try_lock` that comes between the last use of a lock and its
//! release.

#![cfg(loom)]

use std::sync::Arc;

use captp::{AnswerPos, RemotePos};
use loom::model::Builder;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Mutex, Notify};
use loom::thread;
use vat_runtime::{
    Args, Fault, Intake, Limits, Link, Manual, Ref, Reply, Resolver, Turn, Value, Vat, drive,
    promise,
};

fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound.get_or_insert(4);
    builder.max_branches = 100_000;
    // Not loom's: it counts the orders.
    let orders = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = orders.clone();
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        body();
    });
    let orders = orders.load(Ordering::Relaxed);
    println!("{orders} orders, with up to {:?} preemptions", builder.preemption_bound);
    assert!(orders > 10, "the threads have nothing in common");
}

type Heard = Arc<Mutex<Vec<i64>>>;

/// A vat with an actor in place that notes what it hears.
fn recorder(limits: Limits) -> (Arc<Manual>, Vat, Ref, Heard) {
    let hand = Manual::new();
    let vat = Vat::with_limits("model", hand.clone(), limits);
    let heard = Heard::default();
    let hears = heard.clone();
    let actor = vat.spawn(move |_turn: &mut Turn<'_>, args: Args| -> Result<Reply, Fault> {
        let number = args.first().and_then(Value::as_int).unwrap_or_default();
        hears.lock().unwrap().push(number);
        Ok(Reply::value(number))
    });
    hand.run_until_idle();
    (hand, vat, actor, heard)
}

fn heard(heard: &Heard) -> Vec<i64> {
    heard.lock().unwrap().clone()
}

/// Whoever posts to an idle vat may run it: two that do so at once lose no message, and
/// neither waits for the other's.
#[test]
fn a_strand_loses_no_message() {
    model(|| {
        let (hand, _vat, actor, log) = recorder(Limits::default());
        let posts = |number: i64| {
            let actor = actor.clone();
            thread::spawn(move || {
                drive(|| {
                    actor.send_only(vec![number.into()]);
                    actor.send_only(vec![(number + 1).into()]);
                });
            })
        };
        let (one, two) = (posts(10), posts(20));
        one.join().unwrap();
        two.join().unwrap();
        // Whoever found the vat awake leaves its message to the one who runs it.
        let left = hand.run_until_idle();
        let heard = heard(&log);
        assert_eq!(left, 0, "the vat slept before all was done: {heard:?}");
        let of = |from: i64| heard.iter().filter(move |n| (from..from + 2).contains(*n)).copied();
        assert_eq!(of(10).collect::<Vec<_>>(), [10, 11]);
        assert_eq!(of(20).collect::<Vec<_>>(), [20, 21]);
    });
}

/// Whatever is sent while a vat stops is answered or breaks.
#[test]
fn nothing_waits_for_a_vat_that_stops() {
    model(|| {
        let (hand, vat, actor, _) = recorder(Limits::default());
        let sends =
            thread::spawn(move || drive(|| [actor.send(vec![1.into()]), actor.send(vec![])]));
        let stops = {
            let vat = vat.clone();
            thread::spawn(move || vat.stop())
        };
        let answers = sends.join().unwrap();
        stops.join().unwrap();
        hand.run_until_idle();
        assert!(answers.iter().all(|answer| answer.outcome().is_some()), "{answers:?}");
        assert_eq!(vat.actor_count(), 0);
    });
}

/// The last of two references, wherever it is dropped, takes the actor with it, and not
/// before what was sent to it has been handled.
#[test]
fn the_last_reference_takes_its_actor_once() {
    model(|| {
        let (hand, vat, actor, log) = recorder(Limits::default());
        let other = actor.clone();
        let drops = thread::spawn(move || {
            // Loom does not see the count of an `Arc`: a place to change threads.
            thread::yield_now();
            drive(|| drop(other));
        });
        let sends = thread::spawn(move || {
            drive(|| {
                actor.send_only(vec![1.into()]);
                drop(actor);
            });
        });
        drops.join().unwrap();
        sends.join().unwrap();
        hand.run_until_idle();
        assert_eq!(heard(&log), [1]);
        assert_eq!(vat.actor_count(), 0);
    });
}

/// What waits in a promise, or is sent while it settles, arrives in order.
#[test]
fn a_promise_that_settles_keeps_the_order() {
    model(|| {
        let (hand, _vat, actor, log) = recorder(Limits::default());
        let (target, resolver) = promise();
        target.send_only(vec![1.into()]);
        let settles = thread::spawn(move || resolver.fulfill(actor));
        let answer = {
            target.send_only(vec![2.into()]);
            target.send(vec![3.into()])
        };
        settles.join().unwrap();
        hand.run_until_idle();
        assert_eq!(heard(&log), [1, 2, 3]);
        assert_eq!(answer.outcome(), Some(Ok(3.into())));
    });
}

/// Two promises that are resolved to each other on two threads end broken, not waiting.
#[test]
fn promises_that_follow_each_other_break() {
    model(|| {
        let ((one, one_resolver), (two, two_resolver)) = (promise(), promise());
        let (to_two, to_one) = (two.clone(), one.clone());
        let ties = thread::spawn(move || one_resolver.fulfill(to_two));
        two_resolver.fulfill(to_one);
        ties.join().unwrap();
        assert!(matches!(one.outcome(), Some(Err(_))), "{one:?}");
        assert!(matches!(two.outcome(), Some(Err(_))), "{two:?}");
    });
}

/// A link that notes what it is told, and gives each question a position.
#[derive(Default)]
struct Notes {
    sent: Mutex<Vec<(RemotePos, i64)>>,
    questions: Mutex<Vec<Resolver>>,
    released: AtomicUsize,
}

impl Link for Notes {
    fn key(&self) -> u64 {
        1
    }

    fn deliver(&self, to: RemotePos, args: Args, answer: Option<Resolver>) -> Option<AnswerPos> {
        let number = args.first().and_then(Value::as_int).unwrap_or_default();
        self.sent.lock().unwrap().push((to, number));
        let mut questions = self.questions.lock().unwrap();
        questions.extend(Some(answer?));
        Some(AnswerPos(questions.len() as u64))
    }

    fn listen(&self, _to: RemotePos, _resolver: Resolver) {}

    fn release(&self, _pos: RemotePos, _generation: u32) {
        self.released.fetch_add(1, Ordering::SeqCst);
    }
}

/// The answer to a question comes while more is sent to its promise, by way of the peer or
/// the short way: nothing is lost or overtaken, and the answer's position is released once.
#[test]
fn an_answer_that_comes_while_its_promise_is_sent_to() {
    model(|| {
        let (hand, _vat, actor, log) = recorder(Limits::default());
        let link = Arc::new(Notes::default());
        let object = Ref::remote_object(link.clone(), captp::ImportPos(7), 0);
        let answer = object.send(vec![]);
        let question = link.questions.lock().unwrap().pop().unwrap();
        let answers = thread::spawn(move || question.fulfill(actor));
        answer.send_only(vec![1.into()]);
        answer.send_only(vec![2.into()]);
        answers.join().unwrap();
        hand.run_until_idle();
        let sent: Vec<i64> = link.sent.lock().unwrap().iter().map(|(_, n)| *n).collect();
        let by_peer = &sent[1..];
        let all: Vec<i64> = by_peer.iter().chain(&heard(&log)).copied().collect();
        assert_eq!(all, [1, 2], "what went by the peer goes before what did not");
        // What has carried messages whose arrival nothing shows is not left, nor let go.
        let before = link.released.load(Ordering::SeqCst);
        assert_eq!(before, usize::from(by_peer.is_empty()));
        drop((answer, object));
        assert_eq!(link.released.load(Ordering::SeqCst), 2);
    });
}

/// The two last references to something remote are dropped at once: the peer is told once.
#[test]
fn the_last_remote_reference_is_released_once() {
    model(|| {
        let link = Arc::new(Notes::default());
        let target = Ref::remote_promise(link.clone(), captp::ImportPos(7), 0);
        let other = target.clone();
        let drops = thread::spawn(move || {
            other.send_only(vec![1.into()]);
            drop(other);
        });
        target.send_only(vec![2.into()]);
        drop(target);
        drops.join().unwrap();
        assert_eq!(link.released.load(Ordering::SeqCst), 1);
    });
}

/// A reader that stops when it is paced is woken, whether what paced it were turns or
/// bytes, while another thread runs the vat, or stops it.
fn a_paced_reader_goes_on(limits: Limits, bytes: usize, meanwhile: fn(&Vat, &Ref)) {
    model(move || {
        let (hand, vat, actor, _) = recorder(limits.clone());
        let bell = Arc::new(Notify::new());
        let rings = bell.clone();
        let intake = Intake::new(bytes, 1 << 20, move || rings.notify());
        let other = {
            let actor = actor.clone();
            thread::spawn(move || meanwhile(&vat, &actor))
        };
        // As a connection does: it reads, stops while paced, and reads on.
        for number in 0..2 {
            drive(|| intake.deliver(&actor, vec![number.into()], None));
            while intake.is_paced() {
                bell.wait();
            }
        }
        other.join().unwrap();
        assert_eq!(hand.run_until_idle(), 0);
        assert!(!intake.is_paced());
        assert_eq!(intake.queued_bytes(), 0);
    });
}

#[test]
fn a_reader_paced_by_turns_goes_on_when_they_are_done() {
    a_paced_reader_goes_on(Limits::default().queue(0), 1 << 20, |_vat, actor| {
        drive(|| actor.send_only(vec![10.into()]));
    });
}

#[test]
fn a_reader_paced_by_bytes_goes_on_when_they_are_taken() {
    a_paced_reader_goes_on(Limits::default(), 100, |_vat, actor| {
        drive(|| actor.send_only(vec![10.into()]));
    });
}

#[test]
fn a_reader_paced_by_a_vat_that_stops_goes_on() {
    a_paced_reader_goes_on(Limits::default().queue(0), 100, |vat, _actor| vat.stop());
}
