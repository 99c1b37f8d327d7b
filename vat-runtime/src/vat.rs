//! Vats: a map of actors, a queue of messages and the strand that runs them. Owns
//! when a vat is awake, and what happens to what it holds when it stops.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::Fault;
use crate::behaviour::Behaviour;
use crate::cell::Outcome;
use crate::changes::{Changes, Keeper};
use crate::drive;
use crate::persist::Store;
use crate::persist::home::Home;
use crate::promise::{Message, Resolver, Settling, SettlingEnd};
use crate::reference::{ActorCell, Kind, Ref};
use crate::scheduler::{ReadyVat, Scheduler};
use crate::slab::ActorId;
use crate::turn::Turn;

const STOPPED: &str = "the vat has stopped";

/// Bounds on what one vat may use. Each has a default.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How deep [`Turn::call`] may nest before it fails. Default 128: each level
    /// takes stack.
    pub call_depth: usize,
    /// How many actors of a durable vat are awake before those that were not called for
    /// longest sleep. They wake by themselves. Default no limit. Those that have
    /// changed and are not durable yet stay awake, so that there may be more.
    pub awake: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { call_depth: 128, awake: usize::MAX }
    }
}

impl Limits {
    /// The same limits with another [`Limits::call_depth`].
    #[must_use]
    pub const fn call_depth(mut self, calls: usize) -> Self {
        self.call_depth = calls;
        self
    }

    /// The same limits with another [`Limits::awake`].
    #[must_use]
    pub const fn awake(mut self, actors: usize) -> Self {
        self.awake = actors;
        self
    }
}

/// A handle of a vat: an event loop around a map of actors. The vat stops when it
/// is told to, or when the last handle is dropped.
#[derive(Clone)]
pub struct Vat(Arc<Handle>);

struct Handle {
    core: Arc<VatCore>,
    /// Stays open as long as the vat does.
    _store: Option<Store>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.stop();
    }
}

impl Vat {
    /// A vat with default limits, whose turns run when and where the scheduler
    /// says. The name is for logs.
    #[must_use]
    pub fn new(name: &str, scheduler: Arc<dyn Scheduler>) -> Self {
        Self::with_limits(name, scheduler, Limits::default())
    }

    /// A vat with limits of its own.
    #[must_use]
    pub fn with_limits(name: &str, scheduler: Arc<dyn Scheduler>, limits: Limits) -> Self {
        Self::around(name, scheduler, limits, Changes::default(), None)
    }

    /// A vat with a keeper of its turns and a place in a store.
    pub(crate) fn durable(
        name: &str,
        scheduler: Arc<dyn Scheduler>,
        limits: Limits,
        keeper: Box<dyn Keeper>,
        home: Arc<Home>,
        store: Store,
    ) -> Self {
        Self::around(name, scheduler, limits, Changes::kept(keeper), Some((home, store)))
    }

    fn around(
        name: &str,
        scheduler: Arc<dyn Scheduler>,
        limits: Limits,
        changes: Changes,
        place: Option<(Arc<Home>, Store)>,
    ) -> Self {
        let (home, store) = place.unzip();
        let core = Arc::new(VatCore {
            home,
            name: name.into(),
            scheduler,
            limits,
            stopped: AtomicBool::new(false),
            littered: AtomicBool::new(false),
            actors: AtomicUsize::new(0),
            inbox: Mutex::default(),
            strand: Mutex::new(Strand { changes, batch: VecDeque::new() }),
        });
        Self(Arc::new(Handle { core, _store: store }))
    }

    /// Makes an actor from outside. It is in place before any message to it, also
    /// before any message sent to this vat afterwards.
    pub fn spawn(&self, behaviour: impl Behaviour) -> Ref {
        self.spawn_shared(Arc::new(behaviour))
    }

    /// Like [`Vat::spawn`] for a behaviour that is shared already.
    pub fn spawn_shared(&self, behaviour: Arc<dyn Behaviour>) -> Ref {
        let object = self.core().home().map_or(0, |home| home.assign());
        let cell = Arc::new(ActorCell::new(self.core().clone(), None, object));
        if let Some(home) = self.core().home() {
            // At once, so that it is stored before whatever comes to refer to it.
            home.spawned(&cell, &behaviour);
        }
        self.core().post(Job::Install(cell.clone(), behaviour));
        Ref(Kind::Actor(cell))
    }

    /// Queues a turn of this vat and gives a future of what it comes to, which
    /// settles after everything that the turn did.
    pub fn run<T, F>(&self, body: F) -> Settling<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Turn<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let (settling, end) = Settling::new(STOPPED);
        self.core().post(Job::Run(Box::new(Errand { body, end })));
        settling
    }

    /// Halts the vat after the turn it is in. All its actors are dropped; messages
    /// that wait and messages sent from now on break.
    pub fn stop(&self) {
        self.core().stop();
    }

    /// Whether the vat has been stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.core().is_stopped()
    }

    /// How many actors the vat holds, as of its last turn.
    #[must_use]
    pub fn actor_count(&self) -> usize {
        self.core().actors.load(Ordering::Acquire)
    }

    /// The name given at the start.
    #[must_use]
    pub fn name(&self) -> &str {
        self.core().name()
    }

    pub(crate) fn core(&self) -> &Arc<VatCore> {
        &self.0.core
    }
}

impl fmt::Debug for Vat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vat").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// What a vat's handles, actors and schedulers share.
pub(crate) struct VatCore {
    name: Box<str>,
    /// Where its actors are stored.
    home: Option<Arc<Home>>,
    scheduler: Arc<dyn Scheduler>,
    limits: Limits,
    /// Set under the inbox's lock.
    stopped: AtomicBool,
    /// There is garbage in the inbox.
    littered: AtomicBool,
    actors: AtomicUsize,
    inbox: Mutex<Inbox>,
    /// Held by whoever runs the vat; nobody else waits for it while the vat is
    /// awake.
    strand: Mutex<Strand>,
}

#[derive(Default)]
struct Inbox {
    jobs: VecDeque<Job>,
    /// Actors whose last reference is gone.
    garbage: Vec<ActorId>,
    /// The vat is with its scheduler or running.
    awake: bool,
}

#[derive(Default)]
struct Strand {
    changes: Changes,
    /// Taken from the inbox and not yet done.
    batch: VecDeque<Job>,
}

/// What a vat does in one turn.
enum Job {
    Deliver(Arc<ActorCell>, Message),
    Handle(Box<Handler>),
    Run(Box<dyn Run>),
    Install(Arc<ActorCell>, Arc<dyn Behaviour>),
}

pub(crate) type HandlerBody = Box<dyn FnOnce(&mut Turn<'_>, Outcome) -> Outcome + Send>;

/// A handler of a promise, to be run as a turn of the vat that registered it.
pub(crate) struct Handler {
    pub(crate) vat: Arc<VatCore>,
    pub(crate) body: HandlerBody,
    pub(crate) me: Option<Arc<ActorCell>>,
    pub(crate) answer: Option<Resolver>,
    /// What the handler is told, once it is known.
    pub(crate) outcome: Outcome,
}

impl Handler {
    /// Queues the turn.
    pub(crate) fn post(self: Box<Self>) {
        let vat = self.vat.clone();
        vat.post(Job::Handle(self));
    }

    /// The handler will never run.
    pub(crate) fn refuse(self, fault: &Fault) {
        if let Some(answer) = self.answer {
            answer.break_with(fault.clone());
        }
    }
}

/// A turn queued from outside, without the type of its result.
trait Run: Send {
    fn run(self: Box<Self>, vat: &Arc<VatCore>, changes: &mut Changes);
}

struct Errand<T, F> {
    body: F,
    end: SettlingEnd<T>,
}

impl<T, F> Run for Errand<T, F>
where
    T: Send + 'static,
    F: FnOnce(&mut Turn<'_>) -> Result<T, Fault> + Send + 'static,
{
    fn run(self: Box<Self>, vat: &Arc<VatCore>, changes: &mut Changes) {
        let Self { body, end } = *self;
        changes.turn(vat, None, body, |result, _vat| end.settle(result));
    }
}

impl Job {
    fn perform(self, vat: &Arc<VatCore>, changes: &mut Changes) {
        match self {
            Self::Deliver(to, Message { args, answer }) => {
                changes.turn(
                    vat,
                    Some(&to),
                    |turn| turn.enter(&to, args),
                    |outcome, vat| match (answer, outcome) {
                        (Some(answer), outcome) => answer.resolve(outcome),
                        (None, Err(fault)) => {
                            tracing::debug!(vat = vat.name(), %fault, "a message failed unheard");
                        }
                        (None, Ok(_)) => {}
                    },
                );
            }
            Self::Handle(handler) => {
                let Handler { body, me, answer, outcome, .. } = *handler;
                changes.turn(
                    vat,
                    me.as_ref(),
                    |turn| body(turn, outcome),
                    |result, _vat| {
                        if let Some(answer) = answer {
                            answer.resolve(result);
                        }
                    },
                );
            }
            Self::Run(errand) => errand.run(vat, changes),
            Self::Install(cell, behaviour) => changes.install(&cell, behaviour),
        }
    }

    fn refuse(self) {
        match self {
            Self::Deliver(_, message) => message.refuse(|| STOPPED.into()),
            Self::Handle(handler) => handler.refuse(&STOPPED.into()),
            // Dropping an errand tells its future.
            Self::Run(_) | Self::Install(..) => {}
        }
    }
}

impl VatCore {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn home(&self) -> Option<&Arc<Home>> {
        self.home.as_ref()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn scheduler(&self) -> &Arc<dyn Scheduler> {
        &self.scheduler
    }

    /// Nothing is called or dropped under this lock.
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn post_message(self: &Arc<Self>, to: &Arc<ActorCell>, message: Message) {
        self.post(Job::Deliver(to.clone(), message));
    }

    /// Posts messages under one lock. `next` may only hand them over: see
    /// [`Self::inbox`].
    pub(crate) fn post_messages(
        self: &Arc<Self>,
        mut next: impl FnMut() -> Option<(Arc<ActorCell>, Message)>,
    ) {
        let mut inbox = self.inbox();
        if self.stopped.load(Ordering::Acquire) {
            drop(inbox);
            while let Some((_, message)) = next() {
                message.refuse(|| STOPPED.into());
            }
            return;
        }
        while let Some((cell, message)) = next() {
            inbox.jobs.push_back(Job::Deliver(cell, message));
        }
        self.wake(inbox);
    }

    fn post(self: &Arc<Self>, job: Job) {
        let mut inbox = self.inbox();
        if self.stopped.load(Ordering::Acquire) {
            drop(inbox);
            return job.refuse();
        }
        inbox.jobs.push_back(job);
        self.wake(inbox);
    }

    /// The last reference to an actor is gone.
    pub(crate) fn discard(self: &Arc<Self>, id: ActorId) {
        let mut inbox = self.inbox();
        if self.stopped.load(Ordering::Acquire) {
            return;
        }
        inbox.garbage.push(id);
        self.littered.store(true, Ordering::Release);
        self.wake(inbox);
    }

    fn wake(self: &Arc<Self>, mut inbox: MutexGuard<'_, Inbox>) {
        let asleep = !std::mem::replace(&mut inbox.awake, true);
        drop(inbox);
        if asleep {
            drive::ready(ReadyVat::new(self.clone()));
        }
    }

    pub(crate) fn stop(&self) {
        let mut inbox = self.inbox();
        self.stopped.store(true, Ordering::Release);
        let jobs = std::mem::take(&mut inbox.jobs);
        let asleep = !inbox.awake;
        drop(inbox);
        jobs.into_iter().for_each(Job::refuse);
        // A vat that runs clears itself when its turn is over.
        match self.strand.try_lock() {
            Ok(strand) => self.clear(strand),
            Err(TryLockError::Poisoned(poisoned)) => self.clear(poisoned.into_inner()),
            // About to fall asleep, or another stop: either ends without our help.
            Err(TryLockError::WouldBlock) if asleep => {
                self.clear(self.strand.lock().unwrap_or_else(PoisonError::into_inner));
            }
            Err(TryLockError::WouldBlock) => {}
        }
    }

    /// Drops everything, with no lock held.
    fn clear(&self, mut strand: MutexGuard<'_, Strand>) {
        let Strand { changes, batch } = std::mem::take(&mut *strand);
        drop(strand);
        self.actors.store(0, Ordering::Release);
        batch.into_iter().for_each(Job::refuse);
        drop(changes);
        if let Some(home) = &self.home {
            home.stop();
        }
    }

    /// Runs up to `budget` turns. Returns how many there were and whether more wait.
    pub(crate) fn run(self: &Arc<Self>, budget: usize) -> (usize, bool) {
        let mut strand = self.strand.lock().unwrap_or_else(PoisonError::into_inner);
        let mut turns = 0;
        loop {
            if self.stopped.load(Ordering::Acquire) {
                self.clear(strand);
                return (turns, false);
            }
            if self.littered.load(Ordering::Acquire) {
                self.sweep(&mut strand);
                continue;
            }
            if strand.batch.is_empty() {
                let mut inbox = self.inbox();
                if !inbox.jobs.is_empty() {
                    std::mem::swap(&mut inbox.jobs, &mut strand.batch);
                } else if inbox.garbage.is_empty() && !self.stopped.load(Ordering::Acquire) {
                    inbox.awake = false;
                    return (turns, false);
                }
                continue;
            }
            if turns >= budget {
                return (turns, true);
            }
            let Strand { changes, batch } = &mut *strand;
            if let Some(job) = batch.pop_front() {
                turns += 1;
                self.guarded(|| job.perform(self, changes));
                self.actors.store(changes.actors.len(), Ordering::Release);
            }
        }
    }

    /// Lets go of actors that nobody can reach any more, which may free others.
    fn sweep(&self, strand: &mut Strand) {
        self.littered.store(false, Ordering::Release);
        let garbage = std::mem::take(&mut self.inbox().garbage);
        for id in garbage {
            let behaviour = strand.changes.remove(id);
            self.guarded(|| drop(behaviour));
        }
        self.actors.store(strand.changes.actors.len(), Ordering::Release);
    }

    /// Turns catch their own panics; this is for those of a `Drop` after the turn,
    /// which must not take the vat with them.
    fn guarded(&self, work: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            tracing::error!(vat = self.name(), "dropping what a turn left panicked");
        }
    }
}
