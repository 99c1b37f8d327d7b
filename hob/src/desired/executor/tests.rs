//! Tests of executors. Apt, systemd and Guix are stood in for by scripts; `real` has a
//! test with the real apt.

pub(crate) mod faults;
mod files;
mod guix;
mod packages;
mod real;
mod rollout;
mod services;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::desired::limits::Limits;

/// A machine in a directory, which goes when this does.
struct Sandbox(TempDir);

impl Sandbox {
    fn new() -> Self {
        // In memory if possible: thousands of files are written durably here.
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let dir = tempfile::Builder::new().prefix("hob-").tempdir_in(parent).unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A path below the machine's root.
    fn root(&self, path: &str) -> PathBuf {
        self.path("root").join(path.trim_start_matches('/'))
    }

    /// One of the scripts, under the name of the program that it stands in for. It is
    /// linked and not copied: nobody has it open for writing when it is run.
    fn program(&self, script: &str, name: &str) -> PathBuf {
        let link = self.path(name);
        if fs::symlink_metadata(&link).is_err() {
            let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/desired/executor/tests");
            symlink(scripts.join(script), &link).unwrap();
        }
        link
    }

    /// What the scripts have logged since the last time.
    fn log(&self) -> Vec<String> {
        let log = self.path("log");
        let text = fs::read_to_string(&log).unwrap_or_default();
        store::remove(&log).unwrap();
        text.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn files(&self) -> Files {
        let settings = FilesSettings { root: self.path("root"), ..FilesSettings::default() };
        Files::open(&self.path("state"), settings).unwrap()
    }

    fn packages(&self) -> Packages {
        let settings = PackagesSettings {
            apt_get: self.program("apt.sh", "apt-get"),
            dpkg_query: self.program("apt.sh", "dpkg-query"),
            dpkg: self.program("apt.sh", "dpkg"),
            ..PackagesSettings::default()
        };
        Packages::open(&self.path("state"), settings).unwrap()
    }

    fn services(&self) -> Services {
        let settings = ServicesSettings {
            systemctl: self.program("systemctl.sh", "systemctl"),
            booted: self.path("root"),
            ..ServicesSettings::default()
        };
        Services::open(&self.path("state"), settings).unwrap()
    }

    fn guix(&self) -> Guix {
        let settings = GuixSettings {
            guix: self.program("guix.sh", "guix"),
            system_profile: self.path("system"),
            ..GuixSettings::default()
        };
        Guix::open(&self.path("state"), settings).unwrap()
    }
}

/// Nobody is told how far it is.
fn quiet(_step: &str) {}

fn state(json: serde_json::Value) -> DesiredState {
    DesiredState::from_json(&json, &Limits::default()).unwrap()
}

/// Applies a state, after which nothing differs from it and nothing is left to do.
fn applied(executor: &mut dyn Executor, wanted: &DesiredState) -> Vec<String> {
    let outcome = executor.apply(wanted, &quiet).unwrap();
    assert_eq!(executor.diff(wanted).unwrap(), []);
    assert_eq!(executor.apply(wanted, &quiet).unwrap(), Outcome::default());
    outcome.changed
}

fn drift(executor: &dyn Executor, wanted: &DesiredState) -> Vec<String> {
    executor.diff(wanted).unwrap().iter().map(Drift::to_string).collect()
}
