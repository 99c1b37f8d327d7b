//! What turns have changed and is not durable yet. Owns the groups in which it is
//! written, and the numbers of the turns.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::task::Waker;

use bytes::Bytes;

use crate::persist::StoreError;
use crate::persist::home::Home;
use crate::reference::ActorCell;
use crate::{Behaviour, Value};

/// A new behaviour of an actor. The last one of a group is written.
pub(crate) struct Change {
    pub(crate) id: u64,
    pub(crate) behaviour: Arc<dyn Behaviour>,
    pub(crate) cell: Weak<ActorCell>,
    /// Nothing of the actor has been stored before. It need not be if the actor is gone:
    /// nothing can have been stored that refers to it.
    pub(crate) first: bool,
}

pub(crate) struct Pending {
    pub(crate) change: Change,
    pub(crate) home: Arc<Home>,
}

/// What is written together.
#[derive(Default)]
pub(crate) struct Group {
    /// The last turn in it.
    pub(crate) sequence: u64,
    pub(crate) objects: HashMap<(u64, u64), Pending>,
    pub(crate) roots: BTreeMap<(u64, Bytes), Option<Value>>,
    /// Vats that have been opened for the first time.
    pub(crate) vats: BTreeSet<u64>,
    /// Objects that nothing holds, to be dropped.
    pub(crate) garbage: BTreeSet<(u64, u64)>,
    pub(crate) collected: Option<u64>,
}

impl Group {
    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty()
            && self.roots.is_empty()
            && self.vats.is_empty()
            && self.garbage.is_empty()
            && self.collected.is_none()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// What is there is still written, but nothing that comes.
    Closing,
    Closed,
}

pub(crate) struct Queue {
    /// What the next transaction will be.
    pub(crate) next: Group,
    /// What is being written.
    pub(crate) writing: Option<Arc<Group>>,
    sequence: u64,
    failed: Option<Arc<str>>,
    state: State,
    /// Futures that wait for a turn.
    pub(crate) waiters: Vec<(u64, Waker)>,
    /// Woken by all progress.
    pub(crate) watchers: Vec<Waker>,
}

/// What is known of an object that is not in its vat's map.
pub(crate) enum Latest {
    /// It has not been written yet.
    Pending(Arc<dyn Behaviour>),
    Stored(Bytes),
}

impl Queue {
    pub(crate) fn new(sequence: u64) -> Self {
        Self {
            next: Group { sequence, ..Group::default() },
            writing: None,
            sequence,
            failed: None,
            state: State::Open,
            waiters: Vec::new(),
            watchers: Vec::new(),
        }
    }

    pub(crate) fn failure(&self) -> Option<StoreError> {
        match (&self.failed, self.state) {
            (Some(reason), _) => Some(StoreError::Failed(reason.clone())),
            (None, State::Closed) => Some(StoreError::Closed),
            (None, _) => None,
        }
    }

    pub(crate) fn fail(&mut self, reason: String) {
        self.failed = Some(reason.into());
    }

    /// Whether the thread is to end once nothing is left to be written.
    pub(crate) fn is_closing(&self) -> bool {
        self.state != State::Open || self.failed.is_some()
    }

    pub(crate) fn close(&mut self) {
        if self.state == State::Open {
            self.state = State::Closing;
        }
    }

    /// Nothing more is written. Gives those who wait for it.
    pub(crate) fn end(&mut self) -> Vec<Waker> {
        self.state = State::Closed;
        self.all_wakers()
    }

    pub(crate) fn all_wakers(&mut self) -> Vec<Waker> {
        let waiters = std::mem::take(&mut self.waiters).into_iter().map(|(_, waker)| waker);
        waiters.chain(self.watchers.iter().cloned()).collect()
    }

    /// Those who wait for this turn, or any.
    pub(crate) fn wakers(&mut self, durable: u64) -> Vec<Waker> {
        let mut wakers = self.watchers.clone();
        self.waiters.retain(|(turn, waker)| {
            let waits = *turn > durable;
            if !waits {
                wakers.push(waker.clone());
            }
            waits
        });
        wakers
    }

    /// Numbers a turn.
    pub(crate) fn advance(&mut self) -> u64 {
        self.sequence += 1;
        self.next.sequence = self.sequence;
        self.sequence
    }

    /// Takes in the changes of a turn. What is given is to be dropped with no lock held.
    pub(crate) fn put(
        &mut self,
        vat: u64,
        home: &Arc<Home>,
        changes: Vec<Change>,
    ) -> (u64, Vec<Pending>) {
        let mut before = Vec::new();
        for mut change in changes {
            let key = (vat, change.id);
            change.first |= self.next.objects.get(&key).is_some_and(|there| there.change.first);
            let pending = Pending { change, home: home.clone() };
            before.extend(self.next.objects.insert(key, pending));
        }
        (self.advance(), before)
    }

    pub(crate) fn put_root(
        &mut self,
        vat: u64,
        name: Bytes,
        value: Option<Value>,
    ) -> (u64, Option<Option<Value>>) {
        let before = self.next.roots.insert((vat, name), value);
        (self.advance(), before)
    }

    fn groups(&self) -> impl Iterator<Item = &Group> {
        std::iter::once(&self.next).chain(self.writing.as_deref())
    }

    /// The last behaviour of an object, if it is not durable yet.
    pub(crate) fn behaviour(&self, vat: u64, id: u64) -> Option<Arc<dyn Behaviour>> {
        let pending = self.groups().find_map(|group| group.objects.get(&(vat, id)))?;
        Some(pending.change.behaviour.clone())
    }

    /// What a root was set to, if that is not durable yet.
    pub(crate) fn root(&self, vat: u64, name: &Bytes) -> Option<Option<Value>> {
        let key = (vat, name.clone());
        self.groups().find_map(|group| group.roots.get(&key)).cloned()
    }

    /// What the roots of a vat were set to, as far as that is not durable yet.
    pub(crate) fn roots(&self, vat: u64) -> BTreeMap<Bytes, Option<Value>> {
        let mut roots = BTreeMap::new();
        for group in self.writing.as_deref().into_iter().chain([&self.next]) {
            let here = group.roots.iter().filter(|((of, _), _)| *of == vat);
            roots.extend(here.map(|((_, name), value)| (name.clone(), value.clone())));
        }
        roots
    }

    /// What could not be written is still what was changed last.
    pub(crate) fn put_back(&mut self, group: &Group) {
        for (key, Pending { change, home }) in &group.objects {
            let Change { id, behaviour, cell, first } = change;
            let (behaviour, cell) = (behaviour.clone(), cell.clone());
            let change = Change { id: *id, behaviour, cell, first: *first };
            self.next.objects.entry(*key).or_insert(Pending { change, home: home.clone() });
        }
        for (key, value) in &group.roots {
            self.next.roots.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }

    /// Takes what is to be written next.
    pub(crate) fn take(&mut self) -> Arc<Group> {
        let sequence = self.sequence;
        let next = Group { sequence, ..Group::default() };
        let group = Arc::new(std::mem::replace(&mut self.next, next));
        self.writing = Some(group.clone());
        group
    }
}
