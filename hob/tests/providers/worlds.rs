//! What the contract's test sees of this host, and a stand-in for `hob join`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use hob::providers::contract::{World, order};
use hob::providers::{Context, Enrolment, FleetId, Key, Order, Provider, provider};
use toml::Table;

use crate::support::{Place, Server, skipped};

/// A stand-in for `hob` that joins nothing: it takes its state directory, says that it is
/// ready, and stays. Once it has, it needs no enrolment.
const STAND_IN: &str = r#"#!/bin/sh
set -eu
if [ "$1" = --version ]; then echo stand-in; exit; fi
[ "$1" = join ] && [ "$2" = --state ] && [ "$4" = --enrol ]
if [ ! -e "$3/joined" ]; then
    case $(stat -c %a "$5") in 600) ;; *) echo "the enrolment is not secret" >&2; exit 2 ;; esac
    grep -q '^ocapn://' "$5"
fi
mkdir -p "$3"
exec 9>>"$3/lock"
flock -n 9 || { echo "a hob node runs in $3 already" >&2; exit 1; }
[ -p "$3/never" ] || mkfifo "$3/never"
exec 8<>"$3/never"
: >"$3/joined"
rm -f "$5"
# From here on it is one process, and no other that looks like it.
echo $$ >"$3/lock"
echo ready
read -r _ <&8
"#;

/// This host, with a provider that makes machines on it.
pub(crate) struct Here {
    pub(crate) place: Place,
    name: &'static str,
    settings: Table,
    program: PathBuf,
    /// More places in which a machine may leave something.
    pub(crate) places: Vec<PathBuf>,
}

impl Here {
    /// A provider of that name, with these settings, whose machines run the stand-in.
    pub(crate) fn new(name: &'static str, settings: &str) -> Self {
        let place = Place::new();
        place.write("stand-in", 0o755, STAND_IN);
        let settings = settings.parse().expect("TOML");
        let program = place.path("stand-in");
        Self { place, name, settings, program, places: vec!["/run/netns".into()] }
    }

    /// The same, whose machines run the program under test.
    pub(crate) fn with_hob(mut self) -> Self {
        self.program = env!("CARGO_BIN_EXE_hob").into();
        self
    }

    /// Sets other settings.
    pub(crate) fn set(&mut self, settings: &str) {
        self.settings = settings.parse().expect("TOML");
    }

    /// Sets something more, or otherwise.
    pub(crate) fn add(&mut self, settings: &str) {
        self.settings.extend(settings.parse::<Table>().expect("TOML"));
    }

    /// Does without a setting.
    pub(crate) fn unset(&mut self, key: &str) {
        self.settings.remove(key);
    }

    /// Removes what the provider has written down.
    pub(crate) fn lose_state(&self) {
        std::fs::remove_dir_all(self.place.path("state")).unwrap();
    }

    fn context(&self) -> Context {
        Context { state: self.place.path("state"), program: self.program.clone() }
    }
}

/// A boss that has nothing made, but gives enrolments.
pub(crate) struct Boss<'h> {
    here: &'h Here,
    _server: Server,
}

impl<'h> Boss<'h> {
    pub(crate) fn start(here: &'h Here, words: &str) -> Self {
        Self { here, _server: here.place.serve(words) }
    }

    fn call(&self, words: &str) -> String {
        let done = self.here.place.hob(&format!("call --file boss/boss.cap {words}"));
        done.with(0).out
    }

    /// An order for a machine that the boss expects.
    pub(crate) fn order(&self, name: &str, fleet: &FleetId) -> Order {
        self.call(&format!("create-machine {name}"));
        self.call(&format!("--cap-out {name}.cap token {name}"));
        let mut order = order(name, fleet);
        let uri = self.here.place.read(&format!("{name}.cap"));
        order.enrolment = Enrolment::new(uri.trim());
        order
    }

    /// Waits until so many machines have registered.
    pub(crate) fn until_active(&self, count: usize) {
        while self.call("list-machines --json").matches("\"active\"").count() < count {}
    }
}

/// The processes that were told to have their state in a directory of that key's.
fn processes(key: &Key) -> Vec<String> {
    let wanted = format!("/{key}/state");
    let is_wanted = |process: &std::fs::DirEntry| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.any(|word| word.ends_with(wanted.as_bytes()))
    };
    let all = Path::new("/proc").read_dir().unwrap().flatten();
    let all = all.filter(|process| process.path().join("cmdline").exists()).filter(is_wanted);
    let names = all.map(|process| process.file_name().into_string().unwrap());
    names.filter(|name| name.parse::<u32>().is_ok()).collect()
}

fn names_with(directory: &Path, part: &str) -> bool {
    let names = directory.read_dir().into_iter().flatten().flatten();
    names.into_iter().any(|entry| {
        entry.file_name().to_string_lossy().contains(part)
            || (entry.file_type().is_ok_and(|kind| kind.is_dir())
                && names_with(&entry.path(), part))
    })
}

impl World for Here {
    fn running(&self, key: &Key) -> usize {
        processes(key).len()
    }

    fn cut(&self, key: &Key) {
        let running = processes(key);
        let kill = Command::new("kill").arg("-9").args(&running).status();
        assert!(kill.unwrap().success());
        while !processes(key).is_empty() {
            std::thread::yield_now();
        }
    }

    fn traces(&self, key: &Key) -> bool {
        let state = self.place.path("state");
        self.places.iter().chain([&state]).any(|place| names_with(place, key.as_str()))
    }

    fn another(&self) -> Arc<dyn Provider> {
        provider(self.name, self.settings.clone(), &self.context()).unwrap()
    }
}

impl Drop for Here {
    /// Ends what a test that failed has left: what has this place on its command line.
    fn drop(&mut self) {
        let here = self.place.path("");
        let here = here.to_str().unwrap().trim_end_matches('/').as_bytes().to_vec();
        for process in Path::new("/proc").read_dir().unwrap().flatten() {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            if line.windows(here.len()).any(|words| words == here) {
                let _gone = Command::new("kill").arg("-9").arg(process.file_name()).status();
            }
        }
        let id = std::fs::read_to_string(self.place.path("state/network.json"));
        let Ok(id) = id else { return };
        let id = id.trim_matches('"').to_owned();
        for name in Path::new("/run/netns").read_dir().into_iter().flatten().flatten() {
            if name.file_name().to_string_lossy().starts_with(&id) {
                let name = name.file_name();
                let words = [OsStr::new("netns"), OsStr::new("del"), name.as_os_str()];
                let _gone = Command::new("ip").args(words).status();
            }
        }
    }
}

/// Whether there are programs of these names here, and whether this is root; if not,
/// says that the test is skipped.
pub(crate) fn have(programs: &[&str], root: bool) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let there = |name: &&str| {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut places = path.split(':').chain(["/usr/sbin"]);
        places.any(|place| Path::new(place).join(name).exists())
    };
    if let Some(missing) = programs.iter().find(|name| !there(name)) {
        skipped(&format!("there is no {missing} here"));
        return false;
    }
    if root && std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        skipped("this needs root");
        return false;
    }
    true
}
