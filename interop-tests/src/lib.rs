//! Conformance of OCapN implementations: the public suite's well-known objects, and
//! checks of any peer that serves them. A simulator of worlds of peers. And the paths that
//! are measured.

pub mod checks;
pub mod hot_paths;
pub mod objects;
pub mod scripted;
pub mod sim;
