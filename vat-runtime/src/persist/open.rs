//! Vats that outlive their process: what of [`Vat`] is about stores.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::persist::heap::Heap;
use crate::persist::home::Home;
use crate::persist::{Environment, Store, StoreError};
use crate::reference::Kind;
use crate::{Limits, Promise, Ref, Scheduler, Value, Vat};

impl Vat {
    /// Opens the vat of this name in a store, or makes it. Its actors are there, asleep:
    /// one is restored when the first message reaches it. [`Vat::root`] gives those that
    /// have a name.
    ///
    /// Every actor that is spawned in the vat is stored if it is of a kind in the
    /// environment, for as long as a root or a stored actor refers to it. References to
    /// actors of other kinds will be broken after a restart.
    ///
    /// # Errors
    ///
    /// If the vat is open already, or the store is closed.
    pub fn open(
        name: &str,
        scheduler: Arc<dyn Scheduler>,
        limits: Limits,
        store: &Store,
        environment: &Environment,
    ) -> Result<Self, StoreError> {
        store.shared().backend()?;
        let home = Home::open(store.shared(), name, environment.clone())?;
        let keeper = Box::new(Heap::new(home.clone(), limits.awake));
        let vat = Self::durable(name, scheduler, limits, keeper, home.clone(), store.clone());
        home.start(vat.core());
        home.rouse()?;
        Ok(vat)
    }

    /// The reference of this name, if there is one. It is what it was set to in this
    /// process or an earlier one.
    ///
    /// # Errors
    ///
    /// If the vat has no store, or that cannot be read.
    pub fn root(&self, name: impl AsRef<[u8]>) -> Result<Option<Ref>, StoreError> {
        let value = self.root_value(name)?;
        Ok(value.map(|value| match value {
            Value::Ref(reference) => reference,
            value => Promise::settled(Ok(value)).into_ref(),
        }))
    }

    /// The value of this name: data and references.
    ///
    /// # Errors
    ///
    /// As [`Vat::root`].
    pub fn root_value(&self, name: impl AsRef<[u8]>) -> Result<Option<Value>, StoreError> {
        self.home()?.root(&Bytes::copy_from_slice(name.as_ref()))
    }

    /// The names of the vat's roots and their values.
    ///
    /// # Errors
    ///
    /// As [`Vat::root`].
    pub fn roots(&self) -> Result<Vec<(Bytes, Value)>, StoreError> {
        self.home()?.roots()
    }

    /// Gives a name to a value, from now on and after restarts. What it refers to is
    /// held by the store. Gives the number of the change, which is durable when
    /// [`Store::durable`] says so.
    ///
    /// It takes effect at once. Within a turn that fails it is not taken back.
    ///
    /// # Errors
    ///
    /// If the vat has no store.
    pub fn set_root(
        &self,
        name: impl AsRef<[u8]>,
        value: impl Into<Value>,
    ) -> Result<u64, StoreError> {
        let home = self.home()?;
        let name = Bytes::copy_from_slice(name.as_ref());
        Ok(home.shared.put_root(home.vat, name, Some(value.into())))
    }

    /// Takes a name away, as [`Vat::set_root`] gives it.
    ///
    /// # Errors
    ///
    /// If the vat has no store.
    pub fn remove_root(&self, name: impl AsRef<[u8]>) -> Result<u64, StoreError> {
        let home = self.home()?;
        Ok(home.shared.put_root(home.vat, Bytes::copy_from_slice(name.as_ref()), None))
    }

    /// The actor that a name stands for, or a new one that it stands for from now on.
    ///
    /// # Errors
    ///
    /// As [`Vat::root`].
    pub fn root_or_spawn<B: crate::Behaviour>(
        &self,
        name: impl AsRef<[u8]>,
        behaviour: impl FnOnce() -> B,
    ) -> Result<Ref, StoreError> {
        if let Some(there) = self.root(name.as_ref())? {
            return Ok(there);
        }
        let spawned = self.spawn(behaviour());
        self.set_root(name, &spawned)?;
        Ok(spawned)
    }

    fn home(&self) -> Result<&Arc<Home>, StoreError> {
        self.core().home().ok_or(StoreError::NotDurable)
    }
}

impl Ref {
    /// The vat and the number under which an actor is stored, if it is one of a durable
    /// vat of this process, seeing through settled promises.
    #[must_use]
    pub fn stored_as(&self) -> Option<StoredAs> {
        let cell = match &self.0 {
            Kind::Actor(cell) => cell,
            _ => self.actor()?,
        };
        let home = cell.vat.home()?;
        Some(StoredAs { vat: home.vat, object: cell.object })
    }
}

/// Where an actor is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoredAs {
    /// The number of its vat in the store.
    pub vat: u64,
    /// Its own number in the vat.
    pub object: u64,
}

impl fmt::Display for StoredAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.vat, self.object)
    }
}
