//! Values by values: references are told apart by what they designate.

use super::arguments::{Call, Portrait, wrong};
use super::table::{DEFAULT_ENTRIES, Table};
use crate::{Args, Behaviour, Durable, Fault, Reply, RestoreError, Turn, Value};

/// Values by any value: `ref key [default]` (false if there is no default), `set key
/// value`, `remove key`, `has-key? key`, and `data`, the whole as a map.
///
/// Keys are the same if they are equal; references if they designate the same thing.
/// Entries are listed in the order of insertion. A change shares all that it does not
/// touch with what was before. The portrait is the whole map.
#[derive(Clone)]
pub struct Ghash(Table<Value>);

impl Ghash {
    /// An empty map of up to [`DEFAULT_ENTRIES`].
    #[must_use]
    pub fn new() -> Self {
        Self(Table::new(DEFAULT_ENTRIES))
    }

    /// The same map with another limit.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self(self.0.with_limit(limit))
    }
}

impl Default for Ghash {
    fn default() -> Self {
        Self::new()
    }
}

impl Behaviour for Ghash {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut call = Call::method("ghash", args)?;
        match call.name() {
            "ref" => {
                let key = call.required("key")?;
                let default = call.optional("default")?.unwrap_or(Value::Bool(false));
                call.end()?;
                Ok(self.0.get(key).cloned().unwrap_or(default).into())
            }
            "has-key?" => Ok(self.0.get(call.only("key")?).is_some().into()),
            "set" => {
                let key = call.required("key")?;
                let value = call.only("value")?;
                Ok(Reply::becomes(Self(
                    self.0.with(key, value).map_err(|fault| call.fault(fault))?,
                )))
            }
            "remove" => Ok(match self.0.without(call.only("key")?) {
                Some(rest) => Reply::becomes(Self(rest)),
                None => ().into(),
            }),
            "data" => {
                call.end()?;
                let entries = self.0.list().into_iter();
                let entries = entries.map(|(key, value)| (key.clone(), value.clone()));
                Ok(Value::Map(entries.collect()).into())
            }
            _ => call.otherwise("ref key [default], set key value, remove key, has-key? key, data"),
        }
    }
}

impl Durable for Ghash {
    fn portray(&self) -> Value {
        let entries = self.0.list().into_iter();
        let entries = entries.map(|(key, value)| Value::List(vec![key.clone(), value.clone()]));
        Value::List(vec![(self.0.limit() as u64).into(), Value::List(entries.collect())])
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("ghash", portrait)?;
        let mut table = Table::new(portrait.part("the limit")?);
        for entry in portrait.part::<Vec<Value>>("the map")? {
            let mut entry = Portrait::new("ghash", entry)?;
            let key = entry.part("a key")?;
            table =
                table.with(key, entry.part("a value")?).map_err(|fault| wrong("ghash", fault))?;
        }
        Ok(Self(table))
    }
}
