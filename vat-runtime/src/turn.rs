//! A turn: one message handled as a transaction. Owns what a behaviour can do while it
//! handles a message ([`Turn`]).

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::behaviour::Behaviour;
use crate::cell::Outcome;
use crate::changes::{Changes, Effect};
use crate::job::{Handler, HandlerBody};
use crate::promise::{Message, Promise, Resolver, promise};
use crate::reference::{ActorCell, Kind, Ref};
use crate::trace::TurnId;
use crate::vat::VatCore;
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

impl<'t> Turn<'t> {
    /// A turn on behalf of an actor or of nobody.
    pub(crate) const fn new(
        vat: &'t Arc<VatCore>,
        changes: &'t mut Changes,
        me: Option<&'t Arc<ActorCell>>,
    ) -> Self {
        Self { vat, changes, me, depth: 0 }
    }
}

impl Turn<'_> {
    /// Calls an actor of this vat and waits for its answer (`$`).
    ///
    /// A resolver can be called too, and answers with nothing: it settles its promise
    /// when the turn ends well.
    ///
    /// # Errors
    ///
    /// The callee's fault, with everything the call did undone; or a fault that says
    /// that the reference is not near (promises for near actors are, once settled)
    /// or that calls are nested deeper than [`Limits::call_depth`](crate::Limits).
    pub fn call(&mut self, to: &Ref, args: Args) -> Result<Value, Fault> {
        let Some(cell) = to.actor().filter(|cell| Arc::ptr_eq(&cell.vat, self.vat)) else {
            return self.call_other(to, args);
        };
        if self.depth >= self.vat.limits().call_depth {
            return Err("calls are nested too deep".into());
        }
        self.enter(cell, args)
    }

    fn call_other(&mut self, to: &Ref, args: Args) -> Outcome {
        let Kind::Resolver(resolver) = &to.0 else {
            return Err("cannot call what is not near: send to it".into());
        };
        resolver.check(&args)?;
        self.send_only(to, args);
        Ok(Value::Undefined)
    }

    pub(crate) fn enter(&mut self, cell: &Arc<ActorCell>, args: Args) -> Outcome {
        let behaviour = self.changes.behaviour(cell)?;
        let id = cell.id();
        if let Some(called) = &mut self.changes.called {
            called.push(id);
        }
        let mark = self.changes.mark();
        self.changes.open_calls += 1;
        let caller = self.vat.pulse().enter(behaviour.name());
        let mut inner =
            Turn { vat: self.vat, changes: self.changes, me: Some(cell), depth: self.depth + 1 };
        let result = behaviour.receive(&mut inner, args);
        self.vat.pulse().back_to(caller);
        self.changes.open_calls -= 1;
        match result {
            Ok(reply) => {
                if let Some(next) = reply.next {
                    self.changes.actors.put(id, Some(next), &mut self.changes.journal);
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
        let from = self.id();
        tracing::trace!(vat = self.vat.name(), turn = from.turn, ?to, "message");
        self.changes.effects.push(Effect::Send(to.clone(), Message::new(args, answer, from)));
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

    pub(crate) fn listen(&mut self, target: Value, body: HandlerBody, answer: Option<Resolver>) {
        let (vat, me) = (self.vat.clone(), self.me.cloned());
        let (from, by) = (self.id(), TurnId::OUTSIDE);
        let handler = |outcome| Box::new(Handler { vat, body, me, answer, outcome, from, by });
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

    /// A new promise, and what settles it as a capability that can be passed on
    /// (`spawn-promise-values`): it answers to `['fulfill value]` and `['break error]`,
    /// called or sent, once.
    pub fn spawn_promise(&mut self) -> (Promise, Ref) {
        let (promise, resolver) = promise();
        (promise, resolver.into_ref())
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
        let id = changes.actors.reserve();
        if let Some(id) = id {
            changes.actors.put(id, Some(behaviour), &mut changes.journal);
        }
        let object = self.vat.home().map_or(0, |home| home.assign());
        let cell = Arc::new(ActorCell::new(self.vat.clone(), id, object));
        if let Some(id) = id {
            changes.spawned(id, &cell);
        }
        Ref(Kind::Actor(cell))
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

    /// The behaviour of an actor of this vat, if it is one of that type: how actors of
    /// this crate know each other, without calling what may be a stranger. One that
    /// sleeps is woken.
    pub(crate) fn behaviour_as<B: Behaviour>(&mut self, of: &Ref) -> Option<Arc<B>> {
        let cell = of.actor().filter(|cell| Arc::ptr_eq(&cell.vat, self.vat))?;
        let behaviour: Arc<dyn Any + Send + Sync> = self.changes.behaviour(cell).ok()?;
        behaviour.downcast().ok()
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

    /// Whether the reference designates an actor of another vat or something at a peer.
    /// An unsettled promise of this process is neither near nor far.
    #[must_use]
    pub fn is_far(&self, reference: &Ref) -> bool {
        match reference.actor() {
            Some(cell) => !Arc::ptr_eq(&cell.vat, self.vat),
            None => reference.is_remote(),
        }
    }

    /// Which turn this is, as logs name it.
    #[must_use]
    pub fn id(&self) -> TurnId {
        TurnId { vat: self.vat.id(), turn: self.changes.turns }
    }

    /// The name of the vat that the turn runs in.
    #[must_use]
    pub fn vat_name(&self) -> &str {
        self.vat.name()
    }
}

/// For whoever holds the map: no actor gets to these.
impl Turn<'_> {
    /// The actor's behaviour.
    pub(crate) fn behaviour(&self, of: &Ref) -> Option<Arc<dyn Behaviour>> {
        let cell = of.actor().filter(|cell| Arc::ptr_eq(&cell.vat, self.vat))?;
        self.changes.actors.get(cell.id())
    }

    /// Gives an actor another behaviour.
    pub(crate) fn replace(&mut self, of: &Ref, behaviour: Arc<dyn Behaviour>) -> Result<(), Fault> {
        let Some(cell) = of.actor().filter(|cell| Arc::ptr_eq(&cell.vat, self.vat)) else {
            return Err("the reference is not near".into());
        };
        // One that sleeps has to wake for it.
        self.changes.behaviour(cell)?;
        self.changes.actors.put(cell.id(), Some(behaviour), &mut self.changes.journal);
        Ok(())
    }
}

impl fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("vat", &self.vat_name()).field("depth", &self.depth).finish()
    }
}
