//! A world made up for tests: processes that do what they are told, and time that stands
//! still.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use ocapn::actors::UnixClock;
use ocapn::{Answer, Clock, FromValue, Promise, Ref, Resolver, Vat};
use rustix::process::Signal;
use vat_runtime::{Manual, SimClock, promise};

use super::wire::Wire;
use crate::services::catalogue::Catalogue;
use crate::services::controller::Context;
use crate::services::grants::{Grants, GrantsRef};
use crate::services::monitor::{Monitor, MonitorRef};
use crate::services::process::{Exit, Launch, Lines, Pending, Prepared, Process, Sink, World};
use crate::services::remote::Remote;
use crate::services::shepherd::{Shepherd, ShepherdRef};
use crate::services::status::{Phase, Status};
use crate::services::text::SignalName;
use crate::services::writer::Event;
use crate::services::zone::Zone;

/// 5 September 2025, a Friday, 19:40:00.
pub(super) const FRIDAY: u64 = 1_757_101_200;

#[derive(Default)]
struct State {
    pids: i64,
    /// Those that run, with their service, and what tells that they have ended.
    running: BTreeMap<i64, (String, Option<Resolver>)>,
    ends: BTreeMap<i64, Promise>,
    /// What was done, as text.
    done: Vec<String>,
    /// Services that take no notice of SIGTERM.
    stubborn: BTreeSet<String>,
    /// Services whose program can't be run.
    missing: BTreeSet<String>,
    /// What tells that a service is ready, for those that say so.
    unready: BTreeMap<String, Resolver>,
    connections: BTreeMap<String, Resolver>,
    sinks: BTreeMap<String, Sink>,
    definitions: String,
    machine: String,
    /// The ways to other machines, by the designators of their sturdyrefs.
    wires: BTreeMap<String, Wire>,
}

#[derive(Default)]
pub(super) struct MadeUp(Mutex<State>);

impl MadeUp {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// What was done since this was last asked.
    pub(super) fn done(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().done)
    }

    pub(super) fn be_stubborn(&self, service: &str) {
        self.lock().stubborn.insert(service.to_owned());
    }

    pub(super) fn take_away(&self, service: &str) {
        self.lock().missing.insert(service.to_owned());
    }

    pub(super) fn put_back(&self, service: &str) {
        self.lock().missing.remove(service);
    }

    pub(super) fn call(&self, machine: &str) {
        self.lock().machine = machine.to_owned();
    }

    pub(super) fn connect_machine(&self, designator: &str, wire: Wire) {
        self.lock().wires.insert(designator.to_owned(), wire);
    }

    pub(super) fn define(&self, definitions: &str) {
        self.lock().definitions = definitions.to_owned();
    }

    /// The services with a process, one name for each process.
    pub(super) fn running(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.lock().running.values().map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    /// Has the process of a service end. Whether it had one.
    pub(super) fn end(&self, service: &str, exit: Exit) -> bool {
        let resolver = {
            let mut state = self.lock();
            let found = state.running.iter().find(|(_, (name, _))| name == service);
            let Some(pid) = found.map(|(pid, _)| *pid) else { return false };
            state.running.remove(&pid).and_then(|(_, resolver)| resolver)
        };
        resolver.unwrap().fulfill(ocapn::IntoValue::into_value(exit));
        true
    }

    pub(super) fn get_ready(&self, service: &str) {
        let resolver = self.lock().unready.remove(service).unwrap();
        resolver.fulfill(true);
    }

    /// The same, if it waits for that.
    pub(super) fn try_ready(&self, service: &str) {
        let resolver = self.lock().unready.remove(service);
        if let Some(resolver) = resolver {
            resolver.fulfill(true);
        }
    }

    pub(super) fn connect(&self, service: &str) {
        let resolver = self.lock().connections.remove(service).unwrap();
        resolver.fulfill(true);
    }

    pub(super) fn say(&self, service: &str, line: &str) -> Pending<()> {
        let at = i64::try_from(FRIDAY).unwrap();
        self.lock().sinks[service](vec![(at, line.to_owned())])
    }
}

fn later(promise: &Promise) -> Pending<Result<(), String>> {
    let settling = promise.settling();
    Box::pin(async move { settling.await.map(drop).map_err(|fault| fault.to_string()) })
}

impl World for MadeUp {
    fn prepare(&self, launch: Launch) -> Pending<Result<Prepared, String>> {
        let mut state = self.lock();
        state.pids += 1;
        let pid = 1000 + state.pids;
        let missing = state.missing.contains(&launch.service);
        let (ends, resolver) = promise();
        state.ends.insert(pid, ends);
        state.done.push(format!("{} {}", if missing { "fail" } else { "run" }, launch.service));
        if !missing {
            state.running.insert(pid, (launch.service, Some(resolver)));
        }
        let process = Process { pid, started: 7, boot: "boot".into(), invocation: pid.to_string() };
        let gone: Result<(), String> = if missing { Err("no such file".into()) } else { Ok(()) };
        let go = Box::pin(ready(gone));
        Box::pin(ready(Ok(Prepared { process, go })))
    }

    fn exit(&self, process: Process) -> Pending<Exit> {
        let ends = self.lock().ends.get(&process.pid).cloned();
        Box::pin(async move {
            match ends {
                Some(ends) => {
                    let exit = ends.settling().await;
                    exit.ok().and_then(|exit| Exit::from_value(exit).ok()).unwrap_or(Exit::Unknown)
                }
                None => Exit::Unknown,
            }
        })
    }

    fn is_alive(&self, process: &Process) -> bool {
        self.lock().running.contains_key(&process.pid)
    }

    fn signal(&self, process: &Process, signal: Signal) -> Result<(), String> {
        let service = {
            let mut state = self.lock();
            let Some((service, _)) = state.running.get(&process.pid).map(|(n, _)| (n.clone(), ()))
            else {
                return Err("the process is gone".into());
            };
            state.done.push(format!("{} {service}", SignalName(signal)));
            if signal != Signal::KILL
                && (state.stubborn.contains(&service) || signal != Signal::TERM)
            {
                return Ok(());
            }
            service
        };
        self.end(&service, Exit::Signal(signal.as_raw()));
        Ok(())
    }

    fn ready(&self, launch: Launch, _process: Process) -> Pending<Result<(), String>> {
        let (ready, resolver) = promise();
        self.lock().unready.insert(launch.service, resolver);
        later(&ready)
    }

    fn listen(&self, launch: Launch) -> Pending<Result<(), String>> {
        self.lock().done.push(format!("listen {}", launch.service));
        Box::pin(ready(Ok(())))
    }

    fn connection(&self, service: &str) -> Pending<Result<(), String>> {
        let (connected, resolver) = promise();
        self.lock().connections.insert(service.to_owned(), resolver);
        later(&connected)
    }

    fn close(&self, service: &str) {
        self.lock().connections.remove(service);
    }

    fn log(&self, launch: Launch, sink: Sink) -> Pending<Result<Lines, String>> {
        self.lock().sinks.insert(launch.service, sink);
        Box::pin(ready(Ok(Vec::new())))
    }

    fn run(
        &self,
        _launch: Launch,
        command: Vec<String>,
    ) -> Pending<Result<(Exit, String), String>> {
        Box::pin(ready(Ok((Exit::Code(0), format!("ran {}", command.join(" "))))))
    }

    fn durable(&self) -> Pending<Result<(), String>> {
        Box::pin(ready(Ok(())))
    }

    fn audit(&self, line: String) {
        self.lock().done.push(line);
    }

    fn audited(&self, _lines: usize) -> Pending<Result<Lines, String>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn catalogue(&self) -> Pending<Result<Catalogue, String>> {
        let text = self.lock().definitions.clone();
        let read = Catalogue::parse(Path::new("x.toml"), &text);
        Box::pin(ready(read.map_err(|error| error.to_string())))
    }

    fn machine(&self) -> String {
        self.lock().machine.clone()
    }

    fn remote(&self, vat: &Vat, remote: &Remote) -> Ref {
        let designator = remote.sturdyref().unwrap().peer.designator.clone();
        vat.spawn(self.lock().wires[&*designator].clone())
    }
}

/// A shepherd in such a world.
pub(super) struct Pasture {
    pub(super) hand: Arc<Manual>,
    pub(super) clock: Arc<SimClock>,
    pub(super) world: Arc<MadeUp>,
    pub(super) shepherd: ShepherdRef,
    pub(super) monitor: MonitorRef,
    pub(super) vat: Vat,
}

impl Pasture {
    pub(super) fn new(definitions: &str) -> Self {
        Self::beside(Manual::new(), SimClock::new(), definitions, |_| {})
    }

    /// One that shares its time with others.
    pub(super) fn beside(
        hand: Arc<Manual>,
        clock: Arc<SimClock>,
        definitions: &str,
        prepare: impl FnOnce(&MadeUp),
    ) -> Self {
        let vat = Vat::new("services", hand.clone());
        let world = Arc::new(MadeUp::default());
        world.define(definitions);
        prepare(&world);
        let context = context(&world, &clock, &vat);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let node = {
            let _on = runtime.enter();
            ocapn::Node::builder().start()
        };
        // The node is only for sturdyrefs, of which these tests make none.
        std::mem::forget(runtime);
        let made = vat.run(move |turn| {
            let monitor = MonitorRef::spawn(turn, Monitor::new(context.world.clone()));
            let grants = GrantsRef::spawn(turn, Grants::new(context.clone(), node));
            let shepherd = Shepherd::new(context, turn, monitor.clone(), grants);
            Ok((ShepherdRef::spawn(turn, shepherd), monitor))
        });
        hand.run_until_idle();
        let (shepherd, monitor) = made.wait().unwrap();
        let this = Self { hand, clock, world, shepherd, monitor, vat };
        this.get(this.shepherd.reload()).unwrap();
        this
    }

    /// Lets everything happen that can, and gives what has come of something.
    pub(super) fn get<T: FromValue>(&self, answer: Answer<T>) -> Result<T, String> {
        self.hand.run_until_idle();
        match answer.outcome() {
            Some(outcome) => outcome.map_err(|fault| fault.to_string()),
            None => Err("nothing yet".to_owned()),
        }
    }

    pub(super) fn start(&self, service: &str) -> Result<bool, String> {
        self.get(self.shepherd.start(service, None))
    }

    pub(super) fn stop(&self, service: &str) -> Result<bool, String> {
        self.get(self.shepherd.stop(service, None))
    }

    /// Has a process end, and what comes of that happen.
    pub(super) fn end(&self, service: &str, exit: Exit) {
        self.world.end(service, exit);
        self.hand.run_until_idle();
    }

    pub(super) fn status(&self, service: &str) -> Status {
        self.get(self.shepherd.status(service, 10)).unwrap()
    }

    pub(super) fn phase(&self, service: &str) -> Phase {
        self.status(service).state
    }

    /// Lets time pass, and everything happen that is due meanwhile.
    pub(super) fn pass(&self, millis: u64) {
        let end = self.clock.now() + std::time::Duration::from_millis(millis);
        self.hand.run_until_idle();
        while self.clock.next_alarm().is_some_and(|next| next <= end) {
            self.clock.advance_to_next();
            self.hand.run_until_idle();
        }
        self.clock.advance(end.saturating_sub(self.clock.now()));
        self.hand.run_until_idle();
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.get(self.shepherd.events(0)).unwrap()
    }

    /// What happened, as `service state`.
    pub(super) fn story(&self) -> Vec<String> {
        let events = self.events().into_iter();
        events.map(|event| format!("{} {}", event.service, event.state)).collect()
    }
}

pub(super) fn context(world: &Arc<MadeUp>, clock: &Arc<SimClock>, live: &Vat) -> Context {
    let clock = UnixClock::set_to(clock.clone(), std::time::Duration::from_secs(FRIDAY));
    Context { world: world.clone(), clock, zone: Zone::utc(), live: live.clone() }
}
