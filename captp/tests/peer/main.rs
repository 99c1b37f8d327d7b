//! One session for each peer: crossed hellos, second sessions, shared dials, and peers
//! that are not proven to be who they say; gifts and their times.

#[path = "../support/mod.rs"]
mod support;

mod crossed;
mod dials;
mod gifts;
mod unverified;
mod world;
