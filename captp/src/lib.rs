//! The OCapN capability transport protocol (CapTP), sans-IO.

pub mod locator;
mod passable;

pub use passable::{ErrorValue, Passable, Record, Tagged};
