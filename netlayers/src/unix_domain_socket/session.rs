//! A peer's connection with one introduction server, taken up again when it ends.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle};

use super::identity::UnixDomainSocketIdentity;
use super::link::{self, Limits, Reader, Writer, violation};
use super::wire::{self, NewConnection, Register, ServerResponse};
use super::{challenge, passed};
use crate::settings::Settings;
use crate::signing_key;
use crate::unix::{Users, connect, credentials};

/// How long to wait before going to a server again that has sent us away.
const PAUSE: Duration = Duration::from_secs(1);

/// What it takes to register with a server.
pub(super) struct Registrar {
    pub(super) path: String,
    pub(super) identity: Arc<UnixDomainSocketIdentity>,
    pub(super) users: Users,
    pub(super) settings: Settings,
    pub(super) limits: Limits,
}

/// A connection with a server that has proven its key.
pub(super) struct Registered {
    reader: Reader,
    writer: Writer,
    /// The server's designator.
    pub(super) server: String,
}

impl Registrar {
    /// Connects, and proves who we are. That the server is content is never said: it
    /// hangs up if it is not.
    pub(super) async fn register(&self) -> io::Result<Registered> {
        let settings = &self.settings;
        let stream = timed(settings.connect_timeout, connect(&self.path)).await?;
        let user = credentials(&stream)?.uid;
        if !self.users.allow(user) {
            let why = format!("a program of user {user} listens there");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        let (mut reader, writer) = link::link(stream, self.limits);
        let handshake = async {
            let asked = challenge()?;
            let register = Register::encode(self.identity.designator(), &asked);
            writer.record(&register).await?;
            let gone = || violation("the introduction server sent us away");
            let record = reader.record().await?.ok_or_else(gone)?;
            let response = ServerResponse::parse(&record)
                .ok_or_else(|| violation("no introduction server's answer"))?;
            if response.key.verify_strict(&asked, &response.signature).is_err() {
                return Err(violation("the introduction server does not prove its key"));
            }
            let signature = self.identity.sign(&response.challenge);
            writer.record(&wire::encode_signature(&response.challenge, &signature)).await?;
            Ok(signing_key::show(&response.key))
        };
        let server = timed(settings.handshake_timeout, handshake).await?;
        Ok(Registered { reader, writer, server })
    }
}

impl Registered {
    /// Passes on one socket and leaves.
    pub(super) async fn introduce_and_leave(
        mut self,
        record: &[u8],
        socket: &OwnedFd,
    ) -> io::Result<()> {
        self.writer.introduce(record, socket).await?;
        self.leave().await
    }

    /// Says that this was all, and waits until the server has heard it.
    async fn leave(&mut self) -> io::Result<()> {
        self.writer.end()?;
        while let Some(record) = self.reader.record().await? {
            // Who dials us now, dials nobody.
            if NewConnection::parse(&record).is_some() {
                self.reader.socket().await?;
            }
        }
        Ok(())
    }
}

async fn timed<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(limit, work)
        .await
        .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))?
}

/// A socket to be passed on, and where to say that it was.
pub(super) struct Order {
    pub(super) record: Vec<u8>,
    pub(super) socket: OwnedFd,
    pub(super) done: oneshot::Sender<io::Result<()>>,
}

/// A socket that came, and the designator of the peer that has its other end.
pub(super) type Incoming = (OwnedFd, String);

/// The task that keeps up the connection with a server, until this is dropped.
pub(super) struct Session {
    /// The server's designator.
    pub(super) server: String,
    pub(super) registrar: Arc<Registrar>,
    orders: mpsc::Sender<Order>,
    task: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
    abort: AbortHandle,
}

impl Session {
    pub(super) fn start(
        registrar: Registrar,
        registered: Registered,
        incoming: mpsc::Sender<Incoming>,
    ) -> Self {
        let registrar = Arc::new(registrar);
        let server = registered.server.clone();
        let (orders, taken) = mpsc::channel(1);
        let (close, closing) = oneshot::channel();
        let keeper = Keeper { registrar: Arc::clone(&registrar), orders: taken, incoming };
        let task = tokio::spawn(keeper.keep(registered, closing));
        let abort = task.abort_handle();
        Self { server, registrar, orders, task: Mutex::new(Some((close, task))), abort }
    }

    /// Has a socket passed on. The order comes back if the session has been closed.
    pub(super) async fn introduce(&self, order: Order) -> Result<(), Order> {
        self.orders.send(order).await.map_err(|closed| closed.0)
    }

    /// Leaves the server, so that another may register under our name.
    pub(super) async fn close(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((close, task)) = task {
            let _already_over = close.send(());
            let _cancelled_or_panicked = task.await;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

struct Keeper {
    registrar: Arc<Registrar>,
    orders: mpsc::Receiver<Order>,
    incoming: mpsc::Sender<Incoming>,
}

impl Keeper {
    async fn keep(mut self, mut registered: Registered, mut closing: oneshot::Receiver<()>) {
        let patience = self.registrar.settings.handshake_timeout;
        loop {
            let us = self.registrar.identity.designator();
            let end = tokio::select! {
                _told = &mut closing => {
                    if let Err(error) = timed(patience, registered.leave()).await {
                        tracing::debug!(%error, "leaving an introduction server");
                    }
                    return;
                }
                end = hear(&mut registered.reader, us, &self.incoming) => end,
                end = speak(&registered.writer, &mut self.orders) => end,
            };
            let path = &self.registrar.path;
            tracing::warn!(%path, error = ?end.err(), "lost the introduction server, trying again");
            // Hangs up: the server may well be there still, and keeps our name till then.
            let Registered { reader, writer, server } = registered;
            drop((reader, writer));
            registered = tokio::select! {
                _told = &mut closing => return,
                again = again(&self.registrar, &server) => again,
            };
        }
    }
}

/// Registers with the same server as before, however long that takes.
async fn again(registrar: &Registrar, server: &str) -> Registered {
    loop {
        tokio::time::sleep(PAUSE).await;
        match registrar.register().await {
            Ok(registered) if registered.server == server => return registered,
            Ok(_other) => {
                tracing::warn!(path = %registrar.path, "another introduction server is there now");
            }
            Err(error) => tracing::debug!(path = %registrar.path, %error, "still not registered"),
        }
    }
}

/// Takes the sockets that come, until the server has said all.
async fn hear(reader: &mut Reader, us: &str, incoming: &mpsc::Sender<Incoming>) -> io::Result<()> {
    while let Some(record) = reader.record().await? {
        let NewConnection { from, to } =
            NewConnection::parse(&record).ok_or_else(|| violation("it is no new connection"))?;
        let socket = reader.socket().await?;
        if to != us {
            return Err(violation("a new connection is for another"));
        }
        if !passed::is_stream(&socket) {
            // The peer is at fault and not the server, which need not look.
            tracing::debug!(%from, "what was passed is no connected Unix stream");
        } else if incoming.send((socket, from)).await.is_err() {
            // We are being shut down, and told so elsewhere.
            std::future::pending::<()>().await;
        }
    }
    Ok(())
}

/// Sends the sockets that are ordered, until that fails.
async fn speak(writer: &Writer, orders: &mut mpsc::Receiver<Order>) -> io::Result<()> {
    while let Some(Order { record, socket, done }) = orders.recv().await {
        let outcome = writer.introduce(&record, &socket).await;
        let failed = outcome.as_ref().err().map(|error| error.kind().into());
        let _given_up_on = done.send(outcome);
        if let Some(error) = failed {
            return Err(error);
        }
    }
    std::future::pending().await
}
