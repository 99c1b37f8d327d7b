//! Two peers that speak valid CapTP in invalid order, from the greeting on: they
//! deposit, withdraw and hand off gifts with whatever keys, counts and sessions the
//! bytes choose. A gift is had only by the rules, whatever they do.

use bytes::Bytes;
use captp::{
    BootstrapCall, DepositError, Event, GiftId, Gifts, HandoffGive, HandoffReceive, Passable,
    PublicKey, SessionId, SessionKey, Signed, Withdrawal,
};

use super::ops::{Play, greeting, tight};
use super::{Source, speech};
use crate::support::{Ref, config, location};

/// The seed of our key in the session with each peer, and of each peer's.
const SEEDS: [(u8, u8); 2] = [(1, 11), (2, 12)];

struct World {
    plays: [Play; 2],
    gifts: Gifts<Ref, usize>,
    /// Withdrawals that were not refused.
    granted: usize,
}

/// Gives how many withdrawals were not refused.
pub(crate) fn hostile(input: &[u8]) -> usize {
    let source = &mut Source(input);
    let plays = SEEDS.map(|(ours, _)| {
        let mut config = config("alice", ours);
        config.limits = tight();
        config.trust_claims = true;
        Play::new(config)
    });
    let mut world = World { plays, gifts: Gifts::new(tight().gifts), granted: 0 };
    if source.below(8) != 0 {
        (0..2).for_each(|which| world.hear(which, &greeting(SEEDS[which].1)));
    }
    while !source.is_empty() {
        world.step(source);
    }
    for play in world.plays {
        play.finish();
    }
    world.granted
}

fn key(seed: u8) -> SessionKey {
    SessionKey::from_entropy([seed; 32])
}

/// That seed mostly, else one of the four: ours with either, either's with us.
fn mostly(source: &mut Source<'_>, right: u8) -> u8 {
    *[11, 12, 1, 2].get(usize::from(source.below(12))).unwrap_or(&right)
}

fn public(seed: u8) -> PublicKey {
    key(seed).public()
}

fn session_id(which: usize) -> SessionId {
    let (ours, theirs) = SEEDS[which % 2];
    SessionId::between(public(ours).id(), public(theirs).id())
}

/// A gift of `gifter`'s for the other, mostly.
fn give(source: &mut Source<'_>, gifter: usize, receiver: u8) -> Signed<HandoffGive> {
    let theirs = SEEDS[gifter].1;
    let elsewhere = source.below(8) == 0;
    let record = HandoffGive {
        receiver_key: public(mostly(source, receiver)),
        exporter: location(if elsewhere { "elsewhere" } else { "alice" }),
        session: session_id(gifter),
        gifter_side: public(mostly(source, theirs)).id(),
        gift: gift(source),
    };
    Signed::new(record, &key(mostly(source, theirs)))
}

fn gift(source: &mut Source<'_>) -> GiftId {
    GiftId::from_entropy([source.below(4); 32])
}

fn encoded(value: Passable<Ref>) -> Bytes {
    match value {
        Passable::Encoded(bytes) => bytes,
        _ => Bytes::new(),
    }
}

impl World {
    fn step(&mut self, source: &mut Source<'_>) {
        let which = source.index(2);
        match source.below(10) {
            0 => self.hear(which, &greeting(SEEDS[source.index(2)].1)),
            1 => {
                let mut said = greeting(SEEDS[which].1);
                let at = usize::from(source.byte()) * said.len() / 256;
                said[at] = source.byte();
                self.hear(which, &said);
            }
            2 | 3 => {
                let mut said = bootstrap("deposit-gift");
                speech::bytes(&mut said, &[source.below(4); 32]);
                said.extend_from_slice(
                    format!("<11'desc:export{}+>]ff>", source.position()).as_bytes(),
                );
                self.hear(which, &said);
            }
            4 | 5 => {
                let (theirs, receiver, gifter) = (SEEDS[which].1, 21, source.index(2));
                let elsewhere = usize::from(source.below(4) == 0);
                let record = HandoffReceive {
                    session: session_id(which + elsewhere),
                    receiver_side: public(mostly(source, theirs)).id(),
                    count: source.position(),
                    give: give(source, gifter, receiver),
                };
                let signed = Signed::new(record, &key(mostly(source, receiver)));
                let mut said = bootstrap("withdraw-gift");
                said.extend_from_slice(&encoded(signed.to_passable()));
                said.extend_from_slice(format!("]{}+f>", source.position()).as_bytes());
                self.hear(which, &said);
            }
            6 => {
                let mut said = bootstrap("look");
                said.extend_from_slice(&encoded(give(source, which, 1).to_passable()));
                said.extend_from_slice(b"]ff>");
                self.hear(which, &said);
            }
            7 if source.below(8) == 0 => {
                self.plays[which].side.session.disconnected();
                self.note(which);
            }
            8 => {
                // Something of ours for it to deposit.
                let play = &mut self.plays[which];
                let ours = Passable::Ref(play.side.runtime.local(false));
                let _refused = play.side.deliver(crate::support::BOOTSTRAP, &[ours], None);
                self.note(which);
            }
            _ => self.plays[which].step(source),
        }
    }

    fn hear(&mut self, which: usize, said: &[u8]) {
        self.plays[which].hear(said);
        self.note(which);
    }

    /// Does what an exporter does.
    fn note(&mut self, which: usize) {
        let (gifts, granted) = (&mut self.gifts, &mut self.granted);
        let id = session_id(which);
        self.plays[which].note(|side, event| match event {
            Event::Started(peer) => gifts.session_started(peer.session_id, peer.peer_key),
            Event::Bootstrap { call: BootstrapCall::DepositGift(gift, reference), .. } => {
                let left = gifts.deposit(&id, gift.clone(), reference.clone(), NEVER);
                if let Err((DepositError::Limit(limit), _)) = left {
                    side.session.fail(limit.into());
                }
            }
            Event::Bootstrap { call: BootstrapCall::WithdrawGift(receive), .. } => {
                let is_us = |peer: &captp::locator::PeerLocator| peer.same_peer(&location("alice"));
                if let Withdrawal::Gift(..) | Withdrawal::Waits =
                    gifts.withdraw(&id, receive, is_us, which, NEVER)
                {
                    by_the_rules(which, receive);
                    *granted += 1;
                }
            }
            Event::Ended(_) => drop(gifts.session_ended(&id)),
            _ => {}
        });
        self.plays[which].check();
    }
}

/// No gift is given up.
const NEVER: std::time::Duration = std::time::Duration::MAX;

/// Checks again, in other words, what makes a request good.
fn by_the_rules(which: usize, receive: &Signed<HandoffReceive>) {
    let request = receive.record();
    let give = request.give.record();
    assert_eq!(request.session, session_id(which));
    assert_eq!(request.receiver_side, public(SEEDS[which].1).id());
    assert!(receive.is_by(&give.receiver_key), "by the receiver that the gifter named");
    assert!(give.exporter.same_peer(&location("alice")));
    let gifter = (0..2).find(|which| session_id(*which) == give.session).expect("a gifter");
    assert_eq!(give.gifter_side, public(SEEDS[gifter].1).id());
    assert!(request.give.is_by(&public(SEEDS[gifter].1)), "by the gifter");
}

fn bootstrap(verb: &str) -> Vec<u8> {
    let mut out = Vec::new();
    speech::record(&mut out, "op:deliver");
    out.extend_from_slice(b"<11'desc:export0+>[");
    speech::symbol(&mut out, verb);
    out
}
