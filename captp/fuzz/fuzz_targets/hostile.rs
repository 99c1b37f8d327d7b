//! Two peers that speak valid CapTP in invalid order, from the greeting on, gifts and
//! handoffs included: a gift is had by the rules or not at all.
#![no_main]

#[path = "../bodies/mod.rs"]
mod bodies;
#[path = "../../tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    bodies::hostile::hostile(input);
});
