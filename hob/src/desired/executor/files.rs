//! Files: written whole or not at all, with mode and owner, and what was there before is
//! kept and put back when the file is no longer wanted.
//!
//! All paths are below a root, which is `/` except in tests. No directory on the way may
//! be a symbolic link: whoever may write to one of them could otherwise have hob write
//! wherever he likes.

mod place;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use rustix::process::{getegid, geteuid};
use serde::{Deserialize, Serialize};

use super::store::{self, Ledger};
use super::{Drift, Executor, ExecutorError, Facts, Outcome, Progress, checkpoint};
use crate::desired::machine::{DesiredState, Digest, FileState};
use place::{Found, Place, Root};

/// Where files are, and how much is kept of former ones.
#[derive(Clone, Debug)]
pub(crate) struct FilesSettings {
    /// Below which directory all paths are.
    pub(crate) root: PathBuf,
    /// Larger files than this, in bytes, are not replaced, since what was there could not
    /// be put back.
    pub(crate) max_former_bytes: u64,
}

impl Default for FilesSettings {
    fn default() -> Self {
        Self { root: "/".into(), max_former_bytes: 64 << 20 }
    }
}

/// The executor of files.
pub(crate) struct Files {
    root: Root,
    settings: FilesSettings,
    ledger: Ledger<BTreeMap<String, Owned>>,
    /// The contents that files had before, by their digests.
    former: PathBuf,
}

/// What is known of a file that was made here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owned {
    /// What was there before.
    former: Former,
    /// The directories that were made for it, the outermost first.
    made: Vec<String>,
}

/// What was somewhere before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Former {
    Nothing,
    File { digest: Digest, mode: u32, uid: u32, gid: u32 },
    Link { target: String },
}

const PART: &str = "files";

fn error(path: &str, why: impl std::fmt::Display) -> ExecutorError {
    ExecutorError::new(PART, path, why)
}

impl Files {
    /// The executor, which remembers in that directory what it owns.
    ///
    /// # Errors
    ///
    /// If the directory can't be used.
    pub(crate) fn open(state: &std::path::Path, settings: FilesSettings) -> io::Result<Self> {
        let former = state.join("former");
        store::private_dir(&former)?;
        let ledger = Ledger::open(state.join("files.json"))?;
        Ok(Self { root: Root::new(settings.root.clone()), settings, ledger, former })
    }

    /// Who is to own a file: the numbers.
    fn account(&self, path: &str, file: &FileState) -> Result<(u32, u32), ExecutorError> {
        let number = |list: &str, name: &Option<String>, own: u32| match name {
            None => Ok(own),
            Some(name) => match name.parse() {
                Ok(number) => Ok(number),
                Err(_) => self.look_up(list, name).map_err(|why| error(path, why)),
            },
        };
        let uid = number("passwd", &file.owner, geteuid().as_raw())?;
        let gid = number("group", &file.group, getegid().as_raw())?;
        Ok((uid, gid))
    }

    fn look_up(&self, list: &str, name: &str) -> Result<u32, String> {
        let text = fs::read_to_string(self.settings.root.join("etc").join(list));
        let text = text.map_err(|error| format!("/etc/{list}: {error}"))?;
        let number = text.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
        });
        number.ok_or_else(|| format!("{name:?} is not in /etc/{list}"))
    }

    /// In what the file there differs from what it is to be.
    fn difference(&self, path: &str, file: &FileState) -> Result<Option<Drift>, ExecutorError> {
        let (uid, gid) = self.account(path, file)?;
        let place = self.root.find(path).map_err(|why| error(path, why))?;
        let found = place.map_or(Ok(Found::Nothing), |place| place.look());
        let (wanted, found) = match found.map_err(|why| error(path, why))? {
            Found::File { content, mode, uid: is_uid, gid: is_gid } => {
                // A file that is too large to be compared differs.
                let content = content.read(file.content.0.len() as u64 + 1);
                if content.map_err(|why| error(path, why))? != file.content.0 {
                    ("the content of the state".to_owned(), "another content".to_owned())
                } else if mode != file.mode {
                    (format!("mode {:04o}", file.mode), format!("mode {mode:04o}"))
                } else if (is_uid, is_gid) != (uid, gid) {
                    (format!("owner {uid}:{gid}"), format!("owner {is_uid}:{is_gid}"))
                } else {
                    return Ok(None);
                }
            }
            other => ("a file".to_owned(), other.what().to_owned()),
        };
        Ok(Some(Drift { part: PART, item: path.to_owned(), wanted, found }))
    }

    /// Writes down that a file is ours from now on, and keeps what was there.
    fn own(&mut self, path: &str) -> Result<(), ExecutorError> {
        if self.ledger.entries().contains_key(path) {
            return Ok(());
        }
        let failed = |why: io::Error| error(path, why);
        let place = self.root.find(path).map_err(failed)?;
        let found = place.as_ref().map_or(Ok(Found::Nothing), Place::look).map_err(failed)?;
        let former = match found {
            Found::Nothing => Former::Nothing,
            Found::Link { target } => Former::Link { target },
            Found::File { content, mode, uid, gid } => {
                let limit = self.settings.max_former_bytes;
                let content = content.read(limit.saturating_add(1)).map_err(failed)?;
                if content.len() as u64 > limit {
                    let why = format!("is over {limit} bytes: too large to be kept for going back");
                    return Err(error(path, why));
                }
                let digest = Digest::of(&content);
                store::write(&self.former.join(digest.to_string()), &content).map_err(failed)?;
                Former::File { digest, mode, uid, gid }
            }
            Found::Other(what) => return Err(error(path, format_args!("{what} is there"))),
        };
        let made = self.root.missing(path).map_err(failed)?;
        let owned = Owned { former, made };
        checkpoint();
        self.ledger
            .change(|entries| {
                entries.insert(path.to_owned(), owned);
            })
            .map_err(failed)
    }

    fn write(&self, path: &str, file: &FileState) -> Result<(), ExecutorError> {
        let (uid, gid) = self.account(path, file)?;
        checkpoint();
        let place = self.root.make(path).map_err(|why| error(path, why))?;
        checkpoint();
        let written = place.write(&file.content.0, file.mode, uid, gid);
        written.map_err(|why| error(path, why))
    }

    /// Puts back what was there before.
    fn restore(&mut self, path: &str, owned: &Owned) -> Result<(), ExecutorError> {
        let failed = |why: io::Error| error(path, why);
        match &owned.former {
            Former::Nothing => {
                if let Some(place) = self.root.find(path).map_err(failed)? {
                    place.remove().map_err(failed)?;
                }
            }
            Former::Link { target } => {
                self.root.make(path).and_then(|place| place.link(target)).map_err(failed)?;
            }
            Former::File { digest, mode, uid, gid } => {
                let kept = store::read(&self.former.join(digest.to_string())).map_err(failed)?;
                let content = kept.ok_or_else(|| error(path, "what was there before is lost"))?;
                let place = self.root.make(path).map_err(failed)?;
                place.write(&content, *mode, *uid, *gid).map_err(failed)?;
            }
        }
        checkpoint();
        for made in owned.made.iter().rev() {
            self.root.remove_dir(made).map_err(failed)?;
        }
        checkpoint();
        self.ledger
            .change(|entries| {
                entries.remove(path);
            })
            .map_err(failed)?;
        let Former::File { digest, .. } = &owned.former else { return Ok(()) };
        let kept_for = |other: &Owned| matches!(&other.former, Former::File { digest: same, .. } if same == digest);
        if self.ledger.entries().values().any(kept_for) {
            return Ok(());
        }
        store::remove(&self.former.join(digest.to_string())).map_err(failed)
    }
}

impl Executor for Files {
    fn facts(&self) -> Result<Facts, ExecutorError> {
        let count = self.ledger.entries().len();
        Ok(Facts::from([("files.owned".to_owned(), count.to_string())]))
    }

    fn diff(&self, wanted: &DesiredState) -> Result<Vec<Drift>, ExecutorError> {
        let mut drift = Vec::new();
        for (path, file) in &wanted.files {
            drift.extend(self.difference(path, file)?);
        }
        let unwanted =
            self.ledger.entries().keys().filter(|path| !wanted.files.contains_key(*path));
        drift.extend(unwanted.map(|path| Drift {
            part: PART,
            item: path.clone(),
            wanted: "what was there before".to_owned(),
            found: "a file of a former state".to_owned(),
        }));
        Ok(drift)
    }

    fn retire(
        &mut self,
        wanted: &DesiredState,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        let entries = self.ledger.entries().clone();
        let mut outcome = Outcome::default();
        for (path, owned) in entries.iter().filter(|(path, _)| !wanted.files.contains_key(*path)) {
            progress.step(&format!("restore {path}"));
            self.restore(path, owned)?;
            outcome.changed.push(format!("files: restored {path}"));
        }
        Ok(outcome)
    }

    fn establish(
        &mut self,
        wanted: &DesiredState,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        let mut outcome = Outcome::default();
        for (path, file) in &wanted.files {
            self.own(path)?;
            if self.difference(path, file)?.is_some() {
                progress.step(&format!("write {path}"));
                self.write(path, file)?;
                outcome.changed.push(format!("files: wrote {path}"));
            }
        }
        Ok(outcome)
    }
}
