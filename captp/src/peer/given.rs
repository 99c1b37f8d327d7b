//! Gifts in the sessions of a [`Peer`]: those that others leave with us, and those of
//! ours that we can stand in for.

use std::time::Duration;

use super::{ConnId, Peer, Timer};
use crate::crypto::PublicKey;
use crate::error::LimitExceeded;
use crate::gifts::{DepositError, WithdrawError, Withdrawal};
use crate::handoff::{GiftId, HandoffGive, HandoffReceive, Signed};
use crate::locator::PeerLocator;

/// What we gave away, for a receiver that can't reach it.
#[derive(Debug)]
pub(super) struct Given<R> {
    pub(super) to: ConnId,
    pub(super) reference: R,
    pub(super) until: Duration,
}

impl<R: Clone, W> Peer<R, W> {
    /// The peer of a session leaves a gift there. Gives who waited for it, along with
    /// the gift.
    ///
    /// # Errors
    ///
    /// If it can't be kept: the reference is given back.
    pub fn deposit(
        &mut self,
        by: ConnId,
        gift: GiftId,
        reference: R,
    ) -> Result<Option<(R, W)>, (DepositError, R)> {
        match self.session_id(by) {
            Some(session) => self.gifts.deposit(&session, gift, reference),
            None => Err((DepositError::Ended, reference)),
        }
    }

    /// The peer of a session comes for a gift that another one left. `is_us` tells
    /// whether a locator is ours.
    pub fn withdraw(
        &mut self,
        by: ConnId,
        receive: &Signed<HandoffReceive>,
        is_us: impl FnOnce(&PeerLocator) -> bool,
        who: W,
    ) -> Withdrawal<R, W> {
        match self.session_id(by) {
            Some(session) => self.gifts.withdraw(&session, receive, is_us, who),
            None => Withdrawal::Refused(WithdrawError::OtherSession, who),
        }
    }

    /// A gift of our own objects has come to ourselves: see
    /// [`Gifts::withdraw_here`](crate::Gifts::withdraw_here).
    pub fn withdraw_here(
        &mut self,
        give: &Signed<HandoffGive>,
        receiver_key: &PublicKey,
        who: W,
    ) -> Withdrawal<R, W> {
        self.gifts.withdraw_here(give, receiver_key, who)
    }

    /// We gave something to the peer of the session `to`: it is held for a while, in
    /// case the receiver can't reach where it is.
    ///
    /// # Errors
    ///
    /// If too much is held already: then it should be sent as our own.
    pub fn gave(
        &mut self,
        to: ConnId,
        gift: GiftId,
        reference: R,
        now: Duration,
    ) -> Result<(), LimitExceeded> {
        if self.given.len() >= self.settings.gifts {
            return Err(LimitExceeded { name: "gifts", limit: self.settings.gifts as u64 });
        }
        let until = now + self.settings.stand_in;
        self.set(until, Timer::Given(gift.clone()));
        self.given.insert(gift, Given { to, reference, until });
        Ok(())
    }

    /// The receiver of a gift of ours asks for it by way of us. Only the peer of the
    /// session that it was given in may, with the gift's id for a swiss number.
    #[must_use]
    pub fn stand_in(&self, by: ConnId, gift: &GiftId) -> Option<R> {
        let given = self.given.get(gift).filter(|given| given.to == by)?;
        Some(given.reference.clone())
    }
}
