//! What makes a machine as its boss wants it to be: the state machine of
//! [`desired::reconcile`](crate::desired::reconcile), with hands and a clock.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::desk::{DeskRef, Report};
use super::hob_client::HobClientRef;
use super::{Fleet, LOG, lock};
use crate::desired::executor::{
    Composite, Drift, Executor, ExecutorError, Facts, Files, FilesSettings, Guix, GuixSettings,
    Outcome, Packages, PackagesSettings, Progress, Rollout, RolloutError, RolloutSettings, Running,
    Services, ServicesSettings, Shepherd,
};
use crate::desired::limits::Limits;
use crate::desired::machine::{DesiredState, Digest, Generation, GenerationId};
use crate::desired::names::Name;
use crate::desired::reconcile::{Done, Input, Output, Reconciler, Settings, Work};
use crate::kinds;

/// How often a machine says that it is there, if nothing happens.
const EVERY: Duration = Duration::from_secs(10);

/// How long the boss may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A machine's agent.
pub(super) struct Agent {
    fleet: Fleet,
    client: HobClientRef,
    desk: DeskRef,
    rollout: Arc<Mutex<Rollout<Composite>>>,
    reconciler: Reconciler,
    begun: Instant,
    inputs: mpsc::UnboundedReceiver<Input>,
    heard: mpsc::UnboundedSender<Input>,
    /// Why the boss could not be told last.
    away: Arc<Mutex<Option<String>>>,
    facts: Arc<Mutex<Facts>>,
    /// Which services are to run.
    running: Running,
}

impl Agent {
    /// With what the state directory knows of former generations.
    pub(super) fn open(
        fleet: &Fleet,
        client: &HobClientRef,
        desk: &DeskRef,
        state: &Path,
        services: &Path,
    ) -> anyhow::Result<Self> {
        let tended = fleet.tended().map_err(|fault| anyhow::anyhow!("{fault}"))?;
        let part = |name: &str| state.join("executor").join(name);
        let shepherd = Shepherd::open(&part("shepherd"), tended.shepherd.clone(), services)?;
        let running = shepherd.running();
        let parts: Vec<Box<dyn Executor>> = vec![
            Box::new(Files::open(&part("files"), FilesSettings::default())?),
            Box::new(Packages::open(&part("packages"), PackagesSettings::default())?),
            Box::new(Guix::open(&part("guix"), GuixSettings::default())?),
            Box::new(Services::open(&part("services"), ServicesSettings::default())?),
            Box::new(shepherd),
            Box::new(Forwards(client.clone())),
        ];
        let rollout = Rollout::open(
            &state.join("generations"),
            Composite::new(parts),
            RolloutSettings::default(),
        )
        .context("the generations of this machine's state")?;
        let status = rollout.status();
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).context("no randomness to be had")?;
        let seed = u64::from_le_bytes(seed);
        let reconciler = Reconciler::new(
            Settings::default(),
            status.held,
            status.unfinished,
            seed,
            Duration::ZERO,
        );
        let (heard, inputs) = mpsc::unbounded_channel();
        Ok(Self {
            fleet: fleet.clone(),
            client: client.clone(),
            desk: desk.clone(),
            rollout: Arc::new(Mutex::new(rollout)),
            reconciler,
            begun: Instant::now(),
            inputs,
            heard,
            away: Arc::default(),
            facts: Arc::default(),
            running,
        })
    }

    /// Follows the boss, for ever.
    pub(super) async fn run(mut self) {
        self.look_around();
        let mut beat = tokio::time::interval(EVERY);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            while let Some(output) = self.reconciler.poll() {
                self.act(output);
            }
            let due = self.begun + self.reconciler.poll_timeout();
            let input = tokio::select! {
                Some(input) = self.inputs.recv() => input,
                () = tokio::time::sleep_until(due) => Input::Tick,
                () = self.fleet.woken() => { self.report(); continue }
                _ = beat.tick() => { self.report(); continue }
            };
            self.reconciler.handle(self.begun.elapsed(), input);
        }
    }

    fn act(&self, output: Output) {
        match output {
            Output::Pull { id } => {
                let (desk, heard) = (self.desk.clone(), self.heard.clone());
                tokio::spawn(async move {
                    let result = pull(&desk).await;
                    let _ended = heard.send(Input::Pulled { id, result });
                });
            }
            Output::Work(work) => {
                let (rollout, heard) = (self.rollout.clone(), self.heard.clone());
                let facts = self.facts.clone();
                tokio::task::spawn_blocking(move || {
                    let mut rollout = lock(&rollout);
                    let done = carry_out(&mut rollout, work);
                    if let Ok(found) = rollout.executor().facts() {
                        *lock(&facts) = found;
                    }
                    let _ended = heard.send(Input::Done(done.map_err(|error| error.to_string())));
                });
            }
            Output::Report(_) => self.report(),
        }
    }

    /// Finds out what there is to know of the machine.
    fn look_around(&self) {
        let (rollout, facts) = (self.rollout.clone(), self.facts.clone());
        tokio::task::spawn_blocking(move || {
            if let Ok(found) = lock(&rollout).executor().facts() {
                *lock(&facts) = found;
            }
        });
    }

    /// Tells the boss how things stand, and hears what it wants.
    fn report(&self) {
        let standing = self.reconciler.report();
        let services = self.fleet.standing.all();
        // What has become of services is known at once, and the rest from the last check.
        let mut drift = standing.drift;
        let known: BTreeSet<String> = drift.iter().map(|drift| drift.item.clone()).collect();
        let live = self.running.drift(&services).into_iter();
        drift.extend(live.filter(|drift| !known.contains(&drift.item)));
        let mut report = Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            generation: standing.held.number,
            digest: Some(standing.held.digest.to_string()),
            trying: standing.trying.map(|(id, trial)| (id.number, id.digest.to_string(), trial)),
            refused: standing.refused.map(|(id, why)| format!("generation {id}: {why}")),
            drift: drift.iter().map(ToString::to_string).collect(),
            trouble: standing.trouble,
            services,
            facts: serde_json::json!(*lock(&self.facts)).to_string(),
            ..Report::default()
        };
        let (client, desk) = (self.client.clone(), self.desk.clone());
        let (heard, away) = (self.heard.clone(), self.away.clone());
        tokio::spawn(async move {
            let told = async {
                report.bindings =
                    client.list_bindings().await.map_err(|fault| fault.to_string())?;
                let trying = report.trying.clone();
                let answer =
                    tokio::time::timeout(PATIENCE, desk.report(report).into_future()).await;
                let answer = answer.map_err(|_| "it does not answer".to_owned())?;
                let answer = answer.map_err(|fault| fault.to_string())?;
                let _ended = heard.send(Input::Pushed(answer.generation));
                if let (true, Some((number, digest, trial))) = (answer.confirms, trying)
                    && let Ok(digest) = digest.parse::<Digest>()
                {
                    let generation = GenerationId { number, digest };
                    let _ended = heard.send(Input::Confirmed { generation, trial });
                }
                Ok(())
            };
            said(&away, told.await);
        });
    }
}

/// Logs when the boss goes and comes, and not each time.
fn said(away: &Mutex<Option<String>>, told: Result<(), String>) {
    let mut away = lock(away);
    match told {
        Err(why) if away.as_ref() != Some(&why) => {
            tracing::warn!(target: LOG, "the boss can't be told how this machine is: {why}");
            *away = Some(why);
        }
        Err(_) => {}
        Ok(()) => {
            if away.take().is_some() {
                tracing::info!(target: LOG, "the boss is there again");
            }
        }
    }
}

/// What the boss wants.
async fn pull(desk: &DeskRef) -> Result<Generation, String> {
    let answer = tokio::time::timeout(PATIENCE, desk.desired().into_future()).await;
    let desired = answer.map_err(|_| "the boss does not answer".to_owned())?;
    let desired = desired.map_err(|fault| fault.to_string())?;
    let Some(state) = desired.state else { return Ok(Generation::none()) };
    let json = serde_json::from_str(&state).map_err(|error| error.to_string())?;
    let state = DesiredState::from_json(&json, &Limits::default());
    let state = state.map_err(|error| error.to_string())?;
    Ok(Generation { number: desired.generation, state })
}

fn carry_out(rollout: &mut Rollout<Composite>, work: Work) -> Result<Done, RolloutError> {
    let progress = |step: &str| tracing::info!(target: LOG, "{step}");
    let changed = |outcome: Outcome| {
        for what in outcome.changed {
            tracing::info!(target: LOG, "{what}");
        }
        Done::Well
    };
    Ok(match work {
        Work::Apply(generation) => {
            tracing::info!(target: LOG, "applying generation {}", generation.id());
            changed(rollout.attempt(&generation, &progress)?)
        }
        Work::Confirm(id) => {
            rollout.confirm(&id)?;
            tracing::info!(target: LOG, "generation {id} is confirmed");
            Done::Well
        }
        Work::RollBack => {
            tracing::warn!(target: LOG, "going back to the generation before");
            changed(rollout.roll_back(&progress)?)
        }
        Work::Check => Done::Checked(rollout.check()?),
        Work::Repair => changed(rollout.repair(&progress)?),
    })
}

/// What is bound, at local sockets and ports: forwards, as a part of the machine's state.
struct Forwards(HobClientRef);

impl Forwards {
    fn failed(item: &str, why: impl ToString) -> ExecutorError {
        ExecutorError::new("forwards", item, why.to_string())
    }

    /// Where each is.
    fn there(&self) -> Result<std::collections::BTreeMap<String, String>, ExecutorError> {
        self.0.forwards().wait().map_err(|fault| Self::failed("list", fault))
    }

    fn wanted(state: &DesiredState) -> impl Iterator<Item = (&Name, String)> {
        state.forwards.iter().map(|(name, listen)| (name, listen.to_string()))
    }
}

impl Executor for Forwards {
    fn facts(&self) -> Result<Facts, ExecutorError> {
        let there = self.there()?.into_iter();
        Ok(there.map(|(name, at)| (format!("forwards.{name}"), at)).collect())
    }

    fn diff(&self, wanted: &DesiredState) -> Result<Vec<Drift>, ExecutorError> {
        let there = self.there()?;
        let missing =
            Self::wanted(wanted).filter(|(name, at)| there.get(name.as_str()) != Some(at));
        let drift = missing.map(|(name, at)| Drift {
            part: "forwards",
            item: name.to_string(),
            wanted: at,
            found: there.get(name.as_str()).cloned().unwrap_or_else(|| "nothing".to_owned()),
        });
        Ok(drift.collect())
    }

    fn retire(
        &mut self,
        wanted: &DesiredState,
        _progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        let mut outcome = Outcome::default();
        for (name, at) in self.there()? {
            if Self::wanted(wanted).any(|(other, to)| other.as_str() == name && to == at) {
                continue;
            }
            let removed = self.0.unforward(kinds::Name(name.clone())).wait();
            removed.map_err(|fault| Self::failed(&name, fault))?;
            outcome.changed.push(format!("forwards: {name} is no longer at {at}"));
        }
        Ok(outcome)
    }

    fn establish(
        &mut self,
        wanted: &DesiredState,
        _progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        let there = self.there()?;
        let mut outcome = Outcome::default();
        for (name, at) in Self::wanted(wanted) {
            if there.get(name.as_str()) == Some(&at) {
                continue;
            }
            let made = self.0.forward(kinds::Name(name.to_string()), &at).wait();
            made.map_err(|fault| Self::failed(name.as_str(), fault))?;
            outcome.changed.push(format!("forwards: {name} is at {at}"));
        }
        Ok(outcome)
    }
}
