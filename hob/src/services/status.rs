//! What is told of services: over the wire, and as JSON.

use ocapn::Passable;
use serde::Serialize;

/// The state of a service.
#[derive(Passable, Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// It does not run.
    Stopped,
    /// It is on its way: its process runs perhaps, and is not ready.
    Starting,
    /// It runs.
    Running,
    /// It was told to stop.
    Stopping,
    /// It ended by itself and is not started again.
    Failed,
}

impl Phase {
    /// As it is written.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
        }
    }

    /// The state that is called so.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [Self::Stopped, Self::Starting, Self::Running, Self::Stopping, Self::Failed];
        all.into_iter().find(|phase| phase.name() == name)
    }

    /// Whether it is up or down, if it is not on its way.
    pub(crate) const fn settled(self) -> Option<bool> {
        match self {
            Self::Running => Some(true),
            Self::Stopped | Self::Failed => Some(false),
            Self::Starting | Self::Stopping => None,
        }
    }

    /// Whether something of it may run.
    pub(crate) const fn is_up(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Stopping)
    }
}

/// What is known of a service.
#[derive(Passable, Clone, Debug, PartialEq, Serialize)]
#[passable(rename_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Status {
    pub(crate) name: String,
    pub(crate) state: Phase,
    /// Since when, in seconds since 1970.
    pub(crate) since: i64,
    /// Its main process.
    pub(crate) pid: Option<i64>,
    pub(crate) command: Vec<String>,
    pub(crate) enabled: bool,
    /// All its names.
    pub(crate) provides: Vec<String>,
    pub(crate) requires: Vec<String>,
    pub(crate) respawn: bool,
    pub(crate) one_shot: bool,
    pub(crate) transient: bool,
    /// When its timer rings, as it was defined.
    pub(crate) timer: Option<String>,
    /// When it rings next.
    pub(crate) next: Option<i64>,
    /// Where it listens, if connections start it.
    pub(crate) sockets: Vec<String>,
    /// With which code it has ended last.
    pub(crate) exit_code: Option<i32>,
    /// By which signal.
    pub(crate) exit_signal: Option<i32>,
    /// Why it has failed.
    pub(crate) failure: Option<String>,
    pub(crate) doc: Option<String>,
    /// Which actor it is, if it is no process.
    #[passable(default)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) builtin: Option<String>,
    /// What can be done with it besides.
    pub(crate) actions: Vec<String>,
    /// The last lines that it has said, with their times.
    pub(crate) messages: Vec<(i64, String)>,
    /// Of which machine it is, if not of this one. Then the state is the last that is known.
    #[passable(default)]
    pub(crate) remote: Option<Elsewhere>,
    /// Since when it goes up and down too often.
    #[passable(default)]
    pub(crate) flapping: Option<i64>,
}

impl Status {
    /// That of a service of which nothing else is known.
    pub(crate) fn new(name: String, state: Phase, since: i64) -> Self {
        Self {
            provides: vec![name.clone()],
            name,
            state,
            since,
            pid: None,
            command: Vec::new(),
            enabled: false,
            requires: Vec::new(),
            respawn: false,
            one_shot: false,
            transient: false,
            timer: None,
            next: None,
            sockets: Vec::new(),
            exit_code: None,
            exit_signal: None,
            failure: None,
            doc: None,
            builtin: None,
            actions: Vec::new(),
            messages: Vec::new(),
            remote: None,
            flapping: None,
        }
    }

    /// Whether it is of a machine that does not answer.
    pub(crate) fn is_cut(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| !remote.reachable)
    }
}

/// What is known of another machine, by one service of it.
#[derive(Passable, Clone, Debug, PartialEq, Eq, Serialize)]
#[passable(rename_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Elsewhere {
    /// What it is called here.
    pub(crate) machine: String,
    /// Whether it answers.
    pub(crate) reachable: bool,
    /// Since when it does not, if it has before.
    pub(crate) unreachable_since: Option<i64>,
    /// Why it does not, or what it refuses.
    pub(crate) error: Option<String>,
}

/// What has to be known of a service to start and stop others in order.
#[derive(Passable, Clone, Debug, PartialEq)]
pub(crate) struct Relations {
    pub(crate) phase: Phase,
    pub(crate) enabled: bool,
    /// Whether it is started with the shepherd.
    pub(crate) autostart: bool,
    /// Whether it was to run when the shepherd was last there.
    pub(crate) wanted: bool,
    pub(crate) transient: bool,
    /// Whether it is of another machine.
    pub(crate) remote: bool,
    pub(crate) provides: Vec<String>,
    pub(crate) requires: Vec<String>,
    pub(crate) conflicts: Vec<String>,
}
