//! Vats: a map of actors, a queue of messages and the strand that runs them. Owns
//! when a vat is awake, and what happens to what it holds when it stops.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::behaviour::Behaviour;
use crate::cell::Outcome;
use crate::changes::{Changes, Keeper};
use crate::drive;
use crate::ids::ActorId;
use crate::inbox::{Inbox, Next, Refused};
use crate::intake::Place;
use crate::job::{Errand, Job, LookBack, Photograph, ReadLog, STOPPED};
use crate::persist::Store;
use crate::persist::home::Home;
use crate::promise::{Message, Resolver, Settling};
use crate::reference::{ActorCell, Kind, Ref};
use crate::scheduler::{ReadyVat, Scheduler};
use crate::snapshot::Snapshot;
use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering, TryLockError, lock};
use crate::trace::{Running, TurnId, VatLog};
use crate::turn::Turn;
use crate::watchdog::Pulse;
use crate::{Args, Fault, Value};

/// Bounds on what one vat may use. Each has a default.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How deep [`Turn::call`] may nest before it fails. Default 128: each level
    /// takes stack.
    pub call_depth: usize,
    /// How many turns may wait before sessions that go on delivering to the vat are
    /// paced: they are not read until the vat has got through half of that. Default
    /// 100,000. What is sent within this process is not held back; past ten times this
    /// many it breaks.
    pub queue: usize,
    /// How many actors of a durable vat are awake before those that were not called for
    /// longest sleep. They wake by themselves. Default no limit. Those that have
    /// changed and are not durable yet stay awake, so that there may be more.
    pub awake: usize,
    /// How many of its last turns the vat's log has: see [`Vat::log`]. Default 64. 0 is
    /// no log.
    pub log: usize,
    /// Of how many of its last turns the vat remembers what they changed: see
    /// [`Vat::peek_at`]. Default 0. What such a turn has replaced is kept alive, with
    /// all references that it holds.
    pub history: usize,
    /// How long a turn may take before a [`Watchdog`](crate::Watchdog) that watches the
    /// vat reports it. Default 5 s; zero is never.
    pub turn_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call_depth: 128,
            awake: usize::MAX,
            queue: 100_000,
            log: 64,
            history: 0,
            turn_time: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// The same limits with another [`Limits::call_depth`].
    #[must_use]
    pub const fn call_depth(mut self, calls: usize) -> Self {
        self.call_depth = calls;
        self
    }

    /// The same limits with another [`Limits::queue`].
    #[must_use]
    pub const fn queue(mut self, turns: usize) -> Self {
        self.queue = turns;
        self
    }

    /// The same limits with another [`Limits::awake`].
    #[must_use]
    pub const fn awake(mut self, actors: usize) -> Self {
        self.awake = actors;
        self
    }

    /// The same limits with another [`Limits::turn_time`].
    #[must_use]
    pub const fn turn_time(mut self, time: Duration) -> Self {
        self.turn_time = time;
        self
    }

    /// The same limits with another [`Limits::log`].
    #[must_use]
    pub const fn log(mut self, turns: usize) -> Self {
        self.log = turns;
        self
    }

    /// The same limits with another [`Limits::history`].
    #[must_use]
    pub const fn history(mut self, turns: usize) -> Self {
        self.history = turns;
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
        let inbox = Inbox::new(limits.queue);
        let core = VatCore::new(name, scheduler, limits, Changes::default(), inbox, None);
        Self(Arc::new(Handle { core, _store: None }))
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
        let (inbox, changes) = (Inbox::new(limits.queue), Changes::kept(keeper));
        let core = VatCore::new(name, scheduler, limits, changes, inbox, Some(home));
        Self(Arc::new(Handle { core, _store: Some(store) }))
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

    /// The vat's last turns, and because of what they were: see [`Limits::log`] and
    /// [`Trace`](crate::Trace).
    pub fn log(&self) -> Settling<VatLog> {
        let (settling, end) = Settling::new(STOPPED);
        self.core().post(Job::Run(Box::new(ReadLog(end))));
        settling
    }

    /// Calls an actor as it and its vat were after an earlier turn, and leaves everything
    /// as it is. The future fails if the vat does not remember the turns since: see
    /// [`Limits::history`].
    pub fn peek_at(&self, turn: TurnId, to: &Ref, args: Args) -> Settling<Value> {
        let (settling, end) = Settling::new(STOPPED);
        if turn.vat == self.core().id {
            let to = to.clone();
            self.core().post(Job::Run(Box::new(LookBack { turn: turn.turn, to, args, end })));
        } else {
            end.settle(Err("the turn is of another vat".into()));
        }
        settling
    }

    /// What the vat's world is between two turns, to be looked at in an
    /// [`Actormap`](crate::Actormap): what would happen if. Costs a pointer for every 64
    /// actors. Actors of a durable vat that sleep are not in it.
    pub fn snapshot(&self) -> Settling<Snapshot> {
        let (settling, end) = Settling::new(STOPPED);
        self.core().post(Job::Run(Box::new(Photograph(end))));
        settling
    }

    /// Gives an actor of this vat another behaviour, from outside and between two turns:
    /// for a program that is changed while it runs. The future fails if the reference
    /// is not near to this vat.
    pub fn replace_behaviour(&self, of: &Ref, behaviour: impl Behaviour) -> Settling<()> {
        let of = of.clone();
        self.run(move |turn| turn.replace(&of, Arc::new(behaviour)))
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

    /// How many turns wait for the vat.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.core().inbox.len()
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
    /// A number that no other vat of this process has, from 1.
    id: u64,
    name: Box<str>,
    /// Where its actors are stored.
    home: Option<Arc<Home>>,
    /// `None` once the vat has stopped: a scheduler that has the vat in a list of its own
    /// would keep itself.
    scheduler: Mutex<Option<Arc<dyn Scheduler>>>,
    limits: Limits,
    actors: AtomicUsize,
    /// The turn that runs, for a watchdog.
    pulse: Pulse,
    inbox: Inbox,
    /// Held by whoever runs the vat; nobody else waits for it while the vat is
    /// awake.
    strand: Mutex<Strand>,
}

#[derive(Default)]
struct Strand {
    changes: Changes,
    /// Taken from the inbox and not yet done.
    batch: VecDeque<Job>,
}

/// The scheduler of what is not scheduled. Never asked.
struct Unscheduled;

impl Scheduler for Unscheduled {
    fn ready(&self, _vat: ReadyVat) {}
}

impl VatCore {
    fn new(
        name: &str,
        scheduler: Arc<dyn Scheduler>,
        limits: Limits,
        changes: Changes,
        inbox: Inbox,
        home: Option<Arc<Home>>,
    ) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let changes = changes.remembering(limits.log, limits.history);
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name: name.into(),
            home,
            scheduler: Mutex::new(Some(scheduler)),
            inbox,
            limits,
            actors: AtomicUsize::new(0),
            pulse: Pulse::default(),
            strand: Mutex::new(Strand { changes, batch: VecDeque::new() }),
        })
    }

    /// The place of actors that no scheduler runs: what is sent to them waits until it
    /// is taken out.
    pub(crate) fn unscheduled(name: &str, limits: Limits) -> Arc<Self> {
        let inbox = Inbox::sleepless(limits.queue);
        Self::new(name, Arc::new(Unscheduled), limits, Changes::default(), inbox, None)
    }

    /// What has waited longest, of what was sent to actors that no scheduler runs.
    pub(crate) fn take_job(&self) -> Option<Job> {
        self.inbox.take_one()
    }

    /// The actors that nothing refers to any more, to be let go of.
    pub(crate) fn take_garbage(&self) -> Vec<ActorId> {
        if !self.inbox.is_littered() {
            return Vec::new();
        }
        self.inbox.take_garbage()
    }

    /// Tells whoever wants to know what a turn came to.
    pub(crate) fn answer(&self, answer: Option<Resolver>, outcome: Outcome) {
        match (answer, outcome) {
            (Some(answer), outcome) => answer.resolve(outcome),
            (None, Err(fault)) => {
                tracing::debug!(vat = self.name(), %fault, "a turn failed unheard");
            }
            (None, Ok(_)) => {}
        }
    }

    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn home(&self) -> Option<&Arc<Home>> {
        self.home.as_ref()
    }

    pub(crate) const fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.inbox.is_stopped()
    }

    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// `None` once the vat has stopped.
    pub(crate) fn scheduler(&self) -> Option<Arc<dyn Scheduler>> {
        lock(&self.scheduler).clone()
    }

    pub(crate) fn post_message(self: &Arc<Self>, to: &Arc<ActorCell>, mut message: Message) {
        message.wait_in(Place::Queue);
        self.post(Job::Deliver(to.clone(), message));
    }

    /// Posts messages of this vat to itself under one lock. `next` may only hand them
    /// over: it is called with the inbox locked.
    pub(crate) fn post_messages(
        self: &Arc<Self>,
        mut next: impl FnMut() -> Option<(Arc<ActorCell>, Message)>,
    ) {
        loop {
            let (wake, refused) = self.inbox.put_all(&mut next);
            if wake {
                self.wake();
            }
            match refused {
                Some(refused) => self.refuse(refused),
                None => return,
            }
        }
    }

    pub(crate) fn post(self: &Arc<Self>, job: Job) {
        match self.inbox.put(job) {
            Ok(true) => self.wake(),
            Ok(false) => {}
            Err(refused) => self.refuse(refused),
        }
    }

    #[cold]
    fn refuse(&self, Refused { job, why, newly_full }: Refused) {
        if newly_full {
            tracing::error!(vat = self.name(), "{why}: what is sent to it breaks");
        }
        job.refuse(why);
    }

    /// The last reference to an actor is gone.
    pub(crate) fn discard(self: &Arc<Self>, id: ActorId) {
        if self.inbox.discard(id) {
            self.wake();
        }
    }

    /// The inbox said that the vat slept until now.
    fn wake(self: &Arc<Self>) {
        drive::ready(ReadyVat::new(self.clone()));
    }

    pub(crate) fn stop(&self) {
        let (jobs, asleep) = self.inbox.stop();
        let scheduler = lock(&self.scheduler).take();
        drop(scheduler);
        jobs.into_iter().for_each(|job| job.refuse(STOPPED));
        // A vat that runs clears itself when its turn is over.
        match self.strand.try_lock() {
            Ok(strand) => self.clear(strand),
            Err(TryLockError::Poisoned(poisoned)) => self.clear(poisoned.into_inner()),
            // About to fall asleep, or another stop: either ends without our help.
            Err(TryLockError::WouldBlock) if asleep => self.clear(lock(&self.strand)),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    /// Drops everything, with no lock held.
    fn clear(&self, mut strand: MutexGuard<'_, Strand>) {
        let Strand { changes, batch } = std::mem::take(&mut *strand);
        drop(strand);
        self.actors.store(0, Ordering::Release);
        batch.into_iter().for_each(|job| job.refuse(STOPPED));
        drop(changes);
        if let Some(home) = &self.home {
            home.stop();
        }
    }

    /// Runs up to `budget` turns. Returns how many there were and whether more wait.
    pub(crate) fn run(self: &Arc<Self>, budget: usize) -> (usize, bool) {
        let mut strand = lock(&self.strand);
        let _running = Running::begin();
        let mut turns = 0;
        loop {
            if self.inbox.is_stopped() {
                self.clear(strand);
                return (turns, false);
            }
            if self.inbox.is_littered() {
                self.sweep(&mut strand);
                continue;
            }
            if strand.batch.is_empty() {
                match self.inbox.take(&mut strand.batch) {
                    Next::Work => continue,
                    Next::Sleep => return (turns, false),
                }
            }
            if turns >= budget {
                return (turns, true);
            }
            let Strand { changes, batch } = &mut *strand;
            if let Some(job) = batch.pop_front() {
                turns += 1;
                self.inbox.begun(batch.len());
                self.pulse.begin();
                self.guarded(|| job.perform(self, changes));
                self.pulse.end();
                self.actors.store(changes.actors.len(), Ordering::Release);
            }
        }
    }

    /// Lets go of actors that nobody can reach any more, which may free others.
    fn sweep(&self, strand: &mut Strand) {
        for id in self.inbox.take_garbage() {
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
