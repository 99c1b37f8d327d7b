//! Generations on disk, and confirm-or-rollback.
//!
//! ```text
//!             attempt            confirm
//!   held ────────────> trying ────────────> held, the new one
//!    ^                   │
//!    └─── roll back ─────┘  not confirmed in time, or the process died
//! ```
//!
//! The journal says which generation is held and which one is tried, and is written
//! before anything is done: whoever is killed in between is told by it to roll back.
//! When the time is up, [`reconcile`](crate::desired::reconcile) says.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Drift, Executor, ExecutorError, Outcome, Progress, checkpoint, store};
use crate::desired::limits::Limits;
use crate::desired::machine::{Generation, GenerationId};

/// What is tried on a machine, generation by generation.
pub(crate) struct Rollout<E> {
    /// Where the generations and the journal are.
    dir: PathBuf,
    executor: E,
    journal: Journal,
    settings: RolloutSettings,
    limits: Limits,
}

/// What is known of the generations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Journal {
    version: u64,
    /// The last one that was confirmed.
    held: GenerationId,
    /// The one that is tried.
    trying: Option<Trying>,
    /// Those that were confirmed, the last one at the end. The empty state is none of them.
    confirmed: Vec<GenerationId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trying {
    id: GenerationId,
    applied: bool,
}

const VERSION: u64 = 1;

/// What is kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RolloutSettings {
    /// How many generations that were confirmed are kept, at least 1: the last ones.
    pub(crate) keep: usize,
}

impl Default for RolloutSettings {
    fn default() -> Self {
        Self { keep: 10 }
    }
}

/// Where a machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// The generation that was confirmed last.
    pub(crate) held: GenerationId,
    /// One that was begun and not confirmed: there is to be a rollback.
    pub(crate) unfinished: Option<GenerationId>,
}

/// Why a generation is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RolloutError {
    /// The executor could not do it.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// The generations on disk can't be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A generation on disk is damaged or of another version.
    #[error("{path}: {why}", path = path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// In what way.
        why: String,
    },
    /// That generation is not being tried, or has not been applied.
    #[error("generation {0} is not waiting to be confirmed")]
    NotWaiting(GenerationId),
    /// One is being tried, and must be confirmed or rolled back first.
    #[error("generation {0} is not confirmed yet")]
    Unconfirmed(GenerationId),
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> RolloutError {
    move |source| RolloutError::Io { path: path.to_owned(), source }
}

impl<E: Executor> Rollout<E> {
    /// What is in that directory: `journal.json`, and `N-DIGEST.json` for each generation.
    ///
    /// # Errors
    ///
    /// If it can't be used, or is damaged.
    pub(crate) fn open(
        dir: &Path,
        executor: E,
        settings: RolloutSettings,
    ) -> Result<Self, RolloutError> {
        store::private_dir(dir).map_err(failed(dir))?;
        let path = dir.join("journal.json");
        let journal = match store::read(&path).map_err(failed(&path))? {
            None => {
                let held = Generation::none().id();
                Journal { version: VERSION, held, trying: None, confirmed: Vec::new() }
            }
            Some(text) => {
                let damaged = |why| RolloutError::Damaged { path: path.clone(), why };
                let journal: Journal =
                    serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
                if journal.version != VERSION {
                    let what = format!("version {} is not known here", journal.version);
                    return Err(damaged(what));
                }
                journal
            }
        };
        // What was taken from the boss was within its limits, and is not judged again.
        let most = usize::MAX;
        let (object_bytes, objects_bytes) = (u64::MAX, u64::MAX);
        let limits = Limits {
            items: most,
            file_bytes: most,
            state_bytes: most,
            object_bytes,
            objects_bytes,
            ..Limits::default()
        };
        Ok(Self { dir: dir.to_owned(), executor, journal, settings, limits })
    }

    /// Where the machine stands.
    pub(crate) fn status(&self) -> Status {
        let unfinished = self.journal.trying.map(|trying| trying.id);
        Status { held: self.journal.held, unfinished }
    }

    /// The generations that were confirmed and are still here, the last one at the end.
    pub(crate) fn generations(&self) -> &[GenerationId] {
        &self.journal.confirmed
    }

    /// What does the work.
    pub(crate) const fn executor(&self) -> &E {
        &self.executor
    }

    /// One of the generations that are here.
    ///
    /// # Errors
    ///
    /// If it is not, or is damaged.
    pub(crate) fn load(&self, id: &GenerationId) -> Result<Generation, RolloutError> {
        if *id == Generation::none().id() {
            return Ok(Generation::none());
        }
        let path = self.path(id);
        let damaged = |why| RolloutError::Damaged { path: path.clone(), why };
        let text = fs::read(&path).map_err(failed(&path))?;
        let json = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        let generation = Generation::from_json(&json, &self.limits);
        let generation = generation.map_err(|error| damaged(error.to_string()))?;
        if generation.id() != *id {
            return Err(damaged("it is another generation".to_owned()));
        }
        Ok(generation)
    }

    /// Applies a generation, which must then be confirmed or rolled back: also if this
    /// fails. It may take the place of another that is tried.
    ///
    /// # Errors
    ///
    /// [`RolloutError`].
    pub(crate) fn attempt(
        &mut self,
        generation: &Generation,
        progress: &dyn Progress,
    ) -> Result<Outcome, RolloutError> {
        let id = generation.id();
        if id != Generation::none().id() {
            let path = self.path(&id);
            let text = generation.to_json().to_string();
            store::write(&path, text.as_bytes()).map_err(failed(&path))?;
        }
        checkpoint();
        self.change(|journal| journal.trying = Some(Trying { id, applied: false }))?;
        checkpoint();
        let outcome = self.executor.apply(&generation.state, progress)?;
        checkpoint();
        self.change(|journal| journal.trying = Some(Trying { id, applied: true }))?;
        Ok(outcome)
    }

    /// Holds the generation that is tried.
    ///
    /// # Errors
    ///
    /// If it is another one, or the journal can't be written: then it is not held.
    pub(crate) fn confirm(&mut self, id: &GenerationId) -> Result<(), RolloutError> {
        if self.journal.trying.is_none() && self.journal.held == *id {
            return Ok(());
        }
        if self.journal.trying != Some(Trying { id: *id, applied: true }) {
            return Err(RolloutError::NotWaiting(*id));
        }
        let keep = self.settings.keep.max(1);
        self.change(|journal| {
            journal.held = *id;
            journal.trying = None;
            journal.confirmed.retain(|other| other != id);
            journal.confirmed.push(*id);
            let excess = journal.confirmed.len().saturating_sub(keep);
            journal.confirmed.drain(..excess);
        })?;
        checkpoint();
        self.prune();
        Ok(())
    }

    /// Goes back from the generation that is tried, if one is, to the one that is held.
    ///
    /// # Errors
    ///
    /// [`RolloutError`]; it is then to be called again.
    pub(crate) fn roll_back(&mut self, progress: &dyn Progress) -> Result<Outcome, RolloutError> {
        if self.journal.trying.is_none() {
            return Ok(Outcome::default());
        }
        let held = self.load(&self.journal.held)?;
        self.change(|journal| {
            if let Some(trying) = &mut journal.trying {
                trying.applied = false;
            }
        })?;
        checkpoint();
        let outcome = self.executor.rollback(&held, progress)?;
        checkpoint();
        self.change(|journal| journal.trying = None)?;
        checkpoint();
        self.prune();
        Ok(outcome)
    }

    /// In what the machine differs from the generation that is held.
    ///
    /// # Errors
    ///
    /// [`RolloutError`].
    pub(crate) fn check(&self) -> Result<Vec<Drift>, RolloutError> {
        let held = self.load(&self.journal.held)?;
        Ok(self.executor.diff(&held.state)?)
    }

    /// Applies the generation that is held once more, against drift.
    ///
    /// # Errors
    ///
    /// [`RolloutError`]; also while another generation is tried.
    pub(crate) fn repair(&mut self, progress: &dyn Progress) -> Result<Outcome, RolloutError> {
        if let Some(trying) = self.journal.trying {
            return Err(RolloutError::Unconfirmed(trying.id));
        }
        let held = self.load(&self.journal.held)?;
        Ok(self.executor.apply(&held.state, progress)?)
    }

    fn path(&self, id: &GenerationId) -> PathBuf {
        self.dir.join(format!("{}-{}.json", id.number, id.digest.short()))
    }

    fn change(&mut self, change: impl FnOnce(&mut Journal)) -> Result<(), RolloutError> {
        let mut next = self.journal.clone();
        change(&mut next);
        let path = self.dir.join("journal.json");
        let text = serde_json::to_vec_pretty(&next).map_err(io::Error::other);
        let written = text.and_then(|text| store::write(&path, &text));
        written.map_err(failed(&path))?;
        self.journal = next;
        Ok(())
    }

    /// Removes the generations that are no longer of use. What can't be removed now is
    /// the next time.
    fn prune(&self) {
        let journal = &self.journal;
        let ids = journal.confirmed.iter().copied().chain([journal.held]);
        let ids = ids.chain(journal.trying.map(|trying| trying.id));
        let mut used: Vec<PathBuf> = ids.map(|id| self.path(&id)).collect();
        used.push(self.dir.join("journal.json"));
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let ours = path.extension().is_some_and(|ending| ending == "json");
            if ours && !used.contains(&path) {
                let _left = store::remove(&path);
            }
        }
    }
}
