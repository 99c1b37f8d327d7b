//! Addresses to listen on and to be dialled at, as people write them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::BindError;
use crate::netlayer::{Framing, Netlayer};
use crate::settings::Settings;
use crate::tcp::TcpOptions;
use crate::tcp_testing_only::TcpTestingOnly;
use crate::tcp_tls::{Identity, IdentityError, TcpTls};
use crate::unix::{Unix, UnixOptions};
use crate::unix_domain_socket::{
    IntroductionOptions, IntroductionServer, UnixDomainSocket, UnixDomainSocketIdentity,
    UnixDomainSocketOptions,
};
use crate::websocket::{
    Websocket, WebsocketCertificate, WebsocketIdentity, WebsocketOptions, WebsocketTls,
    WebsocketTrust,
};

/// Where a node listens: `TRANSPORT:ADDRESS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// `tcp-tls:HOST:PORT`.
    TcpTls(String),
    /// `tcp-testing-only:HOST:PORT`.
    TcpTestingOnly(String),
    /// `websocket:HOST:PORT`.
    Websocket(String),
    /// `unix:PATH`.
    Unix(PathBuf),
    /// `unix-domain-socket:PATH`, of an introduction server.
    UnixDomainSocket(PathBuf),
}

impl ListenAddress {
    /// Whether it is one of the TCP transports, which can be dialled at another address
    /// than the one listened on.
    #[must_use]
    pub const fn is_tcp(&self) -> bool {
        matches!(self, Self::TcpTls(_) | Self::TcpTestingOnly(_) | Self::Websocket(_))
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = "write tcp-tls:HOST:PORT, websocket:HOST:PORT, unix:PATH, \
                      unix-domain-socket:PATH or tcp-testing-only:HOST:PORT";
        let (transport, address) = text.split_once(':').ok_or(wanted)?;
        match transport {
            "tcp-tls" | "websocket" | "tcp-testing-only" => {
                let (host, port) = host_port(address)?;
                let address = format!("{host}:{port}");
                Ok(match transport {
                    "tcp-tls" => Self::TcpTls(address),
                    "websocket" => Self::Websocket(address),
                    _ => Self::TcpTestingOnly(address),
                })
            }
            "unix" | "unix-domain-socket" if address.is_empty() => {
                Err(format!("{transport}: needs a path after it"))
            }
            "unix" | "unix-domain-socket" => {
                let path = std::path::absolute(address).map_err(|error| error.to_string())?;
                Ok(match transport {
                    "unix" => Self::Unix(path),
                    _ => Self::UnixDomainSocket(path),
                })
            }
            other => Err(format!("no transport {other:?} here: {wanted}")),
        }
    }
}

/// Splits `HOST:PORT`, with IPv6 addresses in brackets.
fn host_port(text: &str) -> Result<(&str, u16), String> {
    let (host, port) =
        text.rsplit_once(':').ok_or("the port is missing: HOST:PORT is wanted, port 0 for any")?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() {
        return Err("the host is missing: HOST:PORT is wanted".to_owned());
    }
    if host.contains(':') && !bracketed {
        return Err("write an IPv6 address in brackets: [::1]:PORT".to_owned());
    }
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let port = port.parse().ok().filter(|_| digits);
    let port = port.ok_or("the port is not a number from 0 to 65535")?;
    Ok((host, port))
}

/// The address that others should dial: `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicAddress {
    host: String,
    port: u16,
}

impl FromStr for PublicAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = host_port(text)?;
        if port == 0 {
            return Err("nobody can dial port 0".to_owned());
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Self { host: bare.to_owned(), port })
    }
}

/// Why there is no listening at an address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The address can't be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The identity of a netlayer can't be had.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Where the identities of netlayers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identities {
    /// They are new, and end with the netlayer.
    New,
    /// They are kept in this directory, and made there when first needed.
    KeptIn(PathBuf),
}

impl Identities {
    fn tcp_tls(&self) -> Result<Identity, IdentityError> {
        match self {
            Self::New => Identity::generate(),
            Self::KeptIn(directory) => Identity::load_or_create(directory),
        }
    }

    fn websocket(&self) -> Result<WebsocketIdentity, IdentityError> {
        match self {
            Self::New => WebsocketIdentity::generate(),
            Self::KeptIn(directory) => WebsocketIdentity::load_or_create(directory),
        }
    }

    fn unix_domain_socket(&self) -> Result<UnixDomainSocketIdentity, IdentityError> {
        match self {
            Self::New => UnixDomainSocketIdentity::generate(),
            Self::KeptIn(directory) => UnixDomainSocketIdentity::load_or_create(directory),
        }
    }

    fn introduction_server(&self) -> Result<UnixDomainSocketIdentity, IdentityError> {
        match self {
            Self::New => UnixDomainSocketIdentity::generate(),
            Self::KeptIn(directory) => UnixDomainSocketIdentity::load_or_create_server(directory),
        }
    }
}

impl ListenAddress {
    /// Listens there, with default settings. Of the `identities` only that of the
    /// transport is asked for; `public` is what others dial, if that is not where we
    /// listen.
    ///
    /// # Errors
    ///
    /// If the address can't be listened on, or the identity can't be had.
    pub async fn listen(
        &self,
        public: Option<&PublicAddress>,
        identities: &Identities,
    ) -> Result<Box<dyn Netlayer>, ListenError> {
        ListenSpec::from(self.clone()).listen(public, identities).await
    }
}

/// Where a node listens and with which settings: `TRANSPORT:ADDRESS[?NAME=VALUE&…]`.
///
/// | setting | for | |
/// |---|---|---|
/// | `framing=raw`, `framing=length` | all but `websocket` | [`Settings::framing`] |
/// | `max-message=BYTES` | all | [`Settings::max_message`] |
/// | `handshake-seconds=N` | all | [`Settings::handshake_timeout`] |
/// | `tls=own-key`, `tls=FILE` | `websocket` | [`ListenTls`]; `key=FILE` if the key is in a file of its own |
/// | `trust=designator`, `trust=FILE`, `trust=anybody` | `websocket` | [`ListenTrust`] |
/// | `plain=yes`, `plain=no` | `websocket` | whether it dials `ws://` too |
/// | `introduce=yes`, `introduce=no` | `unix-domain-socket` | [`introduce`](ListenSpec::introduce) |
///
/// They hold for dialling too. Here a path may have no `?` in it.
///
/// ```
/// let spec: netlayers::ListenSpec = "tcp-testing-only:127.0.0.1:0?framing=length".parse()?;
/// assert_eq!(spec.settings.framing, netlayers::Framing::LengthPrefixed);
/// # Ok::<_, String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenSpec {
    /// Where.
    pub address: ListenAddress,
    /// Deadlines, limits and framing.
    pub settings: Settings,
    /// For `websocket`: with what it speaks TLS.
    pub tls: ListenTls,
    /// For `websocket`: whose certificates it takes.
    pub trust: ListenTrust,
    /// For `websocket`: whether it dials no `ws://`.
    pub only_tls: bool,
    /// For `unix-domain-socket`: whether to be the introduction server at the path, and
    /// not only to register with the one that is there.
    pub introduce: bool,
}

/// With what a `websocket` listener speaks TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListenTls {
    /// Not at all.
    #[default]
    Off,
    /// With a certificate of its identity's own key.
    OwnKey,
    /// With one from a PEM file.
    Files {
        /// The certificates.
        certificates: PathBuf,
        /// The file with the key, if it is another one.
        key: Option<PathBuf>,
    },
}

impl ListenTls {
    fn load(&self) -> Result<WebsocketTls, IdentityError> {
        Ok(match self {
            Self::Off => WebsocketTls::Off,
            Self::OwnKey => WebsocketTls::OwnKey,
            Self::Files { certificates, key } => {
                let key = key.as_ref().unwrap_or(certificates);
                let certificate = WebsocketCertificate::load(certificates, key)?;
                WebsocketTls::Certificate(Arc::new(certificate))
            }
        })
    }
}

/// Whose certificates are taken by a `websocket` netlayer that dials: see
/// [`WebsocketTrust`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListenTrust {
    /// Nobody's but that of the key that is the designator.
    #[default]
    Designator,
    /// Those in this PEM file, and whom they vouch for.
    File(PathBuf),
    /// **Anybody's**.
    Anybody,
}

impl ListenTrust {
    fn load(&self) -> Result<WebsocketTrust, IdentityError> {
        Ok(match self {
            Self::Designator => WebsocketTrust::Designator,
            Self::File(path) => WebsocketTrust::load(path)?,
            Self::Anybody => WebsocketTrust::Anybody,
        })
    }
}

impl From<ListenAddress> for ListenSpec {
    fn from(address: ListenAddress) -> Self {
        Self {
            address,
            settings: Settings::default(),
            tls: ListenTls::Off,
            trust: ListenTrust::Designator,
            only_tls: false,
            introduce: false,
        }
    }
}

impl FromStr for ListenSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, settings) = text.split_once('?').unwrap_or((text, ""));
        let mut spec = Self::from(address.parse::<ListenAddress>()?);
        let mut seen = BTreeSet::new();
        for setting in settings.split('&').filter(|setting| !setting.is_empty()) {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            if !seen.insert(name) {
                return Err(format!("{name} is set twice"));
            }
            if name != "key" {
                spec.set(name, value)?;
            }
        }
        let key = settings.split('&').find_map(|setting| setting.strip_prefix("key="));
        match (&mut spec.tls, key) {
            (_, None) => {}
            (ListenTls::Files { key, .. }, Some(path)) => *key = Some(file("key", path)?),
            _ => return Err("key means nothing without tls=FILE".to_owned()),
        }
        Ok(spec)
    }
}

impl ListenSpec {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let websocket = matches!(self.address, ListenAddress::Websocket(_));
        match name {
            "framing" if !websocket => {
                self.settings.framing = match value {
                    "raw" => Framing::RawSyrup,
                    "length" => Framing::LengthPrefixed,
                    _ => return Err("framing is raw or length".to_owned()),
                }
            }
            "max-message" => self.settings.max_message = number(name, value)?,
            "handshake-seconds" => {
                self.settings.handshake_timeout = Duration::from_secs(number(name, value)?);
            }
            "tls" if websocket => {
                self.tls = match value {
                    "own-key" => ListenTls::OwnKey,
                    path => ListenTls::Files { certificates: file(name, path)?, key: None },
                }
            }
            "trust" if websocket => {
                self.trust = match value {
                    "designator" => ListenTrust::Designator,
                    "anybody" => ListenTrust::Anybody,
                    path => ListenTrust::File(file(name, path)?),
                }
            }
            "plain" if websocket => {
                self.only_tls = match value {
                    "yes" => false,
                    "no" => true,
                    _ => return Err("plain is yes or no".to_owned()),
                }
            }
            "introduce" if matches!(self.address, ListenAddress::UnixDomainSocket(_)) => {
                self.introduce = match value {
                    "yes" => true,
                    "no" => false,
                    _ => return Err("introduce is yes or no".to_owned()),
                }
            }
            _ => return Err(format!("there is no setting {name:?} here")),
        }
        Ok(())
    }

    /// As [`ListenAddress::listen`], with these settings.
    ///
    /// # Errors
    ///
    /// If the address can't be listened on, or the identity can't be had.
    pub async fn listen(
        &self,
        public: Option<&PublicAddress>,
        identities: &Identities,
    ) -> Result<Box<dyn Netlayer>, ListenError> {
        let settings = self.settings.clone();
        let mut tcp = TcpOptions { settings: settings.clone(), ..TcpOptions::default() };
        if let Some(public) = public {
            tcp.public_host = Some(public.host.clone());
            tcp.public_port = Some(public.port);
        }
        Ok(match &self.address {
            ListenAddress::TcpTls(address) => {
                Box::new(TcpTls::bind(address, identities.tcp_tls()?, tcp).await?)
            }
            ListenAddress::Websocket(address) => {
                let options = WebsocketOptions {
                    tcp,
                    tls: self.tls.load()?,
                    trust: self.trust.load()?,
                    only_tls: self.only_tls,
                };
                Box::new(Websocket::bind(address, identities.websocket()?, options).await?)
            }
            ListenAddress::TcpTestingOnly(address) => {
                Box::new(TcpTestingOnly::bind(address, tcp).await?)
            }
            ListenAddress::Unix(path) => {
                let options = UnixOptions { settings, ..UnixOptions::default() };
                Box::new(Unix::bind(path, options).await?)
            }
            ListenAddress::UnixDomainSocket(path) => {
                let mut options = UnixDomainSocketOptions::default();
                options.settings.clone_from(&settings);
                let identity = identities.unix_domain_socket()?;
                if !self.introduce {
                    return Ok(Box::new(
                        UnixDomainSocket::register([path], identity, options).await?,
                    ));
                }
                let offers = IntroductionOptions { settings, ..IntroductionOptions::default() };
                let server = identities.introduction_server()?;
                let server = IntroductionServer::bind(path, server, offers).await?;
                let ours = UnixDomainSocket::register([server.path()], identity, options).await?;
                Box::new(ours.with_server(server))
            }
        })
    }
}

/// A setting's value that is a file's path.
fn file(name: &str, value: &str) -> Result<PathBuf, String> {
    if value.is_empty() {
        return Err(format!("{name} needs a path after it"));
    }
    std::path::absolute(value).map_err(|error| error.to_string())
}

/// A setting's value that counts something, of which there must be some.
fn number<N: FromStr + Default + PartialEq>(name: &str, value: &str) -> Result<N, String> {
    Some(value)
        .filter(|value| value.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|value| value.parse().ok())
        .filter(|number| *number != N::default())
        .ok_or_else(|| format!("{name} is a number above 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let parse = |text: &str| text.parse::<ListenAddress>();
        assert_eq!(parse("tcp-tls:127.0.0.1:0"), Ok(ListenAddress::TcpTls("127.0.0.1:0".into())));
        assert_eq!(
            parse("tcp-testing-only:[::1]:70"),
            Ok(ListenAddress::TcpTestingOnly("[::1]:70".into()))
        );
        assert_eq!(
            parse("websocket:localhost:80"),
            Ok(ListenAddress::Websocket("localhost:80".into()))
        );
        assert_eq!(parse("unix:/x/y"), Ok(ListenAddress::Unix("/x/y".into())));
        assert_eq!(
            parse("unix-domain-socket:/x"),
            Ok(ListenAddress::UnixDomainSocket("/x".into()))
        );
        for (bad, what) in [
            ("tcp-tls", "write tcp-tls:"),
            ("tcp-tls:127.0.0.1", "port is missing"),
            ("tcp-tls::1", "host is missing"),
            ("tcp-tls:::1:0", "brackets"),
            ("tcp-tls:localhost:99999", "65535"),
            ("tcp-tls:localhost:+5", "65535"),
            ("tcp-tls:localhost:", "65535"),
            ("websocket:localhost", "port is missing"),
            ("http:localhost:1", "no transport"),
            ("unix:", "path"),
            ("unix-domain-socket:", "path"),
            ("", "write tcp-tls:"),
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.contains(what), "{bad}: {error}");
        }
        assert!("boss.example:0".parse::<PublicAddress>().is_err());
        assert!("boss.example:7000".parse::<PublicAddress>().is_ok());
    }

    #[test]
    fn settings_follow_the_address() {
        let parse = |text: &str| text.parse::<ListenSpec>();
        let plain = parse("websocket:localhost:80").unwrap();
        assert_eq!(plain, ListenAddress::Websocket("localhost:80".into()).into());
        let spec = parse("unix:/x?framing=length&max-message=500&handshake-seconds=3").unwrap();
        assert_eq!(spec.address, ListenAddress::Unix("/x".into()));
        assert_eq!(spec.settings.framing, Framing::LengthPrefixed);
        assert_eq!(spec.settings.max_message, 500);
        assert_eq!(spec.settings.handshake_timeout, Duration::from_secs(3));
        let raw = parse("tcp-tls:[::1]:0?framing=raw").unwrap();
        assert_eq!(raw.settings, Settings::default());
        let wss = parse("websocket:h:0?tls=/c&key=/k&trust=/t&plain=no").unwrap();
        let files = ListenTls::Files { certificates: "/c".into(), key: Some("/k".into()) };
        assert_eq!((wss.tls, wss.trust), (files, ListenTrust::File("/t".into())));
        assert!(wss.only_tls);
        let own = parse("websocket:h:0?tls=own-key&trust=anybody").unwrap();
        assert_eq!((own.tls, own.trust), (ListenTls::OwnKey, ListenTrust::Anybody));
        assert!(!own.only_tls);
        for (bad, what) in [
            ("websocket:h:0?tls=", "path"),
            ("websocket:h:0?key=/k", "without tls"),
            ("websocket:h:0?tls=own-key&key=/k", "without tls"),
            ("websocket:h:0?plain=maybe", "yes or no"),
            ("tcp-tls:h:0?tls=own-key", "no setting"),
            ("unix:/x?introduce=yes", "no setting"),
            ("unix-domain-socket:/x?introduce=1", "yes or no"),
            ("tcp-tls:h:0?key=/k", "without tls"),
            ("tcp-tls:h:0?framing=comma", "raw or length"),
            ("tcp-tls:h:0?framing", "raw or length"),
            ("tcp-tls:h:0?framing=raw&framing=raw", "twice"),
            ("websocket:h:0?framing=raw", "no setting"),
            ("tcp-tls:h:0?nonsense=1", "no setting"),
            ("tcp-tls:h:0?max-message=0", "above 0"),
            ("tcp-tls:h:0?max-message=", "above 0"),
            ("tcp-tls:h:0?max-message=+1", "above 0"),
            ("tcp-tls:h?framing=raw", "port is missing"),
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.contains(what), "{bad}: {error}");
        }
    }

    #[tokio::test]
    async fn websocket_listens_with_tls_where_told_to() {
        let spec: ListenSpec = "websocket:127.0.0.1:0?tls=own-key&plain=no".parse().unwrap();
        let netlayer = spec.listen(None, &Identities::New).await.unwrap();
        assert!(netlayer.location().hints["url"].starts_with("wss://"));
        assert!(netlayer.guarantees().confidential);
        let spec: ListenSpec = "websocket:127.0.0.1:0?tls=/nowhere/x.pem".parse().unwrap();
        let outcome = spec.listen(None, &Identities::New).await;
        assert!(matches!(outcome, Err(ListenError::Identity(_))));
    }

    #[tokio::test]
    async fn one_node_introduces_and_another_registers() {
        let home = tempfile::tempdir().unwrap();
        let at = format!("unix-domain-socket:{}", home.path().join("s").display());
        let listen = async |text: &str| {
            text.parse::<ListenSpec>().unwrap().listen(None, &Identities::New).await
        };
        assert!(listen(&at).await.is_err(), "there is no server");
        let ada = listen(&format!("{at}?introduce=yes")).await.unwrap();
        let ben = listen(&at).await.unwrap();
        let to = ada.location();
        let (dialled, accepted) = tokio::join!(ben.connect(&to), ada.accept());
        assert_eq!(dialled.unwrap().proven, Some(to.designator));
        assert_eq!(accepted.unwrap().proven, Some(ben.location().designator));
        ada.shutdown().await;
        assert!(!home.path().join("s").exists());
    }
}
