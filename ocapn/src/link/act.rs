//! What a session does about what its peer says.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use captp::{Established, Event, LimitExceeded, Question, SessionEnd};
use vat_runtime::{Fault, Promise, Resolver, Value};

use super::{Link, Phase};
use crate::glue::Glue;
use crate::{bootstrap, handoff};

/// About what it takes to tell a peer how a promise settled.
const LISTENER_BYTES: usize = 256;

impl Link {
    pub(super) fn act(self: &Arc<Self>, event: Event<Glue>) {
        match event {
            Event::Started(established) => self.started(*established),
            Event::Deliver { to, args, question } => {
                self.intake.deliver(&to, args, question.map(answer));
                self.check_parked();
            }
            Event::Bootstrap { call, question } => {
                if let Some(hub) = self.hub.upgrade() {
                    bootstrap::receive(&hub, self, call, question.map(answer));
                }
            }
            Event::Handoff { give, resolver } => {
                if let Some(hub) = self.hub.upgrade() {
                    handoff::accept(&hub, self, *give, resolver);
                    self.check_parked();
                }
            }
            Event::Listen { to, listener } => {
                let waits = self.intake.park(LISTENER_BYTES);
                to.when_settled(move |outcome| {
                    drop(waits);
                    Promise::settled(outcome).tell(listener);
                });
                self.check_parked();
            }
            Event::Extract { from, part, question } => from.extract(part, answer(question)),
            Event::Settled { resolver, outcome } => {
                resolver.resolve(outcome.map_err(Fault::from));
            }
            Event::Acknowledge(question) => answer(question).fulfill(Value::Undefined),
            Event::Ended(end) => self.ended(end),
            Event::Unused(_) | Event::Dropped(_) => {}
            // Events are dropped by going out of scope; a kind added to the protocol
            // crate is added here with it.
            _ => {}
        }
    }

    /// Gives up on a peer that has too much waiting for promises.
    fn check_parked(self: &Arc<Self>) {
        if self.intake.is_overrun() && !self.is_ended() {
            self.fail(
                LimitExceeded { name: "parked_bytes", limit: self.intake.parked_limit() as u64 }
                    .into(),
            );
        }
    }

    fn started(self: &Arc<Self>, established: Established) {
        let _first = self.peer.set(established);
        if let Some(hub) = self.hub.upgrade() {
            hub.session_started(self);
        }
        self.phase.send_replace(Phase::Live);
    }

    fn ended(self: &Arc<Self>, end: SessionEnd) {
        let slowed = std::mem::take(&mut self.core().slowed);
        slowed.iter().for_each(|intake| intake.speed_up());
        if let Some(hub) = self.hub.upgrade() {
            hub.session_ended(self, &end);
        }
        self.phase.send_replace(Phase::Ended(end));
        self.ended.store(true, Ordering::SeqCst);
    }
}

/// The resolver of a question, with its listener told of the outcome.
fn answer(question: Question<Glue>) -> Resolver {
    let Question { promise, resolver, listener } = question;
    if let Some(listener) = listener {
        promise.tell(listener);
    }
    resolver
}
