//! QEMU's machine protocol (QMP): one JSON object to a line, over the machine's socket.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde_json::{Value, json};

/// The socket's name in the machine's directory.
const SOCKET: &str = "qmp.sock";
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a line may be. The longest holds the whole console, with each byte escaped.
const MAX_LINE_BYTES: u64 = 1024 * 1024;

/// A machine's directory, held open: a socket's path may have no more than 107 bytes,
/// and by way of `/proc` the path of one in any directory is short.
pub(super) struct SocketDirectory(File);

impl SocketDirectory {
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        File::open(directory).map(Self)
    }

    /// The path of the socket, for as long as this is held, also in other processes of
    /// the same user.
    pub(super) fn socket(&self) -> PathBuf {
        let process = std::process::id();
        PathBuf::from(format!("/proc/{process}/fd/{}/{SOCKET}", self.0.as_raw_fd()))
    }
}

/// A connection on which commands can be given. QEMU serves one at a time.
pub(super) struct Qmp {
    stream: BufReader<UnixStream>,
    until: Instant,
}

impl Qmp {
    /// Connects to the machine of that directory.
    ///
    /// # Errors
    ///
    /// If nobody listens, or answers within 5 s.
    pub(super) fn connect(directory: &Path) -> io::Result<Self> {
        let directory = SocketDirectory::open(directory)?;
        // A connect that waits for others would wait for as long as they like.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(directory.socket())?)?;
        let stream = UnixStream::from(socket);
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut qmp = Self { stream: BufReader::new(stream), until: Instant::now() + PATIENCE };
        let greeting = qmp.line()?;
        if greeting.get("QMP").is_none() {
            return Err(strange(&greeting));
        }
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Gives a command, and gives what it returns.
    ///
    /// # Errors
    ///
    /// If it is refused, or the connection ends, or there is no answer within 5 s.
    pub(super) fn execute(&mut self, command: &str, arguments: Value) -> io::Result<Value> {
        self.until = Instant::now() + PATIENCE;
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes())?;
        loop {
            let mut answer = self.line()?;
            if let Some(returned) = answer.get_mut("return") {
                return Ok(returned.take());
            }
            if let Some(error) = answer.get("error") {
                let why = error.get("desc").and_then(Value::as_str).unwrap_or("for no reason");
                return Err(io::Error::other(format!("{command} is refused: {why}")));
            }
            if answer.get("event").is_none() {
                return Err(strange(&answer));
            }
        }
    }

    fn line(&mut self) -> io::Result<Value> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.get_ref().set_read_timeout(Some(left))?;
        let mut line = Vec::new();
        (&mut self.stream).take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_slice(&line)?)
    }
}

fn strange(answer: &Value) -> io::Error {
    let shown: String = answer.to_string().chars().take(200).collect();
    io::Error::new(io::ErrorKind::InvalidData, format!("this is no QMP: {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// A QEMU that says those lines to whoever connects, and what it was told then.
    fn played(lines: &'static str, act: impl FnOnce(io::Result<Qmp>)) -> String {
        // Deep enough that the path would be too long for a socket.
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("d".repeat(120));
        std::fs::create_dir(&directory).unwrap();
        let held = SocketDirectory::open(&directory).unwrap();
        let listener = UnixListener::bind(held.socket()).unwrap();
        let playing = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = String::new();
            // Who has heard enough hangs up, and it depends on the moment what fails then.
            let _hung_up = stream
                .write_all(lines.as_bytes())
                .and_then(|()| stream.shutdown(std::net::Shutdown::Write))
                .and_then(|()| stream.read_to_string(&mut heard));
            heard
        });
        act(Qmp::connect(&directory));
        playing.join().unwrap()
    }

    #[test]
    fn commands_are_answered_whatever_else_is_said() {
        let lines = "{\"QMP\": {}}\n{\"return\": {}}\n{\"event\": \"RESET\"}\n\
                     {\"return\": {\"status\": \"running\"}}\n\
                     {\"error\": {\"class\": \"GenericError\", \"desc\": \"not now\"}}\n";
        let heard = played(lines, |qmp| {
            let mut qmp = qmp.unwrap();
            let status = qmp.execute("query-status", json!({})).unwrap();
            assert_eq!(status, json!({ "status": "running" }));
            let error = qmp.execute("cont", json!({})).unwrap_err().to_string();
            assert_eq!(error, "cont is refused: not now");
            let error = qmp.execute("quit", json!({})).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        });
        assert_eq!(heard.lines().count(), 4, "{heard}");
        assert!(heard.starts_with("{\"execute\":\"qmp_capabilities\""), "{heard}");
    }

    #[test]
    fn what_is_no_qmp_is_refused() {
        for lines in ["SSH-2.0\n", "{\"return\": {}}\n", "{\"QMP\": {}}\n5\n", "{\"QMP\"", ""] {
            played(lines, |qmp| assert!(qmp.is_err(), "{lines}"));
        }
        let parent = tempfile::tempdir().unwrap();
        assert!(Qmp::connect(parent.path()).is_err(), "nobody listens");
    }

    #[test]
    fn a_line_without_an_end_is_not_kept() {
        let endless: &str = Box::leak("x".repeat(MAX_LINE_BYTES as usize + 1).into_boxed_str());
        played(endless, |qmp| assert!(qmp.is_err()));
    }
}
