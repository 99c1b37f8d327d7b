//! A process that is killed at any moment: what it has acknowledged is there.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The example `ledger`, which is built along with all tests, or when it is wanted.
fn ledger() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let built = here.parent().and_then(Path::parent).unwrap();
    let ledger = built.join("examples").join(format!("ledger{}", std::env::consts::EXE_SUFFIX));
    if !ledger.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--offline", "-p", "vat-runtime", "--example", "ledger"]);
        assert!(cargo.status().unwrap().success(), "the example `ledger` is built");
    }
    ledger
}

#[test]
fn what_was_acknowledged_survives_being_killed() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("ledger.redb");
    let ledger = ledger();
    let mut acknowledged = 0;
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for life in 0..30 {
        let mut child = Command::new(&ledger)
            .arg(&store)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example `ledger` runs");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut number = || -> Option<u64> { lines.next()?.ok()?.parse().ok() };
        // The first line is what it found.
        let found = number().expect("it opens its store after any crash");
        assert!(found >= acknowledged, "life {life}: {found} of {acknowledged} transfers");
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        for _ in 0..random % 60 {
            acknowledged = number().expect("it goes on");
        }
        child.kill().unwrap();
        // Lines that it wrote before it died are acknowledgements, too.
        while let Some(more) = number() {
            acknowledged = more;
        }
        child.wait().unwrap();
    }
    let check = Command::new(&ledger).arg(&store).arg("--check").output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    let there: u64 = String::from_utf8_lossy(&check.stdout).trim().parse().unwrap();
    assert!(there >= acknowledged && acknowledged > 0);
}
