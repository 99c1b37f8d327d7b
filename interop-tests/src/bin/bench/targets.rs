//! What each row is to be: the targets, in the words of their rows' names.

/// Something a row's figures of ours are to be.
pub(crate) struct Target {
    pub(crate) bound: Bound,
    /// Times somebody's in the same row; without, in the row's own unit.
    pub(crate) of: Option<&'static str>,
}

pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

const fn at_most(figure: f64) -> Target {
    Target { bound: Bound::AtMost(figure), of: None }
}

const fn at_least(figure: f64) -> Target {
    Target { bound: Bound::AtLeast(figure), of: None }
}

impl Target {
    const fn of(self, who: &'static str) -> Self {
        Self { bound: self.bound, of: Some(who) }
    }
}

const KIB: f64 = 1024.0;
const US: f64 = 1e3;
const MS: f64 = 1e6;

#[rustfmt::skip]
static TARGETS: &[(&str, &[Target])] = &[
    ("sequential call, unix", &[at_most(1.4).of("tokio")]),
    ("sequential call, tcp-tls", &[at_most(1.4).of("tokio")]),
    ("64 in flight, processor time of a call, unix", &[at_most(US)]),
    ("10,000 in flight, unix", &[at_least(800_000.0), at_least(8.0).of("capnp-rpc")]),
    ("fire and forget, unix", &[at_least(3_000_000.0)]),
    ("3-deep pipeline, unix, split", &[at_most(1.15).of("tokio")]),
    ("1 MiB payload, unix", &[at_least(0.9).of("tokio")]),
    ("1 MiB payload, tcp", &[at_least(0.9).of("tokio")]),
    ("1 MiB payload, tcp-tls", &[at_least(0.9).of("tokio")]),
    ("session set-up, tcp-tls", &[at_most(1.5).of("tokio")]),
    ("handoff, tcp-tls", &[at_most(1.3).of("tokio")]),
    ("idle session, dialling side", &[at_most(12.0 * KIB)]),
    ("idle session, accepting side", &[at_most(12.0 * KIB)]),
    ("exported reference, exporter", &[at_most(160.0)]),
    ("exported reference, importer", &[at_most(64.0)]),
    ("dropping 100,000 references", &[at_most(20.0 * MS)]),
    ("memory back after dropping them, exporter", &[at_least(90.0)]),
    ("memory back after dropping them, importer", &[at_least(90.0)]),
    ("encode op:deliver", &[at_most(60.0)]),
    ("decode op:deliver to a message", &[at_most(150.0)]),
    ("encode 1,000 structs", &[at_most(55.0 * US)]),
    ("decode 1,000 structs, owned", &[at_most(200.0 * US)]),
    ("decode 1,000 structs, borrowed", &[at_most(100.0 * US)]),
    ("encode a 1 MiB byte array", &[at_most(1.1).of("memcpy")]),
    ("decode a 1 MiB byte array", &[at_most(100.0)]),
    ("$ call inside a vat", &[
        at_most(50.0), at_most(1.0 / 3.0).of("kameo"), at_most(1.0 / 3.0).of("ractor"),
    ]),
    ("near send with promise", &[
        at_most(200.0), at_most(1.0 / 3.0).of("kameo"), at_most(1.0 / 3.0).of("ractor"),
    ]),
    ("1,000 sessions instead of one, calls a second", &[at_least(90.0)]),
    ("memory that many calls leave behind", &[at_most(512.0 * KIB)]),
    ("decoding 64 MiB instead of 1, each byte", &[at_most(1.1)]),
    ("1,000,000 references held instead of 1,000, a call", &[at_most(1.1)]),
];

/// The targets of a row.
pub(crate) fn targets(row: &str) -> &'static [Target] {
    TARGETS.iter().find(|(name, _)| *name == row).map_or(&[], |(_, targets)| targets)
}

/// The rows that have one.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TARGETS.iter().map(|(name, _)| *name)
}
