//! What the agent does with the deployment that is under way, without being told by it.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use ocapn::actors::timeout;
use ocapn::{Answer, Fault, IntoValue, Turn, Value};

use super::{Agent, AgentRef, Current, Stage, Tools};
use crate::deploy::site::{Site, Workshop};
use crate::desired::machine::{BadDigest, Digest};
use crate::output::time::rfc3339;
use crate::services::refusal::{not_found, refused};

impl Agent {
    /// An agent for a site on which that was left unfinished: who had begun it, and when.
    /// It is to be told to recover then.
    pub(crate) fn new(tools: Tools, workshop: Workshop, left: Option<(String, i64)>) -> Self {
        let active = tools.clock.now();
        let current = left.map(|(label, since)| Current {
            serial: 0,
            key: Digest::of(&[]),
            label,
            since,
            stage: Stage::GoingBack,
            within: Duration::ZERO,
            active,
            writer: None,
        });
        Self { tools: Arc::new(tools), workshop: Some(workshop), current, serial: 0, work: None }
    }

    pub(super) fn now(&self) -> Duration {
        self.tools.clock.now()
    }

    pub(super) fn say(&self, text: &str) {
        (self.tools.say)(text.to_owned());
    }

    pub(super) fn workshop(&self) -> Result<Workshop, Fault> {
        self.workshop.clone().ok_or_else(|| "the agent has been stopped".into())
    }

    /// The deployment of that id, if it is under way.
    pub(super) fn by_id(&mut self, id: &str) -> Result<&mut Current, Fault> {
        let key = Digest::of(id.as_bytes());
        let current = self.current.as_mut().filter(|current| current.key == key);
        current.ok_or_else(|| not_found("no such deployment is under way"))
    }

    /// The deployment that messages are about, while its contents may come.
    pub(super) fn open(&mut self, serial: u64) -> Result<&mut Current, Fault> {
        let now = self.tools.clock.now();
        let current = self.current.as_mut().filter(|current| current.serial == serial);
        let current = current.filter(|current| current.stage == Stage::Open);
        let current = current.ok_or_else(|| refused("that deployment takes nothing any more"))?;
        current.active = now;
        Ok(current)
    }

    /// The deployment with that number.
    pub(super) fn numbered(&mut self, serial: u64) -> Option<&mut Current> {
        self.current.as_mut().filter(|current| current.serial == serial)
    }

    /// Works on the site, after what was asked for before.
    pub(super) fn work<T>(
        &mut self,
        turn: &mut Turn<'_>,
        work: impl FnOnce(&mut Site) -> T + Send + 'static,
        then: impl FnOnce(&mut Turn<'_>, AgentRef, Result<T, String>) -> Answer<Value> + Send + 'static,
    ) -> Result<Answer<Value>, Fault>
    where
        T: Send + 'static,
    {
        let (before, workshop) = (self.work.take(), self.workshop()?);
        let me = AgentRef::from_ref(turn.me());
        let done: Answer<Value> = turn.spawn_async(async move |here| {
            if let Some(before) = before {
                let _done_or_not = before.await;
            }
            let outcome = workshop.run(work).await;
            // It is in use by nobody else when this is known to be over.
            drop(workshop);
            here.ask(move |turn| then(turn, me, outcome)).await
        });
        self.work = Some(done.clone());
        Ok(done)
    }

    /// Works on the site, and gives what comes of it.
    pub(super) fn answer<T>(
        &mut self,
        turn: &mut Turn<'_>,
        work: impl FnOnce(&mut Site) -> Result<T, String> + Send + 'static,
    ) -> Result<Answer<T>, Fault>
    where
        T: IntoValue + Send + 'static,
    {
        let done = self.work(turn, work, |_turn, _me, outcome| {
            let outcome = outcome.and_then(|outcome| outcome).map_err(Fault::from);
            let (promise, resolver) = ocapn::promise();
            resolver.resolve(outcome.map(IntoValue::into_value));
            Answer::from_promise(promise)
        })?;
        Ok(Answer::from_promise(done.into_promise()))
    }

    /// Who has the agent now, for those who come too late.
    pub(super) fn busy(&self) -> Option<Fault> {
        let current = self.current.as_ref()?;
        let Current { label, since, stage, .. } = current;
        let since = UNIX_EPOCH + Duration::from_secs(u64::try_from(*since).unwrap_or_default());
        let since = rfc3339(since);
        let what = match stage {
            Stage::Open => "is being sent",
            Stage::Applying => "is being applied",
            Stage::Trial { .. } | Stage::Confirming => "waits for its confirmation",
            Stage::GoingBack => "is being undone",
        };
        Some(format!("a deployment by {label} {what}, since {since}: one at a time").into())
    }

    /// Undoes what was applied.
    pub(super) fn go_back(
        &mut self,
        turn: &mut Turn<'_>,
        why: String,
    ) -> Result<Answer<Value>, Fault> {
        let Some(current) = &mut self.current else { return Ok(Answer::ready(Value::Undefined)) };
        current.stage = Stage::GoingBack;
        let serial = current.serial;
        self.say(&format!("going back: {why}"));
        let me = AgentRef::from_ref(turn.me());
        let reason = why.clone();
        let work = move |site: &mut Site| site.roll_back(&why, &steps(me, serial));
        self.work(turn, work, move |turn, me, outcome| {
            let trouble = outcome.and_then(|outcome| outcome).err();
            let went = me.send(turn).went_back(serial, reason, trouble);
            Answer::from_promise(went.into_promise())
        })
    }

    /// Has something happen later.
    pub(super) fn later(
        &self,
        turn: &mut Turn<'_>,
        after: Duration,
        then: impl FnOnce(&mut Turn<'_>, &AgentRef) + Send + 'static,
    ) {
        let me = AgentRef::from_ref(turn.me());
        let rings = timeout(turn, &self.tools.clock, after);
        turn.on(&rings, move |turn, _| then(turn, &me));
    }

    /// Asks whether anything came lately, when there would have been time.
    pub(super) fn watch_idle(&self, turn: &mut Turn<'_>, serial: u64, after: Duration) {
        self.later(turn, after, move |turn, me| me.send_only(turn).idle(serial));
    }

    pub(super) fn end(&mut self, what: &str) {
        if let Some(current) = self.current.take() {
            let Current { label, .. } = current;
            self.say(&format!("the deployment by {label} {what}"));
            (self.tools.audit)(format!("deployment label={label:?} {what}"));
        }
    }
}

/// Tells the agent of steps.
pub(super) fn steps(agent: AgentRef, serial: u64) -> impl Fn(&str) + Send + Sync {
    move |step: &str| agent.step(serial, step).ignore()
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn digest(text: &str) -> Result<Digest, Fault> {
    text.parse().map_err(|error: BadDigest| error.to_string().into())
}
