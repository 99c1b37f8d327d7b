//! A set of values: references are told apart by what they designate.

use super::arguments::{Call, Portrait, wrong};
use super::table::{DEFAULT_ENTRIES, Table};
use crate::{Args, Behaviour, Durable, Fault, Reply, RestoreError, Turn, Value};

/// A set: `add value`, `remove value`, `member? value`, `as-list`, in the order in
/// which they were added.
///
/// Values are the same if they are equal; references if they designate the same
/// thing. A change shares all that it does not touch with what was before. The
/// portrait is the whole set.
#[derive(Clone)]
pub struct Set(Table<()>);

impl Set {
    /// An empty set of up to [`DEFAULT_ENTRIES`].
    #[must_use]
    pub fn new() -> Self {
        Self(Table::new(DEFAULT_ENTRIES))
    }

    /// The same set with another limit.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self(self.0.with_limit(limit))
    }
}

impl Default for Set {
    fn default() -> Self {
        Self::new()
    }
}

impl Behaviour for Set {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut call = Call::method("set", args)?;
        match call.name() {
            "add" => {
                let added = self.0.with(call.only("value")?, ());
                Ok(Reply::becomes(Self(added.map_err(|fault| call.fault(fault))?)))
            }
            "remove" => Ok(match self.0.without(call.only("value")?) {
                Some(rest) => Reply::becomes(Self(rest)),
                None => ().into(),
            }),
            "member?" => Ok(self.0.get(call.only("value")?).is_some().into()),
            "as-list" => {
                call.end()?;
                Ok(Value::List(self.0.keys()).into())
            }
            _ => call.otherwise("add value, remove value, member? value, as-list"),
        }
    }
}

impl Durable for Set {
    fn portray(&self) -> Value {
        Value::List(vec![(self.0.limit() as u64).into(), Value::List(self.0.keys())])
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("set", portrait)?;
        let mut table = Table::new(portrait.part("the limit")?);
        for value in portrait.part::<Vec<Value>>("the set")? {
            table = table.with(value, ()).map_err(|fault| wrong("set", fault))?;
        }
        Ok(Self(table))
    }
}
