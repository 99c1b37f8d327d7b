//! What to do when a promise settles: `on` with a handler for each case. Owns [`On`].

use crate::cell::Outcome;
use crate::promise::{Promise, promise};
use crate::reference::Ref;
use crate::turn::Turn;
use crate::{Fault, Value};

type Reaction<A> = Box<dyn FnOnce(&mut Turn<'_>, A) -> Outcome + Send>;

/// Handlers to be set up for something that settles (`on`): see [`Turn::when`].
///
/// Each handler is a closure, which runs as a turn of this vat on behalf of the actor
/// that set it up, or an actor, which is sent a message with the same arguments.
/// Nothing is set up before [`On::listen`] or [`On::promise`] says so.
///
/// ```
/// use vat_runtime::{Actormap, Fault, Value};
///
/// let am = Actormap::new();
/// let told = am.run_and_commit(|turn| {
///     let (vow, resolver) = turn.promise();
///     let told = turn
///         .when(vow)
///         .fulfilled(|_turn, value| Ok(value))
///         .broken(|_turn, fault| Ok(format!("caught: {fault}")))
///         .finally(|_turn| Ok(()))
///         .promise();
///     turn.resolve(resolver, Err("no".into()));
///     Ok(told)
/// })?;
/// am.churn();
/// assert_eq!(told.outcome(), Some(Ok("caught: no".into())));
/// # Ok::<(), Fault>(())
/// ```
#[must_use = "handlers are set up by `listen` or `promise`"]
pub struct On<'a, 't> {
    turn: &'a mut Turn<'t>,
    target: Value,
    fulfilled: Option<Reaction<Value>>,
    broken: Option<Reaction<Fault>>,
    finally: Option<Reaction<()>>,
}

impl<'t> Turn<'t> {
    /// Sets up handlers for when the target settles (`on`). A target that is not a
    /// promise is settled, to itself. For a single handler of either outcome there is
    /// [`Turn::on`].
    pub fn when<'a>(&'a mut self, target: impl Into<Value>) -> On<'a, 't> {
        On { turn: self, target: target.into(), fulfilled: None, broken: None, finally: None }
    }
}

impl On<'_, '_> {
    /// What to do if the target is fulfilled.
    pub fn fulfilled<F, T>(mut self, handler: F) -> Self
    where
        F: FnOnce(&mut Turn<'_>, Value) -> Result<T, Fault> + Send + 'static,
        T: Into<Value>,
    {
        self.fulfilled = Some(Box::new(|turn, value| handler(turn, value).map(Into::into)));
        self
    }

    /// Whom to send the value to if the target is fulfilled.
    pub fn fulfilled_to(mut self, handler: &Ref) -> Self {
        let handler = handler.clone();
        self.fulfilled =
            Some(Box::new(move |turn, value| Ok(turn.send(&handler, vec![value]).into())));
        self
    }

    /// What to do if the target breaks (`#:catch`).
    pub fn broken<F, T>(mut self, handler: F) -> Self
    where
        F: FnOnce(&mut Turn<'_>, Fault) -> Result<T, Fault> + Send + 'static,
        T: Into<Value>,
    {
        self.broken = Some(Box::new(|turn, fault| handler(turn, fault).map(Into::into)));
        self
    }

    /// Whom to send the break reason to if the target breaks.
    pub fn broken_to(mut self, handler: &Ref) -> Self {
        let handler = handler.clone();
        self.broken = Some(Box::new(move |turn, fault| {
            Ok(turn.send(&handler, vec![fault.into_value()]).into())
        }));
        self
    }

    /// What to do when the target has settled either way, after the other handler, in a
    /// turn of its own: also if that one fails. What it comes to is of no interest.
    pub fn finally<F, T>(mut self, handler: F) -> Self
    where
        F: FnOnce(&mut Turn<'_>) -> Result<T, Fault> + Send + 'static,
        T: Into<Value>,
    {
        self.finally = Some(Box::new(|turn, ()| handler(turn).map(Into::into)));
        self
    }

    /// Whom to send a message without arguments to when the target has settled either
    /// way.
    pub fn finally_to(mut self, handler: &Ref) -> Self {
        let handler = handler.clone();
        self.finally = Some(Box::new(move |turn, ()| {
            turn.send_only(&handler, Vec::new());
            Ok(Value::Undefined)
        }));
        self
    }

    /// Sets the handlers up.
    pub fn listen(self) {
        let Self { turn, target, fulfilled, broken, finally } = self;
        if fulfilled.is_some() || broken.is_some() {
            let handler = |turn: &mut Turn<'_>, outcome| react(turn, outcome, fulfilled, broken);
            turn.listen(target.clone(), Box::new(handler), None);
        }
        afterwards(turn, target, finally);
    }

    /// Sets the handlers up and gives a promise of what the one that runs comes to
    /// (`#:promise? #t`). Where there is no handler for what happens, the promise settles
    /// as the target does.
    pub fn promise(self) -> Promise {
        let Self { turn, target, fulfilled, broken, finally } = self;
        let (promise, resolver) = promise();
        let handler = |turn: &mut Turn<'_>, outcome| react(turn, outcome, fulfilled, broken);
        turn.listen(target.clone(), Box::new(handler), Some(resolver));
        afterwards(turn, target, finally);
        promise
    }
}

fn react(
    turn: &mut Turn<'_>,
    outcome: Outcome,
    fulfilled: Option<Reaction<Value>>,
    broken: Option<Reaction<Fault>>,
) -> Outcome {
    match (outcome, fulfilled, broken) {
        (Ok(value), Some(handler), _) => handler(turn, value),
        (Err(fault), _, Some(handler)) => handler(turn, fault),
        (outcome, ..) => outcome,
    }
}

fn afterwards(turn: &mut Turn<'_>, target: Value, finally: Option<Reaction<()>>) {
    if let Some(handler) = finally {
        turn.listen(target, Box::new(|turn, _outcome| handler(turn, ())), None);
    }
}

impl std::fmt::Debug for On<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("On").field("target", &self.target).finish_non_exhaustive()
    }
}
