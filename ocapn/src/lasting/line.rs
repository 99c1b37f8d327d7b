//! The one way from a node to what a sturdyref names, with who waits for it. Owns
//! [`Line`], which all [`Lasting`](super::Lasting)s of the sturdyref share: so it does not
//! matter that actors sleep, and are restored twice.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, SystemTime};

use captp::ConnId;
use captp::locator::{PeerId, Sturdyref};
use vat_runtime::persist::Backoff;
use vat_runtime::{Args, Clock, Fault, Ref, Resolver, Value};

use super::unreachable::{Unreachable, reason};
use super::{LastingLimits, LastingState};
use crate::DialError;
use crate::bootstrap::NO_SUCH_OBJECT;
use crate::glue;
use crate::hub::{Dialled, Hub, Link, STOPPED, fetch};

/// What is said of a session of which nobody has said more.
const CUT: &str = "the session has ended";

pub(crate) struct Line {
    hub: Weak<Hub>,
    clock: Arc<dyn Clock>,
    sturdyref: Sturdyref,
    peer: PeerId,
    state: Mutex<State>,
    me: Weak<Self>,
}

/// What the line is at. Nothing is called, and no reference dropped, under its lock.
struct State {
    phase: Phase,
    waiting: VecDeque<Waiting>,
    /// The line itself, for as long as messages wait: whoever sent them may be gone.
    held: Option<Arc<Line>>,
    backoff: Backoff,
    /// How many tries there have been since all was well.
    tries: u32,
    /// Which try is under way. What came of others does not count.
    attempt: u64,
    /// Not before then, unless a session comes up.
    try_at: Duration,
    /// The next message is not to wait for that: those before it have heard why not, and
    /// it is to hear at once whether that has changed.
    hasty: bool,
    /// When the next alarm rings.
    alarm: Option<Duration>,
    /// How many want the line to be up even if there is no message.
    keepers: usize,
    was_up: bool,
    since: SystemTime,
    last_error: Option<String>,
}

struct Waiting {
    args: Args,
    answer: Resolver,
    due: Duration,
}

#[derive(Clone)]
enum Phase {
    Down,
    /// Asking this session for the object, or dialling.
    Trying(Option<Arc<Link>>),
    Up(Way),
}

#[derive(Clone)]
struct Way {
    object: Ref,
    /// None for what is of this node itself.
    link: Option<Arc<Link>>,
    from: Duration,
    /// Messages that have waited go first.
    draining: bool,
}

impl Way {
    fn is_cut(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.is_over())
    }
}

impl Way {
    /// Whether the peer has begun another session although it had this one: it knows
    /// nothing of this one any more, which is to be noticed only later. Two that began at
    /// the same time are both good: what goes by the one would overtake the other.
    fn is_superseded(
        &self,
        peer: &PeerId,
        by: &Arc<Link>,
        now: Duration,
        handshake: Duration,
    ) -> bool {
        self.link.as_ref().is_some_and(|link| {
            !Arc::ptr_eq(link, by)
                && link.peer().is_some_and(|there| there.location.id() == *peer)
                && now.saturating_sub(self.from) >= handshake
        })
    }
}

impl State {
    fn is_wanted(&self) -> bool {
        !self.waiting.is_empty() || self.keepers > 0
    }

    /// When to try, if somebody wants that.
    fn try_at(&self) -> Option<Duration> {
        match self.phase {
            Phase::Down if self.hasty && !self.waiting.is_empty() => Some(Duration::ZERO),
            Phase::Down if self.is_wanted() => Some(self.try_at),
            _ => None,
        }
    }

    /// Begins a try. Gives its number.
    fn begin(&mut self) -> u64 {
        self.phase = Phase::Trying(None);
        self.hasty = false;
        self.attempt += 1;
        self.tries = self.tries.saturating_add(1);
        self.attempt
    }

    /// Those who have waited too long.
    fn take_overdue(&mut self, now: Duration) -> Vec<Resolver> {
        let waiting = std::mem::take(&mut self.waiting);
        let (overdue, waiting) = waiting.into_iter().partition(|message| message.due <= now);
        self.waiting = waiting;
        let overdue: VecDeque<Waiting> = overdue;
        overdue.into_iter().map(|message| message.answer).collect()
    }

    /// The next time at which something is to be done.
    fn next_due(&self) -> Option<Duration> {
        let overdue = self.waiting.iter().map(|message| message.due);
        overdue.chain(self.try_at()).min()
    }
}

impl Line {
    /// The line to what a sturdyref names.
    pub(super) fn of(hub: &Hub, clock: &Arc<dyn Clock>, sturdyref: Sturdyref) -> Arc<Self> {
        let make = |peer| {
            Arc::new_cyclic(|me| Self {
                hub: hub.handle(),
                clock: clock.clone(),
                sturdyref: sturdyref.clone(),
                peer,
                state: Mutex::new(State {
                    phase: Phase::Down,
                    waiting: VecDeque::new(),
                    held: None,
                    backoff: Backoff::default(),
                    tries: 0,
                    attempt: 0,
                    try_at: Duration::ZERO,
                    hasty: false,
                    alarm: None,
                    keepers: 0,
                    was_up: false,
                    since: hub.outside().wall_time(),
                    last_error: None,
                }),
                me: me.clone(),
            })
        };
        hub.lines().find_or(hub, &sturdyref, make)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    pub(super) const fn sturdyref(&self) -> &Sturdyref {
        &self.sturdyref
    }

    pub(super) fn describe(&self) -> LastingState {
        let way = self.way().filter(|way| !way.is_cut());
        let state = self.lock();
        LastingState {
            object: way.map(|way| way.object),
            since: state.since,
            waiting: state.waiting.len(),
            last_error: state.last_error.clone(),
        }
    }

    fn way(&self) -> Option<Way> {
        match &self.lock().phase {
            Phase::Up(way) => Some(way.clone()),
            _ => None,
        }
    }

    // Those who use the line.

    pub(super) fn forward(&self, args: Args, answer: Resolver, limits: &LastingLimits) {
        if let Some(way) = self.way() {
            if way.is_cut() {
                self.cut_off(&way, CUT);
            } else if !way.draining {
                return way.object.deliver(args, Some(answer));
            }
        }
        let due = self.clock.now().saturating_add(limits.patience);
        let mut state = self.lock();
        if state.waiting.len() >= limits.waiting {
            drop(state);
            let why = format!("{} messages wait for it already", limits.waiting);
            return answer.break_with(Unreachable::Full.fault(&self.peer, &why));
        }
        state.waiting.push_back(Waiting { args, answer, due });
        state.backoff = limits.backoff.clone();
        state.held = self.me.upgrade();
        drop(state);
        self.tend();
    }

    pub(super) fn keep_up(&self, backoff: &Backoff) {
        let mut state = self.lock();
        state.keepers += 1;
        state.backoff = backoff.clone();
        drop(state);
        self.tend();
    }

    pub(super) fn let_go(&self) {
        self.lock().keepers -= 1;
    }

    /// Takes a reference to the object, if it leads anywhere.
    pub(super) fn adopt(&self, live: &Ref) {
        if live.is_promise() || !live.is_remote() {
            return;
        }
        let mut state = self.lock();
        if matches!(state.phase, Phase::Up(_)) {
            return;
        }
        let attempt = state.begin();
        drop(state);
        self.found(attempt, live.clone());
    }

    // Trying.

    /// Does what is due, and sees to it that it is called when more is.
    fn tend(&self) {
        let now = self.clock.now();
        let mut state = self.lock();
        let overdue = state.take_overdue(now);
        if !overdue.is_empty() && state.waiting.is_empty() {
            state.hasty = true;
        }
        let attempt = state.try_at().filter(|due| *due <= now).map(|_| state.begin());
        let alarm = state.next_due().filter(|due| state.alarm.is_none_or(|alarm| *due < alarm));
        state.alarm = alarm.or(state.alarm);
        let held = if state.waiting.is_empty() { state.held.take() } else { None };
        let why = state.last_error.clone();
        drop(state);
        let why = why.unwrap_or_else(|| "it has not answered".to_owned());
        for answer in overdue {
            answer.break_with(Unreachable::Away.fault(&self.peer, &why));
        }
        if let Some(due) = alarm {
            let me = self.me.clone();
            let ring = move || {
                if let Some(line) = me.upgrade() {
                    line.rung(due);
                }
            };
            self.clock.at(due, Box::new(ring));
        }
        if let Some(attempt) = attempt {
            self.attempt(attempt);
        }
        drop(held);
    }

    fn rung(&self, due: Duration) {
        self.lock().alarm.take_if(|alarm| *alarm == due);
        self.tend();
    }

    fn attempt(&self, attempt: u64) {
        let Some(hub) = self.hub.upgrade().filter(|hub| !hub.is_stopping()) else {
            return self.refused(attempt, Unreachable::Away, STOPPED);
        };
        if hub.is_us(&self.sturdyref.peer) {
            return match hub.lookup(self.sturdyref.swiss.as_bytes()) {
                Some(object) => self.found(attempt, object),
                None => self.refused(attempt, Unreachable::NoSuchObject, NO_SUCH_OBJECT),
            };
        }
        let me = self.me.clone();
        hub.session(&self.sturdyref.peer, move |dialled| {
            if let Some(line) = me.upgrade() {
                line.dialled(attempt, dialled);
            }
        });
    }

    fn dialled(&self, attempt: u64, dialled: Dialled) {
        let link = match dialled {
            Ok(link) => link,
            Err(error) => {
                if let DialError::Stopped = error {
                    return self.refused(attempt, Unreachable::Away, STOPPED);
                }
                return match reason(&error) {
                    (Unreachable::Away, why) => self.failed(attempt, &why),
                    (reason, why) => self.refused(attempt, reason, &why),
                };
            }
        };
        {
            let mut state = self.lock();
            if state.attempt != attempt || !matches!(state.phase, Phase::Trying(None)) {
                return;
            }
            state.phase = Phase::Trying(Some(link.clone()));
        }
        let promise = link.bootstrap().send(fetch(self.sturdyref.swiss.as_bytes()));
        if let Some(hub) = self.hub.upgrade() {
            hub.remember(&promise, &self.sturdyref);
        }
        let (me, link) = (self.me.clone(), Arc::downgrade(&link));
        promise.when_settled(move |outcome| {
            if let Some(line) = me.upgrade() {
                line.fetched(attempt, link.upgrade().as_deref(), outcome);
            }
        });
    }

    fn fetched(&self, attempt: u64, link: Option<&Link>, outcome: Result<Value, Fault>) {
        match outcome {
            Ok(Value::Ref(object)) => self.found(attempt, object),
            Ok(other) => {
                let why = format!("it gave a {}", other.kind());
                self.refused(attempt, Unreachable::NoSuchObject, &why);
            }
            Err(fault) if link.is_none_or(Link::is_over) => {
                self.failed(attempt, &fault.to_string())
            }
            Err(fault) => self.refused(attempt, Unreachable::NoSuchObject, &fault.to_string()),
        }
    }

    /// The object is there: what waits goes on.
    fn found(&self, attempt: u64, object: Ref) {
        let Some(hub) = self.hub.upgrade() else {
            return self.refused(attempt, Unreachable::Away, STOPPED);
        };
        let session = glue::remote(&object).map(|(session, _)| session);
        let link = session.and_then(|session| hub.link(ConnId(session)));
        if session.is_some() && link.is_none() {
            return self.failed(attempt, CUT);
        }
        let way = Way { object, link, from: self.clock.now(), draining: true };
        let wall_time = hub.outside().wall_time();
        {
            let mut state = self.lock();
            if state.attempt != attempt || !matches!(state.phase, Phase::Trying(_)) {
                return;
            }
            state.phase = Phase::Up(way.clone());
            state.was_up = true;
            state.since = wall_time;
        }
        if let Some(session) = session {
            hub.lines().leads_through(session, self.me.clone());
            // It may have ended before it knew of us.
            if hub.link(ConnId(session)).is_none() {
                return self.cut_off(&way, CUT);
            }
        }
        self.drain(attempt);
    }

    fn drain(&self, attempt: u64) {
        loop {
            let Some(way) = self.way().filter(|way| way.draining) else { return };
            if way.is_cut() {
                return self.cut_off(&way, CUT);
            }
            let mut state = self.lock();
            if state.attempt != attempt {
                return;
            }
            let Some(Waiting { args, answer, .. }) = state.waiting.pop_front() else {
                if let Phase::Up(way) = &mut state.phase {
                    way.draining = false;
                }
                let held = state.held.take();
                drop(state);
                return drop(held);
            };
            drop(state);
            way.object.deliver(args, Some(answer));
        }
    }

    /// It may go better next time.
    fn failed(&self, attempt: u64, why: &str) {
        {
            let pause = self.pause();
            let mut state = self.lock();
            if state.attempt != attempt || !matches!(state.phase, Phase::Trying(_)) {
                return;
            }
            state.try_at = self.clock.now().saturating_add(pause(&state));
            state.last_error = Some(why.to_owned());
            let before = std::mem::replace(&mut state.phase, Phase::Down);
            drop(state);
            drop(before);
        }
        self.tend();
    }

    /// It will not go better next time, unless somebody changes something.
    fn refused(&self, attempt: u64, reason: Unreachable, why: &str) {
        let mut state = self.lock();
        if state.attempt != attempt || !matches!(state.phase, Phase::Trying(_)) {
            return;
        }
        state.try_at = self.clock.now().saturating_add(state.backoff.most);
        state.hasty = true;
        state.last_error = Some(why.to_owned());
        let before = std::mem::replace(&mut state.phase, Phase::Down);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(before);
        for message in waiting {
            message.answer.break_with(reason.fault(&self.peer, why));
        }
        self.tend();
    }

    /// How long to wait now, of which chance leaves out up to a half: or all who have lost
    /// the same peer would come back to it at once.
    fn pause(&self) -> impl FnOnce(&State) -> Duration + use<> {
        let [chance, ..] = self.hub.upgrade().map_or([0; 32], |hub| hub.outside().entropy());
        move |state| {
            let pause = state.backoff.after(state.tries.saturating_sub(1));
            pause.saturating_sub(pause / 512 * u32::from(chance))
        }
    }

    // What becomes of sessions.

    /// There is a session with the peer.
    pub(super) fn session_started(&self) {
        let Some(hub) = self.hub.upgrade() else { return };
        // It may be one with somebody who has not proven to be the peer.
        let Some(there) = hub.session_with(&self.sturdyref.peer) else { return };
        let handshake = hub.settings().peers.handshake;
        let (now, wall_time) = (self.clock.now(), hub.outside().wall_time());
        let mut state = self.lock();
        if !state.is_wanted() && !state.was_up {
            return;
        }
        match &state.phase {
            Phase::Up(way) if way.is_superseded(&self.peer, &there, now, handshake) => {
                state.since = wall_time;
                state.last_error = Some("the peer has begun another session".to_owned());
            }
            Phase::Up(_) => return,
            Phase::Trying(Some(link)) if Arc::ptr_eq(link, &there) => return,
            Phase::Trying(_) | Phase::Down => {}
        }
        let before = std::mem::replace(&mut state.phase, Phase::Down);
        let attempt = state.begin();
        drop(state);
        drop(before);
        self.attempt(attempt);
    }

    /// A session is over that the line may have led through.
    pub(super) fn cut(&self, session: u64, why: &str) {
        let way = self.way();
        let through = |way: &Way| way.link.as_ref().is_some_and(|link| link.key() == session);
        if let Some(way) = way.filter(through) {
            self.cut_off(&way, why);
        }
    }

    fn cut_off(&self, way: &Way, why: &str) {
        let pause = self.pause();
        let wall_time = self.hub.upgrade().map(|hub| hub.outside().wall_time());
        let mut state = self.lock();
        if !matches!(&state.phase, Phase::Up(now) if now.object == way.object) {
            return;
        }
        let now = self.clock.now();
        // Sessions that end as soon as they have begun are not to be had without a pause.
        if now.saturating_sub(way.from) >= state.backoff.first.saturating_mul(4) {
            state.tries = 0;
            state.try_at = now;
        } else {
            state.try_at = now.saturating_add(pause(&state));
        }
        state.last_error = Some(why.to_owned());
        state.since = wall_time.unwrap_or(state.since);
        let before = std::mem::replace(&mut state.phase, Phase::Down);
        drop(state);
        drop(before);
        self.tend();
    }

    /// The node has stopped: nothing waits any more.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.last_error = Some(STOPPED.to_owned());
        state.attempt += 1;
        let before = std::mem::replace(&mut state.phase, Phase::Down);
        let waiting = std::mem::take(&mut state.waiting);
        let held = state.held.take();
        drop(state);
        drop(before);
        for message in waiting {
            message.answer.break_with(Unreachable::Away.fault(&self.peer, STOPPED));
        }
        drop(held);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.lines().forget(&self.peer, self);
        }
    }
}
