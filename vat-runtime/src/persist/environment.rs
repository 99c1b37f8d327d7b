//! Names that stay, for types that change: which behaviours can be stored, under what
//! name, and how what older versions stored is brought up to date. Owns [`Environment`].

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use smol_str::{SmolStr, format_smolstr};

use crate::persist::{Durable, RestoreError};
use crate::{Behaviour, Value};

/// What a vat's durable actors can be, by stable names.
///
/// ```
/// use vat_runtime::persist::{Durable, Environment, RestoreError};
/// use vat_runtime::{Args, Behaviour, Fault, Reply, Turn, Value};
///
/// struct Counter(i64);
///
/// impl Behaviour for Counter {
///     fn receive(&self, _turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
///         Ok(Reply::become_with(Counter(self.0 + 1), self.0))
///     }
/// }
///
/// impl Durable for Counter {
///     const VERSION: u32 = 2;
///
///     fn portray(&self) -> Value {
///         vec![Value::from(self.0)].into()
///     }
///
///     fn restore(portrait: Value) -> Result<Self, RestoreError> {
///         match portrait {
///             Value::List(fields) => match fields.as_slice() {
///                 [Value::Int(count)] => Ok(Counter(*count)),
///                 _ => Err(RestoreError::new("a counter has one count")),
///             },
///             _ => Err(RestoreError::new("a counter's portrait is a list")),
///         }
///     }
/// }
///
/// let mut environment = Environment::new();
/// environment.kind::<Counter>("counter")?;
/// // Version 1 was the bare number.
/// environment.migrate("counter", 1, |count| Ok(vec![count].into()))?;
/// assert!(environment.restore("counter", 1, 7.into()).is_ok());
/// # Ok::<(), vat_runtime::persist::EnvironmentError>(())
/// ```
#[derive(Clone, Default)]
pub struct Environment {
    kinds: BTreeMap<SmolStr, Kind>,
    names: HashMap<TypeId, SmolStr>,
    /// Names that kinds had before, with what they are called now.
    renamed: BTreeMap<SmolStr, SmolStr>,
}

type Portray = dyn Fn(&dyn Any) -> Option<Value> + Send + Sync;
type Restore = dyn Fn(Value) -> Result<Arc<dyn Behaviour>, RestoreError> + Send + Sync;
type Migration = dyn Fn(Value) -> Result<Value, RestoreError> + Send + Sync;

#[derive(Clone)]
struct Kind {
    version: u32,
    portray: Arc<Portray>,
    restore: Arc<Restore>,
    /// What makes of a portrait of this version one of the next.
    migrations: BTreeMap<u32, Arc<Migration>>,
    type_id: TypeId,
    /// Its actors are restored when their vat is opened.
    awake: bool,
}

/// A behaviour in words: what [`Environment::portray`] gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Portrait {
    /// The kind's name.
    pub kind: SmolStr,
    /// The version of the portrait's form.
    pub version: u32,
    /// The portrait.
    pub value: Value,
}

/// Why a kind is refused. One variant per rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// Another kind has this name, now or from before.
    #[error("there is a kind called {0:?} already")]
    NameTaken(SmolStr),
    /// This type is there under another name. What is stored of it could not be told
    /// apart.
    #[error("this type is the kind {there:?} already, and cannot be {wanted:?} as well")]
    TypeTaken {
        /// The name that it has.
        there: SmolStr,
        /// The name that was wanted.
        wanted: SmolStr,
    },
    /// A name is not empty and has no slash: that is for environments within others.
    #[error("{0:?} is no name for a kind or a namespace: it may not be empty or have a slash")]
    BadName(SmolStr),
    /// There is no kind of this name to say something about.
    #[error("there is no kind called {0:?}")]
    NoSuchKind(SmolStr),
    /// Only portraits older than the kind's present version can be migrated.
    #[error("{kind:?} is at version {version}: there is nothing to migrate from version {from}")]
    NotOlder {
        /// The kind.
        kind: SmolStr,
        /// Its present version.
        version: u32,
        /// The version that was to be migrated.
        from: u32,
    },
    /// There is a migration from this version already.
    #[error("{kind:?} has a migration from version {from} already")]
    MigrationTaken {
        /// The kind.
        kind: SmolStr,
        /// The version.
        from: u32,
    },
}

impl Environment {
    /// An environment of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A durable type, under a name that is to stay the same for ever.
    ///
    /// # Errors
    ///
    /// If the name or the type is taken, or the name is none.
    pub fn kind<T: Durable>(&mut self, name: &str) -> Result<&mut Self, EnvironmentError> {
        self.kind_with(name, T::VERSION, T::portray, T::restore)
    }

    /// A type that need not know that it is durable: another's, or one whose instances
    /// need something that is not in their portraits, which `restore` brings along.
    ///
    /// # Errors
    ///
    /// As [`Environment::kind`].
    pub fn kind_with<T: Behaviour>(
        &mut self,
        name: &str,
        version: u32,
        portray: impl Fn(&T) -> Value + Send + Sync + 'static,
        restore: impl Fn(Value) -> Result<T, RestoreError> + Send + Sync + 'static,
    ) -> Result<&mut Self, EnvironmentError> {
        let kind = Kind {
            version,
            portray: Arc::new(move |behaviour| behaviour.downcast_ref::<T>().map(&portray)),
            restore: Arc::new(move |value| Ok(Arc::new(restore(value)?))),
            migrations: BTreeMap::new(),
            type_id: TypeId::of::<T>(),
            awake: false,
        };
        self.add(checked(name)?, kind)?;
        Ok(self)
    }

    /// How portraits of one version of a kind become portraits of the next. Older ones
    /// go through one migration after the other.
    ///
    /// # Errors
    ///
    /// If there is no such kind, or no such older version, or a migration from it is
    /// there already.
    pub fn migrate(
        &mut self,
        name: &str,
        from: u32,
        migration: impl Fn(Value) -> Result<Value, RestoreError> + Send + Sync + 'static,
    ) -> Result<&mut Self, EnvironmentError> {
        let kind =
            self.kinds.get_mut(name).ok_or_else(|| EnvironmentError::NoSuchKind(name.into()))?;
        if from >= kind.version {
            let (kind, version) = (name.into(), kind.version);
            return Err(EnvironmentError::NotOlder { kind, version, from });
        }
        if kind.migrations.insert(from, Arc::new(migration)).is_some() {
            return Err(EnvironmentError::MigrationTaken { kind: name.into(), from });
        }
        Ok(self)
    }

    /// Has actors of a kind be restored when their vat is opened, not when the first
    /// message comes, and never sleep: those that do something by themselves. To find them
    /// the whole vat is read.
    ///
    /// # Errors
    ///
    /// If there is no such kind.
    pub fn awake(&mut self, name: &str) -> Result<&mut Self, EnvironmentError> {
        let kind = self.kinds.get_mut(name);
        kind.ok_or_else(|| EnvironmentError::NoSuchKind(name.into()))?.awake = true;
        Ok(self)
    }

    /// Whether actors stored under this name are awake as long as their vat is open.
    pub(crate) fn is_awake(&self, name: &str) -> bool {
        let present = self.renamed.get(name).map_or(name, SmolStr::as_str);
        self.kinds.get(present).is_some_and(|kind| kind.awake)
    }

    /// Whether any kind's actors are.
    pub(crate) fn has_awake(&self) -> bool {
        self.kinds.values().any(|kind| kind.awake)
    }

    /// What a kind was called before. Nothing is stored under that name any more; what
    /// has been is found.
    ///
    /// # Errors
    ///
    /// If there is no kind of the present name, or one of the former.
    pub fn renamed(&mut self, former: &str, name: &str) -> Result<&mut Self, EnvironmentError> {
        if !self.kinds.contains_key(name) {
            return Err(EnvironmentError::NoSuchKind(name.into()));
        }
        self.free(former)?;
        self.renamed.insert(former.into(), name.into());
        Ok(self)
    }

    /// All kinds of another environment, their names in a namespace: `fleet/counter`.
    ///
    /// # Errors
    ///
    /// If a name or type is taken. Nothing is added then.
    pub fn extend(&mut self, namespace: &str, other: &Self) -> Result<&mut Self, EnvironmentError> {
        let namespace = checked(namespace)?;
        let within = |name: &str| format_smolstr!("{namespace}/{name}");
        let mut extended = self.clone();
        for (name, kind) in &other.kinds {
            extended.add(within(name), kind.clone())?;
        }
        for (former, name) in &other.renamed {
            extended.free(&within(former))?;
            extended.renamed.insert(within(former), within(name));
        }
        *self = extended;
        Ok(self)
    }

    fn free(&self, name: &str) -> Result<(), EnvironmentError> {
        if self.kinds.contains_key(name) || self.renamed.contains_key(name) {
            return Err(EnvironmentError::NameTaken(name.into()));
        }
        Ok(())
    }

    fn add(&mut self, name: SmolStr, kind: Kind) -> Result<(), EnvironmentError> {
        self.free(&name)?;
        if let Some(there) = self.names.get(&kind.type_id) {
            let there = there.clone();
            return Err(EnvironmentError::TypeTaken { there, wanted: name });
        }
        self.names.insert(kind.type_id, name.clone());
        self.kinds.insert(name, kind);
        Ok(())
    }

    /// The names of the kinds, in their order.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(SmolStr::as_str)
    }

    /// Whether something stored under this name has a kind here, perhaps one that is
    /// called otherwise by now.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.kinds.contains_key(name) || self.renamed.contains_key(name)
    }

    /// Whether behaviours of this one's type can be stored.
    #[must_use]
    pub fn can_store(&self, behaviour: &dyn Behaviour) -> bool {
        let behaviour: &dyn Any = behaviour;
        self.names.contains_key(&behaviour.type_id())
    }

    /// Puts a behaviour into words, or gives none if its type is no kind of this
    /// environment.
    #[must_use]
    pub fn portray(&self, behaviour: &dyn Behaviour) -> Option<Portrait> {
        let behaviour: &dyn Any = behaviour;
        let name = self.names.get(&behaviour.type_id())?;
        let kind = self.kinds.get(name)?;
        let value = (kind.portray)(behaviour)?;
        Some(Portrait { kind: name.clone(), version: kind.version, value })
    }

    /// Makes a behaviour from its portrait, which is migrated if it is of an older
    /// version.
    ///
    /// # Errors
    ///
    /// If the kind is not known, the version is newer than the kind or has no migration,
    /// or a migration or the kind refuses the portrait.
    pub fn restore(
        &self,
        name: &str,
        version: u32,
        portrait: Value,
    ) -> Result<Arc<dyn Behaviour>, RestoreError> {
        let (kind, migrations) = self.way(name, version)?;
        let mut portrait = portrait;
        for (from, migration) in (version..).zip(migrations) {
            portrait = migration(portrait).map_err(|error| {
                RestoreError::new(format!("migrating {name:?} from version {from}: {error}"))
            })?;
        }
        (kind.restore)(portrait)
            .map_err(|error| RestoreError::new(format!("restoring {name:?}: {error}")))
    }

    /// Whether portraits of this kind and version are understood, without one.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check(&self, name: &str, version: u32) -> Result<(), RestoreError> {
        self.way(name, version).map(|_| ())
    }

    /// The kind, and what brings a portrait of this version up to date.
    fn way(&self, name: &str, version: u32) -> Result<(&Kind, Vec<&Migration>), RestoreError> {
        let present = self.renamed.get(name).map_or(name, SmolStr::as_str);
        let kind = self.kinds.get(present).ok_or_else(|| {
            RestoreError::new(format!("no kind is called {name:?} in this vat's environment"))
        })?;
        if version > kind.version {
            return Err(RestoreError::new(format!(
                "stored as version {version} of {name:?}, of which version {} is the newest known \
                 here: a newer program wrote it",
                kind.version
            )));
        }
        let migrations = (version..kind.version).map(|from| {
            kind.migrations.get(&from).map(|migration| &**migration).ok_or_else(|| {
                RestoreError::new(format!(
                    "stored as version {version} of {name:?}: there is no migration from version \
                     {from} to {}",
                    from + 1
                ))
            })
        });
        Ok((kind, migrations.collect::<Result<_, _>>()?))
    }
}

fn checked(name: &str) -> Result<SmolStr, EnvironmentError> {
    if name.is_empty() || name.contains('/') {
        return Err(EnvironmentError::BadName(name.into()));
    }
    Ok(name.into())
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let versions = self.kinds.iter().map(|(name, kind)| (name, kind.version));
        f.debug_map().entries(versions).finish()
    }
}
