//! TLS below a WebSocket: which certificate is shown, and which ones are taken.
//!
//! A certificate may be made from the Ed25519 key that is the peer's designator. Such a
//! one needs nobody to vouch for it, and TLS then proves the peer, and that nobody stands
//! between: which the exchange of `peer_auth` can't, as its messages can be passed on.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use ed25519_dalek::VerifyingKey;
use rcgen::{CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use rustls_pki_types::pem::PemObject as _;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{WebsocketIdentity, WebsocketOptions};
use crate::error::BindError;
use crate::key_file::IdentityError;
use crate::tcp_tls::designator;
use crate::tcp_tls::verify::{AnyClient, algorithms, provider};

/// What an Ed25519 key's 32 bytes follow in a certificate (RFC 8410).
const PUBLIC_KEY: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\0";

/// Whether and with what a listener speaks TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebsocketTls {
    /// Not at all: `ws://`.
    #[default]
    Off,
    /// With a certificate made from the identity's own key, for diallers that know how
    /// to check one against the designator, as ours do.
    OwnKey,
    /// With a certificate that others than ours may trust too.
    Certificate(Arc<WebsocketCertificate>),
}

/// A certificate, those that vouch for it, and its key.
#[derive(PartialEq, Eq)]
pub struct WebsocketCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl WebsocketCertificate {
    /// From PEM text with certificates, the listener's own one first, and a key.
    ///
    /// # Errors
    ///
    /// [`IdentityError::BadPem`] if either is missing or of an unknown kind, or if they
    /// don't belong together.
    pub fn from_pem(text: &[u8]) -> Result<Self, IdentityError> {
        let bad = |what: String| IdentityError::BadPem(what);
        let chain = certificates(text)?;
        let key = PrivateKeyDer::from_pem_slice(text)
            .map_err(|error| bad(format!("no private key can be read from it ({error})")))?;
        CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider()).map_err(|error| {
            bad(format!("its key and certificate don't fit together ({error})"))
        })?;
        Ok(Self { chain, key })
    }

    /// From a PEM file with certificates and another, or the same, with the key. Blocks
    /// on the file system.
    ///
    /// # Errors
    ///
    /// As [`from_pem`](Self::from_pem), and [`IdentityError::Io`].
    pub fn load(certificates: &Path, key: &Path) -> Result<Self, IdentityError> {
        let mut text = read(certificates)?;
        if certificates != key {
            text.push(b'\n');
            text.extend(read(key)?.iter());
        }
        Self::from_pem(&text)
    }
}

/// Shows no key.
impl std::fmt::Debug for WebsocketCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WebsocketCertificate({} in its chain)", self.chain.len())
    }
}

/// Whose certificates are taken when dialling `wss://`. Those made from the key that is
/// the designator always are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebsocketTrust {
    /// No others.
    #[default]
    Designator,
    /// These, and those for the URL's host that these vouch for. Whoever has the key of
    /// one may stand between us and the peer, and pass the proof of its designator on.
    Certificates(Vec<CertificateDer<'static>>),
    /// Any. What is sent is secret from those who only listen; **anybody** may stand
    /// between us and the peer, pass the proof of its designator on, and read and
    /// change everything that follows.
    Anybody,
}

impl WebsocketTrust {
    /// The certificates in PEM text.
    ///
    /// # Errors
    ///
    /// [`IdentityError::BadPem`] if there is none, or one that can't be read.
    pub fn from_pem(text: &[u8]) -> Result<Self, IdentityError> {
        Ok(Self::Certificates(certificates(text)?))
    }

    /// The certificates in a PEM file. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// As [`from_pem`](Self::from_pem), and [`IdentityError::Io`].
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        Self::from_pem(&read(path)?)
    }
}

fn read(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, IdentityError> {
    std::fs::read(path)
        .map(zeroize::Zeroizing::new)
        .map_err(|source| IdentityError::Io { path: path.to_owned(), source })
}

fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let bad =
        |error| IdentityError::BadPem(format!("no certificate can be read from it ({error})"));
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let all = all.map_err(|error| bad(error.to_string()))?;
    if all.is_empty() {
        return Err(bad("there is none".to_owned()));
    }
    Ok(all)
}

/// What a netlayer needs for TLS on either end.
pub(super) struct Tls {
    pub(super) server: Option<TlsAcceptor>,
    /// What we show when we dial.
    own: WebsocketCertificate,
    trust: Trust,
}

#[derive(Clone, Debug)]
struct Trust {
    anybody: bool,
    exact: Arc<[CertificateDer<'static>]>,
    vouching: Option<Arc<WebPkiServerVerifier>>,
}

impl Tls {
    /// `host` is where we are dialled.
    pub(super) fn new(
        identity: &WebsocketIdentity,
        options: &WebsocketOptions,
        host: &str,
    ) -> Result<Self, BindError> {
        let own =
            own_certificate(identity, host).map_err(|error| BindError::Tls(error.to_string()))?;
        let shown = match &options.tls {
            WebsocketTls::Off => None,
            WebsocketTls::OwnKey => Some(&own),
            WebsocketTls::Certificate(certificate) => Some(&**certificate),
        };
        let server = shown.map(server_config).transpose();
        let server = server.map_err(|error| BindError::Tls(error.to_string()))?;
        let trust = Trust::new(&options.trust).map_err(BindError::Tls)?;
        Ok(Self { server: server.map(|config| TlsAcceptor::from(Arc::new(config))), own, trust })
    }

    /// What dials the peer that has this key.
    pub(super) fn connector(
        &self,
        expected: &VerifyingKey,
    ) -> Result<(TlsConnector, Arc<ExpectedServer>), Error> {
        let verifier = Arc::new(ExpectedServer {
            expected: expected.to_bytes(),
            trust: self.trust.clone(),
            other: OnceLock::new(),
        });
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
            .with_client_auth_cert(self.own.chain.clone(), self.own.key.clone_key())?;
        config.resumption = rustls::client::Resumption::disabled();
        Ok((TlsConnector::from(Arc::new(config)), verifier))
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("trust", &self.trust).finish_non_exhaustive()
    }
}

impl Trust {
    fn new(trust: &WebsocketTrust) -> Result<Self, String> {
        let nobody = Self { anybody: false, exact: Arc::new([]), vouching: None };
        let certificates = match trust {
            WebsocketTrust::Designator => return Ok(nobody),
            WebsocketTrust::Anybody => return Ok(Self { anybody: true, ..nobody }),
            WebsocketTrust::Certificates(certificates) => certificates,
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate.clone()).map_err(|error| error.to_string())?;
        }
        let vouching = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
        let vouching = vouching.build().map_err(|error| error.to_string())?;
        Ok(Self { exact: certificates.clone().into(), vouching: Some(vouching), ..nobody })
    }
}

/// Takes the certificate made from the peer's own key, and others as far as we trust
/// them. Remembers the key in one that was not taken.
#[derive(Debug)]
pub(super) struct ExpectedServer {
    expected: [u8; 32],
    trust: Trust,
    other: OnceLock<String>,
}

impl ExpectedServer {
    /// The designator that the certificate proves instead, if it was not taken.
    pub(super) fn other(&self) -> Option<String> {
        self.other.get().cloned()
    }
}

impl ServerCertVerifier for ExpectedServer {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = key_in(shown);
        let trust = &self.trust;
        if key == Some(self.expected) || trust.anybody || trust.exact.contains(shown) {
            return Ok(ServerCertVerified::assertion());
        }
        let refused = match &trust.vouching {
            None => CertificateError::ApplicationVerificationFailure.into(),
            Some(vouching) => {
                match vouching.verify_server_cert(shown, intermediates, name, ocsp, now) {
                    Ok(verified) => return Ok(verified),
                    Err(error) => error,
                }
            }
        };
        if let Some(key) = key {
            let _first = self.other.set(designator::show(&key));
        }
        Err(refused)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, shown, signed, &algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, shown, signed, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

/// The Ed25519 key in a certificate, which is a designator.
fn key_in(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    parsed.subject_public_key_info().strip_prefix(&PUBLIC_KEY)?.try_into().ok()
}

/// The designator that a dialler has proven with its certificate.
pub(super) fn proven_by(certificate: &CertificateDer<'_>) -> Option<String> {
    key_in(certificate).map(|key| designator::show(&key))
}

fn server_config(shown: &WebsocketCertificate) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(AnyClient))
        .with_single_cert(shown.chain.clone(), shown.key.clone_key())?;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// A certificate of the identity's own key. Under TLS 1.3 that key signs nothing there
/// that could be a request of `peer_auth` or an answer to one.
fn own_certificate(
    identity: &WebsocketIdentity,
    host: &str,
) -> Result<WebsocketCertificate, rcgen::Error> {
    let key = identity.pkcs8();
    let pair = KeyPair::try_from(&PrivatePkcs8KeyDer::from(key.as_slice()))?;
    let mut params = CertificateParams::new([host.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "CapTP");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(2038, 1, 1);
    let certificate = params.self_signed(&pair)?;
    let key = PrivatePkcs8KeyDer::from(key.to_vec());
    Ok(WebsocketCertificate { chain: vec![certificate.der().clone()], key: key.into() })
}
