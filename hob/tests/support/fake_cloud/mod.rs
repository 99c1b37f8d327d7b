//! A cloud on loopback, for tests: it behaves as the documentation of Linode's or
//! Hetzner's API says, except where it is told to go wrong.
//!
//! What goes wrong is decided by a seed. All times are those of a clock that moves only
//! when somebody waits by it, or when the cloud is slow, so that no test sleeps.

mod hetzner;
mod linode;
mod server;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hob::providers::cloud::http::Clock;
use serde_json::Value;

pub(crate) use server::Request;

/// A clock for tests.
#[derive(Default)]
pub(crate) struct TestClock {
    now: Mutex<Duration>,
    dice: Mutex<Dice>,
}

impl TestClock {
    pub(crate) fn seeded(seed: u64) -> Arc<Self> {
        Arc::new(Self { now: Mutex::default(), dice: Mutex::new(Dice::new(seed)) })
    }

    pub(crate) fn advance(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Duration {
        *self.now.lock().unwrap()
    }

    fn sleep(&self, time: Duration) {
        self.advance(time);
    }

    fn random(&self) -> u32 {
        self.dice.lock().unwrap().next() as u32
    }
}

/// Random numbers that are the same each time.
#[derive(Default)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// 32 hexadecimal digits, parsed as what they are wanted for.
    pub(crate) fn mark<T: std::str::FromStr>(&mut self) -> T {
        let text = format!("{:016x}{:016x}", self.next(), self.next());
        text.parse().ok().unwrap()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vendor {
    Linode,
    Hetzner,
}

/// What can go wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Too many requests; with `Retry-After`, if a number is given.
    Busy(Option<u64>),
    /// An error of the server's, before or after it has done what was asked for.
    Broken { done: bool },
    /// The connection is cut, before or after.
    Cut { done: bool },
    /// The connection is cut in the middle of the answer.
    Torn,
    /// No answer, ever, though it is done or not.
    Silent { done: bool },
    /// The connection is cut, and it is done after that time.
    Late(Duration),
    /// Something on the way sends the request twice; the answer is the first's or the
    /// second's.
    Twice { first: bool },
    /// It takes that time.
    Slow(Duration),
    /// The machine is busy with something else.
    Locked,
    /// What was sent is refused, and repeated.
    Echo,
    /// The boss that asks is killed, before or after it is done.
    Killed { done: bool },
}

/// Who decides what goes wrong.
pub(crate) enum Weather {
    /// Nothing does.
    Fair,
    /// That many percent of the requests, in many ways.
    Bad { percent: u64, dice: Dice },
    /// These, one after the other; then nothing.
    Script(Vec<Option<Fault>>),
}

/// How long after a request the cloud may still do what it asks for, and how far what it
/// lists may be behind. Together less than what the providers wait for by default.
pub(crate) const LATEST: Duration = Duration::from_secs(4);

impl Weather {
    fn next(&mut self, delete: bool) -> Option<Fault> {
        match self {
            Self::Fair => None,
            Self::Script(faults) if faults.is_empty() => None,
            Self::Script(faults) => faults.remove(0),
            Self::Bad { percent, dice } => dice.chance(*percent).then(|| any(dice, delete)),
        }
    }
}

fn any(dice: &mut Dice, delete: bool) -> Fault {
    let done = dice.chance(50);
    match dice.below(10) {
        0 => Fault::Busy(Some(1 + dice.below(20))),
        1 => Fault::Busy(None),
        2 => Fault::Broken { done },
        3 => Fault::Cut { done },
        4 => Fault::Torn,
        5 => Fault::Late(LATEST.mul_f64(dice.below(100) as f64 / 100.0)),
        6 => Fault::Twice { first: done },
        7 => Fault::Slow(Duration::from_secs(dice.below(20))),
        8 if delete => Fault::Locked,
        _ => Fault::Killed { done },
    }
}

/// A machine in the cloud.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) created: Duration,
    pub(crate) deleted: Option<Duration>,
    /// Linode's tags; Hetzner's labels, as `key=value`.
    pub(crate) marks: Vec<String>,
    pub(crate) user_data: String,
}

impl Machine {
    /// Somebody's machine.
    pub(crate) fn new(name: &str, marks: &[&str]) -> Self {
        Self {
            id: 0,
            name: name.to_owned(),
            created: Duration::ZERO,
            deleted: None,
            marks: marks.iter().map(|mark| (*mark).to_owned()).collect(),
            user_data: String::new(),
        }
    }
}

/// An answer: the status, more headers, and the body.
pub(crate) struct Answer(pub u16, pub Vec<String>, pub Value);

/// All that the cloud knows.
pub(crate) struct State {
    vendor: Vendor,
    clock: Arc<TestClock>,
    pub(crate) weather: Weather,
    /// Whether it takes no second machine of the same name.
    pub(crate) unique_names: bool,
    /// Whether it lists everything, whatever was asked for.
    pub(crate) ignores_filters: bool,
    /// How far behind the truth what it lists is.
    pub(crate) lag: Duration,
    machines: Vec<Machine>,
    late: Vec<(Duration, Request)>,
    /// The bosses up to that number are dead.
    dead: u64,
    /// What was asked for, as `METHOD /path`.
    pub(crate) log: Vec<String>,
}

impl State {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Puts a machine there without a request.
    pub(crate) fn add(&mut self, mut machine: Machine) -> u64 {
        machine.id = 1000 + self.machines.len() as u64;
        machine.created = self.now();
        self.machines.push(machine);
        1000 + self.machines.len() as u64 - 1
    }

    /// The machines that there really are, once all that is under way has happened.
    pub(crate) fn alive(&mut self) -> Vec<Machine> {
        self.clock.advance(LATEST);
        self.catch_up();
        self.machines.iter().filter(|machine| machine.deleted.is_none()).cloned().collect()
    }

    /// Does what is late and due now.
    fn catch_up(&mut self) {
        let now = self.now();
        let (due, late) =
            std::mem::take(&mut self.late).into_iter().partition(|(when, _)| *when <= now);
        self.late = late;
        for (_, request) in due {
            self.perform(&request);
        }
    }

    fn perform(&mut self, request: &Request) -> Answer {
        match self.vendor {
            Vendor::Linode => linode::answer(self, request),
            Vendor::Hetzner => hetzner::answer(self, request),
        }
    }

    /// The machines that are listed now.
    fn listed(&self) -> Vec<&Machine> {
        let then = self.now().saturating_sub(self.lag);
        let there = |machine: &&Machine| {
            machine.created <= then && machine.deleted.is_none_or(|deleted| deleted > then)
        };
        self.machines.iter().filter(there).collect()
    }

    fn has_name(&self, name: &str) -> bool {
        self.machines.iter().any(|machine| machine.deleted.is_none() && machine.name == name)
    }

    fn delete(&mut self, id: u64) -> bool {
        let now = self.now();
        let mut machines = self.machines.iter_mut();
        match machines.find(|machine| machine.id == id && machine.deleted.is_none()) {
            Some(machine) => machine.deleted = Some(now),
            None => return false,
        }
        true
    }
}

/// A cloud that runs until it is dropped.
pub(crate) struct FakeCloud {
    server: server::Server,
    state: Arc<Mutex<State>>,
}

impl FakeCloud {
    /// The token that it wants.
    pub(crate) const TOKEN: &str = "token-of-the-fake-cloud";

    pub(crate) fn start(vendor: Vendor, clock: Arc<TestClock>) -> Self {
        let state = Arc::new(Mutex::new(State {
            vendor,
            clock,
            weather: Weather::Fair,
            unique_names: true,
            ignores_filters: false,
            lag: Duration::ZERO,
            machines: Vec::new(),
            late: Vec::new(),
            dead: 0,
            log: Vec::new(),
        }));
        Self { server: server::Server::start(state.clone()), state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Its URL, for the boss of that number, which counts from 1.
    pub(crate) fn url(&self, boss: u64) -> String {
        format!("http://{}/boss{boss}", self.server.address)
    }

    /// Kills the bosses up to that number: nothing they send arrives any more.
    pub(crate) fn kill(&self, boss: u64) {
        let mut state = self.state();
        state.dead = state.dead.max(boss);
    }
}
