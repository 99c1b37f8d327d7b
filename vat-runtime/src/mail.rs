//! What a turn of an actormap wants sent. Owns [`Mail`]: it can be looked at, and then
//! dispatched or dropped.

use std::fmt;

use crate::changes::Effect;
use crate::job::Job;
use crate::promise::Message;
use crate::reference::{Kind, Ref};

use crate::{Fault, Value};

/// Something that a turn wants done outside its actormap: usually a message.
///
/// An actormap sends nothing by itself. Whoever holds its mail decides:
/// [`Actormap::dispatch`](crate::Actormap::dispatch) does it, dropping it breaks the
/// promises of its answers.
#[must_use = "dropping mail breaks the promises of its answers"]
pub struct Mail(Option<Effect>);

impl Mail {
    pub(crate) const fn new(effect: Effect) -> Self {
        Self(Some(effect))
    }

    /// What was sent to an actormap from outside.
    pub(crate) fn arrived(job: Job) -> Option<Self> {
        match job {
            Job::Deliver(cell, message) => {
                Some(Self::new(Effect::Send(Ref(Kind::Actor(cell)), message)))
            }
            Job::Handle(handler) => Some(Self::new(Effect::Handle(handler))),
            // Only vats are asked for these.
            Job::Run(_) | Job::Install(..) => None,
        }
    }

    pub(crate) fn into_effect(mut self) -> Option<Effect> {
        self.0.take()
    }

    /// Whom the message is to; for a handler of a promise that has yet to settle, the
    /// promise.
    #[must_use]
    pub fn target(&self) -> Option<&Ref> {
        match self.0.as_ref()? {
            Effect::Send(to, _) | Effect::Listen(to, _) => Some(to),
            Effect::Resolve(..) | Effect::Handle(_) => None,
        }
    }

    /// The arguments of the message, if this is one.
    #[must_use]
    pub fn args(&self) -> Option<&[Value]> {
        match self.0.as_ref()? {
            Effect::Send(_, Message { args, .. }) => Some(args),
            _ => None,
        }
    }

    /// Whether this is a message whose sender wants an answer.
    #[must_use]
    pub const fn wants_answer(&self) -> bool {
        matches!(&self.0, Some(Effect::Send(_, Message { answer: Some(_), .. })))
    }

    /// Whether what this is to lives elsewhere: in another vat or actormap, or at a peer.
    pub(crate) fn is_far(&self, near: impl FnOnce(&Ref) -> bool) -> bool {
        match self.target() {
            Some(to) if to.is_remote() => true,
            Some(to) => to.actor().is_some() && !near(to),
            None => false,
        }
    }
}

impl Drop for Mail {
    fn drop(&mut self) {
        if let Some(effect) = self.0.take() {
            effect.refuse(&Fault::from("the message was not sent"));
        }
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(Effect::Send(to, Message { args, answer, .. })) => f
                .debug_struct("Message")
                .field("to", to)
                .field("args", args)
                .field("wants_answer", &answer.is_some())
                .finish(),
            Some(Effect::Listen(to, _)) => f.debug_tuple("Listen").field(to).finish(),
            Some(Effect::Resolve(_, outcome)) => f.debug_tuple("Resolve").field(outcome).finish(),
            Some(Effect::Handle(_)) => f.write_str("Handler"),
            None => f.write_str("Nothing"),
        }
    }
}
