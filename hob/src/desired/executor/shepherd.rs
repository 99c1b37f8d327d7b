//! Services that hob itself runs: their definitions are files where the machine's shepherd
//! reads them, which is told to read them anew, and to start and stop what they define.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ocapn::Fault;
use serde::{Deserialize, Serialize};

use super::store::{self, Ledger};
use super::{Drift, Executor, ExecutorError, Facts, Outcome, Progress, checkpoint};
use crate::desired::machine::{DesiredState, Digest, OwnService};
use crate::services::{Phase, ShepherdRef, Status, is_not_found};

/// The executor of services that hob itself runs.
pub(crate) struct Shepherd {
    shepherd: ShepherdRef,
    /// Where services are defined.
    definitions: PathBuf,
    ledger: Ledger<BTreeMap<String, Owned>>,
    running: Running,
}

/// What is known of a service that was defined here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owned {
    /// The definition that it was last started by, with the files that it is restarted for.
    started: Option<Digest>,
}

const PART: &str = "shepherd";

fn error(item: &str, why: impl std::fmt::Display) -> ExecutorError {
    ExecutorError::new(PART, item, why)
}

/// Which of these services are to go on running: known between two checks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Running(Arc<Mutex<BTreeMap<String, bool>>>);

impl Running {
    fn set(&self, wanted: &DesiredState) {
        let services = wanted.shepherd.iter().filter(|(_, service)| !service.is_one_shot());
        let running = services.map(|(name, service)| (name.clone(), service.running));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = running.collect();
    }

    /// In what services differ from that which are in these states, by their names.
    pub(crate) fn drift(&self, states: &BTreeMap<String, String>) -> Vec<Drift> {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let differs = |(name, wanted): (&String, &bool)| {
            let found = states.get(name).map_or("not there", String::as_str);
            let up = matches!(found, "running" | "starting");
            (up != *wanted).then(|| Drift {
                part: PART,
                item: name.clone(),
                wanted: if *wanted { "running" } else { "stopped" }.to_owned(),
                found: found.to_owned(),
            })
        };
        running.iter().filter_map(differs).collect()
    }
}

/// What a service is started by: its definition, and the files that it is restarted for.
fn started_by(service: &OwnService, state: &DesiredState) -> Digest {
    let mut all = service.definition.to_string().into_bytes();
    for path in &service.restart_on {
        let content = state.files.get(path).map(|file| file.content.digest());
        all.extend(format!("\n{path:?} {content:?}").into_bytes());
    }
    Digest::of(&all)
}

/// The file with a service's definition.
fn text(name: &str, service: &OwnService) -> Result<String, ExecutorError> {
    let mut definition = service.definition.clone();
    if let (false, Some(fields)) = (service.running, definition.as_object_mut()) {
        fields.insert("autostart".to_owned(), false.into());
    }
    let file = serde_json::json!({ "service": { name: definition } });
    let file = toml::Table::try_from(file).map_err(|why| error(name, why))?;
    let text = toml::to_string(&file).map_err(|why| error(name, why))?;
    Ok(format!("# Written by hob for its fleet: what is changed here is changed back.\n\n{text}"))
}

impl Shepherd {
    /// The executor, which remembers in the directory `state` what it owns.
    ///
    /// # Errors
    ///
    /// If the directory can't be used.
    pub(crate) fn open(
        state: &Path,
        shepherd: ShepherdRef,
        definitions: &Path,
    ) -> io::Result<Self> {
        let ledger = Ledger::open(state.join("services.json"))?;
        let definitions = definitions.to_owned();
        Ok(Self { shepherd, definitions, ledger, running: Running::default() })
    }

    /// What this has learnt of which services are to run.
    pub(crate) fn running(&self) -> Running {
        self.running.clone()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.definitions.join(format!("fleet-{name}.toml"))
    }

    fn check_directory(&self) -> Result<(), ExecutorError> {
        if self.definitions.is_dir() {
            return Ok(());
        }
        let why = "services are defined in a file here, to which nothing can be added";
        Err(error(&self.definitions.display().to_string(), why))
    }

    /// How a service is. `None`: there is none of that name.
    fn now(&self, name: &str) -> Result<Option<Status>, ExecutorError> {
        match self.shepherd.brief(name).wait() {
            Ok(status) => Ok(Some(status)),
            Err(fault) if is_not_found(&fault) => Ok(None),
            Err(fault) => Err(error(name, fault)),
        }
    }

    fn reload(&self) -> Result<(), ExecutorError> {
        let reloaded = self.shepherd.reload().wait();
        reloaded.map(drop).map_err(|fault| error("reload", fault))
    }

    fn is_written(&self, name: &str, service: &OwnService) -> Result<bool, ExecutorError> {
        let found = store::read(&self.path(name)).map_err(|why| error(name, why))?;
        Ok(found.as_deref() == Some(text(name, service)?.as_bytes()))
    }

    /// In what a service differs from what it is to be.
    fn difference(
        &self,
        name: &str,
        service: &OwnService,
        state: &DesiredState,
    ) -> Result<Option<Drift>, ExecutorError> {
        let started = self.ledger.entries().get(name).and_then(|owned| owned.started);
        let current = started == Some(started_by(service, state));
        let Some(now) = self.now(name)? else {
            return Ok(Some(drift(name, "defined", "not there")));
        };
        let up = matches!(now.state, Phase::Running | Phase::Starting);
        Ok(if !self.is_written(name, service)? {
            Some(drift(name, "the definition of the state", "another definition"))
        } else if !service.running {
            now.state.is_up().then(|| drift(name, "stopped", now.state.name()))
        } else if !now.enabled {
            Some(drift(name, "enabled", "disabled"))
        } else if service.is_one_shot() && now.state != Phase::Failed {
            (!current).then(|| drift(name, "done", "not done since it was changed"))
        } else if !up {
            Some(drift(name, "running", now.state.name()))
        } else {
            let (wanted, found) = ("started by the present definition", "started by a former one");
            (!current).then(|| drift(name, wanted, found))
        })
    }

    /// Makes the files what they are to be. Whether there was something to be done.
    fn write(&mut self, wanted: &DesiredState) -> Result<bool, ExecutorError> {
        let mut written = false;
        for (name, service) in &wanted.shepherd {
            let failed = |why: io::Error| error(name, why);
            if !self.ledger.entries().contains_key(name) {
                let own = |entries: &mut BTreeMap<String, Owned>| {
                    entries.insert(name.clone(), Owned::default());
                };
                self.ledger.change(own).map_err(failed)?;
            }
            if !self.is_written(name, service)? {
                checkpoint();
                store::write(&self.path(name), text(name, service)?.as_bytes()).map_err(failed)?;
                written = true;
            }
        }
        Ok(written)
    }

    /// Has a service run, or not.
    fn set(
        &mut self,
        name: &str,
        service: &OwnService,
        state: &DesiredState,
    ) -> Result<(), ExecutorError> {
        let failed = |fault: Fault| error(name, fault);
        let now = self.now(name)?.ok_or_else(|| error(name, "the shepherd does not know it"))?;
        if !service.running {
            return self.shepherd.stop(name, None).wait().map(drop).map_err(failed);
        }
        if !now.enabled {
            self.shepherd.enable(name).wait().map_err(failed)?;
        }
        let begun = match now.state.is_up() {
            true => self.shepherd.restart(name, None),
            false => self.shepherd.start(name, None),
        };
        begun.wait().map_err(failed)?;
        checkpoint();
        let started = Some(started_by(service, state));
        let note = |entries: &mut BTreeMap<String, Owned>| {
            entries.insert(name.to_owned(), Owned { started });
        };
        self.ledger.change(note).map_err(|why| error(name, why))
    }
}

fn drift(name: &str, wanted: &str, found: &str) -> Drift {
    let (item, wanted, found) = (name.to_owned(), wanted.to_owned(), found.to_owned());
    Drift { part: PART, item, wanted, found }
}

impl Executor for Shepherd {
    fn facts(&self) -> Result<Facts, ExecutorError> {
        let count = self.ledger.entries().len();
        Ok(Facts::from([("shepherd.owned".to_owned(), count.to_string())]))
    }

    fn diff(&self, wanted: &DesiredState) -> Result<Vec<Drift>, ExecutorError> {
        self.running.set(wanted);
        let mut drifts = Vec::new();
        for (name, service) in &wanted.shepherd {
            drifts.extend(self.difference(name, service, wanted)?);
        }
        let owned = self.ledger.entries().keys();
        let unwanted = owned.filter(|name| !wanted.shepherd.contains_key(*name));
        drifts.extend(unwanted.map(|name| drift(name, "not there", "as a former state has it")));
        Ok(drifts)
    }

    fn retire(
        &mut self,
        wanted: &DesiredState,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        self.running.set(wanted);
        let owned: Vec<String> = self.ledger.entries().keys().cloned().collect();
        let mut outcome = Outcome::default();
        for name in owned.iter().filter(|name| !wanted.shepherd.contains_key(*name)) {
            progress.step(&format!("remove service {name}"));
            // Without a file of ours it is not our service: somebody has defined it anew.
            let path = self.path(name);
            let ours = store::read(&path).map_err(|why| error(name, why))?.is_some();
            if ours {
                if self.now(name)?.is_some() {
                    self.shepherd.stop(name, None).wait().map_err(|fault| error(name, fault))?;
                }
                checkpoint();
                store::remove(&path).map_err(|why| error(name, why))?;
                self.reload()?;
            }
            self.ledger
                .change(|entries| {
                    entries.remove(name);
                })
                .map_err(|why| error(name, why))?;
            outcome.changed.push(format!("shepherd: {name} is gone"));
        }
        Ok(outcome)
    }

    fn establish(
        &mut self,
        wanted: &DesiredState,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        let mut outcome = Outcome::default();
        if wanted.shepherd.is_empty() {
            return Ok(outcome);
        }
        self.check_directory()?;
        if self.write(wanted)? {
            progress.step("reload the definitions of services");
            self.reload()?;
        }
        for (name, service) in &wanted.shepherd {
            if self.difference(name, service, wanted)?.is_some() {
                let word = if service.running { "running" } else { "stopped" };
                progress.step(&format!("{name}: {word}"));
                self.set(name, service, wanted)?;
                outcome.changed.push(format!("shepherd: {name} is {word}"));
            }
        }
        Ok(outcome)
    }
}
