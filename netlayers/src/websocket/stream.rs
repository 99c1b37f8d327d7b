//! A WebSocket as a stream of bytes: reading joins the binary messages, writing sends
//! each whole Syrup value as a binary message of its own.

use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use super::Socket;
use crate::values::Cutter;

/// The byte stream over a WebSocket.
///
/// What is written is cut where Syrup values end. A flush, or the end, sends what there
/// is, even of a value that is not whole: flush between values. Bytes that are not
/// Syrup, and all after them, are sent as they come.
pub(super) struct MessageStream {
    socket: Socket,
    /// What came and was not read yet.
    unread: Bytes,
    ended: bool,
    cutter: Cutter,
    closing: bool,
}

impl MessageStream {
    /// A stream whose messages have at most `max_message` bytes.
    pub(super) fn new(socket: Socket, max_message: usize) -> Self {
        Self {
            socket,
            unread: Bytes::new(),
            ended: false,
            cutter: Cutter::new(max_message),
            closing: false,
        }
    }

    fn send(&mut self, message: Cow<'_, [u8]>) -> io::Result<()> {
        let message = Message::Binary(message.into_owned().into());
        Pin::new(&mut self.socket).start_send(message).map_err(io_error)
    }

    /// Sends what there is of a value.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.cutter.is_amid() {
            ready!(Pin::new(&mut self.socket).poll_ready(context)).map_err(io_error)?;
            if let Some(rest) = self.cutter.rest() {
                self.send(rest)?;
            }
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
            let (taken, message) = self.cutter.take(rest)?;
            written += taken;
            if let Some(message) = message {
                self.send(message)?;
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
