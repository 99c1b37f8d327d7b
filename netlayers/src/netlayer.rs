//! What a netlayer is: the trait, the channels it makes and the guarantees it states.

use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;

use captp::locator::PeerLocator;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::{AcceptError, ConnectError};

/// A boxed future, so that [`Netlayer`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An ordered, reliable, two-way stream of bytes.
///
/// Flush after writing: TLS holds bytes back until then. Vectored writes reach the
/// socket as such. Shutting down the writing side leaves the reading side open. Reading
/// ends with `Ok(0)` if the other end shut down, and may end with an error, such as
/// `UnexpectedEof` under TLS, if it just vanished.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> ByteStream for T {}

/// A netlayer turns a locator into an ordered, reliable, two-way byte channel.
pub trait Netlayer: Send + Sync + 'static {
    /// The transport part of the locators that this netlayer listens under and dials.
    fn transport(&self) -> &'static str;

    /// Where others reach us, hints included.
    fn location(&self) -> PeerLocator;

    /// What its channels are good for.
    fn guarantees(&self) -> Guarantees;

    /// The one spelling under which designators of this transport are compared, and in
    /// which [`Channel::proven`] is given. Most have one spelling only.
    fn canonical_designator<'a>(&self, designator: &'a str) -> Cow<'a, str> {
        Cow::Borrowed(designator)
    }

    /// Dials a peer. Dropping the future gives up.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] says whether the locator, the network or the peer is at fault.
    fn connect<'a>(&'a self, to: &'a PeerLocator) -> BoxFuture<'a, Result<Channel, ConnectError>>;

    /// Waits for the next peer that dialled us and ended its handshake well. Dropping
    /// the future loses no connection.
    ///
    /// # Errors
    ///
    /// [`AcceptError::Closed`] after [`shutdown`](Netlayer::shutdown). Trouble with a
    /// single connection, or a passing lack of file descriptors, is logged and outlived.
    fn accept(&self) -> BoxFuture<'_, Result<Channel, AcceptError>>;

    /// Has the hook told of those whom the netlayer hangs up on for who they are. Only the
    /// first hook is told, and of netlayers that know nobody by default none.
    fn on_stranger(&self, hook: OnStranger) {
        drop(hook);
    }

    /// Stops listening, drops connections that nobody has accepted and frees the
    /// address. Channels already handed out live on, and dialling still works. May be
    /// called again. Dropping the netlayer does the same, soon rather than at once.
    fn shutdown(&self) -> BoxFuture<'_, ()>;
}

/// Is told of strangers. Must not block.
pub type OnStranger = Box<dyn Fn(&Stranger) + Send + Sync>;

/// Somebody whom a netlayer hangs up on for who it is. Told of the first time, and then each
/// time there have been twice as many connections of the same user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stranger {
    /// Who it is.
    pub credentials: Credentials,
    /// Where it has connected to.
    pub address: String,
    /// How often.
    pub count: u64,
}

/// What a netlayer's channels are good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guarantees {
    /// Nobody between the two ends can read or change what is sent.
    pub confidential: bool,
    /// Which ends are proven to be who their designators say.
    pub authentication: Authentication,
    /// How messages are told apart in the stream.
    pub framing: Framing,
}

/// Which ends of a channel a netlayer proves. What it has proven of one channel is
/// [`Channel::proven`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// None, and what an end claims to be is taken at face value. For tests only.
    FaceValue,
    /// The dialled end, never the dialling one: what that claims stays unverified.
    Dialled,
    /// The dialled end, and the dialling one if it offers a proof.
    DialledAndWilling,
    /// Both ends, always.
    Both,
}

/// How messages are told apart in the stream below a channel. The channel itself is a
/// stream of Syrup values with any of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Framing {
    /// Not at all: Syrup values follow each other.
    #[default]
    RawSyrup,
    /// Each value comes after its length in bytes: `<decimal>:` and no comma. A length
    /// with a leading zero, none, or one above
    /// [`Settings::max_message`](crate::Settings::max_message) fails the channel, as does
    /// a frame that is not exactly one value. Flush between values: what is there of a
    /// value that is not whole can't be sent.
    LengthPrefixed,
}

/// Who opened a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// We did.
    Dialled,
    /// The other end did.
    Accepted,
}

/// The process at the other end, as the kernel of this machine knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Its effective user when it connected or began to listen.
    pub uid: u32,
    /// Its effective group then.
    pub gid: u32,
    /// Its process id, where the system tells.
    pub pid: Option<i32>,
}

/// An open channel to a peer.
#[non_exhaustive]
pub struct Channel {
    /// The bytes.
    pub io: Box<dyn ByteStream>,
    /// The designator of the other end, in its canonical spelling, if the netlayer has
    /// verified it. `None` means that anybody may be there.
    pub proven: Option<String>,
    /// Who opened it.
    pub direction: Direction,
    /// Where the other end is, for logs and people.
    pub peer_address: String,
    /// Which process is at the other end, where the netlayer can know.
    pub credentials: Option<Credentials>,
}

impl Channel {
    /// A channel with an unproven other end.
    pub fn new(io: impl ByteStream, direction: Direction, peer_address: impl Into<String>) -> Self {
        Self {
            io: Box::new(io),
            proven: None,
            direction,
            peer_address: peer_address.into(),
            credentials: None,
        }
    }

    /// The same channel with what has been proven of its other end.
    #[must_use]
    pub fn with_proven(mut self, designator: Option<String>) -> Self {
        self.proven = designator;
        self
    }

    /// The same channel with what the kernel knows of its other end.
    #[must_use]
    pub const fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("proven", &self.proven)
            .field("direction", &self.direction)
            .field("peer_address", &self.peer_address)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}
