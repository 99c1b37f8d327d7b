//! What of a node outlives it: exports, and references that were enlivened. Owns how
//! they are kept in a store.
//!
//! Exports of durable actors are roots of a vat of the hub's own, under the digests of
//! their swiss numbers: whoever reads the store learns no number. A reference that came
//! from a sturdyref is known by it for as long as it lives, so that actors that hold it
//! can be stored; what they are restored with is enlivened when it is first used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

use captp::SwissDigest;
use captp::locator::Sturdyref;
use vat_runtime::persist::{Environment, Realm, Store, StoreError};
use vat_runtime::{Clock, Fault, Identity, Limits, Manual, Promise, Ref, Value, Vat, WeakRef};

use crate::bootstrap;
use crate::hub::Hub;

/// The vat whose roots are the exports. It has no actors, and so is never run.
const EXPORTS: &str = "ocapn exports";

/// The store that a hub keeps things in, once it has one.
#[derive(Default)]
pub(crate) struct Keep {
    exports: OnceLock<Vat>,
    enlivened: Mutex<Enlivened>,
}

/// The sturdyrefs that live references came from, by what tells those from all others.
#[derive(Default)]
struct Enlivened {
    references: HashMap<usize, (WeakRef, Sturdyref)>,
    /// With so many, those that are gone are looked for.
    full: usize,
}

impl Enlivened {
    fn note(&mut self, reference: &Ref, sturdyref: &Sturdyref) {
        if self.references.len() >= self.full {
            self.references.retain(|_, (weak, _)| weak.upgrade().is_some());
            self.full = 64.max(2 * self.references.len());
        }
        if let Some(key) = key(reference) {
            self.references.insert(key, (reference.downgrade(), sturdyref.clone()));
        }
    }
}

/// What tells a reference from all others that live.
fn key(reference: &Ref) -> Option<usize> {
    match reference.identity() {
        Identity::Local { key, .. } | Identity::Remote { key, .. } => Some(key),
        Identity::Value(_) => None,
    }
}

impl Keep {
    fn enlivened(&self) -> MutexGuard<'_, Enlivened> {
        self.enlivened.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Keeps an export if there is a store and the object is in it. Whether it is kept.
    pub(crate) fn export(&self, digest: &SwissDigest, object: &Ref) -> bool {
        let vat = self.exports.get().filter(|_| object.stored_as().is_some());
        vat.is_some_and(|vat| vat.set_root(digest.as_bytes(), object).is_ok())
    }

    /// Forgets an export. Whether there was one.
    pub(crate) fn revoke(&self, digest: &SwissDigest) -> bool {
        let Some(vat) = self.exports.get() else { return false };
        let there = self.exported(digest).is_some();
        there && vat.remove_root(digest.as_bytes()).is_ok()
    }

    pub(crate) fn exported(&self, digest: &SwissDigest) -> Option<Ref> {
        match self.exports.get()?.root(digest.as_bytes()) {
            Ok(object) => object,
            Err(error) => {
                tracing::error!(%error, "the exports cannot be read");
                None
            }
        }
    }

    /// Remembers what a promise for a peer's object came from, and the object when it is
    /// there.
    pub(crate) fn note(&self, hub: &Weak<Hub>, promise: &Promise, sturdyref: &Sturdyref) {
        if self.exports.get().is_none() {
            return;
        }
        self.enlivened().note(promise, sturdyref);
        let (hub, sturdyref) = (hub.clone(), sturdyref.clone());
        promise.when_settled(move |outcome| {
            if let (Some(hub), Ok(Value::Ref(object))) = (hub.upgrade(), outcome) {
                hub.keep().enlivened().note(&object, &sturdyref);
            }
        });
    }
}

impl Hub {
    /// Keeps exports of durable actors in a store from now on, and lets actors be stored
    /// that hold references enlivened from sturdyrefs. What was exported in earlier lives
    /// is exported again.
    ///
    /// # Errors
    ///
    /// If another hub uses the store, or it is closed; or the hub has one already.
    pub fn keep_in(
        self: &Arc<Self>,
        store: &Store,
        clock: Option<Arc<dyn Clock>>,
    ) -> Result<(), StoreError> {
        let nothing = Environment::new();
        let vat = Vat::open(EXPORTS, Manual::new(), Limits::default(), store, &nothing)?;
        if self.keep().exports.set(vat).is_err() {
            return Err(StoreError::AlreadyOpen(EXPORTS.into()));
        }
        store.connect(Arc::new(World(Arc::downgrade(self))), clock);
        Ok(())
    }
}

/// A hub, as its store sees it.
struct World(Weak<Hub>);

impl Realm for World {
    fn sturdyref_of(&self, reference: &Ref) -> Option<Sturdyref> {
        let hub = self.0.upgrade()?;
        let key = key(reference)?;
        let enlivened = hub.keep().enlivened();
        let (weak, sturdyref) = enlivened.references.get(&key)?;
        let there = weak.upgrade();
        let sturdyref = there.is_some().then(|| sturdyref.clone());
        drop(enlivened);
        // Perhaps the last clone, which is not dropped with the lock held.
        drop(there);
        sturdyref
    }

    fn enliven(&self, sturdyref: &Sturdyref) -> Ref {
        let gone = || Promise::settled(Err("the node has ended".into()));
        self.0.upgrade().map_or_else(gone, |hub| hub.enliven(sturdyref)).into_ref()
    }

    fn is_passing(&self, fault: &Fault) -> bool {
        fault.to_string() != bootstrap::NO_SUCH_OBJECT
    }
}
