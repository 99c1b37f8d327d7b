//! The boss's process, what it uses, and the machines that outlive it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::Failed;

/// A boss, until it is dropped.
pub(crate) struct Boss {
    child: Child,
    state: PathBuf,
}

/// What a process has used.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    /// Resident, in bytes.
    pub(crate) memory: u64,
    pub(crate) processor: Duration,
}

impl Boss {
    pub(crate) async fn start(hob: &Path, directory: &Path) -> Result<Self, Failed> {
        let state = directory.join("boss");
        let mut child = Command::new(hob)
            .args(["boss", "--listen", "tcp-tls:127.0.0.1:0", "--quiet", "--state"])
            .arg(&state)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}", hob.display()))?;
        let out = child.stdout.take().ok_or("no standard output")?;
        let mut lines = BufReader::new(out).lines();
        while lines.next_line().await?.ok_or("the boss has ended early")? != "ready" {}
        Ok(Self { child, state })
    }

    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    pub(crate) fn usage(&self) -> Result<Usage, Failed> {
        let process =
            PathBuf::from("/proc").join(self.child.id().ok_or("it has ended")?.to_string());
        let stat = std::fs::read_to_string(process.join("stat"))?;
        let (_, stat) = stat.rsplit_once(") ").ok_or("no stat")?;
        let fields: Vec<&str> = stat.split(' ').collect();
        // Fields 14, 15 and 24 of proc(5), of which two are before the bracket.
        let number = |at: usize| fields.get(at - 3).and_then(|field| field.parse::<u64>().ok());
        let ticks = number(14).zip(number(15)).map(|(user, system)| user + system);
        let pages = number(24).ok_or("no stat")?;
        let second = rustix::param::clock_ticks_per_second().max(1);
        Ok(Usage {
            memory: pages * rustix::param::page_size() as u64,
            processor: Duration::from_millis(ticks.ok_or("no stat")? * 1000 / second),
        })
    }

    /// Ends the boss and its machines.
    pub(crate) async fn end(mut self) -> Result<(), Failed> {
        self.child.kill().await?;
        Ok(())
    }
}

impl Drop for Boss {
    fn drop(&mut self) {
        let made = self.state.join("providers/local").read_dir().into_iter().flatten();
        for machine in made.flatten() {
            let process = std::fs::read_to_string(machine.path().join("state/lock"));
            if let Some(id) = process.ok().and_then(|text| text.trim().parse().ok())
                && let Some(id) = rustix::process::Pid::from_raw(id)
            {
                let _gone = rustix::process::kill_process(id, rustix::process::Signal::KILL);
            }
        }
    }
}
