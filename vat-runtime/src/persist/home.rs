//! A durable vat's place in the store. Owns which cells stand for which stored objects,
//! and how objects are made from what is stored.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use captp::locator::Sturdyref;

use crate::cell::{Origin, PromiseCell, Source};
use crate::persist::backend::Entry;
use crate::persist::portrait::{self, Referents};
use crate::persist::queue::{Change, Latest};
use crate::persist::store::{Awaited, Shared, lock};
use crate::persist::{Environment, RestoreError, StoreError, remote};
use crate::promise::{Promise, Resolver};
use crate::reference::{ActorCell, Kind};
use crate::vat::VatCore;
use crate::{Behaviour, Fault, Ref, Value};

/// How many numbers of objects are set aside at a time, so that not every transaction
/// has to write how far they have got.
pub(crate) const RESERVE: u64 = 256;

/// A durable vat, as its actors and its store see it.
pub(crate) struct Home {
    pub(crate) shared: Arc<Shared>,
    pub(crate) vat: u64,
    pub(crate) environment: Environment,
    next: Arc<AtomicU64>,
    core: OnceLock<Weak<VatCore>>,
    /// The cells of stored objects.
    cells: Mutex<HashMap<u64, Weak<ActorCell>>>,
    /// Actors that would come back as less than they are: they stay as they are.
    kept: Mutex<HashMap<u64, Kept>>,
}

struct Kept {
    _cell: Arc<ActorCell>,
    behaviour: Arc<dyn Behaviour>,
}

impl Home {
    /// Opens the vat of this name, or makes it.
    pub(crate) fn open(
        shared: &Arc<Shared>,
        name: &str,
        environment: Environment,
    ) -> Result<Arc<Self>, StoreError> {
        if lock(&shared.vats).stored.values().any(|vat| vat.name == name && !vat.homes.is_empty()) {
            // What an earlier opening of the vat left is found in words, not as
            // behaviours that refer to actors of a vat that has stopped.
            shared.commit_once()?;
        }
        let mut vats = lock(&shared.vats);
        let known = vats.stored.iter().find(|(_, vat)| vat.name == name).map(|(id, _)| *id);
        let id = known.unwrap_or_else(|| {
            vats.stored.last_key_value().map_or(1, |(last, _)| last.saturating_add(1))
        });
        let state = vats.stored.entry(id).or_insert_with(|| crate::persist::store::VatState {
            name: name.into(),
            next: Arc::new(AtomicU64::new(1)),
            reserved: 0,
            homes: Vec::new(),
        });
        state.homes.retain(|home| home.strong_count() > 0);
        let open = state.homes.iter().filter_map(Weak::upgrade).collect::<Vec<_>>();
        if open.iter().any(|home| home.is_running()) {
            return Err(StoreError::AlreadyOpen(name.into()));
        }
        let home = Arc::new(Self {
            shared: shared.clone(),
            vat: id,
            environment,
            next: state.next.clone(),
            core: OnceLock::new(),
            cells: Mutex::default(),
            kept: Mutex::default(),
        });
        state.homes.push(Arc::downgrade(&home));
        drop(vats);
        drop(open);
        if known.is_none() {
            let mut queue = lock(&shared.queue);
            queue.next.vats.insert(id);
            let sequence = queue.advance();
            shared.pending.store(sequence, Ordering::Release);
            drop(queue);
            shared.work.notify_all();
        }
        Ok(home)
    }

    /// The vat is there. Those who have waited for its actors go on.
    pub(crate) fn start(self: &Arc<Self>, core: &Arc<VatCore>) {
        // Called once.
        let _ = self.core.set(Arc::downgrade(core));
        let mut vats = lock(&self.shared.vats);
        let awaited = &mut vats.awaited;
        let here = awaited.extract_if(|(vat, _), _| *vat == self.vat).collect::<Vec<_>>();
        drop(vats);
        for ((_, id), Awaited { promise, resolver }) in here {
            if let Some(promise) = promise.upgrade() {
                Resolver::of(promise).fulfill(self.reference(id));
            }
            resolver.into_iter().for_each(Resolver::leave);
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        // A vat that is just being made counts.
        self.core.get().is_none_or(|core| core.upgrade().is_some_and(|core| !core.is_stopped()))
    }

    /// The vat has stopped: nothing of it is awake any more.
    pub(crate) fn stop(&self) {
        let kept = std::mem::take(&mut *lock(&self.kept));
        drop(kept);
    }

    /// An actor was made from outside any turn.
    pub(crate) fn spawned(self: &Arc<Self>, cell: &Arc<ActorCell>, behaviour: &Arc<dyn Behaviour>) {
        let (id, behaviour) = (cell.object, behaviour.clone());
        let cell = Arc::downgrade(cell);
        self.submit(vec![Change { id, behaviour, cell, first: true }]);
    }

    /// A number for a new actor.
    pub(crate) fn assign(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The cell of an object, made if there is none: then the object sleeps.
    pub(crate) fn cell(&self, id: u64) -> Option<Arc<ActorCell>> {
        let core = self.core.get()?.upgrade()?;
        let mut cells = lock(&self.cells);
        if let Some(cell) = cells.get(&id).and_then(Weak::upgrade) {
            return Some(cell);
        }
        let cell = Arc::new(ActorCell::new(core, None, id));
        cells.insert(id, Arc::downgrade(&cell));
        Some(cell)
    }

    pub(crate) fn reference(&self, id: u64) -> Ref {
        self.cell(id).map_or_else(
            || Promise::settled(Err("the vat has stopped".into())).into_ref(),
            |cell| Ref(Kind::Actor(cell)),
        )
    }

    /// Something stored refers to this actor from now on: it is to be found again.
    pub(crate) fn register(&self, cell: &Arc<ActorCell>) {
        lock(&self.cells).entry(cell.object).or_insert_with(|| Arc::downgrade(cell));
    }

    /// The actor's cell is gone.
    pub(crate) fn forget(&self, cell: &ActorCell) {
        let mut cells = lock(&self.cells);
        // Another cell may have taken its place: nobody could reach this one any more.
        if cells.get(&cell.object).is_some_and(|there| std::ptr::eq(there.as_ptr(), cell)) {
            cells.remove(&cell.object);
        }
    }

    /// The objects that something in memory refers to. What is only kept does not count.
    pub(crate) fn live(&self) -> Vec<u64> {
        let cells = lock(&self.cells);
        let kept = lock(&self.kept);
        let held = cells
            .iter()
            .filter(|(id, cell)| cell.strong_count() > usize::from(kept.contains_key(id)));
        held.map(|(id, _)| *id).collect()
    }

    /// Whether an actor must stay awake because something of it is not stored.
    pub(crate) fn keeps(&self, id: u64) -> bool {
        lock(&self.kept).contains_key(&id)
    }

    /// What an actor is that must not be restored from what is stored of it.
    fn kept(&self, id: u64) -> Option<Arc<dyn Behaviour>> {
        lock(&self.kept).get(&id).map(|kept| kept.behaviour.clone())
    }

    /// Keeps an actor awake or lets it sleep. Gives whether it was kept before.
    pub(crate) fn keep(
        &self,
        cell: Option<Arc<ActorCell>>,
        id: u64,
        behaviour: &Arc<dyn Behaviour>,
    ) -> bool {
        let behaviour = behaviour.clone();
        let kept = cell.map(|cell| Kept { _cell: cell, behaviour });
        let mut all = lock(&self.kept);
        let before = match kept {
            Some(kept) => all.insert(id, kept),
            None => all.remove(&id),
        };
        drop(all);
        before.is_some()
    }

    /// Restores the actors that are to be awake whether or not anybody calls them.
    pub(crate) fn rouse(&self) -> Result<(), StoreError> {
        if !self.environment.has_awake() {
            return Ok(());
        }
        let mut found = Vec::new();
        self.shared.backend()?.view()?.objects(&mut |vat, id, entry| {
            if vat == self.vat
                && let Ok(entry) = Entry::decode(&Bytes::copy_from_slice(entry))
                && self.environment.is_awake(&entry.kind)
            {
                found.push(id);
            }
            Ok(())
        })?;
        for id in found {
            // What can't be restored has been logged, and says so to whoever calls it.
            if let (Some(cell), Ok(behaviour)) = (self.cell(id), self.wake(id)) {
                self.keep(Some(cell), id, &behaviour);
            }
        }
        Ok(())
    }

    /// Drops a kept actor that nothing holds.
    pub(crate) fn unkeep(&self, id: u64) {
        let before = lock(&self.kept).remove(&id);
        drop(before);
    }

    /// Something in the portrait of an object has settled: it is written anew.
    pub(crate) fn refresh(self: &Arc<Self>, id: u64) {
        // Dropped when the queue is not held any more.
        let kept;
        let mut queue = lock(&self.shared.queue);
        // Asked while it is: what was kept a moment before may have been replaced, and
        // written, since.
        kept = self.kept(id);
        let Some(behaviour) = &kept else { return };
        // What is still to be written is newer, and will be asked what it is then.
        if queue.next.objects.contains_key(&(self.vat, id)) {
            return;
        }
        let writing = queue.writing.as_ref().and_then(|group| group.objects.get(&(self.vat, id)));
        let behaviour = writing.map_or(behaviour, |there| &there.change.behaviour).clone();
        let change = Change { id, behaviour, cell: self.known(id), first: false };
        let (sequence, before) = queue.put(self.vat, self, vec![change]);
        self.shared.pending.store(sequence, Ordering::Release);
        drop(queue);
        self.shared.work.notify_all();
        drop(before);
    }

    fn known(&self, id: u64) -> Weak<ActorCell> {
        lock(&self.cells).get(&id).cloned().unwrap_or_default()
    }

    /// Takes in what a turn has changed. Gives the turn's number.
    pub(crate) fn submit(self: &Arc<Self>, changes: Vec<Change>) -> u64 {
        let mut queue = lock(&self.shared.queue);
        let idle = queue.next.is_empty();
        let (sequence, before) = queue.put(self.vat, self, changes);
        self.shared.pending.store(sequence, Ordering::Release);
        drop(queue);
        if idle {
            self.shared.work.notify_all();
        }
        drop(before);
        sequence
    }

    /// The behaviour of an object that sleeps.
    pub(crate) fn wake(&self, id: u64) -> Result<Arc<dyn Behaviour>, Fault> {
        let (kind, error) = match self.shared.latest(self.vat, id) {
            Ok(Some(Latest::Pending(behaviour))) => return Ok(behaviour),
            Ok(Some(Latest::Stored(entry))) => {
                match self.kept(id).map_or_else(|| self.restore(&entry), Ok) {
                    Ok(behaviour) => return Ok(behaviour),
                    Err((kind, error)) => (kind, error.to_string()),
                }
            }
            Ok(None) => return Err("the actor does not exist".into()),
            Err(error) => (String::new(), error.to_string()),
        };
        tracing::error!(vat = self.vat, object = id, kind, error, "an actor cannot be restored");
        // What is wrong is local detail: it stays in this process.
        Err("the object could not be restored".into())
    }

    fn restore(&self, entry: &Bytes) -> Result<Arc<dyn Behaviour>, (String, RestoreError)> {
        let unreadable = |error: std::io::Error| RestoreError::new(error.to_string());
        let entry = Entry::decode(entry).map_err(|error| (String::new(), unreadable(error)))?;
        let named = |error| (entry.kind.to_string(), error);
        if entry.kind.is_empty() {
            let what = format!("{} was of no kind that can be stored", entry.debug_name);
            return Err(named(RestoreError::new(what)));
        }
        let value = self.value(&entry.portrait).map_err(named)?;
        let restored = catch_unwind(AssertUnwindSafe(|| {
            self.environment.restore(&entry.kind, entry.version, value)
        }));
        restored
            .unwrap_or_else(|_| Err(RestoreError::new("its constructor panicked")))
            .map_err(named)
    }

    /// A stored value of this vat.
    pub(crate) fn value(&self, encoded: &Bytes) -> Result<Value, RestoreError> {
        portrait::decode(encoded, &mut Here(self))
    }

    /// The value of one of this vat's roots.
    pub(crate) fn root(&self, name: &Bytes) -> Result<Option<Value>, StoreError> {
        let pending = lock(&self.shared.queue).root(self.vat, name);
        if let Some(value) = pending {
            return Ok(value);
        }
        let stored = self.shared.backend()?.view()?.root(self.vat, name)?;
        stored.map(|value| self.root_of(&value)).transpose()
    }

    fn root_of(&self, encoded: &Bytes) -> Result<Value, StoreError> {
        let value = self.value(encoded);
        value.map_err(|error| StoreError::Unreadable(error.to_string().into()))
    }

    /// All of this vat's roots.
    pub(crate) fn roots(&self) -> Result<Vec<(Bytes, Value)>, StoreError> {
        // First: what is pending now may be stored a moment later, but not the other way.
        let pending = lock(&self.shared.queue).roots(self.vat);
        let mut stored = BTreeMap::new();
        self.shared.backend()?.view()?.roots(&mut |vat, name, value| {
            if vat == self.vat {
                stored.insert(Bytes::copy_from_slice(name), Bytes::copy_from_slice(value));
            }
            Ok(())
        })?;
        stored.retain(|name, _| !pending.contains_key(name));
        let stored = stored.into_iter().map(|(name, value)| Ok((name, self.root_of(&value)?)));
        let mut roots = stored.collect::<Result<Vec<_>, StoreError>>()?;
        roots.extend(pending.into_iter().filter_map(|(name, value)| Some((name, value?))));
        roots.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(roots)
    }
}

/// What references in this vat's portraits are.
struct Here<'h>(&'h Home);

impl Referents for Here<'_> {
    fn near(&mut self, id: u64) -> Ref {
        self.0.reference(id)
    }

    fn far(&mut self, vat: u64, id: u64) -> Ref {
        let mut vats = lock(&self.0.shared.vats);
        let Some(state) = vats.stored.get(&vat) else {
            let broken = Err("its vat is not known to this store".into());
            return Promise::settled(broken).into_ref();
        };
        let open = state.homes.iter().filter_map(Weak::upgrade);
        let open = open.rev().find(|home| home.core.get().is_some() && home.is_running());
        if let Some(home) = open {
            drop(vats);
            return home.reference(id);
        }
        let there = vats.awaited.get(&(vat, id));
        if let Some(promise) = there.and_then(|there| there.promise.upgrade()) {
            return Ref(Kind::Promise(promise));
        }
        let shared = Arc::downgrade(&self.0.shared);
        let ask = move |resolver| await_opening(&shared, (vat, id), resolver);
        let source = Source { origin: Origin::Far(vat, id), ask: Box::new(ask) };
        let promise = Arc::new(PromiseCell::sourced(source));
        if vats.awaited.len().is_power_of_two() {
            vats.awaited.retain(|_, there| there.promise.strong_count() > 0);
        }
        let awaited = Awaited { promise: Arc::downgrade(&promise), resolver: None };
        vats.awaited.insert((vat, id), awaited);
        Ref(Kind::Promise(promise))
    }

    fn remote(&mut self, sturdyref: Sturdyref) -> Ref {
        let outside = self.0.shared.outside.read().unwrap_or_else(PoisonError::into_inner);
        let outside = outside.clone();
        remote::stored(sturdyref, outside.as_ref())
    }
}

/// Keeps what is sent to an actor until its vat is opened, which settles the promise.
fn await_opening(shared: &Weak<Shared>, actor: (u64, u64), resolver: Resolver) {
    let Some(shared) = shared.upgrade() else { return };
    let mut vats = lock(&shared.vats);
    match vats.awaited.get_mut(&actor) {
        Some(there) => there.resolver = Some(resolver),
        // The vat is just being opened.
        None => resolver.leave(),
    }
}
