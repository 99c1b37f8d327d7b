//! `--listen` and `--public-address`: how they are written and what they set up.

use std::path::PathBuf;
use std::str::FromStr;

use ocapn::NodeBuilder;
use ocapn::netlayers::{
    BindError, Identity, TcpOptions, TcpTestingOnly, TcpTls, Unix, UnixOptions,
};

/// Where a node listens: `TRANSPORT:ADDRESS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenAddress {
    /// `tcp-tls:HOST:PORT`.
    TcpTls(String),
    /// `tcp-testing-only:HOST:PORT`.
    TcpTestingOnly(String),
    /// `unix:PATH`.
    Unix(PathBuf),
}

impl ListenAddress {
    pub(crate) const fn is_tcp(&self) -> bool {
        matches!(self, Self::TcpTls(_) | Self::TcpTestingOnly(_))
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = "write tcp-tls:HOST:PORT, unix:PATH or tcp-testing-only:HOST:PORT";
        let (transport, address) = text.split_once(':').ok_or(wanted)?;
        match transport {
            "tcp-tls" | "tcp-testing-only" => {
                let (host, port) = host_port(address)?;
                let address = format!("{host}:{port}");
                Ok(if transport == "tcp-tls" {
                    Self::TcpTls(address)
                } else {
                    Self::TcpTestingOnly(address)
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
pub(crate) struct PublicAddress {
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

/// TCP options that name the address to dial.
pub(crate) fn tcp_options(public: Option<&PublicAddress>) -> TcpOptions {
    let mut options = TcpOptions::default();
    if let Some(public) = public {
        options.public_host = Some(public.host.clone());
        options.public_port = Some(public.port);
    }
    options
}

/// Listens, and adds the netlayer to the node. `identity` is asked for when needed.
pub(crate) async fn bind(
    builder: NodeBuilder,
    address: &ListenAddress,
    public: Option<&PublicAddress>,
    identity: impl FnOnce() -> anyhow::Result<Identity>,
) -> anyhow::Result<NodeBuilder> {
    Ok(match address {
        ListenAddress::TcpTls(address) => {
            let identity = identity()?;
            builder.netlayer(TcpTls::bind(address, identity, tcp_options(public)).await?)
        }
        ListenAddress::TcpTestingOnly(address) => {
            builder.netlayer(TcpTestingOnly::bind(address, tcp_options(public)).await?)
        }
        ListenAddress::Unix(path) => builder.netlayer(bind_unix(path).await?),
    })
}

/// Listens on a Unix socket for this user and root.
pub(crate) async fn bind_unix(path: &std::path::Path) -> Result<Unix, BindError> {
    Unix::bind(path, UnixOptions::default()).await
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
        assert_eq!(parse("unix:/x/y"), Ok(ListenAddress::Unix("/x/y".into())));
        for (bad, what) in [
            ("tcp-tls", "write tcp-tls:"),
            ("tcp-tls:127.0.0.1", "port is missing"),
            ("tcp-tls::1", "host is missing"),
            ("tcp-tls:::1:0", "brackets"),
            ("tcp-tls:localhost:99999", "65535"),
            ("tcp-tls:localhost:+5", "65535"),
            ("tcp-tls:localhost:", "65535"),
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
