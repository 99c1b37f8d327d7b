//! `tcp-tls`: TLS over TCP, in Goblins' way, with both ends proven between our own.
//!
//! The accepting end first writes its certificate in clear: its length in four bytes,
//! then the PEM text (`preamble`). A designator is a hash of that text
//! (`designator`), so the dialling end can check it, and then trust exactly that
//! certificate for the TLS handshake that follows (`verify`). The accepting end asks
//! for a certificate too. Whoever shows one proves the designator that follows from it;
//! who shows none is served, unproven.
//!
//! The designator *is* the trust: who holds the key is the peer, so no name, issuer or
//! expiry date in a certificate is looked at. Resumption is off, so that every channel
//! rests on a handshake of its own.
//!
//! Hints `host` and `port` (8088 if missing). Inside TLS is raw Syrup, or
//! [frames](crate::Framing) by a setting. Some peers send a
//! TLS record for every few bytes; reading copes.

pub(crate) mod designator;
mod identity;
mod preamble;
pub(crate) mod verify;

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use captp::locator::PeerLocator;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::acceptor::{Acceptor, dials_and_accepts};
use crate::error::{BadLocator, BindError, ConnectError};
use crate::framing;
use crate::netlayer::{Authentication, Channel, Direction, Guarantees, Netlayer};
use crate::settings::Settings;
use crate::tcp::{self, TcpListen, TcpOptions};

pub use crate::key_file::IdentityError;
pub use designator::{canonical as canonical_designator, of_pem as designator_of_pem};
pub use identity::Identity;
pub use preamble::MAX_CERTIFICATE_BYTES;
use verify::{AnyClient, ExactServer};

/// The transport of `tcp-tls` locators.
pub const TRANSPORT: &str = "tcp-tls";

/// The port of a locator without one.
pub const DEFAULT_PORT: u16 = 8088;

/// The `tcp-tls` netlayer.
#[derive(Debug)]
pub struct TcpTls {
    location: PeerLocator,
    identity: Arc<Identity>,
    settings: Settings,
    acceptor: Acceptor,
}

impl TcpTls {
    /// Listens on `address` (`host:port`; port 0 lets the system choose) as `identity`.
    /// Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`BindError`] if the address can't be listened on or says not where others
    /// should dial.
    pub async fn bind(
        address: &str,
        identity: Identity,
        options: TcpOptions,
    ) -> Result<Self, BindError> {
        let server = server_config(&identity).map_err(|error| BindError::Tls(error.to_string()))?;
        let bound = tcp::bind(address, &options).await?;
        let location = PeerLocator::new(TRANSPORT, identity.designator())
            .with_hint("host", bound.host)
            .with_hint("port", bound.port.to_string());
        let identity = Arc::new(identity);
        let settings = options.settings;
        let listen = TcpListen { listener: bound.listener, settings: settings.clone() };
        let tls = TlsAcceptor::from(Arc::new(server));
        let shown = Arc::clone(&identity);
        let framing = settings.clone();
        let acceptor = Acceptor::start(listen, &settings, move |stream, address| {
            welcome(tls.clone(), Arc::clone(&shown), framing.clone(), stream, address)
        });
        Ok(Self { location, identity, settings, acceptor })
    }

    async fn dial(&self, to: &PeerLocator) -> Result<Channel, ConnectError> {
        tcp::expect_transport(to, TRANSPORT)?;
        let expected = designator::parse(&to.designator)
            .ok_or(BadLocator::BadDesignator { wanted: "the base32 or base16 of 32 bytes" })?;
        let (host, port) = tcp::target(to, Some(DEFAULT_PORT))?;
        let stream = tcp::dial(&host, port, &self.settings).await?;
        let patience = self.settings.handshake_timeout;
        let address = tcp::show(&host, port);
        let handshake = self.handshake(stream, expected, address.clone());
        tokio::time::timeout(patience, handshake)
            .await
            .unwrap_or_else(|_elapsed| Err(ConnectError::timed_out(address, patience)))
    }

    /// The dialling end's handshake with whoever should have the hash `expected`.
    async fn handshake(
        &self,
        mut stream: TcpStream,
        expected: [u8; 32],
        address: String,
    ) -> Result<Channel, ConnectError> {
        let failed = |source| ConnectError::Handshake { address: address.clone(), source };
        let mismatch = |found| ConnectError::IdentityMismatch {
            address: address.clone(),
            expected: designator::show(&expected),
            found,
        };
        let pem = preamble::read(&mut stream).await.map_err(failed)?;
        let found = designator::hash(&pem);
        if found != expected {
            return Err(mismatch(Some(designator::show(&found))));
        }
        let certificate = preamble::certificate(&pem).map_err(failed)?;
        let verifier = Arc::new(ExactServer::new(certificate));
        let config = self
            .client_config(Arc::clone(&verifier))
            .map_err(|error| failed(io::Error::other(error)))?;
        // An address is no name, so no name is sent.
        let name = ServerName::IpAddress(stream.peer_addr().map_err(failed)?.ip().into());
        match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
            Ok(tls) => Ok(framing::channel(tls, &self.settings, Direction::Dialled, address)
                .with_proven(Some(designator::show(&expected)))),
            Err(error) => Err(match (verifier.swapped(), tls_error(&error)) {
                (Some(other), _) => mismatch(Some(other)),
                (None, Some(rustls::Error::InvalidCertificate(CertificateError::BadSignature))) => {
                    mismatch(None)
                }
                _ => failed(error),
            }),
        }
    }

    fn client_config(&self, verifier: Arc<ExactServer>) -> Result<ClientConfig, rustls::Error> {
        let (chain, key) = self.identity.for_tls();
        let mut config = ClientConfig::builder_with_provider(verify::provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(chain, key)?;
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }
}

fn server_config(identity: &Identity) -> Result<ServerConfig, rustls::Error> {
    let (chain, key) = identity.for_tls();
    let mut config = ServerConfig::builder_with_provider(verify::provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(AnyClient))
        .with_single_cert(chain, key)?;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The accepting end's handshake.
async fn welcome(
    tls: TlsAcceptor,
    identity: Arc<Identity>,
    settings: Settings,
    mut stream: TcpStream,
    address: String,
) -> io::Result<Channel> {
    preamble::write(&mut stream, identity.certificate_pem()).await?;
    let stream = tls.accept(stream).await?;
    let shown = stream.get_ref().1.peer_certificates();
    let proven = shown.and_then(<[_]>::first).map(|der| designator::of_der(der));
    let channel = framing::channel(stream, &settings, Direction::Accepted, address);
    Ok(channel.with_proven(proven))
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

impl Netlayer for TcpTls {
    dials_and_accepts!();

    fn guarantees(&self) -> Guarantees {
        Guarantees {
            confidential: true,
            authentication: Authentication::DialledAndWilling,
            framing: self.settings.framing,
        }
    }

    fn canonical_designator<'a>(&self, designator: &'a str) -> Cow<'a, str> {
        canonical_designator(designator)
    }
}
