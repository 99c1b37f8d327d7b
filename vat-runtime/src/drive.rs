//! Running vats on the thread that woke them: no hop to another task between a
//! session that has read a message and the actor that it is for. Owns the thread's
//! list of vats that became ready meanwhile.

use std::cell::RefCell;
use std::collections::VecDeque;

use crate::scheduler::{Ran, ReadyVat};
use crate::sync::each_thread;

each_thread! {
    /// The vats that became ready, if this thread is in [`drive`].
    static READY: RefCell<Option<VecDeque<ReadyVat>>> = const { RefCell::new(None) };
}

/// How many turns [`drive`] runs before it leaves the rest to the schedulers.
pub const DRIVE_BUDGET: usize = 4096;

/// How many turns a vat runs before the next one has its chance.
const SLICE: usize = 64;

/// Runs `body` and then, on this thread, every vat that became ready in the course
/// of it, up to [`DRIVE_BUDGET`] turns. Vats that are not done by then go to their
/// schedulers.
///
/// Within another `drive` on the same thread it only runs `body`; the outer one
/// runs the vats. Call it with no lock held that a turn, or a [`Link`](crate::Link)
/// that a turn sends to, may want.
pub fn drive<T>(body: impl FnOnce() -> T) -> T {
    drive_with_budget(DRIVE_BUDGET, body)
}

/// [`drive`] with a number of turns to run at most.
pub fn drive_with_budget<T>(turns: usize, body: impl FnOnce() -> T) -> T {
    let nested = READY.with(|ready| {
        let mut ready = ready.borrow_mut();
        let nested = ready.is_some();
        ready.get_or_insert_default();
        nested
    });
    if nested {
        return body();
    }
    let driver = Driver;
    let result = body();
    let mut left = turns;
    while left > 0 {
        let next = READY.with(|ready| ready.borrow_mut().as_mut()?.pop_front());
        let Some(vat) = next else { break };
        let (ran, rest) = vat.run_counted(left.min(SLICE));
        left = left.saturating_sub(ran);
        if let Ran::More(vat) = rest {
            ready(vat);
        }
    }
    drop(driver);
    result
}

/// Ends the drive, also when the body panics.
struct Driver;

impl Drop for Driver {
    fn drop(&mut self) {
        let rest = READY.with(RefCell::take);
        rest.into_iter().flatten().for_each(ReadyVat::hand_over);
    }
}

/// Takes a vat that has become ready: to this thread's list if it is driving, else
/// to the vat's scheduler.
pub(crate) fn ready(vat: ReadyVat) {
    let mut vat = Some(vat);
    // Fails only while the thread ends, when nothing is driven any more.
    let _ = READY.try_with(|ready| {
        if let Some(list) = ready.borrow_mut().as_mut() {
            list.extend(vat.take());
        }
    });
    if let Some(vat) = vat {
        vat.hand_over();
    }
}
