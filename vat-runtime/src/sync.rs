//! The locks and atomics of what threads share, so that a model checker can take their
//! place: with `--cfg loom` they are loom's, which runs a test with every order in which
//! threads can come by (see `tests/loom.rs`).

#[cfg(not(loom))]
pub(crate) use std::{
    sync::{
        Mutex, MutexGuard, OnceLock, TryLockError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread_local as each_thread,
};

/// Loom's, which knows no `const`.
#[cfg(loom)]
macro_rules! each_thread {
    ($(#[$note:meta])* static $name:ident: $kind:ty = const $start:block;) => {
        loom::thread_local! { $(#[$note])* static $name: $kind = $start; }
    };
}

#[cfg(loom)]
pub(crate) use {
    each_thread,
    loom::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    once::OnceLock,
    std::sync::TryLockError,
};

use std::sync::PoisonError;

/// Locks what a panic cannot have left half done.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What loom lacks.
#[cfg(loom)]
mod once {
    use loom::sync::atomic::{AtomicBool, Ordering};

    /// The standard one, with its flag in loom's sight.
    pub(crate) struct OnceLock<T> {
        is_set: AtomicBool,
        value: std::sync::OnceLock<T>,
    }

    impl<T> Default for OnceLock<T> {
        fn default() -> Self {
            Self { is_set: AtomicBool::new(false), value: std::sync::OnceLock::new() }
        }
    }

    impl<T> OnceLock<T> {
        pub(crate) fn get(&self) -> Option<&T> {
            self.is_set.load(Ordering::Acquire).then(|| self.value.get()).flatten()
        }

        pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
            self.value.get_mut()
        }

        pub(crate) fn set(&self, value: T) -> Result<(), T> {
            let set = self.value.set(value);
            self.is_set.store(true, Ordering::Release);
            set
        }

        pub(crate) fn take(&mut self) -> Option<T> {
            self.value.take()
        }
    }
}
