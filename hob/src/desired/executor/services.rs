//! Services of systemd: running and started with the machine, or stopped and not. How
//! they were before is kept, and comes back when they are no longer listed.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::command::{Ran, Run};
use super::store::Ledger;
use super::{Drift, Executor, ExecutorError, Facts, Outcome, Progress, checkpoint};
use crate::desired::machine::{DesiredState, Digest, ServiceState};

/// The program that is run, and how one sees whether it is of use.
#[derive(Clone, Debug)]
pub(crate) struct ServicesSettings {
    /// `systemctl`.
    pub(crate) systemctl: PathBuf,
    /// A directory that is there exactly if systemd runs the machine.
    pub(crate) booted: PathBuf,
    /// How long one run may take before it is killed.
    pub(crate) timeout: Duration,
}

impl Default for ServicesSettings {
    fn default() -> Self {
        Self {
            systemctl: super::command::find("systemctl")
                .unwrap_or_else(|| "/usr/bin/systemctl".into()),
            booted: "/run/systemd/system".into(),
            timeout: Duration::from_secs(5 * 60),
        }
    }
}

/// The executor of services.
pub(crate) struct Services {
    settings: ServicesSettings,
    ledger: Ledger<BTreeMap<String, Owned>>,
}

/// What is known of a service that is seen to here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owned {
    /// Whether it ran before.
    ran: bool,
    /// Whether it was started with the machine.
    enabled: bool,
    /// The files that it was last started with.
    files: Option<Digest>,
}

/// How a service is, as systemd says.
#[derive(Debug, Default)]
struct Now {
    known: bool,
    running: bool,
    /// `None`: it can be neither.
    enabled: Option<bool>,
    /// Its unit has changed since systemd has read it.
    changed: bool,
    word: String,
}

const PART: &str = "services";

fn error(item: &str, why: impl std::fmt::Display) -> ExecutorError {
    ExecutorError::new(PART, item, why)
}

/// The unit of a service.
fn unit(name: &str) -> String {
    const KINDS: [&str; 6] = [".service", ".socket", ".timer", ".path", ".target", ".mount"];
    if KINDS.iter().any(|kind| name.ends_with(kind)) {
        name.to_owned()
    } else {
        format!("{name}.service")
    }
}

/// The files that a service is restarted for, as the state has them.
fn files(service: &ServiceState, state: &DesiredState) -> Option<Digest> {
    if service.restart_on.is_empty() {
        return None;
    }
    let mut all = Vec::new();
    for path in &service.restart_on {
        let content = state.files.get(path).map(|file| file.content.digest());
        all.extend(format!("{path:?} {content:?}\n").into_bytes());
    }
    Some(Digest::of(&all))
}

impl Services {
    /// The executor, which remembers in that directory what it owns.
    ///
    /// # Errors
    ///
    /// If the directory can't be used.
    pub(crate) fn open(state: &Path, settings: ServicesSettings) -> io::Result<Self> {
        Ok(Self { settings, ledger: Ledger::open(state.join("services.json"))? })
    }

    fn is_there(&self) -> bool {
        self.settings.booted.is_dir()
    }

    fn check_there(&self) -> Result<(), ExecutorError> {
        if self.is_there() {
            return Ok(());
        }
        let why = format!(
            "systemd does not run this machine ({} is not there), and hob sees to services only \
             where it does",
            self.settings.booted.display()
        );
        Err(error("systemd", why))
    }

    fn systemctl(&self, args: &[&str]) -> Result<Ran, ExecutorError> {
        let args = [&["--no-ask-password", "--no-pager"], args].concat();
        let timeout = self.settings.timeout;
        let run = Run { program: &self.settings.systemctl, args, env: &[], timeout };
        run.run().map_err(|why| error("systemctl", why))
    }

    fn order(&self, order: &str, name: &str) -> Result<(), ExecutorError> {
        checkpoint();
        let unit = unit(name);
        let ran = self.systemctl(&[order, "--", &unit])?;
        checkpoint();
        if ran.success() {
            return Ok(());
        }
        Err(error(name, format_args!("systemctl {order}: {}", ran.why())))
    }

    fn now(&self, name: &str) -> Result<Now, ExecutorError> {
        let unit = unit(name);
        let properties = "LoadState,ActiveState,UnitFileState,NeedDaemonReload";
        let ran = self.systemctl(&["show", "--property", properties, "--", &unit])?;
        if !ran.success() {
            return Err(error(name, ran.why()));
        }
        let mut now = Now::default();
        for (key, value) in ran.out.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "LoadState" => now.known = value != "not-found",
                "ActiveState" => {
                    now.running = matches!(value, "active" | "activating" | "reloading");
                    now.word = value.to_owned();
                }
                "UnitFileState" => {
                    now.enabled = match value {
                        "enabled" | "enabled-runtime" => Some(true),
                        "disabled" => Some(false),
                        _ => None,
                    }
                }
                "NeedDaemonReload" => now.changed = value == "yes",
                _ => {}
            }
        }
        Ok(now)
    }

    /// In what a service differs from what it is to be.
    fn difference(
        &self,
        name: &str,
        service: &ServiceState,
        now: &Now,
        state: &DesiredState,
    ) -> Option<Drift> {
        let started_with = self.ledger.entries().get(name).and_then(|owned| owned.files);
        let (wanted, found) = if !now.known {
            (service.word(), "unknown to systemd".to_owned())
        } else if now.running != service.running {
            (service.word(), now.word.clone())
        } else if now.enabled.is_some_and(|enabled| enabled != service.running) {
            let word = |enabled| if enabled { "enabled" } else { "disabled" };
            (word(service.running), word(!service.running).to_owned())
        } else if service.running
            && files(service, state).is_some_and(|files| started_with != Some(files))
        {
            ("started with the present files", "started with former files".to_owned())
        } else {
            return None;
        };
        let (item, wanted) = (name.to_owned(), wanted.to_owned());
        Some(Drift { part: PART, item, wanted, found })
    }

    /// Starts or stops a service, now and with the machine.
    fn switch(&self, name: &str, now: &Now, run: bool, enable: bool) -> Result<(), ExecutorError> {
        match (now.enabled, enable) {
            (Some(false), true) => self.order("enable", name)?,
            (Some(true), false) => self.order("disable", name)?,
            _ => {}
        }
        match (now.running, run) {
            (false, true) => self.order("start", name),
            (true, false) => self.order("stop", name),
            _ => Ok(()),
        }
    }

    fn set(
        &mut self,
        name: &str,
        service: &ServiceState,
        state: &DesiredState,
    ) -> Result<(), ExecutorError> {
        let failed = |why: io::Error| error(name, why);
        let mut now = self.now(name)?;
        if !now.known || now.changed {
            // Its unit may be one of the files, or have come with a package.
            let ran = self.systemctl(&["daemon-reload"])?;
            if !ran.success() {
                return Err(error(name, ran.why()));
            }
            now = self.now(name)?;
        }
        if !now.known {
            return Err(error(name, "systemd knows no such service"));
        }
        if !self.ledger.entries().contains_key(name) {
            let enabled = now.enabled.unwrap_or_default();
            let owned = Owned { ran: now.running, enabled, files: None };
            self.ledger
                .change(|entries| {
                    entries.insert(name.to_owned(), owned);
                })
                .map_err(failed)?;
        }
        let files = files(service, state);
        let before = self.ledger.entries().get(name).and_then(|owned| owned.files);
        self.switch(name, &now, service.running, service.running)?;
        if service.running && now.running && files.is_some() && files != before {
            self.order("restart", name)?;
        }
        if files != before {
            let note = |entries: &mut BTreeMap<String, Owned>| {
                if let Some(owned) = entries.get_mut(name) {
                    owned.files = files;
                }
            };
            self.ledger.change(note).map_err(failed)?;
        }
        Ok(())
    }
}

impl Executor for Services {
    fn facts(&self) -> Result<Facts, ExecutorError> {
        let systemd = if self.is_there() { "running" } else { "absent" };
        Ok(Facts::from([
            ("services.systemd".to_owned(), systemd.to_owned()),
            ("services.owned".to_owned(), self.ledger.entries().len().to_string()),
        ]))
    }

    fn diff(&self, wanted: &DesiredState) -> Result<Vec<Drift>, ExecutorError> {
        let mut drift = Vec::new();
        if !wanted.services.is_empty() {
            self.check_there()?;
        }
        for (name, service) in &wanted.services {
            let now = self.now(name)?;
            drift.extend(self.difference(name, service, &now, wanted));
        }
        let owned = self.ledger.entries().keys();
        let unwanted = owned.filter(|name| !wanted.services.contains_key(*name));
        drift.extend(unwanted.map(|name| Drift {
            part: PART,
            item: name.clone(),
            wanted: "as it was before".to_owned(),
            found: "as a former state has it".to_owned(),
        }));
        Ok(drift)
    }

    fn retire(
        &mut self,
        wanted: &DesiredState,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        let entries = self.ledger.entries().clone();
        let unwanted = entries.iter().filter(|(name, _)| !wanted.services.contains_key(*name));
        let mut outcome = Outcome::default();
        for (name, owned) in unwanted {
            self.check_there()?;
            progress.step(&format!("release {name}"));
            let now = self.now(name)?;
            if now.known {
                self.switch(name, &now, owned.ran, owned.enabled)?;
            }
            let failed = |why: io::Error| error(name, why);
            self.ledger
                .change(|entries| {
                    entries.remove(name);
                })
                .map_err(failed)?;
            outcome.changed.push(format!("services: {name} is as it was before"));
        }
        Ok(outcome)
    }

    fn establish(
        &mut self,
        wanted: &DesiredState,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        let mut outcome = Outcome::default();
        for (name, service) in &wanted.services {
            self.check_there()?;
            let now = self.now(name)?;
            let differs = self.difference(name, service, &now, wanted).is_some();
            if differs || now.changed || !self.ledger.entries().contains_key(name) {
                progress.step(&format!("{name}: {}", service.word()));
                self.set(name, service, wanted)?;
            }
            if differs {
                outcome.changed.push(format!("services: {name} is {}", service.word()));
            }
        }
        Ok(outcome)
    }
}
