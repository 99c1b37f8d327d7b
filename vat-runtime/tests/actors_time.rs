//! Timeouts, intervals, timers and tickers, in simulated time.

mod by_hand;
mod recorder;

use std::sync::Arc;
use std::time::Duration;

use by_hand::{ByHand, NOTHING, list, message};
use recorder::Recorder;
use vat_runtime::actors::{Cell, Timer, UnixClock, interval, ticker, timeout};
use vat_runtime::{Args, Clock, Fault, Ref, Reply, SimClock, Turn, Value, promise};

const SECOND: Duration = Duration::from_secs(1);

impl ByHand {
    fn pass(&self, clock: &SimClock, time: Duration) {
        clock.advance(time);
        self.hand.run_until_idle();
    }
}

#[test]
fn a_timeout_is_fulfilled_when_its_time_has_come() {
    let (test, clock) = (ByHand::default(), SimClock::new());
    let sets = clock.clone();
    let done = test.turn(move |turn| Ok(timeout(turn, &sets, SECOND))).unwrap();
    test.pass(&clock, SECOND - Duration::from_nanos(1));
    assert!(done.is_promise());
    test.pass(&clock, Duration::from_nanos(1));
    assert_eq!(done.wait(), Ok(true.into()));
}

#[test]
fn a_turn_that_fails_sets_no_timeout() {
    let (test, clock) = (ByHand::default(), SimClock::new());
    let (sets, (escape, escaped)) = (clock.clone(), std::sync::mpsc::channel());
    let failed = test.turn(move |turn| -> Result<(), Fault> {
        escape.send(timeout(turn, &sets, SECOND)).unwrap();
        Err("no".into())
    });
    assert!(failed.is_err());
    assert_eq!(clock.next_alarm(), None);
    assert!(escaped.recv().unwrap().wait().is_err());
}

#[test]
fn a_timer_gives_timeouts_up_to_its_limit() {
    let (test, clock) = (ByHand::default(), SimClock::new());
    let timer = test.spawn(Timer::new(clock.clone()).limit(2));
    let half = timer.send(message("timeout", [0.5.into(), "half".into()]));
    let two = timer.send(message("timeout", [2.into()]));
    assert!(test.fault(&timer, "timeout", [1.into()]).contains("more than 2 timeouts wait"));
    test.pass(&clock, SECOND);
    assert_eq!(half.wait(), Ok("half".into()));
    assert!(two.is_promise());
    let one = timer.send(message("timeout", [1.into()]));
    assert_eq!(test.call(&timer, "now", []), Ok(1.0.into()));
    test.pass(&clock, SECOND);
    assert_eq!((one.wait(), two.wait()), (Ok(true.into()), Ok(true.into())));
    for wrong in [Value::from(-1), f64::NAN.into(), f64::INFINITY.into(), "1".into()] {
        assert!(test.call(&timer, "timeout", [wrong]).is_err());
    }
    assert_eq!(clock.next_alarm(), None);
}

fn every_second(test: &ByHand, clock: &Arc<SimClock>, target: Ref) -> Ref {
    let clock = clock.clone();
    test.turn(move |turn| interval(turn, clock, SECOND, target, vec![Value::symbol("beat")]))
        .unwrap()
}

#[test]
fn an_interval_sends_until_it_is_cancelled_or_dropped() {
    for cancel in [true, false] {
        let (test, clock, heard) = (ByHand::default(), SimClock::new(), Recorder::default());
        let beat = every_second(&test, &clock, test.spawn(heard.clone()));
        for _ in 0..3 {
            test.pass(&clock, SECOND);
        }
        assert_eq!(heard.heard(), vec![Value::symbol("beat"); 3]);
        if cancel {
            assert_eq!(test.call(&beat, "cancel", []), NOTHING);
        } else {
            drop(beat);
            test.hand.run_until_idle();
        }
        for _ in 0..3 {
            test.pass(&clock, SECOND);
        }
        assert_eq!(heard.heard().len(), 3);
        assert_eq!(clock.next_alarm(), None);
        test.hand.run_until_idle();
        assert!(test.vat.actor_count() <= 1, "the target is let go, and what rang");
    }
}

#[test]
fn an_interval_waits_for_the_answer_and_leaves_out_what_it_missed() {
    let (test, clock) = (ByHand::default(), SimClock::new());
    let (slow, resolver) = promise();
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (log, time) = (heard.clone(), clock.clone());
    let target = test.spawn(move |_: &mut Turn<'_>, _: Args| -> Result<Reply, Fault> {
        log.lock().unwrap().push(time.now().as_millis());
        Ok(Reply::value(&slow))
    });
    let _beat = every_second(&test, &clock, target);
    for _ in 0..5 {
        test.pass(&clock, SECOND / 2);
    }
    resolver.fulfill(());
    test.hand.run_until_idle();
    for _ in 0..2 {
        test.pass(&clock, SECOND / 2);
    }
    assert_eq!(*heard.lock().unwrap(), [1000, 3000], "2.5 s: the second was missed");
    let zero = test.turn(|turn| {
        let target = turn.spawn(Cell::default());
        interval(turn, SimClock::new(), Duration::ZERO, target, vec![])
    });
    assert!(zero.is_err());
}

#[test]
fn a_unix_clock_says_the_same_time_after_a_restart() {
    let day = 24 * 3600 * SECOND;
    let clock = SimClock::new();
    clock.advance(SECOND);
    let unix = UnixClock::set_to(clock.clone(), day);
    assert_eq!(unix.now(), day);
    let (rings, rang) = std::sync::mpsc::channel();
    unix.at(day + SECOND, Box::new(move || rings.send(()).unwrap()));
    assert_eq!(clock.next_alarm(), Some(2 * SECOND));
    clock.advance(SECOND);
    assert_eq!((rang.try_recv(), unix.now()), (Ok(()), day + SECOND));
    assert!(UnixClock::new(clock).now() > 365 * 50 * day, "it is later than 2020");
}

/// Makes actors that note each tick, and die after some, or fail.
fn maker(heard: &Recorder, name: i64, lives: i64) -> impl vat_runtime::Behaviour + use<> {
    let heard = heard.clone();
    move |turn: &mut Turn<'_>, args: Args| -> Result<Reply, Fault> {
        let ticky = args[0].as_ref().cloned().ok_or("no ticky")?;
        let log = turn.spawn(heard.clone());
        let left = turn.spawn(Cell::new(lives));
        let actor = move |turn: &mut Turn<'_>, _: Args| -> Result<Reply, Fault> {
            turn.send_only(&log, vec![name.into()]);
            let lives = turn.call(&left, vec![])?.as_int().unwrap_or_default() - 1;
            turn.call(&left, vec![lives.into()])?;
            match lives {
                0 => turn.call(&ticky, message("die", [])).map(Reply::value),
                ..0 => Err("it should be dead".into()),
                _ => Ok(().into()),
            }
        };
        Ok(turn.spawn(actor).into())
    }
}

#[test]
fn a_ticker_calls_all_that_live() {
    let (test, heard) = (ByHand::default(), Recorder::default());
    let ticker = test.turn(|turn| Ok(ticker(turn))).unwrap();
    let [one, two] = [(1, 2), (2, 9)].map(|(name, lives)| {
        let maker = test.spawn(maker(&heard, name, lives));
        test.call(&ticker, "to-tick", [maker.into()]).unwrap()
    });
    assert_eq!(test.call(&ticker, "get-ticked", []), Ok(Value::List(vec![])), "not yet ticked");
    for ticked in [vec![one, two.clone()], vec![two.clone()], vec![two]] {
        assert_eq!(test.call(&ticker, "tick", []), NOTHING);
        assert_eq!(test.call(&ticker, "get-ticked", []), Ok(Value::List(ticked)));
    }
    assert_eq!(heard.heard(), [1, 2, 1, 2, 2].map(Value::from));
    assert!(test.call(&ticker, "to-tick", [1.into()]).is_err());
}

#[test]
fn one_that_fails_dies_alone_and_one_that_is_born_in_a_tick_waits_for_the_next() {
    let (test, heard) = (ByHand::default(), Recorder::default());
    let ticker = test.turn(|turn| Ok(ticker(turn))).unwrap();
    let child = test.spawn(maker(&heard, 2, 9));
    // At its first tick it has a child, at its second it fails, after having changed
    // something.
    let changed = test.spawn(Cell::new(0));
    let state = changed.clone();
    let parent = test.spawn(move |turn: &mut Turn<'_>, args: Args| -> Result<Reply, Fault> {
        let (ticky, child, state) = (args[0].clone(), child.clone(), state.clone());
        let actor = turn.spawn(move |turn: &mut Turn<'_>, _: Args| -> Result<Reply, Fault> {
            let ticks = turn.call(&state, vec![])?.as_int().unwrap_or_default();
            turn.call(&state, vec![(ticks + 1).into()])?;
            if ticks > 0 {
                return Err("clumsy".into());
            }
            let ticky = ticky.as_ref().ok_or("no ticky")?;
            turn.call(ticky, message("to-tick", [(&child).into()])).map(Reply::value)
        });
        Ok(actor.into())
    });
    assert!(test.call(&ticker, "to-tick", [parent.into()]).is_ok());
    for _ in 0..3 {
        assert_eq!(test.call(&ticker, "tick", []), NOTHING);
    }
    assert_eq!(heard.heard(), vec![Value::from(2); 2]);
    assert_eq!(test.send(&changed, vec![]), Ok(1.into()), "what failed changed nothing");
}

#[test]
fn a_fold_goes_over_all_with_or_without_the_new() {
    let (test, heard) = (ByHand::default(), Recorder::default());
    let ticker = test.turn(|turn| Ok(ticker(turn))).unwrap();
    let add = |name| {
        let maker = test.spawn(maker(&heard, name, 9));
        test.call(&ticker, "to-tick", [maker.into()]).unwrap()
    };
    let (one, two) = (add(1), add(2));
    assert_eq!(test.call(&ticker, "tick", []), NOTHING);
    let three = add(3);
    let collect = test.spawn(|_: &mut Turn<'_>, mut args: Args| -> Result<Reply, Fault> {
        let (Some(Value::List(mut all)), Some(next)) = (args.pop(), args.pop()) else {
            return Err("not a list".into());
        };
        all.push(next);
        Ok(Value::List(all).into())
    });
    let fold = |new: bool| {
        let args = [Value::from(&collect), Value::List(vec![]), new.into()];
        test.call(&ticker, "foldr", args)
    };
    assert_eq!(fold(false), Ok(list([one.clone(), two.clone()])));
    assert_eq!(fold(true), Ok(list([one.clone(), two.clone(), three.clone()])));
    assert_eq!(test.call(&ticker, "get-ticked", []), Ok(list([one, two, three])));
}
