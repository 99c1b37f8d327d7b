//! Blocking work off the turn.

mod by_hand;

use std::sync::mpsc::channel;

use by_hand::ByHand;
use vat_runtime::actors::{Cell, Io};
use vat_runtime::{Fault, Promise};

#[test]
fn work_is_done_on_another_thread_and_its_result_comes_in_a_turn() {
    let test = ByHand::default();
    let io = Io::pool("io", 1, 4).unwrap();
    let cell = test.spawn(Cell::default());
    let (to, here) = (cell.clone(), std::thread::current().id());
    let done = test.turn(move |turn| {
        let worked = io.run(turn, move |()| Ok((std::thread::current().id() != here).into()));
        Ok(turn.on_promise(worked, move |turn, result| turn.call(&to, vec![result?])))
    });
    let done = done.unwrap();
    // The handler is a turn: it is there once the vat has been stepped.
    let (ready, is_ready) = channel();
    done.when_settled(move |_| ready.send(()).unwrap());
    while is_ready.try_recv().is_err() {
        test.hand.run_until_idle();
        std::thread::yield_now();
    }
    assert_eq!(test.send(&cell, vec![]), Ok(true.into()));
}

#[test]
fn a_resource_is_used_by_one_after_the_other() {
    let test = ByHand::default();
    let io = Io::start("io", 16, [0_i64]).unwrap();
    let results = test.turn(move |turn| {
        let add = |turn: &mut _, by| {
            io.run(turn, move |sum: &mut i64| {
                *sum += by;
                Ok((*sum).into())
            })
        };
        Ok([1, 2, 3].map(|by| add(turn, by)))
    });
    let results = results.unwrap().map(|result| result.wait());
    assert_eq!(results, [1, 3, 6].map(|sum: i64| Ok(sum.into())));
}

#[test]
fn work_that_fails_or_panics_breaks_its_promise_and_no_other() {
    let test = ByHand::default();
    let io = Io::pool("io", 1, 4).unwrap();
    let results = test.turn(move |turn| {
        Ok([
            io.run(turn, |()| Err("no such file".into())),
            io.run(turn, |()| panic!("local detail")),
            io.run(turn, |()| Ok(1.into())),
        ])
    });
    let results = results.unwrap().map(|result| result.wait());
    let expected = [Err("no such file".into()), Err("the io failed".into()), Ok(1.into())];
    assert_eq!(results, expected);
}

#[test]
fn so_much_waits_and_no_more() {
    let test = ByHand::default();
    let io = Io::pool("io", 1, 1).unwrap();
    let (started, has_started) = channel();
    let (release, released) = channel();
    let pool = io.clone();
    let first = test.turn(move |turn| {
        Ok(pool.run(turn, move |()| {
            started.send(()).unwrap();
            released.recv().unwrap();
            Ok(1.into())
        }))
    });
    has_started.recv().unwrap();
    let (second, third): (Promise, Promise) = test
        .turn(move |turn| Ok((io.run(turn, |()| Ok(2.into())), io.run(turn, |()| Ok(3.into())))))
        .unwrap();
    assert_eq!(third.wait(), Err("too much io waits already".into()));
    release.send(()).unwrap();
    assert_eq!((first.unwrap().wait(), second.wait()), (Ok(1.into()), Ok(2.into())));
    let none = Io::pool("io", 0, 1).unwrap();
    let undone = test.turn(move |turn| Ok(none.run(turn, |()| Ok(1.into())))).unwrap();
    assert_eq!(undone.wait(), Err("there is no io thread".into()));
}

#[test]
fn a_turn_that_fails_has_no_work_done() {
    let test = ByHand::default();
    let io = Io::pool("io", 1, 4).unwrap();
    let (worked, has_worked) = channel::<()>();
    let (pool, (escape, escaped)) = (io.clone(), channel());
    let failed = test.turn(move |turn| -> Result<(), Fault> {
        let promise = pool.run(turn, move |()| {
            worked.send(()).unwrap();
            Ok(1.into())
        });
        escape.send(promise).unwrap();
        Err("no".into())
    });
    assert!(failed.is_err());
    assert!(escaped.recv().unwrap().wait().is_err());
    let after = test.turn(move |turn| Ok(io.run(turn, |()| Ok(2.into())))).unwrap();
    assert_eq!(after.wait(), Ok(2.into()));
    assert!(has_worked.recv().is_err(), "what was never done is gone");
}
