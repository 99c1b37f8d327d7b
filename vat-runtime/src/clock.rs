//! Time, as vats know it. Owns the [`Clock`] interface (what time it is, and a call
//! when it is later) and two clocks: a simulated one, and one with a thread.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What is done when the time has come.
pub type Alarm = Box<dyn FnOnce() + Send>;

/// A clock that can be asked the time and told to ring. Which one a program uses says
/// whether its time is real or simulated.
pub trait Clock: Send + Sync + 'static {
    /// Time since a moment that stays the same for this clock.
    fn now(&self) -> Duration;

    /// Calls the alarm once, as soon as [`Clock::now`] is `due` or later, on a thread
    /// of the clock's choice and with no lock held. Alarms that are due at the same
    /// time ring in the order in which they were set. A clock that ends drops its
    /// alarms. One that owns its clock keeps both until it rings.
    fn at(&self, due: Duration, alarm: Alarm);
}

/// Alarms in the order in which they ring: what a [`Clock`] is made of.
#[derive(Default)]
pub struct Alarms {
    waiting: BinaryHeap<Reverse<Waiting>>,
    set: u64,
}

struct Waiting {
    due: Duration,
    /// Breaks ties: how many were set before.
    number: u64,
    alarm: Alarm,
}

impl Alarms {
    /// Notes an alarm.
    pub fn set(&mut self, due: Duration, alarm: Alarm) {
        let number = self.set;
        self.set += 1;
        self.waiting.push(Reverse(Waiting { due, number, alarm }));
    }

    /// When the next alarm is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.waiting.peek().map(|Reverse(next)| next.due)
    }

    /// Takes the next alarm if it is due by `now`. [`ring`] it with no lock held.
    pub fn take_due(&mut self, now: Duration) -> Option<Alarm> {
        let is_due = self.next_due().is_some_and(|due| due <= now);
        is_due.then(|| self.waiting.pop()).flatten().map(|Reverse(next)| next.alarm)
    }
}

/// Calls an alarm. One that panics is logged, and harms no other.
pub fn ring(alarm: Alarm) {
    if catch_unwind(AssertUnwindSafe(alarm)).is_err() {
        tracing::error!("an alarm panicked");
    }
}

impl fmt::Debug for Alarms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarms")
            .field("waiting", &self.waiting.len())
            .field("next_due", &self.next_due())
            .finish()
    }
}

impl Waiting {
    const fn key(&self) -> (Duration, u64) {
        (self.due, self.number)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// A clock that stands still until it is moved. Alarms ring one after the other on the
/// thread that moves it, each at its own time, so the same program runs the same way
/// every time.
///
/// ```
/// use std::sync::mpsc;
/// use std::time::Duration;
/// use vat_runtime::{Clock, SimClock};
///
/// let clock = SimClock::new();
/// let (rang, heard) = mpsc::channel();
/// clock.at(Duration::from_secs(3600), Box::new(move || rang.send("an hour").unwrap()));
/// assert!(clock.advance_to_next());
/// assert_eq!(heard.recv(), Ok("an hour"));
/// assert_eq!(clock.now(), Duration::from_secs(3600));
/// assert!(!clock.advance_to_next());
/// ```
#[derive(Debug, Default)]
pub struct SimClock(Mutex<Simulated>);

#[derive(Debug, Default)]
struct Simulated {
    now: Duration,
    alarms: Alarms,
}

impl SimClock {
    /// A clock that says zero.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn lock(&self) -> MutexGuard<'_, Simulated> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the clock on. Alarms that come due ring in order, also those that others
    /// set meanwhile; each sees the time at which it was due.
    pub fn advance(&self, by: Duration) {
        let end = self.now().saturating_add(by);
        while self.ring_next(end) {}
        let mut clock = self.lock();
        clock.now = clock.now.max(end);
    }

    /// Moves the clock on to the next alarm and rings that one. Returns whether there
    /// was any. An alarm set for a time that has passed rings without moving the clock.
    pub fn advance_to_next(&self) -> bool {
        self.ring_next(Duration::MAX)
    }

    /// When the next alarm rings, if any is set.
    #[must_use]
    pub fn next_alarm(&self) -> Option<Duration> {
        self.lock().alarms.next_due()
    }

    fn ring_next(&self, end: Duration) -> bool {
        let next = {
            let mut clock = self.lock();
            let due = clock.alarms.next_due();
            let alarm = clock.alarms.take_due(end);
            if alarm.is_some() {
                clock.now = clock.now.max(due.unwrap_or_default());
            }
            alarm
        };
        next.map(ring).is_some()
    }
}

impl Clock for SimClock {
    fn now(&self) -> Duration {
        self.lock().now
    }

    fn at(&self, due: Duration, alarm: Alarm) {
        self.lock().alarms.set(due, alarm);
    }
}

/// Real time, with a thread of its own that rings the alarms. It ends when the clock
/// is dropped; alarms that have not rung by then never do.
pub struct ThreadClock(Arc<Shared>);

struct Shared {
    started: Instant,
    state: Mutex<ThreadState>,
    changed: Condvar,
}

#[derive(Default)]
struct ThreadState {
    alarms: Alarms,
    ended: bool,
}

impl ThreadClock {
    /// Starts the clock's thread.
    ///
    /// # Errors
    ///
    /// When the system refuses another thread.
    pub fn start(name: &str) -> io::Result<Arc<Self>> {
        let shared = Arc::new(Shared {
            started: Instant::now(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let clock = Self(shared.clone());
        thread::Builder::new().name(name.into()).spawn(move || shared.run())?;
        Ok(Arc::new(clock))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, ThreadState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        while !state.ended {
            let now = self.started.elapsed();
            if let Some(alarm) = state.alarms.take_due(now) {
                drop(state);
                ring(alarm);
                state = self.lock();
                continue;
            }
            state = match state.alarms.next_due() {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let waited = self.changed.wait_timeout(state, due.saturating_sub(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl Clock for ThreadClock {
    fn now(&self) -> Duration {
        self.0.started.elapsed()
    }

    fn at(&self, due: Duration, alarm: Alarm) {
        let mut state = self.0.lock();
        // The thread sleeps until the earliest one.
        let earlier = state.alarms.next_due().is_none_or(|next| due < next);
        state.alarms.set(due, alarm);
        drop(state);
        if earlier {
            self.0.changed.notify_one();
        }
    }
}

impl Drop for ThreadClock {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        let alarms = std::mem::take(&mut state.alarms);
        drop(state);
        self.0.changed.notify_one();
        // An alarm may own what must not be dropped under the lock.
        drop(alarms);
    }
}

impl fmt::Debug for ThreadClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ThreadClock").field(&self.now()).finish()
    }
}
