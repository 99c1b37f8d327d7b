//! What the world of an actormap or a vat was. Owns [`Snapshot`].

use std::fmt;
use std::sync::Arc;

use crate::actormap::{Actormap, Base, MapKind, World};
use crate::changes::Changes;
use crate::slab::{Image, Slab};
use crate::vat::VatCore;

/// What a world was at one moment.
#[derive(Clone)]
pub struct Snapshot {
    world: Arc<World>,
    image: Image,
}

impl Snapshot {
    pub(crate) const fn new(world: Arc<World>, image: Image) -> Self {
        Self { world, image }
    }

    pub(crate) fn is_of(&self, world: &Arc<World>) -> bool {
        Arc::ptr_eq(&self.world, world)
    }

    /// The map as it was.
    pub(crate) fn restore(&self) -> Slab {
        self.image.restore()
    }

    /// What a vat's world is. What is sent to its actors goes to the vat.
    pub(crate) fn of_vat(vat: &Arc<VatCore>, changes: &mut Changes) -> Self {
        let world = World { core: vat.clone(), adrift: false };
        Self { world: Arc::new(world), image: changes.actors.image() }
    }

    /// A whactormap in which everything is as it was (`hasheq->whactormap`), but for
    /// actors that are gone since.
    #[must_use]
    pub fn to_actormap(&self) -> Actormap {
        Actormap::of(self.world.clone(), MapKind::Base(Base::new(self.restore())))
    }

    /// How many actors there were.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.image.len()
    }

    /// Whether there was none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("actors", &self.len()).finish_non_exhaustive()
    }
}
