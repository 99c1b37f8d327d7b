//! `service`: the controller of one service, with its state.
//!
//! ```text
//!   stopped ── start ──> starting ── ready ──> running
//!      ^                    │ ^                  │ │
//!      │                    │ └──── respawn ─────┘ │
//!      │<──── stopping <────┴────────── stop ──────┘
//!      └── failed: it could not start, ended by itself for good, or too often
//! ```
//!
//! What takes time is in [`procedures`]: async blocks that tell the
//! controller how far they are. A generation counts the starts, so that what belongs to
//! an earlier one is not taken for the present one's.

mod told;

use std::sync::Arc;

use ocapn::persist::RestoreError;
use ocapn::{Answer, Fault, FromValue as _, IntoValue as _, Passable, Ref, Turn, Value, object};

pub(crate) use super::context::Context;
use super::definition::Definition;
use super::flapping::Flaps;
use super::logger::{Logger, LoggerRef};
use super::monitor::MonitorRef;
use super::procedures::{self, BURST, BURST_MILLIS, Setup};
use super::process::{Exit, Launch, Process, describe};
use super::status::{Phase, Relations, Status};
use super::writer::{ChronicleRef, WriterRef};

/// The controller of a service.
#[derive(Clone)]
pub(crate) struct Controller {
    context: Context,
    monitor: MonitorRef,
    name: String,
    definition: Arc<Definition>,
    transient: bool,
    enabled: bool,
    /// Whether it was started and not told to stop.
    wanted: bool,
    phase: Phase,
    since: i64,
    process: Option<Process>,
    /// The actor that it is, if it is built in.
    builtin: Option<Ref>,
    exit: Option<Exit>,
    failure: Option<String>,
    /// When it was started again, in milliseconds.
    respawns: Vec<i64>,
    generation: u64,
    /// When the timer rings next.
    next: Option<i64>,
    going: Option<Answer<bool>>,
    recovery: Recovery,
    logger: Option<LoggerRef>,
    chronicle: Option<ChronicleRef>,
    flaps: Flaps,
}

/// How far a controller is with what an earlier shepherd has left.
#[derive(Clone)]
enum Recovery {
    Due,
    Going(Answer<bool>),
    Over,
}

/// What is stored.
#[derive(Passable)]
#[passable(rename_all = "kebab-case", deny_unknown)]
struct Portrait {
    name: String,
    definition: String,
    monitor: MonitorRef,
    transient: bool,
    enabled: bool,
    wanted: bool,
    phase: Phase,
    since: i64,
    exit: Option<Exit>,
    failure: Option<String>,
}

impl Controller {
    pub(crate) fn new(
        context: Context,
        monitor: MonitorRef,
        name: String,
        definition: Definition,
        transient: bool,
    ) -> Self {
        let enabled = definition.enabled;
        let since = context.seconds();
        Self {
            context,
            monitor,
            name,
            definition: Arc::new(definition),
            transient,
            enabled,
            wanted: false,
            phase: Phase::Stopped,
            since,
            process: None,
            builtin: None,
            exit: None,
            failure: None,
            respawns: Vec::new(),
            generation: 0,
            next: None,
            going: None,
            recovery: Recovery::Over,
            logger: None,
            chronicle: None,
            flaps: Flaps::default(),
        }
    }

    pub(crate) fn portray(&self) -> Value {
        Portrait {
            name: self.name.clone(),
            definition: self.definition.to_text(),
            monitor: self.monitor.clone(),
            transient: self.transient,
            enabled: self.enabled,
            wanted: self.wanted,
            phase: self.phase,
            since: self.since,
            exit: self.exit,
            failure: self.failure.clone(),
        }
        .into_value()
    }

    pub(crate) fn restore(context: Context, portrait: Value) -> Result<Self, RestoreError> {
        let portrait = Portrait::from_value(portrait);
        let portrait = portrait.map_err(|error| RestoreError::new(error.to_string()))?;
        let definition = Definition::from_text(&portrait.definition).map_err(RestoreError::new)?;
        let Portrait { name, monitor, transient, .. } = portrait;
        Ok(Self {
            enabled: portrait.enabled,
            wanted: portrait.wanted,
            phase: portrait.phase,
            since: portrait.since,
            exit: portrait.exit,
            failure: portrait.failure,
            recovery: Recovery::Due,
            ..Self::new(context, monitor, name, definition, transient)
        })
    }

    /// What is to be awaited before anything is done with it: orders may come before all
    /// is taken up that an earlier shepherd has left, and would start a second process, or
    /// stop none.
    fn recovering(&mut self, turn: &mut Turn<'_>) -> Option<Answer<bool>> {
        (!matches!(self.recovery, Recovery::Over)).then(|| self.recover(turn))
    }

    fn setup(&self, turn: &mut Turn<'_>) -> Setup {
        let make = || LoggerRef::spawn_in(&self.context.live, Logger::default());
        let logger = self.logger.clone().unwrap_or_else(make);
        Setup {
            me: ControllerRef::from_ref(turn.me()),
            context: self.context.clone(),
            monitor: self.monitor.clone(),
            logger,
            launch: Launch { service: self.name.clone(), definition: self.definition.clone() },
            generation: self.generation,
        }
    }

    /// Goes into a state, and has that told.
    fn enter(&mut self, turn: &mut Turn<'_>, phase: Phase, detail: Option<String>) {
        self.phase = phase;
        self.since = self.context.seconds();
        if let Some(chronicle) = &self.chronicle {
            let state = phase.name().to_owned();
            chronicle.send_only(turn).record(self.since, self.name.clone(), state, detail);
            let (now, flapping) = (self.context.millis(), &self.definition.flapping);
            self.flaps.tell(turn, chronicle, &self.name, flapping, phase.settled(), now);
        }
    }

    /// Begins to start, after a while.
    fn begin(&mut self, turn: &mut Turn<'_>, delayed: bool) -> Answer<bool> {
        self.generation += 1;
        self.failure = None;
        self.wanted = true;
        self.enter(turn, Phase::Starting, None);
        let setup = self.setup(turn);
        self.logger = Some(setup.logger.clone());
        let going = turn.spawn_async(move |here| procedures::start(here, setup, delayed));
        self.going = Some(going.clone());
        going
    }

    /// What is to be done about an end that nobody asked for.
    fn ended_by_itself(&mut self, turn: &mut Turn<'_>, exit: Exit) {
        let respawn = self.definition.respawn.clone();
        if !respawn.enabled || !self.wanted || !self.enabled {
            let failed = !exit.is_success();
            let phase = if failed { Phase::Failed } else { Phase::Stopped };
            self.wanted = false;
            self.enter(turn, phase, Some(describe(exit)));
            return;
        }
        let now = self.context.millis();
        let window = i64::try_from(respawn.window.0.as_millis()).unwrap_or(i64::MAX);
        self.respawns.retain(|at| now - at < window);
        if self.respawns.len() >= usize::try_from(respawn.limit).unwrap_or(usize::MAX) {
            self.failure = Some("respawning too fast".to_owned());
            self.wanted = false;
            self.respawns.clear();
            self.enter(turn, Phase::Failed, Some("respawning too fast".to_owned()));
            return;
        }
        self.respawns.push(now);
        self.enter(turn, Phase::Stopped, Some(describe(exit)));
        // Whoever is interested asks for the state.
        self.begin(turn, true).ignore();
    }
}

#[object(reference = pub(crate) ControllerRef)]
impl Controller {
    /// Says where to tell what happens, and what the service is from its next start on.
    #[method]
    fn configure(
        &mut self,
        chronicle: ChronicleRef,
        definition: Option<String>,
    ) -> Result<bool, Fault> {
        self.chronicle = Some(chronicle);
        let Some(definition) = definition else { return Ok(false) };
        let definition = Definition::from_text(&definition)?;
        let changed = *self.definition != definition;
        if definition.enabled != self.definition.enabled {
            self.enabled = definition.enabled;
        }
        self.definition = Arc::new(definition);
        Ok(changed)
    }

    /// Takes up again what an earlier shepherd has left, and tells whether it runs.
    #[method]
    fn recover(&mut self, turn: &mut Turn<'_>) -> Answer<bool> {
        match &self.recovery {
            Recovery::Due => {}
            Recovery::Going(going) => return going.clone(),
            Recovery::Over => return Answer::ready(self.phase == Phase::Running),
        }
        let (me, monitor) = (ControllerRef::from_ref(turn.me()), self.monitor.clone());
        let setup = self.setup(turn);
        self.logger = Some(setup.logger.clone());
        let name = self.name.clone();
        let going = turn.spawn_async(async move |here| {
            let finding = monitor.clone();
            let found = here.ask(move |turn| finding.send(turn).find(name)).await?;
            if found.is_some()
                && let Err(fault) = procedures::begin_log(&here, &setup).await
            {
                here.ask(move |turn| me.send(turn).not_recovered()).await?;
                return Err(fault);
            }
            here.ask(move |turn| me.send(turn).found(found)).await
        });
        self.recovery = Recovery::Going(going.clone());
        going
    }

    /// What was left could not be taken up, and is to be tried again.
    #[method]
    fn not_recovered(&mut self) {
        self.recovery = Recovery::Due;
    }

    /// The process that is there, or is not.
    #[method]
    fn found(&mut self, turn: &mut Turn<'_>, process: Option<Process>) -> Result<bool, Fault> {
        let was = self.phase;
        self.recovery = Recovery::Over;
        if let Some(process) = process {
            let alive = self.monitor.call(turn).is_alive(process.clone())?;
            let since = self.since;
            self.generation += 1;
            if alive {
                self.enter(turn, Phase::Running, Some("found again".to_owned()));
                self.since = since;
                if self.definition.socket.is_some() {
                    let (setup, of) = (self.setup(turn), process.clone());
                    turn.spawn_async(move |here| procedures::adopt(here, setup, of)).ignore();
                }
                self.watch(turn, process);
                return Ok(true);
            }
            // What it left behind is to be cleared away.
            self.monitor.send_only(turn).exit(process);
            self.exit = Some(Exit::Unknown);
        }
        if was.is_up() {
            let detail = self.exit.map(describe);
            self.enter(turn, Phase::Stopped, detail);
        }
        Ok(false)
    }

    /// Starts it. All who ask meanwhile get the same promise, which is fulfilled once it
    /// runs, or is done if it is a one-shot.
    #[method]
    fn start(&mut self, turn: &mut Turn<'_>) -> Answer<bool> {
        if let Some(recovering) = self.recovering(turn) {
            let me = ControllerRef::from_ref(turn.me());
            return turn.spawn_async(async move |here| {
                recovering.await?;
                here.ask(move |turn| me.send(turn).start()).await
            });
        }
        match (self.phase, self.going.clone()) {
            (Phase::Running, _) => Answer::ready(true),
            (Phase::Starting, Some(going)) => going,
            (Phase::Stopping, Some(going)) => {
                let me = ControllerRef::from_ref(turn.me());
                turn.spawn_async(async move |here| {
                    let _stopped_or_not = going.await;
                    here.ask(move |turn| me.send(turn).start()).await
                })
            }
            _ => {
                self.respawns.clear();
                self.begin(turn, false)
            }
        }
    }

    /// Stops it; tells whether there was something to stop.
    #[method]
    fn stop(&mut self, turn: &mut Turn<'_>) -> Answer<bool> {
        self.wanted = false;
        if let Some(recovering) = self.recovering(turn) {
            let me = ControllerRef::from_ref(turn.me());
            return turn.spawn_async(async move |here| {
                recovering.await?;
                here.ask(move |turn| me.send(turn).stop()).await
            });
        }
        self.next = None;
        match (self.phase, self.going.clone()) {
            (Phase::Stopped, _) => Answer::ready(false),
            (Phase::Failed, _) => {
                self.enter(turn, Phase::Stopped, None);
                Answer::ready(false)
            }
            (Phase::Stopping, Some(going)) => going,
            (phase, going) => {
                let starting = going.filter(|_| phase == Phase::Starting);
                let runs = (self.process.clone(), self.builtin.take());
                self.enter(turn, Phase::Stopping, None);
                let setup = self.setup(turn);
                let going =
                    turn.spawn_async(move |here| procedures::stop(here, setup, runs, starting));
                self.going = Some(going.clone());
                going
            }
        }
    }

    /// Whether what belongs to that start is still wanted.
    #[method]
    fn is_going_on(&self, generation: u64) -> bool {
        generation == self.generation && matches!(self.phase, Phase::Starting | Phase::Running)
    }

    /// Its process is there. Tells whether it is still wanted.
    #[method]
    fn launched(&mut self, turn: &mut Turn<'_>, generation: u64, process: Process) -> bool {
        let wanted = self.is_going_on(generation);
        if wanted {
            self.watch(turn, process);
        }
        wanted
    }

    /// It runs.
    #[method]
    fn running(&mut self, turn: &mut Turn<'_>, generation: u64) -> bool {
        if generation != self.generation || self.phase != Phase::Starting {
            return false;
        }
        self.enter(turn, Phase::Running, None);
        if self.definition.socket.is_some() {
            self.serve(turn, false);
        } else if self.definition.timer.is_some() {
            self.arm(turn);
        } else if !self.definition.command.is_empty() && self.process.is_none() {
            // It has ended in the meantime.
            self.ended_by_itself(turn, self.exit.unwrap_or(Exit::Unknown));
        }
        true
    }

    /// It could not be started.
    #[method]
    fn not_started(&mut self, turn: &mut Turn<'_>, generation: u64, why: String) {
        if generation == self.generation && self.phase == Phase::Starting {
            self.failure = Some(why.clone());
            self.wanted = false;
            self.enter(turn, Phase::Failed, Some(why));
        }
    }

    /// A one-shot is done.
    #[method]
    fn done(&mut self, turn: &mut Turn<'_>, generation: u64) {
        if generation == self.generation && self.phase == Phase::Starting {
            self.enter(turn, Phase::Stopped, self.exit.map(describe));
        }
    }

    /// It has stopped.
    #[method]
    fn stopped(&mut self, turn: &mut Turn<'_>, generation: u64) {
        if generation == self.generation && self.phase == Phase::Stopping {
            self.process = None;
            self.enter(turn, Phase::Stopped, self.exit.map(describe));
        }
    }

    /// Its process has ended.
    #[method]
    fn ended(&mut self, turn: &mut Turn<'_>, process: Process, exit: Exit) {
        if self.process.as_ref() != Some(&process) {
            return;
        }
        self.process = None;
        self.exit = Some(exit);
        if self.phase != Phase::Running {
            return;
        }
        if self.definition.socket.is_some() {
            let now = self.context.millis();
            self.respawns.retain(|at| now - at < BURST_MILLIS);
            self.respawns.push(now);
            // One that takes no connection is started by the same one again and again.
            self.serve(turn, self.respawns.len() > BURST);
        } else if self.definition.timer.is_none() {
            self.ended_by_itself(turn, exit);
        }
    }

    /// It could not serve, and may try again.
    #[method]
    fn serve_again(&mut self, turn: &mut Turn<'_>, generation: u64) {
        if generation == self.generation && self.phase == Phase::Running {
            self.serve(turn, false);
        }
    }

    /// Its sockets have been opened for a start that is no more.
    #[method]
    fn opened_in_vain(&self) {
        if !self.phase.is_up() {
            self.context.world.close(&self.name);
        }
    }

    /// The timer rings.
    #[method]
    fn ring(&mut self, turn: &mut Turn<'_>, generation: u64) {
        if generation != self.generation || self.phase != Phase::Running {
            return;
        }
        if self.process.is_none() {
            let setup = self.setup(turn);
            turn.spawn_async(move |here| procedures::launch(here, setup)).ignore();
        }
        self.arm(turn);
    }

    #[method]
    fn enable(&mut self, enabled: bool) {
        self.enabled = enabled;
        if !enabled {
            self.respawns.clear();
        }
    }

    #[method]
    fn relations(&self) -> Relations {
        Relations {
            phase: self.phase,
            enabled: self.enabled,
            autostart: self.definition.autostart,
            wanted: self.wanted,
            transient: self.transient,
            remote: false,
            provides: self.provides(),
            requires: self.definition.requires.clone(),
            conflicts: self.definition.conflicts.clone(),
        }
    }

    #[method]
    fn status(&self, turn: &mut Turn<'_>, lines: u64) -> Answer<Status> {
        let brief = self.brief();
        let Some(logger) = &self.logger else { return Answer::ready(brief) };
        logger
            .send(turn)
            .recent(lines)
            .on_promise(turn, move |_turn, messages| Ok(Status { messages: messages?, ..brief }))
    }

    /// The same without what it has said.
    #[method]
    fn brief(&self) -> Status {
        self.told()
    }

    /// Tells somebody the last lines that it has said, and all that come.
    #[method]
    fn follow(&mut self, turn: &mut Turn<'_>, writer: WriterRef, lines: u64) -> Answer<()> {
        let setup = self.setup(turn);
        self.logger = Some(setup.logger.clone());
        setup.logger.send(turn).follow(writer, lines)
    }

    /// Does something with it that its definition says.
    #[method]
    fn action(
        &self,
        turn: &mut Turn<'_>,
        name: String,
        args: Vec<Value>,
    ) -> Result<Answer<Value>, Fault> {
        self.act(turn, name, args)
    }

    /// The actor that it is, if it is built in, is there. Tells whether it is still wanted.
    #[method]
    fn opened(&mut self, generation: u64, builtin: Ref) -> bool {
        let wanted = self.is_going_on(generation);
        if wanted {
            self.builtin = Some(builtin);
        }
        wanted
    }
}

impl Controller {
    /// Notes the process, and waits for its end.
    fn watch(&mut self, turn: &mut Turn<'_>, process: Process) {
        self.process = Some(process.clone());
        let me = ControllerRef::from_ref(turn.me());
        let exit = self.monitor.send(turn).exit(process.clone());
        exit.on(turn, move |turn, exit| {
            me.send_only(turn).ended(process, exit.unwrap_or(Exit::Unknown));
        });
    }

    /// Has the next connection start the process.
    fn serve(&mut self, turn: &mut Turn<'_>, pause_first: bool) {
        let setup = self.setup(turn);
        turn.spawn_async(move |here| procedures::serve(here, setup, pause_first)).ignore();
    }

    /// Has the timer ring at its next time.
    fn arm(&mut self, turn: &mut Turn<'_>) {
        let Some(timer) = &self.definition.timer else { return };
        let now = self.context.millis();
        let next = match (&timer.calendar, timer.every) {
            (Some(calendar), _) => {
                let next = calendar.next(now.div_euclid(1000), &self.context.zone);
                next.map(|next| next.saturating_mul(1000))
            }
            (None, Some(every)) => {
                let every = i64::try_from(every.0.as_millis()).unwrap_or(i64::MAX);
                Some(now.saturating_add(every))
            }
            (None, None) => None,
        };
        self.next = next.map(|next| next.div_euclid(1000));
        if let Some(next) = next {
            let setup = self.setup(turn);
            let after = u64::try_from(next - now).unwrap_or(0);
            turn.spawn_async(move |here| procedures::ring(here, setup, after)).ignore();
        }
    }
}
