//! What the TCP netlayers share: addresses in locators, listening, dialling and the
//! options set on every socket.

use std::io;
use std::time::Duration;

use captp::locator::PeerLocator;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

use crate::acceptor::Listen;
use crate::error::{BadLocator, BindError, ConnectError};
use crate::settings::Settings;

/// How a TCP netlayer is set up. The default suits a machine whose address is the one
/// it listens on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpOptions {
    /// The host that others should dial, when it is not the address listened on.
    pub public_host: Option<String>,
    /// The port that others should dial, when it is not the one listened on.
    pub public_port: Option<u16>,
    /// Deadlines and limits.
    pub settings: Settings,
}

/// Refuses a locator for another netlayer.
pub(crate) fn expect_transport(to: &PeerLocator, expected: &'static str) -> Result<(), BadLocator> {
    if to.transport == expected {
        return Ok(());
    }
    Err(BadLocator::Transport { expected, found: to.transport.clone() })
}

/// The host and port in a locator's hints.
pub(crate) fn target(
    to: &PeerLocator,
    default_port: Option<u16>,
) -> Result<(String, u16), BadLocator> {
    let hint = |name| to.hints.get(name).filter(|value| !value.is_empty());
    let host = hint("host").ok_or(BadLocator::MissingHint("host"))?;
    // IPv6 addresses come with brackets from people used to URLs.
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let port = match hint("port") {
        None => default_port.ok_or(BadLocator::MissingHint("port"))?,
        // `parse` alone would let a plus sign through.
        Some(port) => Some(port)
            .filter(|port| port.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|port| port.parse().ok())
            .filter(|port| *port != 0)
            .ok_or(BadLocator::BadHint { name: "port", wanted: "a number from 1 to 65535" })?,
    };
    Ok((bare.unwrap_or(host).to_owned(), port))
}

/// `host:port`, for logs and people.
pub(crate) fn show(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Dials, trying every address that the host name has, within the time allowed.
pub(crate) async fn dial(
    host: &str,
    port: u16,
    settings: &Settings,
) -> Result<TcpStream, ConnectError> {
    let address = show(host, port);
    let patience = settings.connect_timeout;
    match tokio::time::timeout(patience, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => {
            set_options(&stream, settings).map_err(|error| ConnectError::io(address, error))?;
            Ok(stream)
        }
        Ok(Err(error)) => Err(ConnectError::io(address, error)),
        Err(_elapsed) => Err(ConnectError::timed_out(address, patience)),
    }
}

/// A listening TCP socket and the hints that lead to it.
pub(crate) struct Bound {
    pub(crate) listener: TcpListener,
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Listens on `address` (`host:port`; port 0 lets the system choose).
pub(crate) async fn bind(address: &str, options: &TcpOptions) -> Result<Bound, BindError> {
    if options.public_host.as_deref() == Some("") {
        return Err(BindError::Empty("public host"));
    }
    let refused = |source| BindError::Address { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let local = listener.local_addr().map_err(refused)?;
    let host = match &options.public_host {
        Some(host) => host.clone(),
        None if local.ip().is_unspecified() => {
            return Err(BindError::NoPublicHost { address: address.to_owned() });
        }
        None => local.ip().to_string(),
    };
    let port = options.public_port.unwrap_or(local.port());
    Ok(Bound { listener, host, port })
}

/// A TCP socket that sets its options on every connection it accepts.
pub(crate) struct TcpListen {
    pub(crate) listener: TcpListener,
    pub(crate) settings: Settings,
}

impl Listen for TcpListen {
    type Connection = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, String)> {
        let (stream, address) = self.listener.accept().await?;
        if let Err(error) = set_options(&stream, &self.settings) {
            // The connection may be gone already; its handshake will find out.
            tracing::debug!(peer = %address, %error, "can't set socket options");
        }
        Ok((stream, address.to_string()))
    }
}

/// Small messages leave at once, and a peer that vanished without a word is noticed.
fn set_options(stream: &TcpStream, settings: &Settings) -> io::Result<()> {
    const PROBES: u32 = 4;
    stream.set_nodelay(true)?;
    let Some(idle) = settings.keepalive else {
        return Ok(());
    };
    // The system counts whole seconds, and refuses none.
    let idle = idle.clamp(Duration::from_secs(PROBES.into()), Duration::from_secs(32_000));
    let keepalive =
        TcpKeepalive::new().with_time(idle).with_interval(idle / PROBES).with_retries(PROBES);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(idle * 2))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(hints: &[(&str, &str)]) -> PeerLocator {
        hints
            .iter()
            .fold(PeerLocator::new("t", "d"), |peer, (name, value)| peer.with_hint(*name, *value))
    }

    #[test]
    fn hints_lead_to_an_address_or_say_why_not() {
        let good = [
            (vec![("host", "h"), ("port", "1")], ("h", 1)),
            (vec![("host", "::1"), ("port", "65535")], ("::1", 65535)),
            (vec![("host", "[::1]"), ("port", "080")], ("::1", 80)),
            (vec![("host", "h")], ("h", 8088)),
        ];
        for (hints, (host, port)) in good {
            assert_eq!(target(&peer(&hints), Some(8088)), Ok((host.into(), port)));
        }
        for port in ["0", "65536", "+1", "-1", "1 ", "x"] {
            let answer = target(&peer(&[("host", "h"), ("port", port)]), None);
            assert!(matches!(answer, Err(BadLocator::BadHint { name: "port", .. })), "{port}");
        }
        let missing = [
            (vec![], "host"),
            (vec![("host", ""), ("port", "1")], "host"),
            (vec![("host", "h")], "port"),
        ];
        for (hints, name) in missing {
            assert_eq!(target(&peer(&hints), None), Err(BadLocator::MissingHint(name)));
        }
        assert_eq!(show("::1", 5), "[::1]:5");
    }

    #[tokio::test]
    async fn sockets_have_their_options_on_both_ends() {
        let options = TcpOptions::default();
        let bound = bind("127.0.0.1:0", &options).await.unwrap();
        let (host, port) = (bound.host, bound.port);
        let mut listen = TcpListen { listener: bound.listener, settings: options.settings.clone() };
        let (dialled, accepted) =
            tokio::join!(dial(&host, port, &options.settings), listen.accept());
        for stream in [dialled.unwrap(), accepted.unwrap().0] {
            assert!(stream.nodelay().unwrap());
            let socket = SockRef::from(&stream);
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
            #[cfg(target_os = "linux")]
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(120)));
        }
    }

    #[tokio::test]
    async fn all_interfaces_need_a_public_host() {
        let refused = bind("0.0.0.0:0", &TcpOptions::default()).await;
        assert!(matches!(refused, Err(BindError::NoPublicHost { .. })));
        let options = TcpOptions {
            public_host: Some("example.org".into()),
            public_port: Some(7),
            ..TcpOptions::default()
        };
        let bound = bind("0.0.0.0:0", &options).await.unwrap();
        assert_eq!((bound.host.as_str(), bound.port), ("example.org", 7));
    }
}
