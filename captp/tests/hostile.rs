//! Whatever a peer says, a session does not panic, keeps its tables in order and,
//! once it has ended, says and does nothing more. Random, and the same every time.

mod support;
mod vectors;

use captp::{Event, Limits, RemotePos};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use support::{Pair, Resolver, Side, Thing, Value, config};

/// Deterministic, and nothing is written beside the sources.
fn seeded(cases: u32) -> Config {
    Config {
        cases: if cfg!(miri) { 2 } else { cases },
        rng_seed: RngSeed::Fixed(0x0ca9),
        failure_persistence: None,
        ..Config::default()
    }
}

/// Limits that a few messages reach.
fn tight() -> Limits {
    let mut limits = Limits::default();
    limits.message_size = 2048;
    limits.message_depth = 12;
    limits.int_digits = 30;
    limits.exports = 12;
    limits.imports = 12;
    limits.answers = 6;
    limits.questions = 6;
    limits
}

/// Something done to a session.
#[derive(Clone, Debug)]
enum Step {
    /// The peer says this.
    Hear(Vec<u8>),
    /// We ask the peer's bootstrap object, sending it one of ours and one of theirs.
    Ask,
    /// We tell something of the peer's.
    Tell,
    /// We let go of what has come in.
    Forget,
    /// We send what there is to send.
    Send(bool),
}

fn pos() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..8_u64, 1 => Just(i64::MAX as u64), 1 => Just(u64::MAX)]
}

fn descriptor(label: &'static str) -> impl Strategy<Value = String> {
    pos().prop_map(move |pos| format!("<{}'{label}{pos}+>", label.len()))
}

fn target() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => descriptor("desc:export"),
        1 => descriptor("desc:answer"),
        1 => descriptor("desc:import-object"),
    ]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("t".to_owned()),
        Just("D\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}".to_owned()),
        Just("7'fulfill".to_owned()),
        Just("5'break".to_owned()),
        Just("5'fetch".to_owned()),
        Just("<4'void>".to_owned()),
        Just("<10'desc:error4\"oops>".to_owned()),
        "[1-9][0-9]{0,40}[+-]",
        "[a-z]{0,9}".prop_map(|text| format!("{}\"{text}", text.len())),
        "[a-z]{0,9}".prop_map(|bytes| format!("{}:{bytes}", bytes.len())),
        descriptor("desc:import-object"),
        descriptor("desc:import-promise"),
        descriptor("desc:export"),
        descriptor("desc:answer"),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.concat())),
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|items| format!("#{}$", items.concat())),
            inner.clone().prop_map(|value| format!("{{1\"k{value}}}")),
            inner.clone().prop_map(|value| format!("<11'desc:tagged1't{value}>")),
            inner.clone().prop_map(|value| format!("<17'desc:sig-envelope{value}1+>")),
            inner.prop_map(|value| format!("<7'strange{value}>")),
        ]
    })
}

fn args() -> impl Strategy<Value = String> {
    prop::collection::vec(value(), 0..4).prop_map(|values| format!("[{}]", values.concat()))
}

fn positions() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::collection::vec(pos(), 0..4).prop_map(|list| format!(
            "[{}]",
            list.iter().map(|pos| format!("{pos}+")).collect::<String>()
        )),
        pos().prop_map(|pos| format!("{pos}+")),
    ]
}

fn operation() -> impl Strategy<Value = String> {
    let or_false = |some: BoxedStrategy<String>| prop_oneof![2 => some, 1 => Just("f".to_owned())];
    let answer = move || or_false(pos().prop_map(|pos| format!("{pos}+")).boxed());
    let resolver = move || or_false(descriptor("desc:import-object").boxed());
    prop_oneof![
        8 => (target(), args(), answer(), resolver())
            .prop_map(|(to, args, answer, resolver)| format!("<10'op:deliver{to}{args}{answer}{resolver}>")),
        2 => (target(), args()).prop_map(|(to, args)| format!("<15'op:deliver-only{to}{args}>")),
        2 => (target(), resolver(), any::<bool>()).prop_map(|(to, listener, partial)| {
            format!("<9'op:listen{to}{listener}{}>", if partial { "t" } else { "" })
        }),
        2 => (target(), value(), answer()).prop_map(|(to, part, answer)| format!("<8'op:index{to}{part}{answer}>")),
        3 => (positions(), positions()).prop_map(|(pos, delta)| format!("<13'op:gc-exports{pos}{delta}>")),
        2 => positions().prop_map(|pos| format!("<13'op:gc-answers{pos}>")),
        1 => Just("<8'op:abort3\"why>".to_owned()),
        1 => value(),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => operation().prop_map(|said| Step::Hear(said.into_bytes())),
        1 => prop::collection::vec(any::<u8>(), 1..20).prop_map(Step::Hear),
        2 => Just(Step::Ask),
        2 => Just(Step::Tell),
        2 => Just(Step::Forget),
        3 => any::<bool>().prop_map(Step::Send),
    ]
}

/// A live session with somebody.
fn live(limits: Limits) -> Side {
    let mut ours = config("alice", 1);
    ours.dialect = captp::Dialect::UNHEARD;
    ours.limits = limits;
    Pair::with(ours, config("bob", 2)).a
}

/// References of the peer's that the session's user holds.
fn theirs(value: &Value, found: &mut Vec<RemotePos>) {
    match value {
        Value::Ref(reference) => {
            if let Thing::Import { pos, .. } = **reference {
                found.push(RemotePos::Import(pos));
            }
        }
        Value::List(items) => items.iter().for_each(|item| theirs(item, found)),
        _ => {}
    }
}

/// What the user of a session holds, and the session.
struct Play {
    side: Side,
    kept: Vec<Event<support::TestRuntime>>,
    ended: bool,
}

impl Play {
    fn new(side: Side) -> Self {
        Self { side, kept: Vec::new(), ended: false }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Hear(bytes) => self.side.receive(bytes),
            Step::Ask => {
                let mut args = vec![Value::Ref(self.side.runtime.local(false))];
                args.extend(self.a_reference());
                // Refused when a limit is reached, or the session has ended.
                let _refused = self.side.deliver(support::BOOTSTRAP, &args, Some(Resolver(0)));
            }
            Step::Tell => {
                let to = self.held().pop().unwrap_or(support::BOOTSTRAP);
                let promise = Value::Ref(self.side.runtime.local(true));
                let _refused = self.side.deliver(to, &[promise], None);
            }
            Step::Forget => self.kept.clear(),
            Step::Send(idle) => drop(self.side.transmit(*idle)),
        }
        self.note();
        self.side.session.check().unwrap();
    }

    /// Takes the events in. After the end there are none.
    fn note(&mut self) {
        while let Some(event) = self.side.events.pop_front() {
            assert!(!self.ended, "{} after the end", support::name(&event));
            self.ended = matches!(event, Event::Ended(_));
            self.kept.push(event);
        }
        assert_eq!(self.ended, self.side.session.is_ended());
    }

    fn held(&self) -> Vec<RemotePos> {
        let mut found = Vec::new();
        for event in &self.kept {
            if let Event::Deliver { args, .. } = event {
                args.iter().for_each(|value| theirs(value, &mut found));
            }
        }
        found
    }

    fn a_reference(&self) -> Option<Value> {
        self.kept.iter().find_map(|event| match event {
            Event::Deliver { args, .. } => {
                args.iter().find(|value| matches!(value, Value::Ref(_))).cloned()
            }
            _ => None,
        })
    }

    /// Everything is let go of, and the session, if it has not ended, hangs up: then
    /// nothing is left in it.
    fn finish(mut self) {
        self.side.session.disconnected();
        self.side.session.take_events(&mut self.side.events);
        self.note();
        assert!(self.ended);
        self.kept.clear();
        self.side.transmit(true);
        self.side.session.check().unwrap();
        let left = self.side.session.table_counts();
        assert_eq!((left.exports, left.answers), (0, 0), "{}", self.side.session.dump());
    }
}

proptest! {
    #![proptest_config(seeded(512))]

    #[test]
    fn random_operations(steps in prop::collection::vec(step(), 1..40)) {
        let mut play = Play::new(live(tight()));
        for step in &steps {
            play.step(step);
        }
        play.finish();
    }

    #[test]
    fn random_bytes_before_the_greeting(said in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut ours = config("alice", 1);
        ours.limits = tight();
        let mut play = Play::new(Side::new(ours));
        play.step(&Step::Hear(said));
        play.finish();
    }

    /// A true greeting with a few bytes changed is refused, or means the same.
    #[test]
    fn altered_greetings(changes in prop::collection::vec(change(), 1..4)) {
        let mut greeting = Side::new(config("bob", 2)).transmit(true);
        changes.iter().for_each(|change| change.make(&mut greeting));
        let mut play = Play::new(Side::new(config("alice", 1)));
        play.step(&Step::Hear(greeting));
        play.finish();
    }
}

/// Something that happens to bytes on their way.
#[derive(Clone, Debug)]
enum Change {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Truncate(prop::sample::Index),
    Repeat(prop::sample::Index, prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    // Bytes that mean something in Syrup more often than others.
    let byte =
        || prop_oneof![any::<u8>(), prop::sample::select(b"[]<>{}#$tfFD+-:\"'0129".to_vec())];
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (index(), byte()).prop_map(|(at, byte)| Change::Set(at, byte)),
        2 => (index(), byte()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        2 => index().prop_map(Change::Remove),
        1 => index().prop_map(Change::Truncate),
        1 => (index(), index()).prop_map(|(from, to)| Change::Repeat(from, to)),
    ]
}

impl Change {
    fn make(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        match self {
            Self::Set(at, byte) => bytes[at.index(len)] = *byte,
            Self::Insert(at, byte) => bytes.insert(at.index(len), *byte),
            Self::Remove(at) => drop(bytes.remove(at.index(len))),
            Self::Truncate(at) => bytes.truncate(at.index(len)),
            Self::Repeat(from, to) => {
                let (from, to) = (from.index(len), to.index(len));
                let part = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(from.min(to)..from.min(to), part);
            }
        }
    }
}

/// Recorded messages, altered on their way, to a session that has exported enough
/// for them to make sense.
#[test]
fn altered_recordings() {
    let recorded: Vec<_> = vectors::SESSIONS.into_iter().flat_map(vectors::session).collect();
    let messages: Vec<_> =
        recorded.into_iter().filter(|message| message.label != "op:start-session").collect();
    if messages.is_empty() {
        return;
    }
    let count = messages.len();
    let script = prop::collection::vec((0..count, prop::collection::vec(change(), 0..3)), 1..30);
    proptest!(seeded(512), |(script in script)| {
        let mut play = Play::new(live(Limits::default()));
        let ours: Vec<_> = (0..40).map(|_| Value::Ref(play.side.runtime.local(false))).collect();
        play.side.deliver(support::BOOTSTRAP, &ours, None).unwrap();
        for (index, changes) in script {
            let mut said = messages[index].bytes.clone();
            changes.iter().for_each(|change| change.make(&mut said));
            play.step(&Step::Hear(said));
            play.step(&Step::Send(true));
        }
        play.finish();
    });
}
