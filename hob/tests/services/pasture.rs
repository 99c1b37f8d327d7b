//! A shepherd for one test, and what it is asked.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{self, Done, Place};

/// How long anything may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often it is looked, so that who looks is not in the way.
const LOOK: Duration = Duration::from_millis(10);

/// A shepherd in a directory of its own.
pub(crate) struct Pasture {
    pub(crate) place: Place,
    pub(crate) child: Option<Child>,
    /// The network namespace that it runs in, if not in the tester's.
    namespace: Option<String>,
}

impl Pasture {
    pub(crate) fn new(definitions: &str) -> Self {
        Self::with(definitions, None, &[])
    }

    /// One that is started with options, in a network namespace perhaps.
    pub(crate) fn with(definitions: &str, namespace: Option<&str>, options: &[&str]) -> Self {
        Self::at(Place::new(), definitions, namespace, options)
    }

    /// The same in a place where there is something already.
    pub(crate) fn at(
        place: Place,
        definitions: &str,
        namespace: Option<&str>,
        options: &[&str],
    ) -> Self {
        let fifo = place.path("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let namespace = namespace.map(str::to_owned);
        let mut this = Self { place, child: None, namespace };
        this.define(definitions);
        this.start(options);
        this
    }

    pub(crate) fn define(&self, definitions: &str) {
        let fifo = self.place.path("fifo");
        let directory = self.place.path("");
        let text = definitions.replace("FIFO", fifo.to_str().unwrap());
        let text = text.replace("PLACE", directory.to_str().unwrap().trim_end_matches('/'));
        self.place.write("services.toml", 0o600, &text);
    }

    pub(crate) fn start(&mut self, options: &[&str]) {
        let log = std::fs::File::options().create(true).append(true).open(self.place.path("log"));
        let hob = support::hob();
        let mut command = match &self.namespace {
            // Becomes the program, so that it has the number of this child.
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(hob.get_program());
                for (name, value) in hob.get_envs() {
                    match value {
                        Some(value) => command.env(name, value),
                        None => command.env_remove(name),
                    };
                }
                command.stdin(Stdio::null());
                command
            }
            None => hob,
        };
        let mut child = command
            .current_dir(self.place.path(""))
            .args(["shepherd", "--state", "s", "--services", "services.toml"])
            .args(options)
            .env("TZ", "UTC")
            .stdout(Stdio::piped())
            .stderr(log.unwrap())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while line != "ready\n" {
            line.clear();
            assert_ne!(out.read_line(&mut line).unwrap(), 0, "{}", self.place.read("log"));
        }
        self.child = Some(child);
    }

    /// Ends the shepherd with a signal, and waits for that.
    pub(crate) fn end(&mut self, signal: &str) {
        let mut child = self.child.take().unwrap();
        let id = child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        child.wait().unwrap();
    }

    /// Runs the program under its other name.
    pub(crate) fn herd(&self, words: &str) -> Done {
        let herd = self.place.path("herd");
        if !herd.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hob"), &herd).unwrap();
        }
        let mut command = Command::new(herd);
        command.current_dir(self.place.path("")).args(words.split_whitespace());
        command.env("HOB_STATE", self.place.path("s")).env("TZ", "UTC").stdin(Stdio::null());
        command.output().unwrap().into()
    }

    /// What it prints, if it does what it was told.
    #[track_caller]
    pub(crate) fn says(&self, words: &str) -> String {
        let done = self.herd(words);
        assert_eq!(done.code, Some(0), "{words}: {done:#?}\n{}", self.place.read("log"));
        done.out
    }

    /// With which code it ends, and what it complains of.
    pub(crate) fn fails(&self, words: &str) -> (i32, String) {
        let done = self.herd(words);
        assert!(!done.err.contains("panicked"), "{done:#?}");
        (done.code.unwrap(), done.err)
    }

    pub(crate) fn json(&self, service: &str) -> serde_json::Value {
        let text = self.says(&format!("status {service} --json"));
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["service"].take()
    }

    pub(crate) fn pid(&self, service: &str) -> i64 {
        self.json(service)["pid"].as_i64().unwrap()
    }

    /// Asks until it is so.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            let waited = begun.elapsed();
            assert!(waited < PATIENCE, "{what}: {}", self.place.read("log"));
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Pasture {
    fn drop(&mut self) {
        if self.child.is_none() {
            // A test has failed in between: what is left is taken up, and ended.
            self.start(&[]);
        }
        self.end("-TERM");
    }
}

/// The processes that have something in their command line.
pub(crate) fn processes(mark: &str) -> BTreeSet<i64> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").contains(mark)
    })
    .collect()
}
