//! Time, as vats know it. Owns the [`Clock`] interface: what time it is, and a call
//! when it is later.

use std::time::Duration;

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
    /// alarms.
    fn at(&self, due: Duration, alarm: Alarm);
}
