//! `unix-domain-socket`: Goblins 0.18's netlayer for the peers of one machine.
//!
//! Peers have no addresses here. Each is with one or more *introduction servers*, and
//! who wants to talk to another makes a pair of sockets, keeps one and has a server that
//! both are with pass on the other (`SCM_RIGHTS`). What is said between the two never
//! goes through the server. Peers and servers are Ed25519 keys; the designator is the
//! peer's key in lowercase unpadded base32, and the names of the hints are the keys of
//! the servers it is with. Their values mean nothing.
//!
//! With an [`IntroductionServer`] any node can be one:
//!
//! ```
//! use netlayers::{
//!     IntroductionOptions, IntroductionServer, Netlayer, UnixDomainSocket,
//!     UnixDomainSocketIdentity, UnixDomainSocketOptions,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let home = tempfile::tempdir()?;
//! # let path = home.path().join("introductions");
//! let identity = UnixDomainSocketIdentity::generate;
//! let server =
//!     IntroductionServer::bind(&path, identity()?, IntroductionOptions::default()).await?;
//! let options = UnixDomainSocketOptions::default;
//! let ada = UnixDomainSocket::register([&path], identity()?, options()).await?;
//! let ben = UnixDomainSocket::register([&path], identity()?, options()).await?;
//! assert!(ada.location().hints.contains_key(server.designator()));
//!
//! let dialled = ben.connect(&ada.location()).await?;
//! let accepted = ada.accept().await?;
//! assert_eq!(dialled.proven, Some(ada.location().designator));
//! assert_eq!(accepted.proven, Some(ben.location().designator));
//! # Ok(())
//! # }
//! ```
//!
//! # What is proven, and by whom
//!
//! A server makes its clients prove their keys, and both ends of a channel take its
//! word for who the other is. So go to servers that you trust: a socket in a directory
//! that only its owner may write to, of a user that is
//! [allowed](UnixDomainSocketOptions::allowed_users). A dishonest server can pass
//! itself off for any of its peers, and also register in our name with servers that we
//! are with, by letting us sign their challenges; so says the protocol. The keys sign
//! nothing else.
//!
//! What processes do with sockets they have passed on is limited: that they are
//! connected Unix streams is looked at, and nothing here waits for one even where its
//! sender makes it a blocking one.
//!
//! # Where nobody is
//!
//! No answer comes back from a server, so dialling never fails for a peer that is not
//! there: the channel waits. Our server closes it after
//! [a while](IntroductionOptions::patience), and the dialling end reads its end;
//! Goblins' keeps it for ever.

mod identity;
mod link;
mod passed;
mod registry;
mod server;
mod session;
mod wire;

use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use captp::locator::PeerLocator;
use tokio::sync::{mpsc, oneshot};

pub use identity::UnixDomainSocketIdentity;
pub use server::{IntroductionOptions, IntroductionServer};

use self::link::Limits;
use self::passed::Passed;
use self::session::{Incoming, Order, Registrar, Session};
use self::wire::NewConnection;
use crate::acceptor::{Acceptor, Listen};
use crate::error::{AcceptError, BadLocator, BindError, ConnectError, UnreachableCause};
use crate::framing;
use crate::netlayer::{Authentication, BoxFuture, Channel, Direction, Guarantees, Netlayer};
use crate::settings::Settings;
use crate::signing_key;
use crate::tcp::expect_transport;
use crate::unix::Users;

/// The transport of `unix-domain-socket` locators.
pub const TRANSPORT: &str = "unix-domain-socket";

/// What Goblins writes for a hint's value.
const HINT: &str = "t";

/// How a `unix-domain-socket` netlayer is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnixDomainSocketOptions {
    /// Users whose introduction servers we go to, by number. `None`: our own and root.
    pub allowed_users: Option<BTreeSet<u32>>,
    /// Deadlines and limits. The time for a handshake is also that in which a server's
    /// message has to come, from its first byte to its last.
    pub settings: Settings,
    /// File descriptors that may come with one message of a server: the first is used
    /// and the others are closed. A server that sends more is left. Default 1.
    pub max_descriptors: usize,
    /// Bytes of a server's record; a server that sends a longer one is left. Default
    /// 16 KiB.
    pub max_record: usize,
}

impl Default for UnixDomainSocketOptions {
    fn default() -> Self {
        Self {
            allowed_users: None,
            settings: Settings::default(),
            max_descriptors: 1,
            max_record: 16 << 10,
        }
    }
}

/// The `unix-domain-socket` netlayer.
pub struct UnixDomainSocket {
    location: PeerLocator,
    settings: Settings,
    sessions: Vec<Session>,
    acceptor: Acceptor,
    /// The server that stops when we do.
    server: Option<IntroductionServer>,
}

impl UnixDomainSocket {
    /// Registers with the introduction servers at these paths. A server that goes away
    /// later is gone to again until it is back with the same key. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`BindError`] if there are no paths, if one is no UTF-8, or if a server can't be
    /// reached or sends us away, as it does while somebody else has our name.
    pub async fn register(
        servers: impl IntoIterator<Item = impl AsRef<Path>>,
        identity: UnixDomainSocketIdentity,
        options: UnixDomainSocketOptions,
    ) -> Result<Self, BindError> {
        let UnixDomainSocketOptions { allowed_users, settings, max_descriptors, max_record } =
            options;
        let limits = Limits {
            descriptors: max_descriptors,
            record: max_record,
            time: settings.handshake_timeout,
        };
        let identity = Arc::new(identity);
        let mut location = PeerLocator::new(TRANSPORT, identity.designator());
        // What is ready waits with the acceptor, so that a server can be held back.
        let (incoming, arrivals) = mpsc::channel(1);
        let mut sessions = Vec::new();
        for path in servers {
            let path = path.as_ref();
            let text = path.to_str().ok_or_else(|| BindError::BadPath(path.to_owned()))?;
            let refused = |source| BindError::Address { address: text.to_owned(), source };
            let registrar = Registrar {
                path: text.to_owned(),
                identity: Arc::clone(&identity),
                users: Users::new(allowed_users.clone()).map_err(refused)?,
                settings: settings.clone(),
                limits,
            };
            let registered = registrar.register().await.map_err(refused)?;
            location = location.with_hint(registered.server.clone(), HINT);
            sessions.push(Session::start(registrar, registered, incoming.clone()));
        }
        if sessions.is_empty() {
            return Err(BindError::Empty("list of introduction servers"));
        }
        let channels = settings.clone();
        let acceptor = Acceptor::start(Arrivals(arrivals), &settings, move |arrived, from| {
            let channel = accepted(arrived, from, &channels);
            async move { channel }
        });
        Ok(Self { location, settings, sessions, acceptor, server: None })
    }

    /// The same netlayer, which keeps an introduction server and ends it when it is shut
    /// down or dropped itself.
    #[must_use]
    pub fn with_server(mut self, server: IntroductionServer) -> Self {
        self.server = Some(server);
        self
    }

    async fn dial(&self, to: &PeerLocator) -> Result<Channel, ConnectError> {
        expect_transport(to, TRANSPORT)?;
        if signing_key::key_of(&to.designator).is_none() {
            let wanted = "52 characters of lowercase base32, an Ed25519 public key";
            return Err(BadLocator::BadDesignator { wanted }.into());
        }
        if to.hints.is_empty() {
            return Err(BadLocator::MissingHint("introduction server's").into());
        }
        let address = address(&to.designator);
        let session = self.sessions.iter().find(|it| to.hints.contains_key(&it.server));
        let session = session.ok_or_else(|| ConnectError::Unreachable {
            address: address.clone(),
            cause: UnreachableCause::NoSharedServer,
        })?;
        let failed = |error| ConnectError::io(&address, error);
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let record = NewConnection::encode(&self.location, to);
        let patience = self.settings.connect_timeout;
        tokio::time::timeout(patience, introduce(session, record, theirs))
            .await
            .map_err(|_elapsed| ConnectError::timed_out(&address, patience))?
            .map_err(failed)?;
        let stream = Passed::new(ours.into()).map_err(failed)?;
        Ok(framing::channel(stream, &self.settings, Direction::Dialled, address)
            .with_proven(Some(to.designator.clone())))
    }
}

impl Netlayer for UnixDomainSocket {
    fn transport(&self) -> &'static str {
        TRANSPORT
    }

    fn location(&self) -> PeerLocator {
        self.location.clone()
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees {
            confidential: true,
            authentication: Authentication::Both,
            framing: self.settings.framing,
        }
    }

    fn connect<'a>(&'a self, to: &'a PeerLocator) -> BoxFuture<'a, Result<Channel, ConnectError>> {
        Box::pin(self.dial(to))
    }

    fn accept(&self) -> BoxFuture<'_, Result<Channel, AcceptError>> {
        Box::pin(self.acceptor.accept())
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.acceptor.shutdown().await;
            for session in &self.sessions {
                session.close().await;
            }
            if let Some(server) = &self.server {
                server.shutdown().await;
            }
        })
    }
}

impl std::fmt::Debug for UnixDomainSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnixDomainSocket").field("location", &self.location).finish_non_exhaustive()
    }
}

/// Has a server pass on a socket. A session that has been closed is taken up for it.
async fn introduce(session: &Session, record: Vec<u8>, socket: UnixStream) -> io::Result<()> {
    let (done, outcome) = oneshot::channel();
    let order = Order { record, socket: socket.into(), done };
    match session.introduce(order).await {
        Ok(()) => {
            outcome.await.map_err(|_cut_off| io::Error::from(io::ErrorKind::ConnectionAborted))?
        }
        Err(Order { record, socket, .. }) => {
            session.registrar.register().await?.introduce_and_leave(&record, &socket).await
        }
    }
}

/// Where a peer is, for logs and people.
fn address(designator: &str) -> String {
    format!("{TRANSPORT} peer {designator}")
}

/// The sockets that servers pass on to us.
struct Arrivals(mpsc::Receiver<Incoming>);

impl Listen for Arrivals {
    type Connection = Incoming;

    async fn accept(&mut self) -> io::Result<(Incoming, String)> {
        match self.0.recv().await {
            Some(incoming) => {
                let address = address(&incoming.1);
                Ok((incoming, address))
            }
            // The sessions are gone, and so are we soon.
            None => std::future::pending().await,
        }
    }
}

fn accepted((socket, from): Incoming, address: String, settings: &Settings) -> io::Result<Channel> {
    let channel = framing::channel(Passed::new(socket)?, settings, Direction::Accepted, address);
    Ok(channel.with_proven(Some(from)))
}

/// Random bytes to be signed.
fn challenge() -> io::Result<wire::Challenge> {
    let mut challenge = [0; 64];
    getrandom::fill(&mut challenge).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(challenge)
}
