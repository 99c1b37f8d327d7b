//! Running the system's programs: with a time limit, without a terminal, and with what
//! they say kept within bounds.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::children;

/// More than this of a program's output is not kept.
const MAX_OUTPUT: u64 = 16 << 20;

/// A program that is run.
pub(super) struct Run<'a> {
    /// Which.
    pub(super) program: &'a Path,
    /// With what.
    pub(super) args: Vec<&'a str>,
    /// What its environment has beyond ours.
    pub(super) env: &'a [(&'a str, &'a str)],
    /// How long it may take: then it and what it started are killed.
    pub(super) timeout: Duration,
}

/// What came of it.
pub(super) struct Ran {
    status: ExitStatus,
    /// What it printed.
    pub(super) out: String,
    /// What it complained of.
    pub(super) complaints: String,
}

impl Ran {
    /// Whether it says that it succeeded.
    pub(super) fn success(&self) -> bool {
        self.status.success()
    }

    /// How it ended and the last lines of what it said, for people.
    pub(super) fn why(&self) -> String {
        let end = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "an unknown end".to_owned(),
        };
        let said = if self.complaints.trim().is_empty() { &self.out } else { &self.complaints };
        let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines.get(lines.len().saturating_sub(4)..).unwrap_or_default().join("; ");
        if last.is_empty() { end } else { format!("{end}: {last}") }
    }
}

impl Run<'_> {
    /// Runs it to its end.
    pub(super) fn run(&self) -> Result<Ran, String> {
        let name = self.program.display();
        let failed = |error: io::Error| format!("{name} can't be run: {error}");
        // Files, since a service that the program starts may keep a pipe open for ever.
        let mut out = tempfile::tempfile().map_err(failed)?;
        let mut complaints = tempfile::tempfile().map_err(failed)?;
        let mut command = Command::new(self.program);
        command
            .args(&self.args)
            .env("LC_ALL", "C")
            .envs(self.env.iter().copied())
            .stdin(Stdio::null())
            .stdout(out.try_clone().map_err(failed)?)
            .stderr(complaints.try_clone().map_err(failed)?)
            // A group of its own, so that all it starts can be killed with it.
            .process_group(0);
        let (mut child, awaited) = children::spawn(&mut command).map_err(failed)?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let (sender, ended) = mpsc::channel();
        let waiter = thread::spawn(move || {
            // Nobody waits for it any more if it took too long.
            let _unheard = sender.send(child.wait());
            drop(awaited);
        });
        match ended.recv_timeout(self.timeout) {
            Ok(status) => Ok(Ran {
                status: status.map_err(failed)?,
                out: kept(&mut out).map_err(failed)?,
                complaints: kept(&mut complaints).map_err(failed)?,
            }),
            Err(_) => {
                if let Some(group) = group {
                    // It may have ended by itself just now.
                    let _gone = kill_process_group(group, Signal::KILL);
                }
                let _joined = waiter.join();
                Err(format!("{name} took longer than {} s", self.timeout.as_secs()))
            }
        }
    }
}

fn kept(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(MAX_OUTPUT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Where a program is, if it is there.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin:/usr/sbin:/sbin".into());
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file())
}
