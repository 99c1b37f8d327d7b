//! One session at work: the CapTP state machine, its lock and its outbound wake-up.
//!
//! References to the peer's objects hold the link; messages to them are written
//! straight into the session's buffer, and the connection's task is woken to send
//! what has gathered. What comes in is acted on by that task itself, vats included.

mod act;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

use bytes::{Bytes, BytesMut};
use captp::locator::Sturdyref;
use captp::{
    AnswerPos, ConnId, Established, Event, GiftId, HandoffGive, HandoffReceive, Part, PublicKey,
    ReferenceCounts, RemotePos, Session, SessionConfig, SessionEnd, SessionKey, Signed,
    TableCounts, Traffic, Unsent,
};
use futures_util::task::AtomicWaker;
use tokio::sync::watch;
use vat_runtime::{Args, Barrier, Intake, Ref, Resolver};

use crate::glue::{self, Glue};
use crate::handoff;
use crate::hub::{Hub, TurnedAway};
use crate::outlet::{Outlet, UNKEPT};

/// A session and what its connection needs. The methods that are public are for the
/// event loop that moves its bytes; see the [module](crate::hub).
pub struct Link {
    key: u64,
    core: Mutex<Core>,
    found: Mutex<Found>,
    /// What is to be told when references are dropped. A lock of its own, under which
    /// nothing is called or dropped, since that happens anywhere.
    held: Mutex<Held>,
    /// Some of it is to be told. Set under its lock.
    has_released: AtomicBool,
    /// What the peer has said and no vat has taken yet.
    intake: Arc<Intake>,
    task: Arc<Task>,
    peer: OnceLock<Established>,
    /// The peer can't reach the peers of these sessions, and goes by way of us.
    by_us: Mutex<BTreeSet<ConnId>>,
    /// How many messages had been received when that was last looked at.
    heard: AtomicU64,
    /// Where the connection comes from, if others opened it.
    address: OnceLock<String>,
    /// How often the peer has asked for what there is not.
    misses: AtomicU64,
    /// Output is held back.
    holding: AtomicBool,
    phase: watch::Sender<Phase>,
    /// The phase is the last: for those who ask often.
    ended: AtomicBool,
    hub: Weak<Hub>,
    me: Weak<Self>,
}

/// The task that moves the session's bytes, as those see it who have something for it.
#[derive(Default)]
struct Task {
    /// There is something to look at: to send, to release, or to read on.
    dirty: AtomicBool,
    /// The task is running, and looks at `dirty` before it rests.
    running: AtomicBool,
    /// The task looks for what was let go before long, without being woken.
    looks: AtomicBool,
    waker: AtomicWaker,
}

impl Task {
    fn wake(&self) {
        self.dirty.store(true, Ordering::SeqCst);
        self.rouse();
    }

    /// There is more to send. Where something has been found to look at and the task has
    /// not come to it, that has woken it already, or it waits for the channel to take what
    /// there is.
    fn wake_to_send(&self) {
        if !self.dirty.swap(true, Ordering::SeqCst) {
            self.rouse();
        }
    }

    fn rouse(&self) {
        if !self.running.load(Ordering::SeqCst) {
            self.waker.wake();
        }
    }
}

/// What is held of the peer's, as far as it is not in the session's tables.
#[derive(Default)]
struct Held {
    /// Positions that nobody here holds any more, with their generations.
    released: Vec<(RemotePos, u32)>,
    /// The sturdyrefs by which references of this session were enlivened.
    origins: BTreeMap<RemotePos, Sturdyref>,
}

/// For how many releases there stays room, at most.
const KEPT_RELEASES: usize = 1024;

/// How far a session has come.
#[derive(Clone, Debug)]
pub enum Phase {
    /// `op:start-session` is out, the peer's is not in.
    Greeting,
    /// Calls may be made.
    Live,
    /// It is over.
    Ended(SessionEnd),
}

/// What has come of a session and is not acted on yet.
#[derive(Default)]
struct Found {
    events: VecDeque<Event<Glue>>,
    /// A thread acts on them. Two at once could act on the end of a session before its
    /// start.
    acting: bool,
}

struct Core {
    session: Session<Glue>,
    glue: Glue,
    /// Those whose peers say more to this session's than it takes.
    slowed: Vec<Arc<Intake>>,
    /// Where output waits until it may leave.
    outlet: Option<Outlet>,
}

/// Above this many unsent bytes little or nothing more is read from those who cause them.
pub(crate) const PACE_ABOVE: usize = 1 << 20;

/// How many references are let go before the connection's task hears of it although it
/// looks by itself before long.
const MANY_RELEASES: usize = 32;

/// For how many events a session at rest keeps space.
const KEPT_EVENTS: usize = 512;

static NEXT_KEY: AtomicU64 = AtomicU64::new(1);

impl Link {
    pub(crate) fn new(
        config: SessionConfig,
        hub: Weak<Hub>,
        barrier: Option<Arc<dyn Barrier>>,
    ) -> Arc<Self> {
        let key = NEXT_KEY.fetch_add(1, Ordering::Relaxed);
        let limits = config.limits;
        let task = Arc::new(Task::default());
        task.dirty.store(true, Ordering::SeqCst);
        let reader = Arc::clone(&task);
        let go_on = move || reader.wake();
        let intake = Intake::new(limits.waiting_bytes, limits.parked_bytes, go_on);
        Arc::new_cyclic(|me| Self {
            key,
            core: Mutex::new(Core {
                session: Session::new(config),
                glue: Glue::new(me.clone(), key),
                slowed: Vec::new(),
                outlet: barrier.map(Outlet::new),
            }),
            found: Mutex::default(),
            held: Mutex::default(),
            has_released: AtomicBool::new(false),
            intake,
            task,
            peer: OnceLock::new(),
            by_us: Mutex::default(),
            heard: AtomicU64::new(0),
            address: OnceLock::new(),
            misses: AtomicU64::new(0),
            holding: AtomicBool::new(false),
            phase: watch::Sender::new(Phase::Greeting),
            ended: AtomicBool::new(false),
            hub,
            me: me.clone(),
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Remembers by which sturdyref a reference was enlivened, for as long as it lives.
    pub(crate) fn set_origin(&self, pos: RemotePos, sturdyref: Sturdyref) {
        let before = self.held().origins.insert(pos, sturdyref);
        drop(before);
    }

    pub(crate) fn origin(&self, pos: RemotePos) -> Option<Sturdyref> {
        self.held().origins.get(&pos).cloned()
    }

    /// The session, with what has been released told to it.
    fn core(&self) -> MutexGuard<'_, Core> {
        let mut core = self.core.lock().unwrap_or_else(|poison| poison.into_inner());
        if self.has_released.load(Ordering::SeqCst) {
            self.tell_released(&mut core);
        }
        core
    }

    fn tell_released(&self, core: &mut Core) {
        let mut held = self.held();
        if let Some(outlet) = &mut core.outlet {
            outlet.note();
        }
        self.has_released.store(false, Ordering::SeqCst);
        for (pos, generation) in held.released.drain(..) {
            core.session.release(pos, generation);
        }
        held.released.shrink_to(KEPT_RELEASES);
    }

    /// Has the connection's task look at what is to be sent.
    fn wake(&self) {
        self.task.wake();
    }

    // For the connection's task.

    /// Who is woken when [`Link::transmit`] has something to give, and when what
    /// [`Link::is_paced`] has ended.
    pub fn register(&self, waker: &std::task::Waker) {
        self.task.waker.register(waker);
    }

    /// The task begins to run: wake-ups need not reach it.
    pub(crate) fn begin(&self) {
        self.task.running.store(true, Ordering::SeqCst);
    }

    /// Whether the task looks for what was let go, with [`Link::transmit`], before long:
    /// then that need not wake it. It looks once more after saying that it does not.
    pub(crate) fn looks_for_releases(&self, looks: bool) {
        self.task.looks.store(looks, Ordering::SeqCst);
    }

    /// The task is about to rest. Whether it may: nothing has come up meanwhile.
    pub(crate) fn rest(&self) -> bool {
        self.task.running.store(false, Ordering::SeqCst);
        !self.task.dirty.load(Ordering::SeqCst)
    }

    /// Moves what is to be sent to `out`. References that were let go travel with
    /// whatever is sent; with `idle` also on their own. Gives whether some wait for that.
    pub fn transmit(&self, idle: bool, out: &mut VecDeque<Bytes>) -> bool {
        self.task.dirty.store(false, Ordering::SeqCst);
        let mut core = self.core();
        let Core { session, outlet, .. } = &mut *core;
        let waiting = match outlet {
            Some(outlet) => {
                let waiting = outlet.transmit(session, idle, out, || self.wait_for_barrier());
                self.holding.store(outlet.is_holding(), Ordering::Relaxed);
                waiting
            }
            None => {
                session.poll_transmit(idle, out);
                session.has_output()
            }
        };
        let slowed = std::mem::take(&mut core.slowed);
        drop(core);
        slowed.iter().for_each(|intake| intake.speed_up());
        waiting
    }

    fn wait_for_barrier(&self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.held().add(self.key, Weak::clone(&self.me));
        }
    }

    /// Output may leave that waited.
    pub(crate) fn barrier_moved(&self) {
        self.wake();
    }

    /// Nothing that is said can be kept any more: what waits never leaves.
    pub(crate) fn store_failed(self: &Arc<Self>) {
        self.with_events(|core| {
            if core.outlet.take().is_some() {
                core.session.close_unsent(UNKEPT);
            }
            self.holding.store(false, Ordering::Relaxed);
        });
        self.wake();
    }

    /// Whether output was held back when [`Link::transmit`] was last called: until the
    /// turns that it may tell of are durable.
    pub fn is_holding(&self) -> bool {
        self.holding.load(Ordering::Relaxed)
    }

    /// Whether to read nothing from the peer for now: it has said more than the vats
    /// that it speaks to have got through. Whoever reads on all the same is not stopped;
    /// what waits then grows.
    pub fn is_paced(&self) -> bool {
        self.intake.is_paced()
    }

    /// Whether to read only a little from time to time: what the peer says goes on to
    /// others, who do not take it as quickly.
    pub fn is_slowed(&self) -> bool {
        self.intake.is_slowed()
    }

    /// What the peer has said and no vat has taken yet.
    pub fn intake(&self) -> &Arc<Intake> {
        &self.intake
    }

    /// Takes in the whole messages at the front of what was read, and acts on them.
    pub fn receive(self: &Arc<Self>, input: &mut BytesMut) {
        self.with_events(|core| core.session.receive(&mut core.glue, input));
    }

    /// Runs something on the session and acts on what comes of it, in order: where a
    /// thread acts already, it goes on with what this one has found.
    fn with_events(self: &Arc<Self>, f: impl FnOnce(&mut Core)) {
        {
            let mut core = self.core();
            f(&mut core);
            let mut found = self.found();
            core.session.take_events(&mut found.events);
            if found.acting || found.events.is_empty() {
                return;
            }
            found.acting = true;
        }
        // Vats that this wakes run here and now: no hop to another task.
        vat_runtime::drive(|| {
            let mut events = VecDeque::new();
            while self.take_found(&mut events) {
                events.drain(..).for_each(|event| self.act(event));
            }
        });
    }

    /// Takes all events that are to be acted on next, in exchange for the space of those
    /// that were. Without any, nobody acts any more.
    fn take_found(&self, events: &mut VecDeque<Event<Glue>>) -> bool {
        if events.capacity() > KEPT_EVENTS {
            *events = VecDeque::new();
        }
        let mut found = self.found();
        found.acting = !found.events.is_empty();
        std::mem::swap(&mut found.events, events);
        found.acting
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Sends something. What can't be sent breaks what waits for its answer.
    fn send<T>(&self, f: impl FnOnce(&mut Core) -> Result<T, Unsent<Resolver>>) -> Option<T> {
        let (sent, given_up) = {
            let core = &mut *self.core();
            let sent = f(core);
            if let Some(outlet) = &mut core.outlet {
                outlet.note();
            }
            (sent, core.session.has_events())
        };
        self.task.wake_to_send();
        if given_up && let Some(me) = self.me.upgrade() {
            me.with_events(|_| {});
        }
        match sent {
            Ok(sent) => Some(sent),
            Err(unsent) => {
                if let Some(resolver) = unsent.resolver {
                    resolver.break_with(unsent.why.to_string());
                }
                None
            }
        }
    }

    /// The connection is gone.
    pub fn disconnected(self: &Arc<Self>) {
        self.with_events(|core| core.session.disconnected());
    }

    /// Ends the session; the peer is told why.
    pub fn close(self: &Arc<Self>, reason: &str) {
        self.with_events(|core| core.session.close(reason));
        self.wake();
    }

    /// Says where the connection comes from.
    pub(crate) fn comes_from(&self, address: String) {
        let _told_once = self.address.set(address);
    }

    /// The peer has asked for what there is not.
    pub(crate) fn missed(&self, hub: &Hub) {
        let count = self.misses.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if count.is_power_of_two() {
            let address = self.address.get().cloned().unwrap_or_default();
            hub.turned_away(&TurnedAway::NoSuchObject { address, count });
        }
    }

    /// Ends the session over something that its peer did.
    pub(crate) fn fail(self: &Arc<Self>, end: SessionEnd) {
        self.with_events(|core| core.session.fail(end));
        self.wake();
    }

    /// Bytes that wait for the connection to take them.
    pub fn queued_bytes(&self) -> usize {
        let core = self.core();
        core.session.queued_bytes() + core.outlet.as_ref().map_or(0, Outlet::bytes)
    }

    // For the node.

    /// Our key pair in this session.
    pub(crate) fn session_key(&self) -> Arc<SessionKey> {
        self.core().session.key()
    }

    /// The session's number.
    pub fn conn(&self) -> ConnId {
        ConnId(self.key)
    }

    /// Whether nothing is under way on the session.
    pub fn is_unused(&self) -> bool {
        let core = self.core();
        core.session.is_unused() && !core.outlet.as_ref().is_some_and(Outlet::is_holding)
    }

    /// Whether nothing has come from the peer since this was last asked, although we
    /// listened.
    pub(crate) fn is_silent(&self) -> bool {
        let heard = self.traffic().messages_in;
        self.heard.swap(heard, Ordering::Relaxed) == heard && !self.is_paced()
    }

    /// How many references the peer holds that lead to other peers by way of us.
    pub fn standing_in(&self) -> usize {
        let core = self.core();
        let exports = core.session.exports();
        exports.filter(|of| glue::remote(of).is_some_and(|(key, _)| key != self.key)).count()
    }

    /// Whether the peer reaches the peer of another session by way of us.
    pub(crate) fn goes_by_us_to(&self, exporter: ConnId) -> bool {
        self.by_us.lock().unwrap_or_else(|poison| poison.into_inner()).contains(&exporter)
    }

    pub(crate) fn go_by_us_to(&self, exporter: ConnId) {
        self.by_us.lock().unwrap_or_else(|poison| poison.into_inner()).insert(exporter);
    }

    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    /// Who the peer is, once the handshake is done.
    pub fn peer(&self) -> Option<&Established> {
        self.peer.get()
    }

    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Whether the session is over.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Whether nothing that is said now would be sent: so before it is known to be so.
    pub(crate) fn is_over(&self) -> bool {
        self.core().session.is_ended()
    }

    /// How the session ended, if it has.
    pub fn end(&self) -> Option<SessionEnd> {
        match &*self.phase.borrow() {
            Phase::Ended(end) => Some(end.clone()),
            _ => None,
        }
    }

    /// Messages and bytes so far.
    pub fn traffic(&self) -> Traffic {
        self.core().session.traffic()
    }

    /// How full the session's tables are.
    pub fn table_counts(&self) -> TableCounts {
        self.core().session.table_counts()
    }

    /// How often each reference was sent and received. For tests and simulations.
    pub fn reference_counts(&self) -> ReferenceCounts {
        self.core().session.reference_counts()
    }

    /// What the peer may name, by what it calls it. For tests and simulations.
    pub fn named(&self) -> Vec<(RemotePos, Ref)> {
        let core = self.core();
        core.session.named().map(|(pos, of)| (pos, of.clone())).collect()
    }

    /// Checks the invariants of the session's tables.
    ///
    /// # Errors
    ///
    /// Says which is broken.
    pub fn check(&self) -> Result<(), String> {
        self.core().session.check()
    }

    /// The session's tables in words, for people.
    pub fn dump(&self) -> String {
        self.core().session.dump()
    }

    /// The word with which something of this session's peer's is given away.
    pub(crate) fn give(&self, receiver: PublicKey, gift: GiftId) -> Option<Signed<HandoffGive>> {
        self.core().session.give(receiver, gift)
    }

    /// The request with which a gift is had from this session's peer.
    pub(crate) fn withdraw(
        &self,
        give: Signed<HandoffGive>,
        key: &SessionKey,
    ) -> Option<Signed<HandoffReceive>> {
        self.core().session.withdraw(give, key)
    }

    /// The peer's bootstrap object. It is there without having been imported, and in a
    /// generation that no import has: a peer may export something else at 0.
    pub(crate) fn bootstrap(self: &Arc<Self>) -> Ref {
        Ref::remote_object(self.clone(), captp::ImportPos(0), u32::MAX)
    }
}

impl vat_runtime::Link for Link {
    fn key(&self) -> u64 {
        self.key
    }

    fn deliver(
        &self,
        to: RemotePos,
        mut args: Args,
        answer: Option<Resolver>,
    ) -> Option<AnswerPos> {
        if args.iter().any(|value| !value.is_plain_atom())
            && let Some(hub) = self.hub.upgrade()
        {
            handoff::give_all(&hub, self, &mut args);
        }
        self.send(|core| core.session.deliver(&mut core.glue, to, &args, answer)).flatten()
    }

    fn listen(&self, to: RemotePos, resolver: Resolver) {
        self.send(|core| core.session.listen(to, resolver));
    }

    fn extract(
        &self,
        from: RemotePos,
        part: &Part,
        answer: Resolver,
    ) -> Result<AnswerPos, Resolver> {
        let mut answer = Some(answer);
        let asked = self.send(|core| {
            let asked = core.session.extract(from, part);
            let Some(pos) = asked.map_err(|why| Unsent { why, resolver: None })? else {
                return Ok(None);
            };
            let Some(resolver) = answer.take() else { return Ok(None) };
            core.session.listen(RemotePos::Answer(pos), resolver).map_err(|unsent| {
                core.session.release(RemotePos::Answer(pos), 0);
                answer = unsent.resolver;
                Unsent { resolver: None, ..unsent }
            })?;
            Ok(Some(pos))
        });
        // Where it went out and the session has it, there is none to give back.
        asked.flatten().ok_or_else(|| answer.unwrap_or_else(|| vat_runtime::promise().1))
    }

    fn sent_for(&self, intake: &Arc<Intake>) {
        let mut core = self.core();
        if core.session.queued_bytes() > PACE_ABOVE
            && !core.slowed.iter().any(|slowed| Arc::ptr_eq(slowed, intake))
        {
            intake.slow_down();
            core.slowed.push(Arc::clone(intake));
        }
    }

    fn release(&self, pos: RemotePos, generation: u32) {
        let mut held = self.held();
        let origin = held.origins.remove(&pos);
        held.released.push((pos, generation));
        self.has_released.store(true, Ordering::SeqCst);
        let waiting = held.released.len();
        drop(held);
        drop(origin);
        // Whoever came first has woken the task, or is about to: it takes all there is.
        let first = waiting == 1 && !self.task.looks.load(Ordering::SeqCst);
        if first || waiting == MANY_RELEASES {
            self.wake();
        }
    }
}
