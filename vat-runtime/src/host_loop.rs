//! Vats in a loop that is not ours: a window's, a game's. Owns [`HostLoop`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crate::scheduler::{Ran, ReadyVat, Scheduler};
use crate::sync::{Mutex, MutexGuard, lock};

/// A scheduler whose vats run when, and on the thread where, the host's loop pumps it.
///
/// The host chooses how much of its time that takes: a number of turns
/// ([`HostLoop::pump`]) or until a deadline ([`HostLoop::pump_while`]). Vats take turns,
/// a few each.
///
/// ```
/// use std::sync::mpsc;
/// use std::time::{Duration, Instant};
/// use vat_runtime::{Args, Fault, HostLoop, Reply, Turn, Value, Vat};
///
/// // What wakes the host's loop: an event of its own kind.
/// let (event, events) = mpsc::channel();
/// let host = HostLoop::new(move || drop(event.send(())));
/// let vat = Vat::new("game", host.clone());
/// let echo = vat.spawn(|_: &mut Turn<'_>, args: Args| -> Result<Reply, Fault> {
///     Ok(Reply::value(args))
/// });
/// let answer = echo.send(vec!["hello".into()]);
///
/// while events.try_recv().is_ok() {
///     let frame_ends = Instant::now() + Duration::from_millis(4);
///     while host.pump_while(|| Instant::now() < frame_ends) {
///         // Out of time for this frame: draw, and go on in the next one.
///     }
/// }
/// assert_eq!(answer.wait(), Ok(vec!["hello"].into()));
/// ```
pub struct HostLoop {
    ready: Mutex<VecDeque<ReadyVat>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl HostLoop {
    /// How many turns a vat runs before the next one has its chance.
    const SLICE: usize = 16;

    /// A scheduler that calls `wake` when there is something to do and was nothing
    /// before: on any thread, perhaps in a `Drop` or while the host is pumping. It
    /// should have the host pump soon, and not pump itself.
    #[must_use]
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { ready: Mutex::new(VecDeque::new()), wake: Box::new(wake) })
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<ReadyVat>> {
        lock(&self.ready)
    }

    /// Runs up to so many turns on this thread. Returns whether there is more to do: the
    /// host is not woken for what it has left over.
    pub fn pump(&self, turns: usize) -> bool {
        let mut left = turns;
        while left > 0 {
            match self.run_next(left.min(Self::SLICE)) {
                Some(ran) => left = left.saturating_sub(ran),
                None => return false,
            }
        }
        self.has_more()
    }

    /// Runs turns on this thread for as long as `go_on` says so, which is asked every few
    /// turns. Returns whether there is more to do.
    pub fn pump_while(&self, mut go_on: impl FnMut() -> bool) -> bool {
        while go_on() {
            if self.run_next(Self::SLICE).is_none() {
                return false;
            }
        }
        self.has_more()
    }

    /// Whether any vat has something to do.
    #[must_use]
    pub fn has_more(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Runs the vat that has waited longest. How many turns there were, if any was ready.
    fn run_next(&self, turns: usize) -> Option<usize> {
        let next = self.lock().pop_front();
        let (ran, rest) = next?.run_counted(turns);
        if let Ran::More(vat) = rest {
            self.lock().push_back(vat);
        }
        Some(ran)
    }
}

impl Scheduler for HostLoop {
    fn ready(&self, vat: ReadyVat) {
        let mut ready = self.lock();
        ready.push_back(vat);
        let first = ready.len() == 1;
        drop(ready);
        if first {
            (self.wake)();
        }
    }
}

impl fmt::Debug for HostLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostLoop").field(&*self.lock()).finish()
    }
}
