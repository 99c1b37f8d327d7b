//! Providers: what makes machines, and takes them away again.
//!
//! A provider is told by the boss to make a machine that a sturdyref is given to: the
//! machine's *enrolment*. The machine enlivens it and registers, and from then on the
//! provider has nothing more to do with it until it is to go. So a provider is three
//! functions, and one more if its machines don't start again by themselves, see
//! [`Provider`]; they may take their time, since each call has a thread.
//!
//! **Never a lost or a doubled machine.** The boss may be killed at any moment, and so
//! may the connection to a cloud: whatever was asked is then asked again. Each order has
//! a [`Key`], made once for each machine; a provider marks what it makes with the key,
//! and looks for the mark before it makes anything. `docs/providers.md` has all the rules,
//! and [`contract`] is a test of them.
//!
//! A whole provider, whose machines are directories:
//!
//! ```
//! use std::{fs, io, path::PathBuf};
//!
//! use hob::providers::{
//!     FleetId, Instance, Order, Progress, Provider, ProviderError, Target, contract,
//! };
//!
//! struct Shelf(PathBuf);
//!
//! impl Provider for Shelf {
//!     fn create(&self, order: &Order, progress: &dyn Progress) -> Result<Instance, ProviderError> {
//!         progress.step("make room");
//!         // Marked in the act of making it; and that it is there already is just as well.
//!         let place = self.0.join(order.fleet.as_str()).join(order.key.as_str());
//!         fs::create_dir_all(&place).map_err(later)?;
//!         // Here its hob would be started, with `order.enrolment.reveal()` in a file.
//!         Ok(instance(order.key.as_str()))
//!     }
//!
//!     fn destroy(&self, target: &Target) -> Result<(), ProviderError> {
//!         let place = self.0.join(target.fleet.as_str()).join(target.key.as_str());
//!         match fs::remove_dir_all(place) {
//!             Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
//!             outcome => outcome.map_err(later),
//!         }
//!     }
//!
//!     fn list(&self, fleet: &FleetId) -> Result<Vec<Instance>, ProviderError> {
//!         let places = self.0.join(fleet.as_str()).read_dir().into_iter().flatten();
//!         let names = places.map(|place| Ok(place.map_err(later)?.file_name()));
//!         names.map(|name| Ok(instance(&name?.to_string_lossy()))).collect()
//!     }
//! }
//!
//! fn instance(key: &str) -> Instance {
//!     Instance { key: key.to_owned(), id: format!("shelf/{key}"), address: None }
//! }
//!
//! fn later(error: io::Error) -> ProviderError {
//!     ProviderError::temporary(error.to_string())
//! }
//!
//! let directory = tempfile::tempdir()?;
//! let fleet = FleetId::random()?;
//! let order = contract::order("db-machine", &fleet);
//! let shelf = Shelf(directory.path().to_owned());
//! let made = shelf.create(&order, &|step: &str| println!("{step} …"))?;
//! assert_eq!(shelf.create(&order, &|_: &str| {})?, made);
//! assert_eq!(shelf.list(&fleet)?, [made]);
//! shelf.destroy(&order.target())?;
//! assert_eq!(shelf.list(&fleet)?, []);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod cloud;
pub mod cloud_init;
pub mod command;
pub mod contract;
pub mod dummy;
mod files;
pub mod local;
pub mod netns;
mod process;
mod provisioner;
pub mod qemu;
mod settings;
pub mod ssh;

pub(crate) use process::MARK as MACHINE_MARK;
pub use settings::{Context, Providers, SettingsError, Span, provider};

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What makes machines. Calls for one machine never overlap; those for different ones
/// do. All of them may block.
pub trait Provider: Send + Sync + 'static {
    /// Makes the machine that is ordered, and gives it its enrolment; or finds it, if
    /// there is one with the order's key already. Returns when the machine is on its
    /// way: that it is there, the boss knows from its registration.
    ///
    /// # Errors
    ///
    /// [`ProviderError`]. What was begun and could not be finished is removed, or is
    /// found by [`destroy`](Self::destroy) and the next `create` by the key.
    fn create(&self, order: &Order, progress: &dyn Progress) -> Result<Instance, ProviderError>;

    /// Removes the machine with that key and all that was made for it. That there is
    /// none is no error.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], if it may still be there.
    fn destroy(&self, target: &Target) -> Result<(), ProviderError>;

    /// All machines of the fleet that this provider has made and that are still there,
    /// also those that the boss has forgotten.
    ///
    /// # Errors
    ///
    /// [`ProviderError`].
    fn list(&self, fleet: &FleetId) -> Result<Vec<Instance>, ProviderError>;

    /// Starts the machine with that key again if it has ended, as it is, and leaves it
    /// alone if it has not: it has registered, and comes back without an enrolment. Says
    /// whether it had to be started.
    ///
    /// The boss asks when it starts, and when nothing has been heard of the machine for
    /// some time. Where machines are started again by whoever runs them, as in a cloud,
    /// there is nothing to do, which is what this does if a provider has no other.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], if it can't be started. The boss asks again, whatever the error.
    fn revive(&self, target: &Target) -> Result<bool, ProviderError> {
        let _others_do = target;
        Ok(false)
    }
}

/// An order for a machine.
#[derive(Clone, Debug)]
pub struct Order {
    /// The machine's name in the fleet: 1 to 63 of `a-z`, `0-9` and `-`, and so good for a
    /// host name.
    pub name: String,
    /// What it is marked with.
    pub key: Key,
    /// Whose machine it is.
    pub fleet: FleetId,
    /// What the machine is to be given, and nobody else.
    pub enrolment: Enrolment,
    /// What was asked for, as far as the provider understands it: `{}` if nothing was.
    pub spec: serde_json::Map<String, serde_json::Value>,
}

impl Order {
    /// What to destroy, to undo this order.
    pub fn target(&self) -> Target {
        Target {
            name: self.name.clone(),
            key: self.key.clone(),
            fleet: self.fleet.clone(),
            spec: self.spec.clone(),
            id: None,
        }
    }

    /// What was asked for, as this provider understands it.
    ///
    /// # Errors
    ///
    /// A lasting [`ProviderError`], if it does not understand all of it.
    pub fn spec_as<T: DeserializeOwned>(&self) -> Result<T, ProviderError> {
        understand(&self.spec)
    }
}

fn understand<T: DeserializeOwned>(
    spec: &serde_json::Map<String, serde_json::Value>,
) -> Result<T, ProviderError> {
    serde_json::from_value(spec.clone().into())
        .map_err(|error| ProviderError::lasting(format!("the spec: {error}")))
}

/// The spec of a provider that has nothing to choose.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NothingToChoose {}

/// Which machine is to go, or to be started again.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name in the fleet.
    pub name: String,
    /// What it was marked with.
    pub key: Key,
    /// Whose machine it is.
    pub fleet: FleetId,
    /// What was ordered.
    pub spec: serde_json::Map<String, serde_json::Value>,
    /// The provider's own name for it, if its creation got as far as giving one.
    pub id: Option<String>,
}

impl Target {
    /// What was ordered, as this provider understands it.
    ///
    /// # Errors
    ///
    /// A lasting [`ProviderError`], if it does not understand all of it.
    pub fn spec_as<T: DeserializeOwned>(&self) -> Result<T, ProviderError> {
        understand(&self.spec)
    }
}

/// A machine that a provider has made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// The key that it is marked with.
    pub key: String,
    /// The provider's own name for it.
    pub id: String,
    /// Where it can be reached, if the provider knows: a host name or an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// The mark of one machine: 32 lower-case hexadecimal digits, made by the boss.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

/// The mark of all machines of one boss: 32 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FleetId(String);

/// Text that is no key and no fleet's mark.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not 32 hexadecimal digits")]
pub struct BadMark(String);

macro_rules! mark {
    ($name:ident) => {
        impl $name {
            /// A new one.
            ///
            /// # Errors
            ///
            /// If the system has no randomness to give.
            pub fn random() -> std::io::Result<Self> {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
                Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
            }

            /// Its digits.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadMark;

            fn from_str(text: &str) -> Result<Self, BadMark> {
                let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                let good = text.len() == 32 && text.bytes().all(digit);
                good.then(|| Self(text.to_owned())).ok_or_else(|| BadMark(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

mark!(Key);
mark!(FleetId);

/// The sturdyref with which a machine registers, once. A secret until it has been used.
#[derive(Clone)]
pub struct Enrolment(Zeroizing<String>);

impl Enrolment {
    /// The enrolment with that URI.
    pub fn new(uri: impl Into<String>) -> Self {
        Self(Zeroizing::new(uri.into()))
    }

    /// The `ocapn://` URI, which goes to the machine by a way that others can't read, into
    /// a file of mode 0600. Never into an argument of a program, or a log.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Enrolment(…)")
    }
}

/// Who is told how far the creation of a machine has come.
pub trait Progress: Send + Sync {
    /// A step begins: `allocate`, `install`, `boot` and the like, a word or three.
    fn step(&self, step: &str);
}

impl<F: Fn(&str) + Send + Sync> Progress for F {
    fn step(&self, step: &str) {
        self(step);
    }
}

/// Why a provider has not done what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ProviderError {
    /// Whether the same may work later: the boss then asks again, less and less often.
    pub temporary: bool,
    /// Whether somebody else answered than the one whose key is pinned: what is done by
    /// command then ends with the exit code of an identity mismatch. Never temporary.
    pub identity_mismatch: bool,
    /// What went wrong, for people. No secrets.
    pub why: String,
}

impl ProviderError {
    /// It won't work later either: what was asked, or a setting, must change.
    pub fn lasting(why: impl Into<String>) -> Self {
        Self { temporary: false, identity_mismatch: false, why: why.into() }
    }

    /// It may work later.
    pub fn temporary(why: impl Into<String>) -> Self {
        Self { temporary: true, identity_mismatch: false, why: why.into() }
    }

    /// Somebody else answered than the one whose key is pinned.
    pub fn identity_mismatch(why: impl fmt::Display) -> Self {
        let why = format!("identity mismatch: {why}");
        Self { temporary: false, identity_mismatch: true, why }
    }
}

/// How a machine that is bare comes to have the program `hob`: the provisioner's part.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Install {
    /// It is there: in the image, at this path.
    Present(PathBuf),
    /// It is fetched by the machine itself, and checked.
    Download {
        /// Where from: `https`, or `http` since it is checked.
        url: String,
        /// The SHA-256 of what is there, in hexadecimal.
        sha256: String,
    },
    /// It is copied from here, where the provider can copy: this path, or, if it is left
    /// out, the program that the boss itself runs.
    Copy(Option<PathBuf>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_hexadecimal_and_enrolments_stay_secret() {
        let key = Key::random().unwrap();
        assert_eq!(key.as_str().parse(), Ok(key.clone()));
        for bad in ["", "0123", "0123456789ABCDEF0123456789ABCDEF", &format!("{key}0")] {
            assert!(bad.parse::<FleetId>().is_err(), "{bad}");
        }
        let enrolment = Enrolment::new("ocapn://a.b/s/secret");
        assert!(!format!("{enrolment:?}").contains("secret"));
    }
}
