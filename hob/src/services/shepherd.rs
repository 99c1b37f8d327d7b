//! `shepherd`: the coordinator. It knows how services depend on each other, and starts
//! and stops them in order: what is required first, dependents last, and all that need
//! not wait for each other at the same time.

use std::collections::{BTreeMap, BTreeSet};

use ocapn::persist::RestoreError;
use ocapn::{Answer, Fault, FromValue as _, IntoValue as _, Passable, Turn, Value, object};

use super::catalogue::Catalogue;
use super::controller::{Context, Controller, ControllerRef};
use super::definition::Definition;
use super::exported::{Exported, ExportedRef, Seen};
use super::fleet;
use super::grants::GrantsRef;
use super::monitor::MonitorRef;
use super::orders::{self, Orders};
use super::refusal::{not_found, refused};
use super::registry::{Registry, RegistryRef};
use super::rolling::{self, Rolled};
use super::status::{Phase, Relations, Status};
use super::writer::{Chronicle, ChronicleRef, Event, Mark, News, Voice, WriterRef};

/// The coordinator.
#[derive(Clone)]
pub(crate) struct Shepherd {
    pub(crate) context: Context,
    monitor: MonitorRef,
    registry: RegistryRef,
    grants: GrantsRef,
    /// Which run of the machine this was in last.
    boot: String,
    /// Whether it has ended in good order, with everything stopped.
    clean: bool,
    chronicle: Option<ChronicleRef>,
    starting: BTreeMap<String, Answer<bool>>,
    stopping: BTreeMap<String, Answer<bool>>,
    /// What is being restarted in turn.
    rolling: Vec<(Vec<String>, Answer<Rolled>)>,
}

#[derive(Passable)]
#[passable(deny_unknown)]
struct Portrait {
    monitor: MonitorRef,
    registry: RegistryRef,
    grants: GrantsRef,
    boot: String,
    clean: bool,
}

/// What a reload has changed.
#[derive(Passable, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reloaded {
    pub(crate) added: Vec<String>,
    /// From their next start on.
    pub(crate) changed: Vec<String>,
    pub(crate) removed: Vec<String>,
}

impl Shepherd {
    pub(crate) fn new(
        context: Context,
        turn: &mut Turn<'_>,
        monitor: MonitorRef,
        grants: GrantsRef,
    ) -> Self {
        let registry = RegistryRef::spawn(turn, Registry::default());
        Self {
            context,
            monitor,
            registry,
            grants,
            boot: String::new(),
            clean: true,
            chronicle: None,
            starting: BTreeMap::new(),
            stopping: BTreeMap::new(),
            rolling: Vec::new(),
        }
    }

    pub(crate) fn portray(&self) -> Value {
        let Self { monitor, registry, grants, boot, clean, .. } = self.clone();
        Portrait { monitor, registry, grants, boot, clean }.into_value()
    }

    pub(crate) fn restore(context: Context, portrait: Value) -> Result<Self, RestoreError> {
        let portrait = Portrait::from_value(portrait);
        let portrait = portrait.map_err(|error| RestoreError::new(error.to_string()))?;
        let Portrait { monitor, registry, grants, boot, clean } = portrait;
        Ok(Self {
            context,
            monitor,
            registry,
            grants,
            boot,
            clean,
            chronicle: None,
            starting: BTreeMap::new(),
            stopping: BTreeMap::new(),
            rolling: Vec::new(),
        })
    }

    fn chronicle(&mut self) -> ChronicleRef {
        let make =
            || ChronicleRef::spawn_in(&self.context.live, Chronicle::new(self.context.millis()));
        self.chronicle.get_or_insert_with(make).clone()
    }

    /// The service of that name, by its first.
    pub(crate) fn find(
        &self,
        turn: &mut Turn<'_>,
        name: &str,
    ) -> Result<(String, ControllerRef), Fault> {
        let found = self.registry.call(turn).find(name.to_owned())?;
        found.ok_or_else(|| not_found(&format!("service '{name}' could not be found")))
    }

    fn relations(&self, turn: &mut Turn<'_>) -> Result<BTreeMap<String, Relations>, Fault> {
        let all = self.registry.call(turn).all()?;
        let of = |(name, service): (String, ControllerRef)| {
            let relations = service.call(turn).relations()?;
            Ok((name, relations))
        };
        all.into_iter().map(of).collect()
    }

    /// The services that are up and require this one.
    fn dependents(
        &self,
        turn: &mut Turn<'_>,
        name: &str,
    ) -> Result<Vec<(String, ControllerRef)>, Fault> {
        let all = self.relations(turn)?;
        let provides = all.get(name).map(|of| of.provides.clone()).unwrap_or_default();
        let requires = |of: &Relations| {
            of.phase.is_up() && of.requires.iter().any(|name| provides.contains(name))
        };
        let names = all.into_iter().filter(|(_, of)| requires(of)).map(|(name, _)| name);
        names.map(|name| self.find(turn, &name)).collect()
    }

    fn orders(
        &self,
        turn: &mut Turn<'_>,
        name: String,
        service: ControllerRef,
        remote: bool,
    ) -> Orders {
        Orders { shepherd: ShepherdRef::from_ref(turn.me()), name, service, remote }
    }

    fn add(
        &mut self,
        turn: &mut Turn<'_>,
        name: &str,
        definition: Definition,
        transient: bool,
    ) -> Result<ControllerRef, Fault> {
        let provides = definition.provides.clone();
        let (context, monitor) = (self.context.clone(), self.monitor.clone());
        let service = if definition.remote.is_some() {
            let service = Exported::new(context, name.to_owned(), definition);
            ControllerRef::from_ref(turn.spawn(service))
        } else {
            let service = Controller::new(context, monitor, name.to_owned(), definition, transient);
            ControllerRef::spawn(turn, service)
        };
        let chronicle = self.chronicle();
        service.call(turn).configure(chronicle, None)?;
        self.registry.call(turn).register(name.to_owned(), provides, service.clone())?;
        Ok(service)
    }
}

#[object(reference = pub(crate) ShepherdRef)]
impl Shepherd {
    /// Makes the services what the definitions say.
    #[method]
    fn define(
        &mut self,
        turn: &mut Turn<'_>,
        definitions: BTreeMap<String, String>,
    ) -> Result<Reloaded, Fault> {
        let chronicle = self.chronicle();
        let mut reloaded = Reloaded::default();
        let before = self.registry.call(turn).all()?;
        for (name, service) in &before {
            let Relations { transient, remote, .. } = service.call(turn).relations()?;
            let text = definitions.get(name);
            // What was run here and is of another machine now is another service.
            let other = match text {
                Some(text) => Definition::from_text(text)?.remote.is_some() != remote,
                None => false,
            };
            match text.filter(|_| !other) {
                None if transient && !other => {
                    service.call(turn).configure(chronicle.clone(), None)?;
                }
                None => {
                    if remote {
                        // It goes on there.
                        ExportedRef::of(service).call(turn).forget()?;
                    } else {
                        service.call(turn).configure(chronicle.clone(), None)?;
                        // Still up, it stays until it is stopped; nobody finds it any more.
                        service.call(turn).stop()?.ignore();
                    }
                    self.registry.call(turn).unregister(name.clone())?;
                    if !other {
                        reloaded.removed.push(name.clone());
                    }
                }
                Some(text) => {
                    if service.call(turn).configure(chronicle.clone(), Some(text.clone()))? {
                        reloaded.changed.push(name.clone());
                    }
                    let provides = service.call(turn).relations()?.provides;
                    self.registry.call(turn).register(name.clone(), provides, service.clone())?;
                }
            }
        }
        for (name, text) in definitions {
            if self.registry.call(turn).all()?.contains_key(&name) {
                continue;
            }
            let definition = Definition::from_text(&text)?;
            self.add(turn, &name, definition, false)?;
            if before.contains_key(&name) {
                reloaded.changed.push(name);
            } else {
                reloaded.added.push(name);
            }
        }
        Ok(reloaded)
    }

    /// Reads the definitions anew.
    #[method]
    fn reload(&self, turn: &mut Turn<'_>) -> Answer<Reloaded> {
        let (world, me) = (self.context.world.clone(), ShepherdRef::from_ref(turn.me()));
        turn.spawn_async(async move |here| {
            let Catalogue(definitions) = world.catalogue().await?;
            let texts = definitions.iter().map(|(name, of)| (name.clone(), of.to_text())).collect();
            here.ask(move |turn| me.send(turn).define(texts)).await
        })
    }

    /// Takes up what an earlier shepherd has left, and starts what is to run. Answers
    /// when all of that has started or failed, with what failed.
    #[method]
    fn boot(&mut self, turn: &mut Turn<'_>, boot: String) -> Result<Answer<Vec<String>>, Fault> {
        let fresh = self.clean || self.boot != boot;
        self.boot = boot;
        self.clean = false;
        let services = self.registry.call(turn).all()?;
        let me = ShepherdRef::from_ref(turn.me());
        Ok(turn.spawn_async(move |here| orders::boot(here, me, services, fresh)))
    }

    /// Stops everything, to end in good order.
    #[method]
    fn shut_down(&mut self, turn: &mut Turn<'_>) -> Result<Answer<()>, Fault> {
        let mut services = self.registry.call(turn).all()?;
        let relations = self.relations(turn)?;
        // Those of other machines go on.
        services.retain(|name, _| relations.get(name).is_some_and(|of| !of.remote));
        let me = ShepherdRef::from_ref(turn.me());
        Ok(turn.spawn_async(move |here| orders::shut_down(here, me, services)))
    }

    #[method]
    fn clean(&mut self) {
        self.clean = true;
    }

    /// Starts a service, and what it requires. Fulfilled with whether it had to be
    /// started.
    #[method]
    fn start(
        &mut self,
        turn: &mut Turn<'_>,
        name: String,
        writer: Option<WriterRef>,
    ) -> Result<Answer<bool>, Fault> {
        let (name, service) = self.find(turn, &name)?;
        let voice = self.voice(turn, &name, writer)?;
        if service.call(turn).relations()?.phase == Phase::Running {
            let fleet = self.members(turn, &name)?;
            if !fleet.is_fleet() {
                voice.say(turn, format!("Service {name} is already running."));
                return Ok(Answer::ready(false));
            }
            // It runs, and what it stands for may not.
            let orders = self.orders(turn, name, service, false);
            let services = fleet.exported.into_keys().collect();
            return Ok(
                turn.spawn_async(move |here| orders::complete(here, orders, services, voice))
            );
        }
        self.bring_up(turn, name, voice)
    }

    /// Starts a service on behalf of another.
    #[method]
    fn bring_up(
        &mut self,
        turn: &mut Turn<'_>,
        name: String,
        voice: Voice,
    ) -> Result<Answer<bool>, Fault> {
        let (name, service) = self.find(turn, &name)?;
        let relations = service.call(turn).relations()?;
        if relations.phase == Phase::Running {
            return Ok(Answer::ready(false));
        }
        self.starting.retain(|_, going| going.promise().outcome().is_none());
        if let Some(going) = self.starting.get(&name) {
            return Ok(going.clone());
        }
        if !relations.enabled {
            voice.say(turn, format!("Service {name} is currently disabled."));
            return Err(format!("service {name} is disabled").into());
        }
        for other in &relations.conflicts {
            if let Some((other, service)) = self.registry.call(turn).find(other.clone())?
                && service.call(turn).relations()?.phase.is_up()
            {
                return Err(format!("service {name} conflicts with {other}, which is up").into());
            }
        }
        let stopping = self.stopping.get(&name).cloned();
        let orders = self.orders(turn, name.clone(), service, relations.remote);
        let requires = relations.requires;
        let going =
            turn.spawn_async(move |here| orders::start(here, orders, requires, stopping, voice));
        self.starting.insert(name, going.clone());
        Ok(going)
    }

    /// Stops a service, after those that require it; and if it is a fleet, the services of
    /// other machines that it stands for. Tells whether there was something to stop.
    #[method]
    fn stop(
        &mut self,
        turn: &mut Turn<'_>,
        name: String,
        writer: Option<WriterRef>,
    ) -> Result<Answer<bool>, Fault> {
        let (name, service) = self.find(turn, &name)?;
        let fleet = self.members(turn, &name)?;
        let asked = writer.is_some();
        let voice = self.voice(turn, &name, writer)?;
        if fleet.is_fleet() {
            let me = ShepherdRef::from_ref(turn.me());
            return Ok(turn.spawn_async(move |here| fleet::stop(here, me, fleet, voice)));
        }
        let relations = service.call(turn).relations()?;
        if !relations.phase.is_up() && !relations.remote && asked {
            voice.say(turn, format!("Service {name} is not running."));
        }
        self.take_down(turn, name, voice)
    }

    /// Stops a service on behalf of another.
    #[method]
    fn take_down(
        &mut self,
        turn: &mut Turn<'_>,
        name: String,
        voice: Voice,
    ) -> Result<Answer<bool>, Fault> {
        let (name, service) = self.find(turn, &name)?;
        self.stopping.retain(|_, going| going.promise().outcome().is_none());
        if let Some(going) = self.stopping.get(&name) {
            return Ok(going.clone());
        }
        let dependents = self.dependents(turn, &name)?;
        let remote = service.call(turn).relations()?.remote;
        let orders = self.orders(turn, name.clone(), service, remote);
        let going = turn.spawn_async(move |here| orders::stop(here, orders, dependents, voice));
        self.stopping.insert(name, going.clone());
        Ok(going)
    }

    /// The names of the services that are up and require this one.
    #[method]
    fn required_by(&self, turn: &mut Turn<'_>, name: String) -> Result<Vec<String>, Fault> {
        let (name, _) = self.find(turn, &name)?;
        Ok(self.dependents(turn, &name)?.into_iter().map(|(name, _)| name).collect())
    }

    /// Stops a service and those that require it, and starts them again.
    #[method]
    fn restart(
        &mut self,
        turn: &mut Turn<'_>,
        name: String,
        writer: Option<WriterRef>,
    ) -> Result<Answer<bool>, Fault> {
        let (name, service) = self.find(turn, &name)?;
        let fleet = self.members(turn, &name)?;
        let voice = self.voice(turn, &name, writer)?;
        if fleet.is_fleet() {
            let me = ShepherdRef::from_ref(turn.me());
            return Ok(turn.spawn_async(move |here| fleet::restart(here, me, name, fleet, voice)));
        }
        let mut dependents = BTreeSet::new();
        let mut next = vec![name.clone()];
        while let Some(name) = next.pop() {
            for (dependent, _) in self.dependents(turn, &name)? {
                if dependents.insert(dependent.clone()) {
                    next.push(dependent);
                }
            }
        }
        let remote = service.call(turn).relations()?.remote;
        let orders = self.orders(turn, name, service, remote);
        Ok(turn.spawn_async(move |here| orders::restart(here, orders, dependents, voice)))
    }

    /// Restarts the services of other machines that a service stands for, so that never
    /// more than so many of them are down at once.
    #[method]
    fn roll(
        &mut self,
        turn: &mut Turn<'_>,
        name: String,
        most: u64,
        writer: Option<WriterRef>,
    ) -> Result<Answer<Rolled>, Fault> {
        let (name, _) = self.find(turn, &name)?;
        let services = self.members(turn, &name)?.exported;
        if services.is_empty() {
            return Err(format!("service {name} stands for no services of other machines").into());
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if most == 0 {
            return Err("if none may be down, none can be restarted".into());
        }
        self.rolling.retain(|(_, going)| going.promise().outcome().is_none());
        let busy = |of: &&String| self.rolling.iter().any(|(names, _)| names.contains(of));
        if let Some(busy) = services.keys().find(busy) {
            return Err(format!("service {busy} is part of a restart that is going on").into());
        }
        let names = services.keys().cloned().collect();
        let voice = self.voice(turn, &name, writer)?;
        let going = turn.spawn_async(move |here| rolling::roll(here, services, most, voice));
        self.rolling.push((names, going.clone()));
        Ok(going)
    }

    #[method]
    fn enable(&mut self, turn: &mut Turn<'_>, name: String) -> Result<Answer<()>, Fault> {
        let (_, service) = self.find(turn, &name)?;
        Ok(service.send(turn).enable(true))
    }

    #[method]
    fn disable(&mut self, turn: &mut Turn<'_>, name: String) -> Result<Answer<()>, Fault> {
        let (_, service) = self.find(turn, &name)?;
        Ok(service.send(turn).enable(false))
    }

    #[method]
    fn status(
        &self,
        turn: &mut Turn<'_>,
        name: String,
        lines: u64,
    ) -> Result<Answer<Status>, Fault> {
        let (_, service) = self.find(turn, &name)?;
        Ok(service.send(turn).status(lines))
    }

    /// The same at once, without what it has said.
    #[method]
    fn brief(&self, turn: &mut Turn<'_>, name: String) -> Result<Status, Fault> {
        let (_, service) = self.find(turn, &name)?;
        service.call(turn).brief()
    }

    /// That of all services, without what they have said.
    #[method]
    fn statuses(&self, turn: &mut Turn<'_>) -> Result<Vec<Status>, Fault> {
        let all = self.registry.call(turn).all()?;
        all.into_values().map(|service| service.call(turn).brief()).collect()
    }

    /// Tells the writer the last lines of a service, and all that come.
    #[method]
    fn follow(
        &self,
        turn: &mut Turn<'_>,
        name: String,
        writer: WriterRef,
        lines: u64,
    ) -> Result<Answer<()>, Fault> {
        let (_, service) = self.find(turn, &name)?;
        Ok(service.send(turn).follow(writer, lines))
    }

    /// Does something with a service that its definition says.
    #[method]
    fn action(
        &self,
        turn: &mut Turn<'_>,
        name: String,
        action: String,
        args: Vec<Value>,
    ) -> Result<Answer<Value>, Fault> {
        let (_, service) = self.find(turn, &name)?;
        Ok(service.send(turn).action(action, args))
    }

    /// Defines a service that is gone once it has stopped and the shepherd is asked for
    /// it no more, and starts it.
    #[method(name = "spawn")]
    fn spawn_transient(
        &mut self,
        turn: &mut Turn<'_>,
        name: String,
        definition: String,
        writer: Option<WriterRef>,
    ) -> Result<Answer<bool>, Fault> {
        if !super::text::is_name(&name) || name == "root" {
            return Err(format!("{name:?} can't be the name of a service").into());
        }
        let definition = Definition::from_text(&definition)?;
        if definition.remote.is_some() {
            return Err("a service of another machine is defined in a file".into());
        }
        for required in &definition.requires {
            self.find(turn, required)?;
        }
        if let Some((_, service)) = self.registry.call(turn).find(name.clone())? {
            let relations = service.call(turn).relations()?;
            if !relations.transient {
                return Err(refused(&format!("service {name} is defined in a file")));
            }
            if relations.phase.is_up() {
                return Err(format!("service {name} is up").into());
            }
        }
        self.add(turn, &name, definition, true)?;
        self.start(turn, name, writer)
    }

    /// Tells somebody what happens to services from now on, or from a number on.
    #[method]
    fn watch(
        &mut self,
        turn: &mut Turn<'_>,
        watcher: WriterRef,
        after: Option<u64>,
    ) -> Answer<u64> {
        let chronicle = self.chronicle();
        chronicle.send(turn).watch(watcher, after)
    }

    /// What has happened with a higher number.
    #[method]
    fn events(&mut self, turn: &mut Turn<'_>, after: u64) -> Answer<Vec<Event>> {
        let chronicle = self.chronicle();
        chronicle.send(turn).events(after)
    }

    /// How a service stands, and what has happened to it since a mark; if nothing has and
    /// the asker waits, what happens next.
    #[method]
    fn observe(
        &mut self,
        turn: &mut Turn<'_>,
        name: String,
        after: Option<Mark>,
        wait: bool,
    ) -> Result<Answer<Seen>, Fault> {
        let (name, service) = self.find(turn, &name)?;
        // As it is when the chronicle is asked: nothing comes between.
        let status = service.call(turn).brief()?;
        let news = self.chronicle().send(turn).next(name, after, wait);
        Ok(news.on_promise(turn, move |_turn, news| {
            let News { mark, events } = news?;
            // What has come in the meantime is in the events.
            let status = (!wait || events.is_empty()).then_some(status);
            Ok(Seen { mark, events, status })
        }))
    }

    /// What gives others capabilities to services.
    #[method]
    fn grants(&self) -> GrantsRef {
        self.grants.clone()
    }
}
