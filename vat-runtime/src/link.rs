//! References to what lives at a peer. Owns the [`Link`] that a session implements,
//! the handle of a remote object and the handing over of messages.

use std::fmt;
use std::sync::Arc;

use captp::{AnswerPos, ImportPos, Part, RemotePos};

use crate::Args;
use crate::intake::Intake;
use crate::promise::{Message, Resolver};
use crate::route::{Claim, Route};

/// One session with a peer, as the runtime sees it.
///
/// Every method is called with no lock of this crate held, from any thread, also
/// from within a turn's commit: it must not wait for a vat.
pub trait Link: Send + Sync + 'static {
    /// A number that no other link in this process has.
    fn key(&self) -> u64;

    /// Sends a message to an object, promise or answer of the peer. Returns the
    /// answer's position if an answer was asked for.
    ///
    /// The link settles the resolver when the answer comes, and breaks it when the
    /// session ends or is over already. Messages leave in the order of the calls, and
    /// the peer hands them on in that order. A fulfilled answer says that the message
    /// has arrived at its final target: never fulfil one for any other reason.
    fn deliver(&self, to: RemotePos, args: Args, answer: Option<Resolver>) -> Option<AnswerPos>;

    /// Asks the peer to tell the resolver when the promise at `to` settles. Called
    /// at most once for each [`Ref::remote_promise`](crate::Ref::remote_promise).
    fn listen(&self, to: RemotePos, resolver: Resolver);

    /// Asks for a part of what the promise or answer at `from` comes to. Gives the
    /// position of the part's answer, which is released like that of a message; the
    /// resolver is settled as by [`Link::deliver`]. A link that does not do this, or not
    /// with this peer, gives the resolver back.
    ///
    /// # Errors
    ///
    /// The resolver, if the peer was not asked.
    fn extract(
        &self,
        _from: RemotePos,
        _part: &Part,
        answer: Resolver,
    ) -> Result<AnswerPos, Resolver> {
        Err(answer)
    }

    /// The message delivered last came by the session of this intake. A link that has too
    /// much to send calls [`Intake::slow_down`], once, and later [`Intake::speed_up`]: or
    /// one session's peer could have another's ended for what it is sent.
    fn sent_for(&self, _intake: &Arc<Intake>) {}

    /// The last local handle of a position is gone; called exactly once for each
    /// handle made. The handle of an answer is there until the question is answered,
    /// also if nobody waits: the resolver is one, and the peer, which has to resolve
    /// that, keeps the answer for as long anyway. For an import, `generation` is what
    /// the handle was made with; for an answer it is 0.
    ///
    /// Called from `Drop`, perhaps while the link itself is dropping arguments: it
    /// may take only a lock under which nothing is called or dropped. A promise that
    /// settles lets go of its position while the reference to it lives on: from
    /// then on the link must not hand that reference out for the position again.
    fn release(&self, pos: RemotePos, generation: u32);
}

/// The one local handle of an object that a peer has exported to us.
pub(crate) struct RemoteCell {
    pub(crate) link: Arc<dyn Link>,
    pub(crate) pos: ImportPos,
    pub(crate) generation: u32,
}

impl RemoteCell {
    pub(crate) fn deliver(&self, message: Message) {
        // An object stays where it is: no other way to it could be shorter.
        hand_over(&self.link, RemotePos::Import(self.pos), message, || None);
    }
}

impl Drop for RemoteCell {
    fn drop(&mut self) {
        self.link.release(RemotePos::Import(self.pos), self.generation);
    }
}

impl fmt::Debug for RemoteCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of link {}", self.pos, self.link.key())
    }
}

/// Sends a message over a link and lets the promise of its answer, if there is one,
/// pipeline to the answer's position. `claim` is what a fulfilled answer shows.
pub(crate) fn hand_over(
    link: &Arc<dyn Link>,
    to: RemotePos,
    message: Message,
    claim: impl FnOnce() -> Option<Claim>,
) {
    let Message { args, answer, load, .. } = message;
    let cell = answer.as_ref().map(Resolver::cell);
    let pos = link.deliver(to, args, answer);
    if let Some(load) = load {
        link.sent_for(load.intake());
    }
    if let (Some(cell), Some(pos)) = (cell, pos) {
        cell.attach(Route::new(link.clone(), RemotePos::Answer(pos), 0, claim()));
    }
}
