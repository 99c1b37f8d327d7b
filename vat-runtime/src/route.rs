//! The way by which the messages of a promise go to a peer. Owns when that way may
//! be left for a shorter one, and when its position is released.
//!
//! Once a promise has settled, its messages could go straight to what it settled to.
//! Those sent before may still be on their way, through the peer and perhaps through
//! further ones, and must not be overtaken (end-to-end reference FIFO). So the
//! promise goes on sending along its route until the route is *drained*: the last
//! message sent along it wanted an answer, and that answer has been fulfilled.
//!
//! Why this is enough: each hop passes messages on in order, so the last message is
//! behind all others; only its final target can have made a value of it, and so every
//! message before it, wanting an answer or not, has arrived as well. Each message
//! sent along the route, also after the promise has settled, is the last one from
//! then on. What is no evidence:
//!
//! - A broken answer. It may stand for a connection that was lost further on, with
//!   messages still in the buffers of a system on the way.
//! - An answer that becomes an unsettled promise. A peer on the way may have made
//!   that before it passed the message on.
//! - That messages have left, or arrived at the next peer: they may be slow further
//!   on. A settlement at the same peer is no exception, since that peer may stand in
//!   for others.
//! - An answer to a message that was handed to the link while another thread was
//!   handing over one of its own: which of the two went first is not known.
//!
//! When the session ends before the route is drained, it never will be, and messages
//! to the promise break from then on, as they do to everything else at that peer.
//! What was sent before may have reached the peer all the same, or wait in buffers
//! of its system: it may arrive at any time, after a message sent the short way now.
//! Who wants to go on can send to what the promise settled to, which is another
//! reference, with an order of its own.

use std::sync::{Arc, Weak};

use captp::{Part, RemotePos};

use crate::link::{Link, hand_over};
use crate::promise::{Message, Resolver};
use crate::sync::{AtomicU64, Ordering};

/// An answer or a promise at a peer, as the place to which the messages of the
/// promise here go.
pub(crate) struct Route {
    pub(crate) link: Arc<dyn Link>,
    pub(crate) pos: RemotePos,
    generation: u32,
    /// Flags, above them how many messages are being handed to the link, above that
    /// how many ever were. All in one word, since each decision needs all of them.
    state: AtomicU64,
    /// For the promise of an answer: what its fulfilment shows.
    claim: Option<Claim>,
}

/// No message goes along the route any more. The position is released once those
/// being handed to the link are with it.
const CLOSED: u64 = 1;
/// The promise has settled: the route is closed as soon as it is drained.
const SETTLED: u64 = 1 << 1;
/// Everything sent along the route so far has arrived.
const DRAINED: u64 = 1 << 2;
/// One message being handed to the link. There are never more of them than threads,
/// for which there are 20 bits.
const IN_HAND: u64 = 1 << 3;
/// One message of all that were ever sent. Wraps around after 2^41.
const SENT: u64 = 1 << 23;

const fn in_hand(state: u64) -> bool {
    state & (SENT - IN_HAND) != 0
}

const fn sent(state: u64) -> u64 {
    state / SENT
}

/// That a message was the last one along a route, unless that has sent more since.
pub(crate) struct Claim {
    /// Must not keep the route: a long pipeline would be dropped one within the other.
    route: Weak<Route>,
    sent: u64,
}

impl Claim {
    /// The message has arrived. What is given is to be dropped with no lock of this
    /// crate held.
    pub(crate) fn confirm(&self) -> Option<Confirmed> {
        let route = self.route.upgrade()?;
        let let_go = route.confirm(self.sent);
        Some(Confirmed { route, let_go })
    }
}

/// A route along which a message has arrived, perhaps with no other owner. Releases
/// the position if that was what it waited for.
pub(crate) struct Confirmed {
    route: Arc<Route>,
    let_go: bool,
}

impl Drop for Confirmed {
    fn drop(&mut self) {
        if self.let_go {
            self.route.let_go();
        }
    }
}

/// A message on its way to the link. The position is not released before.
pub(crate) struct Passage<'r> {
    route: &'r Arc<Route>,
    /// The number of this message, if all before it are with the link.
    behind_all: Option<u64>,
}

impl Route {
    pub(crate) fn new(
        link: Arc<dyn Link>,
        pos: RemotePos,
        generation: u32,
        claim: Option<Claim>,
    ) -> Arc<Self> {
        Arc::new(Self { link, pos, generation, state: AtomicU64::new(DRAINED), claim })
    }

    /// Changes the state as `f` says, unless it is closed. Gives what it was.
    fn change(&self, mut f: impl FnMut(u64) -> Option<u64>) -> Option<u64> {
        let open = |state| if state & CLOSED == 0 { f(state) } else { None };
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, open).ok()
    }

    /// Begins to send a message; `None` if messages must not go this way any more.
    ///
    /// As long as the promise has not settled this is called under its lock, so that
    /// the settlement comes either before or after.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Passage<'_>> {
        let next = |state: u64| (state & !DRAINED).wrapping_add(IN_HAND + SENT);
        let before = self.change(|state| Some(next(state)))?;
        let behind_all = (!in_hand(before)).then(|| sent(next(before)));
        Some(Passage { route: self, behind_all })
    }

    /// Keeps the position for something that is no message, and so shows nothing of
    /// what has arrived.
    pub(crate) fn hold(self: &Arc<Self>) -> Option<Passage<'_>> {
        self.change(|state| Some(state.wrapping_add(IN_HAND)))?;
        Some(Passage { route: self, behind_all: None })
    }

    fn leave(&self) {
        let before = self.state.fetch_sub(IN_HAND, Ordering::AcqRel);
        if before & CLOSED != 0 && !in_hand(before - IN_HAND) {
            self.let_go();
        }
    }

    /// The promise has settled to something that messages can go to. Whether
    /// [`Self::let_go`] is to be called now.
    #[must_use]
    pub(crate) fn settle(&self) -> bool {
        let next = |state| if state & DRAINED == 0 { SETTLED } else { CLOSED };
        let before = self.change(|state| Some(state | next(state)));
        before.is_some_and(|before| next(before) == CLOSED && !in_hand(before))
    }

    /// The promise has no use for the route. Whether [`Self::let_go`] is to be called
    /// now.
    #[must_use]
    pub(crate) fn close(&self) -> bool {
        let before = self.state.fetch_or(CLOSED, Ordering::AcqRel);
        before & CLOSED == 0 && !in_hand(before)
    }

    /// The message of this number has arrived, and all before it. Whether
    /// [`Self::let_go`] is to be called now.
    #[must_use]
    fn confirm(&self, number: u64) -> bool {
        let next = |state| if state & SETTLED == 0 { DRAINED } else { CLOSED };
        let before = self.change(|state| {
            // Also while that message is still in hand, here, on another thread: its
            // answer shows that the link has it.
            (sent(state) == number).then(|| state | next(state))
        });
        before.is_some_and(|before| next(before) == CLOSED && !in_hand(before))
    }

    /// What the fulfilment of the promise that this is the route of shows.
    pub(crate) const fn claim(&self) -> Option<&Claim> {
        self.claim.as_ref()
    }

    /// Releases the position. Called once, with no lock of this crate held.
    pub(crate) fn let_go(&self) {
        self.link.release(self.pos, self.generation);
    }

    /// Closes the route and releases the position as soon as it is not in use.
    pub(crate) fn release(&self) {
        if self.close() {
            self.let_go();
        }
    }
}

impl Passage<'_> {
    /// Asks for a part of what is there, and lets the promise of the answer pipeline to
    /// it. Called with no lock of this crate held.
    ///
    /// # Errors
    ///
    /// The resolver, if the peer was not asked.
    pub(crate) fn extract(self, part: &Part, answer: Resolver) -> Result<(), Resolver> {
        let Route { link, pos, .. } = &**self.route;
        let promise = answer.cell();
        let part = link.extract(*pos, part, answer)?;
        promise.attach(Route::new(link.clone(), RemotePos::Answer(part), 0, None));
        Ok(())
    }

    /// Hands the message to the link. Called with no lock of this crate held.
    pub(crate) fn deliver(self, message: Message) {
        let Route { link, pos, .. } = &**self.route;
        hand_over(link, *pos, message, || {
            self.behind_all.map(|sent| Claim { route: Arc::downgrade(self.route), sent })
        });
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        self.route.leave();
    }
}
