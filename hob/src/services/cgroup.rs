//! Control groups, where the machine has them: a limit to all processes of a service
//! together, and a way to kill all of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::process::Process;

/// Where the controller of processes is, in the order in which it is looked for.
const UNIFIED: &str = "/sys/fs/cgroup";
const LEGACY: &str = "/sys/fs/cgroup/pids";

/// The control group of one start of a service.
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    /// That of a process, whether or not it has one.
    pub(crate) fn of(process: &Process) -> io::Result<Self> {
        let controllers = fs::read_to_string(Path::new(UNIFIED).join("cgroup.controllers"));
        let unified =
            controllers.is_ok_and(|list| list.split_whitespace().any(|one| one == "pids"));
        let root = if unified {
            UNIFIED
        } else if Path::new(LEGACY).join("cgroup.procs").exists() {
            LEGACY
        } else {
            return Err(io::Error::other("this machine has none that limits processes"));
        };
        Ok(Self(Path::new(root).join(format!("hob-{}", process.invocation))))
    }

    /// Makes it, and puts the process into it.
    pub(crate) fn admit(&self, process: &Process, tasks: u64) -> io::Result<()> {
        fs::create_dir(&self.0)?;
        let admitted = fs::write(self.0.join("pids.max"), tasks.to_string())
            .and_then(|()| fs::write(self.0.join("cgroup.procs"), process.pid.to_string()));
        if admitted.is_err() {
            let _left_behind = fs::remove_dir(&self.0);
        }
        admitted
    }

    /// Kills everything that is in it, and removes it.
    pub(crate) fn kill(&self) {
        use rustix::process::{Pid, Signal, kill_process};
        for _ in 0..500 {
            let Ok(members) = fs::read_to_string(self.0.join("cgroup.procs")) else { return };
            // No more may be made while they are killed one by one.
            let _best_effort = fs::write(self.0.join("pids.max"), "0");
            for pid in members.lines().filter_map(|pid| pid.parse().ok()).filter_map(Pid::from_raw)
            {
                let _gone_already = kill_process(pid, Signal::KILL);
            }
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        tracing::warn!("can't empty {}", self.0.display());
    }
}
