//! Executors: what makes a machine as its desired state says.
//!
//! | | |
//! |---|---|
//! | [`Files`] | files with content, mode and owner; the former ones are kept |
//! | [`Packages`] | packages of apt |
//! | [`Services`] | services of systemd |
//! | [`Shepherd`] | services that hob itself runs |
//! | [`Guix`] | one Guix profile, or the Guix system |
//! | [`Composite`] | all of them, in order |
//! | [`Rollout`] | generations on disk, and confirm-or-rollback |
//!
//! Each owns what it made and nothing else, and remembers on disk what it owns: it is
//! written down before it is done, so that whoever is killed in between knows of it.
//! Whatever is done, is done again without harm.

mod command;
mod composite;
mod files;
mod guix;
mod packages;
mod rollout;
mod services;
mod shepherd;
pub(crate) mod store;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::machine::{DesiredState, Generation};
pub(crate) use crate::providers::Progress;
pub(crate) use composite::Composite;
pub(crate) use files::{Files, FilesSettings};
pub(crate) use guix::{Guix, GuixSettings};
pub(crate) use packages::{Packages, PackagesSettings};
pub(crate) use rollout::{Rollout, RolloutError, RolloutSettings};
pub(crate) use services::{Services, ServicesSettings};
pub(crate) use shepherd::{Running, Shepherd};

/// Makes a part of a machine as it is to be. All calls may block.
pub(crate) trait Executor: Send {
    /// What there is to know about this part, by names that begin with the part's.
    ///
    /// # Errors
    ///
    /// [`ExecutorError`].
    fn facts(&self) -> Result<Facts, ExecutorError>;

    /// In what the machine differs from the state. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`ExecutorError`]; also if the state wants what can't be had here.
    fn diff(&self, wanted: &DesiredState) -> Result<Vec<Drift>, ExecutorError>;

    /// Removes what this has made and the state no longer wants, and puts back what was
    /// there before.
    ///
    /// # Errors
    ///
    /// [`ExecutorError`]. What is left is removed by the next call.
    fn retire(
        &mut self,
        wanted: &DesiredState,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError>;

    /// Makes what the state wants.
    ///
    /// # Errors
    ///
    /// [`ExecutorError`]. What is left is made by the next call.
    fn establish(
        &mut self,
        wanted: &DesiredState,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError>;

    /// Removes what is not wanted, then makes what is.
    ///
    /// # Errors
    ///
    /// As those two.
    fn apply(
        &mut self,
        wanted: &DesiredState,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        let mut outcome = self.retire(wanted, progress)?;
        outcome.changed.append(&mut self.establish(wanted, progress)?.changed);
        Ok(outcome)
    }

    /// Goes back to a generation that this has applied before.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply), which it is unless there is a better way.
    fn rollback(
        &mut self,
        generation: &Generation,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        self.apply(&generation.state, progress)
    }
}

/// What there is to know about a machine: `packages.installed` and the like.
pub(crate) type Facts = BTreeMap<String, String>;

/// Something in which a machine differs from what it is to be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Drift {
    /// Which part: `files`, `packages`.
    pub(crate) part: &'static str,
    /// What: the path of a file, the name of a package.
    pub(crate) item: String,
    /// What is to be. Never what is in a file.
    pub(crate) wanted: String,
    /// What is.
    pub(crate) found: String,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, item, wanted, found } = self;
        write!(f, "{part} {item}: {found} instead of {wanted}")
    }
}

/// What an executor has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Outcome {
    /// What was changed, in order: `files: wrote /etc/motd`.
    pub(crate) changed: Vec<String>,
}

/// Why an executor has not done what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part} {item}: {why}")]
pub(crate) struct ExecutorError {
    /// Which part: `files`, `packages`.
    pub(crate) part: &'static str,
    /// With what it has to do.
    pub(crate) item: String,
    /// What went wrong.
    pub(crate) why: String,
}

impl ExecutorError {
    pub(crate) fn new(part: &'static str, item: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { part, item: item.into(), why: why.to_string() }
    }
}

/// A moment at which the process may be killed: tests do so.
fn checkpoint() {
    #[cfg(test)]
    tests::faults::checkpoint();
}
