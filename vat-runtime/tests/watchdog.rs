//! A turn that takes too long is reported while it runs, once, with who is at it.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use vat_runtime::{
    Args, Behaviour, Fault, Limits, LongTurn, Manual, OwnThread, Reply, SimClock, ThreadClock,
    Turn, Value, Vat, Watchdog, promise,
};

const LIMIT: Duration = Duration::from_secs(4);

type Heard = Arc<Mutex<Vec<LongTurn>>>;

/// A watched vat, in which work is simulated by time that passes.
fn watched() -> (Arc<SimClock>, Arc<Manual>, Vat, Heard) {
    let (clock, hand, heard) = (SimClock::new(), Manual::new(), Heard::default());
    let hook = heard.clone();
    let watchdog =
        Watchdog::new(clock.clone(), move |turn| hook.lock().unwrap().push(turn.clone()));
    let vat = Vat::with_limits("slow", hand.clone(), Limits::default().turn_time(LIMIT));
    watchdog.watch(&vat);
    (clock, hand, vat, heard)
}

/// Works for so many seconds; first calls its second argument, with the rest.
struct Worker(Arc<SimClock>);

impl Behaviour for Worker {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        if let Some(next) = args.get(1).and_then(Value::as_ref) {
            turn.call(next, args[2..].to_vec())?;
        }
        let seconds = args.first().and_then(Value::as_int).unwrap_or_default();
        self.0.advance(Duration::from_secs(seconds.unsigned_abs()));
        Ok(().into())
    }

    fn name(&self) -> &'static str {
        "worker"
    }
}

/// The same under another name.
struct Foreman(Worker);

impl Behaviour for Foreman {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        self.0.receive(turn, args)
    }

    fn name(&self) -> &'static str {
        "foreman"
    }
}

fn names(heard: &Heard) -> Vec<Option<&'static str>> {
    heard.lock().unwrap().iter().map(|turn| turn.actor).collect()
}

#[test]
fn a_long_turn_is_reported_once_and_no_short_one() {
    let (clock, hand, vat, heard) = watched();
    let worker = vat.spawn(Worker(clock.clone()));
    for seconds in [3, 3, 0, 3] {
        worker.send_only(vec![seconds.into()]);
    }
    hand.run_until_idle();
    assert_eq!(names(&heard), [], "together they are long, alone they are not");
    worker.send_only(vec![60.into()]);
    hand.run_until_idle();
    let turn = heard.lock().unwrap().pop().unwrap();
    assert_eq!((turn.vat.as_str(), turn.actor), ("slow", Some("worker")));
    assert!(turn.for_at_least >= LIMIT && turn.for_at_least <= LIMIT * 3 / 2, "{turn}");
    assert_eq!(names(&heard), [], "once");
    worker.send_only(vec![60.into()]);
    hand.run_until_idle();
    assert_eq!(names(&heard), [Some("worker")], "the next one is another");
}

#[test]
fn time_between_turns_does_not_count() {
    let (clock, hand, vat, heard) = watched();
    let worker = vat.spawn(Worker(clock.clone()));
    hand.run_until_idle();
    clock.advance(LIMIT * 10);
    worker.send_only(vec![1.into()]);
    clock.advance(LIMIT * 10);
    hand.run_until_idle();
    assert_eq!(names(&heard), []);
}

#[test]
fn who_is_at_work_is_named() {
    let (clock, hand, vat, heard) = watched();
    let worker = vat.spawn(Worker(clock.clone()));
    let foreman = vat.spawn(Foreman(Worker(clock.clone())));
    let called = worker.clone();
    foreman.send_only(vec![0.into(), called.clone().into(), 60.into()]);
    hand.run_until_idle();
    assert_eq!(names(&heard), [Some("worker")], "the one who was called");
    foreman.send_only(vec![60.into(), called.into(), 0.into()]);
    hand.run_until_idle();
    assert_eq!(names(&heard)[1..], [Some("foreman")], "after the call has returned");
    let outside = clock.clone();
    drop(vat.run(move |_turn| {
        outside.advance(LIMIT * 2);
        Ok(())
    }));
    hand.run_until_idle();
    assert_eq!(names(&heard)[2..], [None]);
}

/// Works in a handler.
struct Waiter(Arc<SimClock>);

impl Behaviour for Waiter {
    fn receive(&self, turn: &mut Turn<'_>, mut args: Args) -> Result<Reply, Fault> {
        let clock = self.0.clone();
        turn.on(args.remove(0), move |_turn, _outcome| clock.advance(LIMIT * 2));
        Ok(().into())
    }

    fn name(&self) -> &'static str {
        "waiter"
    }
}

#[test]
fn a_handler_is_its_actors_work() {
    let (clock, hand, vat, heard) = watched();
    let (awaited, resolver) = promise();
    vat.spawn(Waiter(clock)).send_only(vec![awaited.into()]);
    hand.run_until_idle();
    assert_eq!(names(&heard), []);
    resolver.fulfill(1);
    hand.run_until_idle();
    assert_eq!(names(&heard), [Some("waiter")]);
}

#[test]
fn a_vat_that_is_gone_is_not_watched() {
    let (clock, hand, vat, heard) = watched();
    let dropped = Arc::downgrade(&heard);
    assert!(clock.next_alarm().is_some());
    vat.stop();
    clock.advance(LIMIT);
    assert_eq!(clock.next_alarm(), None);
    drop((heard, vat, hand));
    assert!(dropped.upgrade().is_none(), "nor is the hook kept");
}

#[test]
fn in_real_time_a_looping_actor_is_reported_while_it_loops() {
    let clock = ThreadClock::start("watchdog").unwrap();
    let (report, reported) = mpsc::channel();
    let report = Mutex::new(report);
    let watchdog =
        Watchdog::new(clock, move |turn| report.lock().unwrap().send(turn.clone()).unwrap());
    let own = OwnThread::start("vats").unwrap();
    let limits = Limits::default().turn_time(Duration::from_millis(500));
    let vat = Vat::with_limits("loops", own, limits);
    watchdog.watch(&vat);
    let (free, stuck) = mpsc::channel::<()>();
    let stuck = Mutex::new(stuck);
    let looping = vat.spawn(move |_turn: &mut Turn<'_>, _args: Args| -> Result<Reply, Fault> {
        stuck.lock().unwrap().recv().unwrap();
        Ok(().into())
    });
    let answer = looping.send(vec![]);
    let turn = reported.recv().unwrap();
    assert_eq!(turn.vat, "loops");
    assert!(turn.actor.unwrap().contains("a_looping_actor_is_reported"), "{turn}");
    assert_eq!(answer.outcome(), None, "it is still at it");
    free.send(()).unwrap();
    assert!(answer.wait().is_ok());
}
