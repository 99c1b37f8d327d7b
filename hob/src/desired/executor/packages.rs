//! Packages of apt. Only those are removed that were installed here, and only if nothing
//! else would go with them.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command::{Ran, Run};
use super::store::Ledger;
use super::{Drift, Executor, ExecutorError, Facts, Outcome, Progress, checkpoint};
use crate::desired::machine::DesiredState;

/// The programs that are run, and how long they may take.
#[derive(Clone, Debug)]
pub(crate) struct PackagesSettings {
    /// `apt-get`.
    pub(crate) apt_get: PathBuf,
    /// `dpkg-query`.
    pub(crate) dpkg_query: PathBuf,
    /// `dpkg`.
    pub(crate) dpkg: PathBuf,
    /// How long to wait for others who use apt, in seconds.
    pub(crate) lock_seconds: u64,
    /// How long one run may take before it is killed.
    pub(crate) timeout: Duration,
}

impl Default for PackagesSettings {
    fn default() -> Self {
        Self {
            apt_get: "/usr/bin/apt-get".into(),
            dpkg_query: "/usr/bin/dpkg-query".into(),
            dpkg: "/usr/bin/dpkg".into(),
            lock_seconds: 120,
            timeout: Duration::from_secs(30 * 60),
        }
    }
}

/// The executor of packages.
pub(crate) struct Packages {
    settings: PackagesSettings,
    /// What was installed here.
    ledger: Ledger<BTreeSet<String>>,
}

const PART: &str = "packages";

fn error(item: &str, why: impl std::fmt::Display) -> ExecutorError {
    ExecutorError::new(PART, item, why)
}

impl Packages {
    /// The executor, which remembers in that directory what it owns.
    ///
    /// # Errors
    ///
    /// If the directory can't be used.
    pub(crate) fn open(state: &Path, settings: PackagesSettings) -> io::Result<Self> {
        Ok(Self { settings, ledger: Ledger::open(state.join("packages.json"))? })
    }

    fn run(&self, program: &Path, args: Vec<&str>) -> Result<Ran, ExecutorError> {
        let env = [("DEBIAN_FRONTEND", "noninteractive"), ("APT_LISTCHANGES_FRONTEND", "none")];
        let run = Run { program, args, env: &env, timeout: self.settings.timeout };
        run.run().map_err(|why| error("apt", why))
    }

    /// The packages that are installed, with and without their architectures.
    fn installed(&self) -> Result<BTreeSet<String>, ExecutorError> {
        let format = "-f=${db:Status-Abbrev}\t${Package}\t${Architecture}\n";
        let ran = self.run(&self.settings.dpkg_query, vec!["-W", format])?;
        if !ran.success() {
            return Err(error("dpkg-query", ran.why()));
        }
        let mut names = BTreeSet::new();
        for line in ran.out.lines() {
            let mut fields = line.split('\t');
            let (Some(status), Some(name), Some(architecture)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            // The second letter is what is, the first what is wanted: `hi` is held back.
            if status.chars().nth(1) == Some('i') {
                names.insert(name.to_owned());
                names.insert(format!("{name}:{architecture}"));
            }
        }
        Ok(names)
    }

    fn apt_get(&self, args: &[&str], packages: &[&str]) -> Result<Ran, ExecutorError> {
        let lock = format!("DPkg::Lock::Timeout={}", self.settings.lock_seconds);
        let mut all = vec!["-q", "-y", "-o", &lock];
        // A configuration that somebody changed stays.
        all.extend(["-o", "Dpkg::Options::=--force-confdef"]);
        all.extend(["-o", "Dpkg::Options::=--force-confold"]);
        all.extend(args);
        all.push("--");
        all.extend(packages);
        if packages.is_empty() {
            all.pop();
        }
        self.run(&self.settings.apt_get, all)
    }

    /// What a run that was killed has left half done is done first.
    fn mend(&self, progress: &dyn Progress) -> Result<(), ExecutorError> {
        let audit = self.run(&self.settings.dpkg, vec!["--audit"])?;
        if audit.success() && audit.out.trim().is_empty() {
            return Ok(());
        }
        progress.step("finish what dpkg has begun");
        let ran = self.run(&self.settings.dpkg, vec!["--force-confold", "--configure", "-a"])?;
        if ran.success() { Ok(()) } else { Err(error("dpkg", ran.why())) }
    }

    fn install(&self, missing: &[&str], progress: &dyn Progress) -> Result<(), ExecutorError> {
        self.mend(progress)?;
        progress.step(&format!("install {}", missing.join(" ")));
        // Nothing that is there may be removed for what comes.
        let args = ["install", "--no-remove"];
        let ran = self.apt_get(&args, missing)?;
        if ran.success() {
            return Ok(());
        }
        progress.step("update the lists of packages");
        let update = self.apt_get(&["update"], &[])?;
        let ran = self.apt_get(&args, missing)?;
        if ran.success() {
            return Ok(());
        }
        let lists = if update.success() { String::new() } else { update.why() };
        let gap = if lists.is_empty() { "" } else { "; lists: " };
        Err(error(&missing.join(" "), format_args!("{}{gap}{lists}", ran.why())))
    }

    /// What would go if those packages went, beyond them.
    fn others(&self, names: &[&str]) -> Result<Vec<String>, ExecutorError> {
        let ran = self.apt_get(&["-s", "remove"], names)?;
        if !ran.success() {
            return Err(error(&names.join(" "), ran.why()));
        }
        let removed = ran.out.lines().filter_map(|line| line.strip_prefix("Remv "));
        let removed = removed.filter_map(|rest| rest.split_whitespace().next());
        let ours = |name: &str| {
            let base = name.split(':').next().unwrap_or(name);
            names.iter().any(|ours| *ours == name || ours.split(':').next() == Some(base))
        };
        Ok(removed.filter(|name| !ours(name)).map(str::to_owned).collect())
    }
}

impl Executor for Packages {
    fn facts(&self) -> Result<Facts, ExecutorError> {
        let installed = self.installed()?.iter().filter(|name| name.contains(':')).count();
        Ok(Facts::from([
            ("packages.installed".to_owned(), installed.to_string()),
            ("packages.owned".to_owned(), self.ledger.entries().len().to_string()),
        ]))
    }

    fn diff(&self, wanted: &DesiredState) -> Result<Vec<Drift>, ExecutorError> {
        let owned = self.ledger.entries();
        if wanted.packages.is_empty() && owned.is_empty() {
            // The machine need not have apt at all.
            return Ok(Vec::new());
        }
        let installed = self.installed()?;
        let drift = |name: &String, wanted: &str, found: &str| Drift {
            part: PART,
            item: name.clone(),
            wanted: wanted.to_owned(),
            found: found.to_owned(),
        };
        let missing = wanted.packages.difference(&installed);
        let unwanted = owned.difference(&wanted.packages).filter(|name| installed.contains(*name));
        Ok(missing
            .map(|name| drift(name, "installed", "absent"))
            .chain(unwanted.map(|name| drift(name, "absent", "installed")))
            .collect())
    }

    fn retire(
        &mut self,
        wanted: &DesiredState,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        let unwanted: BTreeSet<String> =
            self.ledger.entries().difference(&wanted.packages).cloned().collect();
        if unwanted.is_empty() {
            return Ok(Outcome::default());
        }
        let installed = self.installed()?;
        let names: Vec<&str> =
            unwanted.iter().filter(|name| installed.contains(*name)).map(String::as_str).collect();
        let mut outcome = Outcome::default();
        if !names.is_empty() {
            self.mend(progress)?;
            let others = self.others(&names)?;
            if !others.is_empty() {
                let why = format!(
                    "can't be removed: {} would go too, which hob has not installed",
                    others.join(", ")
                );
                return Err(error(&names.join(" "), why));
            }
            progress.step(&format!("remove {}", names.join(" ")));
            checkpoint();
            let ran = self.apt_get(&["remove"], &names)?;
            if !ran.success() {
                return Err(error(&names.join(" "), ran.why()));
            }
            outcome.changed.extend(names.iter().map(|name| format!("packages: removed {name}")));
        }
        checkpoint();
        let failed = |why: io::Error| error("", why);
        self.ledger
            .change(|owned| owned.retain(|name| !unwanted.contains(name)))
            .map_err(failed)?;
        Ok(outcome)
    }

    fn establish(
        &mut self,
        wanted: &DesiredState,
        progress: &dyn Progress,
    ) -> Result<Outcome, ExecutorError> {
        if wanted.packages.is_empty() {
            return Ok(Outcome::default());
        }
        let installed = self.installed()?;
        let missing: Vec<&str> =
            wanted.packages.difference(&installed).map(String::as_str).collect();
        if missing.is_empty() {
            return Ok(Outcome::default());
        }
        let ours: Vec<String> = missing.iter().map(|&name| name.to_owned()).collect();
        let failed = |why: io::Error| error("", why);
        self.ledger.change(|owned| owned.extend(ours)).map_err(failed)?;
        checkpoint();
        self.install(&missing, progress)?;
        checkpoint();
        let changed = missing.iter().map(|name| format!("packages: installed {name}")).collect();
        Ok(Outcome { changed })
    }
}
