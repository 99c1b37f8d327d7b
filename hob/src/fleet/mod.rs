//! The fleet: a boss, and for each machine a pair of presences.
//!
//! A machine is one thing that is present in two places (the unum pattern): its
//! *hob-server presence* lives beside the boss and stands for the machine there, its
//! *hob-client presence* lives on the machine and owns the machine's bindings, the
//! names under which programs there find services.
//!
//! ```text
//!   boss's process                                 machine's process
//!   boss ── machines ── hob-server presence ─────> hob-client presence ── bindings
//!                          ^ register, once
//!                       enrolment <── sturdyref ── (enlivened by the machine)
//! ```

mod boss;
mod enrolment;
mod guestbook;
mod hob_client;
mod hob_server;
#[cfg(test)]
mod tests;

pub(crate) use boss::Boss;
pub(crate) use guestbook::Guestbook;
pub(crate) use hob_client::HobClient;

use ocapn::{SessionInfo, Value};

/// The target of the log lines that tell what happens in the fleet.
pub(crate) const LOG: &str = "fleet";

/// Enough of a designator to tell two peers apart.
pub(crate) fn short(designator: &str) -> String {
    let mut text: String = designator.chars().take(8).collect();
    if text.len() < designator.len() {
        text.push('…');
    }
    text
}

/// Who a peer is: its designator, if it has proven it, or on a netlayer for testing.
fn identity_of(session: Option<&SessionInfo>) -> Option<String> {
    let session = session.filter(|session| session.proof.is_good())?;
    Some(session.peer.designator.clone())
}

/// A struct from names and values.
pub(crate) fn fields<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    Value::Struct(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
}
