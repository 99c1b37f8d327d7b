//! Runs what settling a promise sets off, one piece after the other and never one
//! inside the other: a chain of a million promises must not need a million stack
//! frames. Owns the thread's list of such work.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::Value;
use crate::cell::{Outcome, PromiseCell};
use crate::route::Route;
use crate::sync::each_thread;

pub(crate) enum Work {
    /// Settle a promise and tell whoever waits.
    Settle(Arc<PromiseCell>, Outcome),
    /// Send what waits in a promise along the route it has got.
    Attach(Arc<PromiseCell>, Arc<Route>),
    /// Drop a value that may hold the last reference to further promises.
    Bury(Value),
}

struct List {
    running: Cell<bool>,
    work: RefCell<VecDeque<Work>>,
}

each_thread! {
    static LIST: List = const {
        List { running: Cell::new(false), work: RefCell::new(VecDeque::new()) }
    };
}

/// Does the work now, or after the work that this thread is in the middle of.
pub(crate) fn run(work: Work) {
    let mut work = Some(work);
    let start = LIST.try_with(|list| {
        if list.running.get() {
            list.work.borrow_mut().extend(work.take());
            false
        } else {
            list.running.set(true);
            true
        }
    });
    // No list any more: the thread is ending.
    if start.is_err() {
        work.into_iter().for_each(perform);
        return;
    }
    while let Some(next) = work {
        perform(next);
        work = LIST.try_with(|list| list.work.borrow_mut().pop_front()).ok().flatten();
        if work.is_none() {
            let _ = LIST.try_with(|list| list.running.set(false));
        }
    }
}

fn perform(work: Work) {
    // A panic in a callback must not leave the rest of the list undone: somebody
    // waits for it.
    let done = catch_unwind(AssertUnwindSafe(|| match work {
        Work::Settle(cell, outcome) => cell.settle_now(outcome),
        Work::Attach(cell, route) => cell.attach_now(route),
        Work::Bury(value) => drop(value),
    }));
    if done.is_err() {
        tracing::error!("a callback panicked while a promise settled");
    }
}
