//! `kv`: values by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use ocapn::{Args, Behaviour, Fault, Reply, Turn, Value};

use super::arguments::{Call, Name, unknown};

#[derive(Clone, Default)]
pub(super) struct Kv(Arc<BTreeMap<String, Value>>);

impl Kv {
    fn changed<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Value>) -> T) -> (Self, T) {
        let mut next = self.clone();
        let made = change(Arc::make_mut(&mut next.0));
        (next, made)
    }
}

impl Behaviour for Kv {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let (method, mut call) = Call::method("kv", args)?;
        match method.as_str() {
            "set" => {
                let Name(key) = call.required("key")?;
                let value: Value = call.required("value")?;
                call.end()?;
                let (next, _) = self.changed(|entries| entries.insert(key, value));
                Ok(Reply::becomes(next))
            }
            "get" => {
                let Name(key) = call.required("key")?;
                let value = self.0.get(&key).cloned();
                let value = value
                    .ok_or_else(|| call.fault(format_args!("there is nothing under {key:?}")))?;
                call.end()?;
                Ok(value.into())
            }
            "keys" | "list" => {
                call.end()?;
                let keys: Vec<Value> = self.0.keys().map(|key| key.as_str().into()).collect();
                Ok(Value::List(keys).into())
            }
            "delete" => {
                let Name(key) = call.required("key")?;
                call.end()?;
                let (next, before) = self.changed(|entries| entries.remove(&key));
                Ok(Reply::become_with(next, before.is_some()))
            }
            _ => Err(unknown("kv", &method, "set k v, get k, keys, delete k")),
        }
    }
}
