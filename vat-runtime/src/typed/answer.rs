//! Promises that know what they will come to. Owns [`Answer`].

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::convert::{FromValue, IntoValue, Mismatch, Type, Typed};
use crate::typed::TypedRef;
use crate::{Fault, Promise, Ref, Settling, Turn, Value};

/// A promise of a `T`: what a call of a typed reference gives, and what a method may
/// answer with.
///
/// - Outside of turns it is a future (`answer.await`), and [`Answer::wait`] blocks.
/// - Within turns [`Answer::on`] runs a handler in a turn of its own.
/// - If `T` is a typed reference, [`Answer::cap`] can be called at once.
///
/// What it comes to is checked when it is looked at: a value that is no `T` is a
/// [`Fault`] then. Dropping it loses interest and cancels nothing.
#[must_use = "an answer tells how the call went; `ignore` it or `send_only` instead"]
pub struct Answer<T = Value> {
    promise: Promise,
    of: PhantomData<fn() -> T>,
}

impl<T> Answer<T> {
    /// The promise, said to be of a `T`.
    pub const fn from_promise(promise: Promise) -> Self {
        Self { promise, of: PhantomData }
    }

    /// The promise without its type.
    #[allow(clippy::missing_const_for_fn, reason = "a detail")]
    pub fn promise(&self) -> &Promise {
        &self.promise
    }

    /// The promise without its type, owned.
    pub fn into_promise(self) -> Promise {
        self.promise
    }

    /// Wants no answer after all. The call goes on.
    pub fn ignore(self) {}
}

impl<T: IntoValue> Answer<T> {
    /// An answer that is there already.
    pub fn ready(value: T) -> Self {
        Self::from_promise(Promise::settled(Ok(value.into_value())))
    }
}

impl<T: TypedRef> Answer<T> {
    /// The object that the answer will be, to call at once: messages to it wait with
    /// the promise, or are on their way to the peer that will make it, before anything
    /// has come back.
    #[must_use]
    pub fn cap(&self) -> T {
        T::from_ref(self.promise.clone().into_ref())
    }
}

impl<T: FromValue> Answer<T> {
    /// Waits on this thread: see [`Settling::wait`] for where not to.
    ///
    /// # Errors
    ///
    /// The fault with which the call failed, or that its answer is no `T`.
    pub fn wait(&self) -> Result<T, Fault> {
        self.promise.wait().and_then(checked)
    }

    /// What the call has come to, if it has.
    #[must_use]
    pub fn outcome(&self) -> Option<Result<T, Fault>> {
        self.promise.outcome().map(|outcome| outcome.and_then(checked))
    }

    /// Runs the handler as a turn of this vat once the answer is there: as
    /// [`Turn::on`].
    pub fn on<F>(&self, turn: &mut Turn<'_>, handler: F)
    where
        F: FnOnce(&mut Turn<'_>, Result<T, Fault>) + Send + 'static,
    {
        turn.on(&self.promise, |turn, outcome| handler(turn, outcome.and_then(checked)));
    }

    /// Like [`Answer::on`], and gives a promise of what the handler returns: as
    /// [`Turn::on_promise`].
    pub fn on_promise<U, F>(&self, turn: &mut Turn<'_>, handler: F) -> Answer<U>
    where
        U: IntoValue,
        F: FnOnce(&mut Turn<'_>, Result<T, Fault>) -> Result<U, Fault> + Send + 'static,
    {
        Answer::from_promise(turn.on_promise(&self.promise, |turn, outcome| {
            handler(turn, outcome.and_then(checked)).map(U::into_value)
        }))
    }
}

/// The answer, if it is of the type that it ought to be.
pub(super) fn checked<T: FromValue>(value: Value) -> Result<T, Fault> {
    T::from_value(value).map_err(|wrong| wrong.within("the answer").into())
}

impl<T> Clone for Answer<T> {
    fn clone(&self) -> Self {
        Self::from_promise(self.promise.clone())
    }
}

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Answer").field(&self.promise.0).finish()
    }
}

impl<T> From<Promise> for Answer<T> {
    fn from(promise: Promise) -> Self {
        Self::from_promise(promise)
    }
}

impl<T> From<Answer<T>> for Promise {
    fn from(answer: Answer<T>) -> Self {
        answer.promise
    }
}

impl<T> From<Answer<T>> for Ref {
    fn from(answer: Answer<T>) -> Self {
        answer.promise.into_ref()
    }
}

impl<T> From<Answer<T>> for Value {
    fn from(answer: Answer<T>) -> Self {
        answer.promise.into()
    }
}

impl<T> From<&Answer<T>> for Value {
    fn from(answer: &Answer<T>) -> Self {
        (&answer.promise).into()
    }
}

impl<T: Typed> Typed for Answer<T> {
    const TYPE: &'static Type = &Type::Promise(T::TYPE);
}

impl<T: Typed> IntoValue for Answer<T> {
    fn into_value(self) -> Value {
        self.into()
    }
}

/// Takes every value: what is no promise is one that has settled.
impl<T: Typed> FromValue for Answer<T> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        Promise::from_value(value).map(Self::from_promise)
    }
}

/// A future of what a call comes to. Runs under any executor; dropping it cancels
/// nothing.
#[must_use = "futures do nothing unless awaited"]
pub struct Answering<T> {
    settling: Settling,
    of: PhantomData<fn() -> T>,
}

impl<T: FromValue> Future for Answering<T> {
    type Output = Result<T, Fault>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.settling).poll(context).map(|outcome| outcome.and_then(checked))
    }
}

impl<T> fmt::Debug for Answering<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answering")
    }
}

impl<T: FromValue> IntoFuture for Answer<T> {
    type Output = Result<T, Fault>;
    type IntoFuture = Answering<T>;

    fn into_future(self) -> Answering<T> {
        Answering { settling: self.promise.settling(), of: PhantomData }
    }
}

impl<T: FromValue> IntoFuture for &Answer<T> {
    type Output = Result<T, Fault>;
    type IntoFuture = Answering<T>;

    fn into_future(self) -> Answering<T> {
        Answering { settling: self.promise.settling(), of: PhantomData }
    }
}
