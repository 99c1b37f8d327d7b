//! The floor: messages as long as ours and nothing else, over the same sockets. Once on
//! tokio, once with calls that block.
//!
//! A message is its length in four bytes, what to do with it in one, and its content.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use rustls::{ClientConnection, ServerConnection, StreamOwned};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::sockets::{self, Listener, Socket, Transport};
use crate::work::{self, Candidate, Job, MEBIBYTE};

/// What is before a message's content.
const HEADER: usize = 5;
/// Send it back.
const ECHO: u8 = 0;
/// Say that it came, in a message without content.
const ACKNOWLEDGE: u8 = 1;
/// Do nothing.
const FORGET: u8 = 2;
/// How much is read at a time while messages are small.
const READ: usize = 16 << 10;

/// A message of so many bytes altogether.
fn message(size: usize, what: u8) -> Vec<u8> {
    let content = size.max(HEADER) - HEADER;
    let mut message = u32::try_from(content).expect("a short message").to_be_bytes().to_vec();
    message.push(what);
    message.resize(HEADER + content, 7);
    message
}

/// What has come in and is not a whole message yet.
#[derive(Default)]
struct Inbox {
    buffer: Vec<u8>,
    filled: usize,
}

impl Inbox {
    /// Where to read to.
    fn space(&mut self) -> &mut [u8] {
        let message = self.message().unwrap_or_default();
        let wanted = message.max(self.filled + READ);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        &mut self.buffer[self.filled..]
    }

    /// The length of the message at the front.
    fn message(&self) -> Option<usize> {
        let length = self.buffer[..self.filled].first_chunk()?;
        Some(HEADER + u32::from_be_bytes(*length) as usize)
    }

    /// Takes so many bytes more in, and puts the answers to the whole messages in `out`.
    fn take(&mut self, read: usize, out: &mut Vec<u8>) {
        self.filled += read;
        let mut done = 0;
        while let Some(length) = self.buffer[done..self.filled].first_chunk() {
            let end = done + HEADER + u32::from_be_bytes(*length) as usize;
            if end > self.filled {
                break;
            }
            match self.buffer[done + HEADER - 1] {
                ECHO => out.extend_from_slice(&self.buffer[done..end]),
                ACKNOWLEDGE => out.extend_from_slice(&message(HEADER, ACKNOWLEDGE)),
                _ => {}
            }
            done = end;
        }
        self.buffer.copy_within(done..self.filled, 0);
        self.filled -= done;
    }
}

/// Serves on tokio for ever.
pub(crate) async fn serve(transport: Transport, directory: &Path) {
    let listener = Listener::bind(transport, directory, "tokio").await.expect("a socket");
    work::say(&listener.address());
    loop {
        // Who does not get through the handshake is no concern.
        if let Ok(socket) = listener.accept().await {
            tokio::spawn(answer(socket));
        }
    }
}

async fn answer(mut socket: Socket) {
    let (mut inbox, mut out) = (Inbox::default(), Vec::new());
    while let Ok(read @ 1..) = socket.read(inbox.space()).await {
        inbox.take(read, &mut out);
        if !out.is_empty() {
            if socket.write_all(&out).await.is_err() || socket.flush().await.is_err() {
                return;
            }
            out.clear();
        }
    }
}

/// Calls on tokio.
pub(crate) struct Tokio {
    transport: Transport,
    address: String,
    socket: Socket,
    small: Vec<u8>,
    large: Vec<u8>,
    scrap: Vec<u8>,
    /// Kept so that closing them is not measured.
    sessions: Vec<Socket>,
}

impl Tokio {
    pub(crate) async fn new(transport: Transport, address: &str, size: usize) -> Self {
        Self {
            transport,
            address: address.to_owned(),
            socket: sockets::dial(transport, address).await.expect("a server"),
            small: message(size, ECHO),
            large: message(MEBIBYTE, ACKNOWLEDGE),
            scrap: vec![0; READ],
            sessions: Vec::new(),
        }
    }

    async fn ping(&mut self) {
        self.socket.write_all(&self.small).await.expect("a server");
        self.socket.flush().await.expect("a server");
        let answer = self.small.len();
        self.heard(answer).await;
    }

    async fn heard(&mut self, mut missing: usize) {
        while missing > 0 {
            let read = self.socket.read(&mut self.scrap).await.expect("a server");
            assert!(read > 0, "the server is there");
            missing -= read;
        }
    }
}

impl Candidate for Tokio {
    async fn prepare(&mut self, _job: Job, _count: usize) {
        self.sessions.clear();
    }

    async fn once(&mut self, job: Job) -> bool {
        match job {
            // A pipeline is one round trip at best.
            Job::Call | Job::Pipeline => self.ping().await,
            Job::Payload => {
                self.socket.write_all(&self.large).await.expect("a server");
                self.socket.flush().await.expect("a server");
                self.heard(HEADER).await;
            }
            Job::Session => {
                let session = sockets::dial(self.transport, &self.address).await;
                self.sessions.push(session.expect("a session"));
            }
            _ => return false,
        }
        true
    }

    async fn many(&mut self, job: Job, count: usize) -> bool {
        match job {
            Job::Forget => {
                let message = message(self.small.len(), FORGET);
                for _ in 0..count {
                    self.socket.write_all(&message).await.expect("a server");
                }
                self.ping().await;
            }
            // What a client gets that waits for each answer.
            Job::Window | Job::Flight => {
                for _ in 0..count {
                    self.ping().await;
                }
            }
            Job::Connect => {
                for _ in 0..count {
                    let mut session =
                        Self::new(self.transport, &self.address, self.small.len()).await;
                    session.ping().await;
                    self.sessions.push(session.socket);
                }
            }
            _ => return false,
        }
        true
    }
}

/// Serves for ever with calls that block, a thread for each connection.
pub(crate) fn serve_blocking(transport: Transport, directory: &Path) {
    if transport == Transport::Unix {
        let path = directory.join("blocking");
        let listener = UnixListener::bind(&path).expect("a socket");
        work::say(&path.display().to_string());
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer_blocking(stream));
        }
        return;
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    work::say(&listener.local_addr().expect("it is bound").to_string());
    let config = crate::tls::server();
    for stream in listener.incoming().flatten() {
        stream.set_nodelay(true).expect("a TCP stream");
        let config = config.clone();
        thread::spawn(move || {
            if transport == Transport::Tcp {
                return answer_blocking(stream);
            }
            let tls = ServerConnection::new(config).expect("a configuration");
            answer_blocking(StreamOwned::new(tls, stream));
        });
    }
}

fn answer_blocking(mut stream: impl Read + Write) {
    let (mut inbox, mut out) = (Inbox::default(), Vec::new());
    while let Ok(read @ 1..) = stream.read(inbox.space()) {
        inbox.take(read, &mut out);
        if stream.write_all(&out).is_err() {
            return;
        }
        out.clear();
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// Calls that block.
pub(crate) struct Blocking {
    stream: Box<dyn ReadWrite>,
    small: Vec<u8>,
    large: Vec<u8>,
    scrap: Vec<u8>,
}

impl Blocking {
    pub(crate) fn new(transport: Transport, address: &str, size: usize) -> Self {
        let connect = || {
            let stream = TcpStream::connect(address).expect("a server");
            stream.set_nodelay(true).expect("a TCP stream");
            stream
        };
        let stream: Box<dyn ReadWrite> = match transport {
            Transport::Unix => Box::new(UnixStream::connect(address).expect("a server")),
            Transport::Tcp => Box::new(connect()),
            Transport::Tls => {
                let tls = ClientConnection::new(crate::tls::client(), crate::tls::name());
                Box::new(StreamOwned::new(tls.expect("a configuration"), connect()))
            }
        };
        Self {
            stream,
            small: message(size, ECHO),
            large: message(MEBIBYTE, ACKNOWLEDGE),
            scrap: vec![0; READ],
        }
    }
}

impl Candidate for Blocking {
    async fn once(&mut self, job: Job) -> bool {
        let (message, mut missing) = match job {
            Job::Call | Job::Pipeline => (&self.small, self.small.len()),
            Job::Payload => (&self.large, HEADER),
            _ => return false,
        };
        self.stream.write_all(message).expect("a server");
        while missing > 0 {
            let read = self.stream.read(&mut self.scrap).expect("a server");
            assert!(read > 0, "the server is there");
            missing -= read;
        }
        true
    }
}
