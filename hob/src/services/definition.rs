//! What a service is: its definition, as it is written in TOML.
//!
//! ```toml
//! [service.web-server]
//! command = ["/usr/sbin/nginx", "-g", "daemon off;"]
//! requires = ["networking"]
//! ready = { port = "127.0.0.1:80" }
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::builtin::Builtin;
use super::calendar::Calendar;
use super::flapping::Flapping;
use super::remote::Remote;
use super::text::{Period, SignalName, Size, command, names};

/// A service's definition. Its first name is the key that it is defined under.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Definition {
    /// The program and its arguments. A service without one only stands for what it
    /// requires.
    #[serde(default, deserialize_with = "command", skip_serializing_if = "Vec::is_empty")]
    pub(crate) command: Vec<String>,
    /// An actor of the shepherd's own, in the place of a program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) builtin: Option<Builtin>,
    /// How that one is to be.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub(crate) settings: serde_json::Map<String, serde_json::Value>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) doc: Option<String>,
    /// Other names that it goes by.
    #[serde(default, deserialize_with = "names", skip_serializing_if = "Vec::is_empty")]
    pub(crate) provides: Vec<String>,
    /// What has to run before.
    #[serde(default, deserialize_with = "names", skip_serializing_if = "Vec::is_empty")]
    pub(crate) requires: Vec<String>,
    /// What must not run meanwhile.
    #[serde(default, deserialize_with = "names", skip_serializing_if = "Vec::is_empty")]
    pub(crate) conflicts: Vec<String>,
    /// It does something and ends; it is not to go on running.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) one_shot: bool,
    /// Whether it may be started, until somebody says otherwise.
    #[serde(default = "yes")]
    pub(crate) enabled: bool,
    /// Whether it is started with the shepherd.
    #[serde(default = "yes")]
    pub(crate) autostart: bool,
    /// What is added to the shepherd's own environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) environment: BTreeMap<String, String>,
    /// The user to run as, by name or number. Needs root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// The group to run as [default: the user's].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    /// Where it runs [default: `/`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) directory: Option<PathBuf>,
    /// What it may use at most.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) limits: ResourceLimits,
    /// How it is known that it has started [default: that it runs].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ready: Option<Readiness>,
    /// What tells it to stop.
    #[serde(default = "term")]
    pub(crate) stop_signal: SignalName,
    /// How long it may take to stop before it is killed.
    #[serde(default = "grace")]
    pub(crate) grace: Period,
    /// Whether and how it is started again when it ends by itself.
    #[serde(default)]
    pub(crate) respawn: Respawn,
    /// Where its output goes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) log: LogSettings,
    /// What can be done with it besides.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) actions: BTreeMap<String, Action>,
    /// When its command is run. Then the service runs while its timer does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timer: Option<Schedule>,
    /// Sockets of which the first connection starts the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) socket: Option<Sockets>,
    /// The service of another machine that this one stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remote: Option<Remote>,
    /// What that machine is called [default: as the capability's file, or the service].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) machine: Option<String>,
    /// When it is said to go up and down too often.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) flapping: Flapping,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

const fn yes() -> bool {
    true
}

impl Default for SignalName {
    fn default() -> Self {
        term()
    }
}

impl Default for Period {
    fn default() -> Self {
        grace()
    }
}

const fn term() -> SignalName {
    SignalName(rustix::process::Signal::TERM)
}

const fn grace() -> Period {
    Period(Duration::from_secs(5))
}

/// What a service's processes may use. Those of [`limits(7)`](https://man7.org/linux/man-pages/man2/setrlimit.2.html)
/// count for each process, `tasks` for all together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct ResourceLimits {
    /// Open files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nofile: Option<u64>,
    /// Processes of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nproc: Option<u64>,
    /// Address space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<Size>,
    /// Size of a file written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fsize: Option<Size>,
    /// Size of a core dump.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) core: Option<Size>,
    /// Locked memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memlock: Option<Size>,
    /// Processor time, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu: Option<u64>,
    /// Processes and threads of the service, by control group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tasks: Option<u64>,
}

/// How it is known that a service has started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Readiness {
    /// It says `READY=1` to the socket named by `NOTIFY_SOCKET`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) notify: bool,
    /// It accepts connections there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<String>,
    /// There is a file of that name, no older than the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<PathBuf>,
    /// This command succeeds.
    #[serde(default, deserialize_with = "command", skip_serializing_if = "Vec::is_empty")]
    pub(crate) command: Vec<String>,
    /// How long it may take.
    #[serde(default = "start_time")]
    pub(crate) timeout: Period,
}

const fn start_time() -> Period {
    Period(Duration::from_secs(30))
}

/// Whether a service that ended by itself is started again: `true`, `false`, or how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "RespawnText")]
pub(crate) struct Respawn {
    /// Whether at all.
    pub(crate) enabled: bool,
    /// How often within the window; then it has failed.
    pub(crate) limit: u32,
    pub(crate) window: Period,
    /// How long to wait before.
    pub(crate) delay: Period,
}

impl Default for Respawn {
    fn default() -> Self {
        Self {
            enabled: true,
            limit: 5,
            window: Period(Duration::from_secs(7)),
            delay: Period(Duration::from_millis(100)),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "true, false, or a table of limit, window and delay")]
enum RespawnText {
    Whether(bool),
    How(RespawnTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RespawnTable {
    #[serde(default = "yes")]
    enabled: bool,
    limit: Option<u32>,
    window: Option<Period>,
    delay: Option<Period>,
}

impl From<RespawnText> for Respawn {
    fn from(text: RespawnText) -> Self {
        let default = Self::default();
        match text {
            RespawnText::Whether(enabled) => Self { enabled, ..default },
            RespawnText::How(table) => Self {
                enabled: table.enabled,
                limit: table.limit.unwrap_or(default.limit),
                window: table.window.unwrap_or(default.window),
                delay: table.delay.unwrap_or(default.delay),
            },
        }
    }
}

/// Where a service's output goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct LogSettings {
    /// The file [default: in the shepherd's state directory, by the service's name].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<PathBuf>,
    /// How large it gets before it is rotated.
    pub(crate) size: Size,
    /// How many rotated ones are kept.
    pub(crate) keep: u32,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { file: None, size: Size(1 << 20), keep: 4 }
    }
}

/// Something that can be done with a service while it runs: a signal, or a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Action {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signal: Option<SignalName>,
    #[serde(default, deserialize_with = "command", skip_serializing_if = "Vec::is_empty")]
    pub(crate) command: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) doc: Option<String>,
}

/// When a timer rings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Schedule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) calendar: Option<Calendar>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) every: Option<Period>,
}

/// Where a socket-activated service listens: `tcp:HOST:PORT` or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Sockets {
    pub(crate) listen: Vec<String>,
}

impl Definition {
    /// What can't be said by the form alone.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.check_remote()?;
        let has_command = !self.command.is_empty();
        if let Some(builtin) = self.builtin {
            let process = has_command
                || self.one_shot
                || self.ready.is_some()
                || self.timer.is_some()
                || self.socket.is_some()
                || self.user.is_some()
                || self.group.is_some()
                || self.directory.is_some()
                || !self.environment.is_empty()
                || !self.actions.is_empty()
                || self.limits != ResourceLimits::default();
            if process {
                return Err("what is built in is no process, and has nothing of one".to_owned());
            }
            builtin.check(&self.settings)?;
        } else if !self.settings.is_empty() {
            return Err("settings are for what is built in".to_owned());
        }
        if let Some(timer) = &self.timer {
            if timer.calendar.is_some() == timer.every.is_some() {
                return Err("a timer has either calendar or every".to_owned());
            }
            if timer.every.is_some_and(|every| every.0.is_zero()) {
                return Err("an interval takes time".to_owned());
            }
        }
        if let Some(ready) = &self.ready {
            let ways = [
                ready.notify,
                ready.port.is_some(),
                ready.file.is_some(),
                !ready.command.is_empty(),
            ];
            if ways.into_iter().filter(|way| *way).count() != 1 {
                return Err("ready is one of notify, port, file and command".to_owned());
            }
        }
        let kinds = [self.one_shot, self.timer.is_some(), self.socket.is_some()];
        match kinds.into_iter().filter(|kind| *kind).count() {
            0 if !has_command && self.ready.is_some() => {
                return Err("without a command nothing gets ready".to_owned());
            }
            0 => {}
            1 if !has_command => return Err("command is missing".to_owned()),
            1 if self.ready.is_some() => {
                return Err("ready is for services that go on running".to_owned());
            }
            1 => {}
            _ => return Err("a service is one of one-shot, timer and socket".to_owned()),
        }
        if let Some(sockets) = &self.socket {
            if sockets.listen.is_empty() || sockets.listen.len() > 16 {
                return Err("a service listens on 1 to 16 sockets".to_owned());
            }
            let unknown =
                |listen: &&String| !listen.starts_with("tcp:") && !listen.starts_with("unix:/");
            if let Some(bad) = sockets.listen.iter().find(unknown) {
                return Err(format!("{bad:?} is neither tcp:HOST:PORT nor unix:/PATH"));
            }
        }
        for (name, action) in &self.actions {
            if action.signal.is_some() != action.command.is_empty() {
                return Err(format!("the action {name:?} is either a signal or a command"));
            }
            if RESERVED.contains(&name.as_str()) || !super::text::is_name(name) {
                return Err(format!("{name:?} can't be the name of an action"));
            }
        }
        let bad = |name: &&String| name.is_empty() || name.contains(['=', '\0']);
        if let Some(bad) = self.environment.keys().find(bad) {
            return Err(format!("{bad:?} is no name of a variable"));
        }
        if self.directory.as_ref().is_some_and(|directory| directory.is_relative()) {
            return Err("directory is not absolute".to_owned());
        }
        Ok(())
    }

    /// What runs on another machine is defined there.
    fn check_remote(&self) -> Result<(), String> {
        let Some(remote) = &self.remote else {
            return match self.machine {
                Some(_) => Err("machine is for a service with remote".to_owned()),
                None => Ok(()),
            };
        };
        let local = Self {
            remote: None,
            machine: None,
            doc: None,
            provides: Vec::new(),
            flapping: Flapping::default(),
            ..self.clone()
        };
        // What serde makes of a definition that says nothing.
        let nothing = Self { enabled: true, autostart: self.autostart, ..Self::default() };
        if local != nothing {
            let what = "with remote there are only machine, provides, doc and flapping besides";
            return Err(format!("{what}: the rest is defined on that machine"));
        }
        let bad = |name: &&String| !super::text::is_name(name);
        match self.machine.iter().chain(&remote.service).find(bad) {
            Some(bad) => Err(format!("{bad:?} is no name")),
            None => Ok(()),
        }
    }

    /// As text, to be stored.
    pub(crate) fn to_text(&self) -> String {
        // Strings and numbers alone: nothing can be in the way.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From what [`Definition::to_text`] gave.
    pub(crate) fn from_text(text: &str) -> Result<Self, String> {
        let definition: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        definition.check()?;
        if definition.remote.as_ref().is_some_and(|remote| remote.sturdyref().is_none()) {
            return Err("the capability of a remote service was not read".to_owned());
        }
        Ok(definition)
    }
}

/// What is done with every service, so that no action can be called that.
pub(crate) const RESERVED: [&str; 12] = [
    "status", "start", "stop", "restart", "enable", "disable", "doc", "log", "describe", "action",
    "roll", "observe",
];
