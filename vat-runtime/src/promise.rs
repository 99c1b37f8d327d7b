//! Promises and what settles them. Owns [`Promise`], [`Resolver`] and the future
//! with which code outside vats waits ([`Settling`]).

use std::fmt;
use std::future::{Future, IntoFuture};
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::cell::{Listener, Outcome, PromiseCell};
use crate::intake::{Load, Place};
use crate::reference::{Kind, Ref, ResolverCell};
use crate::sync::{Mutex, lock};
use crate::trace::TurnId;
use crate::{Args, Fault, Value};

/// What is sent to a reference: arguments and who wants the answer.
pub(crate) struct Message {
    pub(crate) args: Args,
    pub(crate) answer: Option<Resolver>,
    /// The turn that sent it.
    pub(crate) from: TurnId,
    /// What it counts against the session that it came by.
    pub(crate) load: Option<Load>,
}

impl Message {
    /// A message from this process.
    pub(crate) const fn new(args: Args, answer: Option<Resolver>, from: TurnId) -> Self {
        Self { args, answer, from, load: None }
    }

    /// Notes where the message waits from now on.
    pub(crate) fn wait_in(&mut self, place: Place) {
        if let Some(load) = &mut self.load {
            load.wait_in(place);
        }
    }

    /// Breaks the answer.
    pub(crate) fn refuse(self, fault: impl FnOnce() -> Fault) {
        if let Some(answer) = self.answer {
            answer.break_with(fault());
        }
    }
}

/// A reference to what something will come to: usable before it settles.
///
/// It is a future (`promise.await` under any executor) whose output is the value,
/// or the fault if the promise breaks. A promise resolved to another promise
/// settles when that one does. Dropping it loses interest and cancels nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use = "a promise tells how the message went; `send_only` asks for none"]
pub struct Promise(pub(crate) Ref);

impl Promise {
    /// A promise that is settled already.
    pub fn settled(outcome: Result<Value, Fault>) -> Self {
        let (promise, resolver) = promise();
        resolver.resolve(outcome);
        promise
    }

    /// The promise as a plain reference.
    #[must_use]
    pub fn into_ref(self) -> Ref {
        self.0
    }
}

impl Deref for Promise {
    type Target = Ref;

    fn deref(&self) -> &Ref {
        &self.0
    }
}

impl From<Promise> for Ref {
    fn from(promise: Promise) -> Self {
        promise.0
    }
}

/// A new promise and what settles it.
pub fn promise() -> (Promise, Resolver) {
    let cell = Arc::new(PromiseCell::default());
    (Promise(Ref(Kind::Promise(cell.clone()))), Resolver::of(cell))
}

/// Settles one promise, once. Dropping it unused breaks the promise, so that nobody
/// waits forever.
///
/// It takes effect at once. Within a turn use [`Turn::resolve`](crate::Turn::resolve),
/// which takes effect only if the turn ends well.
#[must_use = "dropping a resolver breaks its promise"]
pub struct Resolver(Option<Arc<PromiseCell>>);

impl Resolver {
    pub(crate) const fn of(cell: Arc<PromiseCell>) -> Self {
        Self(Some(cell))
    }

    /// The promise's state, which is there until the resolver is used up.
    pub(crate) fn cell(&self) -> Arc<PromiseCell> {
        self.0.clone().unwrap_or_default()
    }

    /// Settles the promise with a value. A promise makes it follow that promise; one
    /// that would follow itself breaks.
    pub fn fulfill(self, value: impl Into<Value>) {
        self.resolve(Ok(value.into()));
    }

    /// Breaks the promise.
    pub fn break_with(self, fault: impl Into<Fault>) {
        self.resolve(Err(fault.into()));
    }

    /// Settles the promise either way.
    pub fn resolve(mut self, outcome: Result<Value, Fault>) {
        if let Some(cell) = self.0.take() {
            cell.settle(outcome);
        }
    }

    /// What was to be found has not been: whoever waits is told, and it is looked for
    /// again when it is wanted again.
    pub(crate) fn disappoint(mut self, fault: &Fault) {
        if let Some(cell) = self.0.take() {
            cell.disappoint(fault);
        }
    }

    /// Lets go of the promise: another will settle it.
    pub(crate) fn leave(mut self) {
        self.0 = None;
    }

    /// The resolver as a capability that may be passed on: it answers to
    /// `['fulfill value]` and `['break error]`, once. It acts when the message is
    /// sent, not in a turn of its own.
    #[must_use]
    pub fn into_ref(self) -> Ref {
        Ref(Kind::Resolver(Arc::new(ResolverCell(Mutex::new(Some(self))))))
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        if let Some(cell) = self.0.take() {
            cell.settle(Err("the resolver was dropped".into()));
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

/// A future of what a promise or a queued turn comes to. Runs under any executor;
/// dropping it cancels nothing.
#[must_use = "futures do nothing unless awaited"]
pub struct Settling<T = Value>(Arc<Slot<T>>);

/// The sending end of a [`Settling`]. Dropped unused, it gives the fault that it
/// was made with.
pub(crate) struct SettlingEnd<T>(Option<Arc<Slot<T>>>);

struct Slot<T> {
    state: Mutex<SlotState<T>>,
    /// What is said when the end is dropped unused.
    unused: &'static str,
}

enum SlotState<T> {
    Waiting(Option<Waker>),
    Done(Option<Result<T, Fault>>),
}

impl<T> Settling<T> {
    pub(crate) fn new(unused: &'static str) -> (Self, SettlingEnd<T>) {
        let slot = Arc::new(Slot { state: Mutex::new(SlotState::Waiting(None)), unused });
        (Self(slot.clone()), SettlingEnd(Some(slot)))
    }

    /// Waits on this thread. Never call it in a turn, within
    /// [`drive`](crate::drive()) or on a thread that a scheduler needs: it may wait
    /// for a vat that waits for this thread.
    ///
    /// # Errors
    ///
    /// The fault with which the promise broke or the turn failed.
    pub fn wait(self) -> Result<T, Fault> {
        block_on(self)
    }
}

impl<T> SettlingEnd<T> {
    pub(crate) fn settle(mut self, outcome: Result<T, Fault>) {
        if let Some(slot) = self.0.take() {
            slot.put(outcome);
        }
    }
}

impl<T> Slot<T> {
    fn put(&self, outcome: Result<T, Fault>) {
        let mut state = lock(&self.state);
        let before = std::mem::replace(&mut *state, SlotState::Done(Some(outcome)));
        drop(state);
        if let SlotState::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<T> Drop for SettlingEnd<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            slot.put(Err(slot.unused.into()));
        }
    }
}

impl<T> Future for Settling<T> {
    type Output = Result<T, Fault>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.0.state);
        match &mut *state {
            SlotState::Waiting(Some(waker)) if waker.will_wake(context.waker()) => Poll::Pending,
            SlotState::Waiting(waker) => {
                let before = waker.replace(context.waker().clone());
                drop(state);
                drop(before);
                Poll::Pending
            }
            SlotState::Done(outcome) => outcome.take().map_or(Poll::Pending, Poll::Ready),
        }
    }
}

impl<T> fmt::Debug for Settling<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Settling")
    }
}

impl IntoFuture for Promise {
    type Output = Outcome;
    type IntoFuture = Settling;

    fn into_future(self) -> Settling {
        self.0.settling()
    }
}

impl IntoFuture for &Promise {
    type Output = Outcome;
    type IntoFuture = Settling;

    fn into_future(self) -> Settling {
        self.0.settling()
    }
}

impl Ref {
    /// A future of what this reference settles to; for an object, itself.
    pub fn settling(&self) -> Settling {
        let (settling, end) = Settling::new("nothing is left that could settle the promise");
        self.listen_with(Listener::Future(end));
        settling
    }

    /// Waits on this thread for what this reference settles to: see
    /// [`Settling::wait`].
    ///
    /// # Errors
    ///
    /// The fault with which the promise broke.
    pub fn wait(&self) -> Result<Value, Fault> {
        self.settling().wait()
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
