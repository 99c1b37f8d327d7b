//! The process in which a machine runs: to start it, to see whether it is there, to end
//! it.
//!
//! QEMU goes into the background, into a session of its own, as soon as the machine is
//! set up, so that the machine goes on without us. It writes its process id to a file
//! which it holds locked for as long as it lives: so we know whether it runs, whoever
//! has started it, and that the process of that id is still the one that was meant.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

/// How long a machine may take to be set up, that is, until its processor starts.
const START: Duration = Duration::from_secs(60);
/// How long QEMU may take to end, each time that it is told so in another way.
const END: Duration = Duration::from_secs(5);
/// How often is looked, while it ends.
const LOOK: Duration = Duration::from_millis(5);
/// How much of what QEMU says is kept.
const MAX_SAID_BYTES: u64 = 4096;
/// More digits than a process id has.
const MAX_ID_BYTES: u64 = 32;

/// Starts QEMU with those arguments, which have it go into the background, and returns
/// when it has.
///
/// # Errors
///
/// If it can't be started, does not get so far within a minute, or fails: then with what
/// it has said.
pub(super) fn start(program: &Path, arguments: &[OsString]) -> io::Result<()> {
    let mut child = Command::new(program)
        .args(arguments)
        // What the boss's environment has in it is no business of machines.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Ctrl-C is for the boss.
        .process_group(0)
        .spawn()?;
    let said = said(&mut child);
    let Ok(said) = said else {
        child.kill()?;
        child.wait()?;
        return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not get ready"));
    };
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{status}: {}", said.trim())))
}

/// All that QEMU says until it is in the background.
fn said(child: &mut Child) -> Result<String, mpsc::RecvTimeoutError> {
    let stderr = child.stderr.take();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(mut stderr) = stderr {
            let read = (&mut stderr).take(MAX_SAID_BYTES).read_to_end(&mut said);
            // The rest is taken in as well, so that it does not wait for a reader.
            let _ended = read.and_then(|_| io::copy(&mut stderr, &mut io::sink()));
        }
        // Nobody waits any more if it was too late.
        let _late = sender.send(String::from_utf8_lossy(&said).into_owned());
    });
    receiver.recv_timeout(START)
}

/// A file with a process id, which its process holds locked.
pub(super) struct PidFile(File);

impl PidFile {
    /// The file, if a process holds it now.
    ///
    /// # Errors
    ///
    /// If that can't be found out.
    pub(super) fn held(path: &Path) -> io::Result<Option<Self>> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => Self(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(file.is_held()?.then_some(file))
    }

    fn is_held(&self) -> io::Result<bool> {
        match rustix::fs::fcntl_lock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                rustix::fs::fcntl_lock(&self.0, FlockOperation::NonBlockingUnlock)?;
                Ok(false)
            }
            Err(Errno::AGAIN | Errno::ACCESS) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until nobody holds the file; whether that came in time.
    pub(super) fn released(&self, patience: Duration) -> io::Result<bool> {
        let until = Instant::now() + patience;
        while self.is_held()? {
            if Instant::now() >= until {
                return Ok(false);
            }
            thread::sleep(LOOK);
        }
        Ok(true)
    }

    /// What is written in the file.
    ///
    /// # Errors
    ///
    /// If that is no process id.
    pub(super) fn id(&mut self) -> io::Result<u32> {
        let mut text = String::new();
        self.0.rewind()?;
        (&self.0).take(MAX_ID_BYTES).read_to_string(&mut text)?;
        let id = text.trim().parse().ok().filter(|id| *id > 1);
        id.ok_or_else(|| io::Error::other(format!("no process id: {text:?}")))
    }

    /// The process that holds the file: none, if it has ended meanwhile.
    fn process(&mut self) -> io::Result<Option<OwnedFd>> {
        let id = i32::try_from(self.id()?).ok().and_then(Pid::from_raw);
        let id = id.ok_or(io::ErrorKind::InvalidData)?;
        let process = match rustix::process::pidfd_open(id, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // If it still holds the file then it had it when we got hold of it, and so has
        // not been replaced by another of the same id in between.
        Ok(self.is_held()?.then_some(process))
    }

    /// Ends the process: has it asked nicely, then by signals, first by one that it can
    /// act upon.
    ///
    /// # Errors
    ///
    /// If it can't be ended.
    pub(super) fn end(mut self, ask: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        // That it can't be asked is what the signals are for.
        if ask().is_ok() && self.released(END)? {
            return Ok(());
        }
        for signal in [Signal::TERM, Signal::KILL] {
            let Some(process) = self.process()? else { break };
            match rustix::process::pidfd_send_signal(&process, signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
            if self.released(END)? {
                return Ok(());
            }
        }
        if self.released(END)? {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "it does not end"))
    }
}
