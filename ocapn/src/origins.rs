//! Where references to peers' objects came from: the sturdyrefs by which they were
//! enlivened, so that a store can write them down. Owns the hub's side of
//! [`Realm`](vat_runtime::persist::Realm).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use captp::ConnId;
use captp::locator::Sturdyref;
use vat_runtime::persist::Realm;
use vat_runtime::{Fault, Identity, Promise, Ref, Value};

use crate::bootstrap::NO_SUCH_OBJECT;
use crate::glue;
use crate::hub::Hub;

/// The sturdyrefs that are being enlivened, by the promises of their objects. Those of
/// objects that are there are with the sessions that they live on.
#[derive(Default)]
pub(crate) struct Origins(Mutex<HashMap<usize, Sturdyref>>);

impl Origins {
    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Sturdyref>> {
        self.0.lock().unwrap_or_else(|poison| poison.into_inner())
    }
}

/// What no other reference has as long as this one lives.
fn key(reference: &Ref) -> Option<usize> {
    match reference.identity() {
        Identity::Local { key, .. } | Identity::Remote { key, .. } => Some(key),
        Identity::Value(_) => None,
    }
}

impl Hub {
    /// Remembers that a promise, and then its object, is what a sturdyref names.
    pub(crate) fn remember(&self, promise: &Promise, sturdyref: &Sturdyref) {
        // Whoever is to settle a promise keeps it until then, and so its key.
        let Some(key) = key(promise) else { return };
        self.origins().lock().insert(key, sturdyref.clone());
        let (hub, sturdyref) = (self.handle(), sturdyref.clone());
        promise.when_settled(move |outcome| {
            let Some(hub) = hub.upgrade() else { return };
            hub.origins().lock().remove(&key);
            if let Ok(Value::Ref(object)) = outcome
                && let Some((link, pos)) = glue::remote(&object)
                && let Some(link) = hub.link(ConnId(link))
            {
                link.set_origin(pos, sturdyref);
            }
        });
    }

    pub(crate) fn origin(&self, reference: &Ref) -> Option<Sturdyref> {
        if let Some((link, pos)) = glue::remote(reference)
            && let Some(origin) = self.link(ConnId(link)).and_then(|link| link.origin(pos))
        {
            return Some(origin);
        }
        self.origins().lock().get(&key(reference)?).cloned()
    }
}

/// A hub as a store sees it.
pub(crate) struct Peers(pub(crate) Weak<Hub>);

impl Peers {
    pub(crate) fn of(hub: &Arc<Hub>) -> Arc<dyn Realm> {
        Arc::new(Self(Arc::downgrade(hub)))
    }
}

impl Realm for Peers {
    fn sturdyref_of(&self, reference: &Ref) -> Option<Sturdyref> {
        self.0.upgrade()?.origin(reference)
    }

    fn enliven(&self, sturdyref: &Sturdyref) -> Ref {
        let gone = || Promise::settled(Err(crate::hub::STOPPED.into()));
        self.0.upgrade().map_or_else(gone, |hub| hub.enliven(sturdyref)).into_ref()
    }

    fn is_passing(&self, fault: &Fault) -> bool {
        let stopping = self.0.upgrade().is_none_or(|hub| hub.is_stopping());
        !stopping && fault.to_string() != NO_SUCH_OBJECT
    }
}
