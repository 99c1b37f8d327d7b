//! `exported-service`: what stands here for one service of another machine, under a name
//! of ours. It passes on what it is told as far as its capability goes, and knows in what
//! state the service is, from what that machine tells.
//!
//! ```text
//!   asked ──> up <──> cut        (the machine can't be reached)
//!     └───────┴─────> refused    (the capability does not let its state be seen)
//! ```
//!
//! To the shepherd it is a service like any other: it has the methods of a
//! [`Controller`](super::controller::Controller), so that a
//! [`ControllerRef`] can lead to either. What takes
//! time is in [`watching`].

use std::sync::Arc;

use ocapn::persist::RestoreError;
use ocapn::{Answer, Fault, FromValue as _, IntoValue as _, Passable, Ref, Turn, Value, object};

use super::controller::{Context, ControllerRef};
use super::definition::Definition;
use super::flapping::Flaps;
use super::relay::Relay;
use super::status::{Elsewhere, Phase, Relations, Status};
use super::watching::{self, Line};
use super::writer::{ChronicleRef, Event, Mark, Voice, WriterRef};

/// The states of events that are none of the service's own.
const UNREACHABLE: &str = "unreachable";
const REFUSED: &str = "refused";

/// How it stands with the other machine.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Link {
    /// It has not answered yet.
    Asked,
    Up,
    /// It does not answer, since then.
    Cut {
        since: i64,
        why: String,
    },
    /// It answers, and does not tell.
    Refused {
        why: String,
    },
}

/// What an exported service tells of itself when it is asked how it stands.
#[derive(Passable, Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) mark: Mark,
    pub(crate) events: Vec<Event>,
    /// How it is at that mark. Left out where the events say it.
    pub(crate) status: Option<Status>,
}

/// The service of another machine.
#[derive(Clone)]
pub(crate) struct Exported {
    context: Context,
    name: String,
    definition: Arc<Definition>,
    link: Link,
    /// As it was last known.
    phase: Phase,
    since: i64,
    last: Option<Arc<Status>>,
    /// How far the other machine's chronicle has been heard.
    mark: Option<Mark>,
    remote: Option<Ref>,
    /// Counts the capabilities that it has had: what is heard of by another does not count.
    generation: u64,
    chronicle: Option<ChronicleRef>,
    flaps: Flaps,
}

impl Exported {
    pub(crate) fn new(context: Context, name: String, definition: Definition) -> Self {
        let since = context.seconds();
        Self {
            context,
            name,
            definition: Arc::new(definition),
            link: Link::Asked,
            phase: Phase::Stopped,
            since,
            last: None,
            mark: None,
            remote: None,
            generation: 0,
            chronicle: None,
            flaps: Flaps::default(),
        }
    }

    pub(crate) fn portray(&self) -> Value {
        (self.name.clone(), self.definition.to_text()).into_value()
    }

    pub(crate) fn restore(context: Context, portrait: Value) -> Result<Self, RestoreError> {
        let portrait = <(String, String)>::from_value(portrait);
        let (name, text) = portrait.map_err(|error| RestoreError::new(error.to_string()))?;
        let definition = Definition::from_text(&text).map_err(RestoreError::new)?;
        Ok(Self::new(context, name, definition))
    }

    fn machine(&self) -> String {
        self.definition.machine.clone().unwrap_or_else(|| self.name.clone())
    }

    /// The way to the service, begun if it is not there.
    fn line(&mut self, turn: &mut Turn<'_>) -> Result<Line, Fault> {
        let of = self.definition.remote.as_ref().ok_or("this is no service of another machine")?;
        let context = &self.context;
        let remote = self.remote.get_or_insert_with(|| context.world.remote(&context.live, of));
        Ok(Line {
            me: ExportedRef::from_ref(turn.me()),
            remote: remote.clone(),
            context: context.clone(),
            // Of one service only, it is the one.
            service: of.service.clone().unwrap_or_default(),
            machine: self.machine(),
            generation: self.generation,
        })
    }

    /// Has an order carried out there. If nobody tells what comes of it, it is believed to
    /// have gone well.
    fn order(
        &mut self,
        turn: &mut Turn<'_>,
        method: &str,
        args: Vec<Value>,
        then: Option<Phase>,
    ) -> Result<Answer<Value>, Fault> {
        let (line, method) = (self.line(turn)?, Value::Symbol(method.into()));
        Ok(turn.spawn_async(move |here| watching::order(here, line, method, args, then)))
    }

    /// What passes on to somebody here what that machine says.
    fn relay(&self, turn: &mut Turn<'_>, voice: Option<Voice>) -> Vec<Value> {
        let writer = voice.and_then(|voice| voice.writer);
        let relay = writer.map(|writer| {
            let machine = Some(self.machine());
            turn.spawn(Relay::new(writer.untyped().clone(), machine))
        });
        relay.iter().map(Value::from).collect()
    }

    fn tell(&mut self, turn: &mut Turn<'_>, state: &str, detail: Option<String>) {
        let Some(chronicle) = &self.chronicle else { return };
        let at = self.context.seconds();
        chronicle.send_only(turn).record(at, self.name.clone(), state.to_owned(), detail);
        let up = if self.link == Link::Up { self.phase.settled() } else { Some(false) };
        let (setting, now) = (&self.definition.flapping, self.context.millis());
        self.flaps.tell(turn, chronicle, &self.name, setting, up, now);
    }

    fn enter(&mut self, turn: &mut Turn<'_>, phase: Phase, since: i64, detail: Option<String>) {
        self.phase = phase;
        self.since = since;
        self.tell(turn, phase.name(), detail);
    }

    fn provides(&self) -> Vec<String> {
        std::iter::once(&self.name).chain(&self.definition.provides).cloned().collect()
    }

    /// How it stands with the machine, to be told.
    fn elsewhere(&self) -> Elsewhere {
        let (reachable, unreachable_since, error) = match &self.link {
            Link::Asked => (false, None, None),
            Link::Up => (true, None, None),
            // One that was never there is not there no more.
            Link::Cut { since, why } => {
                (false, self.last.as_ref().map(|_| *since), Some(why.clone()))
            }
            Link::Refused { why } => (true, None, Some(why.clone())),
        };
        Elsewhere { machine: self.machine(), reachable, unreachable_since, error }
    }

    /// What the machine says of it, under our name.
    fn ours(&self, theirs: Status) -> Status {
        let definition = &self.definition;
        Status {
            name: self.name.clone(),
            provides: self.provides(),
            requires: Vec::new(),
            doc: definition.doc.clone().or(theirs.doc),
            remote: Some(self.elsewhere()),
            flapping: self.flaps.since(&definition.flapping, self.context.millis()),
            ..theirs
        }
    }

    /// What is known of it here.
    fn known(&self) -> Status {
        let unknown =
            || Status { enabled: true, ..Status::new(self.name.clone(), self.phase, self.since) };
        let last = self.last.as_deref().cloned().unwrap_or_else(unknown);
        let (state, since) = (self.phase, self.since);
        self.ours(Status { state, since, messages: Vec::new(), ..last })
    }
}

#[object(reference = pub(crate) ExportedRef)]
impl Exported {
    /// Says where to tell what happens, and what it is from now on. Begins to listen.
    #[method]
    fn configure(
        &mut self,
        turn: &mut Turn<'_>,
        chronicle: ChronicleRef,
        definition: Option<String>,
    ) -> Result<bool, Fault> {
        self.chronicle = Some(chronicle);
        let before = self.definition.clone();
        if let Some(definition) = definition {
            self.definition = Arc::new(Definition::from_text(&definition)?);
        }
        if self.generation == 0 || before.remote != self.definition.remote {
            self.generation += 1;
            self.remote = None;
            self.mark = None;
            self.link = Link::Asked;
            let line = self.line(turn)?;
            turn.spawn_async(move |here| watching::watch(here, line)).ignore();
        }
        Ok(before != self.definition)
    }

    /// It is no service of ours any more, and goes on as it is.
    #[method]
    fn forget(&mut self) {
        self.generation += 1;
        self.remote = None;
        self.chronicle = None;
    }

    /// There is nothing of it here to take up.
    #[method]
    fn recover(&self) -> bool {
        false
    }

    /// What the machine tells of it. Gives where to go on listening, if that is wanted.
    #[method]
    fn seen(&mut self, turn: &mut Turn<'_>, generation: u64, seen: Seen) -> Option<Mark> {
        if generation != self.generation {
            return None;
        }
        let Seen { mark, events, status } = seen;
        if let Some((run, number)) = self.mark
            && self.link == Link::Up
            && run == mark.0
        {
            if number > mark.1 {
                // More is known already.
                return self.mark;
            }
            for event in events.into_iter().filter(|event| event.number > number) {
                let Some(phase) = Phase::named(&event.state) else { continue };
                if let Some(last) = &mut self.last {
                    Arc::make_mut(last).pid = None;
                }
                self.enter(turn, phase, event.at, event.detail);
            }
        }
        if let Some(status) = status {
            let (phase, since) = (status.state, status.since);
            self.last = Some(Arc::new(status));
            if self.link != Link::Up {
                self.link = Link::Up;
                self.enter(turn, phase, since, Some("reachable".to_owned()));
            } else if self.phase != phase {
                self.enter(turn, phase, since, None);
            }
            self.since = since;
        }
        self.mark = Some(mark);
        self.mark
    }

    /// The machine does not answer, or refuses to tell. Whether that is still of interest.
    #[method]
    fn lost(&mut self, turn: &mut Turn<'_>, generation: u64, why: String, refused: bool) -> bool {
        if generation != self.generation {
            return false;
        }
        self.mark = None;
        let since = match &self.link {
            Link::Cut { since, .. } => *since,
            _ => self.context.seconds(),
        };
        let now = if refused {
            Link::Refused { why: why.clone() }
        } else {
            Link::Cut { since, why: why.clone() }
        };
        let before = std::mem::replace(&mut self.link, now);
        if std::mem::discriminant(&before) != std::mem::discriminant(&self.link) {
            self.tell(turn, if refused { REFUSED } else { UNREACHABLE }, Some(why));
        }
        true
    }

    /// How far it has been heard.
    #[method]
    fn mark(&self) -> Option<Mark> {
        self.mark
    }

    /// In what state it is to be, as far as anybody knows.
    #[method]
    fn believe(&mut self, turn: &mut Turn<'_>, phase: Phase) {
        if matches!(self.link, Link::Refused { .. }) && self.phase != phase {
            let now = self.context.seconds();
            self.enter(turn, phase, now, Some("as it was told".to_owned()));
        }
    }

    /// Starts it there. Whether it had to be started.
    #[method]
    fn start(&mut self, turn: &mut Turn<'_>, voice: Option<Voice>) -> Result<Answer<bool>, Fault> {
        let relay = self.relay(turn, voice);
        Ok(Answer::from_promise(
            self.order(turn, "start", relay, Some(Phase::Running))?.into_promise(),
        ))
    }

    /// Stops it there.
    #[method]
    fn stop(&mut self, turn: &mut Turn<'_>, voice: Option<Voice>) -> Result<Answer<bool>, Fault> {
        // What it says is that it does not run, which the answer says too.
        drop(voice);
        Ok(Answer::from_promise(
            self.order(turn, "stop", Vec::new(), Some(Phase::Stopped))?.into_promise(),
        ))
    }

    /// Stops and starts it there.
    #[method]
    fn restart(
        &mut self,
        turn: &mut Turn<'_>,
        voice: Option<Voice>,
    ) -> Result<Answer<bool>, Fault> {
        let relay = self.relay(turn, voice);
        Ok(Answer::from_promise(
            self.order(turn, "restart", relay, Some(Phase::Running))?.into_promise(),
        ))
    }

    #[method]
    fn enable(&mut self, turn: &mut Turn<'_>, enabled: bool) -> Result<Answer<Value>, Fault> {
        self.order(turn, if enabled { "enable" } else { "disable" }, Vec::new(), None)
    }

    /// Does something with it that its definition there says.
    #[method]
    fn action(
        &mut self,
        turn: &mut Turn<'_>,
        name: String,
        args: Vec<Value>,
    ) -> Result<Answer<Value>, Fault> {
        self.order(turn, &name, args, None)
    }

    /// Tells somebody the last lines that it has said, and all that come.
    #[method]
    fn follow(
        &mut self,
        turn: &mut Turn<'_>,
        writer: WriterRef,
        lines: u64,
    ) -> Result<Answer<Value>, Fault> {
        let relay = turn.spawn(Relay::new(writer.untyped().clone(), None));
        self.order(turn, "follow", vec![relay.into(), lines.into()], None)
    }

    #[method]
    fn relations(&self) -> Relations {
        let known = matches!(self.link, Link::Up | Link::Refused { .. });
        Relations {
            phase: if known { self.phase } else { Phase::Stopped },
            // That is for the other machine to say.
            enabled: true,
            autostart: false,
            wanted: false,
            transient: false,
            remote: true,
            provides: self.provides(),
            requires: Vec::new(),
            conflicts: Vec::new(),
        }
    }

    /// What the machine says of it now; what is known, if it does not answer.
    #[method]
    fn status(&mut self, turn: &mut Turn<'_>, lines: u64) -> Result<Answer<Status>, Fault> {
        if matches!(self.link, Link::Asked | Link::Cut { .. }) {
            return Ok(Answer::ready(self.known()));
        }
        let line = self.line(turn)?;
        let me = ExportedRef::from_ref(turn.me());
        Ok(turn.spawn_async(async move |here| {
            let told = line.ask::<Status>(&here, Value::symbol("status"), vec![lines.into()]).await;
            let told = told.ok();
            here.ask(move |turn| me.send(turn).describe(told)).await
        }))
    }

    /// What the machine says of it, in our words.
    #[method]
    fn describe(&self, told: Option<Status>) -> Status {
        match told {
            Some(theirs) => self.ours(theirs),
            None => self.known(),
        }
    }

    #[method]
    fn brief(&self) -> Status {
        self.known()
    }
}

impl ExportedRef {
    /// The exported service that goes by this reference: one whose relations say that it
    /// is remote.
    pub(crate) fn of(service: &ControllerRef) -> Self {
        Self::from_ref(service.untyped().clone())
    }
}
