//! The one store of a node. Owns [`Store`]: how it is opened and closed, how far it has
//! got, and its roots.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use smol_str::SmolStr;

use crate::cell::PromiseCell;
use crate::persist::backend::{Backend, StoredVat, View};
use crate::persist::home::Home;
use crate::persist::queue::{Latest, Queue};
use crate::persist::remote::{Backoff, Outside};
use crate::persist::{Barrier, Realm};
use crate::promise::Resolver;
use crate::{Behaviour, Clock, Value};

/// Why a store does not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// What is stored could not be read, or is not what it should be.
    #[error("the store cannot be read: {0}")]
    Unreadable(Arc<str>),
    /// Writing has failed. What was durable then is; nothing more will be.
    #[error("the store has failed: {0}")]
    Failed(Arc<str>),
    /// It has been closed.
    #[error("the store is closed")]
    Closed,
    /// A vat of this name runs already.
    #[error("the vat {0:?} is open already")]
    AlreadyOpen(SmolStr),
    /// The vat was not opened in a store.
    #[error("the vat has no store")]
    NotDurable,
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error.to_string().into())
    }
}

/// How a store works.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct StoreOptions {
    /// Commit only when told to ([`Store::commit_now`]) instead of on a thread of the
    /// store's own: for tests that are the same every time.
    pub by_hand: bool,
    /// Never drop what nothing holds unless told to ([`Store::collect`]). By default
    /// this is done, in the background, each time that the number of objects has
    /// doubled.
    pub keep_garbage: bool,
    /// How long to go on trying to enliven a stored reference.
    pub backoff: Backoff,
}

impl StoreOptions {
    /// The same with commits by hand.
    #[must_use]
    pub const fn by_hand(mut self) -> Self {
        self.by_hand = true;
        self
    }

    /// The same without collections unless told to.
    #[must_use]
    pub const fn keep_garbage(mut self) -> Self {
        self.keep_garbage = true;
        self
    }

    /// The same with another [`StoreOptions::backoff`].
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("by_hand", &self.by_hand)
            .field("keep_garbage", &self.keep_garbage)
            .field("backoff", &self.backoff)
            .finish()
    }
}

/// Where durable vats live across restarts: what their turns change, written behind
/// their backs.
///
/// A turn that changes something durable gets the next number ([`Barrier::pending`]) and
/// goes on; nothing is written in it, and nothing read unless it calls an actor that
/// sleeps. The store's thread takes all that has changed since it looked last, puts it
/// into words and writes it as one transaction (*group commit*): [`Barrier::durable`] then
/// is the number of the last turn in it.
///
/// When writing fails the store has failed for good, and nothing more becomes durable.
/// Turns go on; who acknowledges them must wait for what will not come.
///
/// A handle; the store is closed, after what is pending is written, when it is told to
/// or the last handle is dropped. Vats hold one.
#[derive(Clone)]
pub struct Store(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the handles, the vats and the thread of a store share.
pub(crate) struct Shared {
    pub(crate) options: StoreOptions,
    /// None once the store is closed.
    backend: RwLock<Option<Arc<dyn Backend>>>,
    pub(crate) queue: Mutex<Queue>,
    /// There is work, or no more.
    pub(crate) work: Condvar,
    /// More is durable, or nothing more will be.
    pub(crate) progress: Condvar,
    pub(crate) pending: AtomicU64,
    pub(crate) durable: AtomicU64,
    /// Why nothing more will be durable.
    pub(crate) ended: OnceLock<Arc<str>>,
    /// Held by whoever commits.
    pub(crate) committing: Mutex<()>,
    pub(crate) vats: Mutex<Vats>,
    pub(crate) outside: RwLock<Option<Outside>>,
    /// Looks for objects that nothing holds, or has.
    pub(crate) collector: Mutex<Option<JoinHandle<()>>>,
}

/// The vats of a store.
#[derive(Default)]
pub(crate) struct Vats {
    pub(crate) stored: BTreeMap<u64, VatState>,
    /// Promises for actors of vats that are not open.
    pub(crate) awaited: HashMap<(u64, u64), Awaited>,
}

impl Vats {
    /// The actors of vats that are not open which something in memory refers to.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = (u64, u64)> {
        let held = self.awaited.iter().filter(|(_, there)| there.promise.strong_count() > 0);
        held.map(|(actor, _)| *actor)
    }
}

pub(crate) struct Awaited {
    pub(crate) promise: Weak<PromiseCell>,
    /// Once somebody waits for the promise.
    pub(crate) resolver: Option<Resolver>,
}

pub(crate) struct VatState {
    pub(crate) name: SmolStr,
    /// The number of the next object.
    pub(crate) next: Arc<AtomicU64>,
    /// Up to which number the store knows of objects.
    pub(crate) reserved: u64,
    /// The vat as it was opened, each time that it was.
    pub(crate) homes: Vec<Weak<Home>>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens a store with the default options.
    ///
    /// # Errors
    ///
    /// If what is stored cannot be read, or the system refuses another thread.
    pub fn open(backend: impl Backend) -> Result<Self, StoreError> {
        Self::open_with(backend, StoreOptions::default())
    }

    /// Opens a store.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn open_with(backend: impl Backend, options: StoreOptions) -> Result<Self, StoreError> {
        let view = backend.view()?;
        let summary = view.summary()?;
        let mut vats = Vats::default();
        for (id, StoredVat { name, next }) in view.vats()? {
            let (reserved, next) = (next, Arc::new(AtomicU64::new(next)));
            vats.stored.insert(id, VatState { name, next, reserved, homes: Vec::new() });
        }
        drop(view);
        let by_hand = options.by_hand;
        let shared = Arc::new(Shared {
            options,
            backend: RwLock::new(Some(Arc::new(backend))),
            queue: Mutex::new(Queue::new(summary.sequence)),
            work: Condvar::new(),
            progress: Condvar::new(),
            pending: AtomicU64::new(summary.sequence),
            durable: AtomicU64::new(summary.sequence),
            ended: OnceLock::new(),
            committing: Mutex::default(),
            vats: Mutex::new(vats),
            outside: RwLock::default(),
            collector: Mutex::default(),
        });
        let thread = if by_hand {
            None
        } else {
            let shared = shared.clone();
            let thread = thread::Builder::new().name("store".into());
            Some(thread.spawn(move || shared.keep_committing()).map_err(StoreError::from)?)
        };
        Ok(Self(Arc::new(Handle { shared, thread: Mutex::new(thread) })))
    }

    /// Has stored references to peers' objects enlivened by a node. Without a clock
    /// there is one try each time that somebody wants something.
    pub fn connect(&self, realm: Arc<dyn Realm>, clock: Option<Arc<dyn Clock>>) {
        let backoff = self.shared().options.backoff.clone();
        let mut outside = self.shared().outside.write().unwrap_or_else(PoisonError::into_inner);
        let before = outside.replace(Outside { realm, clock, backoff });
        drop(outside);
        drop(before);
    }

    /// What a session needs to know of this store.
    #[must_use]
    pub fn barrier(&self) -> Arc<dyn Barrier> {
        self.0.shared.clone()
    }

    /// The last turn that changed something durable.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.shared().pending()
    }

    /// The last turn that will be there after a crash.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.shared().durable()
    }

    /// Why nothing more will be durable, if so.
    #[must_use]
    pub fn failure(&self) -> Option<StoreError> {
        lock(&self.shared().queue).failure()
    }

    /// Waits on this thread until a turn is durable: [`Store::pending`], say, for all
    /// that has happened. Never in a turn.
    ///
    /// # Errors
    ///
    /// If it never will be.
    pub fn wait(&self, turn: u64) -> Result<(), StoreError> {
        let mut queue = lock(&self.shared().queue);
        loop {
            if self.durable() >= turn {
                return Ok(());
            }
            if let Some(failure) = queue.failure() {
                return Err(failure);
            }
            queue = self.shared().progress.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A future of when a turn is durable.
    pub fn until_durable(&self, turn: u64) -> UntilDurable {
        UntilDurable { shared: self.0.shared.clone(), turn }
    }

    /// Commits what is pending, on this thread.
    ///
    /// # Errors
    ///
    /// If the store has failed, now or before, or is closed.
    pub fn commit_now(&self) -> Result<u64, StoreError> {
        self.shared().commit_once()?;
        Ok(self.durable())
    }

    /// What is durable, unchanged by later turns: to be looked at, or copied
    /// ([`copy`](crate::persist::copy)) while turns go on.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn view(&self) -> Result<Box<dyn View>, StoreError> {
        Ok(self.shared().backend()?.view()?)
    }

    /// Writes what is pending and lets go of the backend, also if handles and references
    /// are left.
    ///
    /// # Errors
    ///
    /// If writing has failed, now or before.
    pub fn close(&self) -> Result<(), StoreError> {
        self.0.close()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }
}

impl Handle {
    fn close(&self) -> Result<(), StoreError> {
        let by_hand = self.shared.options.by_hand;
        let result = if by_hand { self.shared.commit_once() } else { Ok(()) };
        let mut queue = lock(&self.shared.queue);
        queue.close();
        drop(queue);
        self.shared.work.notify_all();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread
            // The last handle may be part of a behaviour that the thread has dropped.
            && thread.thread().id() != thread::current().id()
        {
            // It catches the panics of others' code.
            let _ = thread.join();
        }
        let mut queue = lock(&self.shared.queue);
        let wakers = queue.end();
        self.shared.note_end(&queue);
        drop(queue);
        self.shared.progress.notify_all();
        wakers.into_iter().for_each(Waker::wake);
        let collector = lock(&self.shared.collector).take();
        if let Some(collector) = collector
            && collector.thread().id() != thread::current().id()
        {
            // It reads what is about to be let go of.
            let _ = collector.join();
        }
        let committing = lock(&self.shared.committing);
        let mut backend = self.shared.backend.write().unwrap_or_else(PoisonError::into_inner);
        drop(backend.take());
        drop((backend, committing));
        match lock(&self.shared.queue).failure() {
            Some(error @ StoreError::Failed(_)) => Err(error),
            _ => result.or_else(|error| match error {
                StoreError::Closed => Ok(()),
                other => Err(other),
            }),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "closing the store");
        }
    }
}

impl Shared {
    /// Makes it known that nothing more will be durable, if so.
    pub(crate) fn note_end(&self, queue: &Queue) {
        if let Some(failure) = queue.failure() {
            // The first reason stays.
            let _ = self.ended.set(failure.to_string().into());
        }
    }

    pub(crate) fn backend(&self) -> Result<Arc<dyn Backend>, StoreError> {
        let backend = self.backend.read().unwrap_or_else(PoisonError::into_inner);
        backend.clone().ok_or(StoreError::Closed)
    }

    /// The last behaviour of an object, or what is stored of it.
    pub(crate) fn latest(&self, vat: u64, id: u64) -> Result<Option<Latest>, StoreError> {
        let behaviour: Option<Arc<dyn Behaviour>> = lock(&self.queue).behaviour(vat, id);
        if let Some(behaviour) = behaviour {
            return Ok(Some(Latest::Pending(behaviour)));
        }
        Ok(self.backend()?.object(vat, id)?.map(Latest::Stored))
    }

    /// Sets a root, or takes it away. Gives the number of the change.
    pub(crate) fn put_root(&self, vat: u64, name: Bytes, value: Option<Value>) -> u64 {
        let mut queue = lock(&self.queue);
        let (sequence, before) = queue.put_root(vat, name, value);
        self.pending.store(sequence, Ordering::Release);
        drop(queue);
        self.work.notify_all();
        drop(before);
        sequence
    }
}

impl Barrier for Shared {
    fn pending(&self) -> u64 {
        self.pending.load(Ordering::Acquire)
    }

    fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    fn failed(&self) -> Option<Arc<str>> {
        self.ended.get().cloned()
    }

    fn watch(&self, waker: Waker) {
        lock(&self.queue).watchers.push(waker);
    }
}

/// A future of when a turn is durable. Its error says that it never will be.
#[derive(Clone)]
#[must_use = "futures do nothing unless awaited"]
pub struct UntilDurable {
    shared: Arc<Shared>,
    turn: u64,
}

impl Future for UntilDurable {
    type Output = Result<(), StoreError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut queue = lock(&self.shared.queue);
        if self.shared.durable() >= self.turn {
            return Poll::Ready(Ok(()));
        }
        if let Some(failure) = queue.failure() {
            return Poll::Ready(Err(failure));
        }
        let turn = self.turn;
        if !queue.waiters.iter().any(|(at, waker)| *at == turn && waker.will_wake(context.waker()))
        {
            queue.waiters.push((turn, context.waker().clone()));
        }
        Poll::Pending
    }
}

impl fmt::Debug for UntilDurable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UntilDurable").field("turn", &self.turn).finish_non_exhaustive()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("pending", &self.pending())
            .field("durable", &self.durable())
            .finish_non_exhaustive()
    }
}
