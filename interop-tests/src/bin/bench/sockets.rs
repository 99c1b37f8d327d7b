//! Bare sockets: what every candidate's bytes go over in the end. Shared with the
//! program of the peers.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::tls;

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Unix,
    Tcp,
    /// TLS 1.3, with a certificate of either side.
    Tls,
}

impl Transport {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unix => "unix",
            Self::Tcp => "tcp",
            Self::Tls => "tcp-tls",
        }
    }
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = [Self::Unix, Self::Tcp, Self::Tls].into_iter().find(|it| it.name() == name);
        known.ok_or_else(|| format!("no transport {name}"))
    }
}

/// A connection.
pub(crate) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects to where a [`Listener`] says it is.
pub(crate) async fn dial(transport: Transport, address: &str) -> io::Result<Socket> {
    Ok(match transport {
        Transport::Unix => Socket::Unix(UnixStream::connect(address).await?),
        Transport::Tcp => Socket::Tcp(connect(address).await?),
        Transport::Tls => {
            let connector = TlsConnector::from(tls::client());
            let stream = connector.connect(tls::name(), connect(address).await?).await?;
            Socket::Tls(Box::new(stream.into()))
        }
    })
}

async fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Where connections come in.
pub(crate) enum Listener {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
    Tls(TcpListener, TlsAcceptor),
}

impl Listener {
    /// Listens; on a Unix socket of that name in `directory`.
    pub(crate) async fn bind(
        transport: Transport,
        directory: &Path,
        name: &str,
    ) -> io::Result<Self> {
        let loopback = ("127.0.0.1", 0);
        Ok(match transport {
            Transport::Unix => {
                let path = directory.join(name);
                Self::Unix(UnixListener::bind(&path)?, path)
            }
            Transport::Tcp => Self::Tcp(TcpListener::bind(loopback).await?),
            Transport::Tls => {
                let listener = TcpListener::bind(loopback).await?;
                Self::Tls(listener, TlsAcceptor::from(tls::server()))
            }
        })
    }

    /// What to [`dial`].
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Unix(_, path) => path.display().to_string(),
            Self::Tcp(listener) | Self::Tls(listener, _) => {
                listener.local_addr().expect("it is bound").to_string()
            }
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Unix(listener, _) => Ok(Socket::Unix(listener.accept().await?.0)),
            Self::Tcp(listener) | Self::Tls(listener, _) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                if let Self::Tls(_, acceptor) = self {
                    return Ok(Socket::Tls(Box::new(acceptor.accept(stream).await?.into())));
                }
                Ok(Socket::Tcp(stream))
            }
        }
    }
}

/// Gives a call on to whichever stream it is.
macro_rules! either {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket.get_mut() {
            Self::Unix(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Self::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Self::Tls(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(context))
    }
}
