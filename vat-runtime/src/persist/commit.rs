//! Writing. Owns how a group of changes is put into words and becomes one transaction,
//! and the thread that does it.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::Waker;
use std::thread;

use bytes::Bytes;
use smol_str::SmolStr;

use crate::cell::{Listener, Origin, PromiseCell, Settled};
use crate::persist::backend::{Entry, StoredVat, Transaction};
use crate::persist::home::{Home, RESERVE};
use crate::persist::portrait::{self, Loss, Named};
use crate::persist::queue::{Group, Pending};
use crate::persist::store::{Shared, lock};
use crate::persist::{Portrait, Realm, StoreError};
use crate::reference::Kind;
use crate::{Ref, Value};

/// Below this number of objects, none are collected unless told to.
const FEW: u64 = 1024;

impl Shared {
    /// The life of the store's thread.
    pub(crate) fn keep_committing(self: &Arc<Self>) {
        loop {
            let mut queue = lock(&self.queue);
            while queue.next.is_empty() && !queue.is_closing() {
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            if queue.failure().is_some() || (queue.next.is_empty() && queue.is_closing()) {
                return;
            }
            drop(queue);
            if self.commit_once().is_err() {
                return;
            }
            self.collect_if_grown();
        }
    }

    /// Commits what is pending.
    pub(crate) fn commit_once(self: &Arc<Self>) -> Result<(), StoreError> {
        let committing = lock(&self.committing);
        let mut queue = lock(&self.queue);
        if let Some(failure) = queue.failure() {
            return Err(failure);
        }
        if queue.next.is_empty() {
            return Ok(());
        }
        let group = queue.take();
        drop(queue);
        let mut unsettled = Vec::new();
        let written = catch_unwind(AssertUnwindSafe(|| {
            let transaction = self.transaction(&group, &mut unsettled)?;
            self.backend()
                .map_err(|error| error.to_string())?
                .commit(&transaction)
                .map_err(|error| error.to_string())
        }));
        let written =
            written.unwrap_or_else(|panic| Err(format!("a panic while writing: {}", said(&panic))));
        let mut queue = lock(&self.queue);
        queue.writing = None;
        let (result, wakers) = match written {
            Ok(()) => {
                self.durable.store(group.sequence, Ordering::Release);
                (Ok(()), queue.wakers(group.sequence))
            }
            Err(reason) => {
                tracing::error!(reason, "the store has failed: nothing more becomes durable");
                // Sleepers must find what they were.
                queue.put_back(&group);
                queue.fail(reason.clone());
                self.note_end(&queue);
                (Err(StoreError::Failed(reason.into())), queue.all_wakers())
            }
        };
        drop(queue);
        self.progress.notify_all();
        drop(committing);
        drop(group);
        wakers.into_iter().for_each(Waker::wake);
        for (home, id, promise) in unsettled {
            let refresh = move |_| home.refresh(id);
            promise.listen(Listener::Callback(Box::new(refresh)));
        }
        result
    }

    /// Puts a group into words.
    fn transaction(
        self: &Arc<Self>,
        group: &Group,
        unsettled: &mut Vec<(Arc<Home>, u64, Arc<PromiseCell>)>,
    ) -> Result<Transaction, String> {
        let mut transaction = Transaction {
            sequence: group.sequence,
            collected: group.collected,
            ..Transaction::default()
        };
        for key in &group.garbage {
            transaction.objects.insert(*key, None);
        }
        for (key, pending) in &group.objects {
            // Nobody can have heard of it: all who have hold its cell, and whoever is
            // written here holds them.
            if pending.change.first && pending.change.cell.strong_count() == 0 {
                continue;
            }
            let (entry, promises) = self.entry(pending)?;
            transaction.objects.insert(*key, Some(entry.into()));
            let home = &pending.home;
            unsettled.extend(promises.into_iter().map(|cell| (home.clone(), key.1, cell)));
        }
        for ((vat, name), value) in &group.roots {
            let value = match value {
                Some(value) => {
                    let mut naming = Naming { shared: self, vat: *vat, promises: Vec::new() };
                    let mut bytes = Vec::new();
                    for loss in portrait::encode(value, &mut bytes, &mut |it| naming.name(it)) {
                        let Loss { path, what } = loss;
                        tracing::warn!(vat, path, what, "part of a root could not be stored");
                    }
                    Some(Bytes::from(bytes))
                }
                None => None,
            };
            transaction.roots.insert((*vat, name.clone()), value);
        }
        self.reserve(group, &mut transaction);
        Ok(transaction)
    }

    /// Has the store know of more object numbers where they were used up.
    fn reserve(&self, group: &Group, transaction: &mut Transaction) {
        let mut vats = lock(&self.vats);
        let mut changed = BTreeMap::new();
        for (id, state) in &mut vats.stored {
            let next = state.next.load(Ordering::Relaxed);
            if next > state.reserved || group.vats.contains(id) {
                state.reserved = next.saturating_add(RESERVE);
                let vat = StoredVat { name: state.name.clone(), next: state.reserved };
                changed.insert(*id, vat);
            }
        }
        transaction.vats = changed;
    }

    /// What is stored of an object, and the promises that are to be waited for.
    fn entry(
        self: &Arc<Self>,
        pending: &Pending,
    ) -> Result<(Vec<u8>, Vec<Arc<PromiseCell>>), String> {
        let (change, home) = (&pending.change, &pending.home);
        let behaviour = &*change.behaviour;
        let debug_name = SmolStr::from(behaviour.name());
        let portrait = catch_unwind(AssertUnwindSafe(|| home.environment.portray(behaviour)));
        let portrait = portrait.map_err(|panic| {
            format!(
                "the portrait of {debug_name}, object {}, panicked: {}",
                change.id,
                said(&panic)
            )
        })?;
        let cell = change.cell.upgrade();
        if let Some(cell) = &cell {
            home.register(cell);
        }
        let Some(Portrait { kind, version, value }) = portrait else {
            let vat = home.vat;
            tracing::warn!(vat, object = change.id, name = %debug_name, "an actor of no kind that \
                can be stored: what refers to it will be broken after a restart");
            let portrait = Bytes::from_static(b"<6'broken>");
            let entry = Entry { kind: SmolStr::default(), debug_name, version: 0, portrait };
            return Ok((entry.encode(), Vec::new()));
        };
        let mut naming = Naming { shared: self, vat: home.vat, promises: Vec::new() };
        let mut bytes = Vec::new();
        let losses = portrait::encode(&value, &mut bytes, &mut |it| naming.name(it));
        // Also if the actor is gone from memory: it may be reached again from the store.
        let stays = !losses.is_empty() || home.environment.is_awake(&kind);
        let cell = cell.or_else(|| home.cell(change.id)).filter(|_| stays);
        let lost = cell.is_some();
        if !home.keep(cell, change.id, &change.behaviour) && lost {
            for Loss { path, what } in losses {
                let (vat, object) = (home.vat, change.id);
                tracing::warn!(vat, object, name = %debug_name, path, what, "a field could not be \
                    stored: it will be broken after a restart");
            }
        }
        let entry = Entry { kind, debug_name, version, portrait: bytes.into() };
        Ok((entry.encode(), naming.promises))
    }

    /// Drops what nothing holds, in the background, if there may be much of it.
    fn collect_if_grown(self: &Arc<Self>) {
        if self.options.keep_garbage {
            return;
        }
        let Ok(summary) = self.backend().and_then(|it| Ok(it.view()?.summary()?)) else { return };
        let grown = summary.objects >= 2 * summary.collected.max(FEW);
        let mut collector = lock(&self.collector);
        if !grown || collector.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        let shared = self.clone();
        let collect = move || {
            if let Err(error) = shared.collect() {
                tracing::warn!(%error, "objects that nothing holds could not be collected");
            }
        };
        // Without another thread it is left for the next time.
        *collector = thread::Builder::new().name("store-collect".into()).spawn(collect).ok();
    }
}

/// What a panic said.
fn said(panic: &Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Names references for the portraits of one vat.
struct Naming<'s> {
    shared: &'s Arc<Shared>,
    vat: u64,
    /// What could not be stored because it has not settled.
    promises: Vec<Arc<PromiseCell>>,
}

impl Naming<'_> {
    fn name(&mut self, reference: &Ref) -> Named {
        match &reference.0 {
            Kind::Actor(cell) => match cell.vat.home() {
                Some(home) if Arc::ptr_eq(&home.shared, self.shared) => {
                    home.register(cell);
                    if home.vat == self.vat {
                        Named::Near(cell.object)
                    } else {
                        Named::Far(home.vat, cell.object)
                    }
                }
                _ => self.sturdy(reference).unwrap_or_else(|| {
                    let vat = cell.vat.name();
                    Named::Lost(format!("an actor of the vat {vat:?}, which is not durable"))
                }),
            },
            Kind::Resolver(_) => Named::Lost("a resolver".to_owned()),
            Kind::Remote(_) => self.sturdy(reference).unwrap_or_else(|| {
                Named::Lost("a peer's object that was not enlivened from a sturdyref".to_owned())
            }),
            Kind::Promise(cell) => self.promise(reference, cell.end()),
        }
    }

    fn promise(&mut self, reference: &Ref, cell: &Arc<PromiseCell>) -> Named {
        match cell.settled() {
            Some(Settled::Fulfilled(Value::Ref(target))) => {
                // A promise in the hands of an enlivened object is that object.
                match self.name(target) {
                    Named::Lost(why) => self.sturdy(reference).unwrap_or(Named::Lost(why)),
                    named => named,
                }
            }
            Some(Settled::Fulfilled(value)) => Named::Encased(value.clone()),
            Some(Settled::Broken(fault)) => Named::Broken(fault.value().clone()),
            Some(Settled::Forwarded(_)) | None => {
                if let Some(source) = cell.source() {
                    return match &source.origin {
                        Origin::Remote(sturdyref) => Named::Remote(sturdyref.clone()),
                        Origin::Far(vat, id) if *vat == self.vat => Named::Near(*id),
                        Origin::Far(vat, id) => Named::Far(*vat, *id),
                    };
                }
                if let Some(named) = self.sturdy(reference) {
                    return named;
                }
                self.promises.push(cell.clone());
                Named::Lost("a promise that has not settled".to_owned())
            }
        }
    }

    fn sturdy(&self, reference: &Ref) -> Option<Named> {
        let outside = self.shared.outside.read().unwrap_or_else(PoisonError::into_inner);
        let realm: Arc<dyn Realm> = outside.as_ref()?.realm.clone();
        drop(outside);
        realm.sturdyref_of(reference).map(Named::Remote)
    }
}
