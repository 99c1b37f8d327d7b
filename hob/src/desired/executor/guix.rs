//! Guix: one profile that hob owns, made from a manifest, or the whole system from its
//! declaration. Guix keeps generations of its own, and going back switches to them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::command::{Ran, Run};
use super::store::{self, Ledger};
use super::{Drift, Executor, ExecutorError, Facts, Outcome, Progress, checkpoint};
use crate::desired::machine::{DesiredState, Digest, Generation, GuixState};

/// The program that is run.
#[derive(Clone, Debug)]
pub(crate) struct GuixSettings {
    /// `guix`.
    pub(crate) guix: PathBuf,
    /// The system's profile.
    pub(crate) system_profile: PathBuf,
    /// How long one run may take before it is killed.
    pub(crate) timeout: Duration,
}

impl Default for GuixSettings {
    fn default() -> Self {
        Self {
            guix: super::command::find("guix")
                .unwrap_or_else(|| "/run/current-system/profile/bin/guix".into()),
            system_profile: "/var/guix/profiles/system".into(),
            timeout: Duration::from_secs(2 * 60 * 60),
        }
    }
}

/// The executor of Guix.
pub(crate) struct Guix {
    settings: GuixSettings,
    dir: PathBuf,
    ledger: Ledger<BTreeMap<String, Owned>>,
}

/// What is known of a profile that was made here: the key is its path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owned {
    /// Where the profile led before.
    former: Option<String>,
    /// From which text it was made, and where it led then: the last is the present one.
    made: Vec<(Digest, String)>,
}

/// So many of a profile's generations are remembered.
const REMEMBERED: usize = 10;

const PART: &str = "guix";

fn error(item: &str, why: impl std::fmt::Display) -> ExecutorError {
    ExecutorError::new(PART, item, why)
}

/// A profile and the text that it is to be made from.
struct Target<'a> {
    profile: String,
    text: &'a str,
    system: bool,
}

impl Guix {
    /// The executor, which remembers in that directory what it owns.
    ///
    /// # Errors
    ///
    /// If the directory can't be used.
    pub(crate) fn open(state: &Path, settings: GuixSettings) -> io::Result<Self> {
        let ledger = Ledger::open(state.join("guix.json"))?;
        Ok(Self { settings, dir: state.to_owned(), ledger })
    }

    fn run(&self, args: &[&str]) -> Result<Ran, ExecutorError> {
        let args = args.to_vec();
        let timeout = self.settings.timeout;
        let run = Run { program: &self.settings.guix, args, env: &[], timeout };
        run.run().map_err(|why| error("guix", why))
    }

    fn targets<'a>(&self, wanted: &'a Option<GuixState>) -> Vec<Target<'a>> {
        let Some(guix) = wanted else { return Vec::new() };
        let manifest = guix.manifest.as_deref().map(|text| Target {
            profile: guix.profile.clone(),
            text,
            system: false,
        });
        let profile = self.settings.system_profile.display().to_string();
        let system = guix.system.as_deref().map(|text| Target { profile, text, system: true });
        manifest.into_iter().chain(system).collect()
    }

    /// Whether a profile is what was made of that text, and nobody has changed it since.
    fn is_current(&self, target: &Target<'_>) -> bool {
        let made = self.ledger.entries().get(&target.profile).and_then(|owned| owned.made.last());
        made.is_some_and(|(digest, link)| {
            *digest == Digest::of(target.text.as_bytes())
                && leads(&target.profile).as_ref() == Some(link)
        })
    }

    /// Writes down where a profile led before anything is made.
    fn own(&mut self, profile: &str) -> Result<(), ExecutorError> {
        if self.ledger.entries().contains_key(profile) {
            return Ok(());
        }
        let owned = Owned { former: leads(profile), made: Vec::new() };
        let failed = |why: io::Error| error(profile, why);
        self.ledger
            .change(|entries| {
                entries.insert(profile.to_owned(), owned);
            })
            .map_err(failed)
    }

    fn make(&mut self, target: &Target<'_>) -> Result<(), ExecutorError> {
        let profile = &target.profile;
        let failed = |why: io::Error| error(profile, why);
        self.own(profile)?;
        let file = self.dir.join(if target.system { "system.scm" } else { "manifest.scm" });
        store::write(&file, target.text.as_bytes()).map_err(failed)?;
        checkpoint();
        let file = file.display().to_string();
        let option = format!("--profile={profile}");
        let manifest = format!("--manifest={file}");
        let ran = if target.system {
            self.run(&["system", "reconfigure", &file])?
        } else {
            self.run(&["package", &option, &manifest])?
        };
        checkpoint();
        if !ran.success() {
            return Err(error(profile, ran.why()));
        }
        self.remember(target)
    }

    fn remember(&mut self, target: &Target<'_>) -> Result<(), ExecutorError> {
        let profile = &target.profile;
        let link = leads(profile).ok_or_else(|| error(profile, "guix has made no profile"))?;
        let digest = Digest::of(target.text.as_bytes());
        let note = |entries: &mut BTreeMap<String, Owned>| {
            let made = &mut entries.entry(profile.clone()).or_default().made;
            made.retain(|(_, other)| *other != link);
            made.push((digest, link));
            let excess = made.len().saturating_sub(REMEMBERED);
            made.drain(..excess);
        };
        self.ledger.change(note).map_err(|why| error(profile, why))
    }

    /// Switches to a generation that Guix still has. Whether it could.
    fn switch(&mut self, profile: &str, link: &str) -> Result<bool, ExecutorError> {
        let Some(number) = number(link) else { return Ok(false) };
        let number = number.to_string();
        let system = Path::new(profile) == self.settings.system_profile;
        let option = format!("--profile={profile}");
        let generation = format!("--switch-generation={number}");
        checkpoint();
        let ran = if system {
            self.run(&["system", "switch-generation", &number])?
        } else {
            self.run(&["package", &option, &generation])?
        };
        checkpoint();
        Ok(ran.success())
    }
}

/// Where a profile leads: `NAME-12-link`.
fn leads(profile: &str) -> Option<String> {
    Some(fs::read_link(profile).ok()?.file_name()?.to_str()?.to_owned())
}

/// The number of a generation, from `NAME-12-link`.
fn number(link: &str) -> Option<u64> {
    link.strip_suffix("-link")?.rsplit('-').next()?.parse().ok()
}

impl Executor for Guix {
    fn facts(&self) -> Result<Facts, ExecutorError> {
        let mut facts = Facts::new();
        if !self.settings.guix.is_file() {
            facts.insert("guix.channels".to_owned(), "absent".to_owned());
            return Ok(facts);
        }
        let ran = self.run(&["describe", "-f", "json"])?;
        if !ran.success() {
            return Err(error("describe", ran.why()));
        }
        let channels: Vec<serde_json::Value> =
            serde_json::from_str(&ran.out).map_err(|why| error("describe", why))?;
        for channel in &channels {
            let text = |field: &str| channel.get(field).and_then(serde_json::Value::as_str);
            let (Some(name), Some(commit)) = (text("name"), text("commit")) else {
                return Err(error("describe", "a channel has no name or no commit"));
            };
            let url = text("url").unwrap_or_default();
            facts.insert(format!("guix.channels.{name}"), format!("{url} {commit}"));
        }
        Ok(facts)
    }

    fn diff(&self, wanted: &DesiredState) -> Result<Vec<Drift>, ExecutorError> {
        let targets = self.targets(&wanted.guix);
        let mut drift = Vec::new();
        for target in targets.iter().filter(|target| !self.is_current(target)) {
            drift.push(Drift {
                part: PART,
                item: target.profile.clone(),
                wanted: "made from the state's text".to_owned(),
                found: leads(&target.profile).unwrap_or_else(|| "absent".to_owned()),
            });
        }
        for profile in self.ledger.entries().keys() {
            if !targets.iter().any(|target| target.profile == *profile) {
                drift.push(Drift {
                    part: PART,
                    item: profile.clone(),
                    wanted: "as it was before".to_owned(),
                    found: leads(profile).unwrap_or_else(|| "absent".to_owned()),
                });
            }
        }
        Ok(drift)
    }

    fn retire(
        &mut self,
        wanted: &DesiredState,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        let targets = self.targets(&wanted.guix);
        let entries = self.ledger.entries().clone();
        let mut outcome = Outcome::default();
        for (profile, owned) in &entries {
            if targets.iter().any(|target| target.profile == *profile) {
                continue;
            }
            progress.step(&format!("release {profile}"));
            // A profile that was not there before goes to its empty generation, 0.
            let former = owned.former.clone().unwrap_or_else(|| "profile-0-link".to_owned());
            let now = leads(profile).and_then(|link| number(&link));
            let there = now == number(&former) || (now.is_none() && owned.former.is_none());
            if !there && !self.switch(profile, &former)? {
                return Err(error(profile, format_args!("guix can't go back to {former}")));
            }
            let failed = |why: io::Error| error(profile, why);
            self.ledger
                .change(|entries| {
                    entries.remove(profile);
                })
                .map_err(failed)?;
            outcome.changed.push(format!("guix: {profile} is as it was before"));
        }
        Ok(outcome)
    }

    fn establish(
        &mut self,
        wanted: &DesiredState,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        let mut outcome = Outcome::default();
        for target in self.targets(&wanted.guix) {
            if !self.is_current(&target) {
                progress.step(&format!("make {}", target.profile));
                self.make(&target)?;
                outcome.changed.push(format!("guix: made {}", target.profile));
            }
        }
        Ok(outcome)
    }

    fn rollback(
        &mut self,
        generation: &Generation,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        let mut outcome = Outcome::default();
        for target in self.targets(&generation.state.guix) {
            if self.is_current(&target) {
                continue;
            }
            let digest = Digest::of(target.text.as_bytes());
            let made = self.ledger.entries().get(&target.profile);
            let made = made.and_then(|owned| owned.made.iter().rev().find(|made| made.0 == digest));
            let Some((_, link)) = made.cloned() else { continue };
            progress.step(&format!("switch {} to {link}", target.profile));
            if self.switch(&target.profile, &link)? {
                self.remember(&target)?;
                outcome.changed.push(format!("guix: switched {} to {link}", target.profile));
            }
        }
        // Whatever Guix no longer has is made anew.
        outcome.changed.append(&mut self.apply(&generation.state, progress)?.changed);
        Ok(outcome)
    }
}
