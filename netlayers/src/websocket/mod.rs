//! `websocket`: WebSockets, as Goblins 0.18 and Endo speak them.
//!
//! After the HTTP upgrade the dialling end sends `<init:peer-auth RANDOM>`, and the
//! other signs that with the key whose public half is its designator (`peer_auth`). Then
//! every binary message is one Syrup value (`stream`).
//!
//! With `ws://` nothing is secret, and the proof is worth less than that of
//! [`tcp-tls`](crate::tcp_tls): it says that the peer answered, and not that nobody
//! between the two ends passed its answer on to change what follows. With `wss://` all
//! that runs inside TLS 1.3. If the listener's certificate is of the key that is its
//! designator ([`WebsocketTls::OwnKey`]) nobody can be between. If it is another one,
//! which a proxy in front of a listener has to have, that rests on whom we
//! [trust](WebsocketTrust). A dialler of ours shows a certificate of its own key, and so
//! is proven to a listener that speaks TLS itself; others need not show one.
//!
//! Hint `url`. A WebSocket can't be half-closed: the end that is told of the other's
//! closing may read what came before, and no longer write.

mod identity;
mod peer_auth;
mod stream;
mod tls;

use std::io;
use std::sync::Arc;

use captp::locator::PeerLocator;
use ed25519_dalek::VerifyingKey;
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request as HttpRequest;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config, client_async_with_config};

use crate::acceptor::{Acceptor, dials_and_accepts};
use crate::error::{BadLocator, BindError, ConnectError};
use crate::netlayer::{
    Authentication, ByteStream, Channel, Direction, Framing, Guarantees, Netlayer,
};
use crate::tcp::{self, TcpListen, TcpOptions};

pub use identity::WebsocketIdentity;
use peer_auth::{Answer, Request};
use stream::{MessageStream, io_error};
use tls::{ExpectedServer, Tls};
pub use tls::{WebsocketCertificate, WebsocketTls, WebsocketTrust};

/// The transport of `websocket` locators.
pub const TRANSPORT: &str = "websocket";

/// The port of a `ws://` URL without one.
pub const DEFAULT_PORT: u16 = 80;

/// The port of a `wss://` URL without one.
pub const DEFAULT_TLS_PORT: u16 = 443;

/// How much is read from a socket at once; every channel has a buffer of this size.
const READ_BUFFER: usize = 16 * 1024;

/// How a `websocket` netlayer is set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebsocketOptions {
    /// What it has in common with other netlayers over TCP.
    pub tcp: TcpOptions,
    /// Whether it listens for `ws://` or `wss://`. Default: `ws://`.
    pub tls: WebsocketTls,
    /// Whose certificates it takes when dialling `wss://`. Default: nobody's, but one made
    /// from the key that is the designator.
    pub trust: WebsocketTrust,
    /// Dial no `ws://`. Default: dial it. What is sent is secret, as far as
    /// [`Guarantees`] say, only with this and TLS when listening.
    pub only_tls: bool,
}

/// A WebSocket over TCP or TLS.
type Socket = WebSocketStream<Box<dyn ByteStream>>;

impl WebsocketOptions {
    fn config(&self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(self.tcp.settings.max_message))
            .max_frame_size(Some(self.tcp.settings.max_message))
    }
}

/// The `websocket` netlayer.
#[derive(Debug)]
pub struct Websocket {
    location: PeerLocator,
    options: WebsocketOptions,
    tls: Tls,
    acceptor: Acceptor,
}

impl Websocket {
    /// Listens on `address` (`host:port`; port 0 lets the system choose) as `identity`.
    /// Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`BindError`] if the address can't be listened on or says not where others
    /// should dial.
    pub async fn bind(
        address: &str,
        identity: WebsocketIdentity,
        options: WebsocketOptions,
    ) -> Result<Self, BindError> {
        let bound = tcp::bind(address, &options.tcp).await?;
        let tls = Tls::new(&identity, &options, &bound.host)?;
        let scheme = if tls.server.is_some() { "wss" } else { "ws" };
        let url = format!("{scheme}://{}", tcp::show(&bound.host, bound.port));
        let location = PeerLocator::new(TRANSPORT, identity.designator()).with_hint("url", url);
        let settings = options.tcp.settings.clone();
        let listen = TcpListen { listener: bound.listener, settings: settings.clone() };
        let identity = Arc::new(identity);
        let (limits, server) = (options.clone(), tls.server.clone());
        let acceptor = Acceptor::start(listen, &settings, move |stream, address| {
            welcome(Arc::clone(&identity), server.clone(), limits.clone(), stream, address)
        });
        Ok(Self { location, options, tls, acceptor })
    }

    async fn dial(&self, to: &PeerLocator) -> Result<Channel, ConnectError> {
        tcp::expect_transport(to, TRANSPORT)?;
        let key = crate::signing_key::key_of(&to.designator)
            .ok_or(BadLocator::BadDesignator { wanted: "the base32 of an Ed25519 key" })?;
        let Target { host, port, name, request } = target(to)?;
        if name.is_none() && self.options.only_tls {
            return Err(BadLocator::BadHint { name: "url", wanted: "like wss://HOST:PORT" }.into());
        }
        let settings = &self.options.tcp.settings;
        let stream = tcp::dial(&host, port, settings).await?;
        let address = tcp::show(&host, port);
        let patience = settings.handshake_timeout;
        let mismatch = |found| ConnectError::IdentityMismatch {
            address: address.clone(),
            expected: to.designator.clone(),
            found,
        };
        let handshake = async {
            let stream = match name {
                None => Ok(Box::new(stream) as Box<dyn ByteStream>),
                Some(name) => self.secure(stream, name, &key).await,
            };
            let stream = stream.map_err(|refused| match refused {
                Refused::Other(found) => mismatch(Some(found)),
                Refused::Failed(source) => {
                    ConnectError::Handshake { address: address.clone(), source }
                }
            })?;
            match self.handshake(stream, request, &key, &address).await {
                Err(source) => Err(ConnectError::Handshake { address: address.clone(), source }),
                Ok(None) => Err(mismatch(None)),
                Ok(Some(stream)) => Ok(Channel::new(stream, Direction::Dialled, address.clone())
                    .with_proven(Some(to.designator.clone()))),
            }
        };
        tokio::time::timeout(patience, handshake)
            .await
            .unwrap_or_else(|_elapsed| Err(ConnectError::timed_out(address.clone(), patience)))
    }

    /// The dialling end's TLS handshake.
    async fn secure(
        &self,
        stream: TcpStream,
        name: ServerName<'static>,
        key: &VerifyingKey,
    ) -> Result<Box<dyn ByteStream>, Refused> {
        let (connector, verifier): (_, Arc<ExpectedServer>) =
            self.tls.connector(key).map_err(|error| Refused::Failed(io::Error::other(error)))?;
        match connector.connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(verifier.other().map_or(Refused::Failed(error), Refused::Other)),
        }
    }

    /// The dialling end's handshake. `None` if whoever answered does not have `key`.
    async fn handshake(
        &self,
        stream: Box<dyn ByteStream>,
        request: HttpRequest,
        key: &VerifyingKey,
        address: &str,
    ) -> io::Result<Option<MessageStream>> {
        let config = Some(self.options.config());
        let (mut socket, _response) =
            client_async_with_config(request, stream, config).await.map_err(io_error)?;
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let request = Request::new(&random);
        let message = Message::Binary(request.as_bytes().to_vec().into());
        socket.send(message).await.map_err(io_error)?;
        let answer = binary(&mut socket).await?;
        match request.check(&answer, key) {
            Answer::Proven => {
                Ok(Some(MessageStream::new(socket, self.options.tcp.settings.max_message)))
            }
            Answer::ByAnother => Ok(None),
            Answer::Malformed => {
                tracing::debug!(peer = %address, "no answer to init:peer-auth came");
                Err(bad("the answer to init:peer-auth is none"))
            }
        }
    }
}

/// The accepting end's handshake.
async fn welcome(
    identity: Arc<WebsocketIdentity>,
    tls: Option<TlsAcceptor>,
    options: WebsocketOptions,
    stream: TcpStream,
    address: String,
) -> io::Result<Channel> {
    let (stream, proven): (Box<dyn ByteStream>, _) = match tls {
        None => (Box::new(stream), None),
        Some(tls) => {
            let stream = tls.accept(stream).await?;
            let shown = stream.get_ref().1.peer_certificates();
            let proven = shown.and_then(<[_]>::first).and_then(tls::proven_by);
            (Box::new(stream), proven)
        }
    };
    let config = Some(options.config());
    let mut socket = accept_async_with_config(stream, config).await.map_err(io_error)?;
    let request = binary(&mut socket).await?;
    let request = Request::parse(&request).ok_or_else(|| bad("this is no init:peer-auth"))?;
    let answer = Message::Binary(identity.answer(&request).into());
    socket.send(answer).await.map_err(io_error)?;
    let stream = MessageStream::new(socket, options.tcp.settings.max_message);
    Ok(Channel::new(stream, Direction::Accepted, address).with_proven(proven))
}

/// The next message, where nothing but binary ones are expected.
async fn binary(socket: &mut Socket) -> io::Result<Bytes> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => return Ok(bytes),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(_)) => return Err(bad("a message that is not binary came")),
            Some(Err(error)) => return Err(io_error(error)),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn bad(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Why there is no TLS with the peer.
enum Refused {
    /// Whoever has this designator answered.
    Other(String),
    Failed(io::Error),
}

/// Where a locator's URL leads.
struct Target {
    host: String,
    port: u16,
    /// Whom to ask for, with TLS; `None` without.
    name: Option<ServerName<'static>>,
    request: HttpRequest,
}

fn target(to: &PeerLocator) -> Result<Target, BadLocator> {
    let bad =
        || BadLocator::BadHint { name: "url", wanted: "like ws://HOST:PORT or wss://HOST:PORT" };
    let url = to.hints.get("url").filter(|url| !url.is_empty());
    let url = url.ok_or(BadLocator::MissingHint("url"))?;
    let uri: Uri = url.parse().map_err(|_error| bad())?;
    let secure = match uri.scheme_str() {
        Some("ws") => false,
        Some("wss") => true,
        _ => return Err(bad()),
    };
    let authority = uri.authority().filter(|it| !it.as_str().contains('@')).ok_or_else(bad)?;
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host = bare.unwrap_or(host).to_owned();
    // A port that is no number looks like none at all.
    let named = authority.as_str().rsplit_once(':').is_some_and(|(_, end)| !end.ends_with(']'));
    let port = match authority.port_u16() {
        Some(0) => return Err(bad()),
        Some(port) => port,
        None if named => return Err(bad()),
        None if secure => DEFAULT_TLS_PORT,
        None => DEFAULT_PORT,
    };
    if host.is_empty() {
        return Err(bad());
    }
    let name = secure.then(|| ServerName::try_from(host.clone())).transpose();
    let name = name.map_err(|_no_name| bad())?;
    let request = uri.into_client_request().map_err(|_error| bad())?;
    Ok(Target { host, port, name, request })
}

impl Netlayer for Websocket {
    dials_and_accepts!();

    fn guarantees(&self) -> Guarantees {
        let tls = self.tls.server.is_some();
        let trusting = self.options.trust == WebsocketTrust::Anybody;
        Guarantees {
            confidential: tls && self.options.only_tls && !trusting,
            authentication: if tls {
                Authentication::DialledAndWilling
            } else {
                Authentication::Dialled
            },
            framing: Framing::RawSyrup,
        }
    }
}
