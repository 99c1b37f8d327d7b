//! How often the hot paths allocate, counted by a program of its own: a counting
//! allocator would take part in every figure here.

use std::path::Path;
use std::process::Command;

use crate::table::{OURS, Table, Unit};

/// The paths whose counts are rows.
const PATHS: [(&str, &str); 5] = [
    ("call between nodes", "allocations of a call, both sides"),
    ("call between nodes, 64 in flight", "allocations of a call of 64 in flight, both sides"),
    ("take in a burst of op:deliver", "allocations of a message taken in"),
    ("$ call", "allocations of a $ call"),
    ("near send, with its promise", "allocations of a near send with promise"),
];

/// Adds the rows. Counts don't vary, so one run is enough.
pub(crate) fn measure(table: &mut Table) {
    if !table.wants_any(PATHS.iter().map(|(_, row)| row)) {
        return;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let output = Command::new(cargo)
        .args(["run", "--quiet", "--release", "--bin", "allocations", "--manifest-path"])
        .arg(manifest)
        .output();
    let output = output.expect("cargo runs");
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let mut words = line.split('\t');
        let (Some(count), Some(name)) = (words.next(), words.next()) else { continue };
        let row = PATHS.iter().find(|(path, _)| *path == name);
        if let (Some((_, row)), Ok(count)) = (row, count.parse()) {
            table.add(row, Unit::Count, OURS, count);
        }
    }
}
