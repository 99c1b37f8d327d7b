//! What `/proc` says of processes.

use std::fs;
use std::time::Duration;

use crate::Failed;

/// What processes have used together.
pub(crate) struct Usage {
    /// How often they went to sleep by themselves, and so were woken.
    pub(crate) switches: u64,
    pub(crate) processor: Duration,
}

impl Usage {
    pub(crate) fn of(pids: &[i32]) -> Result<Self, Failed> {
        let (mut switches, mut processor) = (0, Duration::ZERO);
        for pid in pids {
            for task in fs::read_dir(format!("/proc/{pid}/task"))? {
                let task = task?.path();
                // A thread may end meanwhile.
                let Ok(status) = fs::read_to_string(task.join("status")) else { continue };
                let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_"));
                let number =
                    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
                switches += number.ok_or("no switches")?;
                // In nanoseconds, where the kernel keeps that; finer than ticks.
                let text = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
                let on = text.split_whitespace().next().and_then(|text| text.parse().ok());
                processor += Duration::from_nanos(on.unwrap_or(0));
            }
        }
        Ok(Self { switches, processor })
    }
}

/// The proportional share of memory, in bytes.
pub(crate) fn memory(pid: i32) -> Result<u64, Failed> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss")?;
    let kib = line.trim().trim_end_matches(" kB").parse::<u64>()?;
    Ok(kib * 1024)
}

/// All processes, with their parents.
pub(crate) fn parents() -> Vec<(i32, i32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        Some((pid, parent))
    })
    .collect()
}

/// What a process executes, with its arguments.
pub(crate) fn command(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ").trim_end().to_owned()
}

/// The number of the process that was made last.
pub(crate) fn last() -> Result<i32, Failed> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().last().ok_or("no load")?.parse()?)
}
