//! Moving bytes between a channel and a session: one task a connection.
//!
//! The task reads, lets the session and the vats it reaches act, and writes all that
//! came of it in one go. So that no buffer grows without bound it stops reading
//!
//! - while the vats that the peer speaks to are behind ([`Link::is_paced`]). They
//!   get through what waits for them whatever the peer does, so this ends;
//! - while the peer does not take what we have to say to what it said. That may never
//!   end: the peer may do the same, and wait for us to read. So while nothing moves we
//!   still read a little from time to time. If it goes on, the session's limit of bytes
//!   that wait to be sent is what ends it. The same goes for a peer that others are to
//!   hear by way of us and who don't take what it says ([`Link::is_slowed`]). What
//!   waits to be sent for any other reason does not stop us: reading adds nothing to it.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use captp::SessionEnd;
use netlayers::ByteStream;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::link::{Link, PACE_ABOVE};

/// How much is read at a time, at first, of many messages, and of one that is longer. What
/// comes of a read is acted on before the next: with more messages at once it would not
/// stay in the processor's cache.
const SMALLEST_READ: usize = 8 << 10;
const STEADY_READ: usize = 32 << 10;
const LARGEST_READ: usize = 256 << 10;

/// How many pieces one write may take.
const PIECES_AT_ONCE: usize = 16;

/// How much is read at a time from a peer that does not take our answers. It may be
/// waiting for us to read: then this is how fast both get out of it.
const STALLED_READ: usize = 64 << 10;

/// How much is read at a time of what goes on to others who don't take it as quickly.
const SLOW_READ: usize = 1 << 10;

/// How long a connection rests between two reads while somebody does not take what it
/// causes.
const TRICKLE_EVERY: Duration = Duration::from_millis(20);

/// How long references that were let go wait for a message to travel with, at least; up to
/// twice as long while there are messages. Longer than it is between two messages of any of
/// a thousand busy sessions.
const RELEASE_AFTER: Duration = Duration::from_millis(100);

/// How long an ended connection is drained, so that the peer sees our `op:abort`
/// rather than a reset.
const DRAIN_FOR: Duration = Duration::from_secs(1);

/// Runs a session over a channel's bytes until both are done.
pub(crate) async fn run(link: Arc<Link>, io: Box<dyn ByteStream>) {
    let mut connection = Connection {
        io,
        link: Arc::clone(&link),
        input: BytesMut::new(),
        chunk: SMALLEST_READ,
        output: VecDeque::new(),
        unflushed: false,
        release_timer: Box::pin(tokio::time::sleep(RELEASE_AFTER)),
        release_armed: false,
        spoke: false,
        trickle_timer: Box::pin(tokio::time::sleep(TRICKLE_EVERY)),
        trickle_armed: false,
        caused: 0,
    };
    let moved = poll_fn(|cx| connection.poll(cx)).await;
    if let Err(error) = &moved {
        tracing::debug!(link = link.key(), %error, "connection failed");
    }
    link.disconnected();
    connection.finish().await;
}

struct Connection {
    io: Box<dyn ByteStream>,
    link: Arc<Link>,
    input: BytesMut,
    chunk: usize,
    output: VecDeque<Bytes>,
    unflushed: bool,
    release_timer: Pin<Box<Sleep>>,
    /// The timer runs: it is looked at when it is over, and not set anew before.
    release_armed: bool,
    /// Something was said since the timer was set, and what had been let go with it.
    spoke: bool,
    /// When to read although the peer takes nothing.
    trickle_timer: Pin<Box<Sleep>>,
    trickle_armed: bool,
    /// About how many of the bytes that wait for the channel, or for a store, came of what
    /// was read.
    caused: usize,
}

impl Connection {
    /// Moves bytes both ways until the session or the channel ends.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.register(cx.waker());
        self.link.begin();
        loop {
            // What the channel has not taken stays in the session, where it counts
            // against the session's limit.
            let waiting = self.output.is_empty() && self.link.transmit(false, &mut self.output);
            self.spoke |= !self.output.is_empty();
            let wrote = self.write(cx)?;
            if self.link.is_ended() {
                return Poll::Ready(Ok(()));
            }
            let sent = wrote && !self.link.is_holding();
            let unsent = if sent { 0 } else { self.unsent() };
            self.caused = self.caused.min(unsent);
            let paced = self.link.is_paced();
            let may_read = !paced && self.may_read(cx);
            let read = if may_read { self.read(cx)? } else { Poll::Pending };
            match read {
                Poll::Ready(0) => return Poll::Ready(Ok(())),
                Poll::Ready(_) => {
                    self.link.receive(&mut self.input);
                    if !sent {
                        self.caused += self.unsent().saturating_sub(unsent);
                    }
                    continue;
                }
                Poll::Pending => {}
            }
            if wrote && self.releases_are_due(waiting, cx) {
                self.link.transmit(true, &mut self.output);
                continue;
            }
            // With output blocked, more of it is no reason to go on.
            if self.link.rest() || !(wrote || paced && !self.link.is_paced()) {
                return Poll::Pending;
            }
            self.link.begin();
        }
    }

    /// Whether to tell the peer what was let go, on its own: most often a message follows
    /// with which it can travel. `waiting` is whether any waits.
    ///
    /// On a session that is in use the timer goes on and on, and what is let go in the
    /// meantime wakes nobody. With many sessions in use each has little to say at a time,
    /// and an announcement on its own costs as much as a call.
    fn releases_are_due(&mut self, waiting: bool, cx: &mut Context<'_>) -> bool {
        if !self.release_armed {
            if !waiting {
                return false;
            }
            self.release_armed = true;
            self.link.looks_for_releases(true);
        } else if !self.release_timer.is_elapsed() {
            // This task is the one that it wakes.
            return false;
        } else if !std::mem::take(&mut self.spoke) {
            self.release_armed = false;
            // Before they are looked for.
            self.link.looks_for_releases(false);
            return true;
        }
        self.release_timer.as_mut().reset(Instant::now() + RELEASE_AFTER);
        self.spoke = false;
        // In the future: this has it wake the task.
        let _pending = self.release_timer.as_mut().poll(cx);
        false
    }

    /// Whether to read on, as far as those go who are to hear what comes of it.
    fn may_read(&mut self, cx: &mut Context<'_>) -> bool {
        let slowed = self.link.is_slowed();
        if !slowed && self.caused <= PACE_ABOVE {
            self.trickle_armed = false;
            return true;
        }
        self.chunk = if slowed { SLOW_READ } else { STALLED_READ };
        if !self.trickle_armed {
            self.trickle_timer.as_mut().reset(Instant::now() + TRICKLE_EVERY);
            self.trickle_armed = true;
        }
        let due = self.trickle_timer.as_mut().poll(cx).is_ready();
        self.trickle_armed = !due;
        due
    }

    fn unsent(&self) -> usize {
        self.link.queued_bytes() + self.output.iter().map(Bytes::len).sum::<usize>()
    }

    /// Reads what is there, up to a chunk. Chunks grow while they come full, and an
    /// idle connection holds no buffer.
    fn read(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<usize>> {
        let begun = self.input.len();
        let polled = if self.chunk <= SMALLEST_READ {
            self.read_little(cx)
        } else {
            self.input.reserve(self.chunk);
            // The buffer may have more room than it was asked for.
            let mut room = (&mut self.input).limit(self.chunk);
            pin!(self.io.read_buf(&mut room)).poll(cx)
        };
        match polled {
            Poll::Ready(read) => {
                let read = read?;
                if read >= self.chunk && (self.chunk < STEADY_READ || begun >= self.chunk) {
                    self.chunk = (2 * self.chunk).min(LARGEST_READ);
                }
                Ok(Poll::Ready(read))
            }
            Poll::Pending => {
                if self.input.is_empty() {
                    self.input = BytesMut::new();
                    self.chunk = SMALLEST_READ;
                }
                Ok(Poll::Pending)
            }
        }
    }

    /// Reads up to a small chunk by way of the stack: most often little is there, or
    /// nothing, and no buffer is made that is larger than what has come.
    fn read_little(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [MaybeUninit::uninit(); SMALLEST_READ];
        let room = self.chunk.min(SMALLEST_READ);
        let mut read = ReadBuf::uninit(space.get_mut(..room).unwrap_or_default());
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
        self.input.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Writes as much as the channel takes. Whether that was everything.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        while !self.output.is_empty() {
            match self.write_some(cx) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(wrote) => self.advance(wrote?),
                Poll::Pending => return Ok(false),
            }
            self.unflushed = true;
            // It moves: there is no need to read in order to get it to.
            self.trickle_armed &= self.link.is_slowed();
        }
        if self.unflushed {
            match Pin::new(&mut self.io).poll_flush(cx) {
                Poll::Ready(flushed) => flushed?,
                Poll::Pending => return Ok(false),
            }
            self.unflushed = false;
        }
        Ok(true)
    }

    fn write_some(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.io);
        if self.output.len() > 1 && io.is_write_vectored() {
            let mut slices = [IoSlice::new(&[]); PIECES_AT_ONCE];
            let mut used = 0;
            for (slice, piece) in slices.iter_mut().zip(&self.output) {
                *slice = IoSlice::new(piece);
                used += 1;
            }
            io.poll_write_vectored(cx, slices.get(..used).unwrap_or_default())
        } else {
            io.poll_write(cx, self.output.front().map_or(&[], |piece| piece))
        }
    }

    /// Forgets what has been written.
    fn advance(&mut self, mut wrote: usize) {
        while let Some(piece) = self.output.front_mut() {
            if wrote < piece.len() {
                piece.advance(wrote);
                return;
            }
            wrote -= piece.len();
            self.output.pop_front();
        }
    }

    /// Waits until something may be said, or there is nothing left to say.
    fn poll_last_words(&mut self, heard: bool, cx: &mut Context<'_>) -> Poll<()> {
        self.link.register(cx.waker());
        self.link.begin();
        loop {
            self.link.transmit(false, &mut self.output);
            if !(heard && self.output.is_empty() && self.link.is_holding()) {
                return Poll::Ready(());
            }
            if self.link.rest() {
                return Poll::Pending;
            }
            self.link.begin();
        }
    }

    /// Says what is left to say and lets the peer hear it: closing a socket while
    /// bytes from the peer wait to be read would reset it, and lose our last words.
    async fn finish(&mut self) {
        // Nobody is there to hear what a store is still busy with.
        let heard = !matches!(self.link.end(), Some(SessionEnd::Disconnected));
        let last_words = async {
            loop {
                poll_fn(|cx| self.poll_last_words(heard, cx)).await;
                for piece in self.output.drain(..) {
                    self.io.write_all(&piece).await?;
                }
                if !(heard && self.link.is_holding()) {
                    break;
                }
            }
            self.io.shutdown().await?;
            let mut scrap = [0; 1024];
            while self.io.read(&mut scrap).await? > 0 {}
            io::Result::Ok(())
        };
        // The connection is over whether or not the peer listens.
        let _heard = tokio::time::timeout(DRAIN_FOR, last_words).await;
    }
}
