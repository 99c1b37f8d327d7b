//! A ring buffer: the newest values, up to a number of them.

use rpds::QueueSync;

use super::arguments::{Call, Portrait};
use super::table::{DEFAULT_ENTRIES, full};
use crate::{Args, Behaviour, Durable, Fault, Reply, RestoreError, Turn, Value};

/// Keeps the newest values: `put value` (the oldest goes when it is full), `take` (the
/// oldest; a fault if there is none), `ref index` (from the oldest, 0), `head n` and
/// `tail n` (up to that many of the oldest or newest, in order), `length`, `capacity`,
/// `empty?`, `full?`, `resize capacity` (the newest stay), `clear`.
///
/// A change shares all that it does not touch with what was before. `ref`, `head` and
/// `tail` walk the buffer. The portrait is the whole buffer.
#[derive(Clone)]
pub struct RingBuffer {
    items: QueueSync<Value>,
    capacity: usize,
    limit: usize,
}

impl RingBuffer {
    /// An empty buffer. It can be resized up to [`DEFAULT_ENTRIES`], or the capacity
    /// that it begins with if that is more.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { items: QueueSync::new_sync(), capacity, limit: DEFAULT_ENTRIES.max(capacity) }
    }

    /// The same buffer with another limit to its capacity.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    fn becoming(&self, mut items: QueueSync<Value>, capacity: usize) -> Self {
        while items.len() > capacity {
            items.dequeue_mut();
        }
        Self { items, capacity, limit: self.limit }
    }

    fn list<'a>(items: impl Iterator<Item = &'a Value>) -> Reply {
        Value::List(items.cloned().collect()).into()
    }

    /// The methods that change nothing.
    fn read(&self, call: &mut Call) -> Result<Reply, Fault> {
        match call.name() {
            "ref" => {
                let index: usize = call.only("index")?;
                let out = || call.fault(format_args!("there is no index {index}"));
                Ok(self.items.iter().nth(index).cloned().ok_or_else(out)?.into())
            }
            "head" => {
                let amount = call.only("amount")?;
                Ok(Self::list(self.items.iter().take(amount)))
            }
            "tail" => {
                let amount: usize = call.only("amount")?;
                let skipped = self.items.len().saturating_sub(amount);
                Ok(Self::list(self.items.iter().skip(skipped)))
            }
            name => {
                let answer: Value = match name {
                    "length" => (self.items.len() as u64).into(),
                    "capacity" => (self.capacity as u64).into(),
                    "empty?" => self.items.is_empty().into(),
                    "full?" => (self.items.len() == self.capacity).into(),
                    _ => {
                        return call.otherwise(
                            "put v, take, ref index, head n, tail n, length, capacity, empty?, \
                             full?, resize capacity, clear",
                        );
                    }
                };
                call.end()?;
                Ok(answer.into())
            }
        }
    }
}

impl Behaviour for RingBuffer {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut call = Call::method("ring-buffer", args)?;
        match call.name() {
            "put" => {
                let items = self.items.enqueue(call.only("value")?);
                Ok(Reply::becomes(self.becoming(items, self.capacity)))
            }
            "take" => {
                call.end()?;
                let empty = || call.fault("the buffer is empty");
                let first = self.items.peek().cloned().ok_or_else(empty)?;
                let items = self.items.dequeue().ok_or_else(empty)?;
                Ok(Reply::become_with(self.becoming(items, self.capacity), first))
            }
            "resize" => {
                let capacity = call.only("capacity")?;
                if capacity > self.limit {
                    return Err(call.fault(full(self.limit)));
                }
                Ok(Reply::becomes(self.becoming(self.items.clone(), capacity)))
            }
            "clear" => {
                call.end()?;
                Ok(Reply::becomes(self.becoming(QueueSync::new_sync(), self.capacity)))
            }
            _ => self.read(&mut call),
        }
    }
}

impl Durable for RingBuffer {
    fn portray(&self) -> Value {
        let items = self.items.iter().cloned().collect();
        let numbers = [self.limit as u64, self.capacity as u64].map(Value::from);
        let [limit, capacity] = numbers;
        Value::List(vec![limit, capacity, Value::List(items)])
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("ring-buffer", portrait)?;
        let limit = portrait.part("the limit")?;
        let capacity = portrait.part("the capacity")?;
        let items: Vec<Value> = portrait.part("the elements")?;
        let empty = Self { items: QueueSync::new_sync(), capacity, limit };
        Ok(empty.becoming(items.into_iter().collect(), capacity))
    }
}
