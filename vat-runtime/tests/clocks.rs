//! Clocks ring their alarms in order, once, and drop what is left when they end.

use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use vat_runtime::{Alarm, Clock, SimClock, ThreadClock};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn says<T: Send + 'static>(sender: &Sender<T>, what: T) -> Alarm {
    let sender = sender.clone();
    Box::new(move || sender.send(what).unwrap())
}

#[test]
fn simulated_alarms_ring_by_time_and_then_in_the_order_they_were_set() {
    let clock = SimClock::new();
    let (sender, heard) = mpsc::channel();
    for (due, name) in [(2, "c"), (1, "a"), (2, "d"), (1, "b"), (4, "e")] {
        clock.at(seconds(due), says(&sender, name));
    }
    clock.advance(Duration::from_millis(999));
    assert_eq!(heard.try_iter().count(), 0);
    clock.advance(seconds(2));
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    assert_eq!(clock.now(), Duration::from_millis(2999));
    assert_eq!(clock.next_alarm(), Some(seconds(4)));
}

#[test]
fn a_simulated_alarm_sees_its_own_time_and_may_set_another() {
    let clock = SimClock::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    tick(clock.clone(), seen.clone());
    clock.advance(seconds(10));
    assert_eq!(*seen.lock().unwrap(), [3, 6, 9].map(seconds));
    assert_eq!(clock.now(), seconds(10));
}

fn tick(clock: Arc<SimClock>, seen: Arc<Mutex<Vec<Duration>>>) {
    // Strongly, the alarm would keep the clock that keeps the alarm.
    let again = Arc::downgrade(&clock);
    clock.at(
        clock.now() + seconds(3),
        Box::new(move || {
            let clock = again.upgrade().unwrap();
            seen.lock().unwrap().push(clock.now());
            tick(clock, seen);
        }),
    );
}

#[test]
fn stepping_to_the_next_alarm_rings_one_at_a_time() {
    let clock = SimClock::new();
    let (sender, heard) = mpsc::channel();
    clock.at(seconds(5), says(&sender, 1));
    clock.at(seconds(5), says(&sender, 2));
    clock.advance(seconds(4));
    assert!(clock.advance_to_next());
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [1]);
    assert_eq!(clock.now(), seconds(5));
    clock.at(seconds(1), says(&sender, 0));
    assert!(clock.advance_to_next());
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [0], "what is overdue goes first");
    assert_eq!(clock.now(), seconds(5), "time does not go back");
    assert!(clock.advance_to_next());
    assert!(!clock.advance_to_next());
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [2]);
}

#[test]
fn a_panicking_alarm_harms_no_other() {
    let clock = SimClock::new();
    let (sender, heard) = mpsc::channel();
    clock.at(seconds(1), Box::new(|| panic!("expected: an alarm that panics")));
    clock.at(seconds(1), says(&sender, ()));
    clock.advance(seconds(1));
    assert_eq!(heard.try_recv(), Ok(()));
}

#[test]
fn a_threads_alarms_ring_in_order_and_no_earlier_than_they_are_due() {
    let clock = ThreadClock::start("clock").unwrap();
    let (sender, heard) = mpsc::channel();
    let start = clock.now();
    let due = move |millis| start + Duration::from_millis(millis);
    for (millis, name) in [(20, "d"), (10, "b"), (10, "c"), (0, "a")] {
        let (sender, weak) = (sender.clone(), Arc::downgrade(&clock));
        let alarm = move || {
            let on_time = weak.upgrade().unwrap().now() >= due(millis);
            sender.send((name, on_time)).unwrap();
        };
        clock.at(due(millis), Box::new(alarm));
    }
    let rang: Vec<_> = heard.iter().take(4).collect();
    let mut names = rang.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    // Only what is due together, or was set in time, has an order.
    names.retain(|name| ["b", "c"].contains(name));
    assert_eq!(names, ["b", "c"]);
    assert!(rang.iter().all(|(_, on_time)| *on_time));
}

#[test]
fn a_clock_that_ends_drops_its_alarms() {
    let clock = ThreadClock::start("clock").unwrap();
    let (sender, heard) = mpsc::channel::<()>();
    clock.at(clock.now() + seconds(1_000_000), says(&sender, ()));
    drop(sender);
    drop(clock);
    assert!(heard.recv().is_err(), "the alarm is gone, and has not rung");
}
