//! Handoffs over the wire with an exporter that is a hub, by gifters and receivers that
//! break the rules.

use captp::{GiftId, HandoffGive, HandoffReceive, PublicId, SessionId, SessionKey, Signed};
use ocapn::Sturdyref;
use ocapn::hub::HubSettings;

use crate::by_hand::{BOOTSTRAP, ByHand, Said, Thing, bytes};
use crate::world::{Caller, Counter, TRANSPORT, World};

const EXPORTER: usize = 0;

/// An exporter of a counter, with a gifter and a receiver by hand.
struct Three {
    world: World,
    gifter: ByHand,
    receiver: ByHand,
    /// The receiver's key in its session with the gifter.
    with_gifter: SessionKey,
    counter: Thing,
}

fn settings() -> HubSettings {
    HubSettings::default()
}

fn broken(outcome: Option<Result<Said, Said>>) -> String {
    match outcome {
        Some(Err(reason)) => format!("{reason:?}"),
        other => panic!("should be refused: {other:?}"),
    }
}

impl Three {
    fn new() -> Self {
        let mut world = World::new(&["exporter"], &settings());
        let counter: Sturdyref = world.export(EXPORTER, TRANSPORT, Counter(0));
        let mut gifter = ByHand::connect(&mut world, EXPORTER, "gifter", true, 1);
        let receiver = ByHand::connect(&mut world, EXPORTER, "receiver", true, 2);
        let counter = gifter.fetch(&mut world, counter.swiss.as_bytes());
        let with_gifter = SessionKey::from_entropy([3; 32]);
        Self { world, gifter, receiver, with_gifter, counter }
    }

    fn give(&self, gift: u8) -> Signed<HandoffGive> {
        let gift = GiftId::from_bytes(&[gift; 32]);
        self.gifter.session.give(self.with_gifter.public(), gift).unwrap()
    }

    fn deposit(&mut self, gift: u8) {
        let args = [Said::symbol("deposit-gift"), bytes(&[gift; 32]), Said::Ref(self.counter)];
        let left = self.gifter.ask(&mut self.world, BOOTSTRAP, &args);
        assert!(matches!(left, Some(Ok(_))), "{left:?}");
    }

    fn withdraw(&mut self, receive: &Signed<HandoffReceive>) -> Option<Result<Said, Said>> {
        let args = [Said::symbol("withdraw-gift"), receive.to_passable()];
        self.receiver.ask(&mut self.world, BOOTSTRAP, &args)
    }

    /// A request like an honest one's, with something changed and then signed.
    fn receive(
        &self,
        gift: u8,
        change: impl FnOnce(&mut HandoffReceive),
    ) -> Signed<HandoffReceive> {
        let mut record = HandoffReceive {
            session: self.receiver.established.session_id,
            receiver_side: self.receiver.session.key().public().id(),
            count: 0,
            give: self.give(gift),
        };
        change(&mut record);
        Signed::new(record, &self.with_gifter)
    }

    /// The gift, which counts.
    fn counts(&mut self, gift: Option<Result<Said, Said>>) {
        let Some(Ok(Said::Ref(gift))) = gift else { panic!("{gift:?}") };
        let counted = self.receiver.ask(&mut self.world, gift, &[1.into()]);
        assert!(matches!(counted, Some(Ok(Said::Int(_)))), "{counted:?}");
    }
}

#[test]
fn counts_only_rise_and_need_not_follow_each_other() {
    let mut three = Three::new();
    (1..=4).for_each(|gift| three.deposit(gift));
    let first = three.receive(1, |receive| receive.count = 5);
    let had = three.withdraw(&first);
    three.counts(had);
    assert!(broken(three.withdraw(&first)).contains("made before"), "replayed");
    for count in [0, 4, 5] {
        let older = three.receive(2, |receive| receive.count = count);
        assert!(broken(three.withdraw(&older)).contains("made before"), "{count}");
    }
    let later = three.receive(2, |receive| receive.count = 900);
    let had = three.withdraw(&later);
    three.counts(had);
    assert!(!three.receiver.link.is_ended(), "a wrong count is no reason to end a session");
}

#[test]
fn before_its_deposit_or_after() {
    let mut three = Three::new();
    let early = three.receive(1, |_| {});
    let args = [Said::symbol("withdraw-gift"), early.to_passable()];
    let asked = three.receiver.say(BOOTSTRAP, &args);
    assert_eq!(three.receiver.outcome(&mut three.world, asked), None, "it waits");
    three.deposit(1);
    let had = three.receiver.outcome(&mut three.world, asked);
    three.counts(had);
}

#[test]
fn who_waits_for_a_gift_hears_of_the_gifters_end() {
    let mut three = Three::new();
    let early = three.receive(1, |_| {});
    let args = [Said::symbol("withdraw-gift"), early.to_passable()];
    let asked = three.receiver.say(BOOTSTRAP, &args);
    three.receiver.outcome(&mut three.world, asked);
    three.gifter.link.disconnected();
    let outcome = three.receiver.outcome(&mut three.world, asked);
    assert!(broken(outcome).contains("gifter has ended"));
}

#[test]
fn what_is_forged_foreign_or_for_somebody_else_is_refused() {
    let mut three = Three::new();
    three.deposit(1);
    let other = SessionKey::from_entropy([66; 32]);
    let foreign = SessionId([9; 32]);
    let regive = |three: &Three, key: &SessionKey, change: fn(&mut HandoffGive)| {
        let mut give = three.give(1).record().clone();
        change(&mut give);
        let give = Signed::new(give, key);
        three.receive(1, |receive| receive.give = give)
    };
    let gifter = SessionKey::from_entropy([1; 32]);
    let record = three.receive(1, |_| {}).record().clone();
    let cases = [
        ("another session", three.receive(1, |receive| receive.session = foreign)),
        ("another session", three.receive(1, |receive| receive.receiver_side = PublicId([8; 32]))),
        ("not signed by the receiver", Signed::new(record, &other)),
        ("not the gifter's", regive(&three, &other, |_| {})),
        ("not the gifter's", regive(&three, &gifter, |give| give.gifter_side = PublicId([7; 32]))),
        ("no session with the gifter", regive(&three, &gifter, |g| g.session = SessionId([9; 32]))),
        ("not here", regive(&three, &gifter, |give| give.exporter.designator = "else".into())),
        ("not here", regive(&three, &gifter, |give| give.exporter.transport = "else".into())),
    ];
    for (why, receive) in cases {
        let refused = broken(three.withdraw(&receive));
        assert!(refused.contains(why), "{why}: {refused}");
    }
    // The gift is still there for whom it is meant, and no count is used up.
    let receive = three.receive(1, |_| {});
    let had = three.withdraw(&receive);
    three.counts(had);
}

#[test]
fn a_gift_is_not_for_who_claims_to_be_the_receiver() {
    let mut three = Three::new();
    three.deposit(1);
    let mut impostor = ByHand::connect(&mut three.world, EXPORTER, "receiver", false, 5);
    // It has overheard the gifter's word, and even the receiver's request.
    let overheard = three.receive(1, |_| {});
    let args = [Said::symbol("withdraw-gift"), overheard.to_passable()];
    let refused = impostor.ask(&mut three.world, BOOTSTRAP, &args);
    assert!(broken(refused).contains("another session"));
    let give = three.give(1);
    let own = impostor.session.withdraw(give, &impostor.session.key()).unwrap();
    let args = [Said::symbol("withdraw-gift"), own.to_passable()];
    let refused = impostor.ask(&mut three.world, BOOTSTRAP, &args);
    assert!(broken(refused).contains("not signed by the receiver"));
    let had = three.withdraw(&overheard);
    three.counts(had);
}

#[test]
fn one_id_from_two_gifters_is_two_gifts() {
    let mut three = Three::new();
    let other = three.world.export(EXPORTER, TRANSPORT, Counter(100));
    let mut second = ByHand::connect(&mut three.world, EXPORTER, "second gifter", true, 7);
    let other = second.fetch(&mut three.world, other.swiss.as_bytes());
    three.deposit(1);
    let args = [Said::symbol("deposit-gift"), bytes(&[1; 32]), Said::Ref(other)];
    second.ask(&mut three.world, BOOTSTRAP, &args).unwrap().unwrap();
    let gift = GiftId::from_bytes(&[1; 32]);
    let give = second.session.give(three.with_gifter.public(), gift).unwrap();
    let receive = three.receive(1, |receive| receive.give = give);
    let Some(Ok(Said::Ref(had))) = three.withdraw(&receive) else { panic!("a gift") };
    let counted = three.receiver.ask(&mut three.world, had, &[1.into()]);
    assert_eq!(counted, Some(Ok(101.into())), "the second gifter's");
    let receive = three.receive(1, |receive| receive.count = 1);
    let Some(Ok(Said::Ref(had))) = three.withdraw(&receive) else { panic!("a gift") };
    assert_eq!(three.receiver.ask(&mut three.world, had, &[1.into()]), Some(Ok(1.into())));
}

/// A gifter that does not see that exporter and receiver are one: the gift is had
/// without a session, and by nobody but its receiver.
#[test]
fn a_gift_that_comes_home() {
    let mut three = Three::new();
    let caller = three.world.export(EXPORTER, TRANSPORT, Caller);
    let caller = three.gifter.fetch(&mut three.world, caller.swiss.as_bytes());
    let ours = three.gifter.established.peer_key;
    let sessions = three.world.sessions(EXPORTER);
    for deposit_first in [true, false] {
        let id = u8::from(deposit_first);
        let gift = GiftId::from_bytes(&[id; 32]);
        let give = three.gifter.session.give(ours, gift).unwrap();
        if deposit_first {
            three.deposit(id);
        }
        let asked = three.gifter.say(caller, &[give.to_passable(), 1.into()]);
        if !deposit_first {
            assert_eq!(three.gifter.outcome(&mut three.world, asked), None);
            three.deposit(id);
        }
        let counted = three.gifter.outcome(&mut three.world, asked);
        assert!(matches!(counted, Some(Ok(Said::Int(_)))), "{counted:?}");
    }
    // Meant for somebody else, or forged.
    three.deposit(9);
    let stranger = SessionKey::from_entropy([44; 32]);
    let gift = GiftId::from_bytes(&[9; 32]);
    let stolen = three.gifter.session.give(stranger.public(), gift.clone()).unwrap();
    let forged = three.gifter.session.give(ours, gift).unwrap().record().clone();
    for give in [stolen, Signed::new(forged, &stranger)] {
        let asked = three.gifter.ask(&mut three.world, caller, &[give.to_passable(), 1.into()]);
        broken(asked);
    }
    assert_eq!(three.world.sessions(EXPORTER), sessions);
}
