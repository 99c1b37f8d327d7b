//! The OCapN capability transport protocol (CapTP), sans-IO.

pub mod locator;
mod passable;
mod position;

pub use passable::{ErrorValue, Passable, Record, Tagged};
pub use position::{AnswerPos, ExportPos, ImportPos, RemotePos};
