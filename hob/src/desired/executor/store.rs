//! Files that must outlive a crash: whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::checkpoint;

/// Makes a directory for nobody else, and those above it.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Replaces a file, or makes it, mode 0600: after a crash it has the former content or
/// the new one, and after the return the new one.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let new = path.with_extension("new");
    // What a crash has left may have another mode.
    remove(&new)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    checkpoint();
    fs::rename(&new, path)?;
    checkpoint();
    File::open(parent)?.sync_all()
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What is in a file. `None`: there is none.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a part of the executor owns, written down in a file.
#[derive(Debug)]
pub(crate) struct Ledger<T> {
    path: PathBuf,
    entries: T,
}

impl<T: Serialize + DeserializeOwned + Default + Clone> Ledger<T> {
    /// The ledger in that file, which need not be there yet.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            private_dir(parent)?;
        }
        let entries = match read(&path)? {
            Some(text) => serde_json::from_slice(&text).map_err(|error| {
                io::Error::other(format!("{} is damaged: {error}", path.display()))
            })?,
            None => T::default(),
        };
        Ok(Self { path, entries })
    }

    /// What is owned.
    pub(crate) const fn entries(&self) -> &T {
        &self.entries
    }

    /// Changes what is owned. It is on disk when this returns, or unchanged.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut T)) -> io::Result<()> {
        let mut next = self.entries.clone();
        change(&mut next);
        let text = serde_json::to_vec_pretty(&next).map_err(io::Error::other)?;
        write(&self.path, &text)?;
        self.entries = next;
        Ok(())
    }
}
