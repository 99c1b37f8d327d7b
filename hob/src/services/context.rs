//! What services do things with: the world, the time, and where to put what is not kept.

use std::sync::Arc;

use ocapn::{Clock, Vat};

use super::process::World;
use super::zone::Zone;

/// What controllers do things with. No part of what is stored.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) world: Arc<dyn World>,
    /// Counts from 1970.
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) zone: Zone,
    /// Where the actors live that end with the process: what changes often is not stored.
    pub(crate) live: Vat,
}

impl Context {
    /// Milliseconds since 1970.
    pub(crate) fn millis(&self) -> i64 {
        i64::try_from(self.clock.now().as_millis()).unwrap_or(i64::MAX)
    }

    pub(crate) fn seconds(&self) -> i64 {
        self.millis().div_euclid(1000)
    }
}
