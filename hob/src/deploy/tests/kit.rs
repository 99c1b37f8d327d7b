//! What the tests share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ocapn::actors::UnixClock;
use ocapn::netlayers::LoopbackNetwork;
use ocapn::{FromValue, IntoValue as _, Node, Ref, Sturdyref, Value, Vat, object};
use serde_json::json;
use tempfile::TempDir;
use vat_runtime::SimClock;

use crate::deploy::agent::{Agent, AgentRef, Tools};
use crate::deploy::lock;
use crate::deploy::settings::Settings;
use crate::deploy::site::{Site, Workshop};
use crate::deploy::upload::Summary;
use crate::deploy::wire::{Applied, Begin, Begun, Orders, Standing};
use crate::desired::executor::{Drift, Executor, ExecutorError, Facts, Outcome, Progress};
use crate::desired::machine::{Content, DesiredState, Digest};
use crate::services::writer::{Event, Writer, WriterRef};

/// 5 September 2025, 19:40:00.
const THEN: Duration = Duration::from_secs(1_757_101_200);

/// A machine made up: its files, by their contents.
#[derive(Default)]
pub(super) struct MadeUp {
    pub(super) files: BTreeMap<String, String>,
    /// What the next changes come to, before they are made: why they fail.
    pub(super) fails: VecDeque<Option<&'static str>>,
    /// What the next change waits for.
    pub(super) gate: Option<mpsc::Receiver<()>>,
}

/// The executor of such a machine.
struct Hands(Arc<Mutex<MadeUp>>);

impl Hands {
    fn wanted(state: &DesiredState) -> BTreeMap<String, String> {
        let text = |content: &Content| match content {
            Content::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            other => other.digest().short(),
        };
        state.files.iter().map(|(path, file)| (path.clone(), text(&file.content))).collect()
    }
}

impl Executor for Hands {
    fn facts(&self) -> Result<Facts, ExecutorError> {
        Ok(Facts::new())
    }

    fn diff(&self, wanted: &DesiredState) -> Result<Vec<Drift>, ExecutorError> {
        let wanted = Self::wanted(wanted);
        let there = lock(&self.0).files.clone();
        let differs = wanted.into_iter().filter(|(path, text)| there.get(path) != Some(text));
        Ok(differs
            .map(|(item, wanted)| Drift { part: "made-up", item, wanted, found: "another".into() })
            .collect())
    }

    fn retire(
        &mut self,
        wanted: &DesiredState,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        let unwanted = lock(&self.0).files.clone().into_keys();
        let mut outcome = Outcome::default();
        for path in unwanted.filter(|path| !wanted.files.contains_key(path)) {
            progress.step(&format!("remove {path}"));
            lock(&self.0).files.remove(&path);
            outcome.changed.push(format!("removed {path}"));
        }
        Ok(outcome)
    }

    fn establish(
        &mut self,
        wanted: &DesiredState,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        let mut outcome = Outcome::default();
        for (path, text) in Self::wanted(wanted) {
            if lock(&self.0).files.get(&path) == Some(&text) {
                continue;
            }
            progress.step(&format!("make {path}"));
            let gate = lock(&self.0).gate.take();
            if let Some(gate) = gate {
                gate.recv().unwrap();
            }
            if let Some(Some(why)) = lock(&self.0).fails.pop_front() {
                return Err(ExecutorError::new("made-up", path, why));
            }
            lock(&self.0).files.insert(path.clone(), text);
            outcome.changed.push(format!("made {path}"));
        }
        Ok(outcome)
    }
}

/// A machine with an agent, on a network with workstations.
pub(super) struct Machine {
    network: LoopbackNetwork,
    node: Node,
    pub(super) agent: AgentRef,
    cap: Sturdyref,
    pub(super) clock: Arc<SimClock>,
    pub(super) made_up: Arc<Mutex<MadeUp>>,
    pub(super) said: Arc<Mutex<Vec<String>>>,
    settings: Settings,
    dir: TempDir,
}

impl Machine {
    pub(super) async fn new() -> Self {
        Self::with(json!({})).await
    }

    /// One whose agent has those settings.
    pub(super) async fn with(settings: serde_json::Value) -> Self {
        let settings = Settings::of(settings.as_object().unwrap()).unwrap();
        let dir = tempfile::Builder::new().prefix("hob-").tempdir().unwrap();
        let network = LoopbackNetwork::new();
        let node = Node::builder().netlayer(network.netlayer("machine").unwrap()).start();
        let (clock, made_up) = (SimClock::new(), Arc::default());
        let said = Arc::default();
        let (agent, cap) = open(&node, &settings, &dir, &clock, &made_up, &said).await;
        Self { network, node, agent, cap, clock, made_up, said, settings, dir }
    }

    /// Begins the agent anew.
    pub(super) async fn restart(&mut self) {
        let Self { node, settings, dir, clock, made_up, said, .. } = self;
        let (agent, cap) = open(node, settings, dir, clock, made_up, said).await;
        (self.agent, self.cap) = (agent, cap);
    }

    /// A workstation, which connects to it.
    pub(super) async fn workstation(&self, name: &str) -> Workstation {
        let node = Node::builder().netlayer(self.network.netlayer(name).unwrap()).start();
        let agent = node.resolve(&self.cap).await.unwrap();
        let vat = node.vat("workstation");
        Workstation { node, agent, vat, name: name.to_owned() }
    }

    pub(super) fn files(&self) -> Vec<String> {
        let files = lock(&self.made_up).files.clone();
        files.into_iter().map(|(path, text)| format!("{path} {text}")).collect()
    }

    pub(super) fn said(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.said))
    }

    pub(super) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

async fn open(
    node: &Node,
    settings: &Settings,
    dir: &TempDir,
    clock: &Arc<SimClock>,
    made_up: &Arc<Mutex<MadeUp>>,
    said: &Arc<Mutex<Vec<String>>>,
) -> (AgentRef, Sturdyref) {
    let site = Site::with(dir.path(), settings, vec![Box::new(Hands(made_up.clone()))]).unwrap();
    let said = said.clone();
    let tools = Tools {
        node: node.clone(),
        clock: UnixClock::set_to(clock.clone(), THEN),
        settings: settings.clone(),
        say: Box::new(move |text| lock(&said).push(text)),
        audit: Box::new(|_| {}),
    };
    let left = site.unfinished();
    let workshop = Workshop::new(site, tokio::runtime::Handle::current());
    let vat = node.vat("services");
    let agent = AgentRef::spawn_in(&vat, Agent::new(tools, workshop, left));
    agent.recover().await.unwrap();
    let cap = node.mint(&vat.spawn(Orders(agent.clone()))).unwrap();
    (agent, cap)
}

/// Keeps what it is told.
#[derive(Default)]
struct Ear(Arc<Mutex<Vec<String>>>);

#[object]
impl Writer for Ear {
    fn line(&self, text: String) {
        lock(&self.0).push(text);
    }

    fn said(&self, _at: i64, _text: String) {}

    fn happened(&self, _event: Event) {}
}

/// A workstation.
pub(super) struct Workstation {
    pub(super) node: Node,
    pub(super) agent: Ref,
    vat: Vat,
    name: String,
}

/// A deployment that a workstation has begun.
pub(super) struct Deployment {
    pub(super) begun: Begun,
    pub(super) heard: Arc<Mutex<Vec<String>>>,
}

impl Workstation {
    pub(super) async fn order<T: FromValue>(
        &self,
        order: &str,
        args: Vec<Value>,
    ) -> Result<T, String> {
        let head = vec![Value::Symbol(order.into())];
        ask(&self.agent, head.into_iter().chain(args).collect()).await
    }

    pub(super) async fn begin(&self) -> Result<Deployment, String> {
        self.begin_within(None).await
    }

    pub(super) async fn begin_within(&self, within_ms: Option<u64>) -> Result<Deployment, String> {
        let heard = Arc::default();
        let begin = Begin { label: self.name.clone(), within_ms }.into_value();
        let ear = WriterRef::spawn_in(&self.vat, Ear(Arc::clone(&heard))).into_value();
        let begun = self.order("begin", vec![begin, ear]).await?;
        Ok(Deployment { begun, heard })
    }

    /// Begins one, sends that state, and whatever of these contents is wanted.
    pub(super) async fn send(
        &self,
        state: serde_json::Value,
        contents: &[&[u8]],
    ) -> Result<(Deployment, Summary), String> {
        let deployment = self.begin().await?;
        let summary = deployment.state(state).await?;
        let missing: Vec<(String, u64)> = deployment.upload("missing", vec![]).await?;
        for (digest, _) in missing {
            let content = contents.iter().find(|bytes| Digest::of(bytes).to_string() == digest);
            deployment.content(content.unwrap()).await?;
        }
        Ok((deployment, summary))
    }

    /// Deploys a file with that text as far as it goes unconfirmed.
    pub(super) async fn apply(&self, text: &str) -> Result<Deployment, String> {
        let (deployment, _) = self.send(file(text), &[]).await?;
        self.order::<Applied>("apply", vec![deployment.id()]).await?;
        Ok(deployment)
    }

    pub(super) async fn confirm(&self, deployment: &Deployment) -> Result<(), String> {
        let witness = WriterRef::spawn_in(&self.vat, Ear::default()).into_value();
        self.order::<Value>("confirm", vec![deployment.id(), witness]).await.map(drop)
    }

    pub(super) async fn standing(&self, deployment: &Deployment) -> Standing {
        self.order("status", vec![deployment.id()]).await.unwrap()
    }

    /// Asks until it is at that stage.
    pub(super) async fn until(&self, deployment: &Deployment, stage: &str) -> Standing {
        loop {
            let standing = self.standing(deployment).await;
            if standing.stage == stage {
                return standing;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Asks until nothing is under way.
    pub(super) async fn until_free(&self) -> Standing {
        loop {
            let standing: Standing = self.order("status", vec![]).await.unwrap();
            if ["none", "confirmed", "rolled-back"].contains(&&*standing.stage) {
                return standing;
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Deployment {
    pub(super) fn id(&self) -> Value {
        self.begun.id.as_str().into()
    }

    pub(super) fn heard(&self) -> Vec<String> {
        lock(&self.heard).clone()
    }

    pub(super) async fn upload<T: FromValue>(
        &self,
        method: &'static str,
        args: Vec<Value>,
    ) -> Result<T, String> {
        let head = vec![Value::symbol(method)];
        ask(self.begun.upload.untyped(), head.into_iter().chain(args).collect()).await
    }

    /// Sends a state and has it read.
    pub(super) async fn state(&self, state: serde_json::Value) -> Result<Summary, String> {
        let text = state.to_string();
        let digest = Value::from(Digest::of(text.as_bytes()).to_string());
        let args = vec![digest.clone(), (text.len() as u64).into()];
        if self.upload("want", args).await? {
            self.content(text.as_bytes()).await?;
        }
        self.upload("read", vec![digest]).await
    }

    /// Sends a content in small chunks.
    pub(super) async fn content(&self, bytes: &[u8]) -> Result<(), String> {
        let digest = Digest::of(bytes);
        if bytes.is_empty() {
            assert_eq!(self.chunk(&digest, 0, bytes).await?, 0);
        }
        for (index, chunk) in bytes.chunks(7).enumerate() {
            let offset = index as u64 * 7;
            let there = self.chunk(&digest, offset, chunk).await?;
            assert_eq!(there, offset + chunk.len() as u64);
        }
        Ok(())
    }

    pub(super) async fn chunk(
        &self,
        digest: &Digest,
        offset: u64,
        bytes: &[u8],
    ) -> Result<u64, String> {
        let bytes = Value::Bytes(bytes::Bytes::copy_from_slice(bytes));
        self.upload("chunk", vec![digest.to_string().into(), offset.into(), bytes]).await
    }
}

async fn ask<T: FromValue>(object: &Ref, message: Vec<Value>) -> Result<T, String> {
    let answer = object.send(message).await.map_err(|fault| fault.to_string())?;
    T::from_value(answer).map_err(|error| error.to_string())
}

/// A state with one file.
pub(super) fn file(text: &str) -> serde_json::Value {
    json!({"files": {"/motd": {"content": text}}})
}
