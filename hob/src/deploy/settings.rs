//! What an agent may do, and how much of it: the service's settings.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::desired::limits::Limits;
use crate::desired::machine::DesiredState;
use crate::services::text::{Period, Size};

/// The settings of a deploy agent, as in its service's definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Settings {
    /// Below which directory all files go.
    pub(crate) root: PathBuf,
    /// What may be deployed.
    pub(crate) parts: Vec<Part>,
    /// How long who deploys has to confirm, where nothing else is asked for.
    pub(crate) confirm_within: Period,
    /// How long may be asked for.
    pub(crate) confirm_within_most: Period,
    /// How long a deployment that has not been applied waits for the next message.
    pub(crate) idle: Period,
    /// Packages, files and services of one deployment, together.
    pub(crate) entries: usize,
    /// Bytes of the state itself, with the contents that are a part of it.
    pub(crate) state_size: Size,
    /// Bytes of one file.
    pub(crate) file_size: Size,
    /// Bytes of all files that are sent apart.
    pub(crate) total_size: Size,
    /// Bytes of one chunk.
    pub(crate) chunk_size: Size,
    /// How many confirmed deployments are kept, with their contents.
    pub(crate) keep: usize,
}

/// A part of a machine's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    /// Files, links and directories.
    Files,
    /// Packages of apt.
    Packages,
    /// Services of systemd.
    Services,
    /// A Guix profile, or the Guix system.
    Guix,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            root: "/".into(),
            parts: vec![Part::Files, Part::Packages, Part::Services, Part::Guix],
            confirm_within: Period(Duration::from_secs(2 * 60)),
            confirm_within_most: Period(Duration::from_secs(60 * 60)),
            idle: Period(Duration::from_secs(60)),
            entries: 20_000,
            state_size: Size(8 << 20),
            file_size: Size(1 << 30),
            total_size: Size(4 << 30),
            chunk_size: Size(1 << 20),
            keep: 3,
        }
    }
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub(crate) fn of(table: &serde_json::Map<String, serde_json::Value>) -> Result<Self, String> {
        let settings: Self = serde_json::from_value(table.clone().into())
            .map_err(|error| format!("settings: {error}"))?;
        if settings.root.is_relative() {
            return Err("settings: root is not absolute".to_owned());
        }
        if settings.confirm_within > settings.confirm_within_most {
            return Err("settings: confirm-within is over confirm-within-most".to_owned());
        }
        let zero = [
            ("confirm-within", settings.confirm_within.0.is_zero()),
            ("idle", settings.idle.0.is_zero()),
            ("keep", settings.keep == 0),
            ("state-size", settings.state_size.0 == 0),
            ("file-size", settings.file_size.0 == 0),
            ("chunk-size", settings.chunk_size.0 == 0),
        ];
        match zero.iter().find(|(_, zero)| *zero) {
            Some((name, _)) => Err(format!("settings: {name} is 0: nothing could be deployed")),
            None => Ok(settings),
        }
    }

    /// What a state may be.
    pub(super) fn limits(&self) -> Limits {
        let state = usize::try_from(self.state_size.0).unwrap_or(usize::MAX);
        Limits {
            items: self.entries,
            file_bytes: state,
            state_bytes: state,
            object_bytes: self.file_size.0,
            objects_bytes: self.total_size.0,
            ..Limits::default()
        }
    }

    /// Whether all that a state wants can be deployed here.
    ///
    /// # Errors
    ///
    /// What can't.
    pub(super) fn check(&self, state: &DesiredState) -> Result<(), String> {
        let wanted = [
            (Part::Files, "files", !state.files.is_empty()),
            (Part::Packages, "packages", !state.packages.is_empty()),
            (Part::Services, "services", !state.services.is_empty()),
            (Part::Guix, "guix", state.guix.is_some()),
        ];
        for (part, name, wanted) in wanted {
            if wanted && !self.parts.contains(&part) {
                return Err(format!("{name}: this agent deploys none"));
            }
        }
        if state.forwards.is_empty() {
            return Ok(());
        }
        Err("forwards: those are for machines of a fleet".to_owned())
    }
}
