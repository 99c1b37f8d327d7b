//! What waits for a vat. Owns the queue and its bounds, and whether the vat is awake.
//!
//! A queue that has grown past [`Limits::queue`](crate::Limits::queue) holds the
//! [intakes](crate::Intake) of the sessions that go on delivering to it, until the vat
//! has got through half of it. What is sent from within this process is not held
//! back, as nothing could wait for it; past ten times the limit it is refused.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ids::ActorId;
use crate::intake::Intake;
use crate::job::{Job, STOPPED};
use crate::promise::Message;
use crate::reference::ActorCell;
use crate::sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering, lock};

/// How many times the limit of the queue what is sent in this process may make it.
pub(crate) const HARD_LIMIT: usize = 10;

/// For how many jobs a vat that sleeps keeps space.
const KEPT_CAPACITY: usize = 8192;

const TOO_FAR_BEHIND: &str = "the vat is too far behind";

pub(crate) struct Inbox {
    state: Mutex<State>,
    /// Set under the lock.
    stopped: AtomicBool,
    /// There is garbage.
    littered: AtomicBool,
    /// Jobs that the strand has taken and not begun. Set by the strand.
    taken: AtomicUsize,
    /// Intakes are held. Set under the lock.
    crowded: AtomicBool,
    /// From how many waiting jobs on intakes are held.
    limit: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Actors whose last reference is gone.
    garbage: Vec<ActorId>,
    /// The vat is with its scheduler or running.
    awake: bool,
    held: Vec<Arc<Intake>>,
    /// Messages are being refused, and that has been said.
    full: bool,
}

/// A job that is not let in.
pub(crate) struct Refused {
    pub(crate) job: Job,
    pub(crate) why: &'static str,
    /// The first that finds the queue full.
    pub(crate) newly_full: bool,
}

/// What a vat has to do next.
pub(crate) enum Next {
    /// The batch has been filled, or garbage waits.
    Work,
    /// Nothing: the vat is asleep from now on.
    Sleep,
}

impl Inbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::new(State::default()),
            stopped: AtomicBool::new(false),
            littered: AtomicBool::new(false),
            taken: AtomicUsize::new(0),
            crowded: AtomicBool::new(false),
            limit,
        }
    }

    /// An inbox that wakes nobody.
    pub(crate) fn sleepless(limit: usize) -> Self {
        let inbox = Self::new(limit);
        inbox.lock().awake = true;
        inbox
    }

    /// Nothing is called or dropped under this lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// How many jobs wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting(&self.lock())
    }

    fn waiting(&self, state: &State) -> usize {
        state.jobs.len() + self.taken.load(Ordering::Relaxed)
    }

    /// Puts a job behind the others. Whether the vat is to be woken.
    pub(crate) fn put(&self, job: Job) -> Result<bool, Refused> {
        let mut state = self.lock();
        if self.is_stopped() {
            return Err(Refused { job, why: STOPPED, newly_full: false });
        }
        if self.waiting(&state) >= self.limit && !self.let_in(&mut state, &job) {
            let newly_full = !std::mem::replace(&mut state.full, true);
            return Err(Refused { job, why: TOO_FAR_BEHIND, newly_full });
        }
        state.jobs.push_back(job);
        Ok(state.wake())
    }

    /// Puts messages of the vat to itself behind the others, until there are no more or
    /// one is refused. `next` may only hand them over: see [`Self::lock`]. Whether the
    /// vat is to be woken.
    pub(crate) fn put_all(
        &self,
        mut next: impl FnMut() -> Option<(Arc<ActorCell>, Message)>,
    ) -> (bool, Option<Refused>) {
        let mut state = self.lock();
        let room = (HARD_LIMIT * self.limit).saturating_sub(self.waiting(&state));
        let room = if self.is_stopped() { 0 } else { room };
        let mut refused = None;
        let mut put = 0;
        while let Some((to, message)) = next() {
            let job = Job::Deliver(to, message);
            if put == room {
                let (why, newly_full) = match self.is_stopped() {
                    true => (STOPPED, false),
                    false => (TOO_FAR_BEHIND, !std::mem::replace(&mut state.full, true)),
                };
                refused = Some(Refused { job, why, newly_full });
                break;
            }
            state.jobs.push_back(job);
            put += 1;
        }
        (put > 0 && state.wake(), refused)
    }

    /// A job comes while the queue is too long. Whether it may.
    #[cold]
    fn let_in(&self, state: &mut State, job: &Job) -> bool {
        match job {
            Job::Deliver(_, Message { load: Some(load), .. }) => {
                let intake = load.intake();
                if !state.held.iter().rev().any(|held| Arc::ptr_eq(held, intake)) {
                    intake.hold();
                    state.held.push(intake.clone());
                    self.crowded.store(true, Ordering::Relaxed);
                }
                true
            }
            Job::Deliver(..) | Job::Run(_) => self.waiting(state) < HARD_LIMIT * self.limit,
            // Somebody has asked for these, one by one, and nobody would hear that they
            // were refused.
            Job::Handle(_) | Job::Install(..) => true,
        }
    }

    /// Takes an actor that nobody can reach any more. Whether the vat is to be woken.
    pub(crate) fn discard(&self, id: ActorId) -> bool {
        let mut state = self.lock();
        if self.is_stopped() {
            return false;
        }
        state.garbage.push(id);
        self.littered.store(true, Ordering::Release);
        state.wake()
    }

    /// Refuses everything from now on. Gives what waited, and whether the vat slept.
    pub(crate) fn stop(&self) -> (VecDeque<Job>, bool) {
        let mut state = self.lock();
        self.stopped.store(true, Ordering::Release);
        let jobs = std::mem::take(&mut state.jobs);
        let asleep = !state.awake;
        let held = self.let_go(&mut state);
        drop(state);
        release(held);
        (jobs, asleep)
    }

    // For the strand.

    pub(crate) fn is_littered(&self) -> bool {
        self.littered.load(Ordering::Acquire)
    }

    pub(crate) fn take_garbage(&self) -> Vec<ActorId> {
        self.littered.store(false, Ordering::Release);
        std::mem::take(&mut self.lock().garbage)
    }

    /// Takes out what has waited longest.
    pub(crate) fn take_one(&self) -> Option<Job> {
        let mut state = self.lock();
        let job = state.jobs.pop_front();
        self.relax(state, 0);
        job
    }

    /// Fills an empty batch with what waits, or lets the vat fall asleep.
    pub(crate) fn take(&self, batch: &mut VecDeque<Job>) -> Next {
        let mut state = self.lock();
        if !state.jobs.is_empty() {
            std::mem::swap(&mut state.jobs, batch);
            self.taken.store(batch.len(), Ordering::Relaxed);
            Next::Work
        } else if state.garbage.is_empty() && !self.is_stopped() {
            state.awake = false;
            if batch.capacity() > KEPT_CAPACITY {
                std::mem::take(batch);
                state.jobs = VecDeque::new();
            }
            Next::Sleep
        } else {
            Next::Work
        }
    }

    /// The strand has begun a job, with so many left of its batch.
    pub(crate) fn begun(&self, left: usize) {
        self.taken.store(left, Ordering::Relaxed);
        // Seen at the latest with the job that came when it was set.
        if left <= self.limit / 2 && self.crowded.load(Ordering::Relaxed) {
            self.relax(self.lock(), left);
        }
    }

    /// Lets intakes go on if the queue has become short enough.
    fn relax(&self, mut state: MutexGuard<'_, State>, taken: usize) {
        let short = state.jobs.len() + taken <= self.limit / 2;
        let held = if short { self.let_go(&mut state) } else { Vec::new() };
        drop(state);
        release(held);
    }

    fn let_go(&self, state: &mut State) -> Vec<Arc<Intake>> {
        state.full = false;
        self.crowded.store(false, Ordering::Relaxed);
        std::mem::take(&mut state.held)
    }
}

impl State {
    /// Whether the vat slept until now.
    fn wake(&mut self) -> bool {
        !std::mem::replace(&mut self.awake, true)
    }
}

fn release(held: Vec<Arc<Intake>>) {
    for intake in held {
        intake.release();
    }
}
