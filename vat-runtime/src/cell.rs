//! The state of a promise. Owns the rules of order: what waits in a promise goes
//! on, in order, before anybody can see that the promise has settled.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use captp::RemotePos;
use captp::locator::Sturdyref;
use smallvec::SmallVec;

use crate::intake::Place;
use crate::job::Handler;
use crate::promise::{Message, Resolver, SettlingEnd};
use crate::reference::{Kind, Ref};
use crate::route::{Claim, Passage, Route};
use crate::sync::{Mutex, MutexGuard, OnceLock, lock};
use crate::trampoline::{self, Work};
use crate::{Fault, Value};

/// What a promise came to.
pub(crate) type Outcome = Result<Value, Fault>;

/// Taken while a promise is bound to another, so that two threads cannot close a
/// cycle behind each other's back. Below it only the locks of single promises.
#[cfg(not(loom))]
static CHAINING: Mutex<()> = Mutex::new(());
#[cfg(loom)]
loom::lazy_static! {
    static ref CHAINING: Mutex<()> = Mutex::new(());
}

#[derive(Default)]
pub(crate) struct PromiseCell {
    settled: OnceLock<Settled>,
    route: OnceLock<Arc<Route>>,
    pending: Mutex<Pending>,
}

pub(crate) enum Settled {
    /// To a value that is not a promise.
    Fulfilled(Value),
    Broken(Fault),
    /// This promise is now that one, which may settle later.
    Forwarded(Arc<PromiseCell>),
}

#[derive(Default)]
struct Pending {
    phase: Phase,
    /// The peer was asked to tell when the promise settles.
    subscribed: bool,
    messages: Vec<Message>,
    /// Most often one.
    listeners: SmallVec<[Listener; 1]>,
    rare: Option<Box<Rare>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// Not settled.
    #[default]
    Open,
    /// One thread is sending on what waited; new messages queue behind.
    Moving,
    /// The settlement can be seen; one thread is telling the listeners, new ones
    /// queue behind.
    Telling,
    Settled,
}

/// What few promises need, or all for a moment only.
#[derive(Default)]
struct Rare {
    /// The promise that this one is about to become.
    becoming: Option<Arc<PromiseCell>>,
    /// The promise settled while its messages were being moved to its route.
    next: Option<Settled>,
    /// Who will settle the promise, if asked.
    source: Option<Arc<Source>>,
    /// The source has been asked.
    asked: bool,
}

/// What a promise stands for that nobody has wanted anything from so far. Its search
/// begins with the first message or the first who waits.
pub(crate) struct Source {
    /// What it is, to be written down.
    pub(crate) origin: Origin,
    /// Begins the search. Called with no lock held.
    pub(crate) ask: Box<dyn Fn(Resolver) + Send + Sync>,
}

/// What a promise stands for before anybody has looked.
pub(crate) enum Origin {
    /// What this names at its peer.
    Remote(Sturdyref),
    /// An actor, by vat and number, of a vat that is not open.
    Far(u64, u64),
}

pub(crate) enum Listener {
    Resolver(Resolver),
    /// A handler that runs as a turn.
    Handler(Box<Handler>),
    /// A future somebody awaits.
    Future(SettlingEnd<Value>),
    /// A resolver, at a peer for instance, that is sent `fulfill value` or `break reason`.
    Peer(Ref),
    Callback(Box<dyn FnOnce(Outcome) + Send>),
}

impl Listener {
    pub(crate) fn tell(self, outcome: Outcome) {
        match self {
            Self::Resolver(resolver) => resolver.resolve(outcome),
            Self::Handler(mut handler) => {
                handler.outcome = outcome;
                handler.post();
            }
            Self::Future(end) => end.settle(outcome),
            Self::Peer(listener) => listener.send_only(match outcome {
                Ok(value) => vec![Value::symbol("fulfill"), value],
                Err(fault) => vec![Value::symbol("break"), fault.into_value()],
            }),
            Self::Callback(callback) => {
                // The others who wait must be told whatever this one does.
                if catch_unwind(AssertUnwindSafe(|| callback(outcome))).is_err() {
                    tracing::error!("a callback that waited for a promise panicked");
                }
            }
        }
    }
}

impl PromiseCell {
    /// The promise of something that a peer will tell if asked.
    pub(crate) fn routed(route: Arc<Route>) -> Self {
        let cell = Self::default();
        // Cannot fail: the cell is new.
        let _ = cell.route.set(route);
        cell
    }

    /// The promise of something that is looked for when it is first wanted.
    pub(crate) fn sourced(source: Source) -> Self {
        let rare = Rare { source: Some(Arc::new(source)), ..Rare::default() };
        let cell = Self::default();
        cell.lock().rare = Some(Box::new(rare));
        cell
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        lock(&self.pending)
    }

    /// The last promise of the chain that this one has become part of.
    pub(crate) fn end(self: &Arc<Self>) -> &Arc<Self> {
        let mut cell = self;
        while let Some(Settled::Forwarded(next)) = cell.settled.get() {
            cell = next;
        }
        cell
    }

    pub(crate) fn settled(&self) -> Option<&Settled> {
        self.settled.get()
    }

    pub(crate) fn route(&self) -> Option<&Route> {
        self.route.get().map(|route| &**route)
    }

    /// The way to an unsettled promise of a peer's, kept until what is given is dropped.
    pub(crate) fn hold_route(&self) -> Option<Passage<'_>> {
        let pending = self.lock();
        let route = self.route.get().filter(|_| pending.phase == Phase::Open)?;
        route.hold()
    }

    /// Sends a message to what the promise is or will be.
    pub(crate) fn deliver(self: &Arc<Self>, mut message: Message) {
        let mut cell = self;
        loop {
            if let Some(settled) = cell.settled.get() {
                if let Some(passage) = cell.route.get().and_then(Route::enter) {
                    return passage.deliver(message);
                }
                match settled {
                    Settled::Forwarded(next) => cell = next,
                    other => return other.deliver(message),
                }
                continue;
            }
            let mut pending = cell.lock();
            if matches!(pending.phase, Phase::Telling | Phase::Settled) {
                continue;
            }
            if pending.phase == Phase::Open
                && let Some(passage) = cell.route.get().and_then(Route::enter)
            {
                drop(pending);
                return passage.deliver(message);
            }
            message.wait_in(Place::Promise);
            pending.messages.push(message);
            return cell.seek(pending);
        }
    }

    /// Asks the source of the promise, if it has one that was not asked.
    fn seek<'a>(self: &Arc<Self>, mut pending: MutexGuard<'a, Pending>) {
        let Some(rare) = pending.rare.as_mut().filter(|rare| !rare.asked) else { return };
        let Some(source) = rare.source.clone() else { return };
        rare.asked = true;
        drop(pending);
        (source.ask)(Resolver::of(self.clone()));
    }

    /// What the promise stands for, as long as that has not been found.
    pub(crate) fn source(&self) -> Option<Arc<Source>> {
        self.lock().rare.as_ref()?.source.clone()
    }

    /// The source has not found what it was asked for. Who waits is told, and the next
    /// who wants something has it asked again.
    pub(crate) fn disappoint(&self, fault: &Fault) {
        let mut pending = self.lock();
        if pending.phase != Phase::Open {
            return;
        }
        if let Some(rare) = &mut pending.rare {
            rare.asked = false;
        }
        let messages = std::mem::take(&mut pending.messages);
        let listeners = std::mem::take(&mut pending.listeners);
        drop(pending);
        messages.into_iter().for_each(|message| message.refuse(|| fault.clone()));
        listeners.into_iter().for_each(|listener| listener.tell(Err(fault.clone())));
    }

    /// Tells the listener once the promise has settled to something that is not a
    /// promise.
    pub(crate) fn listen(self: &Arc<Self>, listener: Listener) {
        let mut cell = self;
        loop {
            let mut pending = cell.lock();
            if pending.phase != Phase::Settled {
                pending.listeners.push(listener);
                let subscribe = pending.phase == Phase::Open && !pending.subscribed;
                let import = match cell.route.get() {
                    Some(route) if matches!(route.pos, RemotePos::Import(_)) => route,
                    Some(_) => return,
                    None => return cell.seek(pending),
                };
                if subscribe {
                    pending.subscribed = true;
                    drop(pending);
                    import.link.listen(import.pos, Resolver::of(cell.clone()));
                }
                return;
            }
            drop(pending);
            match cell.settled.get() {
                Some(Settled::Forwarded(next)) => cell = next,
                Some(settled) => return listener.tell(settled.outcome()),
                // Not reached: the phase is set after the settlement.
                None => return,
            }
        }
    }

    /// Settles the promise. The first of its two callers is its one resolver, so
    /// this happens once.
    pub(crate) fn settle(self: Arc<Self>, outcome: Outcome) {
        if !matches!(&outcome, Ok(Value::Ref(Ref(Kind::Promise(_))))) {
            // Nobody waits: nothing can recurse.
            let pending = self.lock();
            if pending.phase == Phase::Open
                && pending.messages.is_empty()
                && pending.listeners.is_empty()
            {
                self.publish(pending, outcome.into());
                return;
            }
        }
        trampoline::run(Work::Settle(self, outcome));
    }

    pub(crate) fn settle_now(self: &Arc<Self>, outcome: Outcome) {
        let settled = match outcome {
            Ok(Value::Ref(Ref(Kind::Promise(promise)))) => self.become_promise(&promise),
            other => other.into(),
        };
        let pending = self.lock();
        self.advance(pending, settled);
    }

    /// What this promise settles to when it is resolved to another one.
    fn become_promise(self: &Arc<Self>, promise: &Arc<Self>) -> Settled {
        let end = promise.end();
        match end.settled.get() {
            Some(Settled::Fulfilled(value)) => return Settled::Fulfilled(value.clone()),
            Some(Settled::Broken(fault)) => return Settled::Broken(fault.clone()),
            Some(Settled::Forwarded(_)) | None => {}
        }
        let _chaining = lock(&CHAINING);
        let mut next = Some(end.clone());
        while let Some(cell) = next {
            if Arc::ptr_eq(&cell, self) {
                return Settled::Broken("the promise was resolved to itself".into());
            }
            next = cell.becoming();
        }
        self.lock().rare.get_or_insert_default().becoming = Some(end.clone());
        Settled::Forwarded(end.clone())
    }

    /// The promise that this one has become or is about to become.
    fn becoming(&self) -> Option<Arc<Self>> {
        // The one takes the other's place under the lock: without it, neither might show.
        let pending = self.lock();
        match self.settled.get() {
            Some(Settled::Forwarded(next)) => Some(next.clone()),
            Some(_) => None,
            None => pending.rare.as_ref()?.becoming.clone(),
        }
    }

    /// Sends on what waits and then makes the settlement known.
    fn advance<'a>(&'a self, mut pending: MutexGuard<'a, Pending>, settled: Settled) {
        if pending.phase != Phase::Open {
            // Being moved to the route: whoever does that goes on from here.
            pending.rare.get_or_insert_default().next = Some(settled);
            return;
        }
        pending.phase = Phase::Moving;
        while !pending.messages.is_empty() {
            let messages = std::mem::take(&mut pending.messages);
            drop(pending);
            for message in messages {
                settled.deliver(message);
            }
            pending = self.lock();
        }
        self.publish(pending, settled);
    }

    fn publish<'a>(&'a self, mut pending: MutexGuard<'a, Pending>, settled: Settled) {
        let route = self.route.get();
        let claim = route.and_then(|route| route.claim());
        let drained = claim.filter(|_| settled.is_fulfilled()).and_then(Claim::confirm);
        let let_go =
            route.filter(|route| if settled.is_target() { route.settle() } else { route.close() });
        // Cannot fail: only the one holder of the moving phase gets here.
        let _ = self.settled.set(settled);
        let rare = pending.rare.take();
        if pending.listeners.is_empty() {
            pending.phase = Phase::Settled;
            drop(pending);
        } else {
            pending.phase = Phase::Telling;
            self.tell(pending);
        }
        drop((rare, drained));
        if let Some(route) = let_go {
            route.let_go();
        }
    }

    fn tell<'a>(&'a self, mut pending: MutexGuard<'a, Pending>) {
        let Some(settled) = self.settled.get() else {
            return;
        };
        while !pending.listeners.is_empty() {
            let listeners = std::mem::take(&mut pending.listeners);
            drop(pending);
            for listener in listeners {
                match settled {
                    Settled::Forwarded(next) => next.listen(listener),
                    other => listener.tell(other.outcome()),
                }
            }
            pending = self.lock();
        }
        pending.phase = Phase::Settled;
    }

    /// Gives the promise a place at the peer to which its messages can go at once.
    pub(crate) fn attach(self: Arc<Self>, route: Arc<Route>) {
        let pending = self.lock();
        if pending.phase == Phase::Open && pending.messages.is_empty() {
            // Fails only if there is a route, which a promise gets at most once.
            let refused = self.route.set(route);
            drop(pending);
            if let Err(route) = refused {
                route.release();
            }
            return;
        }
        drop(pending);
        trampoline::run(Work::Attach(self, route));
    }

    pub(crate) fn attach_now(self: &Arc<Self>, route: Arc<Route>) {
        let mut pending = self.lock();
        if pending.phase != Phase::Open {
            drop(pending);
            // The answer was quicker than we.
            if self.settled.get().is_some_and(Settled::is_fulfilled) {
                drop(route.claim().and_then(Claim::confirm));
            }
            route.release();
            return;
        }
        pending.phase = Phase::Moving;
        while !pending.messages.is_empty() {
            let messages = std::mem::take(&mut pending.messages);
            drop(pending);
            for message in messages {
                // Nobody can have closed the route yet: no other has it.
                if let Some(passage) = route.enter() {
                    passage.deliver(message);
                }
            }
            pending = self.lock();
        }
        pending.phase = Phase::Open;
        let next = pending.rare.as_mut().and_then(|rare| rare.next.take());
        let refused = self.route.set(route);
        match next {
            Some(settled) => self.advance(pending, settled),
            None => drop(pending),
        }
        if let Err(route) = refused {
            route.release();
        }
    }
}

impl Settled {
    /// The outcome; a promise stands for itself.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Fulfilled(value) => Ok(value.clone()),
            Self::Broken(fault) => Err(fault.clone()),
            Self::Forwarded(next) => Ok(Value::Ref(Ref(Kind::Promise(next.clone())))),
        }
    }

    fn deliver(&self, message: Message) {
        match self {
            Self::Fulfilled(Value::Ref(target)) => target.deliver_message(message),
            Self::Fulfilled(value) => message.refuse(|| {
                let kind = value.kind();
                Fault::from(format!("cannot send a message to a value of kind {kind}"))
            }),
            Self::Broken(fault) => message.refuse(|| fault.clone()),
            Self::Forwarded(next) => next.deliver(message),
        }
    }

    const fn is_fulfilled(&self) -> bool {
        matches!(self, Self::Fulfilled(_))
    }

    /// Whether messages go on to anything from here.
    const fn is_target(&self) -> bool {
        matches!(self, Self::Fulfilled(Value::Ref(_)) | Self::Forwarded(_))
    }
}

impl From<Outcome> for Settled {
    fn from(outcome: Outcome) -> Self {
        outcome.map_or_else(Self::Broken, Self::Fulfilled)
    }
}

impl Drop for PromiseCell {
    fn drop(&mut self) {
        if let Some(route) = self.route.get_mut() {
            route.release();
        }
        match self.settled.take() {
            // One after the other: a chain may be longer than the stack is deep.
            Some(Settled::Forwarded(next)) => {
                let mut next = Some(next);
                while let Some(mut cell) = next.take().and_then(Arc::into_inner) {
                    if let Some(Settled::Forwarded(further)) = cell.settled.get_mut() {
                        next = Some(further.clone());
                        cell.settled.take();
                    }
                }
            }
            Some(Settled::Fulfilled(value)) if holds_values(&value) => {
                trampoline::run(Work::Bury(value));
            }
            Some(Settled::Broken(fault)) if holds_values(fault.value()) => {
                trampoline::run(Work::Bury(fault.into_value()));
            }
            _ => {}
        }
    }
}

const fn holds_values(value: &Value) -> bool {
    matches!(
        value,
        Value::List(_)
            | Value::Struct(_)
            | Value::Map(_)
            | Value::Set(_)
            | Value::Tagged(_)
            | Value::Error(_)
            | Value::Record(_)
    )
}
