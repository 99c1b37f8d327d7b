//! The introduction server: proves who its clients are, and passes sockets between them.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::Instant;

use super::identity::UnixDomainSocketIdentity;
use super::link::{self, Limits, Reader, Writer, violation};
use super::registry::{Introduction, Registry};
use super::wire::{self, NewConnection, Register, ServerResponse};
use super::{challenge, passed};
use crate::acceptor;
use crate::error::BindError;
use crate::settings::Settings;
use crate::unix::{SocketFile, Users, credentials, resolve};

/// How an introduction server is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IntroductionOptions {
    /// Users that may come, by number. `None`: our own and root.
    pub allowed_users: Option<BTreeSet<u32>>,
    /// Deadlines and limits. The time for a handshake is also that in which a message
    /// has to come, or be taken, from its first byte to its last.
    pub settings: Settings,
    /// Peers at once; one more is sent away. Default 1024.
    pub max_clients: usize,
    /// File descriptors that may come with one message: the first is used and the
    /// others are closed. Who sends more is cut off. Default 1.
    pub max_descriptors: usize,
    /// Bytes of a record; who sends a longer one is cut off. Default 16 KiB.
    pub max_record: usize,
    /// Sockets that wait for somebody, all together. One more is closed. Default 512.
    pub max_waiting: usize,
    /// Sockets that wait for somebody and come from one peer. Default 64.
    pub max_waiting_each: usize,
    /// How long a socket waits for a peer that is not here; it is closed then, or up to
    /// an eighth of that later. Zero: none waits. Default 60 s.
    pub patience: Duration,
}

impl Default for IntroductionOptions {
    fn default() -> Self {
        Self {
            allowed_users: None,
            settings: Settings::default(),
            max_clients: 1024,
            max_descriptors: 1,
            max_record: 16 << 10,
            max_waiting: 512,
            max_waiting_each: 64,
            patience: Duration::from_secs(60),
        }
    }
}

/// An introduction server: peers of one machine that are with it reach each other.
#[derive(Debug)]
pub struct IntroductionServer {
    path: PathBuf,
    designator: String,
    task: Mutex<Option<JoinHandle<()>>>,
    abort: AbortHandle,
}

impl IntroductionServer {
    /// Listens at `path`, as [`Unix::bind`](crate::Unix::bind) does. Needs a tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// As [`Unix::bind`](crate::Unix::bind).
    pub async fn bind(
        path: impl AsRef<Path>,
        identity: UnixDomainSocketIdentity,
        options: IntroductionOptions,
    ) -> Result<Self, BindError> {
        let path = resolve(path.as_ref())?;
        let text = path.to_str().ok_or_else(|| BindError::BadPath(path.clone()))?.to_owned();
        let refused = |source| BindError::Address { address: text.clone(), source };
        let users = Users::new(options.allowed_users.clone()).map_err(refused)?;
        let listener = SocketFile::bind(path.clone(), &text).await?;
        let designator = identity.designator().to_owned();
        let registry =
            Registry::new(options.max_clients, options.max_waiting, options.max_waiting_each);
        let office = Office { identity, users, options, registry: Mutex::new(registry) };
        let task = tokio::spawn(run(listener, Arc::new(office)));
        Ok(Self { path, designator, abort: task.abort_handle(), task: Mutex::new(Some(task)) })
    }

    /// Where it listens, symbolic links resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the hint that stands for it in its clients' locators: its key.
    #[must_use]
    pub fn designator(&self) -> &str {
        &self.designator
    }

    /// Stops, and removes the socket. Peers that have been introduced go on talking.
    pub async fn shutdown(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
            let _cancelled_or_panicked = task.await;
        }
    }
}

impl Drop for IntroductionServer {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

/// What the server's tasks share.
struct Office {
    identity: UnixDomainSocketIdentity,
    users: Users,
    options: IntroductionOptions,
    registry: Mutex<Registry>,
}

impl Office {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limits(&self) -> Limits {
        Limits {
            descriptors: self.options.max_descriptors,
            record: self.options.max_record,
            time: self.options.settings.handshake_timeout,
        }
    }
}

async fn run(mut listener: SocketFile, office: Arc<Office>) {
    let mut clients = JoinSet::new();
    // Those that have not proven themselves yet, the oldest first.
    let mut strangers: VecDeque<(AbortHandle, Arc<AtomicBool>)> = VecDeque::new();
    let sweeps = (office.options.patience / 8).max(Duration::from_millis(5));
    let mut sweep = Instant::now().checked_add(sweeps);
    loop {
        let swept = async {
            match sweep {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            (stream, _path) = acceptor::next(&mut listener) => {
                strangers.retain(|(task, known)| {
                    !task.is_finished() && !known.load(Ordering::Relaxed)
                });
                if strangers.len() >= office.options.settings.max_handshakes.max(1)
                    && let Some((oldest, _)) = strangers.pop_front()
                {
                    tracing::debug!("too many handshakes under way: the oldest gives way");
                    oldest.abort();
                }
                let known = Arc::new(AtomicBool::new(false));
                let client = client(stream, Arc::clone(&office), Arc::clone(&known));
                strangers.push_back((clients.spawn(client), known));
            }
            Some(_over) = clients.join_next() => {}
            () = swept => {
                let now = Instant::now();
                office.registry().sweep(now);
                sweep = now.checked_add(sweeps);
            }
        }
    }
}

/// One client, from its first word to its last.
async fn client(stream: UnixStream, office: Arc<Office>, known: Arc<AtomicBool>) {
    let outcome = async {
        let user = credentials(&stream)?.uid;
        if !office.users.allow(user) {
            let why = format!("user {user} is not allowed");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        let (mut reader, writer) = link::link(stream, office.limits());
        let time = office.options.settings.handshake_timeout;
        let peer = tokio::time::timeout(time, prove(&mut reader, &writer, &office))
            .await
            .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
        known.store(true, Ordering::Relaxed);
        let guest = Guest::enter(Arc::clone(&office), peer.name.clone())
            .ok_or_else(|| violation("no room, or one of that name is here"))?;
        drop(peer);
        tokio::select! {
            end = guest.read(&mut reader) => end,
            end = guest.write(&writer) => end,
        }
    };
    if let Err(error) = outcome.await {
        tracing::debug!(%error, "a client of the introduction server was cut off");
    }
}

/// A peer whose client is not registered yet, until this is dropped.
struct Expected<'a> {
    office: &'a Office,
    name: String,
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        self.office.registry().expect_no_more(&self.name);
    }
}

/// The exchange in which each proves to have its key. Gives who the client is.
async fn prove<'a>(
    reader: &mut Reader,
    writer: &Writer,
    office: &'a Office,
) -> io::Result<Expected<'a>> {
    let record = reader.record().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let register = Register::parse(&record).ok_or_else(|| violation("it is no registration"))?;
    // Told before the proof, as afterwards a client expects no answer.
    if !office.registry().has_room_for(&register.designator) {
        return Err(violation("no room, or one of that name is here"));
    }
    office.registry().expect(&register.designator);
    let expected = Expected { office, name: register.designator };
    let asked = challenge()?;
    let response = ServerResponse {
        key: office.identity.public(),
        challenge: asked,
        signature: office.identity.sign(&register.challenge),
    };
    writer.record(&response.encode()).await?;
    let record = reader.record().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let proven = wire::parse_signature(&record).is_some_and(|(answered, signature)| {
        answered == asked && register.key.verify_strict(&asked, &signature).is_ok()
    });
    if proven { Ok(expected) } else { Err(violation("it does not prove its key")) }
}

/// A client that is registered, until this is dropped.
struct Guest {
    office: Arc<Office>,
    peer: String,
    waits: Arc<Notify>,
}

impl Guest {
    fn enter(office: Arc<Office>, peer: String) -> Option<Self> {
        let waits = office.registry().enter(&peer)?;
        waits.notify_one();
        Some(Self { office, peer, waits })
    }

    /// Takes the sockets that it sends.
    async fn read(&self, reader: &mut Reader) -> io::Result<()> {
        while let Some(record) = reader.record().await? {
            let NewConnection { from, to } = NewConnection::parse(&record)
                .ok_or_else(|| violation("it is no new connection"))?;
            let socket = reader.socket().await?;
            if from != self.peer {
                return Err(violation("it claims to be another"));
            }
            if !passed::is_stream(&socket) {
                return Err(violation("what it passed is no connected Unix stream"));
            }
            let now = Instant::now();
            let until = now.checked_add(self.office.options.patience);
            let introduction = Introduction { from, record, socket, until };
            if !self.office.registry().post(to, introduction, now) {
                tracing::debug!(peer = %self.peer, "a socket was closed that can't wait");
            }
        }
        Ok(())
    }

    /// Sends the sockets that are for it.
    async fn write(&self, writer: &Writer) -> io::Result<()> {
        loop {
            loop {
                // The lock must not be held while sending.
                let next = self.office.registry().next(&self.peer);
                let Some(next) = next else { break };
                writer.introduce(&next.record, &next.socket).await?;
            }
            self.waits.notified().await;
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.office.registry().leave(&self.peer);
    }
}
