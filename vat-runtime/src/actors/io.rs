//! Blocking work off the turn: threads with resources of their own, that run closures
//! and fulfil promises.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::effect::after_turn;
use crate::{Fault, Promise, Resolver, Turn, Value, promise};

/// Threads that do what would block a vat. Each has a resource, such as a file or a
/// connection, and does one thing after the other with it.
///
/// Work begins when the turn that asked for it has ended well (in a vat that is kept
/// on a disk the turn need not be there yet), and what it comes to is a promise. The
/// threads end, after all that waits, when the last handle is dropped. Not durable: it
/// owns threads.
///
/// ```
/// use vat_runtime::actors::Io;
/// use vat_runtime::{Manual, Vat};
///
/// let io = Io::pool("demo", 2, 16)?;
/// let hand = Manual::new();
/// let vat = Vat::new("demo", hand.clone());
/// let read = vat.run(move |turn| {
///     Ok(io.run(turn, |()| Ok(std::fs::read_to_string("/dev/null").is_ok().into())))
/// });
/// hand.run_until_idle();
/// assert_eq!(read.wait().unwrap().wait(), Ok(true.into()));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Io<R = ()>(SyncSender<Job<R>>);

struct Job<R> {
    work: Box<Work<R>>,
    answer: Resolver,
}

type Work<R> = dyn FnOnce(&mut R) -> Result<Value, Fault> + Send;

impl Io {
    /// That many threads that have nothing of their own, and a queue of up to `queue`
    /// pieces of work that wait for one of them.
    ///
    /// # Errors
    ///
    /// When the system refuses another thread.
    pub fn pool(name: &str, threads: usize, queue: usize) -> io::Result<Self> {
        Self::start(name, queue, std::iter::repeat_n((), threads))
    }
}

impl<R: Send + 'static> Io<R> {
    /// A thread for each of the resources, and a queue of up to `queue` pieces of work
    /// that wait for one of them.
    ///
    /// # Errors
    ///
    /// When the system refuses another thread.
    pub fn start(
        name: &str,
        queue: usize,
        resources: impl IntoIterator<Item = R>,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(queue);
        let receiver = Arc::new(Mutex::new(receiver));
        for resource in resources {
            let receiver = receiver.clone();
            let thread = thread::Builder::new().name(name.into());
            thread.spawn(move || Job::do_all(&receiver, resource))?;
        }
        Ok(Self(sender))
    }

    /// Runs the closure on one of the threads. The promise breaks if it fails or
    /// panics, or if too much waits already.
    pub fn run<F>(&self, turn: &mut Turn<'_>, work: F) -> Promise
    where
        F: FnOnce(&mut R) -> Result<Value, Fault> + Send + 'static,
    {
        let (promise, answer) = promise();
        let (sender, job) = (self.0.clone(), Job { work: Box::new(work), answer });
        after_turn(turn, move || match sender.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job)) => job.answer.break_with("too much io waits already"),
            Err(TrySendError::Disconnected(job)) => job.answer.break_with("there is no io thread"),
        });
        promise
    }
}

impl<R> Job<R> {
    fn do_all(jobs: &Mutex<Receiver<Self>>, mut resource: R) {
        loop {
            let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(Self { work, answer }) = next else { return };
            // What the panic says is local detail, and the thread must go on.
            let outcome = catch_unwind(AssertUnwindSafe(|| work(&mut resource)));
            answer.resolve(outcome.unwrap_or_else(|_| Err("the io failed".into())));
        }
    }
}

impl<R> Clone for Io<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R> std::fmt::Debug for Io<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Io")
    }
}
