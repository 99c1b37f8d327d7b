//! How processes end: who waits for them, what they leave behind, and whose zombies are
//! reaped.

use std::os::fd::AsFd as _;
use std::sync::Arc;

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open,
    pidfd_send_signal, waitid,
};
use tokio::task::spawn_blocking;

use super::{INVOCATION, Inner, lock};
use crate::services::cgroup::Cgroup;
use crate::services::process::{Exit, Process};
use crate::services::procfs;
use crate::services::readable::readable;

impl Inner {
    /// Nobody waits for the child any more: it is reaped like a stranger.
    pub(super) fn forget(&self, pid: i64) {
        lock(&self.own).remove(&pid);
        self.poke.notify_one();
    }

    /// Waits for the end of a process by its descriptor.
    pub(super) async fn wait(self: Arc<Self>, process: Process) -> Exit {
        let over = Exit::Unknown;
        let Some(pid) = pid_of(&process) else { return over };
        let mut exit = over;
        if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::NONBLOCK)
            && is_still(&process)
        {
            let Ok(pidfd) = readable(pidfd).await else { return over };
            // While its number is still taken.
            let _none_left = kill_process_group(pid, Signal::KILL);
            let wait = WaitId::PidFd(pidfd.as_fd());
            exit = match waitid(wait, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
                Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Exit::Code(code),
                    (None, Some(signal)) => Exit::Signal(signal),
                    (None, None) => over,
                },
                // Not our child.
                _ => over,
            };
        }
        self.forget(process.pid);
        let clean = spawn_blocking(move || sweep(&process));
        let _swept = clean.await;
        exit
    }
}

pub(super) fn pid_of(process: &Process) -> Option<Pid> {
    // 0 and 1 are nobody's service.
    let pid = i32::try_from(process.pid).ok().filter(|pid| *pid > 1)?;
    Pid::from_raw(pid)
}

/// Whether the number is still that process's, also if it has ended and not been reaped.
pub(super) fn is_still(process: &Process) -> bool {
    process.boot == procfs::boot()
        && procfs::Stat::of(process.pid).is_some_and(|stat| stat.started == process.started)
}

/// Kills what a process has left behind: its control group, and what has left its group
/// and session but still has the mark of its start.
fn sweep(process: &Process) {
    if let Ok(cgroup) = Cgroup::of(process) {
        cgroup.kill();
    }
    for _ in 0..100 {
        let left = procfs::with_variable(INVOCATION, &process.invocation);
        if left.is_empty() {
            return;
        }
        for pid in left {
            let pidfd = i32::try_from(pid).ok().and_then(Pid::from_raw);
            if let Some(Ok(pidfd)) = pidfd.map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
                let _gone_already = pidfd_send_signal(pidfd, Signal::KILL);
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// Reaps what descendants have left to us.
pub(super) async fn reap(inner: Arc<Inner>) {
    let kind = tokio::signal::unix::SignalKind::child();
    let Ok(mut children) = tokio::signal::unix::signal(kind) else { return };
    loop {
        tokio::select! {
            _ = children.recv() => {}
            () = inner.poke.notified() => {}
        }
        // What ends at the same time is seen at the same time.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let inner = inner.clone();
        let _reaped = spawn_blocking(move || {
            let me = i64::from(std::process::id());
            let Ok(entries) = std::fs::read_dir("/proc") else { return };
            let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
            for pid in pids {
                let over =
                    procfs::Stat::of(pid).is_some_and(|stat| stat.parent == me && stat.is_over());
                let own = lock(&inner.own);
                let stranger = over && !own.contains(&pid);
                if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw)
                    && stranger
                {
                    crate::children::if_not_awaited(
                        pid.as_raw_nonzero().get().unsigned_abs(),
                        || {
                            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
                            let _reaped_meanwhile = waitid(WaitId::Pid(pid), options);
                        },
                    );
                }
            }
        })
        .await;
    }
}
