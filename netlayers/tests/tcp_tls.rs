//! `tcp-tls` against other makes of peers and against impostors: every handshake here
//! has a hand-made other end.

use std::sync::Arc;
use std::time::Duration;

use captp::locator::PeerLocator;
use netlayers::tcp_tls::{DEFAULT_PORT, TRANSPORT, canonical_designator, designator_of_pem};
use netlayers::{
    BadLocator, Channel, ConnectError, Identity, Netlayer, TcpOptions, TcpTls, UnreachableCause,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const PREAMBLE: &[u8] = include_bytes!("vectors/tcp-tls-clear-preamble.syrup");
const START_SESSION: &[u8] = include_bytes!("vectors/start-session-tcp-tls.syrup");

/// A key and its certificate, as text.
struct Pem {
    key: String,
    certificate: String,
}

impl Pem {
    fn generate() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new([]).unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { key: key.serialize_pem(), certificate }
    }

    fn designator(&self) -> String {
        designator_of_pem(&self.certificate)
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()]
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

async fn ours(options: TcpOptions) -> TcpTls {
    let identity = Identity::generate().unwrap();
    TcpTls::bind("127.0.0.1:0", identity, options).await.unwrap()
}

async fn listener(designator: &str) -> (TcpListener, PeerLocator) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let locator = PeerLocator::new(TRANSPORT, designator)
        .with_hint("host", "127.0.0.1")
        .with_hint("port", port);
    (listener, locator)
}

fn preamble(pem: &str) -> Vec<u8> {
    let length = u32::try_from(pem.len()).unwrap().to_le_bytes();
    [&length, pem.as_bytes()].concat()
}

/// Presents one certificate and signs with whatever key it has.
#[derive(Debug)]
struct Presents(Arc<CertifiedKey>);

impl Presents {
    fn new(certificate: &Pem, key: &Pem) -> Self {
        let key = ring::sign::any_supported_type(&key.key()).unwrap();
        Self(Arc::new(CertifiedKey::new(certificate.chain(), key)))
    }
}

impl ResolvesServerCert for Presents {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Dials a peer that sends `clear` and then shakes hands as `presents`.
async fn dial_made_up(
    locator: &str,
    clear: &str,
    presents: Presents,
) -> Result<Channel, ConnectError> {
    let (listener, to) = listener(locator).await;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(presents));
    let clear = preamble(clear);
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&clear).await.unwrap();
        TlsAcceptor::from(Arc::new(config)).accept(stream).await
    };
    let us = ours(TcpOptions::default()).await;
    let (outcome, served) = tokio::join!(us.connect(&to), serve);
    if outcome.is_ok() {
        served.unwrap();
    }
    outcome
}

#[test]
fn the_recorded_certificate_has_the_recorded_designator() {
    let (length, pem) = PREAMBLE.split_first_chunk::<4>().unwrap();
    assert_eq!(u32::from_le_bytes(*length) as usize, pem.len());
    let designator = designator_of_pem(pem);
    let field = format!("7'tcp-tls52\"{designator}");
    assert!(START_SESSION.windows(field.len()).any(|part| part == field.as_bytes()));
}

#[tokio::test]
async fn a_foreign_server_that_asks_for_nothing() {
    let ada = Pem::generate();
    let presents = Presents::new(&ada, &ada);
    let channel = dial_made_up(&ada.designator(), &ada.certificate, presents).await.unwrap();
    assert_eq!(channel.proven, Some(ada.designator()));
}

#[tokio::test]
async fn base16_designators_name_the_same_peers() {
    let server = ours(TcpOptions::default()).await;
    let mut old = server.location();
    let hash = base32::decode(base32::Alphabet::Rfc4648Lower { padding: false }, &old.designator);
    old.designator = hash.unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(old.designator.len(), 64);
    let us = ours(TcpOptions::default()).await;
    let channel = us.connect(&old).await.unwrap();
    assert_eq!(channel.proven, Some(server.location().designator));
    assert_eq!(canonical_designator(&old.designator), server.location().designator);
}

#[tokio::test]
async fn a_swapped_certificate_is_refused() {
    let (ada, mallory) = (Pem::generate(), Pem::generate());
    let swaps = [
        // In clear already.
        (&mallory.certificate, Presents::new(&mallory, &mallory)),
        // Only inside TLS.
        (&ada.certificate, Presents::new(&mallory, &mallory)),
    ];
    for (clear, presents) in swaps {
        match dial_made_up(&ada.designator(), clear, presents).await {
            Err(ConnectError::IdentityMismatch { expected, found, .. }) => {
                assert_eq!(expected, ada.designator());
                assert_eq!(found, Some(mallory.designator()));
            }
            outcome => panic!("{outcome:?}"),
        }
    }
}

#[tokio::test]
async fn a_certificate_without_its_key_is_refused() {
    let (ada, mallory) = (Pem::generate(), Pem::generate());
    let presents = Presents::new(&ada, &mallory);
    match dial_made_up(&ada.designator(), &ada.certificate, presents).await {
        Err(ConnectError::IdentityMismatch { found: None, .. }) => {}
        outcome => panic!("{outcome:?}"),
    }
}

/// A client that takes any certificate and shows what it is told to.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl rustls::client::ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// What our server makes of a client that shows `shown` and signs with the key of
/// `signs`; `None` if it accepts nothing before the next, honest client.
async fn served(
    version: &'static rustls::SupportedProtocolVersion,
    shown: Option<(&Pem, &Pem)>,
) -> Option<Channel> {
    let server = ours(TcpOptions::default()).await;
    let to = server.location();
    let mut stream = TcpStream::connect(format!("127.0.0.1:{}", to.hints["port"])).await.unwrap();
    let length = stream.read_u32_le().await.unwrap();
    let mut pem = vec![0; length as usize];
    stream.read_exact(&mut pem).await.unwrap();
    assert_eq!(designator_of_pem(&pem), to.designator);

    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous));
    let config = match shown {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let Presents(both) = Presents::new(certificate, key);
            builder.with_client_cert_resolver(Arc::new(Shows(both)))
        }
    };
    let name = ServerName::try_from("localhost").unwrap();
    let client = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    if let Ok(mut client) = client {
        // Refusal comes after what a TLS 1.3 client takes for the end of the handshake.
        let refused = tokio::select! {
            outcome = client.read_u8() => outcome.is_err(),
            accepted = server.accept() => return Some(accepted.unwrap()),
        };
        assert!(refused);
    }
    let honest = ours(TcpOptions::default()).await;
    let (dialled, accepted) = tokio::join!(honest.connect(&to), server.accept());
    dialled.unwrap();
    assert_eq!(accepted.unwrap().proven, Some(honest.location().designator));
    None
}

#[tokio::test]
async fn clients_are_who_they_prove_to_be() {
    let (ada, mallory) = (Pem::generate(), Pem::generate());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let unproven = served(version, None).await.expect("served all the same");
        assert_eq!(unproven.proven, None);
        let proven = served(version, Some((&ada, &ada))).await.expect("served");
        assert_eq!(proven.proven, Some(ada.designator()));
        assert!(served(version, Some((&ada, &mallory))).await.is_none());
    }
}

#[tokio::test]
async fn silence_garbage_and_hanging_up_are_told_apart() {
    let peer = Pem::generate();
    let mut options = TcpOptions::default();
    options.settings.handshake_timeout = Duration::from_millis(20);
    let hasty = ours(options).await;
    let (silent, to) = listener(&peer.designator()).await;
    let (outcome, _held) = tokio::join!(hasty.connect(&to), silent.accept());
    assert!(
        matches!(
            outcome,
            Err(ConnectError::Unreachable { cause: UnreachableCause::TimedOut(_), .. })
        ),
        "{outcome:?}"
    );

    let us = ours(TcpOptions::default()).await;
    let not_pem = designator_of_pem("not PEM");
    let mut then_garbage = preamble(&peer.certificate);
    then_garbage.extend(b"SSH-2.0-OpenSSH\r\n");
    let table = [
        (peer.designator(), vec![]),
        (peer.designator(), b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        (peer.designator(), vec![0, 0, 0, 0]),
        (peer.designator(), preamble(&peer.certificate)[..99].to_vec()),
        (not_pem, preamble("not PEM")),
        (peer.designator(), then_garbage),
    ];
    for (designator, bytes) in table {
        let (listener, to) = listener(&designator).await;
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&bytes).await.unwrap();
            stream.shutdown().await.unwrap();
            stream
        };
        let (outcome, _stream) = tokio::join!(us.connect(&to), serve);
        assert!(matches!(outcome, Err(ConnectError::Handshake { .. })), "{bytes:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_record_for_every_byte_reads_as_one_message() {
    let (ada, ben) = (ours(TcpOptions::default()).await, ours(TcpOptions::default()).await);
    let to = ben.location();
    let (dialled, accepted) = tokio::join!(ada.connect(&to), ben.accept());
    let (mut dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap());
    let dribble = async {
        for byte in START_SESSION {
            accepted.io.write_all(&[*byte]).await.unwrap();
            accepted.io.flush().await.unwrap();
        }
    };
    let mut heard = vec![0; START_SESSION.len()];
    let (count, ()) = tokio::join!(dialled.io.read_exact(&mut heard), dribble);
    count.unwrap();
    assert_eq!(heard, START_SESSION);
    assert!(dialled.io.is_write_vectored());
}

#[tokio::test]
async fn locators_are_checked_before_anything_is_dialled() {
    let us = ours(TcpOptions::default()).await;
    let named = PeerLocator::new(TRANSPORT, "ada").with_hint("host", "127.0.0.1");
    assert!(matches!(
        us.connect(&named).await,
        Err(ConnectError::BadLocator(BadLocator::BadDesignator { .. }))
    ));
    assert_eq!(DEFAULT_PORT, 8088);
}

#[tokio::test]
async fn what_is_advertised_may_differ_from_what_is_bound() {
    let mut options = TcpOptions::default();
    options.public_host = Some("example.org".into());
    options.public_port = Some(443);
    let location = ours(options).await.location();
    assert_eq!(location.hints["host"], "example.org");
    assert_eq!(location.hints["port"], "443");
}
