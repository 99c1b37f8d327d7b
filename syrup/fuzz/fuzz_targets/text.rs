//! Runs `bodies::text` on what the fuzzer makes up.
#![no_main]

#[allow(dead_code, reason = "each target uses its own")]
#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::text(input));
