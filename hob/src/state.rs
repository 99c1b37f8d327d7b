//! A node's state directory: where it is, who may use it, what is in it.
//!
//! | file | what |
//! |---|---|
//! | `identity.pem` | the key and certificate, 0600, made on first use |
//! | `lock` | held by the node that runs here |
//! | `sock` | the Unix socket on which the node listens for its own user |
//! | `store.redb` | the node's objects and what it exports, 0600 |
//! | `admin.cap` | the sturdyref of the node's admin object, 0600, while it runs |
//! | `boss.cap`, `hob.cap` | likewise, of a boss and of a machine's hob |

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ocapn::netlayers::unix::MAX_PATH_BYTES;
use tempfile::TempDir;

/// A new directory for as long as it is held, in which sockets with names of up to
/// `room` bytes can be made: those may not have long paths, as `$TMPDIR` may.
pub(crate) fn temporary(prefix: &str, room: usize) -> io::Result<TempDir> {
    const RANDOM: usize = 6;
    let mut parent = std::env::temp_dir();
    if parent.as_os_str().len() + prefix.len() + RANDOM + room + 2 > MAX_PATH_BYTES {
        parent = PathBuf::from("/tmp");
    }
    tempfile::Builder::new().prefix(prefix).rand_bytes(RANDOM).tempdir_in(parent)
}

/// Why a state directory can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// No directory was named and the environment names none.
    #[error("no state directory: neither --state, $XDG_STATE_HOME nor $HOME is set")]
    NoDefault,
    /// It can't be made, read or locked.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may write to it.
    #[error(
        "{path} has mode {mode:04o}: others could replace the keys in it",
        path = path.display()
    )]
    Mode {
        /// Which directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A node runs here already.
    #[error("a hob node{} runs in {path} already", holder(.process), path = path.display())]
    Locked {
        /// Which directory.
        path: PathBuf,
        /// What the holder wrote about itself: its process id.
        process: String,
    },
}

fn holder(process: &str) -> String {
    if process.is_empty() { String::new() } else { format!(" (process {process})") }
}

/// Where a node's files are.
#[derive(Clone, Debug)]
pub(crate) struct StateDir(PathBuf);

/// A state directory that this process runs a node in.
pub(crate) struct LockedState {
    dir: StateDir,
    _lock: File,
}

impl StateDir {
    /// The directory that the settings name: see [`Settings::state`].
    ///
    /// [`Settings::state`]: crate::config::Settings::state
    pub(crate) fn named(path: Option<PathBuf>) -> Result<Self, StateError> {
        path.map(Self).ok_or(StateError::NoDefault)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where the keys are: with the credentials that systemd passes on if they are among
    /// them, else here.
    pub(crate) fn keys(&self) -> PathBuf {
        let passed_on = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let passed_on = passed_on.filter(|directory| directory.join("identity.pem").is_file());
        passed_on.unwrap_or_else(|| self.0.clone())
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.0.join("store.redb")
    }

    /// The socket on which the node listens for its own user.
    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("sock")
    }

    pub(crate) fn admin_cap(&self) -> PathBuf {
        self.0.join("admin.cap")
    }

    /// Makes the directory if need be, mode 0700, and takes it for this process.
    pub(crate) fn lock(self) -> Result<LockedState, StateError> {
        let failed = |path: &Path, source| StateError::Io { path: path.to_owned(), source };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(|source| failed(&self.0, source))?;
        // Absolute, because peers dial the socket in it from elsewhere.
        let path = self.0.canonicalize();
        let path = path.map_err(|source| failed(&self.0, source))?;
        let metadata = path.metadata().map_err(|source| failed(&path, source))?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o022 != 0 {
            return Err(StateError::Mode { path, mode });
        }
        let name = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&name)
            .map_err(|source| failed(&name, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                // Only for the message: a number, or nothing if it can't be had.
                let _unread = lock.take(20).read_to_string(&mut process);
                process.retain(|c| c.is_ascii_digit());
                return Err(StateError::Locked { path, process });
            }
            Err(TryLockError::Error(source)) => return Err(failed(&name, source)),
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(|source| failed(&name, source))?;
        Ok(LockedState { dir: Self(path), _lock: lock })
    }
}

impl std::ops::Deref for LockedState {
    type Target = StateDir;

    fn deref(&self) -> &StateDir {
        &self.dir
    }
}
