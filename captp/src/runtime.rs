//! What a session asks of the runtime that owns the references.

use crate::Passable;
use crate::position::{ImportPos, RemotePos};

/// The runtime behind a session: makes references for what is imported and tells
/// what a reference is. `vat-runtime`'s references implement it in `ocapn`; tests
/// and simulations bring their own.
///
/// Every method is called in the middle of reading or writing a message: they only
/// make and look at references and never call back into the session.
pub trait Runtime {
    /// A reference to an object or promise, near or far.
    type Ref: Clone;
    /// A reference that does not keep its import alive.
    type Weak;
    /// The power to settle a promise.
    type Resolver;

    /// A new reference to an object of the peer's. When its last clone is dropped
    /// the runtime hands `pos` and `generation` to
    /// [`Session::release`](crate::Session::release).
    fn import_object(&mut self, pos: ImportPos, generation: u32) -> Self::Ref;
    /// The same for a promise of the peer's.
    fn import_promise(&mut self, pos: ImportPos, generation: u32) -> Self::Ref;
    /// A new local promise, for the answer to a question of the peer's.
    fn promise(&mut self) -> (Self::Ref, Self::Resolver);
    /// Drops the claim on the import but keeps the way to it while others hold it.
    fn downgrade(&mut self, reference: &Self::Ref) -> Self::Weak;
    /// The reference, if somebody still holds it.
    fn upgrade(&mut self, weak: &Self::Weak) -> Option<Self::Ref>;
    /// What a reference is to this session.
    fn identify<'r>(&mut self, reference: &'r Self::Ref) -> Identity<'r, Self::Ref>;
}

/// What a reference is to a session.
#[derive(Debug)]
pub enum Identity<'r, R> {
    /// Ours to export: an object or promise of this peer's, or of a third party's
    /// for which we stand in.
    Local {
        /// The same for all clones, and different from every other live reference's.
        key: usize,
        /// Whether it is a promise that has not settled.
        promise: bool,
    },
    /// The peer's own.
    Remote {
        /// Where it stands.
        pos: RemotePos,
        /// As for [`Identity::Local`].
        key: usize,
    },
    /// A promise fulfilled with plain data, which is sent in its place.
    Value(&'r Passable<R>),
}
