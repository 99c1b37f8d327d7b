//! A runtime with no objects of its own, for peers by hand.

use captp::{Identity, ImportPos, Passable, RemotePos, Runtime};

/// A reference to something of the hub's.
pub(crate) type Thing = ImportPos;
pub(crate) type Said = Passable<Thing>;

/// A runtime with no objects of its own.
#[derive(Default)]
pub(crate) struct Bare;

impl Runtime for Bare {
    type Ref = Thing;
    type Weak = Thing;
    type Resolver = usize;

    fn import_object(&mut self, pos: ImportPos, _generation: u32) -> Thing {
        pos
    }

    fn import_promise(&mut self, pos: ImportPos, _generation: u32) -> Thing {
        pos
    }

    fn promise(&mut self) -> (Thing, usize) {
        (ImportPos(u64::MAX), usize::MAX)
    }

    fn downgrade(&mut self, thing: &Thing) -> Thing {
        *thing
    }

    fn upgrade(&mut self, thing: &Thing) -> Option<Thing> {
        Some(*thing)
    }

    fn identify<'r>(&mut self, thing: &'r Thing) -> Identity<'r, Thing> {
        Identity::Remote { pos: RemotePos::Import(*thing), key: 1 + thing.0 as usize }
    }
}
