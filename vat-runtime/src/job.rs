//! What a vat does in one turn: a message to deliver, a handler to run, an errand from
//! outside, an actor to put in place. Owns what becomes of each when the vat has stopped.

use std::sync::Arc;

use crate::behaviour::Behaviour;
use crate::cell::Outcome;
use crate::changes::Changes;
use crate::promise::{Message, Resolver, SettlingEnd};
use crate::reference::{ActorCell, Ref};
use crate::snapshot::Snapshot;
use crate::trace::{self, Cause, TurnId, VatLog};
use crate::turn::Turn;
use crate::vat::VatCore;
use crate::{Args, Fault, Value};

/// Why what waited for a stopped vat breaks.
pub(crate) const STOPPED: &str = "the vat has stopped";

/// What a vat does in one turn.
pub(crate) enum Job {
    Deliver(Arc<ActorCell>, Message),
    Handle(Box<Handler>),
    Run(Box<dyn Run>),
    Install(Arc<ActorCell>, Arc<dyn Behaviour>),
}

pub(crate) type HandlerBody = Box<dyn FnOnce(&mut Turn<'_>, Outcome) -> Outcome + Send>;

/// A handler of a promise, to be run as a turn of the vat that registered it.
pub(crate) struct Handler {
    pub(crate) vat: Arc<VatCore>,
    pub(crate) body: HandlerBody,
    pub(crate) me: Option<Arc<ActorCell>>,
    pub(crate) answer: Option<Resolver>,
    /// What the handler is told, once it is known.
    pub(crate) outcome: Outcome,
    /// The turn that set the handler up.
    pub(crate) from: TurnId,
    /// The turn that settled what the handler waited for.
    pub(crate) by: TurnId,
}

impl Handler {
    /// Queues the turn.
    pub(crate) fn post(mut self: Box<Self>) {
        self.by = trace::current();
        let vat = self.vat.clone();
        vat.post(Job::Handle(self));
    }

    /// The handler will never run.
    pub(crate) fn refuse(self, fault: &Fault) {
        if let Some(answer) = self.answer {
            answer.break_with(fault.clone());
        }
    }
}

/// A turn queued from outside, without the type of its result.
pub(crate) trait Run: Send {
    fn run(self: Box<Self>, vat: &Arc<VatCore>, changes: &mut Changes);

    fn refuse(self: Box<Self>, why: &'static str);
}

pub(crate) struct Errand<T, F> {
    pub(crate) body: F,
    pub(crate) end: SettlingEnd<T>,
}

impl<T, F> Run for Errand<T, F>
where
    T: Send + 'static,
    F: FnOnce(&mut Turn<'_>) -> Result<T, Fault> + Send + 'static,
{
    fn run(self: Box<Self>, vat: &Arc<VatCore>, changes: &mut Changes) {
        let Self { body, end } = *self;
        changes.begin(vat, Cause::Errand, None, &[]);
        changes.turn(vat, None, body, |result, _vat| end.settle(result));
    }

    fn refuse(self: Box<Self>, why: &'static str) {
        self.end.settle(Err(why.into()));
    }
}

/// Takes a snapshot of the vat's world.
pub(crate) struct Photograph(pub(crate) SettlingEnd<Snapshot>);

impl Run for Photograph {
    fn run(self: Box<Self>, vat: &Arc<VatCore>, changes: &mut Changes) {
        self.0.settle(Ok(Snapshot::of_vat(vat, changes)));
    }

    fn refuse(self: Box<Self>, why: &'static str) {
        self.0.settle(Err(why.into()));
    }
}

/// Reads the vat's log.
pub(crate) struct ReadLog(pub(crate) SettlingEnd<VatLog>);

impl Run for ReadLog {
    fn run(self: Box<Self>, vat: &Arc<VatCore>, changes: &mut Changes) {
        let (vat, name, events) = (vat.id(), vat.name().to_owned(), changes.events());
        self.0.settle(Ok(VatLog { vat, name, events }));
    }

    fn refuse(self: Box<Self>, why: &'static str) {
        self.0.settle(Err(why.into()));
    }
}

/// Asks an actor as it was after an earlier turn.
pub(crate) struct LookBack {
    pub(crate) turn: u64,
    pub(crate) to: Ref,
    pub(crate) args: Args,
    pub(crate) end: SettlingEnd<Value>,
}

impl Run for LookBack {
    fn run(self: Box<Self>, vat: &Arc<VatCore>, changes: &mut Changes) {
        let Self { turn, to, args, end } = *self;
        end.settle(changes.look_back(vat, turn, &to, args));
    }

    fn refuse(self: Box<Self>, why: &'static str) {
        self.end.settle(Err(why.into()));
    }
}

impl Job {
    pub(crate) fn perform(self, vat: &Arc<VatCore>, changes: &mut Changes) {
        match self {
            Self::Deliver(to, Message { args, answer, load, from }) => {
                drop(load);
                changes.begin(vat, Cause::Message { from }, Some(&to), &args);
                changes.turn(
                    vat,
                    Some(&to),
                    |turn| turn.enter(&to, args),
                    |outcome, vat| vat.answer(answer, outcome),
                );
            }
            Self::Handle(handler) => {
                let Handler { body, me, answer, outcome, from, by, .. } = *handler;
                if let Some(name) = me.as_ref().and_then(|me| changes.actors.name(me.id())) {
                    vat.pulse().enter(name);
                }
                changes.begin(vat, Cause::Settled { from, by }, me.as_ref(), &[]);
                changes.turn(
                    vat,
                    me.as_ref(),
                    |turn| body(turn, outcome),
                    |result, vat| vat.answer(answer, result),
                );
            }
            Self::Run(errand) => errand.run(vat, changes),
            Self::Install(cell, behaviour) => changes.install(&cell, behaviour),
        }
    }

    pub(crate) fn refuse(self, why: &'static str) {
        match self {
            Self::Deliver(_, message) => message.refuse(|| why.into()),
            Self::Handle(handler) => handler.refuse(&why.into()),
            Self::Run(errand) => errand.refuse(why),
            Self::Install(..) => {}
        }
    }
}
