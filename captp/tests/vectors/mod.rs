//! Sessions that Endo 1.1 was recorded in, and, if they are there, such of Goblins 0.18.

#![allow(dead_code, reason = "each test binary uses what it needs")]

use std::io::Write as _;
use std::path::Path;

/// One message of a recorded session.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) number: usize,
    pub(crate) sender: String,
    /// The operation, and after a slash the first argument if that is a symbol.
    pub(crate) label: String,
    pub(crate) bytes: Vec<u8>,
}

/// The sessions that were recorded, with names that tell them apart.
pub(crate) const SESSIONS: [&str; 14] = [
    "endo/script",
    "endo/client",
    "endo/gifter-to-exporter",
    "endo/gifter-to-receiver",
    "endo/exporter-to-gifter",
    "endo/exporter-to-receiver",
    "endo/receiver-to-gifter",
    "endo/receiver-to-exporter",
    "scripted-tcp-testing-only",
    "scripted-tcp-tls",
    "scripted-websocket",
    "client-1",
    "handoff-exporter-1",
    "handoff-receiver-1",
];

/// The operations of a recorded session. None, with a note, where those of Goblins are
/// not beside the repository.
pub(crate) fn session(name: &str) -> Vec<Recorded> {
    let ours = name.starts_with("endo/");
    let folder = if ours { "tests/vectors" } else { "../../shared/interop/vectors" };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let Ok(text) = std::fs::read_to_string(folder.join(name).with_extension("hex")) else {
        assert!(!ours, "{name} is part of the repository");
        // Not by eprintln, which the test harness would keep to itself.
        let _said = writeln!(std::io::stderr(), "skipped: no ../shared/interop/vectors/{name}.hex");
        return Vec::new();
    };
    let operations = text.lines().map(recorded);
    operations.filter(|message| message.label.starts_with("op:")).collect()
}

fn recorded(line: &str) -> Recorded {
    let mut words = line.split(' ');
    let mut word = || words.next().unwrap_or_default();
    Recorded {
        number: word().parse().expect("a number"),
        sender: word().to_owned(),
        label: word().to_owned(),
        bytes: unhex(word()),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().map(|digit| digit.to_digit(16).expect("hex")).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("a byte")).collect()
}
