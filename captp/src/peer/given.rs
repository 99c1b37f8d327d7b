//! Gifts in the sessions of a [`Peer`]: those that others leave with us, and those of
//! ours that we can stand in for.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{ConnId, Peer};
use crate::crypto::PublicKey;
use crate::gifts::{DepositError, WithdrawError, Withdrawal};
use crate::handoff::{GiftId, HandoffGive, HandoffReceive, Signed};
use crate::locator::PeerLocator;

/// What we gave away, for receivers that can't reach it.
#[derive(Debug)]
pub(super) struct Given<R> {
    /// To whom, and what.
    gifts: BTreeMap<GiftId, (ConnId, R)>,
    /// Until when, oldest first. Those that went with their session stay till then.
    until: VecDeque<(Duration, GiftId)>,
}

impl<R> Given<R> {
    pub(super) const fn new() -> Self {
        Self { gifts: BTreeMap::new(), until: VecDeque::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gifts.is_empty()
    }

    /// When the oldest has been held for long enough.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.until.front().map(|(until, _)| *until)
    }

    pub(super) fn expire(&mut self, now: Duration) -> Vec<R> {
        let mut expired = Vec::new();
        while self.deadline().is_some_and(|until| until <= now) {
            expired.extend(self.drop_oldest());
        }
        expired
    }

    fn drop_oldest(&mut self) -> Option<R> {
        let (_, gift) = self.until.pop_front()?;
        self.gifts.remove(&gift).map(|(_, reference)| reference)
    }

    /// Takes what was given in a session that has ended.
    pub(super) fn session_ended(&mut self, conn: ConnId) -> Vec<R> {
        let gone = self.gifts.extract_if(.., |_, (to, _)| *to == conn);
        gone.map(|(_, (_, reference))| reference).collect()
    }
}

impl<R: Clone, W> Peer<R, W> {
    /// The gifts of live sessions: those that the peer of each has left with us, and those
    /// that it may have by way of us, whoever gave them. For tests and simulations.
    pub fn gifts(&self) -> impl Iterator<Item = (ConnId, R)> {
        let live =
            self.connections.iter().filter_map(|(conn, of)| Some((*conn, of.live.as_ref()?)));
        live.flat_map(move |(conn, live)| {
            let left = self.gifts.left_by(&live.session).cloned();
            let given = self.given.gifts.keys().filter_map(move |id| self.stand_in(conn, id));
            left.chain(given).map(move |gift| (conn, gift))
        })
    }

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
        now: Duration,
    ) -> Result<Option<(R, W)>, (DepositError, R)> {
        let until = now + self.settings.keep_gifts;
        match self.session_id(by) {
            Some(session) => self.gifts.deposit(&session, gift, reference, until),
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
        now: Duration,
    ) -> Withdrawal<R, W> {
        let until = now + self.settings.keep_gifts;
        match self.session_id(by) {
            Some(session) => self.gifts.withdraw(&session, receive, is_us, who, until),
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
        now: Duration,
    ) -> Withdrawal<R, W> {
        let until = now + self.settings.keep_gifts;
        self.gifts.withdraw_here(give, receiver_key, who, until)
    }

    /// We gave something to the peer of the session `to`: it is held for a while, in
    /// case the receiver can't reach where it is. Gives references to drop: with too many
    /// held, the oldest has to go.
    #[must_use]
    pub fn gave(&mut self, to: ConnId, gift: GiftId, reference: R, now: Duration) -> Vec<R> {
        let mut dropped = Vec::new();
        while self.given.until.len() >= self.settings.gifts && !self.given.until.is_empty() {
            dropped.extend(self.given.drop_oldest());
        }
        self.given.until.push_back((now + self.settings.stand_in, gift.clone()));
        self.given.gifts.insert(gift, (to, reference));
        dropped
    }

    /// The receiver of a gift of ours asks for it by way of us. Only the peer of the
    /// session that it was given in may, with the gift's id for a swiss number.
    #[must_use]
    pub fn stand_in(&self, by: ConnId, gift: &GiftId) -> Option<R> {
        let (_, reference) = self.given.gifts.get(gift).filter(|(to, _)| *to == by)?;
        Some(reference.clone())
    }
}
