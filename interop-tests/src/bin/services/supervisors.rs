//! The supervisors: each with the same services, told to start them again at once.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::Failed;
use crate::process::{command, last, parents};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A supervisor with its services, until it is dropped.
pub(crate) struct Supervisor {
    pub(crate) name: &'static str,
    child: Child,
    services: usize,
    /// The services' words are told apart by this.
    base: u32,
    /// What asks it to end.
    ending: Signal,
    _directory: TempDir,
}

/// A supervisor, or why there is none.
type Started = Result<Result<Supervisor, String>, Failed>;

/// What a service executes: `sleep` for a time of its own, by which it is found.
fn words(base: u32, number: usize) -> String {
    format!("/bin/sleep {base}.{number:04}")
}

fn directory() -> Result<TempDir, Failed> {
    Ok(tempfile::Builder::new().prefix("hob-services-").tempdir()?)
}

pub(crate) fn hob(program: &Path, services: usize) -> Started {
    let (directory, base) = (directory()?, 71_000_000);
    let mut text = String::new();
    for number in 0..services {
        let words = words(base, number);
        let (sleep, time) = words.split_once(' ').ok_or("no words")?;
        text.push_str(&format!(
            "[service.s{number}]\ncommand = [\"{sleep}\", \"{time}\"]\n\
             respawn = {{ limit = 1000, delay = \"0ms\" }}\n"
        ));
    }
    fs::write(directory.path().join("services.toml"), text)?;
    let child = Command::new(program)
        .args(["--quiet", "shepherd", "--state", "s", "--services", "services.toml"])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let ending = Signal::TERM;
    Ok(Ok(Supervisor {
        name: "hob shepherd",
        child,
        services,
        base,
        ending,
        _directory: directory,
    }))
}

pub(crate) fn runit(_program: &Path, services: usize) -> Started {
    let (directory, base) = (directory()?, 72_000_000);
    for number in 0..services {
        let service = directory.path().join(format!("s{number}"));
        fs::create_dir(&service)?;
        let run = service.join("run");
        fs::write(&run, format!("#!/bin/sh\nexec {}\n", words(base, number)))?;
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755))?;
    }
    let child = Command::new("runsvdir").arg(directory.path()).stdin(Stdio::null()).spawn();
    let Ok(child) = child else { return Ok(Err("runit is not installed".to_owned())) };
    // What tells runsvdir to have its services end too.
    let ending = Signal::HUP;
    Ok(Ok(Supervisor { name: "runit", child, services, base, ending, _directory: directory }))
}

/// Goes on in a control group and namespaces of its own, so that nothing else is touched.
const APART: &str = "cd /sys/fs/cgroup && { cd systemd 2>/dev/null || true; } &&
    mkdir -p hob-services && echo $$ >hob-services/cgroup.procs &&
    exec unshare --mount --cgroup \"$@\"";

/// Has systemd believe that the machine was booted by it, which it wants.
const BOOTED: &str = "mount --make-rprivate / && mount -t tmpfs tmpfs /run &&
    mkdir -p /run/systemd/system && exec \"$0\" \"$@\"";

/// A manager of a user: that of the system can't be had beside another.
pub(crate) fn systemd(_program: &Path, services: usize) -> Started {
    let (directory, base) = (directory()?, 73_000_000);
    let units = directory.path().join("systemd/user");
    let wanted = units.join("default.target.wants");
    fs::create_dir_all(&wanted)?;
    for number in 0..services {
        let unit = format!("s{number}.service");
        let text = format!(
            "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart={}\nRestart=always\n\
             RestartSec=0\n",
            words(base, number)
        );
        fs::write(units.join(&unit), text)?;
        std::os::unix::fs::symlink(format!("../{unit}"), wanted.join(&unit))?;
    }
    let program = ["/lib/systemd/systemd", "/usr/lib/systemd/systemd"];
    let Some(program) = program.into_iter().find(|path| Path::new(path).exists()) else {
        return Ok(Err("systemd is not installed".to_owned()));
    };
    let child = Command::new("sh")
        .args(["-c", APART, "sh", "sh", "-c", BOOTED, program])
        .args(["--user", "--unit=default.target", "--log-level=err"])
        .env("XDG_RUNTIME_DIR", directory.path())
        .env("XDG_CONFIG_HOME", directory.path())
        .env("HOME", directory.path())
        .stdin(Stdio::null())
        .spawn()?;
    let ending = Signal::TERM;
    let mut this =
        Supervisor { name: "systemd --user", child, services, base, ending, _directory: directory };
    let begun = Instant::now();
    while this.find(0).is_none() {
        if this.child.try_wait()?.is_some() || begun.elapsed() > PATIENCE / 6 {
            return Ok(Err("systemd --user does not run here".to_owned()));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(Ok(this))
}

impl Supervisor {
    fn find(&self, number: usize) -> Option<i32> {
        let words = words(self.base, number);
        parents().into_iter().map(|(pid, _)| pid).find(|pid| command(*pid) == words)
    }

    /// The services' processes, once all are there.
    pub(crate) fn wait_until_all_run(&self) -> Result<Vec<i32>, Failed> {
        let begun = Instant::now();
        loop {
            let pids = self.services();
            if pids.len() == self.services {
                return Ok(pids);
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("{}: {} services run", self.name, pids.len()).into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn services(&self) -> Vec<i32> {
        let words = format!("/bin/sleep {}.", self.base);
        let pids = parents().into_iter().map(|(pid, _)| pid);
        pids.filter(|pid| command(*pid).starts_with(&words)).collect()
    }

    /// The supervisor and all that it has made but the services.
    pub(crate) fn processes(&self) -> Result<Vec<i32>, Failed> {
        let (all, services) = (parents(), self.services());
        let mut own = vec![i32::try_from(self.child.id())?];
        let mut next = 0;
        while let Some(parent) = own.get(next).copied() {
            next += 1;
            let children = all.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid);
            own.extend(children.filter(|pid| !services.contains(pid)));
        }
        Ok(own)
    }

    /// Kills a service, and gives how long it took until its program ran again.
    pub(crate) fn crash(&self, number: usize) -> Result<Duration, Failed> {
        // One that has only just begun is started again only after a second by runit.
        std::thread::sleep(Duration::from_millis(1200));
        let words = words(self.base, number);
        let pid = self.find(number).ok_or("a service is gone")?;
        let mut seen = last()?;
        let mut made = Vec::new();
        let begun = Instant::now();
        kill_process(Pid::from_raw(pid).ok_or("no pid")?, Signal::KILL)?;
        loop {
            let newest = last()?;
            if newest < seen {
                return Err("the numbers of processes have begun anew".into());
            }
            made.extend(seen + 1..=newest);
            seen = newest;
            if made.iter().any(|pid| command(*pid) == words) {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("{}: {words} does not come back", self.name).into());
            }
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _gone_already = kill_process(pid, self.ending);
        }
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < PATIENCE / 4 {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
        let left = self.services().into_iter().filter_map(Pid::from_raw);
        for pid in left {
            let _gone_already = kill_process(pid, Signal::KILL);
        }
    }
}
