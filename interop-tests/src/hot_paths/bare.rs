//! A runtime that holds nothing: what is left is the session.

use captp::{AnswerPos, Identity, ImportPos, RemotePos, Runtime};

/// A reference that is only its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// An object of ours.
    Local(usize),
    /// An object or promise of the peer's.
    Import(ImportPos),
    /// The answer to a question of ours.
    Answer(AnswerPos),
}

/// The runtime.
#[derive(Debug, Default)]
pub struct Bare {
    promises: usize,
}

/// Above every number that a path gives to an object.
const PROMISES: usize = 1 << 32;

impl Runtime for Bare {
    type Ref = Thing;
    type Weak = Thing;
    type Resolver = usize;

    fn import_object(&mut self, pos: ImportPos, _generation: u32) -> Thing {
        Thing::Import(pos)
    }

    fn import_promise(&mut self, pos: ImportPos, _generation: u32) -> Thing {
        Thing::Import(pos)
    }

    fn promise(&mut self) -> (Thing, usize) {
        self.promises += 1;
        (Thing::Local(PROMISES + self.promises), self.promises)
    }

    fn downgrade(&mut self, reference: &Thing) -> Thing {
        *reference
    }

    fn upgrade(&mut self, weak: &Thing) -> Option<Thing> {
        Some(*weak)
    }

    fn identify<'r>(&mut self, reference: &'r Thing) -> Identity<'r, Thing> {
        match *reference {
            Thing::Local(key) => Identity::Local { key, promise: key > PROMISES },
            Thing::Import(pos) => Identity::Remote {
                pos: RemotePos::Import(pos),
                key: usize::try_from(pos.0).unwrap_or(usize::MAX),
            },
            Thing::Answer(pos) => Identity::Remote {
                pos: RemotePos::Answer(pos),
                key: usize::try_from(pos.0).unwrap_or(usize::MAX),
            },
        }
    }
}
