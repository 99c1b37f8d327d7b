//! The fuzz targets' bodies on the seeds and on seeded mutations of them, with no
//! fuzzer at hand.

#[path = "../fuzz/bodies.rs"]
mod bodies;

use std::fs;
use std::path::Path;

/// A small generator, so that every run is the same.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).expect("it is below a usize")
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the seeds are committed")
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files.iter().map(|file| fs::read(file).expect("readable")).collect()
}

fn mutate(random: &mut Random, input: &mut Vec<u8>) {
    const INTERESTING: &[u8] = b"0123456789+-:\"'[]{}<>#$tfDF\xff\x00";
    for _ in 0..=random.below(3) {
        let at = random.below(input.len() + 1);
        let byte = INTERESTING[random.below(INTERESTING.len())];
        match random.below(4) {
            0 => input.insert(at, byte),
            1 if at < input.len() => input[at] = byte,
            2 if at < input.len() => {
                input.remove(at);
            }
            _ => {
                let from = random.below(input.len() + 1);
                let piece = input[from.min(at)..from.max(at)].to_vec();
                input.splice(at..at, piece);
            }
        }
    }
}

fn smoke(target: &str, body: fn(&[u8])) {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for seed in seeds(target) {
        body(&seed);
        for _ in 0..300 {
            let mut input = seed.clone();
            mutate(&mut random, &mut input);
            body(&input);
        }
    }
}

#[test]
fn decode() {
    smoke("decode", bodies::decode);
}

#[test]
fn round_trip() {
    smoke("round_trip", bodies::round_trip);
}

#[test]
fn scanner_split() {
    smoke("scanner_split", bodies::scanner_split);
}

#[test]
fn text() {
    smoke("text", bodies::text);
}
