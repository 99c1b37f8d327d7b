//! The locks and atomics of what threads share, so that a model checker can take their
//! place (`--cfg loom`).

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard, TryLockError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
#[cfg(loom)]
pub(crate) use std::sync::TryLockError;

use std::sync::PoisonError;

/// Locks what a panic cannot have left half done.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
