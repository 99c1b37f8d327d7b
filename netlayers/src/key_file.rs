//! Files that keep a private key.
//!
//! A file is written elsewhere first and then linked into place, which only the first
//! of several processes can do; the others read what that one wrote. An existing file is
//! never written to.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// More than any key and certificate need.
const MAX_FILE_BYTES: u64 = 128 * 1024;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The file or directory can't be read or made.
    #[error("{path:?}: {source}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner may read or write the key file.
    #[error("{path:?} has mode {mode:04o}, so others may use the key: chmod 600 it")]
    FileMode {
        /// Which one.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Others than the owner may write to the directory, and so replace the key.
    #[error("{path:?} has mode {mode:04o}, so others may replace the key in it: chmod 700 it")]
    DirectoryMode {
        /// Which one.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds no key and certificate. It is left as it is.
    #[error("{path:?} is no identity: {reason}")]
    Corrupt {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The text holds no key and certificate.
    #[error("this is no identity: {0}")]
    BadPem(String),
    /// A key could not be made.
    #[error("can't make a key: {0}")]
    Generate(String),
}

/// What `parse` makes of the file `name` in `directory`; if there is none it is made of
/// what `generate` gives, and the directory too. Blocks on the file system.
pub(crate) fn load_or_create<T>(
    directory: &Path,
    name: &str,
    generate: impl FnOnce() -> Result<Zeroizing<String>, IdentityError>,
    parse: impl Fn(&[u8]) -> Result<T, String>,
) -> Result<T, IdentityError> {
    make_private_directory(directory)?;
    let path = directory.join(name);
    if let Some(found) = load(&path, &parse)? {
        return Ok(found);
    }
    write_once(directory, name, generate()?.as_bytes())?;
    load(&path, &parse)?
        .ok_or_else(|| IdentityError::Io { path, source: io::ErrorKind::NotFound.into() })
}

fn load<T>(
    path: &Path,
    parse: impl Fn(&[u8]) -> Result<T, String>,
) -> Result<Option<T>, IdentityError> {
    let failed = |source| IdentityError::Io { path: path.to_owned(), source };
    let corrupt = |reason: String| IdentityError::Corrupt { path: path.to_owned(), reason };
    // Looked at before opening, for opening a pipe would wait for its writer.
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A link to nowhere is a mistake to be told, not a place to write to.
            return match path.symlink_metadata() {
                Ok(_) => Err(failed(error)),
                Err(_) => Ok(None),
            };
        }
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.is_file() => {
            return Err(corrupt("it is not a regular file".into()));
        }
        Ok(_) => {}
    }
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::FileMode { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(Vec::new());
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(corrupt(format!("it has more than {MAX_FILE_BYTES} bytes")));
    }
    parse(&text).map(Some).map_err(corrupt)
}

fn make_private_directory(path: &Path) -> Result<(), IdentityError> {
    let failed = |source| IdentityError::Io { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let mode = path.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(IdentityError::DirectoryMode { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Puts a complete file into `directory`, unless another process did so first.
fn write_once(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), IdentityError> {
    let path = directory.join(name);
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| IdentityError::Generate(error.to_string()))?;
    let draft = directory.join(format!(".{name}.{:016x}", u64::from_ne_bytes(random)));
    let outcome =
        write_draft(&draft, bytes).and_then(|()| match std::fs::hard_link(&draft, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
    let _gone_or_harmless = std::fs::remove_file(&draft);
    outcome
        .and_then(|()| File::open(directory)?.sync_all())
        .map_err(|source| IdentityError::Io { path, source })
}

fn write_draft(draft: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(bytes)?;
    file.sync_all()
}
