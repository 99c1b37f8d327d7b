//! A link to no peer: it notes what is asked of it and keeps the resolvers for the
//! test to settle.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use captp::{AnswerPos, ImportPos, RemotePos};
use vat_runtime::{Args, Link, Ref, Resolver, Value};

/// One call of the link.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asked {
    Deliver(RemotePos, Args, Option<AnswerPos>),
    Listen(RemotePos),
    Release(RemotePos, u32),
}

#[derive(Default)]
struct State {
    asked: Vec<Asked>,
    next: u64,
    answers: BTreeMap<AnswerPos, Resolver>,
    listeners: BTreeMap<RemotePos, Resolver>,
}

pub(crate) struct Inner {
    key: u64,
    state: Mutex<State>,
}

#[allow(dead_code, reason = "each test uses what it needs")]
impl Inner {
    pub(crate) fn object(self: &Arc<Self>, pos: u64) -> Ref {
        Ref::remote_object(self.clone(), ImportPos(pos), 7)
    }

    pub(crate) fn promise(self: &Arc<Self>, pos: u64) -> Ref {
        Ref::remote_promise(self.clone(), ImportPos(pos), 7)
    }

    /// What was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }

    pub(crate) fn answer(&self, pos: u64) -> Resolver {
        self.state.lock().unwrap().answers.remove(&AnswerPos(pos)).unwrap()
    }

    pub(crate) fn listener(&self, pos: RemotePos) -> Resolver {
        self.state.lock().unwrap().listeners.remove(&pos).unwrap()
    }
}

/// The link, which ends with its test, as a session ends: what nobody answers would hold
/// the link, and the link what nobody answers.
pub(crate) struct FakeLink(Arc<Inner>);

impl FakeLink {
    pub(crate) fn new(key: u64) -> Self {
        Self(Arc::new(Inner { key, state: Mutex::default() }))
    }
}

impl Deref for FakeLink {
    type Target = Arc<Inner>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for FakeLink {
    fn drop(&mut self) {
        // Resolvers that go release references: not while they are being let go.
        let state = self.0.state.lock().map(|mut state| std::mem::take(&mut *state));
        drop(state);
    }
}

impl Link for Inner {
    fn key(&self) -> u64 {
        self.key
    }

    fn deliver(&self, to: RemotePos, args: Args, answer: Option<Resolver>) -> Option<AnswerPos> {
        let mut state = self.state.lock().unwrap();
        let pos = answer.map(|resolver| {
            let pos = AnswerPos(state.next);
            state.next += 1;
            state.answers.insert(pos, resolver);
            pos
        });
        state.asked.push(Asked::Deliver(to, args, pos));
        pos
    }

    fn listen(&self, to: RemotePos, resolver: Resolver) {
        let mut state = self.state.lock().unwrap();
        state.asked.push(Asked::Listen(to));
        state.listeners.insert(to, resolver);
    }

    fn release(&self, pos: RemotePos, generation: u32) {
        self.state.lock().unwrap().asked.push(Asked::Release(pos, generation));
    }
}

#[allow(dead_code, reason = "each test uses what it needs")]
pub(crate) const fn import(pos: u64) -> RemotePos {
    RemotePos::Import(ImportPos(pos))
}

#[allow(dead_code, reason = "each test uses what it needs")]
pub(crate) const fn answer(pos: u64) -> RemotePos {
    RemotePos::Answer(AnswerPos(pos))
}

/// A message with an answer, or with none.
#[allow(dead_code, reason = "each test uses what it needs")]
pub(crate) fn delivered(to: RemotePos, arg: i64, answer: Option<u64>) -> Asked {
    Asked::Deliver(to, vec![Value::Int(arg)], answer.map(AnswerPos))
}
