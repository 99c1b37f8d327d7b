//! Conformance of OCapN implementations: the public suite's well-known objects, and
//! checks of any peer that serves them. And a simulator of worlds of peers.

pub mod checks;
pub mod objects;
pub mod scripted;
pub mod sim;
