//! Calls between two processes, by everybody who can make them.

use crate::pairs::{Pair, Placement, Starter, Who};
use crate::sockets::Transport;
use crate::table::{Table, Unit};
use crate::work::{Job, MEBIBYTE, Sample};

/// How much is done in one repetition.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    /// Divides every count that is not part of a row's name.
    pub(crate) divisor: usize,
}

impl Scale {
    pub(crate) const fn of(self, count: usize) -> usize {
        count / self.divisor
    }
}

/// Everybody, the floor first.
const ALL: [Who; 6] = [
    Who::Tokio,
    Who::Blocking,
    Who::Ours,
    Who::Peer("capnp-rpc"),
    Who::Peer("tarpc"),
    Who::Peer("tonic"),
];
/// What the floor's messages are long where nobody says.
const LENGTH: usize = 140;

/// A job and its rows, without where it was done.
struct Measurement {
    job: Job,
    count: usize,
    rows: &'static [Reading],
}

/// A row, and its figure in what came of the job.
type Reading = (&'static str, Unit, fn(&Sample) -> f64);

fn each(sample: &Sample) -> f64 {
    sample.nanoseconds / sample.count
}

fn rate(sample: &Sample) -> f64 {
    sample.count * 1e9 / sample.nanoseconds
}

fn processor(sample: &Sample) -> f64 {
    (sample.client + sample.server) / sample.count
}

#[allow(clippy::cast_precision_loss, reason = "a small power of two")]
fn megabytes(sample: &Sample) -> f64 {
    rate(sample) * MEBIBYTE as f64 / 1e6
}

/// Ten thousand is in the row's name.
const FLIGHT: usize = 10_000;

static MEASUREMENTS: [Measurement; 7] = [
    Measurement {
        job: Job::Call,
        count: 20_000,
        rows: &[
            ("sequential call", Unit::Time, |sample| sample.p50),
            ("sequential call, p99", Unit::Time, |sample| sample.p99),
            ("sequential call, processor time", Unit::Time, processor),
        ],
    },
    Measurement {
        job: Job::Window,
        count: 50_000,
        rows: &[
            ("64 in flight, processor time of a call", Unit::Time, processor),
            ("64 in flight", Unit::Rate, rate),
        ],
    },
    Measurement {
        job: Job::Flight,
        count: FLIGHT,
        rows: &[("10,000 in flight", Unit::Rate, rate)],
    },
    Measurement {
        job: Job::Forget,
        count: 200_000,
        rows: &[("fire and forget", Unit::Rate, rate)],
    },
    Measurement {
        job: Job::Pipeline,
        count: 5000,
        rows: &[("3-deep pipeline", Unit::Time, |sample| sample.p50)],
    },
    Measurement {
        job: Job::Payload,
        count: 200,
        rows: &[("1 MiB payload", Unit::Throughput, megabytes)],
    },
    Measurement {
        job: Job::Pass,
        count: 20_000,
        rows: &[
            ("reference passed and dropped", Unit::Time, each),
            ("references passed and dropped", Unit::Rate, rate),
        ],
    },
];

/// Measures every row of calls.
pub(crate) fn measure(table: &mut Table, starter: &Starter, scale: Scale, split: bool) {
    for transport in [Transport::Unix, Transport::Tcp, Transport::Tls] {
        for placement in [Placement::Same, Placement::Split] {
            measure_on(table, starter, scale, (transport, placement), split);
        }
    }
    loopback(table, starter, scale);
}

/// The rows of one placement on one transport.
fn measure_on(
    table: &mut Table,
    starter: &Starter,
    scale: Scale,
    (transport, placement): (Transport, Placement),
    split: bool,
) {
    let place = match placement {
        Placement::Same => transport.name().to_owned(),
        Placement::Split => format!("{}, split", transport.name()),
    };
    // Where a core wakes the other for each message there is little else to see.
    let belongs = |job: Job| {
        placement == Placement::Same
            || split
            || transport == Transport::Unix && matches!(job, Job::Call | Job::Pipeline)
    };
    let wanted: Vec<_> = MEASUREMENTS.iter().filter(|it| belongs(it.job)).collect();
    let wanted = wanted
        .into_iter()
        .filter(|it| table.wants_any(it.rows.iter().map(|(row, ..)| format!("{row}, {place}"))));
    let wanted: Vec<&Measurement> = wanted.collect();
    if wanted.is_empty() {
        return;
    }
    let size = starter.pair(Who::Ours, transport, placement, LENGTH).ask(Job::Size, 0);
    // A whole number, and a small one.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as above")]
    let size = size.map_or(LENGTH, |sample| sample.count as usize);
    let mut pairs: Vec<Pair> = ALL
        .iter()
        .filter(|who| starter.peers.is_some() || !matches!(who, Who::Peer(_)))
        // It has no TLS of this kind to be asked for.
        .filter(|who| transport != Transport::Tls || **who != Who::Peer("tonic"))
        .map(|who| starter.pair(*who, transport, placement, size))
        .collect();
    for rep in 0..table.reps {
        eprintln!("{place}: {} of {}", rep + 1, table.reps);
        for measurement in &wanted {
            for pair in &mut pairs {
                take(table, measurement, scale, pair, &place);
            }
        }
    }
}

fn take(table: &mut Table, it: &Measurement, scale: Scale, pair: &mut Pair, place: &str) {
    let count = if it.job == Job::Flight { it.count } else { scale.of(it.count) };
    let Some(sample) = pair.ask(it.job, count) else { return };
    for (row, unit, figure) in it.rows {
        table.add(&format!("{row}, {place}"), *unit, pair.who.name(), figure(&sample));
    }
}

/// Ours alone: two nodes in one process.
fn loopback(table: &mut Table, starter: &Starter, scale: Scale) {
    const PLACE: &str = "loopback";
    let row = |row: &str| format!("{row}, {PLACE}");
    if !table.wants_any(MEASUREMENTS.iter().flat_map(|it| it.rows).map(|it| row(it.0))) {
        return;
    }
    let mut pair = starter.pair(Who::OursLoopback, Transport::Unix, Placement::Same, LENGTH);
    for _ in 0..table.reps {
        for measurement in &MEASUREMENTS {
            take(table, measurement, scale, &mut pair, PLACE);
        }
    }
}
