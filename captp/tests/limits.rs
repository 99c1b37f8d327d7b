//! Each limit crossed once: the session ends, or the call is refused, with the limit's
//! name, and another session goes on.

mod support;

use std::time::Duration;

use captp::{DepositError, GiftId, Gifts, Limits, SessionId, SessionKey};
use support::{BOOTSTRAP, Pair, Resolver, Side, Value, config};

/// A session under `limits`, and one beside it.
struct Two {
    tried: Pair,
    other: Pair,
}

impl Two {
    fn new(set: impl FnOnce(&mut Limits)) -> Self {
        let mut tried = config("alice", 1);
        set(&mut tried.limits);
        Self { tried: Pair::with(tried, config("bob", 2)), other: Pair::new() }
    }

    /// The peer says this, and that is the end.
    fn ends(mut self, said: &str, expected: &str) {
        self.tried.a.receive(said.as_bytes());
        self.ended(expected);
    }

    fn ended(mut self, expected: &str) {
        self.tried.a.session.take_events(&mut self.tried.a.events);
        self.tried.a.events.retain(|event| matches!(event, captp::Event::Ended(_)));
        assert_eq!(self.tried.a.end().to_string(), expected);
        self.tried.pump();
        self.tried.b.events.retain(|event| matches!(event, captp::Event::Ended(_)));
        assert_eq!(self.tried.b.end().to_string(), format!("aborted by the peer: {expected}"));
        self.goes_on();
    }

    fn goes_on(mut self) {
        self.other.introduce();
        self.other.assert_quiescent();
    }
}

fn deliver(args: &str) -> String {
    format!("<10'op:deliver<11'desc:export0+>[{args}]ff>")
}

#[test]
fn message_size() {
    let long = deliver(&format!("1000:{}", "x".repeat(1000)));
    Two::new(|limits| limits.message_size = 1000)
        .ends(&long, "limit exceeded: message_size (1000)");
    let half = &long[..1010];
    Two::new(|limits| limits.message_size = 1000).ends(half, "limit exceeded: message_size (1000)");
}

#[test]
fn greeting_size() {
    let mut ours = config("alice", 1);
    ours.limits.greeting_size = 300;
    let mut side = Side::new(ours);
    side.receive(format!("<16'op:start-session400\"{}", "1".repeat(400)).as_bytes());
    assert_eq!(side.end().to_string(), "limit exceeded: greeting_size (300)");
    // It is no limit on what follows.
    let mut ours = config("alice", 1);
    ours.limits.greeting_size = 1000;
    let mut pair = Pair::with(ours, config("bob", 2));
    pair.a.receive(deliver(&format!("2000:{}", "x".repeat(2000))).as_bytes());
    drop(pair.a.message());
}

#[test]
fn message_depth() {
    let two = Two::new(|limits| limits.message_depth = 10);
    two.ends(
        &deliver(&format!("{}{}", "[".repeat(9), "]".repeat(9))),
        "limit exceeded: message_depth (10)",
    );
}

#[test]
fn int_digits() {
    let two = Two::new(|limits| limits.int_digits = 30);
    two.ends(&deliver(&format!("{}+", "7".repeat(31))), "limit exceeded: int_digits (30)");
}

#[test]
fn imports() {
    let two = Two::new(|limits| limits.imports = 2);
    let refs: String = (1..=3).map(|pos| format!("<18'desc:import-object{pos}+>")).collect();
    two.ends(&deliver(&refs), "limit exceeded: imports (2)");
}

#[test]
fn answers() {
    let two = Two::new(|limits| limits.answers = 2);
    let asked: String =
        (1..=3).map(|pos| format!("<10'op:deliver<11'desc:export0+>[]{pos}+f>")).collect();
    two.ends(&asked, "limit exceeded: answers (2)");
    let mut two = Two::new(|limits| limits.answers = 2);
    two.tried.a.receive(b"<10'op:deliver<11'desc:export0+>[]1+f>");
    two.ends(
        "<8'op:index<11'desc:answer1+>0+2+><8'op:index<11'desc:answer1+>0+3+>",
        "limit exceeded: answers (2)",
    );
}

/// What we may hold at a peer is ours to mind: the call is refused and the session, whose
/// peer has done nothing, goes on.
#[test]
fn exports_and_questions() {
    let mut two = Two::new(|limits| {
        limits.exports = 3;
        limits.questions = 1;
    });
    let tried = &mut two.tried;
    let refs: Vec<Value> = (0..4).map(|_| Value::Ref(tried.a.runtime.local(false))).collect();
    let refused = tried.a.deliver(BOOTSTRAP, &refs, None).unwrap_err();
    assert_eq!(refused.why.to_string(), "limit exceeded: exports (3)");
    tried.a.deliver(BOOTSTRAP, &[], Some(Resolver(1))).unwrap();
    let refused = tried.a.deliver(BOOTSTRAP, &[], Some(Resolver(2))).unwrap_err();
    assert_eq!(refused.why.to_string(), "limit exceeded: questions (1)");
    assert_eq!(refused.resolver, Some(Resolver(2)));
    assert!(tried.a.session.is_live());
    two.goes_on();
}

#[test]
fn queued_bytes() {
    let mut two = Two::new(|limits| limits.queued_bytes = 1000);
    while two.tried.a.session.is_live() {
        two.tried.a.deliver(BOOTSTRAP, &["a few bytes".into()], None).unwrap();
    }
    two.ended("limit exceeded: queued_bytes (1000)");
}

#[test]
fn gifts() {
    let mut two = Two::new(|limits| limits.gifts = 2);
    let gifter = SessionKey::from_entropy([9; 32]).public();
    let id = SessionId::between(gifter.id(), SessionKey::from_entropy([8; 32]).public().id());
    let mut gifts: Gifts<u8, ()> = Gifts::new(2);
    gifts.session_started(id, gifter);
    for number in 0..2 {
        assert!(
            gifts.deposit(&id, GiftId::from_entropy([number; 32]), number, Duration::MAX).is_ok()
        );
    }
    let refused = gifts.deposit(&id, GiftId::from_entropy([2; 32]), 2, Duration::MAX);
    let Err((DepositError::Limit(limit), 2)) = refused else { panic!("{refused:?}") };
    two.tried.a.session.fail(limit.into());
    two.ended("limit exceeded: gifts (2)");
}
