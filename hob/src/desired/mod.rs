//! Desired state: what a fleet is to be, how it differs from what it is, and how it gets there.
//!
//! ```text
//!   graph.toml ── graph ──> Graph ── plan(Graph, Actual) ──> Plan (steps for the boss)
//!                             │
//!                             └ per machine: DesiredState ── push and pull ──> reconcile
//!                                                                                 │
//!                            files, packages, services, guix <── executor <── rollout
//! ```
//!
//! [`graph`], [`machine`], [`plan`] and [`reconcile`] do no input or output. [`executor`]
//! does what is to be done on a machine, and keeps what it needs to undo it.
pub(crate) mod executor;
pub(crate) mod graph;
pub(crate) mod limits;
pub(crate) mod machine;
pub(crate) mod names;
pub(crate) mod plan;
pub(crate) mod reconcile;
mod tree;

pub(crate) use crate::fleet::Rules;
