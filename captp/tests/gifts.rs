//! The rules that a withdrawal must keep: each broken once.

use std::time::Duration;

use captp::locator::PeerLocator;
use captp::{
    DepositError, GiftId, Gifts, HandoffGive, HandoffReceive, PublicKey, SessionId, SessionKey,
    Signed, WithdrawError, Withdrawal,
};

/// When gifts, and those who wait for one, are given up.
const UNTIL: Duration = Duration::from_secs(60);

/// An exporter with a session each with a gifter and a receiver.
struct Exporter {
    gifts: Gifts<&'static str, &'static str>,
    /// The gifter's keys: with us, and with the receiver.
    gifter: SessionKey,
    /// The receiver's keys: with us, and with the gifter.
    receiver: SessionKey,
    receiver_with_gifter: SessionKey,
    with_gifter: SessionId,
    with_receiver: SessionId,
}

fn key(seed: u8) -> SessionKey {
    SessionKey::from_entropy([seed; 32])
}

fn session(ours: u8, theirs: &PublicKey) -> SessionId {
    SessionId::between(key(ours).public().id(), theirs.id())
}

fn us() -> PeerLocator {
    PeerLocator::new("loopback", "exporter")
}

fn gift(number: u8) -> GiftId {
    GiftId::from_entropy([number; 32])
}

impl Exporter {
    fn new() -> Self {
        let (gifter, receiver, receiver_with_gifter) = (key(1), key(2), key(3));
        let with_gifter = session(10, &gifter.public());
        let with_receiver = session(11, &receiver.public());
        let mut gifts = Gifts::new(2);
        gifts.session_started(with_gifter, gifter.public());
        gifts.session_started(with_receiver, receiver.public());
        Self { gifts, gifter, receiver, receiver_with_gifter, with_gifter, with_receiver }
    }

    fn give(&self, number: u8) -> HandoffGive {
        HandoffGive {
            receiver_key: self.receiver_with_gifter.public(),
            exporter: us(),
            session: self.with_gifter,
            gifter_side: self.gifter.public().id(),
            gift: gift(number),
        }
    }

    fn receive(&self, give: HandoffGive, count: u64) -> HandoffReceive {
        HandoffReceive {
            session: self.with_receiver,
            receiver_side: self.receiver.public().id(),
            count,
            give: Signed::new(give, &self.gifter),
        }
    }

    fn withdraw(&mut self, receive: HandoffReceive) -> Result<Option<&'static str>, WithdrawError> {
        let signed = Signed::new(receive, &self.receiver_with_gifter);
        self.withdraw_signed(&signed)
    }

    fn withdraw_signed(
        &mut self,
        receive: &Signed<HandoffReceive>,
    ) -> Result<Option<&'static str>, WithdrawError> {
        let is_us = |peer: &PeerLocator| peer.same_peer(&us());
        match self.gifts.withdraw(&self.with_receiver, receive, is_us, "receiver", UNTIL) {
            Withdrawal::Gift(gift, "receiver") => Ok(Some(gift)),
            Withdrawal::Waits => Ok(None),
            Withdrawal::Refused(error, "receiver") => Err(error),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_gift_is_withdrawn_once() {
    let mut exporter = Exporter::new();
    exporter.gifts.deposit(&exporter.with_gifter, gift(1), "gift", UNTIL).unwrap();
    let give = exporter.give(1);
    assert_eq!(exporter.withdraw(exporter.receive(give.clone(), 0)), Ok(Some("gift")));
    assert_eq!(exporter.withdraw(exporter.receive(give, 1)), Ok(None), "it is gone");
}

#[test]
fn who_comes_early_waits_for_the_deposit() {
    let mut exporter = Exporter::new();
    let give = exporter.give(1);
    assert_eq!(exporter.withdraw(exporter.receive(give.clone(), 0)), Ok(None));
    let again = exporter.withdraw(exporter.receive(give, 1));
    assert_eq!(again, Err(WithdrawError::Promised));
    let deposited = exporter.gifts.deposit(&exporter.with_gifter, gift(1), "gift", UNTIL);
    assert_eq!(deposited, Ok(Some(("gift", "receiver"))));
}

#[test]
fn a_request_is_not_taken_twice() {
    let mut exporter = Exporter::new();
    let give = exporter.give(1);
    let receive = Signed::new(exporter.receive(give, 3), &exporter.receiver_with_gifter);
    exporter.withdraw_signed(&receive).unwrap();
    assert_eq!(exporter.withdraw_signed(&receive), Err(WithdrawError::Replayed));
    let older = exporter.withdraw(exporter.receive(exporter.give(2), 2));
    assert_eq!(older, Err(WithdrawError::Replayed));
}

#[test]
fn a_refused_request_does_not_use_its_count_up() {
    let mut exporter = Exporter::new();
    let mut elsewhere = exporter.give(1);
    elsewhere.exporter = PeerLocator::new("loopback", "other");
    exporter.withdraw(exporter.receive(elsewhere, 0)).unwrap_err();
    assert_eq!(exporter.withdraw(exporter.receive(exporter.give(1), 0)), Ok(None));
}

#[test]
fn the_request_is_for_this_session_and_by_its_receiver() {
    let mut exporter = Exporter::new();
    let mut other = exporter.receive(exporter.give(1), 0);
    other.session = exporter.with_gifter;
    assert_eq!(exporter.withdraw(other), Err(WithdrawError::OtherSession));

    let mut other = exporter.receive(exporter.give(1), 0);
    other.receiver_side = exporter.gifter.public().id();
    assert_eq!(exporter.withdraw(other), Err(WithdrawError::OtherSession));

    let thief = Signed::new(exporter.receive(exporter.give(1), 0), &key(66));
    assert_eq!(exporter.withdraw_signed(&thief), Err(WithdrawError::NotTheReceiver));
}

#[test]
fn the_gift_is_here_and_the_gifters() {
    let mut exporter = Exporter::new();
    let mut give = exporter.give(1);
    give.exporter = PeerLocator::new("loopback", "somebody else");
    let refused = exporter.withdraw(exporter.receive(give, 0));
    assert_eq!(refused, Err(WithdrawError::NotTheExporter));

    let mut give = exporter.give(1);
    give.session = SessionId([9; 32]);
    assert_eq!(exporter.withdraw(exporter.receive(give, 0)), Err(WithdrawError::NoGifter));

    let mut give = exporter.give(1);
    give.gifter_side = exporter.receiver.public().id();
    assert_eq!(exporter.withdraw(exporter.receive(give, 0)), Err(WithdrawError::NotTheGifter));

    let mut forged = exporter.receive(exporter.give(1), 0);
    forged.give = Signed::new(exporter.give(1), &exporter.receiver);
    assert_eq!(exporter.withdraw(forged), Err(WithdrawError::NotTheGifter));
}

#[test]
fn two_gifters_may_use_one_id() {
    let mut exporter = Exporter::new();
    let other_gifter = key(4);
    let other = session(12, &other_gifter.public());
    exporter.gifts.session_started(other, other_gifter.public());
    exporter.gifts.deposit(&other, gift(1), "the other's", UNTIL).unwrap();
    assert_eq!(exporter.withdraw(exporter.receive(exporter.give(1), 0)), Ok(None));
    let deposited = exporter.gifts.deposit(&exporter.with_gifter, gift(1), "the gifter's", UNTIL);
    assert_eq!(deposited, Ok(Some(("the gifter's", "receiver"))));
}

#[test]
fn a_gift_outlives_its_gifter_and_those_who_wait_do_not() {
    let mut exporter = Exporter::new();
    exporter.gifts.deposit(&exporter.with_gifter, gift(1), "gift", UNTIL).unwrap();
    exporter.withdraw(exporter.receive(exporter.give(2), 0)).unwrap();
    let ended = exporter.gifts.session_ended(&exporter.with_gifter);
    assert_eq!(ended, vec!["receiver"]);
    let late = exporter.withdraw(exporter.receive(exporter.give(2), 1));
    assert_eq!(late, Err(WithdrawError::NoSuchGift));
    assert_eq!(exporter.withdraw(exporter.receive(exporter.give(1), 2)), Ok(Some("gift")));
    // With its last gift the session is forgotten.
    let late = exporter.withdraw(exporter.receive(exporter.give(1), 3));
    assert_eq!(late, Err(WithdrawError::NoGifter));
    assert!(exporter.gifts.is_empty());
}

#[test]
fn a_gift_that_nobody_fetches_and_who_waits_in_vain_are_given_up() {
    let mut exporter = Exporter::new();
    exporter.gifts.deposit(&exporter.with_gifter, gift(1), "gift", UNTIL).unwrap();
    exporter.withdraw(exporter.receive(exporter.give(2), 0)).unwrap();
    assert_eq!(exporter.gifts.deadline(), Some(UNTIL));
    let early = exporter.gifts.expire(UNTIL - Duration::from_nanos(1));
    assert_eq!(early, (vec![], vec![]));
    assert_eq!(exporter.gifts.expire(UNTIL), (vec!["receiver"], vec!["gift"]));
    assert!(exporter.gifts.is_empty() && exporter.gifts.deadline().is_none());
}

#[test]
fn what_is_fetched_in_time_leaves_no_deadline() {
    let mut exporter = Exporter::new();
    exporter.gifts.deposit(&exporter.with_gifter, gift(1), "gift", UNTIL).unwrap();
    exporter.withdraw(exporter.receive(exporter.give(1), 0)).unwrap();
    exporter.withdraw(exporter.receive(exporter.give(2), 1)).unwrap();
    exporter.gifts.deposit(&exporter.with_gifter, gift(2), "gift", UNTIL).unwrap();
    exporter.withdraw(exporter.receive(exporter.give(3), 2)).unwrap();
    exporter.gifts.session_ended(&exporter.with_gifter);
    assert_eq!(exporter.gifts.deadline(), None);
}

#[test]
fn nothing_is_left_in_a_session_that_is_over() {
    let mut exporter = Exporter::new();
    exporter.gifts.deposit(&exporter.with_gifter, gift(1), "gift", UNTIL).unwrap();
    exporter.gifts.session_ended(&exporter.with_gifter);
    let refused = exporter.gifts.deposit(&exporter.with_gifter, gift(2), "late", UNTIL);
    assert_eq!(refused, Err((DepositError::Ended, "late")));
    assert_eq!(exporter.gifts.expire(UNTIL), (vec![], vec!["gift"]));
    let late = exporter.withdraw(exporter.receive(exporter.give(1), 0));
    assert_eq!(late, Err(WithdrawError::NoGifter));
}

#[test]
fn the_first_gift_under_an_id_stays() {
    let mut exporter = Exporter::new();
    exporter.gifts.deposit(&exporter.with_gifter, gift(1), "first", UNTIL).unwrap();
    let second = exporter.gifts.deposit(&exporter.with_gifter, gift(1), "second", UNTIL);
    assert_eq!(second, Err((DepositError::Twice, "second")));
    assert_eq!(exporter.withdraw(exporter.receive(exporter.give(1), 0)), Ok(Some("first")));
}

#[test]
fn a_gift_to_its_own_exporter_is_had_at_once() {
    let mut exporter = Exporter::new();
    exporter.gifts.deposit(&exporter.with_gifter, gift(1), "gift", UNTIL).unwrap();
    let give = Signed::new(exporter.give(1), &exporter.gifter);
    let ours = exporter.receiver_with_gifter.public();
    let stolen = exporter.gifts.withdraw_here(&give, &key(66).public(), "us", UNTIL);
    assert!(matches!(stolen, Withdrawal::Refused(WithdrawError::NotTheReceiver, _)));
    let forged = Signed::new(exporter.give(1), &key(66));
    let forged = exporter.gifts.withdraw_here(&forged, &ours, "us", UNTIL);
    assert!(matches!(forged, Withdrawal::Refused(WithdrawError::NotTheGifter, _)));
    let had = exporter.gifts.withdraw_here(&give, &ours, "us", UNTIL);
    assert!(matches!(had, Withdrawal::Gift("gift", "us")));
}

#[test]
fn neither_gifts_nor_those_who_wait_are_without_limit() {
    let mut exporter = Exporter::new();
    for number in 0..2 {
        exporter.gifts.deposit(&exporter.with_gifter, gift(number), "gift", UNTIL).unwrap();
    }
    let third = exporter.gifts.deposit(&exporter.with_gifter, gift(2), "gift", UNTIL);
    assert!(matches!(third, Err((DepositError::Limit(limit), _)) if limit.name == "gifts"));
    for number in 10..12 {
        let give = exporter.give(number);
        exporter.withdraw(exporter.receive(give, number.into())).unwrap();
    }
    let third = exporter.withdraw(exporter.receive(exporter.give(12), 12));
    assert_eq!(third.unwrap_err().to_string(), "limit exceeded: pending_withdrawals (2)");
}
