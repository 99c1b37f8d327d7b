//! Async blocks in vats: programs that wait between their turns. Owns what resumes
//! them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use crate::cell::Outcome;
use crate::convert::{FromValue, IntoValue};
use crate::job::Handler;
use crate::reference::ActorCell;
use crate::trace::TurnId;
use crate::typed::Answer;
use crate::vat::VatCore;
use crate::{Fault, Promise, Resolver, Settling, Turn, Value, Vat, promise};

impl Turn<'_> {
    /// Starts an async block in this vat and gives a promise of what it comes to. Its
    /// first step is a turn of its own, after this one has ended well; if this one
    /// fails, the block never starts.
    ///
    /// The block may await anything: promises, [`Answer`]s, futures of any executor.
    /// Whenever it goes on after it has waited, that is a turn of this vat, on behalf of
    /// the actor that started it ([`Turn::me`]), which lives until the block has ended.
    /// Other turns come in between: what was true before an `.await` need not be after
    /// it.
    ///
    /// Each such step is a transaction. What it does through [`Here::turn`] takes effect
    /// when the block waits again or ends well. If the block ends with a fault, or
    /// panics, the step that it is in is undone and the promise breaks; the steps before
    /// stay as they are. The block's own variables are not part of the vat's state and
    /// are never rolled back.
    ///
    /// A block that nothing can wake any more is dropped, and its promise breaks; so it
    /// does when the vat stops. Nothing of it is stored with the vat's actors: what has to
    /// go on after a restart is for an actor's state.
    ///
    /// ```
    /// use vat_runtime::{Here, Manual, Vat, object};
    ///
    /// struct Adder;
    ///
    /// #[object(reference = AdderRef)]
    /// impl Adder {
    ///     #[method]
    ///     fn add(&self, one: i64, other: i64) -> i64 {
    ///         one + other
    ///     }
    /// }
    ///
    /// let hand = Manual::new();
    /// let vat = Vat::new("demo", hand.clone());
    /// let adder = AdderRef::spawn_in(&vat, Adder);
    ///
    /// let total = vat.spawn_async(async move |here: Here| {
    ///     let mut total = 0;
    ///     for by in 1..=3 {
    ///         let adder = adder.clone();
    ///         // Each goes on in another turn, once the answer is there.
    ///         total = here.ask(move |turn| adder.send(turn).add(total, by)).await?;
    ///     }
    ///     // Goes on in the same turn.
    ///     let vat = here.turn(|turn| Ok(turn.vat_name().to_owned())).await?;
    ///     Ok(format!("{total} in {vat}"))
    /// });
    /// hand.run_until_idle();
    /// assert_eq!(total.wait().as_deref(), Ok("6 in demo"));
    /// ```
    pub fn spawn_async<T, F, B>(&mut self, body: F) -> Answer<T>
    where
        T: IntoValue,
        F: FnOnce(Here) -> B + Send + 'static,
        B: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        let (vat, me) = self.place();
        let (promise, resolver) = promise();
        let block = Arc::new(Block { vat, me, state: Mutex::default() });
        let here = Here(Arc::downgrade(&block));
        {
            let mut state = block.lock();
            state.phase = Phase::Posted;
            state.answer = Some(resolver);
            state.program =
                Some(Box::pin(async move { body(here).await.map(IntoValue::into_value) }));
        }
        let first = block.clone();
        let made = self.on_promise(Value::Undefined, move |turn, _| first.step(turn));
        block.ends_with(&made);
        Answer::from_promise(promise)
    }
}

impl Vat {
    /// Starts an async block from outside: see [`Turn::spawn_async`].
    pub fn spawn_async<T, F, B>(&self, body: F) -> Answer<T>
    where
        T: IntoValue + 'static,
        F: FnOnce(Here) -> B + Send + 'static,
        B: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        let (promise, resolver) = promise();
        // What it comes to is known by the promise.
        drop(self.run(move |turn| {
            let answer = turn.spawn_async(body);
            turn.resolve(resolver, Ok(answer.into()));
            Ok(())
        }));
        Answer::from_promise(promise)
    }
}

/// The place of an async block: how it does things in the turns that it goes on in.
///
/// Used from elsewhere, by another task, say, it has the block make a step for it.
#[derive(Clone)]
pub struct Here(Weak<Block>);

impl Here {
    /// Does something in the turn in which the block goes on, and gives what comes of
    /// it at once: awaiting it does not end the turn.
    ///
    /// What the body does takes effect with the rest of the step. If it fails, what it
    /// did is undone by itself, and the block may handle the fault.
    pub fn turn<T, F>(&self, body: F) -> InTurn<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Turn<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let (settling, end) = Settling::new("the async block has ended");
        if let Some(block) = self.0.upgrade() {
            block.request(Box::new(move |turn| end.settle(turn.attempt(body))));
        }
        InTurn { settling, block: self.0.clone() }
    }

    /// Sends something in the turn in which the block goes on, and waits for the answer
    /// (`<<-`): the block goes on in another turn.
    ///
    /// # Errors
    ///
    /// The fault with which the call failed, or that its answer is no `T`.
    pub async fn ask<T, F>(&self, send: F) -> Result<T, Fault>
    where
        T: FromValue + 'static,
        F: FnOnce(&mut Turn<'_>) -> Answer<T> + Send + 'static,
    {
        self.turn(|turn| Ok(send(turn))).await?.await
    }
}

impl fmt::Debug for Here {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Here")
    }
}

/// What [`Here::turn`] gives.
#[must_use = "await it for what came of it"]
pub struct InTurn<T> {
    settling: Settling<T>,
    block: Weak<Block>,
}

impl<T> Future for InTurn<T> {
    type Output = Result<T, Fault>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The block asks again by itself after it has done what was requested: being
        // woken as well would make it a turn for nothing.
        let block = self.block.upgrade().map(Waker::from);
        let in_block = block.is_some_and(|block| context.waker().will_wake(&block));
        let settling = Pin::new(&mut self.settling);
        if in_block {
            settling.poll(&mut Context::from_waker(Waker::noop()))
        } else {
            settling.poll(context)
        }
    }
}

impl<T> fmt::Debug for InTurn<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InTurn")
    }
}

type Program = Pin<Box<dyn Future<Output = Outcome> + Send>>;
type Request = Box<dyn FnOnce(&mut Turn<'_>) + Send>;

/// An async block. Kept by those who may wake it, and by its next step: when both are
/// gone its resolver is dropped, which breaks its promise.
struct Block {
    vat: Arc<VatCore>,
    me: Option<Arc<ActorCell>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// Not there while a step is being made, nor after the last.
    program: Option<Program>,
    requests: Vec<Request>,
    answer: Option<Resolver>,
    /// The turn of the last step.
    turn: TurnId,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// Waits to be woken.
    #[default]
    Waiting,
    /// The next step is queued.
    Posted,
    /// A step is being made.
    Stepping,
    /// A step is being made, and there is reason for another.
    Woken,
    Ended,
}

impl Block {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request(self: Arc<Self>, request: Request) {
        let mut state = self.lock();
        if state.phase == Phase::Ended {
            drop(state);
            return drop(request);
        }
        state.requests.push(request);
        if state.phase == Phase::Waiting {
            state.phase = Phase::Posted;
            let turn = state.turn;
            drop(state);
            self.post(turn);
        }
    }

    /// Queues the next step, after that which was this turn.
    fn post(self: Arc<Self>, turn: TurnId) {
        let (made, answer) = promise();
        self.ends_with(&made);
        let (vat, me) = (self.vat.clone(), self.me.clone());
        let body = Box::new(move |turn: &mut Turn<'_>, _| self.step(turn));
        let (from, by) = (turn, TurnId::OUTSIDE);
        let (answer, outcome) = (Some(answer), Ok(Value::Undefined));
        Box::new(Handler { vat, body, me, answer, outcome, from, by }).post();
    }

    /// Ends the block if a step fails or is never made. Known by the promise of the
    /// step's turn, so that nobody hears of it before those who are told of that turn.
    fn ends_with(self: &Arc<Self>, made: &Promise) {
        let block = self.clone();
        made.when_settled(move |outcome| {
            if let Err(fault) = outcome
                && let Some(answer) = block.end().answer
            {
                answer.break_with(fault);
            }
        });
    }

    /// Takes everything out, for the last time. To be dropped with no lock held.
    fn end(&self) -> State {
        std::mem::replace(&mut *self.lock(), State { phase: Phase::Ended, ..State::default() })
    }

    /// Goes on with the program until it waits for something that is not of this turn.
    fn step(self: &Arc<Self>, turn: &mut Turn<'_>) -> Outcome {
        let mut state = self.lock();
        let Some(mut program) = state.program.take() else { return Ok(Value::Undefined) };
        state.phase = Phase::Stepping;
        state.turn = turn.id();
        drop(state);
        let waker = Waker::from(self.clone());
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(outcome) = program.as_mut().poll(&mut context) {
                drop(program);
                let value = outcome?;
                if let Some(answer) = self.end().answer {
                    turn.resolve(answer, Ok(value));
                }
                return Ok(Value::Undefined);
            }
            let mut state = self.lock();
            let requests = std::mem::take(&mut state.requests);
            if requests.is_empty() {
                state.program = Some(program);
                let woken = state.phase == Phase::Woken;
                state.phase = if woken { Phase::Posted } else { Phase::Waiting };
                drop(state);
                if woken {
                    self.clone().post(turn.id());
                }
                return Ok(Value::Undefined);
            }
            drop(state);
            requests.into_iter().for_each(|request| request(turn));
        }
    }
}

impl Wake for Block {
    fn wake(self: Arc<Self>) {
        let mut state = self.lock();
        match state.phase {
            Phase::Waiting => {
                state.phase = Phase::Posted;
                let turn = state.turn;
                drop(state);
                self.post(turn);
            }
            Phase::Stepping => state.phase = Phase::Woken,
            Phase::Posted | Phase::Woken | Phase::Ended => {}
        }
    }
}
