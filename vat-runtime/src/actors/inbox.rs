//! An inbox: messages that are read, perhaps before they are written.

use rpds::QueueSync;

use super::arguments::{Call, Portrait};
use super::table::full;
use crate::{Args, Behaviour, Durable, Fault, Ref, Reply, RestoreError, Symbol, Turn, Value};

/// How many messages, or readers, wait in an inbox before it refuses more, where
/// nothing else is said.
pub const DEFAULT_INBOX: usize = 4096;

const CLOSED: &str = "the inbox is closed";

/// Makes the three sides of an inbox: a reader (called with nothing, it gives the oldest
/// message, or a promise of the next one if there is none), a writer (called with a
/// message), and a stopper (called with nothing: what is there is dropped, who waits is
/// told, and the inbox is closed for good).
///
/// Up to `limit` messages wait, and up to `limit` readers. Readers that wait are not
/// durable: their promises break.
pub fn inbox(turn: &mut Turn<'_>, limit: usize) -> (Ref, Ref, Ref) {
    let inbox = turn.spawn(Inbox::Open {
        messages: QueueSync::new_sync(),
        waiting: QueueSync::new_sync(),
        limit,
    });
    let mut side = |method| turn.spawn(Side { inbox: inbox.clone(), method });
    let reader = side("read");
    let writer = side("write");
    (reader, writer, side("stop"))
}

/// What is behind the three sides, and known to them alone.
pub(crate) enum Inbox {
    Open {
        messages: QueueSync<Value>,
        /// The resolvers of those who wait for messages.
        waiting: QueueSync<Ref>,
        limit: usize,
    },
    Closed,
}

impl Behaviour for Inbox {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut call = Call::method("inbox", args)?;
        let Self::Open { messages, waiting, limit } = self else {
            return Err(CLOSED.into());
        };
        let becoming = |messages: QueueSync<Value>, waiting: QueueSync<Ref>| Self::Open {
            messages,
            waiting,
            limit: *limit,
        };
        match call.name() {
            "read" => {
                call.end()?;
                if let (Some(first), Some(rest)) = (messages.peek(), messages.dequeue()) {
                    return Ok(Reply::become_with(becoming(rest, waiting.clone()), first.clone()));
                }
                if waiting.len() >= *limit {
                    return Err(full(*limit));
                }
                let (promise, resolver) = turn.promise();
                let waiting = waiting.enqueue(resolver.into_ref());
                Ok(Reply::become_with(becoming(messages.clone(), waiting), promise))
            }
            "write" => {
                let message: Value = call.only("message")?;
                if let (Some(first), Some(rest)) = (waiting.peek(), waiting.dequeue()) {
                    turn.send_only(first, vec![Value::symbol("fulfill"), message]);
                    return Ok(Reply::becomes(becoming(messages.clone(), rest)));
                }
                if messages.len() >= *limit {
                    return Err(full(*limit));
                }
                Ok(Reply::becomes(becoming(messages.enqueue(message), waiting.clone())))
            }
            "stop" => {
                call.end()?;
                for reader in waiting {
                    turn.send_only(reader, vec![Value::symbol("break"), Value::error(CLOSED)]);
                }
                Ok(Reply::becomes(Self::Closed))
            }
            _ => call.otherwise("read, write message, stop"),
        }
    }
}

impl Durable for Inbox {
    fn portray(&self) -> Value {
        match self {
            Self::Open { messages, limit, .. } => {
                let messages = messages.iter().cloned().collect();
                Value::List(vec![(*limit as u64).into(), Value::List(messages)])
            }
            Self::Closed => Value::List(Vec::new()),
        }
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        if matches!(&portrait, Value::List(parts) if parts.is_empty()) {
            return Ok(Self::Closed);
        }
        let mut portrait = Portrait::new("inbox", portrait)?;
        let limit = portrait.part("the limit")?;
        let messages: Vec<Value> = portrait.part("the messages")?;
        let messages = messages.into_iter().collect();
        Ok(Self::Open { messages, waiting: QueueSync::new_sync(), limit })
    }
}

/// One side of an inbox.
pub(crate) struct Side {
    inbox: Ref,
    method: &'static str,
}

impl Behaviour for Side {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let args = std::iter::once(Value::symbol(self.method)).chain(args).collect();
        turn.call(&self.inbox, args).map(Reply::value)
    }
}

impl Durable for Side {
    fn portray(&self) -> Value {
        Value::List(vec![(&self.inbox).into(), Value::symbol(self.method)])
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("inbox side", portrait)?;
        let inbox = portrait.part("the inbox")?;
        let method: Symbol = portrait.part("the method")?;
        let method = ["read", "write", "stop"].into_iter().find(|side| *side == method.as_str());
        let method = method.ok_or_else(|| RestoreError::new("an inbox has no such side"))?;
        Ok(Self { inbox, method })
    }
}
