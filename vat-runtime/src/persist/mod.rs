//! Actors that outlive their process. Owns [`Durable`]: how an actor is put into
//! words, its *portrait*, and made from them again.

mod backend;
mod barrier;
mod collect;
mod commit;
mod doctor;
mod environment;
mod file;
mod heap;
pub(crate) mod home;
mod open;
mod portrait;
mod queue;
#[cfg(feature = "redb")]
mod redb;
mod remote;
mod store;
mod text;

use std::fmt;

pub use self::backend::{
    Backend, Entry, FORMAT, Memory, StoredVat, Summary, Transaction, View, VisitObject, VisitRoot,
    copy,
};
pub use self::barrier::Barrier;
pub use self::collect::{Collected, Object};
pub use self::doctor::{Ailment, KindCount, Report};
pub use self::environment::{Environment, EnvironmentError, Portrait};
pub use self::file::SyrupFile;
pub use self::open::StoredAs;
pub use self::portrait::{Loss, MAX_DEPTH};
#[cfg(feature = "redb")]
pub use self::redb::Redb;
pub use self::remote::{Backoff, Realm};
pub use self::store::{Store, StoreError, StoreOptions, UntilDurable};
pub use self::text::{export_text, import_text};

use crate::{Behaviour, Value};

/// A behaviour that can be written down and restored.
///
/// Its portrait is what its constructor was given, or would have to be given to make
/// it as it is now: data and references. The name under which it is stored is given by
/// the environment that it is part of.
pub trait Durable: Behaviour + Sized {
    /// The version of the portraits that [`Durable::portray`] makes. Older ones are
    /// migrated before they are restored.
    const VERSION: u32 = 1;

    /// The actor's portrait.
    fn portray(&self) -> Value;

    /// The actor from a portrait of this version.
    ///
    /// # Errors
    ///
    /// When the portrait is not one of this kind's.
    fn restore(portrait: Value) -> Result<Self, RestoreError>;
}

/// Why an actor could not be restored from its portrait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreError(String);

impl RestoreError {
    /// An error that says what is wrong with a portrait.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RestoreError {}
