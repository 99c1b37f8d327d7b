//! Messages with their length before them: `<decimal>:` and the message, no comma.

use std::io::{self, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use syrup::Scanner;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::netlayer::{ByteStream, Channel, Direction, Framing};
use crate::settings::Settings;
use crate::values::{Cutter, any_syrup};

/// While so much is to be sent, no more is taken.
const HIGH_WATER: usize = 256 * 1024;

/// A larger buffer than this is let go once it is empty.
const KEEP: usize = 16 * 1024;

/// A channel over a stream of bytes, framed as the settings say.
pub(crate) fn channel(
    stream: impl ByteStream,
    settings: &Settings,
    direction: Direction,
    address: impl Into<String>,
) -> Channel {
    match settings.framing {
        Framing::RawSyrup => Channel::new(stream, direction, address),
        Framing::LengthPrefixed => {
            Channel::new(Framed::new(stream, settings.max_message), direction, address)
        }
    }
}

/// A stream of Syrup values, over one in which each has its length before it.
///
/// What is written is gathered until a flush, so that many messages leave in one write; a
/// flush leaves behind what is there of a value that is not whole. What is read comes
/// without the lengths.
struct Framed<S> {
    stream: S,
    incoming: Unframe,
    cutter: Cutter,
    /// Frames to be sent, and how much of them has been.
    out: Vec<u8>,
    sent: usize,
    closing: bool,
}

impl<S> Framed<S> {
    fn new(stream: S, max_message: usize) -> Self {
        Self {
            stream,
            incoming: Unframe::new(max_message),
            cutter: Cutter::new(max_message),
            out: Vec::new(),
            sent: 0,
            closing: false,
        }
    }

    fn frame(&mut self, message: &[u8]) -> io::Result<()> {
        write!(self.out, "{}:", message.len())?;
        self.out.extend_from_slice(message);
        Ok(())
    }
}

impl<S: AsyncWrite + Unpin> Framed<S> {
    /// Writes all that is to be sent.
    fn poll_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        self.sent = 0;
        self.out.clear();
        if self.out.capacity() > KEEP {
            self.out = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Framed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if let Some(why) = self.incoming.failed {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
            }
            let before = into.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
            let fresh = into.filled_mut().get_mut(before..).unwrap_or_default();
            if fresh.is_empty() {
                let end = if self.incoming.is_between() {
                    Ok(())
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
                return Poll::Ready(end);
            }
            // What was whole before a fault is heard, and the fault then.
            let kept = self.incoming.strip(fresh);
            into.set_filled(before + kept);
            if kept > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Framed<S> {
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
            if self.out.len() - self.sent >= HIGH_WATER {
                match self.poll_out(context) {
                    Poll::Ready(outcome) => outcome?,
                    Poll::Pending if written == 0 => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            let (taken, message) = self.cutter.take(rest)?;
            written += taken;
            if let Some(message) = message {
                self.frame(&message)?;
            }
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closing {
            self.closing = true;
            // Half a value: the other end will say that this is no message.
            if let Some(rest) = self.cutter.rest() {
                self.frame(&rest)?;
            }
        }
        ready!(self.poll_out(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Takes the lengths out of a stream, and sees that each frame is exactly one message.
struct Unframe {
    max_message: usize,
    /// The length as far as it has been read; 0 before its first digit.
    length: usize,
    /// What is still to come of the message; 0 where a length is to come.
    left: usize,
    scanner: Scanner,
    failed: Option<&'static str>,
}

impl Unframe {
    fn new(max_message: usize) -> Self {
        Self { max_message, length: 0, left: 0, scanner: any_syrup(), failed: None }
    }

    /// Whether the stream may end here.
    const fn is_between(&self) -> bool {
        self.length == 0 && self.left == 0
    }

    /// Moves what belongs to messages to the front of `bytes`, and says how much that
    /// is. After a fault nothing more is taken.
    fn strip(&mut self, bytes: &mut [u8]) -> usize {
        let (mut kept, mut at) = (0, 0);
        while self.failed.is_none()
            && let Some(&byte) = bytes.get(at)
        {
            if self.left == 0 {
                self.failed = self.prefix(byte).err();
                at += 1;
                continue;
            }
            let end = bytes.len().min(at.saturating_add(self.left));
            self.failed = self.check(bytes.get(at..end).unwrap_or_default()).err();
            if self.failed.is_none() {
                bytes.copy_within(at..end, kept);
                kept += end - at;
                at = end;
            }
        }
        kept
    }

    fn prefix(&mut self, byte: u8) -> Result<(), &'static str> {
        match byte {
            b'0' if self.length == 0 => return Err("a frame's length begins with a zero"),
            b'0'..=b'9' => {
                let longer = self.length.checked_mul(10);
                let longer = longer.and_then(|it| it.checked_add(usize::from(byte - b'0')));
                self.length = longer
                    .filter(|length| *length <= self.max_message)
                    .ok_or("a frame is longer than a message may be")?;
            }
            b':' if self.length == 0 => return Err("a frame without a length"),
            b':' => self.left = std::mem::take(&mut self.length),
            _ => return Err("a frame's length is not a decimal number and a colon"),
        }
        Ok(())
    }

    /// Looks at the next piece of the message.
    fn check(&mut self, piece: &[u8]) -> Result<(), &'static str> {
        self.left -= piece.len();
        let end = self.scanner.scan_next(piece);
        let good = match end {
            Ok(Some(end)) => self.left == 0 && end == piece.len(),
            Ok(None) => self.left > 0,
            Err(_no_syrup) => false,
        };
        good.then_some(()).ok_or("a frame is not exactly one message")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const MAX: usize = 1000;

    fn framed(bytes: &[u8], piece: usize) -> Framed<Pieces> {
        let pieces = bytes.chunks(piece).map(<[u8]>::to_vec).collect();
        Framed::new(Pieces { pieces, writes: Vec::new(), full: false }, MAX)
    }

    /// What comes of reading these bytes, cut into pieces of this size.
    async fn read(bytes: &[u8], piece: usize) -> (Vec<u8>, io::Result<()>) {
        let mut heard = Vec::new();
        let outcome = framed(bytes, piece).read_to_end(&mut heard).await;
        (heard, outcome.map(drop))
    }

    /// Gives its pieces one read at a time and notes its writes.
    struct Pieces {
        pieces: std::collections::VecDeque<Vec<u8>>,
        writes: Vec<Vec<u8>>,
        full: bool,
    }

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if let Some(mut piece) = self.pieces.pop_front() {
                let rest = piece.split_off(piece.len().min(into.remaining()));
                into.put_slice(&piece);
                if !rest.is_empty() {
                    self.pieces.push_front(rest);
                }
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Pieces {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.full {
                return Poll::Pending;
            }
            self.writes.push(bytes.to_vec());
            Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn lengths_are_taken_out_however_the_stream_is_cut() {
        let long = [b"996:".as_slice(), &[0; 996]].concat();
        let frames = [b"14:<2'ab[1+2+]0:>".as_slice(), b"2:7+", b"1000:", &long].concat();
        let values = [b"<2'ab[1+2+]0:>".as_slice(), b"7+", &long].concat();
        for piece in 1..frames.len() {
            let (heard, outcome) = read(&frames, piece).await;
            assert!(heard == values && outcome.is_ok(), "{piece}: {outcome:?}");
        }
    }

    #[tokio::test]
    async fn bad_frames_are_refused_after_what_was_good() {
        let over = [b"1001:".as_slice(), b"997:", &[0; 997]].concat();
        let bad: [(&[u8], &str); 15] = [
            (b"02:7+", "begins with a zero"),
            (b"0:", "begins with a zero"),
            (b":7+", "without a length"),
            (b"+2:7+", "decimal"),
            (b"-2:7+", "decimal"),
            (b" 2:7+", "decimal"),
            (b"2 :7+", "decimal"),
            (b"<3'foo>", "decimal"),
            (b"2:7+,", "decimal"),
            (&over, "longer"),
            (b"99999999999999999999999999:", "longer"),
            (b"4:7+7+", "exactly one"),
            (b"1:71:+", "exactly one"),
            (b"1:7+", "exactly one"),
            (b"2:x!", "exactly one"),
        ];
        for (frame, why) in bad {
            for piece in [1, 2, 3, 2000] {
                let bytes = [b"2:8+".as_slice(), frame].concat();
                let (heard, outcome) = read(&bytes, piece).await;
                assert!(heard.starts_with(b"8+"), "{why}");
                let error = outcome.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                assert!(error.to_string().contains(why), "{why}: {error}");
            }
        }
    }

    #[tokio::test]
    async fn the_end_may_only_come_between_frames() {
        let whole = b"12:<2'ab[1+2+]>";
        for cut in 0..whole.len() {
            let (_, outcome) = read(whole.get(..cut).unwrap(), 4).await;
            let error = outcome.err().map(|error| error.kind());
            assert_eq!(error, (cut > 0).then_some(io::ErrorKind::UnexpectedEof), "{cut}");
        }
    }

    #[tokio::test]
    async fn messages_leave_in_one_write_and_whole() {
        let mut channel = framed(b"", 1);
        let values = b"<2'ab[1+2+]>7+3:\0\0\0{1'a[]}[";
        for cut in 1..values.len() {
            for piece in values.chunks(cut) {
                channel.write_all(piece).await.unwrap();
            }
            channel.flush().await.unwrap();
            // The end of the list that was begun.
            let writes = std::mem::take(&mut channel.stream.writes);
            let expected = b"12:<2'ab[1+2+]>2:7+5:3:\0\0\x007:{1'a[]}";
            assert_eq!(writes, [expected], "{cut}");
            channel.write_all(b"]").await.unwrap();
            channel.flush().await.unwrap();
            assert_eq!(std::mem::take(&mut channel.stream.writes), [b"2:[]"]);
        }
        channel.write_all(b"[1").await.unwrap();
        channel.shutdown().await.unwrap();
        assert_eq!(channel.stream.writes, [b"2:[1"]);
        assert!(channel.write_all(b"7+").await.is_err());
    }

    #[tokio::test]
    async fn messages_have_a_limit() {
        for piece in [1, 10, 5000] {
            let mut channel = framed(b"", 1);
            let value =
                |content: usize| [format!("{content}:").as_bytes(), &vec![0; content]].concat();
            for bytes in value(996).chunks(piece) {
                channel.write_all(bytes).await.unwrap();
            }
            let mut outcome = Ok(());
            for bytes in value(997).chunks(piece) {
                outcome = outcome.and(channel.write_all(bytes).await);
            }
            assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[tokio::test]
    async fn a_stream_that_takes_nothing_stops_the_writer() {
        let mut channel = framed(b"", 1);
        channel.stream.full = true;
        let value = [b"900:".as_slice(), &[0; 900]].concat();
        let mut written = 0;
        std::future::poll_fn(|context| {
            while written < 10 * HIGH_WATER {
                match Pin::new(&mut channel).poll_write(context, &value) {
                    Poll::Ready(count) => written += count.unwrap(),
                    Poll::Pending => return Poll::Ready(()),
                }
            }
            Poll::Ready(())
        })
        .await;
        // Lengths not counted.
        assert!((HIGH_WATER / 10 * 9..HIGH_WATER + 1000).contains(&written), "{written}");
    }
}
