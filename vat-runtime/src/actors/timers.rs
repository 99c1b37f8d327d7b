//! Time: a promise for later, something done again and again, and an actor that gives
//! others such promises. Which clock says whether time is real or simulated.
//!
//! None of these is durable: what waits for a time is lost with its process. Keep the
//! time in an actor that is, and set it anew.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::arguments::Call;
use super::effect::after_turn;
use crate::{
    Alarm, Args, Behaviour, Clock, Fault, Promise, Ref, Reply, Resolver, Turn, Value, WeakRef,
    promise,
};

/// A promise that is fulfilled with true after that time; at once if it is zero.
///
/// It breaks if the clock ends before.
pub fn timeout<C: Clock + ?Sized>(turn: &mut Turn<'_>, clock: &Arc<C>, after: Duration) -> Promise {
    let (promise, resolver) = promise();
    let (clock, due) = (clock.clone(), clock.now().saturating_add(after));
    after_turn(turn, move || clock.at(due, fulfil(resolver, true.into())));
    promise
}

fn fulfil(resolver: Resolver, value: Value) -> Alarm {
    Box::new(move || resolver.fulfill(value))
}

/// Gives promises for later: `timeout seconds [result]` (true if there is none) and
/// `now`, the clock's time in seconds.
///
/// Not durable: it is made with a clock.
pub struct Timer {
    clock: Arc<dyn Clock>,
    limit: usize,
    /// Each alarm that waits holds one more.
    waiting: Arc<()>,
}

impl Timer {
    /// How many timeouts wait before the timer refuses more, where nothing else is said.
    pub const DEFAULT_LIMIT: usize = 4096;

    /// A timer of that clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, limit: Self::DEFAULT_LIMIT, waiting: Arc::default() }
    }

    /// The same timer with another limit to the timeouts that wait.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }
}

impl Behaviour for Timer {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut call = Call::method("timer", args)?;
        match call.name() {
            "timeout" => {
                let seconds = call.required("seconds")?;
                let result = call.optional("result")?.unwrap_or(Value::Bool(true));
                call.end()?;
                let after = Duration::try_from_secs_f64(seconds)
                    .map_err(|_| call.fault("seconds is a time from now on"))?;
                if Arc::strong_count(&self.waiting) > self.limit {
                    let limit = self.limit;
                    return Err(call.fault(format_args!("more than {limit} timeouts wait")));
                }
                let (promise, resolver) = promise();
                let (clock, due) = (self.clock.clone(), self.clock.now().saturating_add(after));
                let waiting = self.waiting.clone();
                after_turn(turn, move || {
                    let alarm = move || {
                        drop(waiting);
                        resolver.fulfill(result);
                    };
                    clock.at(due, Box::new(alarm));
                });
                Ok(promise.into())
            }
            "now" => {
                call.end()?;
                Ok(self.clock.now().as_secs_f64().into())
            }
            _ => call.otherwise("timeout seconds [result], now"),
        }
    }
}

/// Sends the message to the target at every multiple of the period from now, and not
/// before the last one was answered: what was missed meanwhile is left out.
///
/// Gives what ends it: `cancel` does, and so does dropping the reference. Not durable.
///
/// # Errors
///
/// If the period is zero.
pub fn interval(
    turn: &mut Turn<'_>,
    clock: Arc<dyn Clock>,
    period: Duration,
    target: Ref,
    args: Args,
) -> Result<Ref, Fault> {
    if period.is_zero() {
        return Err("an interval takes time".into());
    }
    let interval = turn.spawn(Interval { running: true });
    let due = clock.now().saturating_add(period);
    let bell = Bell { clock, period, target, args, interval: interval.downgrade() };
    let clock = bell.clock.clone();
    let bell = turn.spawn(bell);
    after_turn(turn, move || ring_at(&*clock, due, bell));
    Ok(interval)
}

fn ring_at(clock: &dyn Clock, due: Duration, bell: Ref) {
    let nanos = u64::try_from(due.as_nanos()).unwrap_or(u64::MAX);
    clock.at(due, Box::new(move || bell.send_only(vec![nanos.into()])));
}

/// What the owner of an interval holds.
struct Interval {
    running: bool,
}

impl Behaviour for Interval {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let call = Call::method("interval", args)?;
        match call.name() {
            "cancel" => {
                call.end()?;
                Ok(Reply::becomes(Self { running: false }))
            }
            _ => call.otherwise("cancel"),
        }
    }
}

/// What the clock rings. Nobody else knows of it.
struct Bell {
    clock: Arc<dyn Clock>,
    period: Duration,
    target: Ref,
    args: Args,
    interval: WeakRef,
}

impl Bell {
    /// The next multiple of the period that is yet to come.
    fn next(due: Duration, period: Duration, now: Duration) -> Duration {
        let missed = now.saturating_sub(due).as_nanos() / period.as_nanos().max(1);
        let skipped = u32::try_from(missed).unwrap_or(u32::MAX);
        due.saturating_add(period.saturating_mul(skipped.saturating_add(1)))
    }
}

impl Behaviour for Bell {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let due = Duration::from_nanos(Call::plain("bell", args).only("due")?);
        let running =
            self.interval.upgrade().and_then(|owner| turn.behaviour_as::<Interval>(&owner));
        if !running.is_some_and(|interval| interval.running) {
            return Ok(().into());
        }
        let answer = turn.send(&self.target, self.args.clone());
        let (clock, period) = (self.clock.clone(), self.period);
        turn.on(answer, move |turn, _answer| {
            let due = Self::next(due, period, clock.now());
            let bell = turn.me();
            after_turn(turn, move || ring_at(&*clock, due, bell));
        });
        Ok(().into())
    }
}

/// A clock's time, counted from the beginning of 1970, so that a time that an actor
/// has stored means the same after a restart. It goes as the clock goes: that the
/// system's time is set meanwhile is not noticed.
pub struct UnixClock {
    clock: Arc<dyn Clock>,
    /// What the clock's zero is.
    epoch: Duration,
}

impl UnixClock {
    /// The clock, set by the system's time.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::set_to(clock, now)
    }

    /// The clock, set to that time: for simulations.
    #[must_use]
    pub fn set_to(clock: Arc<dyn Clock>, now: Duration) -> Arc<Self> {
        let epoch = now.saturating_sub(clock.now());
        Arc::new(Self { clock, epoch })
    }
}

impl Clock for UnixClock {
    fn now(&self) -> Duration {
        self.epoch.saturating_add(self.clock.now())
    }

    fn at(&self, due: Duration, alarm: Alarm) {
        self.clock.at(due.saturating_sub(self.epoch), alarm);
    }
}
