//! What only `wss://` does: whose certificates are taken, what is then said to be
//! guaranteed, and what somebody between the two ends can do.

use std::sync::Arc;
use std::time::Duration;

use captp::locator::PeerLocator;
use netlayers::{
    Authentication, ConnectError, IdentityError, Netlayer as _, Websocket, WebsocketCertificate,
    WebsocketIdentity, WebsocketOptions, WebsocketTls, WebsocketTrust,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A certificate authority, and PEM text of a certificate by it for `name` and its key.
fn authority_and_certificate(name: &str) -> (String, String) {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    (authority, format!("{certificate}{}", key.serialize_pem()))
}

async fn listen(options: WebsocketOptions) -> Websocket {
    let identity = WebsocketIdentity::generate().unwrap();
    Websocket::bind("127.0.0.1:0", identity, options).await.unwrap()
}

fn showing(pem: &str) -> WebsocketOptions {
    let certificate = WebsocketCertificate::from_pem(pem.as_bytes()).unwrap();
    let mut options = WebsocketOptions::default();
    options.tls = WebsocketTls::Certificate(Arc::new(certificate));
    options
}

fn trusting(trust: WebsocketTrust) -> WebsocketOptions {
    let mut options = WebsocketOptions::default();
    options.trust = trust;
    options
}

fn address(to: &PeerLocator) -> &str {
    to.hints["url"].split_once("://").unwrap().1
}

#[tokio::test]
async fn a_foreign_certificate_needs_our_trust() {
    let (authority, pem) = authority_and_certificate("127.0.0.1");
    let (stranger, _) = authority_and_certificate("127.0.0.1");
    let layer = listen(showing(&pem)).await;
    let own = pem.split_inclusive("-----END CERTIFICATE-----").next().unwrap();
    for (trust, good) in [
        (WebsocketTrust::Designator, false),
        (WebsocketTrust::from_pem(stranger.as_bytes()).unwrap(), false),
        (WebsocketTrust::from_pem(authority.as_bytes()).unwrap(), true),
        (WebsocketTrust::from_pem(own.as_bytes()).unwrap(), true),
        (WebsocketTrust::Anybody, true),
    ] {
        let dialler = listen(trusting(trust.clone())).await;
        match dialler.connect(&layer.location()).await {
            Ok(channel) => {
                assert!(good, "{trust:?}");
                assert_eq!(channel.proven, Some(layer.location().designator));
                // Our own show a certificate of their key.
                let accepted = layer.accept().await.unwrap();
                assert_eq!(accepted.proven, Some(dialler.location().designator));
            }
            Err(ConnectError::Handshake { .. }) => assert!(!good, "{trust:?}"),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_authority_vouches_for_the_host_it_names_only() {
    let (authority, pem) = authority_and_certificate("another.example");
    let layer = listen(showing(&pem)).await;
    let trust = WebsocketTrust::from_pem(authority.as_bytes()).unwrap();
    let outcome = listen(trusting(trust)).await.connect(&layer.location()).await;
    assert!(matches!(outcome, Err(ConnectError::Handshake { .. })), "{outcome:?}");
}

/// Passes everything on between the two, TLS ended and begun anew.
async fn relay(pem: &str, to: PeerLocator) -> (String, tokio::task::JoinHandle<()>) {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let tls = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut near) = tls.accept(stream).await else { continue };
            let mut far = TcpStream::connect(address(&to)).await.unwrap();
            let _over = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        }
    });
    (url, task)
}

#[tokio::test]
async fn who_stands_between_is_noticed_but_by_the_trusting() {
    let (authority, pem) = authority_and_certificate("127.0.0.1");
    let plain = listen(WebsocketOptions::default()).await;
    let (url, task) = relay(&pem, plain.location()).await;
    let through = plain.location().with_hint("url", url);
    let strict = listen(WebsocketOptions::default()).await;
    let outcome = strict.connect(&through).await;
    assert!(matches!(outcome, Err(ConnectError::Handshake { .. })), "{outcome:?}");
    // This is how a proxy before a listener is made use of.
    let trust = WebsocketTrust::from_pem(authority.as_bytes()).unwrap();
    for trust in [trust, WebsocketTrust::Anybody] {
        let mut channel = listen(trusting(trust)).await.connect(&through).await.unwrap();
        let mut accepted = plain.accept().await.unwrap();
        assert_eq!(accepted.proven, None);
        channel.io.write_all(b"7+").await.unwrap();
        channel.io.flush().await.unwrap();
        let mut heard = [0; 2];
        accepted.io.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"7+");
    }
    task.abort();
}

#[tokio::test]
async fn guarantees_are_no_better_than_the_settings() {
    for (tls, only_tls, trust, confidential) in [
        (WebsocketTls::Off, false, WebsocketTrust::Designator, false),
        (WebsocketTls::Off, true, WebsocketTrust::Designator, false),
        (WebsocketTls::OwnKey, false, WebsocketTrust::Designator, false),
        (WebsocketTls::OwnKey, true, WebsocketTrust::Anybody, false),
        (WebsocketTls::OwnKey, true, WebsocketTrust::Designator, true),
    ] {
        let mut options = trusting(trust);
        (options.tls, options.only_tls) = (tls.clone(), only_tls);
        let guarantees = listen(options).await.guarantees();
        assert_eq!(guarantees.confidential, confidential);
        let both = guarantees.authentication == Authentication::DialledAndWilling;
        assert_eq!(both, tls != WebsocketTls::Off);
    }
}

#[tokio::test]
async fn plain_urls_can_be_refused() {
    let plain = listen(WebsocketOptions::default()).await;
    let mut options = WebsocketOptions::default();
    options.only_tls = true;
    let outcome = listen(options).await.connect(&plain.location()).await;
    assert!(matches!(outcome, Err(ConnectError::BadLocator(_))), "{outcome:?}");
}

#[tokio::test]
async fn silence_before_tls_and_drops_of_it_have_a_deadline() {
    let mut options = WebsocketOptions::default();
    options.tls = WebsocketTls::OwnKey;
    options.tcp.settings.handshake_timeout = Duration::from_millis(50);
    let layer = listen(options).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}", listener.local_addr().unwrap());
    let outcome = layer.connect(&layer.location().with_hint("url", url)).await;
    assert!(matches!(outcome, Err(ConnectError::Unreachable { .. })), "{outcome:?}");

    // The head of a TLS record that has 512 bytes, and then a byte now and then.
    let to = layer.location();
    let mut slow = TcpStream::connect(address(&to)).await.unwrap();
    slow.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252]).await.unwrap();
    let mut scrap = [0; 64];
    let cut_off = async {
        loop {
            tokio::select! {
                read = slow.read(&mut scrap) => if matches!(read, Ok(0) | Err(_)) { break },
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
            if slow.write_all(&[3]).await.is_err() {
                break;
            }
        }
    };
    cut_off.await;
}

#[test]
fn certificates_come_from_files() {
    let (authority, pem) = authority_and_certificate("127.0.0.1");
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (chain, key) = pem.split_at(pem.find("-----BEGIN PRIVATE").unwrap());
    let both = file("both.pem", &pem);
    let (chain, key) = (file("chain.pem", chain), file("key.pem", key));
    let one = WebsocketCertificate::load(&both, &both).unwrap();
    assert_eq!(one, WebsocketCertificate::load(&chain, &key).unwrap());
    assert!(!format!("{one:?}").contains("PRIVATE"));
    let missing = directory.path().join("missing");
    assert!(matches!(WebsocketTrust::load(&missing), Err(IdentityError::Io { .. })));
    let authority = file("authority.pem", &authority);
    assert!(WebsocketTrust::load(&authority).is_ok());
    for (chain, key) in [(&key, &key), (&chain, &chain), (&authority, &key)] {
        let outcome = WebsocketCertificate::load(chain, key);
        assert!(matches!(outcome, Err(IdentityError::BadPem(_))), "{outcome:?}");
    }
    assert!(matches!(WebsocketTrust::from_pem(b""), Err(IdentityError::BadPem(_))));
}
