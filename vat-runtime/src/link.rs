//! References to what lives at a peer. Owns the [`Link`] that a session implements,
//! the handle of a remote object and the route of a promise that a peer answers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use captp::{AnswerPos, ImportPos, Part, RemotePos};

use crate::Args;
use crate::promise::{Message, Resolver};

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
    /// session ends or is over already. Messages leave in the order of the calls.
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

    /// The last local handle of a position is gone; called exactly once for each
    /// handle made. For an import, `generation` is what the handle was made with;
    /// for an answer it is 0.
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
        deliver(&self.link, RemotePos::Import(self.pos), message);
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

/// Where the messages to an unsettled promise go at once: an answer or a promise
/// at the peer.
pub(crate) struct Route {
    pub(crate) link: Arc<dyn Link>,
    pub(crate) pos: RemotePos,
    generation: u32,
    released: AtomicBool,
    /// The promise's own use of the position and the messages that are just being
    /// handed to the link: a position must not be released before they are.
    users: AtomicUsize,
    /// The promise has settled, but its messages go on along this route, since
    /// earlier ones may still be on it.
    kept: AtomicBool,
}

impl Route {
    pub(crate) fn new(link: Arc<dyn Link>, pos: RemotePos, generation: u32) -> Box<Self> {
        Box::new(Self {
            link,
            pos,
            generation,
            released: AtomicBool::new(false),
            users: AtomicUsize::new(1),
            kept: AtomicBool::new(false),
        })
    }

    pub(crate) fn deliver(&self, message: Message) {
        deliver(&self.link, self.pos, message);
    }

    /// The promise needs the position no more.
    pub(crate) fn release(&self) {
        if !self.released.swap(true, Ordering::AcqRel) {
            self.leave();
        }
    }

    /// Keeps the position while a message is on its way to the link. Called under
    /// the promise's lock, so before the promise can let go of it.
    pub(crate) fn enter(&self) {
        self.users.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn leave(&self) {
        if self.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.link.release(self.pos, self.generation);
        }
    }

    pub(crate) fn keep(&self) {
        self.kept.store(true, Ordering::Release);
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Acquire)
    }
}

/// Sends a message over a link and lets the promise of its answer, if there is one,
/// pipeline to the answer's position.
fn deliver(link: &Arc<dyn Link>, to: RemotePos, message: Message) {
    let Message { args, answer } = message;
    let cell = answer.as_ref().map(Resolver::cell);
    let pos = link.deliver(to, args, answer);
    if let (Some(cell), Some(pos)) = (cell, pos) {
        cell.attach(Route::new(link.clone(), RemotePos::Answer(pos), 0));
    }
}
