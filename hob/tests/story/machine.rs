//! The machine that the application runs on: a virtual one, or a namespace of this host.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use hob::providers::Key;
use hob::providers::qemu::{Qemu, QemuSettings};

use crate::support::{Killed, Place};

/// How long something may take: many times what it takes.
const PATIENCE: Duration = Duration::from_secs(180);

/// How often a console is looked at, which nothing tells of.
const LOOK: Duration = Duration::from_millis(50);

/// What kind of machine it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Qemu,
    Netns,
}

impl Kind {
    /// The name of its provider.
    pub(crate) const fn provider(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Netns => "netns",
        }
    }
}

/// The kernel of the test guest, if it is there.
pub(crate) fn kernel() -> Option<PathBuf> {
    let kernel = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("guest");
    kernel.join("vmlinuz").exists().then_some(kernel)
}

/// The provider's settings for virtual machines that run this `hob`.
pub(crate) fn qemu_settings(place: &Place, hob: &Path, kernel: &Path) -> String {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop-tests/guest");
    let initrd = place.path("initrd");
    let mut make = Command::new(scripts.join("initrd.sh"));
    let made = make.args([hob, &initrd, kernel]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    format!(
        "accelerator = 'tcg'\ncpu = 'qemu64'\nmemory = '256M'\n\
         kernel = {:?}\ninitrd = {initrd:?}\nstate-disk = 64\n\
         append = 'console=ttyS0 quiet nokaslr mitigations=off no_timer_check tsc=reliable'\n\
         install = {{ present = '/bin/hob' }}\n",
        kernel.join("vmlinuz")
    )
}

/// Where what the application says is read.
enum Source {
    /// The console of a virtual machine.
    Console(Box<Qemu>, Key),
    /// What two processes in a namespace print: hob and the application.
    Processes(Namespace),
}

struct Namespace {
    name: String,
    state: PathBuf,
    app: PathBuf,
    running: Vec<Killed>,
    lines: Receiver<String>,
}

/// The machine, once it is there.
pub(crate) struct Machine {
    source: Source,
    /// What it has said, of which `read` bytes have been looked at.
    said: String,
    read: usize,
}

impl Machine {
    /// What the boss's provider has made in its directory.
    pub(crate) fn of(kind: Kind, settings: &str, made: &Path, app: &Path) -> Self {
        let mut entries = made.read_dir().unwrap().flatten();
        let key = entries.find_map(|entry| entry.file_name().to_str()?.parse::<Key>().ok());
        let key = key.expect("a machine");
        assert_eq!(entries.filter(|entry| entry.path().is_dir()).count(), 0, "one machine");
        let source = match kind {
            Kind::Qemu => {
                let settings: QemuSettings = toml::from_str(settings).unwrap();
                Source::Console(Box::new(Qemu::new(settings, made).unwrap()), key)
            }
            Kind::Netns => {
                let id = std::fs::read_to_string(made.join("network.json")).unwrap();
                let name = format!("{}-{key}", id.trim_matches('"'));
                let state = made.join(key.as_str()).join("state");
                let app = app.to_owned();
                let (_, lines) = channel();
                let mut namespace = Namespace { name, state, app, running: Vec::new(), lines };
                namespace.start_app();
                Source::Processes(namespace)
            }
        };
        Self { source, said: String::new(), read: 0 }
    }

    /// Forgets what it has said so far.
    pub(crate) fn forget(&mut self) {
        self.listen(Duration::ZERO);
        self.read = self.said.len();
    }

    /// Waits until it says this, in what it has not been asked about.
    #[track_caller]
    pub(crate) fn says(&mut self, wanted: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.said[self.read..].find(wanted) {
                self.read += found + wanted.len();
                return;
            }
            assert!(Instant::now() < until, "it never says {wanted:?}: {}", self.said);
            self.listen(LOOK);
        }
    }

    /// Waits for the next line that begins so, and gives the rest of it.
    #[track_caller]
    pub(crate) fn line(&mut self, start: &str) -> String {
        self.says(start);
        let begin = self.read;
        self.says("\n");
        self.said[begin..self.read].trim_end().to_owned()
    }

    fn listen(&mut self, at_most: Duration) {
        match &self.source {
            Source::Console(qemu, key) => {
                let more = qemu.console(key).unwrap();
                if more.is_empty() {
                    std::thread::sleep(at_most);
                }
                self.said += &more;
            }
            Source::Processes(namespace) => {
                let first = namespace.lines.recv_timeout(at_most).ok();
                for line in first.into_iter().chain(namespace.lines.try_iter()) {
                    self.said += &line;
                    self.said.push('\n');
                }
            }
        }
    }

    /// Loses power, and starts again by itself, with nothing but what is on its disk.
    pub(crate) fn reboot(&mut self) {
        self.forget();
        match &mut self.source {
            Source::Console(qemu, key) => {
                qemu.reset(key).unwrap();
                self.says("guest: known instance");
            }
            Source::Processes(namespace) => namespace.reboot(),
        }
    }
}

impl Namespace {
    fn enter(&self) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).stdin(Stdio::null());
        command
    }

    fn start_app(&mut self) {
        let hob = Path::new(env!("CARGO_BIN_EXE_hob")).parent().unwrap();
        let path = format!("{}:{}", hob.display(), std::env::var("PATH").unwrap_or_default());
        let mut app = self.enter();
        app.args(["busybox", "sh"]).arg(&self.app).env("PATH", path).env("HOB_STATE", &self.state);
        let mut app = Killed(app.stdout(Stdio::piped()).spawn().unwrap());
        let lines = BufReader::new(app.0.stdout.take().unwrap()).lines();
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        (self.lines, self.running) = (receiver, vec![app]);
    }

    fn reboot(&mut self) {
        let process = std::fs::read_to_string(self.state.join("lock")).unwrap();
        let line = std::fs::read_to_string(format!("/proc/{}/cmdline", process.trim())).unwrap();
        let inside = Command::new("ip").args(["netns", "pids", &self.name]).output().unwrap();
        let inside = String::from_utf8(inside.stdout).unwrap();
        let killed = Command::new("kill").arg("-9").args(inside.split_whitespace()).status();
        assert!(killed.unwrap().success());
        self.running.clear();
        let words: Vec<&str> = line.trim_end_matches('\0').split('\0').collect();
        let mut hob = self.enter();
        let mut hob = Killed(hob.args(words).stdout(Stdio::piped()).spawn().unwrap());
        let mut lines = BufReader::new(hob.0.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "ready"), "it does not come back");
        self.start_app();
        self.running.push(hob);
    }
}
