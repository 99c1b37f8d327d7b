//! Conformance of OCapN implementations: the public suite's well-known objects, and
//! checks of any peer that serves them.

pub mod checks;
pub mod objects;
pub mod scripted;
