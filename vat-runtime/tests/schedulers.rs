//! Stepping by hand and simulated time are deterministic; a thread of its own runs a vat
//! without help; a host's loop runs it for as long as the host allows.

mod recorder;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use recorder::Recorder;
use vat_runtime::{
    Args, Behaviour, Clock, Fault, HostLoop, Manual, OwnThread, ReadyVat, Ref, Reply, Scheduler,
    SimClock, Simulation, Turn, Value, Vat, promise,
};

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

#[test]
fn a_hosts_loop_runs_as_many_turns_as_the_host_allows_and_is_woken_for_the_first() {
    let woken = Arc::new(AtomicUsize::new(0));
    let wakes = woken.clone();
    let host = HostLoop::new(move || {
        wakes.fetch_add(1, Ordering::SeqCst);
    });
    assert!(!host.pump(10));
    let vats = ["a", "b"].map(|name| Vat::new(name, host.clone()));
    let recorders = [Recorder::default(), Recorder::default()];
    let actors: Vec<Ref> =
        vats.iter().zip(&recorders).map(|(vat, recorder)| vat.spawn(recorder.clone())).collect();
    for number in 0..40 {
        actors.iter().for_each(|actor| actor.send_only(vec![number.into()]));
    }
    assert_eq!(woken.load(Ordering::SeqCst), 1);
    let heard = || [0, 1].map(|vat: usize| recorders[vat].heard().len());
    assert!(host.pump(20), "there is more");
    assert_eq!(heard(), [15, 4 - 1], "a slice of the first, the rest for the second");
    assert!(!host.pump(1000));
    assert_eq!(heard(), [40, 40]);
    assert_eq!(woken.load(Ordering::SeqCst), 1, "what is left over wakes nobody");
    actors[0].send_only(vec![40.into()]);
    assert_eq!(woken.load(Ordering::SeqCst), 2);
    drop((vats, actors));
    host.pump(1000);
}

#[test]
fn a_hosts_loop_stops_when_the_host_says() {
    let host = HostLoop::new(|| {});
    let vat = Vat::new("test", host.clone());
    let recorder = Recorder::default();
    let actor = vat.spawn(recorder.clone());
    for number in 0..1000 {
        actor.send_only(vec![number.into()]);
    }
    let mut slices = 3;
    assert!(host.pump_while(|| {
        slices -= 1;
        slices >= 0
    }));
    let heard = recorder.heard().len();
    assert!(heard > 0 && heard < 100, "{heard}");
    assert!(host.has_more());
    assert!(!host.pump_while(|| true));
    assert_eq!(recorder.heard().len(), 1000);
}

#[test]
fn a_vat_of_a_hosts_loop_that_is_dropped_waits_for_no_pump() {
    let host = HostLoop::new(|| {});
    let vat = Vat::new("test", host.clone());
    let answer = vat.spawn(Recorder::default()).send(vec![1.into()]);
    drop(host);
    drop(vat);
    assert!(answer.wait().is_err());
}

/// Sends itself a tick every second, by the clock, for as long as it is told.
fn ticker(clock: Arc<SimClock>, log: Arc<Mutex<Vec<Duration>>>) -> impl Behaviour {
    move |turn: &mut Turn<'_>, args: Args| -> Result<Reply, Fault> {
        log.lock().unwrap().push(clock.now());
        let left = args.first().and_then(Value::as_int).unwrap_or_default();
        if left > 0 {
            let me = turn.me();
            let tick = move || me.send_only(vec![(left - 1).into()]);
            clock.at(clock.now() + Duration::from_secs(1), Box::new(tick));
        }
        Ok(().into())
    }
}

#[test]
fn simulated_time_passes_when_nothing_else_happens() {
    let simulation = Simulation::new();
    let log = Arc::default();
    let vat = simulation.vat("test");
    let ticker = vat.spawn(ticker(simulation.clock().clone(), Arc::clone(&log)));
    ticker.send_only(vec![3600.into()]);
    simulation.run_for(Duration::from_millis(2500));
    assert_eq!(*log.lock().unwrap(), [0, 1, 2].map(Duration::from_secs));
    assert_eq!(simulation.clock().now(), Duration::from_millis(2500));
    simulation.run_until_idle();
    assert_eq!(log.lock().unwrap().len(), 3601);
    assert_eq!(simulation.clock().now(), Duration::from_secs(3600));
    assert!(!simulation.step());
}

/// Drops what is sent to it and tells.
struct Canary(Arc<AtomicUsize>);

impl Scheduler for Canary {
    fn ready(&self, _vat: ReadyVat) {}
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_vat_that_has_stopped_keeps_no_scheduler() {
    let dropped = Arc::default();
    let vat = Vat::new("test", Arc::new(Canary(Arc::clone(&dropped))));
    let actor = vat.spawn(Recorder::default());
    assert!(vat.is_stopped(), "its scheduler has dropped it");
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    drop((vat, actor));

    let hand = Manual::new();
    let left = Arc::downgrade(&hand);
    let vat = Vat::new("test", hand.clone());
    drop(vat.spawn(Recorder::default()));
    drop((vat, hand));
    assert!(left.upgrade().is_none(), "although the vat was ready");
}
