//! Being killed: between any two steps of what an executor does.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

thread_local! {
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
}

struct Killed;

/// Called where the process may be killed.
pub(in crate::desired::executor) fn checkpoint() {
    let killed = LEFT.with(|left| match left.get() {
        Some(0) => true,
        Some(more) => {
            left.set(Some(more - 1));
            false
        }
        None => false,
    });
    if killed {
        LEFT.set(None);
        // Without the hook's message: it is meant.
        resume_unwind(Box::new(Killed));
    }
}

/// Does something, and is killed at the checkpoint after so many. `None`: it was.
pub(crate) fn killed_after<T>(checkpoints: usize, body: impl FnOnce() -> T) -> Option<T> {
    LEFT.set(Some(checkpoints));
    let outcome = catch_unwind(AssertUnwindSafe(body));
    LEFT.set(None);
    match outcome {
        Ok(value) => Some(value),
        Err(payload) if payload.is::<Killed>() => None,
        Err(payload) => resume_unwind(payload),
    }
}
