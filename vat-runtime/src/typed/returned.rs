//! What methods may return. Owns [`Returned`] and [`Become`].

use crate::convert::IntoValue;
use crate::{Behaviour, Fault, Reply};

/// Answers with `answer` and becomes `next`: what a method with `&self` returns to
/// change its actor. A method with `&mut self` needs it only to become something else
/// altogether.
///
/// ```
/// use vat_runtime::{Become, interface, object};
///
/// #[interface]
/// trait Counter {
///     fn add(&self, by: i64) -> Become<Self, i64>;
/// }
///
/// struct Count(i64);
///
/// #[object]
/// impl Counter for Count {
///     fn add(&self, by: i64) -> Become<Self, i64> {
///         let count = self.0 + by;
///         Become::new(Count(count)).and(count)
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "nothing changes until it is returned"]
pub struct Become<S, T = ()> {
    /// The next behaviour.
    pub next: S,
    /// The answer.
    pub answer: T,
}

impl<S> Become<S> {
    /// Becomes `next` and answers with nothing.
    pub const fn new(next: S) -> Self {
        Self { next, answer: () }
    }

    /// The same with an answer.
    pub fn and<T>(self, answer: T) -> Become<S, T> {
        Become { next: self.next, answer }
    }
}

/// What a method of an object may return: what can be passed, [`Become`], [`Reply`], or
/// a `Result` of one of these with an error that makes a [`Fault`].
#[diagnostic::on_unimplemented(
    message = "a method can't return `{Self}`",
    note = "it returns what can be passed in a message (derive `Passable` for it), \
            `Become<Self, T>`, `Answer<T>` or a `Result` of these"
)]
pub trait Returned {
    /// What the message came to.
    ///
    /// # Errors
    ///
    /// The fault that the method returned.
    fn into_reply(self) -> Result<Reply, Fault>;
}

impl<T: IntoValue> Returned for T {
    fn into_reply(self) -> Result<Reply, Fault> {
        Ok(Reply::value(self.into_value()))
    }
}

impl<T: Returned, E: Into<Fault>> Returned for Result<T, E> {
    fn into_reply(self) -> Result<Reply, Fault> {
        self.map_err(E::into)?.into_reply()
    }
}

impl<S: Behaviour, T: IntoValue> Returned for Become<S, T> {
    fn into_reply(self) -> Result<Reply, Fault> {
        Ok(Reply::become_with(self.next, self.answer.into_value()))
    }
}

impl Returned for Reply {
    fn into_reply(self) -> Result<Reply, Fault> {
        Ok(self)
    }
}
