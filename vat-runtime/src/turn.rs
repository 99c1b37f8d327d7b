//! A turn: one message handled as a transaction. Owns what a turn has changed and
//! wants sent, and how that is committed or undone.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::actormap::{Actormap, Journal};
use crate::behaviour::Behaviour;
use crate::cell::{Listener, Outcome};
use crate::promise::{Message, Promise, Resolver, promise};
use crate::reference::{ActorCell, Kind, Ref};
use crate::vat::{Handler, VatCore};
use crate::{Args, Fault, Value};

/// What a behaviour does things with while it handles a message.
///
/// Everything done through it is one transaction: new behaviours, spawned actors,
/// messages, resolutions and handlers take effect together, in the order of the
/// program, when the turn ends well, and the turn's own answer last. If it ends
/// with a fault or a panic nothing takes effect and nothing is sent.
///
/// A [`Turn::call`] that fails is undone by itself, with everything it did, so a
/// caller that handles the fault goes on as if the call had not been made.
pub struct Turn<'t> {
    vat: &'t Arc<VatCore>,
    changes: &'t mut Changes,
    me: Option<&'t Arc<ActorCell>>,
    depth: usize,
}

/// The vat's actors and what the turn has done so far. Outside turns there is
/// nothing but the actors.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) actors: Actormap,
    journal: Journal,
    effects: Vec<Effect>,
    /// Calls that have begun and not returned. Left over only by a panic.
    open_calls: usize,
}

/// What happens outside the vat's map once the turn ends well.
enum Effect {
    Send(Ref, Message),
    Resolve(Resolver, Box<Outcome>),
    Listen(Ref, Box<Handler>),
    /// A handler of something that is no promise and no reference.
    Handle(Box<Handler>),
}

impl Effect {
    /// Whether this is a message from the vat to itself.
    fn stays_in(&self, vat: &Arc<VatCore>) -> bool {
        matches!(self, Self::Send(Ref(Kind::Actor(cell)), _) if Arc::ptr_eq(&cell.vat, vat))
    }
}

/// A point of a turn to go back to.
#[derive(Clone, Copy)]
struct Mark {
    journal: usize,
    effects: usize,
}

impl Turn<'_> {
    /// Calls an actor of this vat and waits for its answer (`$`).
    ///
    /// # Errors
    ///
    /// The callee's fault, with everything the call did undone; or a fault that says
    /// that the reference is not near (promises for near actors are, once settled)
    /// or that calls are nested deeper than [`Limits::call_depth`](crate::Limits).
    pub fn call(&mut self, to: &Ref, args: Args) -> Result<Value, Fault> {
        let Some(cell) = to.actor().filter(|cell| Arc::ptr_eq(&cell.vat, self.vat)) else {
            return Err("cannot call what is not near: send to it".into());
        };
        if self.depth >= self.vat.limits().call_depth {
            return Err("calls are nested too deep".into());
        }
        self.enter(cell, args)
    }

    fn enter(&mut self, cell: &Arc<ActorCell>, args: Args) -> Outcome {
        let Some((slot, behaviour)) =
            cell.slot().and_then(|slot| Some((slot, self.changes.actors.get(slot)?)))
        else {
            return Err("the actor does not exist".into());
        };
        let mark = self.changes.mark();
        self.changes.open_calls += 1;
        let mut inner =
            Turn { vat: self.vat, changes: self.changes, me: Some(cell), depth: self.depth + 1 };
        let result = behaviour.receive(&mut inner, args);
        self.changes.open_calls -= 1;
        match result {
            Ok(reply) => {
                if let Some(next) = reply.next {
                    self.changes.actors.put(slot, next, &mut self.changes.journal);
                }
                Ok(reply.value)
            }
            Err(fault) => {
                self.changes.undo(mark, &fault);
                Err(fault)
            }
        }
    }

    /// Sends a message (`<-`) and gives the promise of the answer, to which messages
    /// can be sent at once.
    pub fn send(&mut self, to: &Ref, args: Args) -> Promise {
        let (promise, resolver) = promise();
        self.deliver(to, args, Some(resolver));
        promise
    }

    /// Sends a message and wants no answer (`<-np`).
    pub fn send_only(&mut self, to: &Ref, args: Args) {
        self.deliver(to, args, None);
    }

    /// Sends a message whose answer goes to a resolver.
    pub fn deliver(&mut self, to: &Ref, args: Args, answer: Option<Resolver>) {
        self.changes.effects.push(Effect::Send(to.clone(), Message { args, answer }));
    }

    /// Runs the handler as a turn of this vat once the target has settled. A target
    /// that is not a promise is settled, to itself.
    ///
    /// The handler runs on behalf of the actor that registered it ([`Turn::me`]),
    /// which lives until then.
    pub fn on<F>(&mut self, target: impl Into<Value>, handler: F)
    where
        F: FnOnce(&mut Turn<'_>, Result<Value, Fault>) + Send + 'static,
    {
        let handler = |turn: &mut Turn<'_>, outcome: Outcome| {
            handler(turn, outcome);
            Ok(Value::Undefined)
        };
        self.listen(target.into(), Box::new(handler), None);
    }

    /// Like [`Turn::on`], and gives a promise of what the handler returns. A fault
    /// undoes the handler's turn and breaks the promise.
    pub fn on_promise<F>(&mut self, target: impl Into<Value>, handler: F) -> Promise
    where
        F: FnOnce(&mut Turn<'_>, Result<Value, Fault>) -> Result<Value, Fault> + Send + 'static,
    {
        let (promise, resolver) = promise();
        self.listen(target.into(), Box::new(handler), Some(resolver));
        promise
    }

    fn listen(&mut self, target: Value, body: crate::vat::HandlerBody, answer: Option<Resolver>) {
        let (vat, me) = (self.vat.clone(), self.me.cloned());
        let handler = |outcome| Box::new(Handler { vat, body, me, answer, outcome });
        self.changes.effects.push(match target {
            Value::Ref(target) => Effect::Listen(target, handler(Ok(Value::Undefined))),
            value => Effect::Handle(handler(Ok(value))),
        });
    }

    /// A new promise and what settles it. If the turn fails, and the resolver is
    /// dropped with it, the promise breaks.
    pub fn promise(&mut self) -> (Promise, Resolver) {
        promise()
    }

    /// Settles a promise when the turn ends well. If it fails, the promise breaks
    /// with the turn's fault: a resolver can't be handed back.
    pub fn resolve(&mut self, resolver: Resolver, outcome: Result<Value, Fault>) {
        self.changes.effects.push(Effect::Resolve(resolver, Box::new(outcome)));
    }

    /// Makes an actor of this vat. It can be called at once and exists for good when
    /// the turn ends well.
    pub fn spawn(&mut self, behaviour: impl Behaviour) -> Ref {
        self.spawn_shared(Arc::new(behaviour))
    }

    /// Like [`Turn::spawn`] for a behaviour that is shared already.
    pub fn spawn_shared(&mut self, behaviour: Arc<dyn Behaviour>) -> Ref {
        let changes = &mut *self.changes;
        let slot = changes.actors.reserve();
        if let Some(slot) = slot {
            changes.actors.put(slot, behaviour, &mut changes.journal);
        }
        Ref(Kind::Actor(Arc::new(ActorCell::new(self.vat.clone(), slot))))
    }

    /// The actor on whose behalf the turn runs. A turn that came from
    /// [`Vat::run`](crate::Vat::run) has none: a broken promise then.
    #[must_use]
    pub fn me(&self) -> Ref {
        self.me.map_or_else(
            || Promise::settled(Err("this turn belongs to no actor".into())).into_ref(),
            |cell| Ref(Kind::Actor(cell.clone())),
        )
    }

    /// Whether the reference designates an actor of this vat, so that it can be
    /// called. An unsettled promise does not.
    #[must_use]
    pub fn is_near(&self, reference: &Ref) -> bool {
        reference.actor().is_some_and(|cell| Arc::ptr_eq(&cell.vat, self.vat))
    }

    /// Does a part of the turn, which is undone by itself if it fails.
    pub(crate) fn attempt<T>(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mark = self.changes.mark();
        body(self).inspect_err(|fault| self.changes.undo(mark, fault))
    }

    /// Where the turn runs, and on whose behalf.
    pub(crate) fn place(&self) -> (Arc<VatCore>, Option<Arc<ActorCell>>) {
        (self.vat.clone(), self.me.cloned())
    }

    /// The name of the vat that the turn runs in.
    #[must_use]
    pub fn vat_name(&self) -> &str {
        self.vat.name()
    }
}

impl fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("vat", &self.vat_name()).field("depth", &self.depth).finish()
    }
}

impl Changes {
    const fn mark(&self) -> Mark {
        Mark { journal: self.journal.mark(), effects: self.effects.len() }
    }

    /// Takes back what happened since the mark.
    fn undo(&mut self, mark: Mark, fault: &Fault) {
        self.actors.undo(&mut self.journal, mark.journal);
        while self.effects.len() > mark.effects {
            match self.effects.pop() {
                Some(Effect::Send(_, Message { answer: Some(resolver), .. })) => {
                    resolver.break_with(fault.clone());
                }
                Some(Effect::Resolve(resolver, _)) => resolver.break_with(fault.clone()),
                Some(Effect::Listen(_, handler) | Effect::Handle(handler)) => handler.refuse(fault),
                Some(Effect::Send(_, Message { answer: None, .. })) | None => {}
            }
        }
    }

    fn commit(&mut self, vat: &Arc<VatCore>) {
        self.journal.commit();
        if self.effects.is_empty() {
            return;
        }
        // Taken out while they are done, and put back for its space.
        let mut done = std::mem::take(&mut self.effects);
        let mut effects = done.drain(..).peekable();
        loop {
            // What goes to this vat without anything else in between goes together.
            if effects.peek().is_some_and(|effect| effect.stays_in(vat)) {
                vat.post_messages(|| match effects.next_if(|effect| effect.stays_in(vat)) {
                    Some(Effect::Send(Ref(Kind::Actor(cell)), message)) => Some((cell, message)),
                    _ => None,
                });
            }
            match effects.next() {
                Some(Effect::Send(to, message)) => to.deliver_message(message),
                Some(Effect::Resolve(resolver, outcome)) => resolver.resolve(*outcome),
                Some(Effect::Listen(target, handler)) => {
                    target.listen_with(Listener::Handler(handler));
                }
                Some(Effect::Handle(handler)) => handler.post(),
                None => break,
            }
        }
        drop(effects);
        self.effects = done;
    }

    /// Runs a turn and commits or undoes it. What the caller does with the result
    /// (the turn's own answer) comes after all that the turn did.
    pub(crate) fn turn<T>(
        &mut self,
        vat: &Arc<VatCore>,
        me: Option<&Arc<ActorCell>>,
        body: impl FnOnce(&mut Turn<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut turn = Turn { vat, changes: self, me, depth: 0 };
        let result = catch_unwind(AssertUnwindSafe(|| body(&mut turn)));
        let result = match result {
            Ok(Ok(_)) if self.open_calls > 0 => {
                Err(Fault::from("a panic was caught within the turn"))
            }
            Ok(result) => result,
            Err(_) => {
                // What the panic says is local detail: it stays in this process.
                let actor = me.and_then(|cell| self.actors.get(cell.slot()?));
                let actor = actor.map_or("none", |behaviour| behaviour.name());
                tracing::error!(vat = vat.name(), actor, "a turn panicked");
                Err(Fault::from("the object failed"))
            }
        };
        self.open_calls = 0;
        match &result {
            Ok(_) => self.commit(vat),
            Err(fault) => self.undo(Mark { journal: 0, effects: 0 }, fault),
        }
        result
    }

    /// The turn in which an actor handles a message.
    pub(crate) fn receive(
        &mut self,
        vat: &Arc<VatCore>,
        to: &Arc<ActorCell>,
        args: Args,
    ) -> Outcome {
        self.turn(vat, Some(to), |turn| turn.enter(to, args))
    }

    /// Puts an actor in place from outside any turn.
    pub(crate) fn install(&mut self, cell: &ActorCell, behaviour: Arc<dyn Behaviour>) {
        if let Some(slot) = self.actors.reserve() {
            cell.place(slot);
            self.actors.put(slot, behaviour, &mut self.journal);
            self.journal.commit();
        }
    }
}
