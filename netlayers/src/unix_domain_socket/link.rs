//! The connection between a peer and an introduction server: records, and sockets that
//! are passed with four bytes that mean nothing.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown,
};
use syrup::Scanner;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::values::any_syrup;

/// What a socket travels with, as nothing would not travel: Goblins' number.
const JUNK: [u8; 4] = 12345_i32.to_ne_bytes();

/// How much is read at once.
const CHUNK: usize = 4096;

/// What one end takes from the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Descriptors with one message.
    pub(super) descriptors: usize,
    /// Bytes of a record.
    pub(super) record: usize,
    /// How long a message may take from its first byte to its last, either way.
    pub(super) time: Duration,
}

/// The writing end.
#[derive(Clone)]
pub(super) struct Writer {
    stream: Arc<UnixStream>,
    time: Duration,
}

/// The reading end.
pub(super) struct Reader {
    stream: Arc<UnixStream>,
    limits: Limits,
    scanner: Scanner,
    bytes: Vec<u8>,
    /// How many bytes have come before those.
    passed: u64,
    /// Descriptors, each with the place in the stream up to which had been read when it
    /// came. The system ends a read behind the bytes that one came with.
    sockets: VecDeque<(u64, OwnedFd)>,
    began: Option<Instant>,
}

/// Both ends of a connection.
pub(super) fn link(stream: UnixStream, limits: Limits) -> (Reader, Writer) {
    let stream = Arc::new(stream);
    let writer = Writer { stream: Arc::clone(&stream), time: limits.time };
    let reader = Reader {
        stream,
        limits,
        scanner: any_syrup(),
        bytes: Vec::new(),
        passed: 0,
        sockets: VecDeque::new(),
        began: None,
    };
    (reader, writer)
}

pub(super) fn violation(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

impl Reader {
    /// The next record; `None` if the other end has said all. May be cancelled.
    pub(super) async fn record(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let end = self.scanner.scan(&self.bytes).map_err(|_| violation("it is no Syrup"))?;
            if end.unwrap_or(self.bytes.len()) > self.limits.record {
                return Err(violation("a record is too long"));
            }
            if let Some(end) = end {
                let record = self.take(end);
                if self.sockets.front().is_some_and(|(place, _)| *place <= self.passed) {
                    return Err(violation("a descriptor came where none may"));
                }
                return Ok(Some(record));
            }
            if !self.fill().await? {
                let whole = self.bytes.is_empty() && self.sockets.is_empty();
                return if whole { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// The socket that follows a record. May be cancelled.
    pub(super) async fn socket(&mut self) -> io::Result<OwnedFd> {
        self.began.get_or_insert_with(Instant::now);
        while self.bytes.len() < JUNK.len() {
            if !self.fill().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let before = self.passed;
        self.take(JUNK.len());
        let came = self.sockets.iter().take_while(|(place, _)| *place <= self.passed).count();
        let mut came = self.sockets.drain(..came);
        match came.next() {
            Some((place, socket)) if place > before => Ok(socket),
            Some(_) => Err(violation("a descriptor came before its bytes")),
            None => Err(violation("no descriptor came")),
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.bytes.split_off(count.min(self.bytes.len()));
        let taken = std::mem::replace(&mut self.bytes, rest);
        self.passed += taken.len() as u64;
        self.began = (!self.bytes.is_empty()).then(Instant::now);
        taken
    }

    /// Reads more, unless there is no more.
    async fn fill(&mut self) -> io::Result<bool> {
        let room = self.limits.descriptors;
        let mut chunk = [0; CHUNK];
        let stream = Arc::clone(&self.stream);
        let receive = stream.async_io(Interest::READABLE, || receive(&stream, &mut chunk, room));
        let (count, sockets) = match self.began {
            None => receive.await?,
            Some(began) => match began.checked_add(self.limits.time) {
                None => receive.await?,
                Some(deadline) => tokio::time::timeout_at(deadline, receive)
                    .await
                    .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??,
            },
        };
        self.began.get_or_insert_with(Instant::now);
        self.bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
        let place = self.passed + self.bytes.len() as u64;
        self.sockets.extend(sockets.into_iter().map(|socket| (place, socket)));
        if self.sockets.len() > room {
            return Err(violation("too many descriptors came"));
        }
        Ok(count > 0)
    }
}

/// One read that does not wait.
fn receive(
    stream: &UnixStream,
    chunk: &mut [u8],
    room: usize,
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(room))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let into = &mut [IoSliceMut::new(chunk)];
    let message = rustix::net::recvmsg(stream, into, &mut control, flags)?;
    let mut sockets = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = part {
            sockets.extend(descriptors);
        }
    }
    // The system has closed those that there was no room for.
    if message.flags.contains(ReturnFlags::CTRUNC) {
        return Err(violation("too many descriptors came"));
    }
    Ok((message.bytes, sockets))
}

impl Writer {
    /// Sends a record. Once begun, it has to be ended: cancelled, it spoils the link.
    pub(super) async fn record(&self, record: &[u8]) -> io::Result<()> {
        self.timed(self.all(record, None)).await
    }

    /// Sends a record, and a socket after it. Likewise.
    pub(super) async fn introduce(&self, record: &[u8], socket: &OwnedFd) -> io::Result<()> {
        self.timed(async {
            self.all(record, None).await?;
            self.all(&JUNK, Some(socket.as_fd())).await
        })
        .await
    }

    /// Says that this was all.
    pub(super) fn end(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&*self.stream, Shutdown::Write)?)
    }

    async fn timed(&self, work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
        tokio::time::timeout(self.time, work)
            .await
            .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn all(&self, bytes: &[u8], mut socket: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            let write = || send(&self.stream, rest, socket);
            sent += self.stream.async_io(Interest::WRITABLE, write).await?;
            socket = None;
        }
        Ok(())
    }
}

/// One write that does not wait.
fn send(stream: &UnixStream, bytes: &[u8], socket: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let sockets: Vec<_> = socket.into_iter().collect();
    if !sockets.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(violation("there is no room for a descriptor"));
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    Ok(rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, flags)?)
}
