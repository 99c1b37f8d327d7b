//! A WebSocket as a stream of bytes: reading joins the binary messages, writing sends
//! each whole Syrup value as a binary message of its own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Sink, Stream};
use syrup::Scanner;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

/// How much is sent at most in one message of what is not Syrup.
const PIECE: usize = 64 * 1024;

/// The byte stream over a WebSocket.
///
/// What is written is cut where Syrup values end. A flush, or the end, sends what there
/// is, even of a value that is not whole: flush between values. Bytes that are not
/// Syrup, and all after them, are sent as they come.
pub(super) struct MessageStream {
    socket: WebSocketStream<TcpStream>,
    /// What came and was not read yet.
    unread: Bytes,
    ended: bool,
    /// The beginning of a value, until it is whole.
    value: Vec<u8>,
    /// Finds where values end; `None` once something was no Syrup.
    scanner: Option<Scanner>,
    closing: bool,
    max_message: usize,
}

impl MessageStream {
    /// A stream whose messages have at most `max_message` bytes.
    pub(super) fn new(socket: WebSocketStream<TcpStream>, max_message: usize) -> Self {
        Self {
            socket,
            unread: Bytes::new(),
            ended: false,
            value: Vec::new(),
            scanner: Some(any_syrup()),
            closing: false,
            max_message,
        }
    }

    /// Takes bytes up to the end of a value. Says how many, and whether `value` is to be
    /// sent now.
    fn take(&mut self, bytes: &[u8]) -> io::Result<(usize, bool)> {
        let before = self.value.len();
        let Some(scanner) = &mut self.scanner else {
            let piece = bytes.get(..PIECE.min(self.max_message)).unwrap_or(bytes);
            self.value.extend_from_slice(piece);
            return Ok((piece.len(), true));
        };
        // A write may hold many values, so only the last one's beginning is kept.
        let found = if before == 0 {
            scanner.scan(bytes)
        } else {
            self.value.extend_from_slice(bytes);
            scanner.scan(&self.value)
        };
        let (end, whole) = match found {
            Ok(Some(end)) => (end, true),
            Ok(None) => (before + bytes.len(), false),
            Err(_no_syrup) => {
                self.scanner = None;
                self.value.truncate(before);
                return Ok((0, before > 0));
            }
        };
        if end > self.max_message {
            self.value.truncate(before);
            let why = format!("a message of more than {} bytes", self.max_message);
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        if before == 0 {
            self.value.extend_from_slice(bytes.get(..end).unwrap_or(bytes));
        } else {
            self.value.truncate(end);
        }
        Ok((end.saturating_sub(before), whole))
    }

    fn send(&mut self) -> io::Result<()> {
        let message = Message::Binary(std::mem::take(&mut self.value).into());
        if let Some(scanner) = &mut self.scanner {
            *scanner = any_syrup();
        }
        Pin::new(&mut self.socket).start_send(message).map_err(io_error)
    }

    /// Sends what there is of a value.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.value.is_empty() {
            ready!(Pin::new(&mut self.socket).poll_ready(context)).map_err(io_error)?;
            // The pieces of a value would be taken for values.
            self.scanner = None;
            self.send()?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for MessageStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        while self.unread.is_empty() && !self.ended {
            match ready!(Pin::new(&mut self.socket).poll_next(context)) {
                Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
                Some(Ok(Message::Close(_))) => {
                    self.ended = true;
                    // The answering Close has been put into the buffer by now. That the
                    // other end may not stay to hear it is no failure.
                    let _sent_or_not = Pin::new(&mut self.socket).poll_flush(context);
                }
                None => self.ended = true,
                Some(Ok(Message::Text(_))) => {
                    let why = "a text message came, where all are binary";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
                }
                Some(Ok(_ping_or_pong)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
            }
        }
        let count = self.unread.len().min(into.remaining());
        into.put_slice(&self.unread.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MessageStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.socket).poll_ready(context) {
                Poll::Ready(outcome) => outcome.map_err(io_error)?,
                Poll::Pending if written == 0 => return Poll::Pending,
                Poll::Pending => break,
            }
            let (taken, whole) = self.take(rest)?;
            written += taken;
            if whole {
                self.send()?;
            }
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(context))?;
        Pin::new(&mut self.socket).poll_flush(context).map_err(io_error)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closing {
            ready!(self.poll_rest(context))?;
            self.closing = true;
        }
        Pin::new(&mut self.socket).poll_close(context).map_err(io_error)
    }
}

/// A scanner without limits of its own.
fn any_syrup() -> Scanner {
    let mut options = syrup::Options::default();
    let limits = &mut options.limits;
    (limits.depth, limits.size, limits.int_digits) = (usize::MAX, usize::MAX, usize::MAX);
    Scanner::new(&options)
}

/// The I/O error that a WebSocket's error is or amounts to.
pub(super) fn io_error(error: Error) -> io::Error {
    let kind = match error {
        Error::Io(error) => return error,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::BrokenPipe,
        Error::Protocol(
            tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        ) => io::ErrorKind::UnexpectedEof,
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}
