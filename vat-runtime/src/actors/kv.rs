//! Values by name.

use std::collections::BTreeMap;

use rpds::RedBlackTreeMapSync;
use smol_str::SmolStr;

use super::arguments::{Call, Name, Portrait};
use super::table::{DEFAULT_ENTRIES, full};
use crate::{Args, Behaviour, Durable, Fault, Reply, RestoreError, Turn, Value};

/// Values by name: `set name value`, `get name`, `keys` (in order), `delete name`
/// (whether it was there).
///
/// A name is a string or a symbol; both mean the same. A change shares all that it
/// does not touch with what was before. The portrait is the whole map.
#[derive(Clone)]
pub struct Kv {
    entries: RedBlackTreeMapSync<SmolStr, Value>,
    limit: usize,
}

impl Kv {
    /// An empty map of up to [`DEFAULT_ENTRIES`].
    #[must_use]
    pub fn new() -> Self {
        Self { entries: RedBlackTreeMapSync::new_sync(), limit: DEFAULT_ENTRIES }
    }

    /// The same map with another limit.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    fn with(&self, name: SmolStr, value: Value) -> Result<Self, Fault> {
        if self.entries.size() >= self.limit && !self.entries.contains_key(&name) {
            return Err(full(self.limit));
        }
        Ok(Self { entries: self.entries.insert(name, value), limit: self.limit })
    }
}

impl Default for Kv {
    fn default() -> Self {
        Self::new()
    }
}

impl Behaviour for Kv {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut call = Call::method("kv", args)?;
        match call.name() {
            "set" => {
                let Name(key) = call.required("key")?;
                let value = call.only("value")?;
                Ok(Reply::becomes(self.with(key, value).map_err(|fault| call.fault(fault))?))
            }
            "get" => {
                let Name(key) = call.only("key")?;
                let value = self.entries.get(&key).cloned();
                let missing = || call.fault(format_args!("there is nothing under {key:?}"));
                Ok(value.ok_or_else(missing)?.into())
            }
            "keys" | "list" => {
                call.end()?;
                Ok(Value::List(self.entries.keys().cloned().map(Value::String).collect()).into())
            }
            "delete" => {
                let Name(key) = call.only("key")?;
                let found = self.entries.contains_key(&key);
                let entries = self.entries.remove(&key);
                Ok(Reply::become_with(Self { entries, limit: self.limit }, found))
            }
            _ => call.otherwise("set key value, get key, keys, delete key"),
        }
    }
}

impl Durable for Kv {
    fn portray(&self) -> Value {
        let entries = self.entries.iter().map(|(name, value)| (name.clone(), value.clone()));
        Value::List(vec![(self.limit as u64).into(), Value::Struct(entries.collect())])
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("kv", portrait)?;
        let limit = portrait.part("the limit")?;
        let entries: BTreeMap<SmolStr, Value> = portrait.part("the map")?;
        Ok(Self { entries: entries.into_iter().collect(), limit })
    }
}
