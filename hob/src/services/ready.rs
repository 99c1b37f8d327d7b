//! How it is known that a service is ready, and commands that are run to their end.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, SystemTime};

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpStream, UnixDatagram};

use super::definition::Readiness;
use super::helper::Ids;
use super::process::{Exit, Process};

/// How often it is looked whether a service is ready that does not say so itself.
const PERIOD: Duration = Duration::from_millis(50);
/// Of those that `/proc` counts in there are so many in a second, whatever the kernel's own.
const TICKS: u64 = 100;
/// How much of a command's output is kept.
const MAX_OUTPUT: u64 = 64 * 1024;
/// How long a command may take.
const MAX_TIME: Duration = Duration::from_secs(60);

/// A socket on which a service says that it is ready.
pub(crate) struct Notify {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Notify {
    pub(crate) fn bind(directory: &Path, name: &str, ids: Option<Ids>) -> io::Result<Self> {
        let path = directory.join(name);
        let socket = UnixDatagram::bind(&path)?;
        let this = Self { socket, path };
        if let Some(Ids { user, group }) = ids {
            std::os::unix::fs::chown(&this.path, Some(user), Some(group))?;
        }
        Ok(this)
    }

    pub(crate) fn path(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    async fn ready(&self) -> io::Result<()> {
        let mut message = [0; 4096];
        loop {
            let length = self.socket.recv(&mut message).await?;
            let mut lines = message.get(..length).unwrap_or_default().split(|byte| *byte == b'\n');
            if lines.any(|line| line == b"READY=1") {
                return Ok(());
            }
        }
    }
}

impl Drop for Notify {
    fn drop(&mut self) {
        let _gone_already = std::fs::remove_file(&self.path);
    }
}

/// Waits until the service is ready.
pub(crate) async fn until<F, P>(
    wanted: &Readiness,
    process: &Process,
    notify: Option<Notify>,
    run: F,
) -> Result<(), String>
where
    F: Fn() -> P + Send,
    P: Future<Output = Result<(Exit, String), String>> + Send,
{
    let since = begun(process);
    let ready = async {
        if wanted.notify {
            let notify = notify.ok_or("there is no notify socket")?;
            return notify.ready().await.map_err(|error| error.to_string());
        }
        loop {
            let ready = if let Some(port) = &wanted.port {
                TcpStream::connect(port).await.is_ok()
            } else if let Some(file) = &wanted.file {
                let modified = file.metadata().and_then(|metadata| metadata.modified());
                modified.is_ok_and(|time| time >= since)
            } else {
                matches!(run().await, Ok((exit, _)) if exit.is_success())
            };
            if ready {
                return Ok(());
            }
            tokio::time::sleep(PERIOD).await;
        }
    };
    match tokio::time::timeout(wanted.timeout.0, ready).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(format!("it was not ready within {}", wanted.timeout)),
    }
}

/// When a process was started, a little earlier rather than later.
fn begun(process: &Process) -> SystemTime {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let uptime = uptime.split_whitespace().next().and_then(|text| text.parse::<f64>().ok());
    let started = Duration::from_millis(process.started.saturating_mul(1000 / TICKS));
    let uptime = Duration::try_from_secs_f64(uptime.unwrap_or_default()).unwrap_or_default();
    let age = uptime.saturating_sub(started) + Duration::from_millis(50);
    SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Lets a command run to its end, and gives what it said.
pub(crate) async fn output(mut child: tokio::process::Child) -> io::Result<(Exit, String)> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let read = async {
        let mut said = Vec::new();
        if let (Some(out), Some(err)) = (out, err) {
            let mut more = Vec::new();
            let (mut out, mut err) = (out.take(MAX_OUTPUT), err.take(MAX_OUTPUT));
            tokio::try_join!(out.read_to_end(&mut said), err.read_to_end(&mut more))?;
            said.extend(more);
        }
        Ok::<_, io::Error>((child.wait().await?, said))
    };
    match tokio::time::timeout(MAX_TIME, read).await {
        Ok(outcome) => {
            let (status, said) = outcome?;
            Ok((exit_of(status), String::from_utf8_lossy(&said).trim_end().to_owned()))
        }
        Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Unknown,
    }
}
