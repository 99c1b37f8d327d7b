//! Operations and commands in any order, to and on one live session: no panic, tables
//! in order and within their limits after each, nothing left at the end.
#![no_main]

#[path = "../bodies/mod.rs"]
mod bodies;
#[path = "../../tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::ops::ops(input));
