//! A queue: first in, first out.

use rpds::QueueSync;

use super::arguments::{Call, Portrait};
use super::table::{DEFAULT_ENTRIES, full};
use crate::{Args, Behaviour, Durable, Fault, Reply, RestoreError, Turn, Value};

/// First in, first out: `enqueue value`, `dequeue` (a fault if there is nothing),
/// `length`, `empty?`.
///
/// A change shares all that it does not touch with what was before. The portrait is
/// the whole queue.
#[derive(Clone)]
pub struct Queue {
    items: QueueSync<Value>,
    limit: usize,
}

impl Queue {
    /// An empty queue of up to [`DEFAULT_ENTRIES`].
    #[must_use]
    pub fn new() -> Self {
        Self { items: QueueSync::new_sync(), limit: DEFAULT_ENTRIES }
    }

    /// The same queue with another limit.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self::new()
    }
}

impl Behaviour for Queue {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut call = Call::method("queue", args)?;
        match call.name() {
            "enqueue" => {
                let value = call.only("value")?;
                if self.items.len() >= self.limit {
                    return Err(call.fault(full(self.limit)));
                }
                Ok(Reply::becomes(Self { items: self.items.enqueue(value), limit: self.limit }))
            }
            "dequeue" => {
                call.end()?;
                let empty = || call.fault("the queue is empty");
                let first = self.items.peek().cloned().ok_or_else(empty)?;
                let items = self.items.dequeue().ok_or_else(empty)?;
                Ok(Reply::become_with(Self { items, limit: self.limit }, first))
            }
            "length" => {
                call.end()?;
                Ok((self.items.len() as u64).into())
            }
            "empty?" => {
                call.end()?;
                Ok(self.items.is_empty().into())
            }
            _ => call.otherwise("enqueue value, dequeue, length, empty?"),
        }
    }
}

impl Durable for Queue {
    fn portray(&self) -> Value {
        let items = self.items.iter().cloned().collect();
        Value::List(vec![(self.limit as u64).into(), Value::List(items)])
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("queue", portrait)?;
        let limit = portrait.part("the limit")?;
        let items: Vec<Value> = portrait.part("the elements")?;
        Ok(Self { items: items.into_iter().collect(), limit })
    }
}
