//! Vats in simulated time. Owns [`Simulation`]: stepping by hand and a clock that moves
//! when nothing else does.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SimClock};
use crate::scheduler::Manual;
use crate::vat::Vat;

/// Vats that are stepped by hand and a clock that stands still while any of them has
/// something to do. The same program runs the same way every time, and hours take no
/// longer than what happens in them.
///
/// ```
/// use std::time::Duration;
/// use vat_runtime::{Args, Clock, Fault, Reply, Simulation, Turn};
///
/// let simulation = Simulation::new();
/// let vat = simulation.vat("alarm");
/// let bell = vat.spawn(|_: &mut Turn<'_>, _: Args| -> Result<Reply, Fault> {
///     Ok(Reply::value("ring"))
/// });
/// let (answer, resolver) = vat_runtime::promise();
/// let ring = move || bell.deliver(vec![], Some(resolver));
/// simulation.clock().at(Duration::from_secs(3600), Box::new(ring));
///
/// simulation.run_for(Duration::from_secs(3599));
/// assert_eq!(answer.outcome(), None);
/// simulation.run_for(Duration::from_secs(1));
/// assert_eq!(answer.outcome(), Some(Ok("ring".into())));
/// ```
#[derive(Debug)]
pub struct Simulation {
    hand: Arc<Manual>,
    clock: Arc<SimClock>,
}

impl Simulation {
    /// A simulation with no vats, whose clock says zero.
    #[must_use]
    pub fn new() -> Self {
        Self { hand: Manual::new(), clock: SimClock::new() }
    }

    /// A vat that runs in the simulation.
    #[must_use]
    pub fn vat(&self, name: &str) -> Vat {
        Vat::new(name, self.hand.clone())
    }

    /// What runs the simulation's vats, to make others with limits of their own.
    #[must_use]
    pub const fn scheduler(&self) -> &Arc<Manual> {
        &self.hand
    }

    /// The simulation's time.
    #[must_use]
    pub const fn clock(&self) -> &Arc<SimClock> {
        &self.clock
    }

    /// Runs one turn, or if no vat is ready, moves the clock on and rings the next alarm.
    /// Returns whether there was anything to do.
    pub fn step(&self) -> bool {
        self.hand.step() || self.clock.advance_to_next()
    }

    /// Steps until there is nothing left to do, and returns how many steps it took. Does
    /// not return if there always is, as with a ticker.
    pub fn run_until_idle(&self) -> usize {
        let mut steps = 0;
        while self.step() {
            steps += 1;
        }
        steps
    }

    /// Runs what there is to do within so much simulated time, which passes.
    pub fn run_for(&self, time: Duration) {
        let end = self.clock.now().saturating_add(time);
        loop {
            self.hand.run_until_idle();
            if self.clock.next_alarm().is_none_or(|due| due > end) {
                break;
            }
            self.clock.advance_to_next();
        }
        self.clock.advance(end.saturating_sub(self.clock.now()));
    }
}

impl Default for Simulation {
    fn default() -> Self {
        Self::new()
    }
}
