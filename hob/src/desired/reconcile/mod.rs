//! How a machine follows its boss: a state machine without input and output, clock or
//! randomness of its own.
//!
//! It is told what happens with [`Reconciler::handle`], then asked with
//! [`Reconciler::poll`] what is to be done until there is nothing more, and called again
//! at [`Reconciler::poll_timeout`] at the latest.
//!
//! - A push only says that there is something: the state itself is always pulled, one
//!   pull at a time, and again and again even if nothing is pushed. So what is lost is
//!   made up for, and what comes late does no harm.
//! - One piece of [`Work`] at a time is done on the machine.
//! - A generation that was applied is reported as being on trial, again and again, until
//!   the boss confirms it: that shows that the machine can still be reached. If the boss
//!   does not, in time, the machine goes back to what it held, and tries again once it
//!   has heard from the boss, after a while that doubles each time.
//! - Whatever the boss says last is what is wanted, also if its number is a lower one:
//!   then the boss has been restored from a backup.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use super::executor::Drift;
use super::machine::{Generation, GenerationId};

/// How often, and how long. All are settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// How often the state is pulled when nothing is pushed.
    pub(crate) pull_every: Duration,
    /// How long a pull may take.
    pub(crate) pull_timeout: Duration,
    /// How long after a pull that failed the next one is; it doubles, up to `pull_every`.
    pub(crate) pull_again: Duration,
    /// How often the machine is checked for drift.
    pub(crate) check_every: Duration,
    /// Within which time the boss must confirm what was applied.
    pub(crate) confirm_within: Duration,
    /// How often the report is repeated while a confirmation is awaited.
    pub(crate) report_every: Duration,
    /// How long a generation that failed is left alone at first; it doubles.
    pub(crate) retry_first: Duration,
    /// How long it is left alone at most.
    pub(crate) retry_most: Duration,
    /// Whether drift is repaired; else it is only reported.
    pub(crate) repair: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pull_every: Duration::from_secs(60),
            pull_timeout: Duration::from_secs(30),
            pull_again: Duration::from_secs(1),
            check_every: Duration::from_secs(5 * 60),
            confirm_within: Duration::from_secs(2 * 60),
            report_every: Duration::from_secs(5),
            retry_first: Duration::from_secs(30),
            retry_most: Duration::from_secs(60 * 60),
            repair: true,
        }
    }
}

/// What happens. Times are since any one moment, and never go back.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// Time has passed.
    Tick,
    /// The boss says that it has a generation of that number.
    Pushed(u64),
    /// What came of a pull.
    Pulled {
        /// Which pull.
        id: u64,
        /// What the boss wants, or why that is not known.
        result: Result<Generation, String>,
    },
    /// The boss confirms a trial.
    Confirmed {
        /// Which generation.
        generation: GenerationId,
        /// Which trial of it: the report's.
        trial: u64,
    },
    /// What came of the work.
    Done(Result<Done, String>),
}

/// What came of work that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// A generation is applied, or the held one once more, or confirmed, or gone back to.
    Well,
    /// In what the machine differs from what it holds.
    Checked(Vec<Drift>),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Output {
    /// Ask the boss what it wants, and say so with [`Input::Pulled`].
    Pull {
        /// Which pull.
        id: u64,
    },
    /// Do this on the machine, and say so with [`Input::Done`].
    Work(Work),
    /// Tell the boss. It need not arrive.
    Report(Report),
}

/// Something to be done on the machine, by a [`Rollout`](super::executor::Rollout).
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    /// `attempt` it.
    Apply(Box<Generation>),
    /// `confirm` it.
    Confirm(GenerationId),
    /// `roll_back`.
    RollBack,
    /// `check`.
    Check,
    /// `repair`.
    Repair,
}

/// How a machine stands with its desired state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// What it holds.
    pub(crate) held: GenerationId,
    /// What is applied and awaits its confirmation, and which trial that is.
    pub(crate) trying: Option<(GenerationId, u64)>,
    /// What it has gone back from, or could not apply, and why.
    pub(crate) refused: Option<(GenerationId, String)>,
    /// In what it differed from what it holds when it was last checked.
    pub(crate) drift: Vec<Drift>,
    /// Why it could not be checked or repaired, or go back, the last time.
    pub(crate) trouble: Option<String>,
}

/// What is under way on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Busy {
    Applying(GenerationId),
    Confirming(GenerationId),
    RollingBack,
    Checking,
    Repairing,
}

/// A generation that is applied and awaits its confirmation.
#[derive(Clone, Copy, Debug)]
struct Trial {
    id: GenerationId,
    number: u64,
    deadline: Duration,
    report_at: Duration,
    confirmed: bool,
}

/// A generation that failed.
#[derive(Clone, Debug)]
struct Refused {
    id: GenerationId,
    why: String,
    times: u32,
    until: Duration,
}

/// The state machine.
#[derive(Debug)]
pub(crate) struct Reconciler {
    settings: Settings,
    random: u64,
    held: GenerationId,
    /// What the boss wanted when it was last heard, if that is not held.
    wanted: Option<Generation>,
    trial: Option<Trial>,
    refused: Option<Refused>,
    /// The machine must go back: not before that time.
    roll_back_at: Option<Duration>,
    busy: Option<Busy>,
    /// The pull that is under way, and when it is given up.
    pulling: Option<(u64, Duration)>,
    /// Something was pushed while a pull was under way that may not know it.
    pull_once_more: bool,
    pulls: u64,
    pulls_failed: u32,
    pull_at: Duration,
    check_at: Duration,
    /// A check that follows a repair, and is followed by none.
    checks_repair: bool,
    drift: Vec<Drift>,
    trouble: Option<String>,
    troubles: u32,
    outputs: VecDeque<Output>,
}

impl Reconciler {
    /// A machine that holds that generation; if another one was begun and not confirmed,
    /// it goes back first. `seed` is any number that differs from machine to machine and
    /// from start to start.
    pub(crate) fn new(
        settings: Settings,
        held: GenerationId,
        unfinished: Option<GenerationId>,
        seed: u64,
        now: Duration,
    ) -> Self {
        let mut reconciler = Self {
            settings,
            random: seed,
            held,
            wanted: None,
            trial: None,
            refused: None,
            roll_back_at: None,
            busy: None,
            pulling: None,
            pull_once_more: false,
            pulls: 0,
            pulls_failed: 0,
            pull_at: now,
            check_at: now,
            checks_repair: false,
            drift: Vec::new(),
            trouble: None,
            troubles: 0,
            outputs: VecDeque::new(),
        };
        if let Some(id) = unfinished {
            reconciler.refuse(id, "hob was stopped before it was confirmed".to_owned(), now);
            reconciler.roll_back_at = Some(now);
        }
        // What was changed while nobody looked is found at once. Where nothing is held
        // there is nothing to find.
        if held.number == 0 {
            reconciler.next_check(now);
        }
        reconciler.advance(now);
        reconciler
    }

    /// Takes in what has happened.
    pub(crate) fn handle(&mut self, now: Duration, input: Input) {
        match input {
            Input::Tick => {}
            Input::Pushed(number) => self.pushed(now, number),
            Input::Pulled { id, result } => self.pulled(now, id, result),
            Input::Confirmed { generation, trial } => {
                if let Some(own) = &mut self.trial {
                    own.confirmed |= own.id == generation && own.number == trial;
                }
            }
            Input::Done(result) => self.done(now, result),
        }
        self.advance(now);
    }

    /// The next thing that is to be done.
    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When a [`Input::Tick`] is due at the latest.
    pub(crate) fn poll_timeout(&self) -> Duration {
        let pull = self.pulling.map_or(self.pull_at, |(_, deadline)| deadline);
        if self.busy.is_some() {
            return pull;
        }
        let next = match (self.roll_back_at, self.trial) {
            (Some(at), _) => at,
            (None, Some(trial)) => trial.deadline.min(trial.report_at),
            (None, None) => self.check_at,
        };
        pull.min(next)
    }

    /// How the machine stands.
    pub(crate) fn report(&self) -> Report {
        Report {
            held: self.held,
            trying: self.trial.map(|trial| (trial.id, trial.number)),
            refused: self.refused.as_ref().map(|refused| (refused.id, refused.why.clone())),
            drift: self.drift.clone(),
            trouble: self.trouble.clone(),
        }
    }

    fn pushed(&mut self, now: Duration, number: u64) {
        let newest = self.wanted.as_ref().map(|wanted| wanted.number);
        let newest = newest.or(self.trial.map(|trial| trial.id.number)).unwrap_or(self.held.number);
        if number == newest {
            return;
        }
        if self.pulling.is_some() {
            self.pull_once_more = true;
        } else {
            self.pull_at = now;
        }
    }

    fn pulled(&mut self, now: Duration, id: u64, result: Result<Generation, String>) {
        if self.pulling.is_none_or(|(own, _)| own != id) {
            return;
        }
        match result {
            Ok(generation) => {
                self.pull_ended(now, true);
                let id = generation.id();
                if self.refused.as_ref().is_some_and(|refused| refused.id != id) {
                    self.refused = None;
                }
                let trying = self.trial.map(|trial| trial.id);
                let busy = match self.busy {
                    Some(Busy::Applying(id) | Busy::Confirming(id)) => Some(id),
                    _ => None,
                };
                let newest = busy.or(trying).unwrap_or(self.held);
                let refused = self.refused.as_ref().filter(|refused| refused.until > now);
                if let Some(refused) = refused {
                    self.pull_at = self.pull_at.min(refused.until);
                }
                let wanted = id != newest && refused.is_none();
                self.wanted = wanted.then_some(generation);
                self.outputs.push_back(Output::Report(self.report()));
            }
            Err(_) => self.pull_ended(now, false),
        }
    }

    fn pull_ended(&mut self, now: Duration, well: bool) {
        self.pulling = None;
        let pause = if well {
            self.pulls_failed = 0;
            self.settings.pull_every
        } else {
            self.pulls_failed = self.pulls_failed.saturating_add(1);
            doubled(self.settings.pull_again, self.pulls_failed, self.settings.pull_every)
        };
        let once_more = std::mem::take(&mut self.pull_once_more) && well;
        let pause = if once_more { Duration::ZERO } else { self.jittered(pause) };
        self.pull_at = now.saturating_add(pause);
    }

    fn done(&mut self, now: Duration, result: Result<Done, String>) {
        let Some(busy) = self.busy.take() else { return };
        let well = result.is_ok();
        match (busy, result) {
            (Busy::Applying(id), Ok(_)) => {
                let deadline = now.saturating_add(self.settings.confirm_within);
                let number = self.next_random();
                self.trial = Some(Trial { id, number, deadline, report_at: now, confirmed: false });
            }
            (Busy::Applying(id), Err(why)) => {
                self.refuse(id, why, now);
                self.roll_back_at = Some(now);
            }
            (Busy::Confirming(id), Ok(_)) => {
                self.held = id;
                self.trial = None;
                self.refused = None;
                self.drift.clear();
                self.forget_if_wanted(&id);
            }
            (Busy::Confirming(_), Err(why)) => {
                self.trouble = Some(why);
                // It is still on trial, and the boss answers the next report.
                if let Some(trial) = &mut self.trial {
                    trial.confirmed = false;
                }
            }
            (Busy::RollingBack, Ok(_)) => self.drift.clear(),
            (Busy::RollingBack, Err(why)) => {
                self.trouble = Some(why);
                self.troubles = self.troubles.saturating_add(1);
                let pause =
                    doubled(self.settings.pull_again, self.troubles, self.settings.confirm_within);
                let pause = self.jittered(pause);
                self.roll_back_at = Some(now.saturating_add(pause));
            }
            (Busy::Checking, result) => {
                let after_repair = std::mem::take(&mut self.checks_repair);
                self.next_check(now);
                match result {
                    Ok(Done::Checked(drift)) => self.drift = drift,
                    Ok(Done::Well) => {}
                    Err(why) => self.trouble = Some(why),
                }
                if well && !self.drift.is_empty() && self.settings.repair && !after_repair {
                    self.start(Busy::Repairing, Work::Repair);
                }
            }
            (Busy::Repairing, Ok(_)) => {
                self.checks_repair = true;
                self.check_at = now;
            }
            (Busy::Repairing, Err(why)) => self.trouble = Some(why),
        }
        if well {
            self.trouble = None;
            self.troubles = 0;
        }
        self.outputs.push_back(Output::Report(self.report()));
    }

    fn forget_if_wanted(&mut self, id: &GenerationId) {
        if self.wanted.as_ref().is_some_and(|wanted| wanted.id() == *id) {
            self.wanted = None;
        }
    }

    /// Does not try a generation for a while, and then only if the boss still wants it.
    fn refuse(&mut self, id: GenerationId, why: String, now: Duration) {
        let before = self.refused.as_ref().filter(|refused| refused.id == id);
        let times = before.map_or(0, |refused| refused.times).saturating_add(1);
        let pause = doubled(self.settings.retry_first, times, self.settings.retry_most);
        let until = now.saturating_add(self.jittered(pause));
        self.refused = Some(Refused { id, why, times, until });
        self.forget_if_wanted(&id);
        self.pull_at = self.pull_at.min(until);
    }

    fn start(&mut self, busy: Busy, work: Work) {
        self.busy = Some(busy);
        self.outputs.push_back(Output::Work(work));
    }

    /// Does whatever is due.
    fn advance(&mut self, now: Duration) {
        if self.pulling.is_some_and(|(_, deadline)| deadline <= now) {
            self.pull_ended(now, false);
        }
        if self.pulling.is_none() && self.pull_at <= now {
            self.pulls += 1;
            self.pulling = Some((self.pulls, now.saturating_add(self.settings.pull_timeout)));
            self.outputs.push_back(Output::Pull { id: self.pulls });
        }
        if self.busy.is_some() {
            return;
        }
        if let Some(at) = self.roll_back_at {
            if at <= now {
                self.roll_back_at = None;
                self.start(Busy::RollingBack, Work::RollBack);
            }
            return;
        }
        if let Some(trial) = self.trial {
            return self.judge(now, trial);
        }
        if !self.apply_wanted() && self.check_at <= now {
            self.start(Busy::Checking, Work::Check);
        }
    }

    /// What becomes of a generation that is on trial.
    fn judge(&mut self, now: Duration, trial: Trial) {
        if trial.confirmed {
            self.start(Busy::Confirming(trial.id), Work::Confirm(trial.id));
        } else if trial.deadline <= now {
            self.trial = None;
            let seconds = self.settings.confirm_within.as_secs();
            let why = format!("the boss did not confirm it within {seconds} s");
            self.refuse(trial.id, why, now);
            self.start(Busy::RollingBack, Work::RollBack);
        } else if self.apply_wanted() {
            // What the boss no longer wants need not be confirmed.
        } else if trial.report_at <= now {
            let report_at = now.saturating_add(self.settings.report_every);
            self.trial = Some(Trial { report_at, ..trial });
            self.outputs.push_back(Output::Report(self.report()));
        }
    }

    fn apply_wanted(&mut self) -> bool {
        let Some(wanted) = self.wanted.take() else { return false };
        let id = wanted.id();
        let tried = self.trial.take().is_some();
        if id != self.held {
            self.start(Busy::Applying(id), Work::Apply(Box::new(wanted)));
        } else if tried {
            // What is held was wanted again while another was on trial.
            self.start(Busy::RollingBack, Work::RollBack);
        }
        self.busy.is_some()
    }

    fn next_check(&mut self, now: Duration) {
        let pause = self.jittered(self.settings.check_every);
        self.check_at = now.saturating_add(pause);
    }

    fn next_random(&mut self) -> u64 {
        // SplitMix64: spreads the machines, and keeps no secrets.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // Positive as a signed number too, since it is passed as one.
        (z ^ (z >> 31)) >> 1
    }

    /// Up to a fifth less or more, so that machines that were started together part.
    fn jittered(&mut self, pause: Duration) -> Duration {
        let share = u32::try_from(self.next_random() % 401).unwrap_or(200);
        pause.saturating_mul(800 + share) / 1000
    }
}

/// A pause that doubles each time, up to a most.
fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    let factor = 1u32.checked_shl(times.saturating_sub(1)).unwrap_or(u32::MAX);
    first.saturating_mul(factor.max(1)).min(most)
}
