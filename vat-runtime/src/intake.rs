//! How much a session may have waiting in this process. Owns [`Intake`]: what it counts,
//! and when whoever reads from the session is to stop and to go on.
//!
//! # Why pacing ends by itself
//!
//! A reader that stops also stops hearing answers, so it must not wait for anything
//! that could depend on what it would read:
//!
//! - A vat that is behind depends on nothing but its scheduler. Turns never block: a
//!   turn that wants an answer registers a handler and ends. So a vat gets through what
//!   waits for it whatever its peers do, and stopping or dropping it empties it as well.
//!   (An actor that for ever sends itself more than it takes keeps its vat behind, and
//!   those who call it paced. That is a fault in this process, and it is bounded: past
//!   ten times [`Limits::queue`](crate::Limits::queue) such sends break.)
//! - A promise that has not settled may well depend on what comes next by the same
//!   session. So what waits in promises never paces: there is a bound beyond which the
//!   session is to be ended ([`Intake::is_overrun`]).
//! - A peer that messages go on to may take them only once we have read from it, or from
//!   others. So where that is too slow the reader is not stopped but slowed
//!   ([`Intake::is_slowed`]).

use std::fmt;
use std::sync::Arc;

use crate::promise::{Message, Resolver};
use crate::sync::{AtomicBool, AtomicUsize, Ordering};
use crate::trace::TurnId;
use crate::{Args, Ref, Value};

/// What each message counts in addition to its arguments, in bytes.
const PER_MESSAGE: usize = 128;

/// What one session has delivered here and no turn has taken yet.
///
/// Messages that are sent with [`Intake::deliver`] count against it, by about what they
/// take in memory, until a turn takes them or they go on to a peer. Whoever reads from
/// the session asks [`Intake::is_paced`] before each read.
///
/// ```
/// use vat_runtime::{Intake, Limits, Manual, Ref, Vat, Behaviour, Reply, Turn, Args, Fault};
///
/// let hand = Manual::new();
/// let vat = Vat::with_limits("busy", hand.clone(), Limits::default().queue(2));
/// let actor = vat.spawn(|_: &mut Turn<'_>, _: Args| -> Result<Reply, Fault> { Ok(().into()) });
///
/// let intake = Intake::new(1 << 20, 1 << 20, || { /* wake the reader */ });
/// for _ in 0..5 {
///     intake.deliver(&actor, vec![], None);
/// }
/// assert!(intake.is_paced());
/// hand.run_until_idle();
/// assert!(!intake.is_paced());
/// ```
pub struct Intake {
    /// Bytes in queues at which to stop reading.
    queued_limit: usize,
    /// Bytes in promises at which to give the session up.
    parked_limit: usize,
    queued: AtomicUsize,
    parked: AtomicUsize,
    /// There was too much in queues, and more than half of that is left.
    heavy: AtomicBool,
    /// How many vats are behind.
    holds: AtomicUsize,
    /// How many links to peers have too much to send.
    slows: AtomicUsize,
    overrun: AtomicBool,
    changed: Box<dyn Fn() + Send + Sync>,
}

impl Intake {
    /// An intake with limits in bytes: above `queued` in the queues of vats the reader is
    /// paced, until it is half of that; above `parked` in promises it is overrun.
    ///
    /// `changed` is called when the intake stops to be paced or slowed, from any thread,
    /// perhaps in a `Drop` and with locks held: it may only wake the reader.
    pub fn new(
        queued: usize,
        parked: usize,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            queued_limit: queued,
            parked_limit: parked,
            queued: AtomicUsize::new(0),
            parked: AtomicUsize::new(0),
            heavy: AtomicBool::new(false),
            holds: AtomicUsize::new(0),
            slows: AtomicUsize::new(0),
            overrun: AtomicBool::new(false),
            changed: Box::new(changed),
        })
    }

    /// Sends a message on behalf of the session: [`Ref::deliver`], counted.
    pub fn deliver(self: &Arc<Self>, to: &Ref, args: Args, answer: Option<Resolver>) {
        let bytes =
            args.iter().fold(PER_MESSAGE, |bytes, value| bytes.saturating_add(weigh(value)));
        let load = Load::new(self, Place::Queue, bytes);
        to.deliver_message(Message { args, answer, load: Some(load), from: TurnId::OUTSIDE });
    }

    /// Counts something else that waits for a promise, until what is given is dropped.
    pub fn park(self: &Arc<Self>, bytes: usize) -> Parked {
        Parked { _load: Load::new(self, Place::Promise, bytes) }
    }

    /// Whether to stop reading for now: a vat that this session has delivered to is too
    /// far behind, or too many bytes wait.
    #[must_use]
    pub fn is_paced(&self) -> bool {
        self.holds.load(Ordering::SeqCst) > 0 || self.heavy.load(Ordering::SeqCst)
    }

    /// Whether to read only a little from time to time: what this session says goes on to
    /// a peer that does not take it as quickly.
    #[must_use]
    pub fn is_slowed(&self) -> bool {
        self.slows.load(Ordering::SeqCst) > 0
    }

    /// A link that messages of this session go on to has too much to send. It has to call
    /// [`Intake::speed_up`] as often later.
    pub fn slow_down(&self) {
        self.slows.fetch_add(1, Ordering::SeqCst);
    }

    /// A link that has called [`Intake::slow_down`] has sent enough.
    pub fn speed_up(&self) {
        if self.slows.fetch_sub(1, Ordering::SeqCst) == 1 {
            (self.changed)();
        }
    }

    /// Whether there was ever more waiting in promises than may be. Nobody can say
    /// whether that will end, so the session has to.
    #[must_use]
    pub fn is_overrun(&self) -> bool {
        self.overrun.load(Ordering::Relaxed)
    }

    /// The limit that an overrun intake has crossed, in bytes.
    #[must_use]
    pub const fn parked_limit(&self) -> usize {
        self.parked_limit
    }

    /// About how many bytes wait in the queues of vats.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// About how many bytes wait for promises to settle.
    #[must_use]
    pub fn parked_bytes(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    /// A vat is behind. It says [`Self::release`] later.
    pub(crate) fn hold(&self) {
        self.holds.fetch_add(1, Ordering::SeqCst);
    }

    /// A vat is not behind any more.
    pub(crate) fn release(&self) {
        self.holds.fetch_sub(1, Ordering::SeqCst);
        self.tell();
    }

    fn tell(&self) {
        if !self.is_paced() {
            (self.changed)();
        }
    }

    fn add(&self, place: Place, bytes: usize) {
        match place {
            Place::Queue => {
                let queued = self.queued.fetch_add(bytes, Ordering::SeqCst) + bytes;
                if queued > self.queued_limit {
                    // Seen at the latest by whoever takes these bytes, which are not to be
                    // had before this.
                    self.heavy.store(true, Ordering::SeqCst);
                }
            }
            Place::Promise => {
                let parked = self.parked.fetch_add(bytes, Ordering::Relaxed) + bytes;
                if parked > self.parked_limit {
                    self.overrun.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    fn subtract(&self, place: Place, bytes: usize) {
        match place {
            Place::Queue => {
                let queued = self.queued.fetch_sub(bytes, Ordering::SeqCst) - bytes;
                if queued <= self.queued_limit / 2
                    && self.heavy.load(Ordering::SeqCst)
                    && self.heavy.swap(false, Ordering::SeqCst)
                {
                    self.tell();
                }
            }
            Place::Promise => {
                self.parked.fetch_sub(bytes, Ordering::Relaxed);
            }
        }
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake")
            .field("queued", &self.queued_bytes())
            .field("parked", &self.parked_bytes())
            .field("paced", &self.is_paced())
            .finish_non_exhaustive()
    }
}

/// Something that waits for a promise: see [`Intake::park`].
#[derive(Debug)]
#[must_use = "dropping it says that nothing waits any more"]
pub struct Parked {
    _load: Load,
}

/// What one message counts, until it is dropped.
#[derive(Debug)]
pub(crate) struct Load {
    intake: Arc<Intake>,
    bytes: u32,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The inbox of a vat, or on its way there.
    Queue,
    /// A promise that has not settled.
    Promise,
}

impl Load {
    fn new(intake: &Arc<Intake>, place: Place, bytes: usize) -> Self {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        intake.add(place, bytes as usize);
        Self { intake: intake.clone(), bytes, place }
    }

    pub(crate) const fn intake(&self) -> &Arc<Intake> {
        &self.intake
    }

    /// The message now waits somewhere else.
    pub(crate) fn wait_in(&mut self, place: Place) {
        if place != self.place {
            let before = std::mem::replace(&mut self.place, place);
            self.intake.add(place, self.bytes as usize);
            self.intake.subtract(before, self.bytes as usize);
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.intake.subtract(self.place, self.bytes as usize);
    }
}

/// About what a value takes in memory. As deep as the value is, which for received
/// ones is bounded.
fn weigh(value: &Value) -> usize {
    let all = |values: &[Value]| values.iter().map(weigh).sum::<usize>();
    let heap = match value {
        Value::String(text) | Value::Symbol(text) => text.len(),
        Value::Bytes(bytes) | Value::Encoded(bytes) => bytes.len(),
        Value::BigInt(int) => usize::try_from(int.bits() / 8).unwrap_or(usize::MAX),
        Value::List(values) | Value::Set(values) => all(values),
        Value::Struct(fields) => {
            fields.iter().map(|(name, value)| size_of_val(name) + name.len() + weigh(value)).sum()
        }
        Value::Map(pairs) => pairs.iter().map(|(key, value)| weigh(key) + weigh(value)).sum(),
        Value::Tagged(tagged) => size_of_val(&**tagged) + tagged.tag.len() + weigh(&tagged.value),
        Value::Error(error) => size_of_val(&**error) + error.message.len() + all(&error.fields),
        Value::Record(record) => weigh(&record.label) + all(&record.fields),
        Value::Sturdyref(_) => PER_MESSAGE,
        _ => 0,
    };
    size_of::<Value>().saturating_add(heap)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{Intake, Load, PER_MESSAGE, Place, weigh};
    use crate::Value;

    #[test]
    fn what_a_message_counts_grows_with_what_it_holds() {
        let long = "x".repeat(1000);
        assert!(weigh(&Value::from(long.as_str())) > 1000);
        let inner = Value::from(vec![Value::from(long.as_str())]);
        let nested = Value::from(vec![inner, Value::from(1)]);
        assert!(weigh(&nested) > 1000 + 3 * size_of::<Value>());
        assert!(weigh(&Value::from(1)) < PER_MESSAGE);
    }

    #[test]
    fn above_its_limit_it_is_paced_until_half_is_left() {
        static CHANGES: AtomicUsize = AtomicUsize::new(0);
        let intake = Intake::new(100, 100, || {
            CHANGES.fetch_add(1, Ordering::SeqCst);
        });
        let mut loads: Vec<_> = (0..10).map(|_| Load::new(&intake, Place::Queue, 10)).collect();
        assert!(!intake.is_paced(), "the limit itself is not too much");
        loads.push(Load::new(&intake, Place::Queue, 10));
        assert!(intake.is_paced());
        loads.truncate(6);
        assert!(intake.is_paced());
        assert_eq!(CHANGES.load(Ordering::SeqCst), 0);
        loads.truncate(5);
        assert!(!intake.is_paced());
        assert_eq!(CHANGES.load(Ordering::SeqCst), 1);
        loads.clear();
        assert_eq!((intake.queued_bytes(), CHANGES.load(Ordering::SeqCst)), (0, 1));
    }

    #[test]
    fn what_moves_from_a_promise_to_a_queue_counts_there() {
        let intake = Intake::new(100, 100, || {});
        let mut load = Load::new(&intake, Place::Promise, 70);
        assert_eq!((intake.queued_bytes(), intake.parked_bytes()), (0, 70));
        load.wait_in(Place::Queue);
        assert_eq!((intake.queued_bytes(), intake.parked_bytes()), (70, 0));
        let other = intake.park(100);
        assert!(!intake.is_overrun() && !intake.is_paced());
        load.wait_in(Place::Promise);
        assert!(intake.is_overrun() && !intake.is_paced());
        drop((load, other));
        assert_eq!((intake.queued_bytes(), intake.parked_bytes()), (0, 0));
    }
}
