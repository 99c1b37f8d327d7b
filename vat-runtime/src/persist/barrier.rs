//! What output waits for: turns whose changes are to be durable. Owns [`Barrier`], which
//! a store implements and whoever sends to the outside asks.

use std::sync::Arc;
use std::task::Waker;

/// How far the changes of turns have come on their way to stable storage.
///
/// Turns that change what is durable are numbered in the order in which they end, from 1,
/// across all the vats of a store. A turn has its number before anything that it sent or
/// answered is on its way, so that whoever writes something for the outside asks
/// [`Barrier::pending`] then, and lets it out when [`Barrier::durable`] has come so far:
/// nothing can be heard of a turn that a crash would undo (*output commit*).
///
/// Asked for every message, by any thread, with locks held: an implementation answers from
/// atomics, and takes no lock that it holds while it wakes or writes.
pub trait Barrier: Send + Sync + 'static {
    /// The number of the latest turn that changed what is durable; 0 before the first.
    /// Never falls.
    fn pending(&self) -> u64;

    /// The number up to which all turns are on stable storage. Never falls, and comes to
    /// [`Barrier::pending`] in a time unless the store fails.
    fn durable(&self) -> u64;

    /// Why nothing more will be durable, if the store has failed. There is no way back:
    /// what waits then never leaves.
    fn failed(&self) -> Option<Arc<str>>;

    /// Wakes this each time that [`Barrier::durable`] has advanced, and when the store
    /// fails; from the store's own thread or any other, with no lock held that the other
    /// methods want.
    fn watch(&self, waker: Waker);
}
