//! Which providers there are, and how each is set: `[providers.NAME]` in the
//! configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};
use toml::{Table, Value};

use super::cloud::hetzner::Hetzner;
use super::cloud::linode::Linode;
use super::cloud_init::nocloud::NoCloud;
use super::command::Command;
use super::dummy::Dummy;
use super::local::Local;
use super::netns::Netns;
use super::qemu::Qemu;
use super::ssh::Ssh;
use super::{Provider, ProviderError};

/// What a provider is given besides its settings.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where it may keep files, for itself alone. Need not be there yet.
    pub state: PathBuf,
    /// The program that the boss itself runs: this `hob`.
    pub program: PathBuf,
}

/// Why a provider can't be set up: what is wrong with which setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", place(.provider, .key))]
pub struct SettingsError {
    /// The provider's name.
    pub provider: String,
    /// The setting's key, if it is one setting that is wrong.
    pub key: Option<String>,
    /// What was expected, and what was found.
    pub why: String,
}

fn place(provider: &str, key: &Option<String>) -> String {
    match key {
        Some(key) => format!("providers.{provider}.{key}"),
        None => format!("providers.{provider}"),
    }
}

/// Makes a provider from its settings.
type Maker = fn(&str, Table, &Context) -> Result<Arc<dyn Provider>, SettingsError>;

/// The kinds of providers.
const KINDS: &[(&str, Maker)] = &[
    ("cloud-init", |name, table, context| made(name, table, context, NoCloud::new)),
    ("command", |name, table, context| made(name, table, context, Command::new)),
    ("dummy", |name, table, context| made(name, table, context, Dummy::new)),
    ("hetzner", |name, table, context| made(name, table, context, Hetzner::new)),
    ("linode", |name, table, context| made(name, table, context, Linode::new)),
    ("local", |name, table, context| made(name, table, context, Local::new)),
    ("netns", |name, table, context| made(name, table, context, Netns::new)),
    ("qemu", |name, table, context| {
        made(name, table, context, |settings, context| Qemu::new(settings, &context.state))
    }),
    ("ssh", |name, table, context| made(name, table, context, Ssh::new)),
];

/// The kinds that are there without a word in the configuration.
const BUILT_IN: [&str; 2] = ["dummy", "local"];

/// The provider of that name, from its table. The key `kind` says what it is; without
/// it, the name does.
///
/// # Errors
///
/// [`SettingsError`], for an unknown kind, a setting that is missing, unknown or of
/// another type, or one that the provider can't work with.
pub fn provider(
    name: &str,
    mut table: Table,
    context: &Context,
) -> Result<Arc<dyn Provider>, SettingsError> {
    let wrong = |key: Option<&str>, why| SettingsError {
        provider: name.to_owned(),
        key: key.map(str::to_owned),
        why,
    };
    let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 63 || !name.chars().all(fit) {
        let why = "expected a name of 1 to 63 of a-z, 0-9 and -".to_owned();
        return Err(wrong(None, why));
    }
    let kind = match table.remove("kind") {
        None => name.to_owned(),
        Some(Value::String(kind)) => kind,
        Some(other) => {
            let why = format!("expected a string, found {}", other.type_str());
            return Err(wrong(Some("kind"), why));
        }
    };
    let Some((_, maker)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        let known: Vec<_> = KINDS.iter().map(|(kind, _)| *kind).collect();
        let why = format!("expected one of {}, found {kind:?}", known.join(", "));
        return Err(wrong(Some("kind"), why));
    };
    // A setting may be written either way: known_hosts or known-hosts.
    let table = table.into_iter().map(|(key, value)| (key.replace('_', "-"), value)).collect();
    maker(name, table, context)
}

fn made<S: DeserializeOwned, P: Provider>(
    name: &str,
    table: Table,
    context: &Context,
    new: impl FnOnce(S, &Context) -> Result<P, ProviderError>,
) -> Result<Arc<dyn Provider>, SettingsError> {
    let wrong = |key, why| SettingsError { provider: name.to_owned(), key, why };
    let settings = understood(table).map_err(|(key, why)| wrong(key, why))?;
    let provider = new(settings, context).map_err(|error| wrong(None, error.why))?;
    Ok(Arc::new(provider))
}

/// The settings in a table; else which key is wrong, if it is one, and how.
fn understood<S: DeserializeOwned>(table: Table) -> Result<S, (Option<String>, String)> {
    table.clone().try_into().map_err(|error: toml::de::Error| {
        let (shown, why) = (error.to_string(), error.message().trim().to_owned());
        let names = ["missing field `", "unknown field `"];
        let named = names.iter().find_map(|start| quoted(&why, start));
        let key = quoted(&shown, "\nin `").or(named);
        // Of what can't be a key at all, and of a wrong type, serde says what it found.
        let found = key.and_then(|key| table.get(key)).filter(|_| named.is_none());
        let why = match found {
            Some(value) if !why.starts_with("invalid type") => format!("{why}, found {value}"),
            _ => why.clone(),
        };
        (key.map(str::to_owned), why)
    })
}

/// What is between `start` and the next backtick.
fn quoted<'t>(text: &'t str, start: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(start)?;
    rest.split('`').next()
}

/// The providers of a boss, by name.
#[derive(Clone)]
pub struct Providers(BTreeMap<String, Arc<dyn Provider>>);

impl Providers {
    /// Those that the configuration's table `providers` names, and those that need no
    /// configuration: `local` and `dummy`. Each keeps its files in a directory of its
    /// name in `state`; `program` is what the boss itself runs.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] of the first that can't be set up.
    pub fn from_config(tables: Table, state: &Path, program: &Path) -> Result<Self, SettingsError> {
        let mut providers = BTreeMap::new();
        let unnamed = BUILT_IN.iter().filter(|name| !tables.contains_key(**name));
        let unnamed: Vec<_> = unnamed.map(|name| ((*name).to_owned(), Table::new())).collect();
        for (name, table) in tables {
            let Value::Table(table) = table else {
                let why = format!("expected a table, found {}", table.type_str());
                return Err(SettingsError { provider: name, key: None, why });
            };
            let made = provider(&name, table, &Context::of(&name, state, program))?;
            providers.insert(name, made);
        }
        for (name, table) in unnamed {
            let made = provider(&name, table, &Context::of(&name, state, program))?;
            providers.insert(name, made);
        }
        Ok(Self(providers))
    }

    /// The one of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Provider>> {
        self.0.get(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Context {
    fn of(name: &str, state: &Path, program: &Path) -> Self {
        Self { state: state.join(name), program: program.to_owned() }
    }
}

/// A time in a setting, as `500ms`, `30s` or `2m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        crate::config::quantity::duration(&text).map(Self).map_err(D::Error::custom)
    }
}
