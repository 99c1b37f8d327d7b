//! What installs hob on a machine: the text that a shell there is given, and the systemd
//! unit. How the text gets there is the provider's part.
//!
//! Everything goes by the shell's standard input, the enrolment with it, so that no
//! argument of a program ever holds a secret, and no login shell's quoting matters.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Install, Key, ProviderError};

/// POSIX `sh`, to be put after assignments of what it is given.
const SCRIPT: &str = include_str!("provisioner.sh");

/// What it is given, all of which has to be set.
const GIVEN: [&str; 14] = [
    "action",
    "key",
    "name",
    "fleet",
    "base",
    "init",
    "sum",
    "present",
    "url",
    "enrolment",
    "unit",
    "listen",
    "public",
    "grace",
];

/// What the script ends with if the same may work later, `EX_TEMPFAIL`.
pub(super) const TEMPORARY: i32 = 75;

/// What starts hob on a machine, and starts it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// systemd where it runs, the system's or the user's own; else nothing.
    #[default]
    Auto,
    /// systemd.
    Systemd,
    /// Nothing: a process by itself, which is not there any more after a reboot until the
    /// boss has it created again.
    Process,
}

impl Init {
    const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Systemd => "systemd",
            Self::Process => "process",
        }
    }
}

/// What is done there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Looks, and changes nothing.
    Probe,
    /// Installs hob, and starts the machine, as far as that has not been done.
    Install,
    /// Ends the machine, and removes all that was installed for it.
    Remove,
    /// Lists the machines of the fleet.
    List,
}

/// A text for the shell in the making.
pub(super) struct Script {
    given: BTreeMap<&'static str, Zeroizing<String>>,
}

impl Script {
    /// One that does that.
    pub(super) fn new(action: Action) -> Self {
        let action = match action {
            Action::Probe => "probe",
            Action::Install => "install",
            Action::Remove => "remove",
            Action::List => "list",
        };
        Self { given: BTreeMap::new() }.with("action", action)
    }

    /// One to which that is given as well.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        debug_assert!(GIVEN.contains(&name), "{name}");
        self.given.insert(name, Zeroizing::new(value.into()));
        self
    }

    /// One that starts what it starts by that.
    pub(super) fn with_init(self, init: Init) -> Self {
        self.with("init", init.word())
    }

    /// One that gets hob from there. `sum` is the SHA-256 of what is copied.
    pub(super) fn with_hob(self, install: &Install, sum: &str) -> Self {
        match install {
            Install::Present(path) => self.with("present", path.display().to_string()),
            Install::Download { url, sha256 } => self.with("url", url).with("sum", sha256),
            Install::Copy(_) => self.with("sum", sum),
        }
    }

    /// The text.
    pub(super) fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        for name in GIVEN {
            let value = self.given.get(name).map_or("", |value| value.as_str());
            text.push_str(&format!("{name}={}\n", *Zeroizing::new(quote(value))));
        }
        text.push_str(SCRIPT);
        text
    }
}

/// A word that a POSIX shell takes as it is.
pub(super) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// What has been found out about a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Where on it everything of hob's is.
    pub(super) base: String,
    /// Whether systemd starts the machine.
    pub(super) systemd: bool,
    /// Whether the shell is root's.
    pub(super) root: bool,
    /// What processor it has, as `uname -m` says.
    pub(super) processor: String,
    /// Whether the right hob is there.
    pub(super) has_hob: bool,
    /// Whether the machine runs.
    pub(super) running: bool,
}

impl Facts {
    /// The facts in what the script has printed.
    pub(super) fn from_output(output: &str) -> Result<Self, ProviderError> {
        let fact = |name: &str| {
            let found = told(output).find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            let missing = || ProviderError::lasting(format!("it does not tell its {name}"));
            found.map(str::to_owned).ok_or_else(missing)
        };
        Ok(Self {
            base: fact("base")?,
            systemd: fact("init")? == "systemd",
            root: fact("user")? == "0",
            processor: fact("machine")?,
            has_hob: fact("hob")? == "yes",
            running: fact("running")? == "yes",
        })
    }

    /// Where a copy of hob goes, to be checked and put in its place by [`Action::Install`],
    /// and the directory of the machine, which keeps others from removing it meanwhile.
    pub(super) fn draft(&self, key: &Key, sum: &str) -> (String, String) {
        let home = format!("{}/machines/{key}", self.base);
        (format!("{}/bin/hob-{sum}.{key}", self.base), home)
    }
}

/// The machines in what the script has printed.
pub(super) fn machines(output: &str) -> impl Iterator<Item = Key> {
    told(output).filter_map(|line| line.strip_prefix("machine ")?.parse().ok())
}

/// The lines that are the script's own: a shell's start-up files may print as well.
fn told(output: &str) -> impl Iterator<Item = &str> {
    output.lines().filter_map(|line| line.strip_prefix("hob: "))
}

/// What a unit is made for.
pub(super) struct Unit<'u> {
    pub(super) name: &'u str,
    pub(super) key: &'u Key,
    pub(super) facts: &'u Facts,
    /// The program, where it is there.
    pub(super) program: &'u str,
    pub(super) listen: &'u str,
    pub(super) public: Option<&'u str>,
    /// Whether the machine's hob installs packages, writes files and starts services.
    pub(super) manages_host: bool,
}

impl Unit<'_> {
    /// The unit's text.
    pub(super) fn text(&self) -> String {
        let home = format!("{}/machines/{}", self.facts.base, self.key);
        let mut words = vec![
            self.program.to_owned(),
            "join".to_owned(),
            "--state".to_owned(),
            format!("{home}/state"),
            "--enrol".to_owned(),
            format!("{home}/enrol.cap"),
            "--listen".to_owned(),
            self.listen.to_owned(),
        ];
        if let Some(public) = self.public {
            words.extend(["--public-address".to_owned(), public.to_owned()]);
        }
        let start: Vec<_> = words.iter().map(|word| unit_quote(word)).collect();
        let start = start.join(" ");
        let (name, key) = (self.name, self.key);
        let wanted_by = if self.facts.root { "multi-user.target" } else { "default.target" };
        let hardening = self.hardening();
        format!(
            "# Made by hob's boss for this machine, and removed with it.\n\
             [Unit]\n\
             Description=hob of the machine {name}\n\
             Wants=network-online.target\n\
             After=network-online.target\n\
             StartLimitIntervalSec=0\n\
             \n\
             [Service]\n\
             Type=notify\n\
             ExecStart={start}\n\
             Environment=HOB_MACHINE={key}\n\
             # Its services outlive it if it crashes, and are found again.\n\
             KillMode=process\n\
             Restart=always\n\
             RestartSec=2\n\
             # Refused, or somebody else answers: asking again won't help.\n\
             RestartPreventExitStatus=2 4 7\n\
             TimeoutStartSec=infinity\n\
             UMask=0077\n\
             {hardening}\
             \n\
             [Install]\n\
             WantedBy={wanted_by}\n"
        )
    }

    /// What the process is kept from. Most of it needs root's systemd.
    fn hardening(&self) -> String {
        let mut lines = vec![
            "NoNewPrivileges=yes",
            "LockPersonality=yes",
            "MemoryDenyWriteExecute=yes",
            "RestrictRealtime=yes",
            "RestrictSUIDSGID=yes",
            "SystemCallArchitectures=native",
            "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        ];
        if self.manages_host {
            // What a package's installation does is within no bounds but root's.
            lines = vec!["LockPersonality=yes", "RestrictRealtime=yes"];
        }
        if self.facts.root {
            lines.extend(["ProtectClock=yes", "ProtectKernelLogs=yes", "KeyringMode=private"]);
        }
        let home = format!("{}/machines/{}", self.facts.base, self.key);
        let writable = format!("ReadWritePaths={}", unit_quote(&home));
        if self.facts.root && !self.manages_host {
            lines.extend([
                "ProtectSystem=strict",
                "ProtectHome=yes",
                "PrivateTmp=yes",
                "PrivateDevices=yes",
                "ProtectControlGroups=yes",
                "ProtectHostname=yes",
                "ProtectKernelModules=yes",
                "ProtectKernelTunables=yes",
                "ProtectProc=invisible",
                "RestrictNamespaces=yes",
                "CapabilityBoundingSet=",
                "SystemCallFilter=@system-service",
                &writable,
            ]);
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// A word as systemd takes it in a command line: `%` and `$` mean nothing in it.
fn unit_quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' | '$' => quoted.extend([c, c]),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Whether a host can run the hob that this host runs.
pub(super) fn same_processor(facts: &Facts, program: &Path) -> Result<(), ProviderError> {
    let ours = std::env::consts::ARCH;
    // What they call the same differs in this.
    let theirs = if facts.processor == "arm64" { "aarch64" } else { &facts.processor };
    let alike = theirs == ours || (ours == "x86" && theirs.starts_with('i'));
    if alike {
        return Ok(());
    }
    let program = program.display();
    Err(ProviderError::lasting(format!(
        "{program} is for {ours}, that machine is {theirs}: set `install` to a hob for it"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    /// What a shell makes of a text.
    fn sh(text: &str) -> (String, String, Option<i32>) {
        let mut shell = Command::new("/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let done = shell.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(done.stdout), text(done.stderr), done.status.code())
    }

    #[test]
    fn a_shell_takes_every_word_as_it_is() {
        for word in
            ["", "a b", "it's", "''", "$(reboot)", "`reboot`", "\\", "a\nb\n", "-n", "*", "é\"%"]
        {
            let (out, ..) = sh(&format!("printf '<%s>' {}", quote(word)));
            assert_eq!(out, format!("<{word}>"));
        }
    }

    #[test]
    fn systemd_takes_every_word_as_it_is() {
        assert_eq!(unit_quote("/opt/hob/bin/hob-5"), "/opt/hob/bin/hob-5");
        assert_eq!(unit_quote("/home/a b/100%/$x"), "\"/home/a b/100%%/$$x\"");
        assert_eq!(unit_quote("a\"\\\n"), "\"a\\\"\\\\\\n\"");
        assert_eq!(unit_quote(""), "\"\"");
    }

    #[test]
    fn a_host_is_looked_at_and_not_changed() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("it's hob");
        let key = Key::random().unwrap();
        let probe = |present: &str| {
            let install = Install::Present(present.into());
            let script = Script::new(Action::Probe)
                .with("key", key.as_str())
                .with("base", base.display().to_string())
                .with_init(Init::Process)
                .with_hob(&install, "");
            let (out, err, code) = sh(&script.text());
            assert_eq!((err.as_str(), code), ("", Some(0)));
            // A start-up file of the shell may say something as well.
            Facts::from_output(&format!("Welcome!\nbase /evil\n{out}")).unwrap()
        };
        let facts = probe("/bin/sh");
        assert_eq!(facts.base, base.display().to_string());
        assert!(facts.has_hob && !facts.running && !facts.systemd);
        assert!(!probe("/no/such/hob").has_hob);
        assert!(!base.exists());
        same_processor(&facts, Path::new("hob")).unwrap();
        let other = Facts { processor: "s390x".to_owned(), ..facts };
        assert!(!same_processor(&other, Path::new("hob")).unwrap_err().temporary);
        assert!(Facts::from_output("hob: base /opt/hob\n").is_err());
    }

    #[test]
    fn the_unit_of_one_that_only_talks() {
        let key = Key::random().unwrap();
        let facts = Facts {
            base: "/opt/hob".to_owned(),
            systemd: true,
            root: true,
            processor: "x86_64".to_owned(),
            has_hob: true,
            running: false,
        };
        let unit = |facts: &Facts, manages_host| {
            let unit = Unit {
                name: "db-machine",
                key: &key,
                facts,
                program: "/opt/hob/bin/hob-5",
                listen: "tcp-tls:0.0.0.0:7000",
                public: Some("db.example:7000"),
                manages_host,
            };
            unit.text()
        };
        let talks = unit(&facts, false);
        for line in ["CapabilityBoundingSet=", "ProtectSystem=strict", "WantedBy=multi-user.target"]
        {
            assert!(talks.lines().any(|found| found == line), "{line}: {talks}");
        }
        let start = format!(
            "ExecStart=/opt/hob/bin/hob-5 join --state /opt/hob/machines/{key}/state --enrol \
             /opt/hob/machines/{key}/enrol.cap --listen tcp-tls:0.0.0.0:7000 --public-address \
             db.example:7000"
        );
        assert!(talks.lines().any(|found| found == start), "{talks}");
        assert!(!unit(&facts, true).contains("ProtectSystem"));
        let of_user = unit(&Facts { root: false, ..facts }, false);
        assert!(of_user.contains("WantedBy=default.target"));
        assert!(!of_user.contains("CapabilityBoundingSet"));
    }
}
