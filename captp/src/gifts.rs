//! Gifts at their exporter: deposited by one peer, withdrawn by another.
//!
//! Owns the rules that a withdrawal must keep, and the table of gifts and of those
//! who came for one before it was there.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::crypto::{PublicKey, SessionId};
use crate::error::LimitExceeded;
use crate::handoff::{GiftId, HandoffGive, HandoffReceive, Signed};
use crate::locator::PeerLocator;

/// The gifts of all sessions of an exporter.
///
/// A gift is kept for some time, also when the session it was left by is over: a gifter
/// may leave as soon as it has given.
///
/// `R` is a reference; `W` is whoever waits for one.
#[derive(Debug)]
pub struct Gifts<R, W> {
    sessions: HashMap<SessionId, Session<R, W>>,
    /// When each gift, and each who waits for one, is given up.
    due: BTreeSet<(Duration, SessionId, GiftId)>,
    limit: usize,
}

#[derive(Debug)]
struct Session<R, W> {
    peer_key: PublicKey,
    /// Deposited by this session's peer.
    gifts: BTreeMap<GiftId, Until<R>>,
    /// Come for gifts of this session's peer's, before their time.
    waiting: BTreeMap<GiftId, Until<W>>,
    /// The least count that this session's peer's next withdrawal may have.
    next_count: u64,
    /// The session is over: what was left may be fetched, and nothing is left any more.
    ended: bool,
}

/// Something, and when it is given up.
#[derive(Debug)]
struct Until<T> {
    what: T,
    until: Duration,
}

/// A rule that a withdrawal broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WithdrawError {
    /// Made for another session than the one it came by.
    #[error("the request is for another session")]
    OtherSession,
    /// A count that was used before, on this session.
    #[error("the request was made before")]
    Replayed,
    /// Not signed by the receiver that the gifter named.
    #[error("the request is not signed by the receiver")]
    NotTheReceiver,
    /// The gifter named another exporter.
    #[error("the gift is not here")]
    NotTheExporter,
    /// There is no session with the gifter.
    #[error("no session with the gifter")]
    NoGifter,
    /// Not signed by the gifter.
    #[error("the gift is not the gifter's")]
    NotTheGifter,
    /// The gifter has left without leaving it, or somebody has fetched it.
    #[error("no such gift")]
    NoSuchGift,
    /// Somebody waits for that gift already.
    #[error("the gift is promised already")]
    Promised,
    /// Too many wait.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

/// Why a gift is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DepositError {
    /// The session is over.
    #[error("the session has ended")]
    Ended,
    /// The gifter has left something else under the same id.
    #[error("there is a gift of that id already")]
    Twice,
    /// The gifter has left too many.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

/// What became of a withdrawal.
#[derive(Debug)]
pub enum Withdrawal<R, W> {
    /// The gift, for the one who came for it.
    Gift(R, W),
    /// It waits for its deposit.
    Waits,
    /// It is refused.
    Refused(WithdrawError, W),
}

impl<R, W> Gifts<R, W> {
    /// No gifts. Each session may have `limit` deposited gifts, and as many
    /// withdrawals that wait.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { sessions: HashMap::new(), due: BTreeSet::new(), limit }
    }

    /// A session has begun.
    pub fn session_started(&mut self, session: SessionId, peer_key: PublicKey) {
        let (gifts, waiting) = (BTreeMap::new(), BTreeMap::new());
        let begun = Session { peer_key, gifts, waiting, next_count: 0, ended: false };
        self.sessions.insert(session, begun);
    }

    /// A session is over: gives those who waited for a gift of its peer's.
    pub fn session_ended(&mut self, session: &SessionId) -> Vec<W> {
        let Some(ended) = self.sessions.get_mut(session) else { return vec![] };
        ended.ended = true;
        let waiting = std::mem::take(&mut ended.waiting);
        if ended.gifts.is_empty() {
            self.sessions.remove(session);
        }
        let in_vain = waiting.into_iter().map(|(gift, who)| {
            self.due.remove(&(who.until, *session, gift));
            who.what
        });
        in_vain.collect()
    }

    /// When [`Gifts::expire`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.due.first().map(|(due, ..)| *due)
    }

    /// Gives up what nobody has come for in time, and those who have waited too long.
    pub fn expire(&mut self, now: Duration) -> (Vec<W>, Vec<R>) {
        let (mut in_vain, mut left) = (Vec::new(), Vec::new());
        while self.due.first().is_some_and(|(due, ..)| *due <= now) {
            let Some((_, id, gift)) = self.due.pop_first() else { break };
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            in_vain.extend(session.waiting.remove(&gift).map(|who| who.what));
            left.extend(session.gifts.remove(&gift).map(|gift| gift.what));
            if session.ended && session.gifts.is_empty() {
                self.sessions.remove(&id);
            }
        }
        (in_vain, left)
    }

    /// Whether nothing is left or waited for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let mut sessions = self.sessions.values();
        sessions.all(|session| session.gifts.is_empty() && session.waiting.is_empty())
    }

    /// What the peer of a session has left, and nobody has fetched. For tests and
    /// simulations.
    pub fn left_by(&self, session: &SessionId) -> impl Iterator<Item = &R> {
        let gifter = self.sessions.get(session);
        gifter.into_iter().flat_map(|gifter| gifter.gifts.values().map(|gift| &gift.what))
    }

    /// A gifter leaves a gift, to be fetched before the time `until`. Gives who waited for
    /// it, along with the gift.
    ///
    /// # Errors
    ///
    /// If it can't be kept: the reference is given back.
    pub fn deposit(
        &mut self,
        session: &SessionId,
        gift: GiftId,
        reference: R,
        until: Duration,
    ) -> Result<Option<(R, W)>, (DepositError, R)> {
        let Some(gifter) = self.sessions.get_mut(session).filter(|gifter| !gifter.ended) else {
            return Err((DepositError::Ended, reference));
        };
        if let Some(waiting) = gifter.waiting.remove(&gift) {
            self.due.remove(&(waiting.until, *session, gift));
            return Ok(Some((reference, waiting.what)));
        }
        if let Err(limit) = check("gifts", gifter.gifts.len(), self.limit) {
            return Err((limit.into(), reference));
        }
        match gifter.gifts.entry(gift) {
            Entry::Occupied(_) => Err((DepositError::Twice, reference)),
            Entry::Vacant(place) => {
                self.due.insert((until, *session, place.key().clone()));
                place.insert(Until { what: reference, until });
                Ok(None)
            }
        }
    }

    /// A receiver comes for a gift, by the session `arrived`, and waits for it until the
    /// time `until`. `is_us` tells whether a locator is ours.
    pub fn withdraw(
        &mut self,
        arrived: &SessionId,
        receive: &Signed<HandoffReceive>,
        is_us: impl FnOnce(&PeerLocator) -> bool,
        who: W,
        until: Duration,
    ) -> Withdrawal<R, W> {
        let give = &receive.record().give;
        let checked =
            self.check_receive(arrived, receive).and_then(|()| self.check_give(give, is_us));
        if let Err(error) = checked {
            return Withdrawal::Refused(error, who);
        }
        if let Some(receiver) = self.sessions.get_mut(arrived) {
            receiver.next_count = receive.record().count.saturating_add(1);
        }
        self.take(give.record(), who, until)
    }

    /// A gift of our own objects has come to ourselves: the gifter knows us by two
    /// sessions, and did not see that they lead to the same place. `receiver_key` is
    /// ours in the session that the gift came by.
    pub fn withdraw_here(
        &mut self,
        give: &Signed<HandoffGive>,
        receiver_key: &PublicKey,
        who: W,
        until: Duration,
    ) -> Withdrawal<R, W> {
        if give.record().receiver_key != *receiver_key {
            return Withdrawal::Refused(WithdrawError::NotTheReceiver, who);
        }
        match self.check_give(give, |_| true) {
            Ok(()) => self.take(give.record(), who, until),
            Err(error) => Withdrawal::Refused(error, who),
        }
    }

    /// The gift, if it is there; else `who` waits for it.
    fn take(&mut self, give: &HandoffGive, who: W, until: Duration) -> Withdrawal<R, W> {
        let Some(gifter) = self.sessions.get_mut(&give.session) else {
            return Withdrawal::Refused(WithdrawError::NoGifter, who);
        };
        if let Some(gift) = gifter.gifts.remove(&give.gift) {
            self.due.remove(&(gift.until, give.session, give.gift.clone()));
            if gifter.ended && gifter.gifts.is_empty() {
                self.sessions.remove(&give.session);
            }
            return Withdrawal::Gift(gift.what, who);
        }
        let refused = if gifter.ended {
            Some(WithdrawError::NoSuchGift)
        } else if gifter.waiting.contains_key(&give.gift) {
            Some(WithdrawError::Promised)
        } else {
            check("pending_withdrawals", gifter.waiting.len(), self.limit).err().map(Into::into)
        };
        if let Some(error) = refused {
            return Withdrawal::Refused(error, who);
        }
        self.due.insert((until, give.session, give.gift.clone()));
        gifter.waiting.insert(give.gift.clone(), Until { what: who, until });
        Withdrawal::Waits
    }

    /// Whether a request is the receiver's, and made for the session it came by.
    fn check_receive(
        &self,
        arrived: &SessionId,
        receive: &Signed<HandoffReceive>,
    ) -> Result<(), WithdrawError> {
        let request = receive.record();
        let receiver = self.sessions.get(arrived).ok_or(WithdrawError::OtherSession)?;
        if request.session != *arrived || request.receiver_side != receiver.peer_key.id() {
            return Err(WithdrawError::OtherSession);
        }
        if !receive.is_by(&request.give.record().receiver_key) {
            return Err(WithdrawError::NotTheReceiver);
        }
        if request.count < receiver.next_count {
            return Err(WithdrawError::Replayed);
        }
        Ok(())
    }

    /// Whether a gift is ours to hand out, and the gifter's to give.
    fn check_give(
        &self,
        give: &Signed<HandoffGive>,
        is_us: impl FnOnce(&PeerLocator) -> bool,
    ) -> Result<(), WithdrawError> {
        if !is_us(&give.record().exporter) {
            return Err(WithdrawError::NotTheExporter);
        }
        let gifter = self.sessions.get(&give.record().session).ok_or(WithdrawError::NoGifter)?;
        if give.record().gifter_side != gifter.peer_key.id() || !give.is_by(&gifter.peer_key) {
            return Err(WithdrawError::NotTheGifter);
        }
        Ok(())
    }
}

const fn check(name: &'static str, len: usize, limit: usize) -> Result<(), LimitExceeded> {
    if len < limit { Ok(()) } else { Err(LimitExceeded { name, limit: limit as u64 }) }
}
