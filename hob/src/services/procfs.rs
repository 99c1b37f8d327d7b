//! What `/proc` says of processes.

use std::fs;

use super::process::Process;

/// The line of a process in `/proc/PID/stat`, as far as it is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: char,
    pub(crate) parent: i64,
    pub(crate) group: i64,
    /// In clock ticks since the machine was started.
    pub(crate) started: u64,
}

impl Stat {
    /// That of a process, if there is one.
    pub(crate) fn of(pid: i64) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(line: &str) -> Option<Self> {
        // The name may have spaces and brackets in it, and ends with the last bracket.
        let (_, rest) = line.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }

    /// Whether it has ended and waits for its parent to notice.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// Which run of the machine this is.
pub(crate) fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Whether that process is there and runs.
pub(crate) fn is_alive(process: &Process) -> bool {
    process.boot == boot()
        && Stat::of(process.pid)
            .is_some_and(|stat| stat.started == process.started && !stat.is_over())
}

/// All processes that run and have this in their environment, as far as we may look.
pub(crate) fn with_variable(name: &str, value: &str) -> Vec<i64> {
    let wanted = format!("{name}={value}");
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i64>().ok());
    let has = |pid: &i64| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    pids.filter(has).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_brackets_are_passed_over() {
        let line = "7 (a) b)) S 1 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 3481425 16 3";
        let stat = Stat { state: 'S', parent: 1, group: 7, started: 3_481_425 };
        assert_eq!(Stat::parse(line), Some(stat));
        for bad in ["", "7 (x", "7 (x) S 1", "7 (x) S x 7 7"] {
            assert_eq!(Stat::parse(bad), None);
        }
    }

    #[test]
    fn this_process_is_alive_and_an_earlier_one_is_not() {
        let pid = i64::from(std::process::id());
        let started = Stat::of(pid).unwrap().started;
        let me = Process { pid, started, boot: boot(), invocation: String::new() };
        assert!(is_alive(&me));
        assert!(!is_alive(&Process { started: started - 1, ..me.clone() }));
        assert!(!is_alive(&Process { boot: "another".into(), ..me }));
    }
}
