//! A durable vat's actors, as its strand sees them. Owns which of them have changed,
//! which are awake, and which are put to sleep when there are too many.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use crate::changes::{Ended, Keeper};
use crate::ids::ActorId;
use crate::persist::Barrier as _;
use crate::persist::home::Home;
use crate::persist::queue::Change;
use crate::reference::ActorCell;
use crate::{Behaviour, Fault};

/// How many actors are looked at after a turn to find some that may sleep.
const LOOKS: usize = 64;

pub(crate) struct Heap {
    home: Arc<Home>,
    places: Vec<Option<Place>>,
    /// How many actors are awake, and may be.
    awake: usize,
    limit: usize,
    /// Those that are awake, and some that were, as a clock's hand meets them: who was
    /// called since it passed is met again. Empty if there is no limit.
    ring: VecDeque<ActorId>,
}

/// An actor that has a place in the vat's map.
struct Place {
    id: ActorId,
    object: u64,
    cell: Weak<ActorCell>,
    /// The turn that changed it last.
    sequence: u64,
    awake: bool,
    /// It was called since the hand passed.
    used: bool,
    /// It has been handed to the store before.
    known: bool,
    /// It is of a kind that cannot be stored, and the store knows that.
    fixed: bool,
}

impl Heap {
    pub(crate) const fn new(home: Arc<Home>, limit: usize) -> Self {
        Self { home, places: Vec::new(), awake: 0, limit, ring: VecDeque::new() }
    }

    fn index(id: ActorId) -> usize {
        (id.to_bits() & u64::from(u32::MAX)) as usize
    }

    fn place(&mut self, id: ActorId) -> Option<&mut Place> {
        self.places.get_mut(Self::index(id))?.as_mut().filter(|place| place.id == id)
    }

    fn put(&mut self, id: ActorId, cell: &Arc<ActorCell>, known: bool) {
        let index = Self::index(id);
        if self.places.len() <= index {
            self.places.resize_with(index + 1, || None);
        }
        let Some(place) = self.places.get_mut(index) else { return };
        let before = place.replace(Place {
            id,
            object: cell.object,
            cell: Arc::downgrade(cell),
            sequence: 0,
            awake: true,
            used: true,
            known,
            fixed: false,
        });
        self.awake += 1;
        self.awake -= usize::from(before.is_some_and(|before| before.awake));
        if self.limit == usize::MAX {
            return;
        }
        self.ring.push_back(id);
        if self.ring.len() > 2 * self.awake + LOOKS {
            let Self { ring, places, .. } = self;
            ring.retain(|id| {
                let place = places.get(Self::index(*id)).and_then(Option::as_ref);
                place.is_some_and(|place| place.id == *id && place.awake)
            });
        }
    }

    /// Whether the actor in a place may sleep: all of it is durable.
    fn may_sleep(home: &Home, place: &Place) -> bool {
        place.known
            && !place.fixed
            && place.sequence <= home.shared.durable()
            && !home.keeps(place.object)
    }
}

impl Keeper for Heap {
    fn turn_ended(&mut self, turn: Ended<'_>) {
        let mut changes = Vec::new();
        let mut changed = Vec::new();
        for change in turn.changes() {
            let home = self.home.clone();
            let Some(place) = self.place(change.id) else { continue };
            let fixed = !home.environment.can_store(&*change.behaviour);
            if fixed && place.fixed {
                continue;
            }
            place.fixed = fixed;
            changes.push(Change {
                id: place.object,
                behaviour: change.behaviour,
                cell: place.cell.clone(),
                first: !std::mem::replace(&mut place.known, true),
            });
            changed.push(change.id);
        }
        if !changes.is_empty() {
            let sequence = self.home.submit(changes);
            for id in changed {
                if let Some(place) = self.place(id) {
                    place.sequence = sequence;
                }
            }
        }
    }

    fn actor_gone(&mut self, id: ActorId) {
        if self.place(id).is_none() {
            return;
        }
        let place = self.places.get_mut(Self::index(id)).and_then(Option::take);
        self.awake -= usize::from(place.is_some_and(|place| place.awake));
    }

    fn spawned(&mut self, id: ActorId, cell: &Arc<ActorCell>) {
        self.put(id, cell, false);
    }

    fn installed(&mut self, id: ActorId, cell: &Arc<ActorCell>, behaviour: &dyn Behaviour) {
        self.put(id, cell, true);
        let fixed = !self.home.environment.can_store(behaviour);
        let sequence = self.home.shared.pending();
        if let Some(place) = self.place(id) {
            place.sequence = sequence;
            place.fixed = fixed;
        }
    }

    fn used(&mut self, id: ActorId) {
        if let Some(place) = self.place(id) {
            place.used = true;
        }
    }

    fn wake(&mut self, cell: &ActorCell) -> Result<Arc<dyn Behaviour>, Fault> {
        self.home.wake(cell.object)
    }

    fn drowsy(&mut self) -> Vec<ActorId> {
        let mut asleep = Vec::new();
        if self.awake <= self.limit {
            return asleep;
        }
        let looks = LOOKS + 2 * (self.awake - self.limit);
        for _ in 0..looks.min(2 * self.ring.len()) {
            if self.awake <= self.limit {
                break;
            }
            let Some(id) = self.ring.pop_front() else { break };
            let home = self.home.clone();
            let Some(place) = self.place(id).filter(|place| place.awake) else { continue };
            if std::mem::take(&mut place.used) || !Self::may_sleep(&home, place) {
                self.ring.push_back(id);
                continue;
            }
            place.awake = false;
            self.awake -= 1;
            asleep.push(id);
        }
        asleep
    }
}
