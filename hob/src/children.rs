//! The children of this process that somebody waits for. Where services run, their
//! shepherd reaps what is left to it by others: it must not take what is not its own.

use std::collections::BTreeSet;
use std::io;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

static AWAITED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn awaited() -> MutexGuard<'static, BTreeSet<u32>> {
    AWAITED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child that nobody else reaps, until this is dropped.
pub(crate) struct Awaited(u32);

impl Drop for Awaited {
    fn drop(&mut self) {
        awaited().remove(&self.0);
    }
}

/// Starts a child that whoever calls this waits for.
///
/// # Errors
///
/// As [`Command::spawn`].
pub(crate) fn spawn(command: &mut Command) -> io::Result<(Child, Awaited)> {
    // Locked until it is known, so that it is not taken for nobody's if it ends at once.
    let mut awaited = awaited();
    let child = command.spawn()?;
    let id = child.id();
    awaited.insert(id);
    Ok((child, Awaited(id)))
}

/// Does something to a child, if nobody waits for it; nobody begins to meanwhile.
pub(crate) fn if_not_awaited(child: u32, work: impl FnOnce()) {
    let awaited = awaited();
    if !awaited.contains(&child) {
        work();
    }
}
