//! Reports turns that take too long, while they run. Owns [`Watchdog`], and what a vat
//! lets it see of the turn that it is in ([`Pulse`]).
//!
//! Turns pay for being watched with a few plain stores and never look at a clock: the
//! watchdog comes by from time to time and looks whether a vat is still in the turn that
//! it was in the last time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use crate::clock::Clock;
use crate::sync::{AtomicUsize, Ordering};
use crate::vat::{Vat, VatCore};

/// How often a vat is looked at within [`Limits::turn_time`](crate::Limits::turn_time).
const LOOKS: u32 = 4;

/// A turn that takes longer than its vat allows, and is still running.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LongTurn {
    /// The vat's name.
    pub vat: String,
    /// What kind of actor is at work ([`Behaviour::name`](crate::Behaviour::name)): the
    /// innermost, if it was called by others in this turn. `None` for a turn from
    /// outside ([`Vat::run`]) that calls none.
    pub actor: Option<&'static str>,
    /// The turn has run for at least this long.
    pub for_at_least: Duration,
}

impl fmt::Display for LongTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vat, actor, for_at_least } = self;
        let actor = actor.unwrap_or("a turn from outside");
        write!(f, "{actor} in vat {vat} is at one turn for more than {for_at_least:?}")
    }
}

type Report = dyn Fn(&LongTurn) + Send + Sync;

/// Watches vats for turns that take longer than
/// [`Limits::turn_time`](crate::Limits::turn_time): actors that loop or block.
///
/// Each such turn is reported once, to the log (as an error) and to a hook, after
/// between one and one and a half times that limit. It is not stopped, as nothing can
/// stop it: the vat, and the thread it runs on, are lost to all others until it ends.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use std::time::Duration;
/// use vat_runtime::{Args, Fault, Limits, Manual, Reply, SimClock, Turn, Vat, Watchdog};
///
/// let clock = SimClock::new();
/// let heard = Arc::new(Mutex::new(Vec::new()));
/// let hook = heard.clone();
/// let watchdog = Watchdog::new(clock.clone(), move |turn| hook.lock().unwrap().push(turn.clone()));
///
/// let hand = Manual::new();
/// let limits = Limits::default().turn_time(Duration::from_secs(1));
/// let vat = Vat::with_limits("slow", hand.clone(), limits);
/// watchdog.watch(&vat);
///
/// vat.spawn(move |_: &mut Turn<'_>, _: Args| -> Result<Reply, Fault> {
///     clock.advance(Duration::from_secs(2)); // stands for work that takes so long
///     Ok(().into())
/// })
/// .send_only(vec![]);
/// hand.run_until_idle();
/// assert_eq!(heard.lock().unwrap()[0].vat, "slow");
/// ```
pub struct Watchdog {
    clock: Arc<dyn Clock>,
    report: Arc<Report>,
}

impl Watchdog {
    /// A watchdog that comes by when this clock says, and tells the hook what it finds,
    /// on the clock's thread. That must not be one that a looping turn can take.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, report: impl Fn(&LongTurn) + Send + Sync + 'static) -> Self {
        Self { clock, report: Arc::new(report) }
    }

    /// Watches a vat until it stops or is dropped, or the clock is. Vats whose limit is
    /// zero are not watched.
    pub fn watch(&self, vat: &Vat) {
        let limit = vat.core().limits().turn_time;
        if limit > Duration::ZERO {
            let watch = Watch {
                vat: Arc::downgrade(vat.core()),
                clock: Arc::downgrade(&self.clock),
                report: self.report.clone(),
                limit,
                seen: None,
            };
            watch.sleep();
        }
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watchdog")
    }
}

/// One vat under a watchdog's eyes.
struct Watch {
    vat: Weak<VatCore>,
    /// Has this among its alarms, and must not be kept by it.
    clock: Weak<dyn Clock>,
    report: Arc<Report>,
    limit: Duration,
    seen: Option<Seen>,
}

/// The turn that a vat was in at the last look.
#[derive(Clone, Copy)]
struct Seen {
    beat: usize,
    since: Duration,
    reported: bool,
}

impl Watch {
    fn sleep(mut self) {
        let Some(clock) = self.clock.upgrade() else { return };
        let due = clock.now().saturating_add(self.limit / LOOKS);
        let look = move || {
            let now = self.clock.upgrade().map(|clock| clock.now());
            if now.is_some_and(|now| self.look(now)) {
                self.sleep();
            }
        };
        clock.at(due, Box::new(look));
    }

    /// Whether to come again.
    fn look(&mut self, now: Duration) -> bool {
        let Some(vat) = self.vat.upgrade().filter(|vat| !vat.is_stopped()) else { return false };
        let Some(beat) = vat.pulse().turn() else {
            self.seen = None;
            return true;
        };
        let seen = match self.seen {
            Some(seen) if seen.beat == beat => seen,
            _ => Seen { beat, since: now, reported: false },
        };
        let for_at_least = now.saturating_sub(seen.since);
        let report = !seen.reported && for_at_least >= self.limit;
        self.seen = Some(Seen { reported: seen.reported || report, ..seen });
        if report {
            let turn =
                LongTurn { vat: vat.name().to_owned(), actor: vat.pulse().actor(), for_at_least };
            // Not kept alive by those who listen.
            drop(vat);
            tracing::error!(vat = turn.vat, actor = turn.actor, "{turn}");
            (self.report)(&turn);
        }
        true
    }
}

/// How many kinds of actors a vat remembers to have made known.
const KINDS: usize = 16;

/// What a vat shows of the turn that it is in. Set by its strand, seen by anybody.
#[derive(Default)]
pub(crate) struct Pulse {
    /// How many turns have begun and ended: odd within one.
    beats: AtomicUsize,
    /// The key in [`NAMES`] of the actor that is at work; 0 for none.
    actor: AtomicUsize,
    /// Keys that are in [`NAMES`] for sure, each in a place of its own.
    known: [AtomicUsize; KINDS],
}

/// Names of kinds of actors by where their text is, since that fits into a word.
/// Outside of the model that `sync` stands for: it is never held while anything waits.
static NAMES: std::sync::Mutex<BTreeMap<usize, &'static str>> =
    std::sync::Mutex::new(BTreeMap::new());

impl Pulse {
    pub(crate) fn begin(&self) {
        self.actor.store(0, Ordering::Relaxed);
        self.beat();
    }

    pub(crate) fn end(&self) {
        self.beat();
    }

    fn beat(&self) {
        // Nobody else writes.
        let beats = self.beats.load(Ordering::Relaxed);
        self.beats.store(beats.wrapping_add(1), Ordering::Relaxed);
    }

    /// An actor of this name goes to work. Gives who was at it before.
    pub(crate) fn enter(&self, name: &'static str) -> Worker {
        let key = name.as_ptr().addr();
        // Texts are aligned at random: the low bits tell as much as any.
        if let Some(place) = self.known.get(key % KINDS)
            && place.load(Ordering::Relaxed) != key
        {
            NAMES.lock().unwrap_or_else(PoisonError::into_inner).insert(key, name);
            place.store(key, Ordering::Relaxed);
        }
        let before = self.actor.load(Ordering::Relaxed);
        self.actor.store(key, Ordering::Relaxed);
        Worker(before)
    }

    /// The one who was at work before is again.
    pub(crate) fn back_to(&self, Worker(before): Worker) {
        self.actor.store(before, Ordering::Relaxed);
    }

    /// A number for the turn that runs now, if one does.
    fn turn(&self) -> Option<usize> {
        Some(self.beats.load(Ordering::Relaxed)).filter(|beats| beats % 2 == 1)
    }

    fn actor(&self) -> Option<&'static str> {
        let key = self.actor.load(Ordering::Relaxed);
        NAMES.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }
}

/// Who is at work, as [`Pulse`] notes it.
pub(crate) struct Worker(usize);
