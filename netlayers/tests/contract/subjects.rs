//! The netlayers that are put to the contract, and the world each lives in.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use captp::locator::PeerLocator;
use netlayers::{
    BindError, ByteStream, Framing, Identity, IntroductionOptions, IntroductionServer,
    LoopbackNetwork, Netlayer, Settings, TcpOptions, TcpTestingOnly, TcpTls, Unix,
    UnixDomainSocket, UnixDomainSocketIdentity, UnixDomainSocketOptions, UnixOptions, Websocket,
    WebsocketIdentity, WebsocketOptions, WebsocketTls,
};
use tokio::net::TcpStream;

/// What should come of dialling the right address with another peer's designator.
pub(crate) enum WrongDesignator {
    Mismatch,
    /// Noticed, by one who can't say who answered.
    MismatchUnnamed,
    Unreachable,
    NobodyNotices,
    /// That other peer is reached, as the designator is all that says where.
    Leads,
}

/// A netlayer under test, and the world it lives in.
pub(crate) trait Subject: Send + Sync + 'static {
    const WRONG_DESIGNATOR: WrongDesignator;
    /// Whether an end that was told of the other's closing can still write.
    const HALF_CLOSES: bool = true;
    /// Whether who dials nobody is told by the channel's end only.
    const TELLS_LATE: bool = false;

    fn new() -> Self;
    /// A new peer somewhere.
    async fn listen(&self) -> Box<dyn Netlayer>;
    /// A peer at an address that another one had.
    async fn listen_again(&self, at: &PeerLocator) -> Result<Box<dyn Netlayer>, BindError>;
    /// A connection that does not shake hands, where there is such a thing.
    async fn rude(&self, to: &PeerLocator) -> Option<Box<dyn ByteStream>>;
    /// Locators that can't be dialled at all.
    fn undiallable(&self, like: &PeerLocator) -> Vec<PeerLocator>;
}

/// Deadlines that no test waits for: what would only end by one hangs, and is noticed.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.handshake_timeout = Duration::from_secs(3600);
    settings.connect_timeout = Duration::from_secs(3600);
    settings.max_handshakes = 80;
    settings
}

pub(crate) fn tcp_options(framed: bool) -> TcpOptions {
    let mut options = TcpOptions::default();
    options.settings = settings();
    if framed {
        options.settings.framing = Framing::LengthPrefixed;
    }
    options
}

/// A loopback address of its own for every listener, so that no other test can take a
/// port that this one has freed.
pub(crate) fn own_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    format!("{}:0", Ipv4Addr::new(127, 1, high, low))
}

pub(crate) fn tcp_address(at: &PeerLocator) -> String {
    format!("{}:{}", at.hints["host"], at.hints["port"])
}

pub(crate) fn without(like: &PeerLocator, hint: &str) -> PeerLocator {
    let mut bad = like.clone();
    bad.hints.remove(hint);
    bad
}

pub(crate) struct LoopbackSubject(LoopbackNetwork, AtomicU16);

impl Subject for LoopbackSubject {
    const WRONG_DESIGNATOR: WrongDesignator = WrongDesignator::Unreachable;

    fn new() -> Self {
        Self(LoopbackNetwork::new(), AtomicU16::new(0))
    }

    async fn listen(&self) -> Box<dyn Netlayer> {
        let name = format!("peer-{}", self.1.fetch_add(1, Ordering::Relaxed));
        Box::new(self.0.netlayer_with(name, settings()).unwrap())
    }

    async fn listen_again(&self, at: &PeerLocator) -> Result<Box<dyn Netlayer>, BindError> {
        let again = self.0.netlayer_with(&at.designator, settings())?;
        Ok(Box::new(again))
    }

    async fn rude(&self, _to: &PeerLocator) -> Option<Box<dyn ByteStream>> {
        None
    }

    fn undiallable(&self, _like: &PeerLocator) -> Vec<PeerLocator> {
        Vec::new()
    }
}

pub(crate) struct TestingOnlySubject<const FRAMED: bool>;

impl<const FRAMED: bool> Subject for TestingOnlySubject<FRAMED> {
    const WRONG_DESIGNATOR: WrongDesignator = WrongDesignator::NobodyNotices;

    fn new() -> Self {
        Self
    }

    async fn listen(&self) -> Box<dyn Netlayer> {
        let layer = TcpTestingOnly::bind(&own_address(), tcp_options(FRAMED)).await;
        Box::new(layer.unwrap())
    }

    async fn listen_again(&self, at: &PeerLocator) -> Result<Box<dyn Netlayer>, BindError> {
        let address = tcp_address(at);
        let layer = TcpTestingOnly::bind_as(&at.designator, &address, tcp_options(FRAMED)).await?;
        Ok(Box::new(layer))
    }

    // Without a handshake, whoever connects is accepted at once.
    async fn rude(&self, _to: &PeerLocator) -> Option<Box<dyn ByteStream>> {
        None
    }

    fn undiallable(&self, like: &PeerLocator) -> Vec<PeerLocator> {
        let port = |port| like.clone().with_hint("port", port);
        vec![without(like, "host"), without(like, "port"), port("70000"), port("")]
    }
}

pub(crate) struct TlsSubject<const FRAMED: bool>;

impl<const FRAMED: bool> Subject for TlsSubject<FRAMED> {
    const WRONG_DESIGNATOR: WrongDesignator = WrongDesignator::Mismatch;

    fn new() -> Self {
        Self
    }

    async fn listen(&self) -> Box<dyn Netlayer> {
        let identity = Identity::generate().unwrap();
        let layer = TcpTls::bind(&own_address(), identity, tcp_options(FRAMED)).await;
        Box::new(layer.unwrap())
    }

    async fn listen_again(&self, at: &PeerLocator) -> Result<Box<dyn Netlayer>, BindError> {
        let identity = Identity::generate().unwrap();
        let layer = TcpTls::bind(&tcp_address(at), identity, tcp_options(FRAMED)).await?;
        Ok(Box::new(layer))
    }

    async fn rude(&self, to: &PeerLocator) -> Option<Box<dyn ByteStream>> {
        Some(Box::new(TcpStream::connect(tcp_address(to)).await.unwrap()))
    }

    fn undiallable(&self, like: &PeerLocator) -> Vec<PeerLocator> {
        let mut named = like.clone();
        named.designator = "ada".into();
        vec![without(like, "host"), like.clone().with_hint("port", "x"), named]
    }
}

pub(crate) struct UnixSubject<const FRAMED: bool>(tempfile::TempDir, AtomicU16);

impl<const FRAMED: bool> UnixSubject<FRAMED> {
    async fn bind(path: &std::path::Path) -> Result<Unix, BindError> {
        let mut options = UnixOptions::default();
        options.settings = tcp_options(FRAMED).settings;
        Unix::bind(path, options).await
    }
}

impl<const FRAMED: bool> Subject for UnixSubject<FRAMED> {
    const WRONG_DESIGNATOR: WrongDesignator = WrongDesignator::Mismatch;

    fn new() -> Self {
        Self(tempfile::tempdir().unwrap(), AtomicU16::new(0))
    }

    async fn listen(&self) -> Box<dyn Netlayer> {
        let number = self.1.fetch_add(1, Ordering::Relaxed);
        let path = self.0.path().join(format!("{number}.sock"));
        Box::new(Self::bind(&path).await.unwrap())
    }

    async fn listen_again(&self, at: &PeerLocator) -> Result<Box<dyn Netlayer>, BindError> {
        let path = &at.hints["path"];
        Ok(Box::new(Self::bind(path.as_ref()).await?))
    }

    async fn rude(&self, _to: &PeerLocator) -> Option<Box<dyn ByteStream>> {
        None
    }

    fn undiallable(&self, like: &PeerLocator) -> Vec<PeerLocator> {
        let path = |path: String| like.clone().with_hint("path", path);
        vec![
            without(like, "path"),
            path("relative".into()),
            path("/\0".into()),
            path(format!("/{}", "x".repeat(200))),
        ]
    }
}

/// With TLS or without.
pub(crate) struct WebsocketSubject<const TLS: bool>;

impl<const TLS: bool> WebsocketSubject<TLS> {
    const SCHEME: &str = if TLS { "wss" } else { "ws" };

    async fn bind(address: &str) -> Result<Websocket, BindError> {
        let mut options = WebsocketOptions::default();
        options.tcp = tcp_options(false);
        if TLS {
            options.tls = WebsocketTls::OwnKey;
        }
        Websocket::bind(address, WebsocketIdentity::generate().unwrap(), options).await
    }

    fn address(at: &PeerLocator) -> &str {
        at.hints["url"].strip_prefix(Self::SCHEME).unwrap().strip_prefix("://").unwrap()
    }
}

impl<const TLS: bool> Subject for WebsocketSubject<TLS> {
    const WRONG_DESIGNATOR: WrongDesignator =
        if TLS { WrongDesignator::Mismatch } else { WrongDesignator::MismatchUnnamed };
    const HALF_CLOSES: bool = false;

    fn new() -> Self {
        Self
    }

    async fn listen(&self) -> Box<dyn Netlayer> {
        Box::new(Self::bind(&own_address()).await.unwrap())
    }

    async fn listen_again(&self, at: &PeerLocator) -> Result<Box<dyn Netlayer>, BindError> {
        Ok(Box::new(Self::bind(Self::address(at)).await?))
    }

    async fn rude(&self, to: &PeerLocator) -> Option<Box<dyn ByteStream>> {
        Some(Box::new(TcpStream::connect(Self::address(to)).await.unwrap()))
    }

    fn undiallable(&self, like: &PeerLocator) -> Vec<PeerLocator> {
        let mut named = like.clone();
        named.designator = "ada".into();
        let mut bad = vec![without(like, "url"), named];
        bad.extend(
            ["", "127.0.0.1:80", "http://127.0.0.1:80"]
                .map(|url| like.clone().with_hint("url", url)),
        );
        for place in
            ["", ":80", "127.0.0.1:0", "127.0.0.1:x", "127.0.0.1:70000", "ada@127.0.0.1:80"]
        {
            let url = format!("{}://{place}", Self::SCHEME);
            bad.push(like.clone().with_hint("url", url));
        }
        bad
    }
}

/// A world with one introduction server.
pub(crate) struct UnixDomainSocketSubject<const FRAMED: bool> {
    home: tempfile::TempDir,
    server: tokio::sync::OnceCell<IntroductionServer>,
    /// Where each peer's key is kept.
    keys: AtomicU16,
}

impl<const FRAMED: bool> UnixDomainSocketSubject<FRAMED> {
    fn path(&self) -> std::path::PathBuf {
        self.home.path().join("introductions")
    }

    async fn register(&self, key: &str) -> Result<UnixDomainSocket, BindError> {
        self.server
            .get_or_init(async || {
                let mut options = IntroductionOptions::default();
                options.settings = settings();
                // So that dialling nobody ends at once.
                options.patience = Duration::ZERO;
                let identity = UnixDomainSocketIdentity::generate().unwrap();
                IntroductionServer::bind(self.path(), identity, options).await.unwrap()
            })
            .await;
        let mut options = UnixDomainSocketOptions::default();
        options.settings = tcp_options(FRAMED).settings;
        let identity = UnixDomainSocketIdentity::load_or_create(self.home.path().join(key));
        UnixDomainSocket::register([self.path()], identity.unwrap(), options).await
    }
}

impl<const FRAMED: bool> Subject for UnixDomainSocketSubject<FRAMED> {
    const WRONG_DESIGNATOR: WrongDesignator = WrongDesignator::Leads;
    const TELLS_LATE: bool = true;

    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { home, server: tokio::sync::OnceCell::new(), keys: AtomicU16::new(0) }
    }

    async fn listen(&self) -> Box<dyn Netlayer> {
        let key = self.keys.fetch_add(1, Ordering::Relaxed).to_string();
        Box::new(self.register(&key).await.unwrap())
    }

    async fn listen_again(&self, at: &PeerLocator) -> Result<Box<dyn Netlayer>, BindError> {
        for key in 0..self.keys.load(Ordering::Relaxed) {
            let key = key.to_string();
            let kept = UnixDomainSocketIdentity::load_or_create(self.home.path().join(&key));
            if kept.unwrap().designator() == at.designator {
                return Ok(Box::new(self.register(&key).await?));
            }
        }
        panic!("nobody had {at}");
    }

    async fn rude(&self, _to: &PeerLocator) -> Option<Box<dyn ByteStream>> {
        Some(Box::new(tokio::net::UnixStream::connect(self.path()).await.unwrap()))
    }

    fn undiallable(&self, like: &PeerLocator) -> Vec<PeerLocator> {
        let mut named = like.clone();
        named.designator = "ada".into();
        let mut nowhere = like.clone();
        nowhere.hints.clear();
        vec![named, nowhere]
    }
}
