//! What things take in memory while they only are there, on each side: by what the
//! processes have in memory before and after, in processes of their own for each
//! repetition. And how what is there slows down the rest.

use crate::calls::Scale;
use crate::pairs::{Pair, Placement, Starter, Who};
use crate::sockets::Transport;
use crate::table::{Table, Unit};
use crate::work::{Job, SPREAD};

/// Before what is measured, so that what is made once has been made.
const FIRST: usize = 20;

const DIALLING: &str = "idle session, dialling side";
const ACCEPTING: &str = "idle session, accepting side";
const SESSIONS: &str = "1,000 sessions instead of one, calls a second";
const IN_TURN: &str = "1,000 sessions instead of one, 64 calls in a row on each";
const EXPORTER: &str = "exported reference, exporter";
const IMPORTER: &str = "exported reference, importer";
const DROPPING: &str = "dropping 100,000 references";
const BACK_EXPORTER: &str = "memory back after dropping them, exporter";
const BACK_IMPORTER: &str = "memory back after dropping them, importer";
const LEFT: &str = "memory that many calls leave behind";
const LOOKUP: &str = "1,000,000 references held instead of 1,000, a call";
const LOOKUP_ALL: &str = "calls of 1,000,000 in turn instead of 1,000, a call";

/// Measures the rows.
pub(crate) fn measure(table: &mut Table, starter: &Starter, scale: Scale) {
    let peers = if starter.peers.is_some() { &[Who::Peer("capnp-rpc")][..] } else { &[] };
    for rep in 0..table.reps {
        eprintln!("memory: {} of {}", rep + 1, table.reps);
        if table.wants_any([DIALLING, ACCEPTING, SESSIONS, IN_TURN]) {
            ours_sessions(table, starter, scale);
            for who in [Who::Tokio].iter().chain(peers) {
                sessions(table, starter, *who);
            }
        }
        if table.wants_any([EXPORTER, IMPORTER, DROPPING, BACK_EXPORTER, BACK_IMPORTER]) {
            for who in [Who::Ours].iter().chain(peers) {
                references(table, &mut pair(starter, *who));
            }
        }
        if table.wants(LEFT) {
            for who in [Who::Ours].iter().chain(peers) {
                soak(table, &mut pair(starter, *who), scale);
            }
        }
        if table.wants_any([LOOKUP, LOOKUP_ALL]) {
            lookups(table, &mut pair(starter, Who::Ours), scale);
        }
    }
}

fn pair(starter: &Starter, who: Who) -> Pair {
    starter.pair(who, Transport::Unix, Placement::Same, 140)
}

/// What one of [`SPREAD`] more sessions takes, on the side that calls and on the other.
#[allow(clippy::cast_precision_loss, reason = "a thousand")]
fn connect(pair: &mut Pair) -> Option<(f64, f64)> {
    pair.ask(Job::Connect, FIRST)?;
    let before = (pair.resident(), pair.servers_resident());
    pair.ask(Job::Connect, SPREAD)?;
    let each = |before: f64, after: f64| (after - before) / SPREAD as f64;
    Some((each(before.0, pair.resident()), each(before.1, pair.servers_resident())))
}

/// A node that dials does so once for each peer, so that many sessions of one process
/// need many nodes on the other side: each side is measured where it is one node.
fn ours_sessions(table: &mut Table, starter: &Starter, scale: Scale) {
    let (who, transport, placement) = (Who::Ours, Transport::Unix, Placement::Same);
    let many = starter.serve(who, transport, placement, SPREAD + FIRST + 1);
    if let Some((dialling, _)) = connect(&mut starter.call(who, transport, vec![many], 0)) {
        table.add(DIALLING, Unit::Bytes, who.name(), dialling);
    }
    let mut many = pair(starter, who);
    if let Some((_, accepting)) = connect(&mut many) {
        table.add(ACCEPTING, Unit::Bytes, who.name(), accepting);
    }
    if !table.wants_any([SESSIONS, IN_TURN]) {
        return;
    }
    let mut one = pair(starter, who);
    one.ask(Job::Connect, 1);
    let calls = scale.of(200_000);
    // As many calls are under way in all of these. With one session all of them share each
    // read and write; in the first row, with many, each call has its own.
    for (row, job) in [(SESSIONS, Job::Spread), (IN_TURN, Job::InTurn)] {
        if let (Some(one), Some(many)) = (one.ask(job, calls), many.ask(job, calls)) {
            let percent = 100.0 * one.nanoseconds / many.nanoseconds;
            table.add(row, Unit::Percent, who.name(), percent);
        }
    }
}

fn sessions(table: &mut Table, starter: &Starter, who: Who) {
    if let Some((dialling, accepting)) = connect(&mut pair(starter, who)) {
        table.add(DIALLING, Unit::Bytes, who.name(), dialling);
        table.add(ACCEPTING, Unit::Bytes, who.name(), accepting);
    }
}

/// What each of 100,000 references takes, and to be rid of them. The objects are there
/// before, where the candidate can have that.
#[allow(clippy::cast_precision_loss, reason = "a hundred thousand")]
fn references(table: &mut Table, pair: &mut Pair) {
    const REFERENCES: usize = 100_000;
    let who = pair.who.name();
    let mut run = || -> Option<()> {
        pair.ask(Job::Prepare, REFERENCES);
        pair.ask(Job::Hold, REFERENCES / 100)?;
        pair.ask(Job::Release, 1)?;
        let before = (pair.resident(), pair.servers_resident());
        pair.ask(Job::Hold, REFERENCES)?;
        let held = (pair.resident(), pair.servers_resident());
        let released = pair.ask(Job::Release, 1)?;
        let after = (pair.resident(), pair.servers_resident());
        let each = |before: f64, held: f64| (held - before) / REFERENCES as f64;
        table.add(IMPORTER, Unit::Bytes, who, each(before.0, held.0));
        table.add(EXPORTER, Unit::Bytes, who, each(before.1, held.1));
        table.add(DROPPING, Unit::Time, who, released.nanoseconds);
        let back = |before: f64, held: f64, after: f64| 100.0 * (held - after) / (held - before);
        table.add(BACK_IMPORTER, Unit::Percent, who, back(before.0, held.0, after.0));
        table.add(BACK_EXPORTER, Unit::Percent, who, back(before.1, held.1, after.1));
        Some(())
    };
    // Who has no references has no row.
    let _can = run();
}

/// What both processes have grown by after ten million calls since the first tenth.
fn soak(table: &mut Table, pair: &mut Pair, scale: Scale) {
    let calls = scale.of(10_000_000);
    let resident = |pair: &Pair| pair.resident() + pair.servers_resident();
    if pair.ask(Job::Window, calls / 10).is_none() {
        return;
    }
    let before = resident(pair);
    pair.ask(Job::Window, calls - calls / 10);
    table.add(LEFT, Unit::Bytes, pair.who.name(), resident(pair) - before);
}

fn lookups(table: &mut Table, pair: &mut Pair, scale: Scale) {
    const FEW: usize = 1000;
    const MANY: usize = 1_000_000;
    let calls = scale.of(200_000);
    let who = pair.who.name();
    let mut run = || -> Option<()> {
        pair.ask(Job::Prepare, MANY)?;
        pair.ask(Job::Hold, FEW)?;
        let few = pair.ask(Job::Lookup, calls)?;
        pair.ask(Job::Hold, MANY)?;
        let many = pair.ask(Job::Lookup, calls)?;
        let all = pair.ask(Job::LookupAll, calls)?;
        table.add(LOOKUP, Unit::Times, who, many.nanoseconds / few.nanoseconds);
        table.add(LOOKUP_ALL, Unit::Times, who, all.nanoseconds / few.nanoseconds);
        Some(())
    };
    let _can = run();
}
