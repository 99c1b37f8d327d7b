//! Sessions with an agent: one on which a deployment is sent and applied, and others on
//! which it is confirmed.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use ocapn::{FromValue, IntoValue as _, Ref, Sturdyref, Value, object};

use super::Deploy;
use super::parcel::Parcel;
use crate::client::{Client, within};
use crate::deploy::lock;
use crate::deploy::upload::Summary;
use crate::deploy::wire::{Applied, Begin, Begun, Standing};
use crate::desired::machine::Digest;
use crate::exit::{self, Exit, Failure, Severed};
use crate::output;
use crate::services::writer::{Event, Writer, WriterRef};

/// Bytes of a chunk, if the agent takes as many.
const CHUNK: u64 = 256 << 10;
/// How many chunks may be on their way.
const WINDOW: usize = 8;
/// How often an agent that is at work is asked how far it is.
const EVERY: Duration = Duration::from_millis(500);
/// How long who is left behind has for a goodbye.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long after its time a deployment must have been undone.
const SLACK: Duration = Duration::from_secs(30);

/// The workstation, with the capability to an agent.
pub(super) struct Workstation<'a> {
    options: &'a Deploy,
    agent: Sturdyref,
    /// When the agent was last heard.
    heard: Arc<Mutex<Instant>>,
}

/// What a deployment would change.
pub(super) struct Plan {
    pub(super) steps: Vec<String>,
    pub(super) missing: u64,
    pub(super) missing_bytes: u64,
}

/// How a deployment has ended, as far as this command is concerned.
pub(super) enum Ended {
    Confirmed { changed: Vec<String> },
    Undone { why: String },
    Left { id: String, changed: Vec<String>, left: Duration },
}

/// Prints what the agent says.
struct Screen(Arc<Mutex<Instant>>);

#[object]
impl Writer for Screen {
    fn line(&self, text: String) {
        *lock(&self.0) = Instant::now();
        say(&text);
    }

    fn said(&self, _at: i64, _text: String) {}

    fn happened(&self, _event: Event) {}
}

fn say(text: &str) {
    let text = format!("{}\n", output::harmless(text));
    // If nobody reads it, the exit code still tells.
    let _unread = std::io::stderr().write_all(text.as_bytes());
}

/// A session.
struct Session<'a> {
    client: Client,
    agent: Ref,
    service: &'a str,
}

impl Session<'_> {
    fn order(&self, order: &str, args: impl IntoIterator<Item = Value>) -> ocapn::Promise {
        let head = [Value::symbol("deploy"), self.service.into(), order.into()];
        self.agent.send(head.into_iter().chain(args).collect())
    }

    /// Gives an order and waits for what comes of it.
    async fn ask<T: FromValue>(
        &self,
        order: &str,
        args: impl IntoIterator<Item = Value>,
    ) -> anyhow::Result<T> {
        let answer = self.client.outcome(&self.agent, self.order(order, args)).await?;
        read(answer)
    }

    /// Says something to the object that takes the contents.
    async fn send<T: FromValue>(
        &self,
        to: &Ref,
        method: &'static str,
        args: impl IntoIterator<Item = Value>,
    ) -> anyhow::Result<T> {
        let message = std::iter::once(Value::symbol(method)).chain(args).collect();
        read(self.client.call(to, message).await?)
    }

    /// Ends it, if that is possible.
    async fn end(self) {
        let _cut_off = tokio::time::timeout(GOODBYE, self.client.end()).await;
    }
}

fn read<T: FromValue>(answer: Value) -> anyhow::Result<T> {
    T::from_value(answer).map_err(|error| anyhow!("the agent's answer: {error}"))
}

/// Whether trying again is of no use.
fn is_final(error: &anyhow::Error) -> bool {
    let code = exit::code(error);
    matches!(code, Exit::Refused | Exit::IdentityMismatch | Exit::Usage | Exit::NoSuchObject)
}

impl<'a> Workstation<'a> {
    pub(super) fn new(options: &'a Deploy, agent: Sturdyref) -> Self {
        Self { options, agent, heard: Arc::new(Mutex::new(Instant::now())) }
    }

    async fn connect(&self) -> anyhow::Result<Session<'a>> {
        let client = Client::start([&self.agent].into_iter()).await?;
        match client.resolve(&self.agent).await {
            Ok(agent) => Ok(Session { client, agent, service: &self.options.service }),
            Err(error) => {
                let _cut_off = tokio::time::timeout(GOODBYE, client.end()).await;
                Err(error)
            }
        }
    }

    /// Does something on a session of its own.
    async fn on_session<T>(
        &self,
        work: impl AsyncFnOnce(&Session<'a>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let session = within(self.options.timeout, self.connect()).await?;
        let outcome = work(&session).await;
        session.end().await;
        outcome
    }

    async fn begin(&self, session: &Session<'_>) -> anyhow::Result<Begun> {
        let user = std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
        let host = rustix::system::uname();
        let label = format!("{user}@{}", host.nodename().to_string_lossy());
        let within_ms =
            self.options.confirm_within.map(|time| u64::try_from(time.as_millis()).unwrap_or(0));
        let begin = Begin { label, within_ms };
        let screen = WriterRef::spawn_in(&session.client.vat(), Screen(self.heard.clone()));
        let begun = session.ask("begin", [begin.into_value(), screen.into_value()]);
        within(self.options.timeout, begun).await
    }

    /// Sends the state, and has it read.
    async fn announce(
        &self,
        session: &Session<'_>,
        begun: &Begun,
        parcel: &Parcel,
    ) -> anyhow::Result<Summary> {
        let upload = begun.upload.untyped();
        let digest = Value::from(parcel.digest.to_string());
        let args = [digest.clone(), parcel.size().into()];
        let wanted: bool = self.patiently(session.send(upload, "want", args)).await?;
        if wanted {
            self.content(session, begun, parcel, parcel.digest, parcel.size()).await?;
        }
        self.patiently(session.send(upload, "read", [digest])).await
    }

    async fn patiently<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        within(self.options.timeout, work).await
    }

    /// Sends one content. At no time more than a few chunks of it are in memory.
    async fn content(
        &self,
        session: &Session<'_>,
        begun: &Begun,
        parcel: &Parcel,
        digest: Digest,
        size: u64,
    ) -> anyhow::Result<()> {
        let upload = begun.upload.untyped();
        let most = usize::try_from(CHUNK.min(begun.chunk).max(1)).unwrap_or(1);
        let mut source = parcel.open(&digest)?;
        let mut sent = VecDeque::new();
        let mut offset = 0;
        loop {
            let chunk = source.chunk(offset, most)?;
            if chunk.is_empty() && offset < size {
                return Err(anyhow!("a file has become shorter while it was sent"));
            }
            let next = offset + chunk.len() as u64;
            let name = Value::from(digest.to_string());
            let message = vec![Value::symbol("chunk"), name, offset.into(), Value::Bytes(chunk)];
            sent.push_back(upload.send(message));
            offset = next;
            let room = if offset >= size { 0 } else { WINDOW };
            while sent.len() > room {
                let Some(first) = sent.pop_front() else { break };
                self.patiently(session.client.outcome(upload, first)).await?;
            }
            if offset >= size {
                return Ok(());
            }
        }
    }

    /// Sends all that the machine does not have.
    async fn contents(
        &self,
        session: &Session<'_>,
        begun: &Begun,
        parcel: &Parcel,
        summary: &Summary,
    ) -> anyhow::Result<()> {
        if summary.missing > 0 {
            say(&format!("sending {} contents, {} bytes", summary.missing, summary.missing_bytes));
        }
        loop {
            let missing = session.send(begun.upload.untyped(), "missing", []);
            let missing: Vec<(String, u64)> = self.patiently(missing).await?;
            if missing.is_empty() {
                return Ok(());
            }
            for (digest, size) in missing {
                let digest = digest.parse().map_err(|error| anyhow!("{error}"))?;
                self.content(session, begun, parcel, digest, size).await?;
            }
        }
    }

    pub(super) async fn plan(&self, parcel: &Parcel) -> anyhow::Result<Plan> {
        self.on_session(async |session| {
            let begun = self.begin(session).await?;
            let planned = async {
                let summary = self.announce(session, &begun, parcel).await?;
                let steps = session.send(begun.upload.untyped(), "plan", []);
                let steps = self.patiently(steps).await?;
                let Summary { missing, missing_bytes, .. } = summary;
                Ok(Plan { steps, missing, missing_bytes })
            };
            let planned = planned.await;
            let cancelled: anyhow::Result<Value> =
                self.patiently(session.ask("cancel", [begun.id.into()])).await;
            planned.and_then(|plan| cancelled.map(|_| plan))
        })
        .await
    }

    pub(super) async fn deploy(&self, parcel: &Parcel) -> anyhow::Result<Ended> {
        let session = within(self.options.timeout, self.connect()).await?;
        let applied = async {
            let begun = self.begin(&session).await?;
            let summary = self.announce(&session, &begun, parcel).await?;
            self.contents(&session, &begun, parcel, &summary).await?;
            let applied = self.apply(&session, &begun.id).await?;
            Ok::<_, anyhow::Error>((begun.id, Duration::from_millis(begun.within_ms), applied))
        };
        let applied = applied.await;
        session.end().await;
        let (id, confirm_within, applied) = applied?;
        self.follow(&id, confirm_within, applied).await
    }

    /// Has it applied. `None`: what came of that is not known on this session.
    async fn apply(&self, session: &Session<'_>, id: &str) -> anyhow::Result<Option<Applied>> {
        *lock(&self.heard) = Instant::now();
        let answer = session.client.outcome(&session.agent, session.order("apply", [id.into()]));
        let silent = async {
            loop {
                let quiet = lock(&self.heard).elapsed();
                match self.options.timeout.checked_sub(quiet) {
                    Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
                    _ => return,
                }
            }
        };
        let answer = tokio::select! {
            answer = answer => answer,
            () = silent => return Ok(None),
        };
        match answer {
            Ok(applied) => read(applied).map(Some),
            Err(error) if error.is::<Severed>() => Ok(None),
            Err(error) => Err(error).context("the deployment"),
        }
    }

    /// Confirms what was applied, over new sessions, until it is known how it has ended.
    async fn follow(
        &self,
        id: &str,
        confirm_within: Duration,
        applied: Option<Applied>,
    ) -> anyhow::Result<Ended> {
        let changed = applied.map(|applied| applied.changed).unwrap_or_default();
        let mut heard = Instant::now();
        let mut silent = false;
        loop {
            match self.look(id, &changed).await {
                Ok(Some(ended)) => return Ok(ended),
                Ok(None) => (heard, silent) = (Instant::now(), false),
                Err(error) if is_final(&error) => return Err(error),
                Err(error) => {
                    if !silent {
                        say(&format!(
                            "the agent can't be reached, which is tried again: {error:#}"
                        ));
                    }
                    silent = true;
                }
            }
            if heard.elapsed() > confirm_within.saturating_add(SLACK) {
                let what = "the machine can't be reached any more: it undoes the deployment by \
                            itself";
                return Err(Failure::new(Exit::Unreachable, what).into());
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Looks how far it is, over a new session; confirms it, if it waits for that.
    async fn look(&self, id: &str, changed: &[String]) -> anyhow::Result<Option<Ended>> {
        self.on_session(async |session| {
            loop {
                let standing: Standing = self.patiently(session.ask("status", [id.into()])).await?;
                match standing.stage.as_str() {
                    "trial" if self.options.no_confirm => {
                        let left = Duration::from_millis(standing.left_ms.unwrap_or_default());
                        let changed = changed.to_vec();
                        return Ok(Some(Ended::Left { id: id.to_owned(), changed, left }));
                    }
                    "trial" => {
                        self.confirm_on(session, id).await?;
                        return Ok(Some(Ended::Confirmed { changed: changed.to_vec() }));
                    }
                    "confirmed" => {
                        return Ok(Some(Ended::Confirmed { changed: changed.to_vec() }));
                    }
                    "rolled-back" => {
                        let why = standing.why.unwrap_or_else(|| "nobody knows why".to_owned());
                        return Ok(Some(Ended::Undone { why }));
                    }
                    "none" => {
                        let why = "the agent does not know it any more".to_owned();
                        return Ok(Some(Ended::Undone { why }));
                    }
                    "applying" => {
                        // What comes after it is seen from another session.
                        while self.is_applying(session, id).await? {
                            tokio::time::sleep(EVERY).await;
                        }
                        return Ok(None);
                    }
                    _ => tokio::time::sleep(EVERY).await,
                }
            }
        })
        .await
    }

    async fn is_applying(&self, session: &Session<'_>, id: &str) -> anyhow::Result<bool> {
        let standing: Standing = self.patiently(session.ask("status", [id.into()])).await?;
        Ok(standing.stage == "applying")
    }

    async fn confirm_on(&self, session: &Session<'_>, id: &str) -> anyhow::Result<()> {
        let witness = session.client.vat();
        let witness = WriterRef::spawn_in(&witness, Screen(self.heard.clone())).into_value();
        self.patiently(session.ask::<Value>("confirm", [id.into(), witness])).await.map(drop)
    }

    pub(super) async fn confirm(&self, id: &str) -> anyhow::Result<()> {
        self.on_session(async |session| self.confirm_on(session, id).await).await
    }

    pub(super) async fn cancel(&self, id: &str) -> anyhow::Result<()> {
        self.on_session(async |session| {
            self.patiently(session.ask::<Value>("cancel", [id.into()])).await.map(drop)
        })
        .await
    }

    pub(super) async fn status(&self) -> anyhow::Result<Standing> {
        self.on_session(async |session| self.patiently(session.ask("status", [])).await).await
    }
}
