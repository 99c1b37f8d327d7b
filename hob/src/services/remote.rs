//! Which service of another machine a definition means: by a capability, in a file or as
//! it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ocapn::persist::Backoff;
use ocapn::{Lasting, LastingLimits, Node, Promise, Ref, Sturdyref, Vat};
use serde::{Deserialize, Serialize};

use super::text::Period;
use crate::capfile;

/// How long another machine that is away is left alone at most before it is tried again.
const REDIAL: Duration = Duration::from_secs(5);

/// A service of another machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "Table")]
pub(crate) struct Remote {
    pub(crate) cap: Cap,
    /// What it is called there, if the capability is to more than one.
    pub(crate) service: Option<String>,
    /// How long an order waits for a machine that can't be reached.
    pub(crate) patience: Period,
}

/// A capability. What is shown of it in logs is no secret.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cap {
    /// In a file that is to be read.
    File(PathBuf),
    It(Box<Sturdyref>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "the file of a capability, or a table of cap, service and patience")]
enum Text {
    Cap(String),
    How(Table),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    cap: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(default = "patience")]
    patience: Period,
}

const fn patience() -> Period {
    Period(Duration::from_secs(10))
}

impl TryFrom<Text> for Remote {
    type Error = String;

    fn try_from(text: Text) -> Result<Self, String> {
        let Table { cap, service, patience } = match text {
            Text::Cap(cap) => Table { cap, service: None, patience: patience() },
            Text::How(table) => table,
        };
        let cap = if cap.starts_with("ocapn:") {
            Cap::It(Box::new(capfile::parse(&cap).map_err(|why| why.to_string())?))
        } else if cap.is_empty() {
            return Err("the file of a capability is missing".to_owned());
        } else {
            Cap::File(cap.into())
        };
        Ok(Self { cap, service, patience })
    }
}

impl From<Remote> for Table {
    fn from(remote: Remote) -> Self {
        let cap = match remote.cap {
            Cap::File(path) => path.display().to_string(),
            Cap::It(sturdyref) => sturdyref.reveal_uri(),
        };
        Self { cap, service: remote.service, patience: remote.patience }
    }
}

impl Remote {
    /// The name of the capability's file without its ending, if it is in one.
    pub(crate) fn file_stem(&self) -> Option<String> {
        let Cap::File(path) = &self.cap else { return None };
        Some(path.file_stem()?.to_str()?.to_owned())
    }

    /// Reads the capability, if it is in a file: one named from the directory given.
    pub(crate) fn read(&mut self, directory: &Path) -> Result<(), String> {
        if let Cap::File(path) = &self.cap {
            let read = capfile::read(&directory.join(path)).map_err(|error| error.to_string())?;
            self.cap = Cap::It(Box::new(read));
        }
        Ok(())
    }

    /// The capability, once it is read.
    pub(crate) fn sturdyref(&self) -> Option<&Sturdyref> {
        match &self.cap {
            Cap::File(_) => None,
            Cap::It(sturdyref) => Some(sturdyref),
        }
    }

    /// What stands for the service in a vat of the node, and heals when its machine is back.
    pub(crate) fn stand_in(&self, node: &Node, vat: &Vat) -> Ref {
        let Some(sturdyref) = self.sturdyref() else {
            // Definitions that are in use have been read.
            return Promise::settled(Err("its capability was not read".into())).into_ref();
        };
        let backoff = Backoff::default().most(REDIAL);
        let limits = LastingLimits::default().patience(self.patience.0).backoff(backoff);
        vat.spawn(Lasting::new(node, sturdyref.clone()).with_limits(limits))
    }
}
