//! Gifts at their exporter: deposited by one peer, withdrawn by another.
//!
//! Owns the rules that a withdrawal must keep, and the table of gifts and of those
//! who came for one before it was there.

use std::collections::HashMap;

use crate::crypto::{PublicKey, SessionId};
use crate::error::LimitExceeded;
use crate::handoff::{GiftId, HandoffReceive, Signed};

/// The gifts of all sessions of an exporter.
///
/// `R` is a reference; `W` is whoever waits for one.
#[derive(Debug)]
pub struct Gifts<R, W> {
    sessions: HashMap<SessionId, Session<R, W>>,
    limit: usize,
}

#[derive(Debug)]
struct Session<R, W> {
    peer_key: PublicKey,
    /// Deposited by this session's peer.
    gifts: HashMap<GiftId, R>,
    /// Come for gifts of this session's peer's, before their time.
    waiting: HashMap<GiftId, W>,
    /// The least count that this session's peer's next withdrawal may have.
    next_count: u64,
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
    /// Somebody waits for that gift already.
    #[error("the gift is promised already")]
    Promised,
    /// Too many wait.
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
        Self { sessions: HashMap::new(), limit }
    }

    /// A session has begun.
    pub fn session_started(&mut self, session: SessionId, peer_key: PublicKey) {
        let (gifts, waiting) = (HashMap::new(), HashMap::new());
        self.sessions.insert(session, Session { peer_key, gifts, waiting, next_count: 0 });
    }

    /// A session is over: gives its peer's gifts, and those who waited for one. Nobody
    /// can withdraw them any more.
    pub fn session_ended(&mut self, session: &SessionId) -> (Vec<R>, Vec<W>) {
        let Some(ended) = self.sessions.remove(session) else { return (vec![], vec![]) };
        (ended.gifts.into_values().collect(), ended.waiting.into_values().collect())
    }

    /// A gifter leaves a gift. Gives who waited for it, along with the gift.
    ///
    /// # Errors
    ///
    /// If the gifter has left too many: the reference is given back.
    pub fn deposit(
        &mut self,
        session: &SessionId,
        gift: GiftId,
        reference: R,
    ) -> Result<Option<(R, W)>, (LimitExceeded, R)> {
        let Some(gifter) = self.sessions.get_mut(session) else { return Ok(None) };
        if let Some(waiting) = gifter.waiting.remove(&gift) {
            return Ok(Some((reference, waiting)));
        }
        if let Err(limit) = check("gifts", gifter.gifts.len(), self.limit) {
            return Err((limit, reference));
        }
        gifter.gifts.insert(gift, reference);
        Ok(None)
    }

    /// A receiver comes for a gift, by the session `arrived`. `is_us` tells whether a
    /// locator is ours.
    pub fn withdraw(
        &mut self,
        arrived: &SessionId,
        receive: &Signed<HandoffReceive>,
        is_us: impl FnOnce(&crate::locator::PeerLocator) -> bool,
        who: W,
    ) -> Withdrawal<R, W> {
        let give = &receive.record().give.record();
        if let Err(error) = self.check(arrived, receive, is_us) {
            return Withdrawal::Refused(error, who);
        }
        if let Some(receiver) = self.sessions.get_mut(arrived) {
            receiver.next_count = receive.record().count.saturating_add(1);
        }
        let Some(gifter) = self.sessions.get_mut(&give.session) else {
            return Withdrawal::Refused(WithdrawError::NoGifter, who);
        };
        if let Some(gift) = gifter.gifts.remove(&give.gift) {
            return Withdrawal::Gift(gift, who);
        }
        if gifter.waiting.contains_key(&give.gift) {
            return Withdrawal::Refused(WithdrawError::Promised, who);
        }
        if let Err(limit) = check("pending_withdrawals", gifter.waiting.len(), self.limit) {
            return Withdrawal::Refused(limit.into(), who);
        }
        gifter.waiting.insert(give.gift.clone(), who);
        Withdrawal::Waits
    }

    fn check(
        &self,
        arrived: &SessionId,
        receive: &Signed<HandoffReceive>,
        is_us: impl FnOnce(&crate::locator::PeerLocator) -> bool,
    ) -> Result<(), WithdrawError> {
        let request = receive.record();
        let give = &request.give;
        let receiver = self.sessions.get(arrived).ok_or(WithdrawError::OtherSession)?;
        if request.session != *arrived || request.receiver_side != receiver.peer_key.id() {
            return Err(WithdrawError::OtherSession);
        }
        if !receive.is_by(&give.record().receiver_key) {
            return Err(WithdrawError::NotTheReceiver);
        }
        if request.count < receiver.next_count {
            return Err(WithdrawError::Replayed);
        }
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
