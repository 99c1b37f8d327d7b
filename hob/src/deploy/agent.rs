//! The agent: which deployment is under way, how far it is, and until when.
//!
//! ```text
//!            begin           apply            applied              confirm
//!   (none) ────────> open ──────────> applying ───────> on trial ────────> (none): kept
//!                     │                  │ failed           │ not in time, or cancelled
//!     given up, idle <┘                  └───> going back <─┘
//!                                                  └──> (none): as before
//! ```
//!
//! What takes time is done by the [`Workshop`]; its end is a message. A serial number says
//! which deployment a message is about, so that what comes late does no harm.

mod under_way;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ocapn::{Answer, Clock, Fault, Node, Ref, Turn, Value, object};

use self::under_way::{digest, millis, steps};
use super::settings::Settings;
use super::site::{Attempt, STOPPED, Site, Workshop};
use super::upload::{PAGE, Summary, Upload, UploadRef};
use super::wire::{Applied, Begin, Begun, Standing};
use crate::desired::machine::Digest;
use crate::services::refusal::refused;
use crate::services::writer::WriterRef;

/// How long after going back has failed it is tried again; it doubles.
const AGAIN_FIRST: Duration = Duration::from_secs(30);
/// How long at most.
const AGAIN_MOST: Duration = Duration::from_secs(60 * 60);

/// What an agent does things with.
pub(crate) struct Tools {
    /// Tells whose sessions references live on.
    pub(crate) node: Node,
    /// Counts from 1970.
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    /// Says something in the service's log.
    pub(crate) say: Box<dyn Fn(String) + Send + Sync>,
    /// Adds a line to the record of who did what.
    pub(crate) audit: Box<dyn Fn(String) + Send + Sync>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    Applying,
    Trial { until: Duration },
    Confirming,
    GoingBack,
}

impl Stage {
    const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Applying => "applying",
            Self::Trial { .. } => "trial",
            Self::Confirming => "confirming",
            Self::GoingBack => "going-back",
        }
    }
}

/// The deployment that is under way.
#[derive(Clone)]
struct Current {
    serial: u64,
    key: Digest,
    label: String,
    since: i64,
    stage: Stage,
    within: Duration,
    /// When something last came for it.
    active: Duration,
    /// Who is told of each step, and whose session it was begun on.
    writer: Option<WriterRef>,
}

/// The agent.
#[derive(Clone)]
pub(crate) struct Agent {
    tools: Arc<Tools>,
    /// `None` once the service has stopped.
    workshop: Option<Workshop>,
    current: Option<Current>,
    serial: u64,
    /// The last work on the site.
    work: Option<Answer<Value>>,
}

#[object(reference = pub(crate) AgentRef)]
impl Agent {
    /// Undoes what an earlier process has left.
    #[method]
    fn recover(&mut self, turn: &mut Turn<'_>) -> Result<Answer<Value>, Fault> {
        let Some(current) = &self.current else { return Ok(Answer::ready(Value::Undefined)) };
        let (me, serial) = (AgentRef::from_ref(turn.me()), current.serial);
        let work = move |site: &mut Site| site.recover(&steps(me, serial));
        self.work(turn, work, move |turn, me, outcome| {
            let trouble = outcome.and_then(|outcome| outcome).err();
            let went = me.send(turn).went_back(serial, STOPPED.to_owned(), trouble);
            Answer::from_promise(went.into_promise())
        })
    }

    #[method]
    fn begin(
        &mut self,
        turn: &mut Turn<'_>,
        request: Begin,
        writer: WriterRef,
    ) -> Result<Begun, Fault> {
        let workshop = self.workshop()?;
        if let Some(busy) = self.busy() {
            return Err(busy);
        }
        let label: String = request.label.chars().take(64).collect();
        let label = crate::output::harmless(&label).replace('\n', " ");
        let settings = &self.tools.settings;
        let most = settings.confirm_within_most.0;
        let within = request.within_ms.map(Duration::from_millis);
        let within = within.unwrap_or(settings.confirm_within.0);
        if within > most || within.is_zero() {
            let most = settings.confirm_within_most;
            return Err(format!("it is to be confirmed within {most} at most").into());
        }
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
        let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.serial += 1;
        let (serial, idle) = (self.serial, settings.idle.0);
        let chunk = settings.chunk_size.0;
        self.current = Some(Current {
            serial,
            key: Digest::of(id.as_bytes()),
            label: label.clone(),
            since: i64::try_from(self.now().as_secs()).unwrap_or(i64::MAX),
            stage: Stage::Open,
            within,
            active: self.now(),
            writer: Some(writer.clone()),
        });
        self.answer(turn, |site| {
            site.reset();
            Ok(())
        })?
        .ignore();
        drop(workshop);
        self.say(&format!("a deployment by {label} has begun"));
        (self.tools.audit)(format!("deployment label={label:?} has begun"));
        self.watch_idle(turn, serial, idle);
        let (me, tools) = (AgentRef::from_ref(turn.me()), self.tools.clone());
        if writer.untyped().is_remote() {
            turn.spawn_async(async move |here| {
                let _how = tools.node.on_sever(writer.untyped()).await;
                here.turn(move |turn| {
                    me.send_only(turn).severed(serial);
                    Ok(())
                })
                .await
            })
            .ignore();
        }
        let agent = AgentRef::from_ref(turn.me());
        let upload = UploadRef::spawn(turn, Upload { agent, serial });
        Ok(Begun { id, upload, chunk, within_ms: millis(within) })
    }

    #[method]
    fn want(
        &mut self,
        turn: &mut Turn<'_>,
        serial: u64,
        content: String,
        size: u64,
    ) -> Result<Answer<bool>, Fault> {
        self.open(serial)?;
        let digest = digest(&content)?;
        self.answer(turn, move |site| site.want(digest, size))
    }

    #[method]
    fn chunk(
        &mut self,
        turn: &mut Turn<'_>,
        serial: u64,
        content: String,
        offset: u64,
        bytes: Bytes,
    ) -> Result<Answer<u64>, Fault> {
        self.open(serial)?;
        let digest = digest(&content)?;
        self.answer(turn, move |site| site.put(digest, offset, &bytes))
    }

    #[method]
    fn read(
        &mut self,
        turn: &mut Turn<'_>,
        serial: u64,
        content: String,
    ) -> Result<Answer<Summary>, Fault> {
        self.open(serial)?;
        let digest = digest(&content)?;
        self.answer(turn, move |site| {
            let wants = site.read(digest)?;
            Ok(Summary {
                entries: wants.entries as u64,
                missing: wants.missing as u64,
                missing_bytes: wants.missing_bytes,
            })
        })
    }

    #[method]
    fn missing(
        &mut self,
        turn: &mut Turn<'_>,
        serial: u64,
    ) -> Result<Answer<Vec<(String, u64)>>, Fault> {
        self.open(serial)?;
        self.answer(turn, |site| {
            let missing = site.missing().into_iter().take(PAGE);
            Ok(missing.map(|(digest, size)| (digest.to_string(), size)).collect())
        })
    }

    #[method]
    fn plan(&mut self, turn: &mut Turn<'_>, serial: u64) -> Result<Answer<Vec<String>>, Fault> {
        self.open(serial)?;
        self.answer(turn, |site| site.plan())
    }

    /// Nothing has come for as long as may be, perhaps.
    #[method]
    fn idle(&mut self, turn: &mut Turn<'_>, serial: u64) {
        let (now, most) = (self.now(), self.tools.settings.idle.0);
        let Some(current) = self.numbered(serial) else { return };
        if current.stage != Stage::Open {
            return;
        }
        let idle = now.saturating_sub(current.active);
        if idle >= most {
            self.end("was given up: nothing came for it any more");
        } else {
            self.watch_idle(turn, serial, most - idle);
        }
    }

    /// The session on which it was begun has ended.
    #[method]
    fn severed(&mut self, serial: u64) {
        if self.numbered(serial).is_some_and(|current| current.stage == Stage::Open) {
            self.end("was given up: its session has ended");
        }
    }

    #[method]
    fn step(&mut self, turn: &mut Turn<'_>, serial: u64, step: String) {
        self.say(&step);
        let Some(Current { writer: Some(writer), .. }) = self.numbered(serial) else { return };
        writer.send_only(turn).line(step);
    }

    #[method]
    fn apply(&mut self, turn: &mut Turn<'_>, id: String) -> Result<Answer<Value>, Fault> {
        let current = self.by_id(&id)?;
        if current.stage != Stage::Open {
            return Err(refused("that deployment has been applied already"));
        }
        current.stage = Stage::Applying;
        let (serial, key) = (current.serial, current.key);
        let (label, begun) = (current.label.clone(), current.since);
        self.say(&format!("applying the deployment by {label}"));
        let me = AgentRef::from_ref(turn.me());
        let work = move |site: &mut Site| site.attempt(key, label, begun, &steps(me, serial));
        self.work(turn, work, move |turn, me, outcome| {
            // A panic: what it has left is undone.
            let outcome = outcome.unwrap_or_else(Attempt::Stuck);
            let (applied, refusal, failure, stuck) = match outcome {
                Attempt::Applied(changed) => (Some(changed), None, None, false),
                Attempt::Refused(why) => (None, Some(why), None, false),
                Attempt::Undone(why) => (None, None, Some(why), false),
                Attempt::Stuck(why) => (None, None, Some(why), true),
            };
            let told = match (refusal, failure) {
                (Some(why), _) => me.send(turn).not_begun(serial, why),
                (None, Some(why)) => me.send(turn).failed(serial, why, stuck),
                (None, None) => {
                    let changed = applied.unwrap_or_default();
                    return Answer::from_promise(
                        me.send(turn).applied(serial, changed).into_promise(),
                    );
                }
            };
            // The state it is in is noted in a turn that does not fail.
            let told = told.on_promise(turn, |_turn, why: Result<String, Fault>| {
                Err::<Value, Fault>(why?.into())
            });
            Answer::from_promise(told.into_promise())
        })
    }

    /// It was not even begun to be applied.
    #[method]
    fn not_begun(&mut self, turn: &mut Turn<'_>, serial: u64, why: String) -> String {
        let (now, idle) = (self.now(), self.tools.settings.idle.0);
        if let Some(current) = self.numbered(serial) {
            current.stage = Stage::Open;
            current.active = now;
            self.watch_idle(turn, serial, idle);
        }
        why
    }

    /// It could not be applied.
    #[method]
    fn failed(
        &mut self,
        turn: &mut Turn<'_>,
        serial: u64,
        why: String,
        stuck: bool,
    ) -> Result<String, Fault> {
        if stuck {
            self.went_back(turn, serial, why.clone(), Some(why.clone()))?;
            return Ok(why);
        }
        self.end(&format!("failed and was undone: {why}"));
        Ok(format!("{why}; all is as it was before"))
    }

    /// It is applied, and waits for its confirmation.
    #[method]
    fn applied(&mut self, turn: &mut Turn<'_>, serial: u64, changed: Vec<String>) -> Applied {
        let now = self.now();
        let Some(current) = self.numbered(serial) else { return Applied { changed, left_ms: 0 } };
        let within = current.within;
        current.stage = Stage::Trial { until: now.saturating_add(within) };
        self.later(turn, within, move |turn, me| me.send_only(turn).expired(serial));
        self.say("applied; it waits for its confirmation");
        Applied { changed, left_ms: millis(within) }
    }

    /// There was time enough.
    #[method]
    fn expired(&mut self, turn: &mut Turn<'_>, serial: u64) -> Result<(), Fault> {
        let Some(current) = self.numbered(serial) else { return Ok(()) };
        if !matches!(current.stage, Stage::Trial { .. }) {
            return Ok(());
        }
        let within = crate::services::text::Period(current.within);
        self.go_back(turn, format!("not confirmed within {within}")).map(Answer::ignore)
    }

    #[method]
    fn confirm(
        &mut self,
        turn: &mut Turn<'_>,
        id: String,
        witness: Ref,
    ) -> Result<Answer<Value>, Fault> {
        let tools = self.tools.clone();
        let current = self.by_id(&id)?;
        if !matches!(current.stage, Stage::Trial { .. }) {
            return Err(format!("that deployment is {}", current.stage.name()).into());
        }
        let here = tools.node.session_of(&witness);
        let here = here.ok_or("a confirmation names an object of the session it comes by")?;
        let begun = current.writer.as_ref();
        let begun = begun.and_then(|writer| tools.node.session_of(writer.untyped()));
        if begun.is_some_and(|begun| begun.peer == here.peer) {
            let why = "this is the session on which it was begun: confirm it over another one";
            return Err(refused(why));
        }
        current.stage = Stage::Confirming;
        let (serial, key) = (current.serial, current.key);
        let work = move |site: &mut Site| site.confirm(&key);
        self.work(turn, work, move |turn, me, outcome| {
            let trouble = outcome.and_then(|outcome| outcome).err();
            let told = me.send(turn).confirmed(serial, trouble);
            let told =
                told.on_promise(
                    turn,
                    |_turn, trouble: Result<Option<String>, Fault>| match trouble? {
                        None => Ok(Value::Undefined),
                        Some(trouble) => Err(trouble.into()),
                    },
                );
            Answer::from_promise(told.into_promise())
        })
    }

    #[method]
    fn confirmed(
        &mut self,
        turn: &mut Turn<'_>,
        serial: u64,
        trouble: Option<String>,
    ) -> Result<Option<String>, Fault> {
        if self.numbered(serial).is_none() {
            return Ok(trouble);
        }
        match &trouble {
            None => self.end("is confirmed"),
            Some(why) => {
                self.go_back(turn, format!("it can't be kept: {why}"))?.ignore();
            }
        }
        Ok(trouble)
    }

    #[method]
    fn cancel(&mut self, turn: &mut Turn<'_>, id: String) -> Result<Answer<Value>, Fault> {
        match self.by_id(&id)?.stage {
            Stage::Open => {
                self.end("was cancelled");
                Ok(Answer::ready(Value::Undefined))
            }
            Stage::Trial { .. } => self.go_back(turn, "it was cancelled".to_owned()),
            stage => Err(format!("that deployment is {}: not now", stage.name()).into()),
        }
    }

    /// It is as it was before; or not yet.
    #[method]
    fn went_back(
        &mut self,
        turn: &mut Turn<'_>,
        serial: u64,
        why: String,
        trouble: Option<String>,
    ) -> Result<(), Fault> {
        let Some(current) = self.numbered(serial) else { return Ok(()) };
        let Some(trouble) = trouble else {
            self.end(&format!("was undone: {why}"));
            return Ok(());
        };
        current.stage = Stage::GoingBack;
        // How long it has waited before, if it has.
        let before = current.within.min(AGAIN_MOST);
        let again = if current.writer.take().is_some() { AGAIN_FIRST } else { before * 2 };
        let again = again.clamp(AGAIN_FIRST, AGAIN_MOST);
        current.within = again;
        let period = crate::services::text::Period(again);
        self.say(&format!("it can't be undone, which is tried again in {period}: {trouble}"));
        self.later(turn, again, move |turn, me| me.send_only(turn).again(serial, why));
        Ok(())
    }

    /// Goes back once more.
    #[method]
    fn again(&mut self, turn: &mut Turn<'_>, serial: u64, why: String) -> Result<(), Fault> {
        if self.workshop.is_none() || self.numbered(serial).is_none() {
            return Ok(());
        }
        self.go_back(turn, why).map(Answer::ignore)
    }

    #[method]
    fn status(
        &mut self,
        turn: &mut Turn<'_>,
        id: Option<String>,
    ) -> Result<Answer<Standing>, Fault> {
        let (now, key) = (self.now(), id.map(|id| Digest::of(id.as_bytes())));
        let current = self.current.as_ref();
        if let Some(current) = current.filter(|current| key.is_none_or(|key| key == current.key)) {
            let left = match current.stage {
                Stage::Trial { until } => Some(millis(until.saturating_sub(now))),
                _ => None,
            };
            return Ok(Answer::ready(Standing {
                stage: current.stage.name().to_owned(),
                label: Some(current.label.clone()),
                since: Some(current.since),
                left_ms: left,
                why: None,
            }));
        }
        self.answer(turn, move |site| {
            let record = key.map_or_else(|| site.last(), |key| site.record(&key));
            Ok(record.map_or_else(
                || Standing { stage: "none".to_owned(), ..Standing::default() },
                Standing::from,
            ))
        })
    }

    /// Ends: what is not confirmed is undone first.
    #[method]
    fn stop(&mut self, turn: &mut Turn<'_>) -> Result<Answer<Value>, Fault> {
        let stage = self.current.as_ref().map(|current| current.stage);
        let pending = match stage {
            None => self.work.take(),
            Some(Stage::Open) => {
                self.end("was given up: the agent is stopped");
                self.work.take()
            }
            Some(Stage::Trial { .. }) => {
                Some(self.go_back(turn, "the agent is stopped".to_owned())?)
            }
            Some(Stage::Applying | Stage::Confirming | Stage::GoingBack) => {
                let work = self.work.clone();
                // It can't be undone now, and will be at the next start.
                let waits = work.as_ref().is_some_and(|work| work.promise().outcome().is_some());
                if waits { None } else { work }
            }
        };
        let Some(pending) = pending else {
            self.workshop = None;
            self.current = None;
            self.work = None;
            return Ok(Answer::ready(Value::Undefined));
        };
        let me = AgentRef::from_ref(turn.me());
        Ok(turn.spawn_async(async move |here| {
            let _done_or_not = pending.await;
            here.ask(move |turn| Answer::from_promise(me.send(turn).stop().into_promise())).await
        }))
    }
}
