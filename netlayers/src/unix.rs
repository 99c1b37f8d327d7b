//! `unix`: a Unix-domain socket at a path, for peers on the same machine.
//!
//! Hint `path`, absolute. The designator is the lowercase unpadded base32 of the path's
//! SHA-256: it needs no state, and the dialling end can check it. What it says is "the
//! peer that listens at this path", proven as far as the file system is: who may write
//! to the directory may replace the socket, so put it in one that only its owner may
//! write to. Both ends also learn from the kernel which user the other one is, and
//! hang up on users that are not [allowed](UnixOptions::allowed_users).
//!
//! The dialling end proves no designator, only its user ([`Channel::credentials`]).
//!
//! A lock file beside the socket (its name plus `.lock`) tells a living listener from one
//! that was killed and left its socket behind. It stays when the listener goes: removing
//! lock files is how two processes come to hold the same lock.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{
    FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use captp::locator::PeerLocator;
use sha2::{Digest as _, Sha256};
use tokio::net::{UnixListener, UnixStream};

use crate::acceptor::{Acceptor, Listen, dials_and_accepts};
use crate::error::{BadLocator, BindError, ConnectError};
use crate::framing;
use crate::netlayer::{
    Authentication, Channel, Credentials, Direction, Guarantees, Netlayer, OnStranger, Stranger,
};
use crate::settings::Settings;
use crate::tcp::expect_transport;

/// The transport of `unix` locators.
pub const TRANSPORT: &str = "unix";

/// Bytes that a socket's path may have on Linux, its final zero not counted.
pub const MAX_PATH_BYTES: usize = 107;

/// How long to wait before dialling a listener again whose queue is full.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(10);

/// How a `unix` netlayer is set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnixOptions {
    /// Users that may be at the other end, by number. `None`: our own and root.
    pub allowed_users: Option<BTreeSet<u32>>,
    /// Deadlines and limits.
    pub settings: Settings,
}

/// The designator of the peer that listens at this path.
#[must_use]
pub fn designator_of(path: &str) -> String {
    let alphabet = base32::Alphabet::Rfc4648Lower { padding: false };
    base32::encode(alphabet, &Sha256::digest(path))
}

/// The `unix` netlayer.
#[derive(Debug)]
pub struct Unix {
    location: PeerLocator,
    settings: Settings,
    users: Users,
    strangers: Arc<Strangers>,
    acceptor: Acceptor,
}

impl Unix {
    /// Listens at `path`, which is made with mode 0600 and must be absolute; its
    /// directory must exist, and symbolic links in that are resolved. A socket that
    /// nobody listens on is replaced. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`BindError`] if the path is too long or not absolute UTF-8, if something other
    /// than a socket is there, if somebody listens there, or if the system refuses.
    pub async fn bind(path: impl AsRef<Path>, options: UnixOptions) -> Result<Self, BindError> {
        let path = resolve(path.as_ref())?;
        let text = path.to_str().ok_or_else(|| BindError::BadPath(path.clone()))?.to_owned();
        let refused = |source| BindError::Address { address: text.clone(), source };
        let users = Users::new(options.allowed_users).map_err(refused)?;
        let listen = SocketFile::bind(path.clone(), &text).await?;
        let location =
            PeerLocator::new(TRANSPORT, designator_of(&text)).with_hint("path", text.clone());
        let settings = options.settings;
        let (allowed, framing) = (users.clone(), settings.clone());
        let strangers = Arc::<Strangers>::default();
        let turned_away = Arc::clone(&strangers);
        let acceptor = Acceptor::start(listen, &settings, move |stream, address| {
            let outcome = welcome(stream, &address, &allowed, &framing, &turned_away);
            async move { outcome }
        });
        Ok(Self { location, settings, users, strangers, acceptor })
    }

    async fn dial(&self, to: &PeerLocator) -> Result<Channel, ConnectError> {
        expect_transport(to, TRANSPORT)?;
        let path = to.hints.get("path").filter(|path| !path.is_empty());
        let path = path.ok_or(BadLocator::MissingHint("path"))?;
        if !path.starts_with('/') || path.contains('\0') || path.len() > MAX_PATH_BYTES {
            return Err(BadLocator::BadHint {
                name: "path",
                wanted: "an absolute path of at most 107 bytes",
            }
            .into());
        }
        let found = designator_of(path);
        if found != to.designator {
            return Err(ConnectError::IdentityMismatch {
                address: path.clone(),
                expected: to.designator.clone(),
                found: Some(found),
            });
        }
        let patience = self.settings.connect_timeout;
        let stream = tokio::time::timeout(patience, connect(path))
            .await
            .map_err(|_elapsed| ConnectError::timed_out(path, patience))?
            .map_err(|error| ConnectError::io(path, error))?;
        let credentials = credentials(&stream).map_err(|error| ConnectError::io(path, error))?;
        if !self.users.allow(credentials.uid) {
            return Err(ConnectError::IdentityMismatch {
                address: path.clone(),
                expected: to.designator.clone(),
                found: Some(format!("a program of user {}", credentials.uid)),
            });
        }
        Ok(framing::channel(stream, &self.settings, Direction::Dialled, path)
            .with_proven(Some(found))
            .with_credentials(credentials))
    }
}

impl Netlayer for Unix {
    dials_and_accepts!();

    fn guarantees(&self) -> Guarantees {
        Guarantees {
            confidential: true,
            authentication: Authentication::Dialled,
            framing: self.settings.framing,
        }
    }

    fn on_stranger(&self, hook: OnStranger) {
        let _set_before = self.strangers.hook.set(hook);
    }
}

/// Those who were hung up on.
#[derive(Default)]
struct Strangers {
    hook: OnceLock<OnStranger>,
    /// How often each user.
    counts: Mutex<BTreeMap<u32, u64>>,
}

/// Of how many users it is counted. Only who may become any other has more.
const MAX_STRANGERS: usize = 4096;

impl std::fmt::Debug for Strangers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Strangers").finish_non_exhaustive()
    }
}

impl Strangers {
    fn tell(&self, credentials: Credentials, address: &str) {
        let Some(hook) = self.hook.get() else { return };
        let count = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            if counts.len() >= MAX_STRANGERS && !counts.contains_key(&credentials.uid) {
                counts.clear();
            }
            let count = counts.entry(credentials.uid).or_insert(0);
            *count = count.saturating_add(1);
            *count
        };
        if count.is_power_of_two() {
            hook(&Stranger { credentials, address: address.to_owned(), count });
        }
    }
}

/// The users that may be at the other end.
#[derive(Clone, Debug)]
pub(crate) struct Users(BTreeSet<u32>);

impl Users {
    pub(crate) fn new(allowed: Option<BTreeSet<u32>>) -> io::Result<Self> {
        if let Some(allowed) = allowed {
            return Ok(Self(allowed));
        }
        // The kernel says who we are just as it says who others are.
        let (here, _there) = UnixStream::pair()?;
        Ok(Self(BTreeSet::from([0, credentials(&here)?.uid])))
    }

    pub(crate) fn allow(&self, uid: u32) -> bool {
        self.0.contains(&uid)
    }
}

pub(crate) fn credentials(stream: &UnixStream) -> io::Result<Credentials> {
    let kernel = stream.peer_cred()?;
    Ok(Credentials { uid: kernel.uid(), gid: kernel.gid(), pid: kernel.pid() })
}

fn welcome(
    stream: UnixStream,
    address: &str,
    users: &Users,
    settings: &Settings,
    strangers: &Strangers,
) -> io::Result<Channel> {
    let credentials = credentials(&stream)?;
    if !users.allow(credentials.uid) {
        strangers.tell(credentials, address);
        let reason = format!("user {} is not allowed", credentials.uid);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    let pid = credentials.pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
    let address = format!("{address} (user {}, process {pid})", credentials.uid);
    let channel = framing::channel(stream, settings, Direction::Accepted, address);
    Ok(channel.with_credentials(credentials))
}

/// Dials, and waits while the listener's queue is full: a Unix socket then refuses to
/// wait by itself.
pub(crate) async fn connect(path: &str) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(QUEUE_FULL_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// The path with its directory's symbolic links resolved, so that one socket has one
/// designator.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, BindError> {
    let bad = || BindError::BadPath(path.to_owned());
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(bad());
    };
    if !path.is_absolute() {
        return Err(bad());
    }
    let directory = directory
        .canonicalize()
        .map_err(|source| BindError::Address { address: path.display().to_string(), source })?;
    let path = directory.join(name);
    let len = path.as_os_str().len();
    if len > MAX_PATH_BYTES {
        return Err(BindError::PathTooLong { path, len, limit: MAX_PATH_BYTES });
    }
    Ok(path)
}

/// A listening socket and its file, which goes when it goes.
pub(crate) struct SocketFile {
    path: PathBuf,
    text: String,
    /// Device and inode: the file is removed only while it is this one.
    file: (u64, u64),
    listener: UnixListener,
    _lock: File,
}

impl SocketFile {
    pub(crate) async fn bind(path: PathBuf, text: &str) -> Result<Self, BindError> {
        let refused = |source| BindError::Address { address: text.to_owned(), source };
        let lock = lock(&path, text)?;
        if leftover(&path, text).await? {
            std::fs::remove_file(&path).map_err(refused)?;
        }
        let listener = UnixListener::bind(&path).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(path.clone()),
            _ => refused(source),
        })?;
        let metadata = path.symlink_metadata().map_err(refused)?;
        let socket = Self {
            text: text.to_owned(),
            file: (metadata.dev(), metadata.ino()),
            listener,
            _lock: lock,
            path,
        };
        // Whoever slips in before this is still asked for its user.
        std::fs::set_permissions(&socket.path, Permissions::from_mode(0o600)).map_err(refused)?;
        Ok(socket)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours =
            self.path.symlink_metadata().is_ok_and(|now| (now.dev(), now.ino()) == self.file);
        if ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = ?self.path, %error, "can't remove the socket");
        }
    }
}

impl Listen for SocketFile {
    type Connection = UnixStream;

    async fn accept(&mut self) -> io::Result<(UnixStream, String)> {
        let (stream, _unnamed) = self.listener.accept().await?;
        Ok((stream, self.text.clone()))
    }
}

fn lock(path: &Path, text: &str) -> Result<File, BindError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let refused = |source| BindError::Address { address: text.to_owned(), source };
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&name)
        .map_err(refused)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(BindError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(refused(source)),
    }
}

/// Whether a socket is at `path` that nobody listens on.
async fn leftover(path: &Path, text: &str) -> Result<bool, BindError> {
    let refused = |source| BindError::Address { address: text.to_owned(), source };
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(refused(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    // A listener of another make holds no lock of ours, so ask.
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(refused(error)),
        Ok(_) | Err(_) => Err(BindError::InUse(path.to_owned())),
    }
}
