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
use std::path::{Path, PathBuf};

use rustix::process::{getegid, geteuid};
use serde::{Deserialize, Serialize};

use super::store::{self, Ledger};
use super::{Drift, Executor, ExecutorError, Facts, Outcome, Progress, checkpoint};
use crate::desired::machine::{Content, DesiredState, Digest, FileState};
use place::{Found, Place, Root};

/// Where files are, and how much is kept of former ones.
#[derive(Clone, Debug)]
pub(crate) struct FilesSettings {
    /// Below which directory all paths are.
    pub(crate) root: PathBuf,
    /// Larger files than this, in bytes, are not replaced, since what was there could not
    /// be put back.
    pub(crate) max_former_bytes: u64,
    /// Where the contents are that are no part of a state, by their digests.
    pub(crate) objects: Option<PathBuf>,
}

impl Default for FilesSettings {
    fn default() -> Self {
        Self { root: "/".into(), max_former_bytes: 64 << 20, objects: None }
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
    Directory { mode: u32, uid: u32, gid: u32 },
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
    pub(crate) fn open(state: &Path, settings: FilesSettings) -> io::Result<Self> {
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
        let found = found.map_err(|why| error(path, why))?;
        let what = found.what();
        let (mode, owner) = match (&file.content, found) {
            (Content::Link(wanted), Found::Link { target }) => {
                let differs = (*wanted != target)
                    .then(|| (format!("a link to {wanted}"), format!("a link to {target}")));
                return Ok(differs.map(|(wanted, found)| drift(path, wanted, found)));
            }
            (Content::Directory, Found::Directory { mode, uid, gid }) => (mode, (uid, gid)),
            (
                Content::Bytes(_) | Content::Object { .. },
                Found::File { content, mode, uid, gid },
            ) => {
                if !Self::has(content, &file.content).map_err(|why| error(path, why))? {
                    let (wanted, found) = ("the content of the state", "another content");
                    return Ok(Some(drift(path, wanted.to_owned(), found.to_owned())));
                }
                (mode, (uid, gid))
            }
            (wanted, _) => {
                let wanted = match wanted {
                    Content::Link(_) => "a symbolic link",
                    Content::Directory => "a directory",
                    Content::Bytes(_) | Content::Object { .. } => "a file",
                };
                return Ok(Some(drift(path, wanted.to_owned(), what.to_owned())));
            }
        };
        Ok(if mode != file.mode {
            Some(drift(path, format!("mode {:04o}", file.mode), format!("mode {mode:04o}")))
        } else if owner != (uid, gid) {
            let (is_uid, is_gid) = owner;
            Some(drift(path, format!("owner {uid}:{gid}"), format!("owner {is_uid}:{is_gid}")))
        } else {
            None
        })
    }

    /// Whether that is the content of a file.
    fn has(found: place::Content, wanted: &Content) -> io::Result<bool> {
        match wanted {
            Content::Object { digest, size } => found.is(digest, *size),
            // A file that is too large to be compared differs.
            wanted => Ok(found.read(wanted.bytes().len() as u64 + 1)? == wanted.bytes()),
        }
    }

    /// Writes down that files are ours from now on, and keeps what was there.
    fn own<'a>(
        &mut self,
        files: impl Iterator<Item = (&'a String, &'a FileState)>,
    ) -> Result<(), ExecutorError> {
        let mut new = BTreeMap::new();
        for (path, file) in files {
            if !self.ledger.entries().contains_key(path) {
                new.insert(path.clone(), self.take_over(path, file)?);
            }
        }
        let Some((first, _)) = new.first_key_value() else { return Ok(()) };
        let first = first.clone();
        checkpoint();
        self.ledger.change(|entries| entries.extend(new)).map_err(|why| error(&first, why))
    }

    /// Keeps what is somewhere, which will be a file of ours.
    fn take_over(&self, path: &str, file: &FileState) -> Result<Owned, ExecutorError> {
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
            Found::Directory { mode, uid, gid } if file.content == Content::Directory => {
                Former::Directory { mode, uid, gid }
            }
            other => return Err(error(path, format_args!("{} is there", other.what()))),
        };
        let made = self.root.missing(path).map_err(failed)?;
        Ok(Owned { former, made })
    }

    fn write(&self, path: &str, file: &FileState) -> Result<(), ExecutorError> {
        let (uid, gid) = self.account(path, file)?;
        checkpoint();
        let place = self.root.make(path).map_err(|why| error(path, why))?;
        checkpoint();
        let written = match &file.content {
            Content::Bytes(bytes) => place.write(bytes, file.mode, uid, gid),
            Content::Link(target) => place.link(target),
            Content::Directory => place.directory(file.mode, uid, gid),
            Content::Object { digest, size } => {
                let objects = self.settings.objects.as_ref();
                let objects = objects.ok_or_else(|| error(path, "no contents are kept here"))?;
                let from = objects.join(digest.to_string());
                place.copy(&from, (*digest, *size), file.mode, (uid, gid))
            }
        };
        written.map_err(|why| error(path, why))
    }

    /// Puts back what was there before.
    fn restore(&self, path: &str, owned: &Owned) -> Result<(), ExecutorError> {
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
            Former::Directory { mode, uid, gid } => {
                let place = self.root.make(path).map_err(failed)?;
                place.directory(*mode, *uid, *gid).map_err(failed)?;
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
        Ok(())
    }

    /// Forgets files that are as they were before.
    fn disown(&mut self, restored: &BTreeMap<String, Owned>) -> Result<(), ExecutorError> {
        let Some((first, _)) = restored.first_key_value() else { return Ok(()) };
        let failed = |why: io::Error| error(first, why);
        let change = |entries: &mut BTreeMap<String, Owned>| {
            entries.retain(|path, _| !restored.contains_key(path));
            for directory in restored.values().flat_map(|owned| &owned.made) {
                // One that is not empty yet goes with what is still in it.
                let below = format!("{directory}/");
                let other = entries.iter_mut().find(|(path, _)| path.starts_with(&below));
                if let Some((_, other)) = other
                    && !other.made.contains(directory)
                {
                    other.made.push(directory.clone());
                    other.made.sort();
                }
            }
        };
        self.ledger.change(change).map_err(failed)?;
        for owned in restored.values() {
            let Former::File { digest, .. } = &owned.former else { continue };
            let kept_for = |other: &Owned| matches!(&other.former, Former::File { digest: same, .. } if same == digest);
            if !self.ledger.entries().values().any(kept_for) {
                store::remove(&self.former.join(digest.to_string())).map_err(failed)?;
            }
        }
        Ok(())
    }
}

fn drift(path: &str, wanted: String, found: String) -> Drift {
    Drift { part: PART, item: path.to_owned(), wanted, found }
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
        let mut unwanted = self.ledger.entries().clone();
        unwanted.retain(|path, _| !wanted.files.contains_key(path));
        let mut outcome = Outcome::default();
        // What is in a directory before the directory.
        for (path, owned) in unwanted.iter().rev() {
            progress.step(&format!("restore {path}"));
            self.restore(path, owned)?;
            outcome.changed.push(format!("files: restored {path}"));
        }
        self.disown(&unwanted)?;
        Ok(outcome)
    }

    fn establish(
        &mut self,
        wanted: &DesiredState,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        let mut outcome = Outcome::default();
        self.own(wanted.files.iter())?;
        for (path, file) in &wanted.files {
            if self.difference(path, file)?.is_some() {
                progress.step(&format!("write {path}"));
                self.write(path, file)?;
                outcome.changed.push(format!("files: wrote {path}"));
            } else if let Some(place) = self.root.find(path).map_err(|why| error(path, why))? {
                place.tidy().map_err(|why| error(path, why))?;
            }
        }
        Ok(outcome)
    }
}
