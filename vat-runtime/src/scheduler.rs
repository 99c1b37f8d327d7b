//! When and where vats run. Owns the [`Scheduler`] interface and two schedulers:
//! stepping by hand, and a thread.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::{self, JoinHandle};

use crate::sync::{Mutex, lock};
use crate::vat::VatCore;

/// Decides when and where vats run.
pub trait Scheduler: Send + Sync + 'static {
    /// Takes a vat that has something to do, to [`ReadyVat::run`] it soon. Called
    /// once for each time the vat wakes, on the thread that woke it, which may be in
    /// a `Drop`: it must neither block nor run the vat right there.
    fn ready(&self, vat: ReadyVat);
}

/// The right to run one vat that has something to do. Only one exists for a vat at
/// a time. Dropping it unused, as a scheduler that shuts down does, stops the vat,
/// so that nobody waits for it forever.
#[must_use = "dropping it stops the vat"]
pub struct ReadyVat(Option<Arc<VatCore>>);

/// What is left after running a vat.
#[must_use = "dropping what is left stops the vat"]
#[derive(Debug)]
pub enum Ran {
    /// The budget is used up and there is more to do.
    More(ReadyVat),
    /// Nothing is left; the scheduler hears of the vat when there is.
    Idle,
}

impl ReadyVat {
    pub(crate) const fn new(vat: Arc<VatCore>) -> Self {
        Self(Some(vat))
    }

    /// Runs up to `budget` turns of the vat on this thread.
    pub fn run(self, budget: usize) -> Ran {
        self.run_counted(budget).1
    }

    /// Also tells how many turns there were.
    pub(crate) fn run_counted(mut self, budget: usize) -> (usize, Ran) {
        let Some(vat) = self.0.take() else {
            return (0, Ran::Idle);
        };
        let (turns, more) = vat.run(budget);
        (turns, if more { Ran::More(Self(Some(vat))) } else { Ran::Idle })
    }

    /// The vat's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.as_ref().map_or("", |vat| vat.name())
    }

    /// Gives the vat to its own scheduler.
    pub(crate) fn hand_over(self) {
        if let Some(scheduler) = self.0.as_ref().and_then(|vat| vat.scheduler()) {
            scheduler.ready(self);
        }
    }
}

impl Drop for ReadyVat {
    fn drop(&mut self) {
        if let Some(vat) = self.0.take() {
            vat.stop();
        }
    }
}

impl fmt::Debug for ReadyVat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadyVat").field(&self.name()).finish()
    }
}

/// A scheduler that is stepped by hand: for tests, and for programs with a loop of
/// their own. Vats take turns in the order in which they became ready, one turn
/// each, so the same program runs the same way every time.
#[derive(Debug, Default)]
pub struct Manual(Mutex<VecDeque<ReadyVat>>);

impl Manual {
    /// A scheduler with nothing to do.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Runs one turn of the vat that has waited longest. Returns whether any was
    /// ready.
    pub fn step(&self) -> bool {
        let next = lock(&self.0).pop_front();
        let Some(vat) = next else { return false };
        if let Ran::More(vat) = vat.run(1) {
            self.ready(vat);
        }
        true
    }

    /// Steps until no vat is ready, and returns how many steps it took. Does not
    /// return if the actors never stop sending to each other.
    pub fn run_until_idle(&self) -> usize {
        let mut steps = 0;
        while self.step() {
            steps += 1;
        }
        steps
    }
}

impl Scheduler for Manual {
    fn ready(&self, vat: ReadyVat) {
        lock(&self.0).push_back(vat);
    }
}

/// A scheduler that runs its vats on one thread of its own, which ends when the
/// scheduler and its vats are dropped.
#[derive(Debug)]
pub struct OwnThread {
    ready: Sender<ReadyVat>,
    /// Until somebody waits for its end.
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl OwnThread {
    /// How many turns a vat runs before the next one has its chance.
    const SLICE: usize = 128;

    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system refuses another thread.
    pub fn start(name: &str) -> io::Result<Arc<Self>> {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new().name(name.into());
        let thread = Mutex::new(Some(thread.spawn(move || Self::run(&receiver))?));
        Ok(Arc::new(Self { ready: sender, thread }))
    }

    /// Waits until the scheduler and all its vats have been dropped and the thread has
    /// ended. Does not return if this is one of its vats' turns. Only one can wait; for
    /// others it returns at once.
    pub fn join(self: Arc<Self>) {
        let thread = lock(&self.thread).take();
        drop(self);
        if let Some(thread) = thread {
            // A turn's panic is caught where it happens.
            let _ = thread.join();
        }
    }

    fn run(receiver: &Receiver<ReadyVat>) {
        let mut waiting = VecDeque::new();
        loop {
            loop {
                match receiver.try_recv() {
                    Ok(vat) => waiting.push_back(vat),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) if waiting.is_empty() => return,
                    Err(TryRecvError::Disconnected) => break,
                }
            }
            let vat: Option<ReadyVat> = waiting.pop_front();
            let Some(vat) = vat.or_else(|| receiver.recv().ok()) else {
                return;
            };
            if let Ran::More(vat) = vat.run(Self::SLICE) {
                waiting.push_back(vat);
            }
        }
    }
}

impl Scheduler for OwnThread {
    fn ready(&self, vat: ReadyVat) {
        // The thread lives as long as this sender; if it is gone, the vat comes
        // back with the error and stops.
        let _ = self.ready.send(vat);
    }
}
