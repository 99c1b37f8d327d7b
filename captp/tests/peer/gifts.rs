//! Gifts between the sessions of a peer, and for how long they are kept.

use std::time::Duration;

use captp::locator::PeerLocator;
use captp::{
    ConnId, DepositError, GiftId, HandoffGive, HandoffReceive, PeerSettings, SessionKey, Signed,
    WithdrawError, Withdrawal,
};

use crate::support::{Side, location};
use crate::world::{Proves, World};

const EXPORTER: usize = 0;
const SECOND: Duration = Duration::from_secs(1);

/// An exporter whose sessions with gifter and receiver are with scripted ends.
struct Gifts {
    world: World,
    gifter: (ConnId, Side),
    receiver: (ConnId, Side),
    /// The receiver's key in its session with the gifter.
    receiver_with_gifter: SessionKey,
}

fn gift(number: u8) -> GiftId {
    GiftId::from_entropy([number; 32])
}

impl Gifts {
    fn new() -> Self {
        Self::with(PeerSettings::default())
    }

    fn with(settings: PeerSettings) -> Self {
        let mut world = World::with(Proves::Both, &["exporter"], settings);
        let gifter = world.intrude(EXPORTER, "gifter", Some("gifter"), 1);
        let receiver = world.intrude(EXPORTER, "receiver", Some("receiver"), 2);
        Self { world, gifter, receiver, receiver_with_gifter: SessionKey::from_entropy([3; 32]) }
    }

    fn give(&self, number: u8) -> Signed<HandoffGive> {
        self.gifter.1.session.give(self.receiver_with_gifter.public(), gift(number)).unwrap()
    }

    fn receive(&mut self, number: u8) -> Signed<HandoffReceive> {
        let give = self.give(number);
        self.receiver.1.session.withdraw(give, &self.receiver_with_gifter).unwrap()
    }

    fn withdraw(
        &mut self,
        receive: &Signed<HandoffReceive>,
    ) -> Withdrawal<&'static str, &'static str> {
        let is_us = |peer: &PeerLocator| peer.same_peer(&location("exporter"));
        let (by, now) = (self.receiver.0, self.world.now);
        self.world.peer(EXPORTER).withdraw(by, receive, is_us, "receiver", now)
    }

    fn deposit(&mut self, number: u8) -> Option<(&'static str, &'static str)> {
        let (by, now) = (self.gifter.0, self.world.now);
        self.world.peer(EXPORTER).deposit(by, gift(number), "gift", now).unwrap()
    }

    fn end(&mut self, conn: ConnId) {
        self.world.nodes[EXPORTER].close(conn, "enough");
        self.world.pass(Duration::ZERO);
    }
}

#[test]
fn before_or_after_its_withdrawal() {
    let mut gifts = Gifts::new();
    let (one, two) = (gifts.receive(1), gifts.receive(2));
    gifts.deposit(1);
    assert!(matches!(gifts.withdraw(&one), Withdrawal::Gift("gift", "receiver")));
    assert!(matches!(gifts.withdraw(&two), Withdrawal::Waits));
    assert_eq!(gifts.deposit(2), Some(("gift", "receiver")));
    let replayed = gifts.withdraw(&one);
    assert!(matches!(replayed, Withdrawal::Refused(WithdrawError::Replayed, _)));
}

#[test]
fn a_gift_outlives_its_gifter_for_a_while() {
    let mut gifts = Gifts::new();
    gifts.deposit(1);
    gifts.deposit(2);
    let (one, two) = (gifts.receive(1), gifts.receive(2));
    gifts.end(gifts.gifter.0);
    gifts.world.pass(SECOND * 299);
    assert!(matches!(gifts.withdraw(&one), Withdrawal::Gift("gift", _)));
    assert!(gifts.world.nodes[EXPORTER].dropped.is_empty());
    gifts.world.pass(SECOND * 2);
    assert_eq!(gifts.world.nodes[EXPORTER].dropped, ["gift"]);
    let late = gifts.withdraw(&two);
    assert!(matches!(late, Withdrawal::Refused(WithdrawError::NoGifter, _)), "{late:?}");
    let (by, id) = (gifts.gifter.0, gift(3));
    let late = gifts.world.peer(EXPORTER).deposit(by, id, "gift", SECOND);
    assert!(matches!(late, Err((DepositError::Ended, "gift"))));
}

#[test]
fn who_waits_for_a_gifter_that_leaves_waits_in_vain() {
    let mut gifts = Gifts::new();
    let receive = gifts.receive(1);
    assert!(matches!(gifts.withdraw(&receive), Withdrawal::Waits));
    gifts.end(gifts.gifter.0);
    assert_eq!(gifts.world.nodes[EXPORTER].in_vain, ["receiver"]);
    gifts.end(gifts.receiver.0);
    assert!(gifts.world.peer(EXPORTER).is_empty(), "nothing is left");
}

#[test]
fn a_receiver_that_leaves_can_not_come_by_its_old_session() {
    let mut gifts = Gifts::new();
    gifts.deposit(1);
    let receive = gifts.receive(1);
    gifts.end(gifts.receiver.0);
    let late = gifts.withdraw(&receive);
    assert!(matches!(late, Withdrawal::Refused(WithdrawError::OtherSession, _)));
    // Nor by another session than the request was made for.
    gifts.receiver.0 = gifts.world.intrude(EXPORTER, "receiver", Some("receiver"), 4).0;
    let foreign = gifts.withdraw(&receive);
    assert!(matches!(foreign, Withdrawal::Refused(WithdrawError::OtherSession, _)));
}

/// The word of a gifter is worth nothing with another gifter's session named in it, nor
/// does it matter who the gifter claims to be.
#[test]
fn a_gifter_gives_what_it_left_itself() {
    let mut gifts = Gifts::new();
    let (other, other_side) = gifts.world.intrude(EXPORTER, "gifter", None, 9);
    gifts.world.peer(EXPORTER).deposit(other, gift(1), "of the impostor", SECOND).unwrap();
    let receive = gifts.receive(1);
    assert!(matches!(gifts.withdraw(&receive), Withdrawal::Waits), "not the impostor's");
    // The impostor forges the gifter's word with its own key.
    let mut forged = other_side.session.give(gifts.receiver_with_gifter.public(), gift(1)).unwrap();
    let mut record = forged.record().clone();
    record.session = gifts.give(1).record().session;
    forged = Signed::new(record, &other_side.session.key());
    let key = SessionKey::from_entropy([3; 32]);
    let receive = gifts.receiver.1.session.withdraw(forged, &key).unwrap();
    let refused = gifts.withdraw(&receive);
    assert!(matches!(refused, Withdrawal::Refused(WithdrawError::NotTheGifter, _)));
}

#[test]
fn what_was_given_is_held_for_its_receiver_and_nobody_else() {
    let mut gifts = Gifts::new();
    let (receiver, gifter) = (gifts.receiver.0, gifts.gifter.0);
    let peer = gifts.world.peer(EXPORTER);
    assert!(peer.gave(receiver, gift(1), "given", Duration::ZERO).is_empty());
    assert_eq!(peer.stand_in(receiver, &gift(1)), Some("given"));
    assert_eq!(peer.stand_in(receiver, &gift(1)), Some("given"), "more than once");
    assert_eq!(peer.stand_in(gifter, &gift(1)), None);
    assert_eq!(peer.stand_in(receiver, &gift(2)), None);
    gifts.world.pass(SECOND * 29);
    assert!(gifts.world.nodes[EXPORTER].dropped.is_empty());
    gifts.world.pass(SECOND);
    assert_eq!(gifts.world.nodes[EXPORTER].dropped, ["given"]);
    assert_eq!(gifts.world.peer(EXPORTER).stand_in(receiver, &gift(1)), None);
}

#[test]
fn what_was_given_to_a_receiver_that_leaves_is_dropped() {
    let mut gifts = Gifts::new();
    let (receiver, gifter) = (gifts.receiver.0, gifts.gifter.0);
    assert!(gifts.world.peer(EXPORTER).gave(receiver, gift(1), "one", Duration::ZERO).is_empty());
    assert!(gifts.world.peer(EXPORTER).gave(gifter, gift(2), "two", Duration::ZERO).is_empty());
    gifts.end(receiver);
    assert_eq!(gifts.world.nodes[EXPORTER].dropped, ["one"]);
    assert_eq!(gifts.world.peer(EXPORTER).stand_in(gifter, &gift(2)), Some("two"));
}

#[test]
fn no_more_is_held_than_the_limit() {
    let mut settings = PeerSettings::default();
    settings.gifts = 2;
    let mut gifts = Gifts::with(settings);
    let (receiver, gifter) = (gifts.receiver.0, gifts.gifter.0);
    let peer = gifts.world.peer(EXPORTER);
    for number in 0..2 {
        assert!(peer.gave(receiver, gift(number), "given", Duration::ZERO).is_empty());
        peer.deposit(gifter, gift(number), "left", Duration::ZERO).unwrap();
    }
    assert_eq!(peer.gave(receiver, gift(2), "given", Duration::ZERO), ["given"]);
    assert_eq!(peer.stand_in(receiver, &gift(0)), None, "the oldest has gone");
    assert_eq!(peer.stand_in(receiver, &gift(2)), Some("given"));
    let third = peer.deposit(gifter, gift(2), "left", Duration::ZERO);
    assert!(matches!(third, Err((DepositError::Limit(limit), "left")) if limit.name == "gifts"));
}
