//! How long it takes to have something to call: a new session, an object of a session
//! that is there, and an object that a third party gave. All over `tcp-tls`.

use crate::calls::Scale;
use crate::pairs::{Placement, Starter, Who};
use crate::sockets::Transport;
use crate::table::{Table, Unit};
use crate::work::{Job, Sample};

const SESSION: &str = "session set-up, tcp-tls";
const ENLIVEN: &str = "enliven, tcp-tls";
const HANDOFF: &str = "handoff, tcp-tls";
const ENLIVENS: &str = "enlivens, 64 in flight, tcp-tls";
const HANDOFFS: &str = "handoffs, 64 in flight, tcp-tls";

/// What a handoff takes at least, once receiver and exporter have a session, as seen by
/// the gifter: the gift travels to the receiver; its request for the gift, with the call
/// of it behind, to the exporter; the answer to the receiver; and from there to the
/// gifter. Four journeys, one after the other. (The gifter's deposit travels beside the
/// first.) Without that session, what a session takes comes on top.
const HANDOFF_ROUND_TRIPS: f64 = 2.0;

/// What the floor's messages are long, about as the messages of these rows.
const LENGTH: usize = 300;

/// Measures the rows.
pub(crate) fn measure(table: &mut Table, starter: &Starter, scale: Scale) {
    if !table.wants_any([SESSION, ENLIVEN, HANDOFF, ENLIVENS, HANDOFFS]) {
        return;
    }
    let (transport, placement) = (Transport::Tls, Placement::Same);
    let mut floor = starter.pair(Who::Tokio, transport, placement, LENGTH);
    let exporter = starter.serve(Who::Ours, transport, placement, 1);
    let receiver = starter.serve(Who::Ours, transport, placement, 1);
    let mut ours = starter.call(Who::Ours, transport, vec![exporter, receiver], LENGTH);
    let sessions = scale.of(100).max(20);
    let (lookups, pings) = (scale.of(2000), scale.of(4000));
    let rate = |sample: Sample| sample.count * 1e9 / sample.nanoseconds;
    for rep in 0..table.reps {
        eprintln!("sessions: {} of {}", rep + 1, table.reps);
        // The dialling side's part of the handshake, until it may speak.
        let Some(handshake) = floor.ask(Job::Session, sessions) else { return };
        table.add(SESSION, Unit::Time, Who::Tokio.name(), handshake.p50);
        if let Some(session) = ours.ask(Job::Session, sessions) {
            table.add(SESSION, Unit::Time, Who::Ours.name(), session.p50);
        }
        let Some(ping) = floor.ask(Job::Call, pings) else { return };
        table.add(ENLIVEN, Unit::Time, Who::Tokio.name(), ping.p50);
        if let Some(enliven) = ours.ask(Job::Enliven, lookups) {
            table.add(ENLIVEN, Unit::Time, Who::Ours.name(), enliven.p50);
        }
        table.add(HANDOFF, Unit::Time, Who::Tokio.name(), HANDOFF_ROUND_TRIPS * ping.p50);
        if let Some(handoff) = ours.ask(Job::Handoff, lookups) {
            table.add(HANDOFF, Unit::Time, Who::Ours.name(), handoff.p50);
        }
        for (row, job) in [(ENLIVENS, Job::Enlivens), (HANDOFFS, Job::Handoffs)] {
            if let Some(sample) = ours.ask(job, lookups) {
                table.add(row, Unit::Rate, Who::Ours.name(), rate(sample));
            }
        }
    }
}
