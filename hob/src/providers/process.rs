//! Machines that are processes on this host: a directory for each, named by its key,
//! and a `hob join` that runs in it, by itself, whatever becomes of the boss.
//!
//! | file | what |
//! |---|---|
//! | `machine.json` | the [`Record`] of it, there before anything else is |
//! | `enrol.cap` | its enrolment, 0600, which it removes when it has used it |
//! | `state/` | its state directory |
//! | `log` | what it says |
//!
//! **Which processes are a machine's.** Each has the machine's key in its environment,
//! and so has what it starts. That is true from the first instruction on, needs no file
//! that could be lost or out of date, and can't be mistaken for a process that was given
//! the same number later: the number is fixed with a pidfd before the key is looked for.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ocapn::netlayers::unix::MAX_PATH_BYTES;
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::files::{self, absent_is_fine, failed};
use super::{Context, Enrolment, FleetId, Instance, Key, Order, ProviderError};
use crate::config::{CONFIG_VARIABLE, OWN_VARIABLES};

/// How long a process that is being killed may hold its lock.
const DYING: Duration = Duration::from_secs(5);

/// What a machine's processes have in their environment: this, `=`, and the key.
pub(crate) const MARK: &str = "HOB_MACHINE";

/// How long a process may take until it is seen to live.
const START: Duration = Duration::from_secs(5);

/// How long a process may take to go once it has been killed.
const KILL: Duration = Duration::from_secs(10);

/// How much of a log is looked at.
const LOG_BYTES: u64 = 64 * 1024;

/// What is written about a machine before it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) fleet: String,
    /// Where its node listens, always the same.
    pub(super) listen: String,
    /// Its own address, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<Ipv4Addr>,
}

/// All machines of a provider.
pub(super) struct Processes {
    root: PathBuf,
    program: PathBuf,
    /// How long a machine has to end by itself.
    grace: Duration,
    /// Those that this process has started, to be waited for when they have ended.
    children: Mutex<Vec<Child>>,
    /// The ports given out by this process, some of which nobody may listen on yet.
    ports: Mutex<Vec<u16>>,
}

impl Processes {
    pub(super) fn new(context: &Context, grace: Duration) -> Self {
        Self {
            root: context.state.clone(),
            program: context.program.clone(),
            grace,
            children: Mutex::default(),
            ports: Mutex::default(),
        }
    }

    /// The provider's directory, made if need be.
    pub(super) fn root(&self) -> Result<&Path, ProviderError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.root)
            .map_err(|error| failed(&self.root, &error))?;
        Ok(&self.root)
    }

    /// The machine with that key, whether it is there or not.
    pub(super) fn home(&self, key: &Key) -> Home {
        Home { key: key.clone(), directory: self.root.join(key.as_str()) }
    }

    /// All machines that there are, or that are half made or half gone.
    pub(super) fn homes(&self) -> Result<Vec<Home>, ProviderError> {
        let entries = match self.root.read_dir() {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(&self.root, &error)),
        };
        let mut homes = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| failed(&self.root, &error))?.file_name();
            let key = name.to_str().and_then(|name| name.parse::<Key>().ok());
            homes.extend(key.map(|key| self.home(&key)));
        }
        Ok(homes)
    }

    /// Starts a machine's process by the words `before`, unless it runs already; one that
    /// is new with its enrolment. Says whether it had to.
    pub(super) fn start(
        &self,
        home: &Home,
        record: &Record,
        before: &[&str],
        enrolment: Option<&Enrolment>,
    ) -> Result<bool, ProviderError> {
        self.reap();
        if home.runs()? {
            return Ok(false);
        }
        if let Some(enrolment) = enrolment {
            let secret = Zeroizing::new(format!("{}\n", enrolment.reveal()));
            files::write(&home.enrolment(), secret.as_bytes())?;
        }
        let log = home.open_log()?;
        let begin = log.metadata().map_err(|error| failed(&home.directory, &error))?.len();
        let child = self.command(record, before, home, log)?.spawn();
        let mut child = child.map_err(|error| {
            let program = before.first().map_or(self.program.as_path(), Path::new);
            ProviderError::lasting(format!("can't start {}: {error}", program.display()))
        })?;
        let early = self.early_end(&mut child, home);
        match early? {
            None => {
                files::lock(&self.children).push(child);
                Ok(true)
            }
            Some(status) => {
                let said = home.last_words(begin);
                Err(ProviderError::temporary(format!("it ended at once ({status}): {said}")))
            }
        }
    }

    fn command(
        &self,
        record: &Record,
        before: &[&str],
        home: &Home,
        log: File,
    ) -> Result<Command, ProviderError> {
        let program = self.program.as_os_str();
        let mut words = before.iter().map(AsRef::as_ref).chain([program]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).arg("join").arg("--state").arg(home.state());
        // Nobody reads that file once the machine has registered.
        command.arg("--enrol").arg(home.enrolment()).arg("--listen").arg(&record.listen);
        // The boss may be away for a while; longer than this, and the enrolment is over.
        command.args(["--timeout", "15m"]);
        // What the boss was told about itself, also by its own supervisor, is not for others.
        for own in OWN_VARIABLES {
            command.env_remove(own);
        }
        let and = |error| failed(&home.directory, &error);
        command
            .env(MARK, home.key.as_str())
            .env(CONFIG_VARIABLE, "/dev/null")
            .current_dir(&home.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(and)?)
            .stderr(log)
            // Neither Ctrl-C nor the end of the boss's session concerns it.
            .process_group(0);
        Ok(command)
    }

    /// Waits until the process has taken its state directory, for a short while; or
    /// until it has ended, and says how.
    fn early_end(
        &self,
        child: &mut Child,
        home: &Home,
    ) -> Result<Option<std::process::ExitStatus>, ProviderError> {
        let lock = home.state().join("lock");
        let id = child.id().to_string();
        let mut pause = Pause::until(START);
        loop {
            let ended = child.try_wait().map_err(|error| failed(&home.directory, &error))?;
            let holder = std::fs::read_to_string(&lock).unwrap_or_default();
            if ended.is_some() || holder.trim() == id || !pause.rest() {
                return Ok(ended);
            }
        }
    }

    /// Ends all processes of a machine.
    pub(super) fn stop(&self, key: &Key) -> Result<(), ProviderError> {
        for (signal, patience) in [(Signal::TERM, self.grace), (Signal::KILL, KILL)] {
            let mut pause = Pause::until(patience);
            let mut first = true;
            loop {
                self.reap();
                let processes = marked(key)?;
                if processes.is_empty() {
                    return Ok(());
                }
                // The machine's own is asked, once: it ends its services in order. Then
                // what it has left is killed, until all are gone, for they may have
                // started more.
                let home = self.home(key);
                let (own, left): (Vec<_>, Vec<_>) =
                    processes.iter().partition(|process| home.is_own(process));
                match (signal, own.is_empty()) {
                    (Signal::TERM, true) => break,
                    (Signal::TERM, false) if first => send(own, signal),
                    (Signal::TERM, false) => {}
                    _ => send(own.into_iter().chain(left), signal),
                }
                first = false;
                if !pause.rest() {
                    break;
                }
            }
        }
        Err(ProviderError::temporary("its processes can't be killed"))
    }

    /// Removes a machine's directory.
    pub(super) fn remove(&self, key: &Key) -> Result<(), ProviderError> {
        let directory = self.home(key).directory;
        // Once it has lost its name it is not half a machine, but nothing.
        let nameless = directory.with_extension("gone");
        let moved = absent_is_fine(std::fs::rename(&directory, &nameless));
        moved.map_err(|error| failed(&directory, &error))?;
        let removed = absent_is_fine(std::fs::remove_dir_all(&nameless));
        removed.map_err(|error| failed(&nameless, &error))
    }

    /// Something about each machine of a fleet.
    pub(super) fn each<T>(
        &self,
        fleet: &FleetId,
        told: impl Fn(&Home, &Record) -> T,
    ) -> Result<Vec<T>, ProviderError> {
        self.reap();
        let mut all = Vec::new();
        for home in self.homes()? {
            let Some(record) = home.record()? else { continue };
            if record.fleet == fleet.as_str() {
                all.push(told(&home, &record));
            }
        }
        Ok(all)
    }

    /// Waits until a machine has registered, or has ended, or for that long. Says whether
    /// it has registered.
    pub(super) fn wait_until_ready(&self, key: &Key, patience: Duration) -> bool {
        let home = self.home(key);
        let mut pause = Pause::until(patience);
        while pause.rest() {
            self.reap();
            if !home.enrolment().exists() {
                return true;
            }
            if !matches!(home.runs(), Ok(true)) {
                return false;
            }
        }
        false
    }

    /// Takes note of the children that have ended.
    pub(super) fn reap(&self) {
        files::lock(&self.children).retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }

    /// The address to listen on, with a port of its own where it says 0. A machine keeps
    /// its port, as others know it by it.
    pub(super) fn settle(&self, listen: &str) -> Result<String, ProviderError> {
        let (address, rest) = match listen.split_once('?') {
            Some((address, rest)) => (address, format!("?{rest}")),
            None => (listen, String::new()),
        };
        let Some(before) = address.strip_suffix(":0") else { return Ok(listen.to_owned()) };
        let host = before.split_once(':').map_or("127.0.0.1", |(_, host)| host);
        let host = host.trim_matches(['[', ']']);
        let mut given = files::lock(&self.ports);
        for _ in 0..1000 {
            let mut random = [0; 2];
            let refused = |_| ProviderError::temporary("no randomness to be had");
            getrandom::fill(&mut random).map_err(refused)?;
            // Below the ports that the system takes for connections of its own.
            let port = 10_240 + u16::from_ne_bytes(random) % (32_768 - 10_240);
            if !given.contains(&port) && TcpListener::bind((host, port)).is_ok() {
                given.push(port);
                return Ok(format!("{before}:{port}{rest}"));
            }
        }
        Err(ProviderError::temporary(format!("no port is free on {host}")))
    }
}

/// A machine's directory.
pub(super) struct Home {
    pub(super) key: Key,
    pub(super) directory: PathBuf,
}

impl Home {
    fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    fn enrolment(&self) -> PathBuf {
        self.directory.join("enrol.cap")
    }

    /// What is known of the machine; nothing if it was never begun.
    pub(super) fn record(&self) -> Result<Option<Record>, ProviderError> {
        files::read_json(&self.directory.join("machine.json"))
    }

    /// What is known of the machine, or, if it is new, what is made up now and written
    /// down first.
    pub(super) fn begin(
        &self,
        order: &Order,
        new: impl FnOnce() -> Result<Record, ProviderError>,
    ) -> Result<Record, ProviderError> {
        if let Some(record) = self.record()? {
            self.claim(&record, &order.fleet)?;
            return Ok(record);
        }
        let record = new()?;
        // Its own name for what the path has to make room for.
        if self.state().as_os_str().len() + "/sock.lock".len() > MAX_PATH_BYTES {
            let why = "the boss's state directory has too long a path for sockets in it";
            return Err(ProviderError::lasting(format!("{why}: {}", self.directory.display())));
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
        made.map_err(|error| failed(&self.directory, &error))?;
        files::write_json(&self.directory.join("machine.json"), &record)?;
        Ok(record)
    }

    /// That the machine is of that fleet.
    pub(super) fn claim(&self, record: &Record, fleet: &FleetId) -> Result<(), ProviderError> {
        if record.fleet == fleet.as_str() {
            return Ok(());
        }
        Err(ProviderError::lasting(format!("{} is of another fleet", self.directory.display())))
    }

    /// What is known of a machine that was made for that fleet.
    pub(super) fn known(&self, fleet: &FleetId) -> Result<Record, ProviderError> {
        let record = self.record()?.ok_or_else(|| {
            let why = format!("nothing is left of it: {}", self.directory.display());
            ProviderError::lasting(why)
        })?;
        self.claim(&record, fleet)?;
        Ok(record)
    }

    /// Whether that is the machine's own process, by its words.
    fn is_own(&self, process: &Process) -> bool {
        let state = self.state();
        process.words.windows(2).any(|pair| match pair {
            [option, value] => option == "--state" && *value == *state,
            _ => false,
        })
    }

    /// Whether the machine's own process runs, not just one that it has left behind: by
    /// its mark and its words, or, if it was started by hand, by the lock on its state
    /// directory.
    pub(super) fn runs(&self) -> Result<bool, ProviderError> {
        if marked(&self.key)?.iter().any(|process| self.is_own(process)) {
            return Ok(true);
        }
        let path = self.state().join("lock");
        let lock = match File::open(&path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(&path, &error)),
        };
        let mut pause = Pause::until(DYING);
        loop {
            match lock.try_lock() {
                Ok(()) => {
                    // Not by closing it: a process that is just being started has it too.
                    lock.unlock().map_err(|error| failed(&path, &error))?;
                    return Ok(false);
                }
                Err(TryLockError::Error(error)) => return Err(failed(&path, &error)),
                // One that is being killed loses its environment first, and its lock last.
                Err(TryLockError::WouldBlock) => {
                    let holder = std::fs::read_to_string(&path).unwrap_or_default();
                    let environment = Path::new("/proc").join(holder.trim()).join("environ");
                    let lives = std::fs::read(environment).is_ok_and(|read| !read.is_empty());
                    if lives || !pause.rest() {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// What the boss is told of it.
    pub(super) fn instance(&self, record: &Record) -> Instance {
        let of_listen = || {
            let (_, address) = record.listen.split_once(':')?;
            let (host, _) = address.rsplit_once(':')?;
            Some(host.to_owned())
        };
        Instance {
            key: self.key.to_string(),
            id: self.directory.display().to_string(),
            address: record.address.map(|address| address.to_string()).or_else(of_listen),
        }
    }

    fn open_log(&self) -> Result<File, ProviderError> {
        let path = self.directory.join("log");
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        options.open(&path).map_err(|error| failed(&path, &error))
    }

    /// What it said last, since the log had that length.
    fn last_words(&self, begin: u64) -> String {
        let text = self.said(begin);
        text.lines().next_back().unwrap_or("no word").to_owned()
    }

    fn said(&self, begin: u64) -> String {
        let read = || -> io::Result<String> {
            let mut log = File::open(self.directory.join("log"))?;
            let length = log.metadata()?.len();
            log.seek(SeekFrom::Start(begin.max(length.saturating_sub(LOG_BYTES))))?;
            let mut bytes = Vec::new();
            log.take(LOG_BYTES).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        // For people only, who can look at the log themselves.
        read().unwrap_or_default()
    }
}

/// A process that has a machine's mark.
struct Process {
    /// By which it can be signalled, and nothing else in its place.
    pidfd: OwnedFd,
    /// Its command line.
    words: Vec<OsString>,
}

fn send<'p>(processes: impl IntoIterator<Item = &'p Process>, signal: Signal) {
    for process in processes {
        // It may just have ended, which is what is wanted.
        let _gone = pidfd_send_signal(&process.pidfd, signal);
    }
}

/// The processes that have a machine's mark: its own, and what it has started.
fn marked(key: &Key) -> Result<Vec<Process>, ProviderError> {
    let mark = format!("{MARK}={key}");
    let of = |process: std::fs::DirEntry| {
        let id = process.file_name().to_str()?.parse().ok()?;
        let pidfd = pidfd_open(Pid::from_raw(id)?, PidfdFlags::empty()).ok()?;
        // Of one that is gone or somebody else's there is nothing to read.
        let environment = std::fs::read(process.path().join("environ")).ok()?;
        let mut variables = environment.split(|byte| *byte == 0);
        if !variables.any(|variable| variable == mark.as_bytes()) {
            return None;
        }
        let words = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let words = words.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec()));
        Some(Process { pidfd, words: words.collect() })
    };
    let processes = Path::new("/proc").read_dir();
    let processes = processes.map_err(|error| failed(Path::new("/proc"), &error))?;
    Ok(processes.flatten().filter_map(of).collect())
}

/// Looking again and again, less and less often.
pub(super) struct Pause {
    deadline: Instant,
    next: Duration,
}

impl Pause {
    pub(super) fn until(patience: Duration) -> Self {
        Self { deadline: Instant::now() + patience, next: Duration::from_millis(4) }
    }

    /// Waits a little; says whether there is still time.
    pub(super) fn rest(&mut self) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        std::thread::sleep(self.next.min(left));
        self.next = (self.next * 3 / 2).min(Duration::from_millis(200));
        !left.is_zero()
    }
}
