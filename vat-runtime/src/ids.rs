//! The names of actors. Owns [`ActorId`], who gives them out ([`Ids`]), and what the
//! timelines of the same actors have in common ([`Realm`]).
//!
//! A slot is used again when its actor is gone, under another generation, so that a name
//! is never used twice: a behaviour that comes back from a snapshot, a journal or another
//! timeline can never stand behind an actor that it was not made for. That would hand out
//! authority.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Names one actor among all that its vat, or the timelines of its world, will ever
/// have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ActorId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl ActorId {
    /// One that names no actor.
    pub(crate) const NONE: Self = Self { slot: u32::MAX, generation: u32::MAX };

    pub(crate) const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "takes the halves apart")]
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self { slot: bits as u32, generation: (bits >> 32) as u32 }
    }

    pub(crate) const fn index(self) -> usize {
        self.slot as usize
    }
}

/// The names that are in use, and those to give out next.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    /// Of each slot, the generation that has it or will have it next.
    generations: Vec<u32>,
    free: Vec<u32>,
}

impl Ids {
    /// A name that no actor ever had, or `None` when all slots are in use.
    pub(crate) fn take(&mut self) -> Option<ActorId> {
        if let Some(slot) = self.free.pop() {
            return Some(ActorId { slot, generation: *self.generations.get(slot as usize)? });
        }
        let slot = u32::try_from(self.generations.len()).ok().filter(|&slot| slot != u32::MAX)?;
        self.generations.push(0);
        Some(ActorId { slot, generation: 0 })
    }

    /// The actor of this name is gone for good.
    pub(crate) fn give_back(&mut self, id: ActorId) {
        if let Some(generation) = self.generations.get_mut(id.index())
            && *generation == id.generation
            // A slot that has had them all is not used again.
            && let Some(next) = generation.checked_add(1)
        {
            *generation = next;
            self.free.push(id.slot);
        }
    }

    pub(crate) fn is_alive(&self, id: ActorId) -> bool {
        self.generations.get(id.index()) == Some(&id.generation)
    }
}

#[cfg(test)]
impl Ids {
    /// As if every slot had been used as often as it can be.
    pub(crate) fn skip_to_last_generation(&mut self) {
        self.generations.fill(u32::MAX);
    }
}

/// What the maps of several timelines of the same actors have in common.
#[derive(Debug, Default)]
pub(crate) struct Realm {
    ids: Mutex<Ids>,
    timelines: Mutex<Vec<Weak<Grave>>>,
}

/// The dead that one timeline has yet to hear of.
#[derive(Debug, Default)]
pub(crate) struct Grave(Mutex<Dead>);

#[derive(Debug)]
pub(crate) enum Dead {
    These(Vec<ActorId>),
    /// Too many to keep a list for one who does not ask.
    Whoever,
}

impl Default for Dead {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

impl Realm {
    /// How many dead are listed for a timeline before it has to look for itself.
    const LISTED: usize = 1 << 16;

    /// A realm that goes on giving out names where another left off.
    pub(crate) fn of(ids: Ids) -> Arc<Self> {
        Arc::new(Self { ids: Mutex::new(ids), timelines: Mutex::default() })
    }

    pub(crate) fn ids(&self) -> MutexGuard<'_, Ids> {
        lock(&self.ids)
    }

    /// A further timeline, which hears of all who die from now on.
    pub(crate) fn join(&self) -> Arc<Grave> {
        let grave = Arc::new(Grave::default());
        lock(&self.timelines).push(Arc::downgrade(&grave));
        grave
    }

    /// Nothing refers to the actor any more. Tells all timelines but the one that has
    /// found out.
    pub(crate) fn bury(&self, id: ActorId, found_by: &Arc<Grave>) {
        self.ids().give_back(id);
        lock(&self.timelines).retain(|timeline| {
            let Some(grave) = timeline.upgrade() else { return false };
            if !Arc::ptr_eq(&grave, found_by) {
                grave.add(id);
            }
            true
        });
    }
}

impl Grave {
    fn add(&self, id: ActorId) {
        let mut dead = lock(&self.0);
        match &mut *dead {
            Dead::These(list) if list.len() < Realm::LISTED => list.push(id),
            Dead::These(_) => *dead = Dead::Whoever,
            Dead::Whoever => {}
        }
    }

    /// Who has died since this was last asked.
    pub(crate) fn take(&self) -> Dead {
        std::mem::take(&mut *lock(&self.0))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
