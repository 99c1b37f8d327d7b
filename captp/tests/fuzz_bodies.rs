//! What the fuzzers do, on random bytes that are the same every time.

#[path = "../fuzz/bodies/mod.rs"]
mod bodies;
mod support;

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

fn seeded() -> Config {
    Config {
        cases: if cfg!(miri) { 2 } else { 256 },
        rng_seed: RngSeed::Fixed(0x0ca9),
        failure_persistence: None,
        ..Config::default()
    }
}

#[test]
fn operations_and_commands_in_any_order() {
    proptest!(seeded(), |(input in prop::collection::vec(any::<u8>(), 0..600))| {
        bodies::ops::ops(&input);
    });
}

#[test]
fn valid_captp_in_invalid_order() {
    let granted = Cell::new(0);
    proptest!(seeded(), |(input in prop::collection::vec(any::<u8>(), 0..400))| {
        granted.set(granted.get() + bodies::hostile::hostile(&input));
    });
    assert!(granted.get() > 0, "some requests are good ones");
}

/// Inputs that fuzzers have found something with, or gone somewhere new.
#[test]
fn what_was_found_stays_fixed() {
    for (folder, body) in [
        ("ops", bodies::ops::ops as fn(&[u8])),
        ("hostile", |input| _ = bodies::hostile::hostile(input)),
    ] {
        let seeds = std::fs::read_dir(format!("fuzz/seeds/{folder}")).unwrap();
        let inputs: Vec<_> = seeds.map(|seed| std::fs::read(seed.unwrap().path())).collect();
        assert!(inputs.len() > 10);
        inputs.iter().for_each(|input| body(input.as_ref().unwrap()));
    }
}
