//! Objects that nothing holds. Owns how they are found, by marking what can be reached
//! from roots and from memory, and dropped.
//!
//! What is looked at is the store as it is at one moment, between two transactions and
//! two turns, together with the cells that something in memory refers to at that moment
//! and the objects whose changes are not written. Whatever cannot be reached from these
//! can never be reached again: a reference to it could come only from something that
//! has one. So the marking and dropping may take their time while turns go on.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use smol_str::SmolStr;

use crate::persist::backend::{Entry, View};
use crate::persist::home::Home;
use crate::persist::portrait;
use crate::persist::store::{Shared, lock};
use crate::persist::{Store, StoreError, StoredAs};

/// The objects that can be reached: vat and number.
pub(crate) type Reached = HashSet<(u64, u64)>;

/// A stored object, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The name of its vat.
    pub vat: SmolStr,
    /// Where it is stored.
    pub at: StoredAs,
    /// The name of its kind, or nothing if it has none that can be stored.
    pub kind: SmolStr,
    /// What it is called in logs.
    pub debug_name: SmolStr,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vat, at, kind, debug_name } = self;
        let kind = if kind.is_empty() { "no kind" } else { kind };
        write!(f, "{debug_name} ({kind}), object {} of vat {vat}", at.object)
    }
}

/// What a collection did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// What nothing holds, and is dropped.
    pub dropped: Vec<Object>,
    /// How many objects are left.
    pub left: u64,
}

impl Store {
    /// Drops what nothing holds: neither a root nor a reference in memory, nor another
    /// object that is held. Each is named in the log. It is gone once this is durable, as
    /// if a turn had done it.
    ///
    /// # Errors
    ///
    /// If what is stored cannot be read.
    pub fn collect(&self) -> Result<Collected, StoreError> {
        self.shared().collect()
    }
}

impl Shared {
    pub(crate) fn collect(&self) -> Result<Collected, StoreError> {
        let (view, reached) = self.reachable()?;
        let dropped = unreached(&*view, &reached)?;
        let left = view.summary()?.objects - dropped.len() as u64;
        for object in &dropped {
            tracing::info!(vat = %object.vat, object = object.at.object, kind = %object.kind,
                name = %object.debug_name, "an object is dropped since nothing holds it");
        }
        let homes = self.homes();
        for object in &dropped {
            let here = homes.iter().filter(|home| home.vat == object.at.vat);
            here.for_each(|home| home.unkeep(object.at.object));
        }
        let mut queue = lock(&self.queue);
        let keys = dropped.iter().map(|object| (object.at.vat, object.at.object));
        queue.next.garbage.extend(keys);
        queue.next.collected = Some(left);
        let sequence = queue.advance();
        self.pending.store(sequence, Ordering::Release);
        drop(queue);
        self.work.notify_all();
        Ok(Collected { dropped, left })
    }

    fn homes(&self) -> Vec<Arc<Home>> {
        let vats = lock(&self.vats);
        let homes = vats.stored.values().flat_map(|vat| &vat.homes);
        homes.filter_map(Weak::upgrade).collect()
    }

    /// The store at one moment, and all that can be reached then.
    pub(crate) fn reachable(&self) -> Result<(Box<dyn View>, Reached), StoreError> {
        let backend = self.backend()?;
        let committing = lock(&self.committing);
        let queue = lock(&self.queue);
        let view = backend.view()?;
        let mut open: Vec<(u64, u64)> = queue.next.objects.keys().copied().collect();
        open.extend(lock(&self.vats).awaited());
        let homes = self.homes();
        for home in &homes {
            open.extend(home.live().into_iter().map(|id| (home.vat, id)));
        }
        drop((queue, committing));
        view.roots(&mut |vat, _, value| {
            portrait::references(value, |(of, id)| open.push((of.unwrap_or(vat), id)));
            Ok(())
        })?;
        let mut reached = Reached::new();
        while let Some((vat, id)) = open.pop() {
            if !reached.insert((vat, id)) {
                continue;
            }
            if let Some(entry) = view.object(vat, id)? {
                portrait::references(&entry, |(of, id)| {
                    let key = (of.unwrap_or(vat), id);
                    if !reached.contains(&key) {
                        open.push(key);
                    }
                });
            }
        }
        Ok((view, reached))
    }
}

/// The objects of a store that were not reached.
pub(crate) fn unreached(view: &dyn View, reached: &Reached) -> Result<Vec<Object>, StoreError> {
    let vats = view.vats()?;
    let mut unreached = Vec::new();
    view.objects(&mut |vat, id, entry| {
        if !reached.contains(&(vat, id)) {
            let name = vats.get(&vat).map(|vat| vat.name.clone()).unwrap_or_default();
            unreached.push(named(name, vat, id, entry));
        }
        Ok(())
    })?;
    Ok(unreached)
}

pub(crate) fn named(vat_name: SmolStr, vat: u64, id: u64, entry: &[u8]) -> Object {
    let entry = Entry::decode(&Bytes::copy_from_slice(entry)).ok();
    let (kind, debug_name) = entry.map(|entry| (entry.kind, entry.debug_name)).unwrap_or_default();
    Object { vat: vat_name, at: StoredAs { vat, object: id }, kind, debug_name }
}
