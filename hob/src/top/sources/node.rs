//! A node: its sessions.

use std::sync::PoisonError;

use ocapn::Passable;
use tokio::time::Instant;

use super::Session;
use crate::top::model::{self, Counters, Found};

/// A session, as a node's admin object tells of it. What an older one does not tell is
/// nothing.
#[derive(Clone, Debug, Default, Passable)]
#[passable(rename_all = "kebab-case")]
struct Told {
    #[passable(default)]
    number: u64,
    transport: String,
    peer: String,
    verified: bool,
    messages_in: u64,
    messages_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    #[passable(default)]
    queued_bytes: u64,
    #[passable(default)]
    waiting_bytes: u64,
    #[passable(default)]
    parked_bytes: u64,
    #[passable(default)]
    paced: bool,
    #[passable(default)]
    exports: u64,
    #[passable(default)]
    imports: u64,
    #[passable(default)]
    questions: u64,
    #[passable(default)]
    answers: u64,
}

/// Asks for the sessions.
pub(super) async fn look(session: &mut Session) -> anyhow::Result<()> {
    let all: Vec<Told> = session.ask("sessions", Vec::new()).await?;
    let at = Instant::now().saturating_duration_since(session.asked.epoch);
    let own = session.asked.own.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let all = all.into_iter().map(|told| model::Session {
        number: told.number,
        own: own.contains(&told.peer),
        peer: told.peer,
        transport: told.transport,
        verified: told.verified,
        counters: Counters {
            messages_in: told.messages_in,
            messages_out: told.messages_out,
            bytes_in: told.bytes_in,
            bytes_out: told.bytes_out,
        },
        queued: told.queued_bytes,
        waiting: told.waiting_bytes.saturating_add(told.parked_bytes),
        paced: told.paced,
        exports: told.exports,
        imports: told.imports,
        questions: told.questions,
        answers: told.answers,
        rates: None,
    });
    session.found(Found::Sessions(at, all.collect()));
    Ok(())
}
