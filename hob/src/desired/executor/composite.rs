//! All parts of a machine's state, in order.
//!
//! Files come first, so that a package's service finds its configuration when it starts
//! for the first time; then packages; then Guix, which may need either; services last,
//! since they come with packages and read files. What is no longer wanted goes before
//! anything comes, in the opposite order: a service is stopped before its package goes.

use super::{Drift, Executor, ExecutorError, Facts, Outcome, Progress};
use crate::desired::machine::{DesiredState, Generation};

/// Several executors that are one.
pub(crate) struct Composite(Vec<Box<dyn Executor>>);

impl Composite {
    /// These, in that order.
    pub(crate) fn new(parts: Vec<Box<dyn Executor>>) -> Self {
        Self(parts)
    }
}

impl Executor for Composite {
    fn facts(&self) -> Result<Facts, ExecutorError> {
        let mut facts = Facts::new();
        for part in &self.0 {
            facts.append(&mut part.facts()?);
        }
        Ok(facts)
    }

    fn diff(&self, wanted: &DesiredState) -> Result<Vec<Drift>, ExecutorError> {
        let mut drift = Vec::new();
        for part in &self.0 {
            drift.append(&mut part.diff(wanted)?);
        }
        Ok(drift)
    }

    fn retire(
        &mut self,
        wanted: &DesiredState,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        let mut outcome = Outcome::default();
        for part in self.0.iter_mut().rev() {
            outcome.changed.append(&mut part.retire(wanted, progress)?.changed);
        }
        Ok(outcome)
    }

    fn establish(
        &mut self,
        wanted: &DesiredState,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        let mut outcome = Outcome::default();
        for part in &mut self.0 {
            outcome.changed.append(&mut part.establish(wanted, progress)?.changed);
        }
        Ok(outcome)
    }

    fn rollback(
        &mut self,
        generation: &Generation,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        let mut outcome = Outcome::default();
        // As in `apply`: first away with what is not wanted, then each part in its own way.
        outcome.changed.append(&mut self.retire(&generation.state, progress)?.changed);
        for part in &mut self.0 {
            outcome.changed.append(&mut part.rollback(generation, progress)?.changed);
        }
        Ok(outcome)
    }
}
