//! Two sessions face to face, over a runtime that only counts.

#![allow(dead_code, reason = "each test binary uses what it needs")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};

use bytes::BytesMut;
use captp::locator::PeerLocator;
use captp::{
    AnswerPos, BootstrapCall, Event, Identity, ImportPos, Passable, RemotePos, Runtime, Session,
    SessionConfig, SessionEnd, SessionKey, Unsent,
};

pub(crate) type Ref = Arc<Thing>;
pub(crate) type Value = Passable<Ref>;

/// What a reference of the test runtime refers to.
#[derive(Debug)]
pub(crate) enum Thing {
    /// Something of ours.
    Local { id: usize, promise: bool },
    /// Something of the peer's.
    Import { pos: ImportPos, generation: u32, promise: bool, released: Released },
    /// The answer to a question of ours.
    Answer { pos: AnswerPos, released: Released },
}

type Released = Arc<Mutex<Vec<(RemotePos, u32)>>>;

impl PartialEq for Thing {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Drop for Thing {
    fn drop(&mut self) {
        if let Self::Import { pos, generation, released, .. } = self {
            released.lock().unwrap().push((RemotePos::Import(*pos), *generation));
        } else if let Self::Answer { pos, released } = self {
            released.lock().unwrap().push((RemotePos::Answer(*pos), 0));
        }
    }
}

/// The power to settle the test's promise of that number.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resolver(pub(crate) usize);

#[derive(Default)]
pub(crate) struct TestRuntime {
    next: usize,
    released: Released,
}

impl TestRuntime {
    pub(crate) fn local(&mut self, promise: bool) -> Ref {
        self.next += 1;
        Arc::new(Thing::Local { id: self.next, promise })
    }

    /// A reference to an answer, which it releases.
    pub(crate) fn answer(&self, pos: AnswerPos) -> Ref {
        Arc::new(Thing::Answer { pos, released: Arc::clone(&self.released) })
    }

    fn import(&self, pos: ImportPos, generation: u32, promise: bool) -> Ref {
        let released = Arc::clone(&self.released);
        Arc::new(Thing::Import { pos, generation, promise, released })
    }
}

impl Runtime for TestRuntime {
    type Ref = Ref;
    type Weak = Weak<Thing>;
    type Resolver = Resolver;

    fn import_object(&mut self, pos: ImportPos, generation: u32) -> Ref {
        self.import(pos, generation, false)
    }

    fn import_promise(&mut self, pos: ImportPos, generation: u32) -> Ref {
        self.import(pos, generation, true)
    }

    fn promise(&mut self) -> (Ref, Resolver) {
        let promise = self.local(true);
        (promise, Resolver(self.next))
    }

    fn downgrade(&mut self, reference: &Ref) -> Weak<Thing> {
        Arc::downgrade(reference)
    }

    fn upgrade(&mut self, weak: &Weak<Thing>) -> Option<Ref> {
        weak.upgrade()
    }

    fn identify<'r>(&mut self, reference: &'r Ref) -> Identity<'r, Ref> {
        match &**reference {
            Thing::Local { promise, .. } => {
                Identity::Local { key: Arc::as_ptr(reference) as usize, promise: *promise }
            }
            Thing::Import { pos, .. } => {
                let key = Arc::as_ptr(reference) as usize;
                Identity::Remote { pos: RemotePos::Import(*pos), key }
            }
            Thing::Answer { pos, .. } => {
                let key = Arc::as_ptr(reference) as usize;
                Identity::Remote { pos: RemotePos::Answer(*pos), key }
            }
        }
    }
}

/// One side.
pub(crate) struct Side {
    pub(crate) session: Session<TestRuntime>,
    pub(crate) runtime: TestRuntime,
    /// What has been received and not yet read.
    pub(crate) input: BytesMut,
    /// Events not yet looked at.
    pub(crate) events: VecDeque<Event<TestRuntime>>,
}

impl Side {
    pub(crate) fn new(config: SessionConfig) -> Self {
        Self {
            session: Session::new(config),
            runtime: TestRuntime::default(),
            input: BytesMut::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes bytes in as if they had been read from the connection.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.session.receive(&mut self.runtime, &mut self.input);
        self.session.take_events(&mut self.events);
        self.session.check().unwrap();
    }

    /// What is to be sent.
    pub(crate) fn transmit(&mut self, idle: bool) -> Vec<u8> {
        for (pos, generation) in self.runtime.released.lock().unwrap().drain(..) {
            self.session.release(pos, generation);
        }
        let mut out = VecDeque::new();
        self.session.poll_transmit(idle, &mut out);
        out.into_iter().flatten().collect()
    }

    pub(crate) fn deliver(
        &mut self,
        to: RemotePos,
        args: &[Value],
        resolver: Option<Resolver>,
    ) -> Result<Option<AnswerPos>, Unsent<Resolver>> {
        self.session.deliver(&mut self.runtime, to, args, resolver)
    }

    pub(crate) fn next(&mut self) -> Event<TestRuntime> {
        self.events.pop_front().expect("an event")
    }

    /// The next event, which must be a message.
    pub(crate) fn message(
        &mut self,
    ) -> (Option<Ref>, Vec<Value>, Option<captp::Question<TestRuntime>>) {
        match self.next() {
            Event::Bootstrap { call: BootstrapCall::Unknown(args), question } => {
                (None, args, question)
            }
            Event::Deliver { to, args, question } => (Some(to), args, question),
            other => panic!("expected a message, got {}", name(&other)),
        }
    }

    /// The next event, which must be a settlement.
    pub(crate) fn settled(&mut self) -> (Resolver, Result<Value, Value>) {
        match self.next() {
            Event::Settled { resolver, outcome } => (resolver, outcome),
            other => panic!("expected a settlement, got {}", name(&other)),
        }
    }

    /// The end, which must have come.
    pub(crate) fn end(&mut self) -> SessionEnd {
        loop {
            match self.next() {
                Event::Ended(end) => return end,
                Event::Started(_) | Event::Dropped(_) | Event::Settled { .. } => {}
                other => panic!("expected the end, got {}", name(&other)),
            }
        }
    }
}

pub(crate) fn name(event: &Event<TestRuntime>) -> &'static str {
    match event {
        Event::Started(_) => "Started",
        Event::Deliver { .. } => "Deliver",
        Event::Bootstrap { .. } => "Bootstrap",
        Event::Handoff { .. } => "Handoff",
        Event::Listen { .. } => "Listen",
        Event::Extract { .. } => "Extract",
        Event::Settled { .. } => "Settled",
        Event::Acknowledge(_) => "Acknowledge",
        Event::Unused(_) => "Unused",
        Event::Dropped(_) => "Dropped",
        Event::Ended(_) => "Ended",
        _ => "another",
    }
}

/// Two sides, connected and greeted.
pub(crate) struct Pair {
    pub(crate) a: Side,
    pub(crate) b: Side,
}

pub(crate) fn location(designator: &str) -> PeerLocator {
    PeerLocator::new("loopback", designator)
}

pub(crate) fn config(designator: &str, seed: u8) -> SessionConfig {
    let mut config = SessionConfig::new(location(designator), SessionKey::from_entropy([seed; 32]));
    config.dialect = captp::Dialect::ONE;
    config
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with(config("alice", 1), config("bob", 2))
    }

    pub(crate) fn with(a: SessionConfig, b: SessionConfig) -> Self {
        let mut pair = Self { a: Side::new(a), b: Side::new(b) };
        pair.pump();
        for side in [&mut pair.a, &mut pair.b] {
            assert!(matches!(side.next(), Event::Started(_)));
        }
        pair
    }

    /// Carries bytes both ways until there are none.
    pub(crate) fn pump(&mut self) {
        loop {
            let (from_a, from_b) = (self.a.transmit(true), self.b.transmit(true));
            if from_a.is_empty() && from_b.is_empty() {
                return;
            }
            self.b.receive(&from_a);
            self.a.receive(&from_b);
        }
    }

    /// `a` asks `b` for its object, as by fetch, and `b` answers with it.
    pub(crate) fn introduce(&mut self) -> (Ref, Ref) {
        let ours = self.b.runtime.local(false);
        let args = [Value::symbol("anything")];
        let asked = self.a.deliver(BOOTSTRAP, &args, Some(Resolver(0))).unwrap().unwrap();
        self.pump();
        let (_, _, question) = self.b.message();
        self.b.answer(question.unwrap(), Ok(Value::Ref(ours.clone())));
        self.pump();
        let (_, outcome) = self.a.settled();
        let Ok(Value::Ref(theirs)) = outcome else { panic!("expected a reference") };
        self.a.session.release(RemotePos::Answer(asked), 0);
        self.pump();
        self.a.events.clear();
        self.b.events.clear();
        (theirs, ours)
    }

    /// Nothing is left in any table, and nothing to say.
    pub(crate) fn assert_quiescent(&mut self) {
        self.pump();
        for side in [&mut self.a, &mut self.b] {
            side.events.clear();
        }
        self.pump();
        for side in [&self.a, &self.b] {
            side.session.check().unwrap();
            assert_eq!(
                side.session.table_counts(),
                captp::TableCounts::default(),
                "{}",
                side.session.dump()
            );
        }
    }
}

impl Side {
    /// Settles a question as a runtime would: by telling its listener.
    pub(crate) fn answer(
        &mut self,
        question: captp::Question<TestRuntime>,
        outcome: Result<Value, Value>,
    ) {
        if let Some(listener) = question.listener {
            let Thing::Import { pos, .. } = *listener else { panic!("a listener of the peer's") };
            let args = match outcome {
                Ok(value) => [Value::symbol("fulfill"), value],
                Err(value) => [Value::symbol("break"), value],
            };
            self.deliver(RemotePos::Import(pos), &args, None).unwrap();
        }
    }
}

pub(crate) const BOOTSTRAP: RemotePos = RemotePos::Import(ImportPos(0));

/// The position behind a reference to the peer's.
pub(crate) fn remote(reference: &Ref) -> RemotePos {
    match **reference {
        Thing::Import { pos, .. } => RemotePos::Import(pos),
        Thing::Answer { pos, .. } => RemotePos::Answer(pos),
        Thing::Local { .. } => panic!("ours"),
    }
}
