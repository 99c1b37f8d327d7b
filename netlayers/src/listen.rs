//! Addresses to listen on and to be dialled at, as people write them.

use std::path::PathBuf;
use std::str::FromStr;

use crate::error::BindError;
use crate::netlayer::Netlayer;
use crate::tcp::TcpOptions;
use crate::tcp_testing_only::TcpTestingOnly;
use crate::tcp_tls::{Identity, IdentityError, TcpTls};
use crate::unix::{Unix, UnixOptions};
use crate::websocket::{Websocket, WebsocketIdentity, WebsocketOptions};

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
        let wanted = "write tcp-tls:HOST:PORT, websocket:HOST:PORT, unix:PATH or \
                      tcp-testing-only:HOST:PORT";
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
            "unix" if address.is_empty() => Err("unix: needs a path after it".to_owned()),
            "unix" => {
                std::path::absolute(address).map(Self::Unix).map_err(|error| error.to_string())
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
}

impl ListenAddress {
    /// Listens there. Of the `identities` only that of the transport is asked for; `public` is what others
    /// dial, if that is not where we listen.
    ///
    /// # Errors
    ///
    /// If the address can't be listened on, or the identity can't be had.
    pub async fn listen(
        &self,
        public: Option<&PublicAddress>,
        identities: &Identities,
    ) -> Result<Box<dyn Netlayer>, ListenError> {
        let mut options = TcpOptions::default();
        if let Some(public) = public {
            options.public_host = Some(public.host.clone());
            options.public_port = Some(public.port);
        }
        Ok(match self {
            Self::TcpTls(address) => {
                Box::new(TcpTls::bind(address, identities.tcp_tls()?, options).await?)
            }
            Self::Websocket(address) => {
                let options = WebsocketOptions { tcp: options, ..WebsocketOptions::default() };
                Box::new(Websocket::bind(address, identities.websocket()?, options).await?)
            }
            Self::TcpTestingOnly(address) => {
                Box::new(TcpTestingOnly::bind(address, options).await?)
            }
            Self::Unix(path) => Box::new(Unix::bind(path, UnixOptions::default()).await?),
        })
    }
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
            ("", "write tcp-tls:"),
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.contains(what), "{bad}: {error}");
        }
        assert!("boss.example:0".parse::<PublicAddress>().is_err());
        assert!("boss.example:7000".parse::<PublicAddress>().is_ok());
    }
}
