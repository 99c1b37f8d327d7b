//! Actormaps as values: worlds of actors without a vat. Owns [`Actormap`], of which there
//! are two kinds, and how both run turns by the engine that vats run them by.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::behaviour::Behaviour;
use crate::changes::{Changes, Effect, Mark};
use crate::inbox::HARD_LIMIT;
use crate::job::Handler;
use crate::mail::Mail;
use crate::promise::{Message, Promise};
use crate::reference::{ActorCell, Kind, Ref};
use crate::slab::Slab;
use crate::snapshot::Snapshot;
use crate::transactormap::{Branch, Transactormap};
use crate::turn::Turn;
use crate::vat::{Limits, VatCore};
use crate::{Args, Fault, Value};

/// A world of actors without a vat: a map from references to the behaviours behind them,
/// in which turns are run by whoever holds it.
///
/// This is for programs that are synchronous, as a game is, and for looking at what
/// actors do: a turn can be tried and thrown away ([`Actormap::peek`],
/// [`Actormap::run`]), kept apart ([`Actormap::turn`]) or committed
/// ([`Actormap::poke`]), and the world can go back to what it was
/// ([`Actormap::snapshot`]).
///
/// There are two kinds. A *whactormap*, which [`Actormap::new`] makes, holds the actors;
/// an actor goes when the last reference to it does. A [`Transactormap`] holds what
/// changed in turns over such a map, until that is merged or dropped.
///
/// The actors of one world are near to each other, in all its forks and snapshots. Those
/// of two worlds are not, and no message goes anywhere by itself: what committed turns
/// want sent waits in the map as [`Mail`].
///
/// ```
/// use vat_runtime::{Actormap, Args, Behaviour, Fault, Reply, Turn, Value};
///
/// struct NoisyIncrementer(i64);
///
/// impl Behaviour for NoisyIncrementer {
///     fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
///         let by = args.first().map_or(Some(1), Value::as_int).ok_or("not an integer")?;
///         let count = self.0 + by;
///         // What it becomes, and what it answers.
///         Ok(Reply::become_with(NoisyIncrementer(count), format!("My new count is: {count}")))
///     }
/// }
///
/// let am = Actormap::new();
/// let incr1 = am.spawn(NoisyIncrementer(0));
/// assert_eq!(am.poke(&incr1, vec![])?, "My new count is: 1".into());
/// assert_eq!(am.poke(&incr1, vec![20.into()])?, "My new count is: 21".into());
/// let incr2 = am.spawn(NoisyIncrementer(18));
/// assert_eq!(am.poke(&incr2, vec![42.into()])?, "My new count is: 60".into());
///
/// // Looked at, and left as it was.
/// assert_eq!(am.peek(&incr2, vec![])?, "My new count is: 61".into());
/// assert_eq!(am.peek(&incr2, vec![])?, "My new count is: 61".into());
/// # Ok::<(), Fault>(())
/// ```
///
/// A handle is cheap to clone; the map goes with the last. It is used by one thread at a
/// time. What is done to it from within one of its own turns fails.
#[derive(Clone)]
pub struct Actormap(pub(crate) Arc<Map>);

pub(crate) struct Map {
    pub(crate) world: Arc<World>,
    pub(crate) kind: MapKind,
    /// What committed turns want done and nobody has dispatched so far.
    outbox: Mutex<VecDeque<Mail>>,
}

pub(crate) enum MapKind {
    Base(Base),
    Branch(Branch),
}

/// The actors of a world, as they are in one of its timelines.
pub(crate) struct Base {
    changes: Mutex<Changes>,
    /// Which thread has it, as an address, or 0.
    owner: AtomicUsize,
}

/// What all timelines of a world have in common: where references lead to.
pub(crate) struct World {
    pub(crate) core: Arc<VatCore>,
    /// There is no vat that takes what is sent here.
    pub(crate) adrift: bool,
}

impl Drop for World {
    fn drop(&mut self) {
        if self.adrift {
            self.core.stop();
        }
    }
}

/// What becomes of a turn that has ended well.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Commit,
    Discard,
}

thread_local! {
    /// Its address tells this thread from all others that live.
    static HERE: Cell<u8> = const { Cell::new(0) };
}

fn this_thread() -> usize {
    HERE.try_with(|here| std::ptr::from_ref(here).addr()).unwrap_or(0)
}

/// The actors of a base, to be worked on.
pub(crate) struct Held<'a> {
    pub(crate) changes: MutexGuard<'a, Changes>,
    owner: &'a AtomicUsize,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.owner.store(0, Ordering::Relaxed);
    }
}

impl Base {
    pub(crate) fn new(actors: Slab) -> Self {
        Self { changes: Mutex::new(Changes::of(actors)), owner: AtomicUsize::new(0) }
    }

    fn hold(&self) -> Result<Held<'_>, Fault> {
        let here = this_thread();
        if self.owner.load(Ordering::Relaxed) == here {
            return Err("the actormap is in the middle of a turn".into());
        }
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        self.owner.store(here, Ordering::Relaxed);
        Ok(Held { changes, owner: &self.owner })
    }
}

impl Actormap {
    /// An empty world (`make-actormap`).
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits("actormap", Limits::default())
    }

    /// An empty world with a name for logs and limits of its own.
    #[must_use]
    pub fn with_limits(name: &str, limits: Limits) -> Self {
        let world = World { core: VatCore::unscheduled(name, limits), adrift: true };
        Self::of(Arc::new(world), MapKind::Base(Base::new(Slab::default())))
    }

    pub(crate) fn of(world: Arc<World>, kind: MapKind) -> Self {
        Self(Arc::new(Map { world, kind, outbox: Mutex::default() }))
    }

    pub(crate) fn core(&self) -> &Arc<VatCore> {
        &self.0.world.core
    }

    /// The map at the bottom, to be worked on, with the dead swept out.
    pub(crate) fn hold(&self) -> Result<Held<'_>, Fault> {
        let mut map = self;
        while let Some(below) = map.below() {
            map = below;
        }
        let MapKind::Base(base) = &map.0.kind else {
            return Err("the actormap stands on nothing".into());
        };
        let mut held = base.hold()?;
        if !held.changes.is_settled() {
            // Left by a drop that panicked.
            held.changes.undo(Mark::START, &Fault::from("a turn panicked"));
        }
        let dead = held.changes.actors.forget_dead();
        if self.0.world.adrift {
            self.sweep(&mut held.changes);
        }
        drop(dead);
        Ok(held)
    }

    /// Lets go of actors that nobody can reach any more, which may free others.
    fn sweep(&self, changes: &mut Changes) {
        loop {
            let garbage = self.core().take_garbage();
            if garbage.is_empty() {
                return;
            }
            let dead: Vec<_> = garbage.into_iter().filter_map(|id| changes.remove(id)).collect();
            drop(dead);
        }
    }

    /// Runs a turn. Gives what is to be done of what it did, if that is to be committed.
    pub(crate) fn attempt<T>(
        &self,
        after: After,
        me: Option<&Arc<ActorCell>>,
        body: impl FnOnce(&mut Turn<'_>) -> Result<T, Fault>,
    ) -> Result<(T, Vec<Mail>), Fault> {
        let mut held = self.hold()?;
        let changes = &mut *held.changes;
        match &self.0.kind {
            MapKind::Base(_) => {
                let value = changes.attempt(self.core(), me, body)?;
                if after == After::Discard {
                    changes.undo(Mark::START, &Fault::from(DISCARDED));
                }
                changes.settle();
                Ok((value, changes.effects.drain(..).map(Mail::new).collect()))
            }
            MapKind::Branch(branch) => branch.attempt(self.core(), changes, after, me, body),
        }
    }

    /// Runs a turn and leaves what it wants done in the outbox, unless so much waits there
    /// already.
    fn commit<T>(
        &self,
        most: usize,
        me: Option<&Arc<ActorCell>>,
        body: impl FnOnce(&mut Turn<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        // Looked at by itself: what a turn drops must not find the outbox locked.
        let waiting = self.outbox().len();
        if waiting >= most {
            return Err("too much mail waits in the actormap".into());
        }
        let (value, mail) = self.attempt(After::Commit, me, body)?;
        self.outbox().extend(mail);
        Ok(value)
    }

    /// How much mail may wait.
    fn limit(&self) -> usize {
        self.core().limits().queue
    }

    /// Nothing is called or dropped under this lock.
    pub(crate) fn outbox(&self) -> MutexGuard<'_, VecDeque<Mail>> {
        self.0.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The actor of this world that a reference designates.
    fn near<'r>(&self, to: &'r Ref) -> Result<&'r Arc<ActorCell>, Fault> {
        let near = to.actor().filter(|cell| Arc::ptr_eq(&cell.vat, self.core()));
        near.ok_or_else(|| "the reference is not near to this actormap".into())
    }
}

/// Why the promises of messages break that were sent in a turn that is thrown away.
const DISCARDED: &str = "the turn was only tried";

/// What a turn came to that was run apart ([`Actormap::turn`]).
#[derive(Debug)]
pub struct Turned {
    /// What the actor answered.
    pub value: Value,
    /// The changes over the map in which the turn was run, not yet merged into it.
    pub map: Transactormap,
    /// What the turn wants sent to actors and promises of this world, in order.
    pub to_near: Vec<Mail>,
    /// What it wants sent to other vats and worlds and to peers, in order.
    pub to_far: Vec<Mail>,
}

/// The operations of the Racket and Guile manuals, under their names.
impl Actormap {
    /// Makes an actor at once (`actormap-spawn!`).
    pub fn spawn(&self, behaviour: impl Behaviour) -> Ref {
        self.run_and_commit(|turn| Ok(turn.spawn(behaviour)))
            .unwrap_or_else(|fault| Promise::settled(Err(fault)).into_ref())
    }

    /// Makes an actor in a world that is this one with that actor (`actormap-spawn`).
    ///
    /// # Errors
    ///
    /// From within a turn of this map.
    pub fn spawn_apart(&self, behaviour: impl Behaviour) -> Result<(Ref, Transactormap), Fault> {
        let apart = self.branch();
        let actor = apart.run_and_commit(|turn| Ok(turn.spawn(behaviour)))?;
        Ok((actor, apart))
    }

    /// Calls an actor in a turn and gives what that came to, with nothing committed or
    /// sent (`actormap-turn`).
    ///
    /// # Errors
    ///
    /// The actor's fault, or one that says that the reference is not near.
    pub fn turn(&self, to: &Ref, args: Args) -> Result<Turned, Fault> {
        let cell = self.near(to)?;
        let map = self.branch();
        let (value, mail) =
            map.attempt(After::Commit, Some(cell), |turn| turn.enter(cell, args))?;
        let near = |to: &Ref| self.is_near(to);
        let (to_far, to_near) = mail.into_iter().partition(|mail| mail.is_far(near));
        Ok(Turned { value, map, to_near, to_far })
    }

    /// Calls an actor and commits what that came to (`actormap-poke!`). What it wants
    /// sent waits in the map: see [`Actormap::take_mail`].
    ///
    /// # Errors
    ///
    /// The actor's fault, with everything undone, or one that says that the reference is
    /// not near, or that [`Limits::queue`] messages wait already.
    pub fn poke(&self, to: &Ref, args: Args) -> Result<Value, Fault> {
        let cell = self.near(to)?;
        self.commit(self.limit(), Some(cell), |turn| turn.enter(cell, args))
    }

    /// Calls an actor and leaves everything as it was (`actormap-peek`).
    ///
    /// # Errors
    ///
    /// The actor's fault, or one that says that the reference is not near.
    pub fn peek(&self, to: &Ref, args: Args) -> Result<Value, Fault> {
        let cell = self.near(to)?;
        Ok(self.attempt(After::Discard, Some(cell), |turn| turn.enter(cell, args))?.0)
    }

    /// Runs something in a turn of this map and leaves everything as it was
    /// (`actormap-run`).
    ///
    /// # Errors
    ///
    /// The fault that the body gives.
    pub fn run<T>(&self, body: impl FnOnce(&mut Turn<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        Ok(self.attempt(After::Discard, None, body)?.0)
    }

    /// Runs something in a turn of this map and commits it (`actormap-run!`).
    ///
    /// # Errors
    ///
    /// The fault that the body gives, with everything undone; or as [`Actormap::poke`].
    pub fn run_and_commit<T>(
        &self,
        body: impl FnOnce(&mut Turn<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.commit(self.limit(), None, body)
    }

    /// Like [`Actormap::poke`], but what was done before a fault stays done
    /// (`actormap-reckless-poke!`): the state of the world may be one that no program
    /// would have left. Nothing of a turn that failed is sent.
    ///
    /// # Errors
    ///
    /// The actor's fault, or one that says that the reference is not near or that this is
    /// not a whactormap.
    pub fn reckless_poke(&self, to: &Ref, args: Args) -> Result<Value, Fault> {
        if !self.is_whactormap() {
            return Err("only a whactormap can be poked recklessly".into());
        }
        let cell = self.near(to)?;
        let mut held = self.hold()?;
        held.changes.reckless = true;
        let result = held.changes.attempt(self.core(), Some(cell), |turn| turn.enter(cell, args));
        held.changes.reckless = false;
        held.changes.settle();
        let mail: Vec<_> = held.changes.effects.drain(..).map(Mail::new).collect();
        drop(held);
        self.outbox().extend(mail);
        result
    }
}

/// Messages.
impl Actormap {
    /// Takes out what committed turns want sent and what has been sent here from outside,
    /// each in its order.
    pub fn take_mail(&self) -> Vec<Mail> {
        let mut mail: Vec<_> = self.outbox().drain(..).collect();
        mail.extend(std::iter::from_fn(|| self.arrived()));
        mail
    }

    fn arrived(&self) -> Option<Mail> {
        if !self.0.world.adrift {
            return None;
        }
        Mail::arrived(self.core().take_job()?)
    }

    /// Does what a turn wanted done: delivers a message to an actor of this world by a
    /// turn in this map, which is committed; sends any other on its way. Returns whether
    /// there was a turn.
    ///
    /// What the turn wants done waits in the map. Past ten times [`Limits::queue`] the
    /// message breaks instead. Sending, and settling a promise, has
    /// effects that no snapshot takes back.
    pub fn dispatch(&self, mail: Mail) -> bool {
        // As for a vat: what is on its way is let through, but not without end.
        let most = self.limit().saturating_mul(HARD_LIMIT);
        match mail.into_effect() {
            Some(Effect::Send(Ref(Kind::Actor(cell)), message))
                if Arc::ptr_eq(&cell.vat, self.core()) =>
            {
                let Message { args, answer, load, .. } = message;
                drop(load);
                let outcome = self.commit(most, Some(&cell), |turn| turn.enter(&cell, args));
                self.core().answer(answer, outcome);
                true
            }
            Some(Effect::Handle(handler)) if Arc::ptr_eq(&handler.vat, self.core()) => {
                let Handler { body, me, answer, outcome, .. } = *handler;
                let result = self.commit(most, me.as_ref(), |turn| body(turn, outcome));
                self.core().answer(answer, result);
                true
            }
            Some(effect) => {
                effect.perform();
                false
            }
            None => false,
        }
    }

    /// Dispatches what has waited longest. Returns whether anything waited.
    pub fn step(&self) -> bool {
        self.dispatch_next().is_some()
    }

    /// Whether there was a turn, if anything waited.
    fn dispatch_next(&self) -> Option<bool> {
        let next = self.outbox().pop_front();
        Some(self.dispatch(next.or_else(|| self.arrived())?))
    }

    /// Dispatches what waits, and what that leads to, until nothing does
    /// (`actormap-churn`). Returns how many turns there were. Does not return if the
    /// actors never stop sending to each other.
    pub fn churn(&self) -> usize {
        let mut turns = 0;
        while let Some(turn) = self.dispatch_next() {
            turns += usize::from(turn);
        }
        turns
    }
}

/// What the world is, and was.
impl Actormap {
    /// A map of what changes over this one from now on, still empty
    /// (`make-transactormap`).
    #[must_use]
    pub fn branch(&self) -> Transactormap {
        Transactormap::over(self)
    }

    /// The world as it is now, to come back to (`snapshot-whactormap`). Costs a pointer
    /// for every 64 actors; what waits in the map is no part of it.
    ///
    /// What a snapshot holds is kept alive by it. An actor that is gone by the time the
    /// snapshot is restored, because neither the snapshot's actors nor anybody else
    /// referred to it, stays gone.
    ///
    /// # Errors
    ///
    /// From within a turn of this map, or if a transactormap can't be merged any more.
    pub fn snapshot(&self) -> Result<Snapshot, Fault> {
        let mut held = self.hold()?;
        let changes = &mut *held.changes;
        let image = match &self.0.kind {
            MapKind::Base(_) => changes.actors.image(),
            MapKind::Branch(branch) => branch.image(changes)?,
        };
        Ok(Snapshot::new(self.0.world.clone(), image))
    }

    /// A world that is what this one is now, and goes its own way: to be thrown away, or
    /// gone on with (`hasheq->whactormap` of a snapshot).
    ///
    /// # Errors
    ///
    /// As for [`Actormap::snapshot`].
    pub fn fork(&self) -> Result<Self, Fault> {
        if !self.is_whactormap() {
            return Ok(self.snapshot()?.to_actormap());
        }
        let mut held = self.hold()?;
        let (actors, dead) = held.changes.actors.fork();
        drop(held);
        drop(dead);
        Ok(Self::of(self.0.world.clone(), MapKind::Base(Base::new(actors))))
    }

    /// Goes back to, or on to, what the world was when the snapshot was taken. What
    /// waits in the map is dropped; what has been sent stays sent.
    ///
    /// # Errors
    ///
    /// If the snapshot is of another world, this is not a whactormap, or from within a
    /// turn of this map.
    pub fn restore(&self, snapshot: &Snapshot) -> Result<(), Fault> {
        if !self.is_whactormap() {
            return Err("only a whactormap can be restored".into());
        }
        if !snapshot.is_of(&self.0.world) {
            return Err("the snapshot is of another world".into());
        }
        let mut held = self.hold()?;
        let before = std::mem::replace(&mut held.changes.actors, snapshot.restore());
        drop(held);
        let waiting = std::mem::take(&mut *self.outbox());
        drop((before, waiting));
        Ok(())
    }

    /// How many actors there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let Ok(held) = self.hold() else { return 0 };
        match &self.0.kind {
            MapKind::Base(_) => held.changes.actors.len(),
            MapKind::Branch(branch) => {
                let mut held = held;
                branch.image(&mut held.changes).map_or(0, |image| image.len())
            }
        }
    }

    /// Whether there is no actor.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a reference designates an actor of this world, which can be called in it.
    #[must_use]
    pub fn is_near(&self, reference: &Ref) -> bool {
        self.near(reference).is_ok()
    }

    /// Whether this holds actors and not changes over another map.
    #[must_use]
    pub fn is_whactormap(&self) -> bool {
        matches!(self.0.kind, MapKind::Base(_))
    }

    /// The behaviour of an actor as it is in this map, to be looked at.
    #[must_use]
    pub fn behaviour(&self, of: &Ref) -> Option<Arc<dyn Behaviour>> {
        self.run(|turn| Ok(turn.behaviour(of))).ok()?
    }

    /// Gives an actor another behaviour, from outside: for a program that is changed
    /// while it runs.
    ///
    /// # Errors
    ///
    /// If the reference is not near, or from within a turn of this map.
    pub fn replace_behaviour(&self, of: &Ref, behaviour: impl Behaviour) -> Result<(), Fault> {
        self.run_and_commit(|turn| turn.replace(of, Arc::new(behaviour)))
    }
}

impl Default for Actormap {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Actormap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_whactormap() { "Whactormap" } else { "Transactormap" };
        f.debug_struct(kind).field("name", &self.core().name()).finish_non_exhaustive()
    }
}
