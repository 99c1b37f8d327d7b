//! Actors that outlive their process. Owns [`Durable`]: how an actor is put into
//! words, its *portrait*, and made from them again.
//!
//! - An [`Environment`] gives stable names to the types that a vat stores.
//! - A [`Store`] keeps what the turns of durable vats change, in a [`Backend`]:
//!   `Redb`, [`SyrupFile`] or [`Memory`].
//! - [`Vat::open`](crate::Vat::open) opens a vat in a store. What has a name
//!   ([`Vat::root`](crate::Vat::root)) is stored, and what that refers to, for as long as
//!   it does.
//!
//! ```
//! use vat_runtime::persist::{Durable, Environment, Memory, RestoreError, Store};
//! use vat_runtime::{Args, Behaviour, Fault, Limits, Manual, Reply, Turn, Value, Vat};
//!
//! struct Counter(i64);
//!
//! impl Behaviour for Counter {
//!     fn receive(&self, _turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
//!         Ok(Reply::become_with(Counter(self.0 + 1), self.0 + 1))
//!     }
//! }
//!
//! impl Durable for Counter {
//!     fn portray(&self) -> Value {
//!         self.0.into()
//!     }
//!
//!     fn restore(portrait: Value) -> Result<Self, RestoreError> {
//!         let count = portrait.as_int();
//!         Ok(Counter(count.ok_or_else(|| RestoreError::new("a counter is a number"))?))
//!     }
//! }
//!
//! fn count_once(disk: &Memory) -> Result<Value, Box<dyn std::error::Error>> {
//!     let mut environment = Environment::new();
//!     environment.kind::<Counter>("counter")?;
//!     let store = Store::open(disk.clone())?;
//!     let hand = Manual::new();
//!     let vat = Vat::open("demo", hand.clone(), Limits::default(), &store, &environment)?;
//!     let counter = vat.root_or_spawn("counter", || Counter(0))?;
//!     let answer = counter.send(vec![]);
//!     hand.run_until_idle();
//!     // Before anybody outside hears of it.
//!     store.wait(store.pending())?;
//!     Ok(answer.wait()?)
//! }
//!
//! // Another process would open a file, with `Redb::open`.
//! let disk = Memory::new();
//! assert_eq!(count_once(&disk)?, 1.into());
//! assert_eq!(count_once(&disk)?, 2.into());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What comes back
//!
//! | in a portrait | after a restart |
//! |---|---|
//! | data | the same |
//! | an actor of the same vat | the same actor, which sleeps until it is called |
//! | an actor of another vat of the store | the same; messages wait until that vat is open |
//! | a peer's object that was enlivened from a sturdyref | a promise that is enlivened when it is first used |
//! | a settled promise | a promise settled so, or what it is for |
//! | a promise that has not settled | a broken one; it is stored anew once it has settled |
//! | a resolver, an actor of no kind or no store, a peer's other objects | broken, and reported by [`Store::doctor`] |
//!
//! Messages on their way are not stored: what is to be done in any case is to be part of
//! an actor. What leaves the process waits for [`Barrier`].

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
pub use self::portrait::MAX_DEPTH;
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
