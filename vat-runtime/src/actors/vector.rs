//! A vector: values by index.

use rpds::VectorSync;

use super::arguments::{Call, Portrait};
use super::table::{DEFAULT_ENTRIES, full};
use crate::{Args, Behaviour, Durable, Fault, Reply, RestoreError, Turn, Value};

/// Values by index, from 0: `ref index`, `set index value`, `length`, `as-list`,
/// `resize size [fill]`, `fill value`.
///
/// A change shares all that it does not touch with what was before. The portrait is
/// the whole vector; where elements change one at a time and are many, a vector of
/// [`Cell`](super::Cell)s writes less.
#[derive(Clone)]
pub struct Vector {
    items: VectorSync<Value>,
    limit: usize,
}

impl Vector {
    /// A vector of that many times the same value. It can be resized up to
    /// [`DEFAULT_ENTRIES`], or the size that it begins with if that is more.
    pub fn new(size: usize, fill: impl Into<Value>) -> Self {
        let fill = fill.into();
        let items = std::iter::repeat_n(fill, size).collect();
        Self { items, limit: DEFAULT_ENTRIES.max(size) }
    }

    /// The same vector with another limit.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    fn becoming(&self, items: VectorSync<Value>) -> Reply {
        Reply::becomes(Self { items, limit: self.limit })
    }

    fn resized(&self, size: usize, fill: &Value) -> Result<VectorSync<Value>, Fault> {
        if size > self.limit {
            return Err(full(self.limit));
        }
        let mut items = self.items.clone();
        while items.len() > size {
            items.drop_last_mut();
        }
        while items.len() < size {
            items.push_back_mut(fill.clone());
        }
        Ok(items)
    }
}

impl Behaviour for Vector {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut call = Call::method("vector", args)?;
        let out = |call: &Call, index| {
            call.fault(format_args!(
                "there is no index {index} in a length of {}",
                self.items.len()
            ))
        };
        match call.name() {
            "ref" => {
                let index = call.only("index")?;
                let item = self.items.get(index).cloned();
                Ok(item.ok_or_else(|| out(&call, index))?.into())
            }
            "set" => {
                let index = call.required("index")?;
                let value = call.only("value")?;
                let items = self.items.set(index, value);
                Ok(self.becoming(items.ok_or_else(|| out(&call, index))?))
            }
            "length" => {
                call.end()?;
                Ok((self.items.len() as u64).into())
            }
            "as-list" => {
                call.end()?;
                Ok(Value::List(self.items.iter().cloned().collect()).into())
            }
            "resize" => {
                let size = call.required("size")?;
                let fill = call.optional("fill")?.unwrap_or_default();
                call.end()?;
                let items = self.resized(size, &fill).map_err(|fault| call.fault(fault))?;
                Ok(self.becoming(items))
            }
            "fill" => {
                let fill: Value = call.only("value")?;
                Ok(self.becoming(std::iter::repeat_n(fill, self.items.len()).collect()))
            }
            _ => call
                .otherwise("ref index, set index v, length, as-list, resize size [fill], fill v"),
        }
    }
}

impl Durable for Vector {
    fn portray(&self) -> Value {
        let items = self.items.iter().cloned().collect();
        Value::List(vec![(self.limit as u64).into(), Value::List(items)])
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("vector", portrait)?;
        let limit = portrait.part("the limit")?;
        let items: Vec<Value> = portrait.part("the elements")?;
        Ok(Self { items: items.into_iter().collect(), limit })
    }
}
