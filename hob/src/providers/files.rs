//! What a provider writes down: small files, of its own user only, there as a whole or
//! not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ProviderError;

/// What the system said about a file.
pub(super) fn failed(path: &Path, error: &io::Error) -> ProviderError {
    ProviderError::temporary(format!("{}: {error}", path.display()))
}

/// Takes it for done if there was nothing to do it to.
pub(super) fn absent_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Writes a file, mode 0600, so that it survives a crash as it was or as it will be.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), ProviderError> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = Path::new(&draft);
    let written = || {
        absent_is_fine(std::fs::remove_file(draft))?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(draft, path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    written().map_err(|error| failed(path, &error))
}

/// Writes a value.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ProviderError> {
    let text = serde_json::to_vec(value);
    let text = text.map_err(|error| failed(path, &io::Error::other(error)))?;
    write(path, &text)
}

/// Reads a value; nothing if there is no such file.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ProviderError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, &error)),
    };
    let value = serde_json::from_slice(&bytes);
    value.map(Some).map_err(|error| {
        ProviderError::lasting(format!("{} is not what was written: {error}", path.display()))
    })
}

/// Takes a lock; a thread that panicked with it has left nothing half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
