//! What a deployment does on the machine. All of it may block, and none of it knows of
//! messages or of time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::objects::Objects;
use super::settings::{Part, Settings};
use crate::desired::executor::store::{self, Ledger};
use crate::desired::executor::{
    Composite, Executor, Files, FilesSettings, Guix, GuixSettings, Packages, PackagesSettings,
    Progress, Rollout, RolloutSettings, Services, ServicesSettings,
};
use crate::desired::machine::{Content, DesiredState, Digest, Generation, GenerationId};

/// How many deployments are remembered.
const REMEMBERED: usize = 32;
/// How long to wait for what an agent that was stopped is still doing.
const PATIENCE: Duration = Duration::from_secs(10);

/// The place where deployments are made: one at a time, by one process.
pub(crate) struct Site {
    settings: Settings,
    rollout: Rollout<Composite>,
    records: Ledger<Vec<Record>>,
    objects: Objects,
    /// What the next deployment is, once all of it has been read.
    draft: Option<DesiredState>,
    /// Says that this is the only one. Goes last.
    _only: File,
}

/// A deployment that was applied, or begun to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// The digest of its id.
    pub(super) key: Digest,
    /// Who says to have begun it.
    pub(super) label: String,
    /// When, in seconds since 1970.
    pub(super) begun: i64,
    generation: GenerationId,
    pub(super) end: Option<End>,
    /// Why it has ended so.
    pub(super) why: Option<String>,
}

/// How a deployment has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum End {
    /// It is what the machine is.
    Confirmed,
    /// The machine is as it was before.
    RolledBack,
}

/// What a state wants, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wants {
    pub(super) entries: usize,
    pub(super) missing: usize,
    pub(super) missing_bytes: u64,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// It waits for its confirmation. What was changed.
    Applied(Vec<String>),
    /// Nothing was begun.
    Refused(String),
    /// It failed, and all is as before.
    Undone(String),
    /// It failed, and so did going back, which is to be tried again.
    Stuck(String),
}

impl Site {
    /// The site in a directory, as an agent with those settings sees it.
    ///
    /// # Errors
    ///
    /// If another one uses the directory, or it can't be used.
    pub(crate) fn open(dir: &Path, settings: &Settings) -> Result<Self, String> {
        let failed = |error: io::Error| format!("{}: {error}", dir.display());
        let part = |name: &str| dir.join("executor").join(name);
        let mut parts: Vec<Box<dyn Executor>> = Vec::new();
        // In that order: a package finds its configuration, a service its package.
        let ordered = [Part::Files, Part::Packages, Part::Guix, Part::Services];
        for of in ordered.into_iter().filter(|of| settings.parts.contains(of)) {
            parts.push(match of {
                Part::Files => {
                    let objects = Some(dir.join(OBJECTS));
                    let root = settings.root.clone();
                    let files = FilesSettings { root, objects, ..FilesSettings::default() };
                    Box::new(Files::open(&part("files"), files).map_err(failed)?)
                }
                Part::Packages => {
                    let packages = Packages::open(&part("packages"), PackagesSettings::default());
                    Box::new(packages.map_err(failed)?)
                }
                Part::Guix => {
                    let guix = Guix::open(&part("guix"), GuixSettings::default());
                    Box::new(guix.map_err(failed)?)
                }
                Part::Services => {
                    let services = Services::open(&part("services"), ServicesSettings::default());
                    Box::new(services.map_err(failed)?)
                }
            });
        }
        Self::with(dir, settings, parts)
    }

    /// The same with executors of one's own.
    pub(super) fn with(
        dir: &Path,
        settings: &Settings,
        parts: Vec<Box<dyn Executor>>,
    ) -> Result<Self, String> {
        let failed = |error: io::Error| format!("{}: {error}", dir.display());
        store::private_dir(dir).map_err(failed)?;
        let only = alone(&dir.join("lock"))?;
        let keep = RolloutSettings { keep: settings.keep };
        let rollout = Rollout::open(&dir.join("generations"), Composite::new(parts), keep)
            .map_err(|error| error.to_string())?;
        let records = Ledger::open(dir.join("deployments.json")).map_err(failed)?;
        let objects = Objects::open(dir.join(OBJECTS)).map_err(failed)?;
        let settings = settings.clone();
        let mut site = Self { settings, rollout, records, objects, draft: None, _only: only };
        if site.unfinished().is_none() {
            // An earlier process may have ended before it had noted how things ended.
            site.tidy(Some(STOPPED));
        }
        Ok(site)
    }

    /// Who has begun the deployment that was neither confirmed nor undone, and when.
    pub(crate) fn unfinished(&self) -> Option<(String, i64)> {
        let unfinished = self.rollout.status().unfinished?;
        let mut records = self.records.entries().iter().rev();
        let record = records.find(|record| record.generation == unfinished);
        let of = |record: &Record| (record.label.clone(), record.begun);
        Some(record.map_or_else(|| ("nobody".to_owned(), 0), of))
    }

    /// Undoes what an earlier process has left unfinished.
    pub(super) fn recover(&mut self, progress: &dyn Progress) -> Result<(), String> {
        self.roll_back(STOPPED, progress).map(drop)
    }

    /// A deployment by the digest of its id.
    pub(super) fn record(&self, key: &Digest) -> Option<Record> {
        self.records.entries().iter().rev().find(|record| record.key == *key).cloned()
    }

    /// The last one.
    pub(super) fn last(&self) -> Option<Record> {
        self.records.entries().last().cloned()
    }

    /// Begins anew.
    pub(super) fn reset(&mut self) {
        self.draft = None;
        self.objects.want(BTreeMap::new());
    }

    /// Says which content will be the state. Whether it has to be sent.
    pub(super) fn want(&mut self, digest: Digest, size: u64) -> Result<bool, String> {
        let limit = self.settings.state_size.0;
        if size > limit {
            return Err(format!("a state of {size} bytes: the limit is {limit} bytes"));
        }
        self.draft = None;
        self.objects.want(BTreeMap::from([(digest, size)]));
        Ok(!self.objects.has(&digest, size))
    }

    /// Takes a chunk of a content.
    pub(super) fn put(&mut self, digest: Digest, offset: u64, bytes: &[u8]) -> Result<u64, String> {
        let limit = self.settings.chunk_size.0;
        if bytes.len() as u64 > limit {
            return Err(format!("a chunk of {} bytes: the limit is {limit}", bytes.len()));
        }
        self.objects.put(digest, offset, bytes)
    }

    /// Reads the state that has come.
    pub(super) fn read(&mut self, digest: Digest) -> Result<Wants, String> {
        let limit = self.settings.state_size.0;
        let path = self.objects.path(&digest);
        let text = store::read(&path).map_err(|error| error.to_string())?;
        let text = text.filter(|text| text.len() as u64 <= limit && Digest::of(text) == digest);
        let text = text.ok_or("that state is not here")?;
        let json = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        let state = DesiredState::from_json(&json, &self.settings.limits());
        let state = state.map_err(|error| error.to_string())?;
        self.settings.check(&state)?;
        if let Some(mut used) = self.used() {
            used.extend(objects(&state).into_keys());
            self.objects.keep(&used);
        }
        self.objects.want(objects(&state));
        let missing = self.objects.missing();
        let wants = Wants {
            entries: state.items() + usize::from(state.guix.is_some()),
            missing: missing.len(),
            missing_bytes: missing.iter().map(|(_, size)| size).sum(),
        };
        self.draft = Some(state);
        Ok(wants)
    }

    /// The contents that are not here.
    pub(super) fn missing(&self) -> Vec<(Digest, u64)> {
        self.objects.missing()
    }

    /// In what the machine differs from what it is to be.
    pub(super) fn plan(&self) -> Result<Vec<String>, String> {
        let state = self.draft.as_ref().ok_or(NOTHING)?;
        let drift = self.rollout.executor().diff(state).map_err(|error| error.to_string())?;
        Ok(drift.iter().map(ToString::to_string).collect())
    }

    /// Does it. Then it has to be confirmed or undone.
    pub(super) fn attempt(
        &mut self,
        key: Digest,
        label: String,
        begun: i64,
        progress: &dyn Progress,
    ) -> Attempt {
        let Some(state) = self.draft.take() else { return Attempt::Refused(NOTHING.to_owned()) };
        // What has been here for long may be damaged by now; then it has to come anew.
        self.objects.verify(objects(&state).keys());
        let missing = self.objects.missing().len();
        if missing > 0 {
            self.draft = Some(state);
            return Attempt::Refused(format!("{missing} contents are not here yet"));
        }
        let number = self.rollout.status().held.number.saturating_add(1);
        let generation = Generation { number, state };
        let record =
            Record { key, label, begun, generation: generation.id(), end: None, why: None };
        let noted = self.records.change(|records| {
            records.push(record);
            let excess = records.len().saturating_sub(REMEMBERED);
            records.drain(..excess);
        });
        if let Err(error) = noted {
            self.draft = Some(generation.state);
            return Attempt::Refused(format!("that can't be noted: {error}"));
        }
        let why = match self.rollout.attempt(&generation, progress) {
            Ok(outcome) => return Attempt::Applied(outcome.changed),
            Err(error) => error.to_string(),
        };
        match self.roll_back(&why, progress) {
            Ok(_) => Attempt::Undone(why),
            Err(again) => Attempt::Stuck(format!("{why}; and it can't be undone yet: {again}")),
        }
    }

    /// Keeps what was applied.
    pub(super) fn confirm(&mut self, key: &Digest) -> Result<(), String> {
        let record = self.record(key).ok_or("there is no such deployment")?;
        self.rollout.confirm(&record.generation).map_err(|error| error.to_string())?;
        self.tidy(None);
        Ok(())
    }

    /// Undoes what was applied, if something was. What was changed.
    pub(super) fn roll_back(
        &mut self,
        why: &str,
        progress: &dyn Progress,
    ) -> Result<Vec<String>, String> {
        let outcome = self.rollout.roll_back(progress).map_err(|error| error.to_string())?;
        self.tidy(Some(why));
        Ok(outcome.changed)
    }

    /// Makes the records say how things have ended, and forgets what is of no use any
    /// more. What can't be done now is done the next time.
    fn tidy(&mut self, why: Option<&str>) {
        let held = self.rollout.status().held;
        let open = self.records.entries().iter().any(|record| record.end.is_none());
        if open {
            let noted = self.records.change(|records| {
                for record in records.iter_mut().filter(|record| record.end.is_none()) {
                    let confirmed = record.generation == held;
                    record.end = Some(if confirmed { End::Confirmed } else { End::RolledBack });
                    record.why = why.filter(|_| !confirmed).map(str::to_owned);
                }
            });
            if let Err(error) = noted {
                tracing::error!(target: LOG, "how the deployment ended can't be noted: {error}");
            }
        }
        self.draft = None;
        self.objects.want(BTreeMap::new());
        if let Some(used) = self.used() {
            self.objects.keep(&used);
        }
    }

    /// The contents of what is kept. `None`: that is not known.
    fn used(&self) -> Option<BTreeSet<Digest>> {
        let status = self.rollout.status();
        let ids = self.rollout.generations().iter().chain([&status.held]);
        let ids = ids.chain(&status.unfinished);
        let mut used = BTreeSet::new();
        for id in ids {
            used.extend(objects(&self.rollout.load(id).ok()?.state).into_keys());
        }
        Some(used)
    }
}

/// The target of the log lines of deployments.
pub(super) const LOG: &str = "deploy";
/// Why what an earlier process has left is undone.
pub(super) const STOPPED: &str = "the agent was stopped before it was confirmed";
const OBJECTS: &str = "objects";
const NOTHING: &str = "nothing has been sent that could be deployed";

/// The contents that are no part of a state.
fn objects(state: &DesiredState) -> BTreeMap<Digest, u64> {
    let contents = state.files.values().filter_map(|file| match file.content {
        Content::Object { digest, size } => Some((digest, size)),
        _ => None,
    });
    contents.collect()
}

/// Waits until nobody else has the file, and has it until it is closed.
fn alone(path: &Path) -> Result<File, String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let mut options = File::options();
    let file = options.create(true).truncate(false).write(true).open(path).map_err(failed)?;
    let begun = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if begun.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err("an earlier deployment is still being finished".to_owned());
            }
            Err(error) => return Err(failed(error.into())),
        }
    }
}

/// A site for those who must not block.
#[derive(Clone)]
pub(crate) struct Workshop {
    site: Arc<Mutex<Site>>,
    runtime: Handle,
}

impl Workshop {
    /// Work on that site is done by threads of that runtime.
    pub(crate) fn new(site: Site, runtime: Handle) -> Self {
        Self { site: Arc::new(Mutex::new(site)), runtime }
    }

    /// The same, where the site is opened first, and what was left there: see
    /// [`Site::unfinished`].
    ///
    /// # Errors
    ///
    /// As [`Site::open`].
    pub(crate) async fn open(
        dir: PathBuf,
        settings: Settings,
        runtime: Handle,
    ) -> Result<(Self, Option<(String, i64)>), String> {
        let opened = runtime.spawn_blocking(move || Site::open(&dir, &settings)).await;
        let site = opened.map_err(|error| error.to_string())??;
        let left = site.unfinished();
        Ok((Self::new(site, runtime), left))
    }

    /// Does something there, after what is being done.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Site) -> T + Send + 'static,
    ) -> Result<T, String> {
        let site = self.site.clone();
        let done = self.runtime.spawn_blocking(move || work(&mut super::lock(&site))).await;
        done.map_err(|error| format!("the deployment was cut short: {error}"))
    }
}
