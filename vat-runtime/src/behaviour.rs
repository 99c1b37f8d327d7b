//! What an actor does with a message. Owns [`Behaviour`] and [`Reply`].

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::{Args, Fault, Turn, Value};

/// How an actor handles a message. Behaviours are immutable; an actor changes by
/// answering with its next behaviour ([`Reply::becomes`]).
///
/// Closures `Fn(&mut Turn<'_>, Args) -> Result<Reply, Fault>` are behaviours.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what it does with messages",
    note = "put `#[object]` on an `impl` of it, or implement `Behaviour`"
)]
pub trait Behaviour: Any + Send + Sync {
    /// Handles one message within a turn.
    ///
    /// An actor that is called again while it is handling a message (through a
    /// cycle of [`Turn::call`]) is called with the behaviour it has at that moment.
    /// Where both calls become something, the one that returns last wins.
    ///
    /// # Errors
    ///
    /// A fault undoes everything this call did, and breaks the answer with it
    /// unless a caller handles it.
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault>;

    /// What to call this kind of actor in logs and debuggers.
    fn name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

impl<F> Behaviour for F
where
    F: Fn(&mut Turn<'_>, Args) -> Result<Reply, Fault> + Send + Sync + 'static,
{
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        self(turn, args)
    }
}

/// What handling a message came to: a value for the sender and, if the actor
/// changes, its next behaviour.
pub struct Reply {
    pub(crate) value: Value,
    pub(crate) next: Option<Arc<dyn Behaviour>>,
}

impl Reply {
    /// Answers with a value; the actor stays as it is.
    pub fn value(value: impl Into<Value>) -> Self {
        Self { value: value.into(), next: None }
    }

    /// Becomes `next` and answers with nothing.
    pub fn becomes(next: impl Behaviour) -> Self {
        Self::become_with(next, Value::Undefined)
    }

    /// Becomes `next` and answers with a value.
    pub fn become_with(next: impl Behaviour, value: impl Into<Value>) -> Self {
        Self::become_shared(Arc::new(next), value)
    }

    /// Like [`Reply::become_with`] for a behaviour that is shared already, which
    /// costs no allocation.
    pub fn become_shared(next: Arc<dyn Behaviour>, value: impl Into<Value>) -> Self {
        Self { value: value.into(), next: Some(next) }
    }
}

impl<T: Into<Value>> From<T> for Reply {
    fn from(value: T) -> Self {
        Self::value(value)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("value", &self.value)
            .field("becomes", &self.next.as_ref().map(|next| next.name()))
            .finish()
    }
}
