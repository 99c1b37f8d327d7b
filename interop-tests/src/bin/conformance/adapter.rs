//! A framing adapter: between a node whose messages have their lengths before them, and
//! peers that know no framing.
//!
//! The node listens and dials on the inside, with [`Framing::LengthPrefixed`]; the adapter
//! listens and dials for it on the outside, and puts lengths before what goes in and takes
//! them off what comes out. It shares no code with the framing of the node.

use std::borrow::Cow;
use std::io;

use ocapn::PeerLocator;
use ocapn::netlayers::{
    AcceptError, BindError, BoxFuture, Channel, ConnectError, Framing, Guarantees, Netlayer,
    TcpOptions, TcpTestingOnly, UnreachableCause,
};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Where the node and the adapter meet.
const INSIDE: &str = "127.0.0.1:0";

/// The largest message: what the suite sends is far below.
const MAX_MESSAGE: usize = 1 << 24;

/// `tcp-testing-only` with framing, behind an adapter.
pub(crate) struct Adapted {
    inside: TcpTestingOnly,
    location: PeerLocator,
    outside: JoinHandle<()>,
}

impl Adapted {
    /// The adapter listens on `address`, and the node behind it.
    pub(crate) async fn bind(address: &str) -> Result<Self, BindError> {
        let mut options = TcpOptions::default();
        options.settings.framing = Framing::LengthPrefixed;
        let inside = TcpTestingOnly::bind(INSIDE, options).await?;
        let refused = |source| BindError::Address { address: address.to_owned(), source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let local = listener.local_addr().map_err(refused)?;
        let node = inside.location();
        let location = PeerLocator::new(node.transport.clone(), node.designator.clone())
            .with_hint("host", local.ip().to_string())
            .with_hint("port", local.port().to_string());
        let outside = tokio::spawn(async move {
            while let Ok((peer, _)) = listener.accept().await {
                if let Some(node) = dial(&node).await {
                    tokio::spawn(relay(peer, node));
                }
            }
        });
        Ok(Self { inside, location, outside })
    }

    /// Dials a peer on the outside, and has the node dial the adapter.
    async fn dial(&self, to: &PeerLocator) -> Result<Channel, ConnectError> {
        let unreachable = || ConnectError::Unreachable {
            address: to.to_string(),
            cause: UnreachableCause::NobodyThere,
        };
        let peer = dial(to).await.ok_or_else(unreachable)?;
        let meeting = TcpListener::bind(INSIDE).await.map_err(|_| unreachable())?;
        let at = meeting.local_addr().map_err(|_| unreachable())?;
        let adapter = PeerLocator::new(to.transport.clone(), to.designator.clone())
            .with_hint("host", at.ip().to_string())
            .with_hint("port", at.port().to_string());
        let (channel, met) = tokio::join!(self.inside.connect(&adapter), meeting.accept());
        let (node, _) = met.map_err(|_| unreachable())?;
        tokio::spawn(relay(peer, node));
        channel
    }
}

impl Drop for Adapted {
    fn drop(&mut self) {
        self.outside.abort();
    }
}

impl Netlayer for Adapted {
    fn transport(&self) -> &'static str {
        self.inside.transport()
    }

    fn location(&self) -> PeerLocator {
        self.location.clone()
    }

    fn guarantees(&self) -> Guarantees {
        self.inside.guarantees()
    }

    fn canonical_designator<'a>(&self, designator: &'a str) -> Cow<'a, str> {
        self.inside.canonical_designator(designator)
    }

    fn connect<'a>(&'a self, to: &'a PeerLocator) -> BoxFuture<'a, Result<Channel, ConnectError>> {
        Box::pin(self.dial(to))
    }

    fn accept(&self) -> BoxFuture<'_, Result<Channel, AcceptError>> {
        self.inside.accept()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.outside.abort();
        self.inside.shutdown()
    }
}

/// Connects to where the hints lead.
async fn dial(to: &PeerLocator) -> Option<TcpStream> {
    let (host, port) = (to.hints.get("host")?, to.hints.get("port")?);
    TcpStream::connect((host.as_str(), port.parse().ok()?)).await.ok()
}

/// Carries messages both ways until either side is done.
async fn relay(peer: TcpStream, node: TcpStream) {
    let _latency = (peer.set_nodelay(true), node.set_nodelay(true));
    let (from_peer, to_peer) = peer.into_split();
    let (from_node, to_node) = node.into_split();
    let _ends = tokio::join!(add_lengths(from_peer, to_node), take_lengths(from_node, to_peer));
}

/// Puts its length before each message.
async fn add_lengths(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
    let mut scanner = syrup::Scanner::new(&syrup::Options::default());
    let mut read = Vec::new();
    while from.read_buf(&mut read).await? > 0 {
        // What is no Syrup goes on as it is: it is the node's to complain.
        while let Ok(Some(length)) = scanner.scan(&read) {
            let message: Vec<u8> = read.drain(..length).collect();
            to.write_all(format!("{length}:").as_bytes()).await?;
            to.write_all(&message).await?;
        }
    }
    to.write_all(&read).await?;
    to.shutdown().await
}

/// Takes the lengths off.
async fn take_lengths(from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
    let mut from = BufReader::new(from);
    let mut length = Vec::new();
    while from.read_until(b':', &mut length).await? > 0 {
        let digits = length.strip_suffix(b":").and_then(|digits| std::str::from_utf8(digits).ok());
        let bytes = digits.and_then(|digits| digits.parse::<usize>().ok());
        let bytes = bytes.filter(|bytes| *bytes <= MAX_MESSAGE);
        let bytes = bytes.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        let mut message = vec![0; bytes];
        from.read_exact(&mut message).await?;
        to.write_all(&message).await?;
        length.clear();
    }
    to.shutdown().await
}
