//! The actormap: which behaviour stands behind which reference.
//!
//! Owns the base map ([`Actormap`], a slab indexed by slot) and the turn's changes
//! over it ([`Journal`]). A turn writes through to the base and notes what stood
//! there before, so that looking an actor up costs one index however much the turn
//! has changed; undoing the journal to a mark gives a failed call or turn back.
//! Journal and base together are a transactormap: the delta is what the noted slots
//! hold now, the parent is what the journal remembers.

use std::sync::Arc;

use crate::Behaviour;

/// The index of an actor in its vat's map. Valid as long as the actor's cell lives.
pub(crate) type Slot = u32;

#[derive(Default)]
pub(crate) struct Actormap {
    /// `None` is a slot that is free, or reserved for an actor whose turn failed.
    slots: Vec<Option<Arc<dyn Behaviour>>>,
    free: Vec<Slot>,
    live: usize,
}

/// What stood in the map before each change of the turn, oldest first.
#[derive(Default)]
pub(crate) struct Journal(Vec<(Slot, Option<Arc<dyn Behaviour>>)>);

impl Actormap {
    /// The behaviour of an actor, shared out so that the actor may change meanwhile.
    pub(crate) fn get(&self, slot: Slot) -> Option<Arc<dyn Behaviour>> {
        self.slots.get(slot as usize)?.clone()
    }

    /// Takes a free slot, or `None` when all are in use.
    pub(crate) fn reserve(&mut self) -> Option<Slot> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        let slot = Slot::try_from(self.slots.len()).ok().filter(|&slot| slot != Slot::MAX)?;
        self.slots.push(None);
        Some(slot)
    }

    /// Puts a behaviour into a slot and notes in the journal what stood there.
    pub(crate) fn put(&mut self, slot: Slot, behaviour: Arc<dyn Behaviour>, journal: &mut Journal) {
        if let Some(entry) = self.slots.get_mut(slot as usize) {
            let before = entry.replace(behaviour);
            self.live += usize::from(before.is_none());
            journal.0.push((slot, before));
        }
    }

    /// Frees a slot whose actor nobody can reach. The behaviour is handed out so
    /// that the caller chooses when its drop runs.
    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Arc<dyn Behaviour>> {
        let entry = self.slots.get_mut(slot as usize)?;
        let behaviour = entry.take();
        self.live -= usize::from(behaviour.is_some());
        self.free.push(slot);
        behaviour
    }

    /// How many actors there are.
    pub(crate) const fn len(&self) -> usize {
        self.live
    }

    /// Puts back what stood in the map when the journal was `mark` long.
    pub(crate) fn undo(&mut self, journal: &mut Journal, mark: usize) {
        while journal.0.len() > mark {
            let Some((slot, before)) = journal.0.pop() else {
                return;
            };
            let Some(entry) = self.slots.get_mut(slot as usize) else {
                continue;
            };
            self.live -= usize::from(before.is_none());
            drop(std::mem::replace(entry, before));
        }
    }
}

impl Journal {
    /// How many changes are noted: a mark to undo to.
    pub(crate) const fn mark(&self) -> usize {
        self.0.len()
    }

    /// Makes the changes final.
    pub(crate) fn commit(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{Actormap, Journal};
    use crate::{Args, Fault, Reply, Turn};

    fn nothing(_turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
        Ok(().into())
    }

    #[test]
    fn a_removed_slot_is_used_again() {
        let (mut map, mut journal) = (Actormap::default(), Journal::default());
        let slots = [map.reserve(), map.reserve()].map(Option::unwrap);
        map.put(slots[0], std::sync::Arc::new(nothing), &mut journal);
        journal.commit();
        assert!(map.remove(slots[0]).is_some());
        assert!(map.get(slots[0]).is_none());
        assert_eq!(map.len(), 0);
        assert_eq!(map.reserve(), Some(slots[0]));
    }
}
