//! The real world: processes by fork and exec, pidfds, pipes, files.

mod elsewhere;
mod ending;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ocapn::{Node, Ref, Vat};
use rustix::process::{PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use tempfile::TempDir;
use tokio::net::unix::pipe;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};

use self::elsewhere::elsewhere;
use self::ending::{is_still, pid_of, reap};
use super::audit::Audit;
use super::builtin::{self, Ground};
use super::catalogue::Catalogue;
use super::cgroup::Cgroup;
use super::definition::Definition;
use super::helper::{self, Spec};
use super::logfile::{self, LogFile, pump};
use super::process::{Exit, Launch, Lines, Pending, Prepared, Process, Sink, World};
use super::ready::{self, Notify};
use super::remote::Remote;
use super::sockets::Listeners;
use super::zone::Zone;
use super::{procfs, users};

/// What everything that comes of a start has in its environment, so that what escapes
/// its process group is found.
const INVOCATION: &str = "HOB_INVOCATION";
/// How many last lines are kept of each service.
pub(crate) const RECENT: usize = 100;

/// The real world.
pub(crate) struct Native(Arc<Inner>);

struct Inner {
    node: Node,
    runtime: Handle,
    zone: Zone,
    /// The shepherd's state directory.
    directory: PathBuf,
    /// Where sockets are by which services say that they are ready: with a short name.
    sockets: TempDir,
    held: Mutex<BTreeMap<String, Held>>,
    /// The children that somebody waits for. Locked while one is made.
    own: Mutex<BTreeSet<i64>>,
    /// Tells that there may be more to reap.
    poke: tokio::sync::Notify,
    audit: Audit,
    /// Where the services are defined: a file or a directory.
    definitions: PathBuf,
    /// What this machine is called here, if not as it calls itself.
    machine: OnceLock<String>,
}

/// What is kept for a service between its processes.
#[derive(Default)]
struct Held {
    notify: Option<Notify>,
    listeners: Option<Arc<Listeners>>,
    /// What reads its output, and where that goes.
    pump: Option<(JoinHandle<()>, super::definition::LogSettings)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Native {
    /// The world as a shepherd sees it whose state is in that directory. Becomes the
    /// parent of what its descendants leave behind.
    pub(crate) fn new(node: Node, directory: &Path, definitions: PathBuf) -> anyhow::Result<Self> {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        for name in ["log", "run"] {
            DirBuilder::new().mode(0o700).recursive(true).create(directory.join(name))?;
        }
        let sockets = crate::state::temporary("hob-notify-", 80)?;
        // Services of other users speak to the sockets in it, whose names are not told.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(sockets.path(), mode)?;
        let audit = Audit::start(&directory.join("audit.log"), Zone::of_machine());
        audit.keep_of(&node);
        let inner = Arc::new(Inner {
            node,
            runtime: Handle::current(),
            zone: Zone::of_machine(),
            directory: directory.to_owned(),
            sockets,
            held: Mutex::default(),
            own: Mutex::default(),
            poke: tokio::sync::Notify::new(),
            audit,
            definitions,
            machine: OnceLock::new(),
        });
        inner.runtime.spawn(reap(inner.clone()));
        Ok(Self(inner))
    }

    /// The same, with another name than the machine's own.
    pub(crate) fn called(self, machine: Option<&str>) -> Self {
        if let Some(machine) = machine {
            let _only_once = self.0.machine.set(machine.to_owned());
        }
        self
    }

    fn elsewhere<T, F>(&self, lost: T, work: F) -> Pending<T>
    where
        T: Send + Unpin + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        elsewhere(&self.0.runtime, lost, work)
    }

    fn fallible<T, F>(&self, work: F) -> Pending<Result<T, String>>
    where
        T: Send + Unpin + 'static,
        F: Future<Output = Result<T, String>> + Send + 'static,
    {
        self.elsewhere(Err("given up".to_owned()), work)
    }
}

impl Inner {
    fn pipe(&self, service: &str) -> PathBuf {
        self.directory.join("run").join(format!("{service}.out"))
    }

    fn log_path(&self, launch: &Launch) -> PathBuf {
        let named = launch.definition.log.file.clone();
        named.unwrap_or_else(|| self.directory.join("log").join(format!("{}.log", launch.service)))
    }

    /// The environment of what belongs to a service.
    fn environment(&self, definition: &Definition, invocation: &str) -> BTreeMap<String, String> {
        let ours = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        // By its mark a machine's provider finds what belongs to it.
        let own = |name: &str| name.starts_with("HOB_") && name != crate::providers::MACHINE_MARK;
        let passed = |name: &str| !own(name) && !name.starts_with("LISTEN_");
        let mut environment: BTreeMap<_, _> = ours
            .filter(|(name, _)| passed(name) && name != "NOTIFY_SOCKET")
            .chain([(INVOCATION.to_owned(), invocation.to_owned())])
            .collect();
        environment.extend(definition.environment.clone());
        environment
    }

    /// Makes the process, which waits. Blocks for as long as that takes.
    fn fork(self: &Arc<Self>, launch: &Launch) -> Result<(Process, UnixStream), String> {
        let failed = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
        let definition = &launch.definition;
        let mut invocation = [0; 16];
        getrandom::fill(&mut invocation).map_err(|error| failed("randomness", &error))?;
        let invocation: String = invocation.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut environment = self.environment(definition, &invocation);
        let ids = users::ids(definition)?;
        if definition.ready.as_ref().is_some_and(|ready| ready.notify) {
            let notify = {
                let _on = self.runtime.enter();
                Notify::bind(self.sockets.path(), &invocation, ids)
            };
            let notify = notify.map_err(|error| failed("the notify socket", &error))?;
            environment.insert("NOTIFY_SOCKET".into(), notify.path());
            lock(&self.held).entry(launch.service.clone()).or_default().notify = Some(notify);
        }
        let listeners =
            lock(&self.held).get(&launch.service).and_then(|held| held.listeners.clone());
        let sockets: Vec<_> = listeners.iter().flat_map(|listeners| listeners.fds()).collect();
        let spec = Spec {
            command: definition.command.clone(),
            environment,
            directory: definition.directory.clone().unwrap_or_else(|| "/".into()),
            ids,
            limits: definition.limits.clone(),
            sockets: sockets.len(),
        };
        let out = OpenOptions::new().read(true).write(true).open(self.pipe(&launch.service));
        let out = out.map_err(|error| failed("the pipe for its output", &error))?;
        let err = out.try_clone().map_err(|error| failed("the pipe for its output", &error))?;
        let (mut control, theirs) =
            UnixStream::pair().map_err(|error| failed("a socket", &error))?;
        let started = {
            // Locked until it is known to be somebody's, so that nobody else reaps it.
            let mut own = lock(&self.own);
            let child = Command::new("/proc/self/exe")
                .arg0("hob")
                .arg(helper::COMMAND)
                .env_clear()
                .current_dir("/")
                .stdin(Stdio::from(OwnedFd::from(theirs)))
                .stdout(out)
                .stderr(err)
                .spawn()
                .map_err(|error| failed("fork", &error))?;
            let pid = i64::from(child.id());
            own.insert(pid);
            pid
        };
        let ready = helper::send(&mut control, &spec, &sockets).and_then(|()| {
            let mut word = [0];
            control.read_exact(&mut word)?;
            Ok(word[0])
        });
        let stat = procfs::Stat::of(started);
        match (ready, stat) {
            (Ok(b'r'), Some(stat)) => {
                let process = Process {
                    pid: started,
                    started: stat.started,
                    boot: procfs::boot(),
                    invocation,
                };
                if let Some(tasks) = definition.limits.tasks {
                    let made =
                        Cgroup::of(&process).and_then(|cgroup| cgroup.admit(&process, tasks));
                    made.map_err(|error| failed("a control group for the limit of tasks", &error))?;
                }
                Ok((process, control))
            }
            (Ok(first), _) => {
                // It said why it can't instead.
                let mut why = vec![first];
                let _until_it_ends = control.read_to_end(&mut why);
                self.forget(started);
                Err(String::from_utf8_lossy(&why).into_owned())
            }
            (Err(error), _) => {
                self.forget(started);
                Err(failed("the process did not begin", &error))
            }
        }
    }
}

/// A process that has not been told to go ends, and is then nobody's.
struct Unreleased(Arc<Inner>, i64);

impl Drop for Unreleased {
    fn drop(&mut self) {
        self.0.forget(self.1);
    }
}

impl World for Native {
    fn prepare(&self, launch: Launch) -> Pending<Result<Prepared, String>> {
        let inner = self.0.clone();
        let this = Self(inner.clone());
        self.fallible(async move {
            let forking = inner.clone();
            let forked = spawn_blocking(move || forking.fork(&launch)).await;
            let (process, mut control) = forked.map_err(|error| error.to_string())??;
            let unreleased = Unreleased(inner, process.pid);
            let go = async move {
                let told = spawn_blocking(move || {
                    control.write_all(b"g").map_err(|error| error.to_string())?;
                    let mut why = String::new();
                    // Closed when the program is executed.
                    let said = control.read_to_string(&mut why);
                    said.map_err(|error| error.to_string())?;
                    if why.is_empty() { Ok(()) } else { Err(why) }
                });
                let outcome = told.await.map_err(|error| error.to_string()).flatten();
                if outcome.is_ok() {
                    std::mem::forget(unreleased);
                }
                outcome
            };
            Ok(Prepared { process, go: this.fallible(go) })
        })
    }

    fn exit(&self, process: Process) -> Pending<Exit> {
        self.elsewhere(Exit::Unknown, self.0.clone().wait(process))
    }

    fn is_alive(&self, process: &Process) -> bool {
        procfs::is_alive(process)
    }

    fn signal(&self, process: &Process, signal: Signal) -> Result<(), String> {
        let gone = || "the process is gone".to_owned();
        let pid = pid_of(process).ok_or_else(gone)?;
        // Holds on to the number while it is used.
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|_| gone())?;
        if !is_still(process) {
            return Err(gone());
        }
        kill_process_group(pid, signal)
            .or_else(|_| pidfd_send_signal(&pidfd, signal))
            .map_err(|error| error.to_string())
    }

    fn ready(&self, launch: Launch, process: Process) -> Pending<Result<(), String>> {
        let Some(wanted) = launch.definition.ready.clone() else {
            return Box::pin(std::future::ready(Ok(())));
        };
        let notify =
            lock(&self.0.held).get_mut(&launch.service).and_then(|held| held.notify.take());
        let this = Self(self.0.clone());
        self.fallible(async move {
            let run = move || {
                this.run(
                    launch.clone(),
                    launch
                        .definition
                        .ready
                        .as_ref()
                        .map(|ready| ready.command.clone())
                        .unwrap_or_default(),
                )
            };
            ready::until(&wanted, &process, notify, run).await
        })
    }

    fn adopt(&self, launch: Launch, process: Process) -> Pending<()> {
        let inner = self.0.clone();
        self.elsewhere((), async move {
            let Some(wanted) = &launch.definition.socket else { return };
            let pid = pid_of(&process).filter(|_| is_still(&process));
            let listeners = pid.and_then(|pid| Listeners::of_process(&wanted.listen, pid));
            if let Some(listeners) = listeners {
                let mut held = lock(&inner.held);
                held.entry(launch.service).or_default().listeners = Some(Arc::new(listeners));
            }
        })
    }

    fn listen(&self, launch: Launch) -> Pending<Result<(), String>> {
        let inner = self.0.clone();
        self.fallible(async move {
            let Some(wanted) = &launch.definition.socket else { return Ok(()) };
            let there =
                lock(&inner.held).get(&launch.service).is_some_and(|held| held.listeners.is_some());
            if !there {
                let listeners = Listeners::bind(&wanted.listen).await?;
                let mut held = lock(&inner.held);
                held.entry(launch.service).or_default().listeners = Some(Arc::new(listeners));
            }
            Ok(())
        })
    }

    fn connection(&self, service: &str) -> Pending<Result<(), String>> {
        let listeners = lock(&self.0.held).get(service).and_then(|held| held.listeners.clone());
        self.fallible(async move {
            let listeners = listeners.ok_or("the sockets are closed")?;
            listeners.connection().await.map_err(|error| error.to_string())
        })
    }

    fn close(&self, service: &str) {
        let held = lock(&self.0.held).get_mut(service).and_then(|held| held.listeners.take());
        if let Some(listeners) = held {
            listeners.close();
        }
    }

    fn log(&self, launch: Launch, sink: Sink) -> Pending<Result<Lines, String>> {
        let inner = self.0.clone();
        self.fallible(async move {
            let settings = launch.definition.log.clone();
            let mut known = false;
            if let Some(held) = lock(&inner.held).get_mut(&launch.service) {
                match &held.pump {
                    Some((_, current)) if *current == settings => return Ok(Vec::new()),
                    Some((pump, _)) => {
                        pump.abort();
                        known = true;
                    }
                    None => {}
                }
                held.pump = None;
            }
            let (path, zone) = (inner.log_path(&launch), inner.zone.clone());
            let pipe = inner.pipe(&launch.service);
            let opening = path.clone();
            let opened = spawn_blocking(move || {
                make_pipe(&pipe)?;
                let lines = logfile::tail(&opening, &zone, RECENT);
                let receiver = pipe::OpenOptions::new().read_write(true).open_receiver(&pipe)?;
                Ok::<_, std::io::Error>((lines, receiver))
            });
            // On a thread of the runtime, as the pipe has to be.
            let opened = opened.await.map_err(|error| error.to_string())?;
            let (lines, receiver) = opened.map_err(|error| error.to_string())?;
            let file = LogFile::new(path, settings.size.0.max(1), settings.keep);
            let pump = inner.runtime.spawn(pump(receiver, file, inner.zone.clone(), sink));
            let mut held = lock(&inner.held);
            held.entry(launch.service).or_default().pump = Some((pump, settings));
            // What was said before this shepherd; the rest is known.
            Ok(if known { Vec::new() } else { lines })
        })
    }

    fn run(&self, launch: Launch, command: Vec<String>) -> Pending<Result<(Exit, String), String>> {
        let inner = self.0.clone();
        self.fallible(async move {
            let definition = &launch.definition;
            let environment = inner.environment(definition, "none");
            let ids = users::ids(definition)?;
            let (program, arguments) = command.split_first().ok_or("no command")?;
            let mut command = tokio::process::Command::new(program);
            command.args(arguments).env_clear().envs(environment).stdin(Stdio::null());
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
            command.current_dir(definition.directory.as_deref().unwrap_or(Path::new("/")));
            if let Some(ids) = ids {
                command.uid(ids.user).gid(ids.group);
            }
            let child = {
                let mut own = lock(&inner.own);
                let child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
                own.extend(child.id().map(i64::from));
                child
            };
            let pid = child.id().map(i64::from);
            let outcome = ready::output(child).await;
            pid.into_iter().for_each(|pid| inner.forget(pid));
            outcome.map_err(|error| format!("{program}: {error}"))
        })
    }

    fn durable(&self) -> Pending<Result<(), String>> {
        let node = self.0.node.clone();
        Box::pin(async move { node.durable().await.map_err(|error| error.to_string()) })
    }

    fn builtin(
        &self,
        context: super::controller::Context,
        launch: Launch,
    ) -> Pending<Result<Ref, String>> {
        let inner = &self.0;
        let ground = Ground {
            node: inner.node.clone(),
            runtime: inner.runtime.clone(),
            directory: inner.directory.join("builtin").join(&launch.service),
            pipe: inner.pipe(&launch.service),
        };
        self.fallible(builtin::open(ground, context, launch))
    }

    fn audit(&self, line: String) {
        self.0.audit.note(line);
    }

    fn audited(&self, lines: usize) -> Pending<Result<Lines, String>> {
        let inner = self.0.clone();
        self.fallible(async move {
            let path = inner.directory.join("audit.log");
            let read = spawn_blocking(move || logfile::tail(&path, &inner.zone, lines));
            read.await.map_err(|error| error.to_string())
        })
    }

    fn catalogue(&self) -> Pending<Result<Catalogue, String>> {
        let path = self.0.definitions.clone();
        self.fallible(async move {
            let read = spawn_blocking(move || Catalogue::read(&path));
            let read = read.await.map_err(|error| error.to_string())?;
            read.map_err(|error| error.to_string())
        })
    }

    fn machine(&self) -> String {
        let own = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        self.0.machine.get().cloned().unwrap_or_else(own)
    }

    fn remote(&self, vat: &Vat, remote: &Remote) -> Ref {
        remote.stand_in(&self.0.node, vat)
    }
}

/// A named pipe for what a service says. It outlives us, and so do services: they hold
/// both its ends, and what they say waits in it for the next shepherd.
fn make_pipe(path: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    match path.symlink_metadata() {
        Ok(metadata) if metadata.file_type().is_fifo() => return Ok(()),
        Ok(_) => std::fs::remove_file(path)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?)
}
