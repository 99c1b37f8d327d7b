//! What the boss tells people: of machines, of enrolments, and of what it has taken back.

use std::collections::BTreeMap;

use ocapn::Passable;

use super::desk::Report;
use super::record::{Binding, State};

/// A machine, for people.
#[derive(Clone, Debug, PartialEq, Passable)]
pub(crate) struct Shown {
    pub(crate) name: String,
    pub(crate) provider: String,
    pub(crate) state: State,
    pub(crate) why: Option<String>,
    /// Whether it has failed because somebody else answered than the one whose key is
    /// pinned.
    #[passable(default)]
    pub(crate) identity_mismatch: bool,
    pub(crate) step: Option<String>,
    pub(crate) identity: Option<String>,
    pub(crate) instance: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) spec: String,
    pub(crate) created: u64,
    /// When it reported last, in milliseconds since 1970.
    pub(crate) seen: Option<u64>,
    /// When its enrolment expires that was not used, likewise.
    pub(crate) enrol_expires: Option<u64>,
    pub(crate) bindings: BTreeMap<String, Binding>,
    pub(crate) generation: u64,
    pub(crate) report: Option<Report>,
}

/// An enrolment, for people.
#[derive(Clone, Debug, PartialEq, Passable)]
pub(crate) struct ShownToken {
    pub(crate) id: String,
    pub(crate) machine: String,
    pub(crate) made: u64,
    pub(crate) expires: u64,
    pub(crate) used_by: Option<String>,
}

/// What was taken back, and what stays valid all the same.
#[derive(Clone, Debug, Default, PartialEq, Passable)]
pub(crate) struct Revoked {
    pub(crate) revoked: Vec<String>,
    pub(crate) stays: Vec<String>,
}
