//! Output commit: what a turn has sent may leave the process only once the turn is
//! durable. Owns [`Barrier`], all that a session needs to know of a store.

/// How far what has happened has been written down.
///
/// The turns of a store's vats are numbered in the order in which they ended. Whoever
/// is about to let something out of the process takes the number of the last of them,
/// [`Barrier::pending`], and lets it out when [`Barrier::durable`] has reached that.
pub trait Barrier: Send + Sync + 'static {
    /// The last turn that changed something durable. What is sent by a turn is sent
    /// after the turn has its number.
    fn pending(&self) -> u64;

    /// The last turn that will be there after a crash. Never falls, and is never more
    /// than [`Barrier::pending`].
    fn durable(&self) -> u64;

    /// Whether writing has failed. Nothing more becomes durable: what waits must never
    /// leave.
    fn failed(&self) -> bool;

    /// Calls once, as soon as `turn` is durable or writing has failed, on a thread of the
    /// store's choice (this one, if it is so already) and with no lock held.
    fn notify(&self, turn: u64, call: Box<dyn FnOnce() + Send>);
}
