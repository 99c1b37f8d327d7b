//! Distributed garbage collection is exact: whatever is sent, held, sent back and let go
//! of, in whatever order it travels, both sides count the same and nothing is left.

mod support;

use std::collections::BTreeMap;

use captp::{AnswerPos, RemotePos};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use support::{BOOTSTRAP, Pair, Ref, Resolver, Side, Value, config, name, remote};

#[derive(Clone, Debug)]
enum Step {
    /// A message with these, from that side; with a question or not.
    Send(bool, Vec<Sent>, bool),
    /// That side lets go of one of what it holds.
    Drop(bool, prop::sample::Index),
    /// That side lets go of the answer to one of its questions.
    Release(bool, prop::sample::Index),
    /// That side answers one of its peer's questions, with what it holds.
    Answer(bool, prop::sample::Index, Sent),
    /// That side hands over what it has to send.
    Write(bool, bool),
    /// That side reads some of what is on its way to it, in eighths.
    Read(bool, usize),
}

/// A reference among arguments, so deep in lists.
#[derive(Clone, Debug)]
struct Sent {
    what: What,
    depth: u8,
    times: u8,
}

#[derive(Clone, Debug)]
enum What {
    New(bool),
    Held(prop::sample::Index),
    Answer(prop::sample::Index),
}

fn sent() -> impl Strategy<Value = Sent> {
    let what = prop_oneof![
        2 => any::<bool>().prop_map(What::New),
        4 => any::<prop::sample::Index>().prop_map(What::Held),
        1 => any::<prop::sample::Index>().prop_map(What::Answer),
    ];
    (what, 0..4_u8, 1..4_u8).prop_map(|(what, depth, times)| Sent { what, depth, times })
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    let side = any::<bool>;
    prop_oneof![
        5 => (side(), prop::collection::vec(sent(), 0..4), any::<bool>())
            .prop_map(|(side, sent, asks)| Step::Send(side, sent, asks)),
        4 => (side(), index()).prop_map(|(side, index)| Step::Drop(side, index)),
        2 => (side(), index()).prop_map(|(side, index)| Step::Release(side, index)),
        2 => (side(), index(), sent()).prop_map(|(side, index, sent)| Step::Answer(side, index, sent)),
        4 => (side(), any::<bool>()).prop_map(|(side, idle)| Step::Write(side, idle)),
        6 => (side(), 1..9_usize).prop_map(|(side, eighths)| Step::Read(side, eighths)),
    ]
}

/// A side, what its user holds, and what is on its way to it.
struct End {
    side: Side,
    held: Vec<Ref>,
    answers: Vec<(AnswerPos, Ref)>,
    questions: Vec<captp::Question<support::TestRuntime>>,
    coming: Vec<u8>,
}

impl End {
    fn new(side: Side) -> Self {
        Self { side, held: vec![], answers: vec![], questions: vec![], coming: vec![] }
    }

    fn value(&mut self, sent: &Sent) -> Value {
        let reference = match &sent.what {
            What::Held(index) if !self.held.is_empty() => index.get(&self.held).clone(),
            What::Answer(index) if !self.answers.is_empty() => index.get(&self.answers).1.clone(),
            What::New(promise) => self.side.runtime.local(*promise),
            _ => self.side.runtime.local(false),
        };
        self.held.extend(matches!(sent.what, What::New(_)).then(|| reference.clone()));
        let repeated = vec![Value::Ref(reference); sent.times.into()];
        (0..sent.depth).fold(Value::List(repeated), |inner, depth| match depth % 2 {
            0 => Value::Struct(vec![("in".into(), inner)]),
            _ => Value::List(vec![inner]),
        })
    }

    fn send(&mut self, sent: &[Sent], asks: bool) {
        let args: Vec<_> = sent.iter().map(|sent| self.value(sent)).collect();
        let answer = self.side.deliver(BOOTSTRAP, &args, asks.then_some(Resolver(0))).unwrap();
        if let Some(pos) = answer {
            self.answers.push((pos, self.side.runtime.answer(pos)));
        }
    }

    fn answer(&mut self, index: &prop::sample::Index, sent: &Sent) {
        if !self.questions.is_empty() {
            let question = self.questions.swap_remove(index.index(self.questions.len()));
            let value = self.value(sent);
            self.side.answer(question, Ok(value));
        }
    }

    fn read(&mut self, eighths: usize) {
        let len = self.coming.len() * eighths / 8;
        let bytes: Vec<_> = self.coming.drain(..len).collect();
        self.side.receive(&bytes);
        while let Some(event) = self.side.events.pop_front() {
            match event {
                captp::Event::Bootstrap { call: captp::BootstrapCall::Unknown(args), question } => {
                    args.into_iter().for_each(|value| self.hold(value));
                    self.questions.extend(question);
                }
                captp::Event::Settled { outcome: Ok(value), .. } => self.hold(value),
                captp::Event::Dropped(_) => {}
                captp::Event::Settled { .. } => {}
                other => panic!("unexpected {}", name(&other)),
            }
        }
    }

    fn hold(&mut self, value: Value) {
        match value {
            Value::Ref(reference) => self.held.push(reference),
            Value::List(values) => values.into_iter().for_each(|value| self.hold(value)),
            Value::Struct(fields) => fields.into_iter().for_each(|(_, value)| self.hold(value)),
            _ => {}
        }
    }
}

struct Play {
    ends: [End; 2],
}

impl Play {
    fn new() -> Self {
        let pair = Pair::with(config("alice", 1), config("bob", 2));
        Self { ends: [End::new(pair.a), End::new(pair.b)] }
    }

    fn step(&mut self, step: &Step) {
        let end = |side: &bool| usize::from(*side);
        match step {
            Step::Send(side, sent, asks) => self.ends[end(side)].send(sent, *asks),
            Step::Drop(side, index) => {
                let held = &mut self.ends[end(side)].held;
                if !held.is_empty() {
                    drop(held.swap_remove(index.index(held.len())));
                }
            }
            Step::Release(side, index) => {
                let answers = &mut self.ends[end(side)].answers;
                if !answers.is_empty() {
                    drop(answers.swap_remove(index.index(answers.len())));
                }
            }
            Step::Answer(side, index, sent) => self.ends[end(side)].answer(index, sent),
            Step::Write(side, idle) => self.write(end(side), *idle),
            Step::Read(side, eighths) => self.ends[end(side)].read(*eighths),
        }
        self.ends.iter().for_each(|end| end.side.session.check().unwrap());
    }

    fn write(&mut self, from: usize, idle: bool) {
        let bytes = self.ends[from].side.transmit(idle);
        self.ends[1 - from].coming.extend(bytes);
    }

    /// Everything arrives.
    fn settle(&mut self) {
        loop {
            (0..2).for_each(|from| self.write(from, true));
            if self.ends.iter().all(|end| end.coming.is_empty()) {
                return;
            }
            self.ends.iter_mut().for_each(|end| end.read(8));
        }
    }

    /// Both sides count the same.
    fn agree(&self) {
        for (one, other) in [(0, 1), (1, 0)] {
            let dumps = [one, other].map(|end| self.ends[end].side.session.dump());
            let sent = counts(&dumps[0], "export ", ": reference, sent ");
            let received = counts(&dumps[1], "import ", ": received ");
            for (pos, received) in &received {
                // Resolvers are exports, too, and are imported by who answers.
                assert!(
                    sent.get(pos).is_none_or(|sent| sent == received),
                    "{pos}: sent {sent:?}, received {received}"
                );
            }
            assert!(sent.keys().all(|pos| received.contains_key(pos)), "{sent:?} {received:?}");
        }
    }
}

/// Positions and counts out of the lines of a dump that look like that.
fn counts(dump: &str, start: &str, middle: &str) -> BTreeMap<u64, u64> {
    let line = |line: &str| {
        let (pos, rest) = line.strip_prefix(start)?.split_once(middle)?;
        let count = rest.split(',').next()?;
        Some((pos.parse().ok()?, count.parse().ok()?))
    };
    dump.lines().filter_map(line).collect()
}

proptest! {
    #![proptest_config(Config {
        cases: if cfg!(miri) { 2 } else { 256 },
        rng_seed: RngSeed::Fixed(0x0ca9),
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn both_sides_count_the_same_and_nothing_is_left(steps in prop::collection::vec(step(), 1..80)) {
        let mut play = Play::new();
        for step in &steps {
            play.step(step);
        }
        play.settle();
        play.agree();
        for end in &mut play.ends {
            end.held.clear();
            end.answers.clear();
            end.questions.clear();
        }
        play.settle();
        for end in &play.ends {
            let session = &end.side.session;
            let left = session.table_counts();
            // A question that nobody answers is the peer's to let go of, and it has.
            prop_assert_eq!(left, captp::TableCounts::default(), "{}", session.dump());
        }
    }
}

/// `calls` calls, each with references both ways, at most eight under way.
fn many_calls(calls: u64) {
    let mut pair = Pair::new();
    let mut flat = None;
    for call in 0..calls {
        let ours = Value::Ref(pair.a.runtime.local(call % 3 == 0));
        let args = [ours.clone(), Value::List(vec![ours])];
        let asked = pair.a.deliver(BOOTSTRAP, &args, Some(Resolver(1))).unwrap().unwrap();
        pair.pump();
        let (_, args, question) = pair.b.message();
        let theirs = Value::Ref(pair.b.runtime.local(false));
        pair.b.answer(question.unwrap(), Ok(Value::List(vec![theirs, args[0].clone()])));
        drop(args);
        pair.pump();
        drop(pair.a.settled());
        pair.a.session.release(RemotePos::Answer(asked), 0);
        pair.a.events.clear();
        pair.b.events.clear();
        if call == calls / 4 {
            flat = resident_pages();
        }
    }
    pair.assert_quiescent();
    if let (Some(before), Some(after)) = (flat, resident_pages()) {
        // A leak of one byte a call would show in the long run: 64 pages are 256 KiB.
        assert!(after <= before + 64, "{before} pages resident, then {after}");
    }
}

/// Pages of memory in use, where the system tells.
fn resident_pages() -> Option<u64> {
    std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()
}

#[test]
fn twenty_thousand_calls_leave_nothing() {
    many_calls(if cfg!(miri) { 200 } else { 20_000 });
}

/// `cargo test --release -p captp --test garbage -- --ignored --exact
/// a_million_calls_leave_nothing_and_memory_is_flat`
#[test]
#[ignore = "too long for a debug build: .ci/run runs it in release mode"]
fn a_million_calls_leave_nothing_and_memory_is_flat() {
    many_calls(1_000_000);
}

/// Something of the peer's, named back to it, is counted by nobody.
#[test]
fn what_goes_home_is_not_counted() {
    let mut pair = Pair::new();
    let (theirs, ours) = pair.introduce();
    for _ in 0..3 {
        pair.a.deliver(remote(&theirs), &[Value::Ref(theirs.clone())], None).unwrap();
    }
    pair.pump();
    assert_eq!(pair.b.message().1, [Value::Ref(ours)]);
    assert!(pair.b.session.dump().contains("sent 1"), "{}", pair.b.session.dump());
    drop(theirs);
    pair.assert_quiescent();
}
