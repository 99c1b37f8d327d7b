//! `process-monitor`: owns the children. It starts them, knows of each what is needed to
//! find it again, and tells how it ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use ocapn::persist::RestoreError;
use ocapn::{Answer, Fault, FromValue as _, Here, IntoValue as _, Turn, Value, object};

use super::definition::Definition;
use super::process::{Exit, Launch, Process, World};
use super::text::SignalName;

/// The processes of the shepherd. What it is durable for is their numbers: those that
/// were started by a shepherd that is gone are not started again.
#[derive(Clone)]
pub(crate) struct Monitor {
    world: Arc<dyn World>,
    /// By the name of their service.
    children: BTreeMap<String, Process>,
    /// How those end that somebody has asked for.
    exits: BTreeMap<Process, Answer<Exit>>,
}

impl Monitor {
    pub(crate) fn new(world: Arc<dyn World>) -> Self {
        Self { world, children: BTreeMap::new(), exits: BTreeMap::new() }
    }

    pub(crate) fn portray(&self) -> Value {
        self.children.clone().into_value()
    }

    pub(crate) fn restore(world: Arc<dyn World>, portrait: Value) -> Result<Self, RestoreError> {
        let children = BTreeMap::from_value(portrait);
        let children = children.map_err(|error| RestoreError::new(error.to_string()))?;
        Ok(Self { world, children, exits: BTreeMap::new() })
    }
}

#[object(reference = pub(crate) MonitorRef)]
impl Monitor {
    /// Starts the process of a service. Its number is on the disk before its program
    /// runs, so that a shepherd that dies meanwhile leaves nothing behind that the next
    /// one doesn't know.
    #[method]
    fn launch(
        &self,
        turn: &mut Turn<'_>,
        service: String,
        definition: String,
    ) -> Result<Answer<Process>, Fault> {
        let definition = Arc::new(Definition::from_text(&definition)?);
        let launch = Launch { service: service.clone(), definition };
        let (world, me) = (self.world.clone(), MonitorRef::from_ref(turn.me()));
        Ok(turn.spawn_async(async move |here: Here| {
            let prepared = world.prepare(launch).await?;
            let (process, noting) = (prepared.process.clone(), prepared.process.clone());
            let noted = me.clone();
            here.ask(move |turn| noted.send(turn).noted(service, noting)).await?;
            world.durable().await?;
            if let Err(why) = prepared.go.await {
                // It ends by itself, and is reaped.
                let over = process.clone();
                here.ask(move |turn| me.send(turn).over(over)).await?;
                return Err(why.into());
            }
            Ok(process)
        }))
    }

    #[method]
    fn noted(&mut self, service: String, process: Process) {
        self.children.insert(service, process);
    }

    #[method]
    fn over(&mut self, process: Process) {
        self.children.retain(|_, other| *other != process);
        self.exits.remove(&process);
    }

    /// How a process ends.
    #[method]
    fn exit(&mut self, turn: &mut Turn<'_>, process: Process) -> Answer<Exit> {
        if let Some(exit) = self.exits.get(&process) {
            return exit.clone();
        }
        let (world, me) = (self.world.clone(), MonitorRef::from_ref(turn.me()));
        let of = process.clone();
        let exit = turn.spawn_async(async move |here: Here| {
            let exit = world.exit(of.clone()).await;
            here.ask(move |turn| me.send(turn).over(of)).await?;
            Ok(exit)
        });
        self.exits.insert(process, exit.clone());
        exit
    }

    /// The process that was started last for a service, if its end has not been seen.
    #[method]
    fn find(&self, service: String) -> Option<Process> {
        self.children.get(&service).cloned()
    }

    /// Whether it runs.
    #[method]
    fn is_alive(&self, process: Process) -> bool {
        self.world.is_alive(&process)
    }

    /// Sends a signal to a process and its group.
    #[method]
    fn signal(&self, process: Process, signal: String) -> Result<(), Fault> {
        let SignalName(signal) = signal.parse()?;
        Ok(self.world.signal(&process, signal)?)
    }

    /// All of them.
    #[method]
    fn processes(&self) -> BTreeMap<String, Process> {
        self.children.clone()
    }
}
