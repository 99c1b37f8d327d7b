//! Operations and commands in any order, to and on one live session.

use captp::{AnswerPos, Event, Limits, Part, Question, RemotePos, SessionConfig};

use super::{Source, speech};
use crate::support::{BOOTSTRAP, Ref, Resolver, Side, TestRuntime, Thing, Value, config, name};

/// Limits that a few operations reach.
pub(crate) fn tight() -> Limits {
    let mut limits = Limits::default();
    limits.message_size = 2048;
    limits.message_depth = 12;
    limits.int_digits = 30;
    limits.exports = 12;
    limits.imports = 12;
    limits.answers = 6;
    limits.questions = 6;
    limits.gifts = 3;
    limits.queued_bytes = 8192;
    limits
}

/// A session and what its user holds.
pub(crate) struct Play {
    pub(crate) side: Side,
    held: Vec<Ref>,
    questions: Vec<Question<TestRuntime>>,
    answers: Vec<AnswerPos>,
    pub(crate) ended: bool,
}

pub(crate) fn ops(input: &[u8]) {
    let source = &mut Source(input);
    let mut ours = config("alice", 1);
    ours.limits = tight();
    ours.experimental_flush = source.below(2) == 0;
    if source.below(2) == 0 {
        ours.dialect = captp::Dialect::UNHEARD;
    }
    let mut play = Play::new(ours);
    play.hear(&greeting(2));
    while !source.is_empty() && !play.ended {
        play.step(source);
    }
    play.finish();
}

/// The greeting of the peer with that seed.
pub(crate) fn greeting(seed: u8) -> Vec<u8> {
    Side::new(config("bob", seed)).transmit(true)
}

impl Play {
    pub(crate) fn new(config: SessionConfig) -> Self {
        let side = Side::new(config);
        Self { side, held: vec![], questions: vec![], answers: vec![], ended: false }
    }

    pub(crate) fn step(&mut self, source: &mut Source<'_>) {
        match source.below(18) {
            0..=6 => {
                let mut said = Vec::new();
                speech::operation(source, &mut said);
                self.hear(&said);
            }
            7..=9 => self.send(source),
            10 => self.listen(source),
            11 => self.extract(source),
            12 => {
                if !self.answers.is_empty() {
                    let pos = self.answers.swap_remove(source.index(self.answers.len()));
                    self.side.session.release(RemotePos::Answer(pos), 0);
                }
            }
            13 if !self.held.is_empty() => {
                drop(self.held.swap_remove(source.index(self.held.len())));
            }
            14 if !self.questions.is_empty() => {
                let question = self.questions.swap_remove(source.index(self.questions.len()));
                self.answer(source, question);
            }
            15 if source.byte() == 0 => self.side.session.close("enough"),
            16 => self.forge(source),
            _ => drop(self.side.transmit(source.below(2) == 0)),
        }
        self.note(|_, _| {});
        self.check();
    }

    pub(crate) fn hear(&mut self, said: &[u8]) {
        let (first, second) = said.split_at(said.len() / 2);
        self.side.receive(first);
        self.side.receive(second);
    }

    /// Something of the peer's.
    fn remote(&self, source: &mut Source<'_>) -> RemotePos {
        let imports = self.held.iter().filter_map(|reference| match **reference {
            Thing::Import { pos, .. } => Some(RemotePos::Import(pos)),
            Thing::Local { .. } | Thing::Answer { .. } => None,
        });
        let mut all: Vec<_> = imports.collect();
        all.extend(self.answers.iter().copied().map(RemotePos::Answer));
        all.get(source.index(all.len())).copied().unwrap_or(BOOTSTRAP)
    }

    fn value(&mut self, source: &mut Source<'_>, depth: u8) -> Value {
        match source.below(if depth == 0 { 5 } else { 8 }) {
            0 => source.position().into(),
            1 => Value::error("oops"),
            2 => Value::Ref(self.side.runtime.local(source.below(2) == 0)),
            3 | 4 => match self.held.get(source.index(self.held.len())) {
                Some(reference) => Value::Ref(reference.clone()),
                None => Value::Null,
            },
            5 => Value::Struct(vec![
                ("a".into(), self.value(source, depth - 1)),
                // At times the same key twice, which can't be sent.
                (["b", "a"][source.index(2)].into(), self.value(source, depth - 1)),
            ]),
            _ => {
                let len = source.below(4);
                Value::List((0..len).map(|_| self.value(source, depth - 1)).collect())
            }
        }
    }

    fn send(&mut self, source: &mut Source<'_>) {
        let to = self.remote(source);
        let args: Vec<_> = (0..source.below(4)).map(|_| self.value(source, 3)).collect();
        let resolver = (source.below(2) == 0).then_some(Resolver(7));
        let before = self.side.session.table_counts();
        match self.side.deliver(to, &args, resolver) {
            Ok(answer) => self.answers.extend(answer),
            Err(_) => assert_eq!(self.side.session.table_counts(), before, "taken back"),
        }
        for value in args {
            if let Value::Ref(reference) = value {
                self.held.push(reference);
            }
        }
    }

    fn listen(&mut self, source: &mut Source<'_>) {
        let to = self.remote(source);
        let _refused = self.side.session.listen(to, Resolver(8));
    }

    fn extract(&mut self, source: &mut Source<'_>) {
        let from = self.remote(source);
        let part = match source.below(3) {
            0 => Part::Field("key".into()),
            1 => Part::Tagged("tag".into()),
            _ => Part::Index(source.position()),
        };
        if let Ok(answer) = self.side.session.extract(from, &part) {
            self.answers.extend(answer);
        }
    }

    fn answer(&mut self, source: &mut Source<'_>, question: Question<TestRuntime>) {
        let value = self.value(source, 2);
        let Some(listener) = question.listener else { return };
        let verb = ["fulfill", "break"][source.index(2)];
        // A peer may name its own object as listener, or ours.
        if let Thing::Import { pos, .. } = *listener {
            let args = [Value::symbol(verb), value];
            let _refused = self.side.deliver(RemotePos::Import(pos), &args, None);
        }
    }

    /// The runtime says something that makes no sense.
    fn forge(&mut self, source: &mut Source<'_>) {
        let generation = u32::from(source.byte());
        // A generation that no import of so few is in.
        let pos = captp::ImportPos(source.position());
        self.side.session.release(RemotePos::Import(pos), generation + (1 << 20));
    }

    /// Takes the events in, after `see` has. After the end there are none.
    pub(crate) fn note(&mut self, mut see: impl FnMut(&mut Side, &Event<TestRuntime>)) {
        // `see` may end the session, which is an event of its own.
        loop {
            self.side.session.take_events(&mut self.side.events);
            let Some(event) = self.side.events.pop_front() else { break };
            assert!(!self.ended, "{} after the end", name(&event));
            see(&mut self.side, &event);
            match event {
                Event::Deliver { to, args, question } => {
                    self.held.push(to);
                    args.into_iter().for_each(|value| hold(value, &mut self.held));
                    self.questions.extend(question);
                }
                Event::Bootstrap { question, .. } => self.questions.extend(question),
                Event::Listen { to, listener } => self.held.extend([to, listener]),
                Event::Extract { from, question, .. } => {
                    self.held.push(from);
                    self.questions.push(question);
                }
                Event::Settled { outcome: Ok(value) | Err(value), .. } => {
                    hold(value, &mut self.held);
                }
                Event::Acknowledge(question) => self.questions.push(question),
                Event::Ended(_) => self.ended = true,
                _ => {}
            }
        }
        assert_eq!(self.ended, self.side.session.is_ended());
    }

    /// What must always hold, and that the limits do.
    pub(crate) fn check(&self) {
        let session = &self.side.session;
        session.check().expect("tables in order");
        let (limits, counts) = (tight(), session.table_counts());
        assert!(counts.exports <= limits.exports && counts.imports <= limits.imports);
        assert!(counts.answers <= limits.answers && counts.questions <= limits.questions);
        assert!(session.queued_bytes() <= limits.queued_bytes + limits.message_size);
    }

    /// All is let go of and the connection closes: nothing is left.
    pub(crate) fn finish(mut self) {
        self.side.session.disconnected();
        self.note(|_, _| {});
        assert!(self.ended);
        self.held.clear();
        self.questions.clear();
        self.side.transmit(true);
        self.check();
        assert_eq!(
            self.side.session.table_counts(),
            captp::TableCounts::default(),
            "{}",
            self.side.session.dump()
        );
    }
}

fn hold(value: Value, held: &mut Vec<Ref>) {
    match value {
        Value::Ref(reference) => held.push(reference),
        Value::List(values) => values.into_iter().for_each(|value| hold(value, held)),
        _ => {}
    }
}
