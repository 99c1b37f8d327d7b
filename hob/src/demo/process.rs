//! One of the demo's processes: another `hob`, whose words are told on.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

use super::story::Story;
use crate::config::{CONFIG_VARIABLE, OWN_VARIABLES};

/// How long a process may take to end once it is told to.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many of its words are kept while nobody asks for them.
const KEPT: usize = 1024;

/// A `hob` process.
pub(super) struct Process {
    pub(super) name: &'static str,
    pub(super) state: PathBuf,
    child: Child,
    /// The process ends when this is closed, also when we are killed.
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    /// What it has said and nobody has waited for.
    heard: Vec<String>,
}

impl Process {
    /// Starts this very program with the arguments; `before` is what to start it by.
    pub(super) fn start<'a>(
        name: &'static str,
        state: PathBuf,
        before: &[String],
        args: impl IntoIterator<Item = &'a OsStr>,
        story: Story,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("where this program is")?;
        let mut words = before.iter().map(AsRef::as_ref).chain([program.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command
            .args(words)
            .args(args)
            .args(["--stop-with-stdin", "--plain-log", "--state"])
            .arg(&state)
            .env("HOB_LOG", "warn,fleet=info")
            // The demo is the same whatever the user's own settings are.
            .env(CONFIG_VARIABLE, "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for own in OWN_VARIABLES {
            command.env_remove(own);
        }
        // Ctrl-C is for the demo, which then ends its processes in good order.
        command.process_group(0);
        let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
        let (sender, lines) = mpsc::channel(KEPT);
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(relay(stdout, sender.clone(), None));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(relay(stderr, sender, Some((story, name))));
        }
        Ok(Self { name, state, stdin: child.stdin.take(), child, lines, heard: Vec::new() })
    }

    /// Waits until the process has said something that begins with `wanted`, now or
    /// earlier, and gives the rest of that line.
    pub(super) async fn says(&mut self, wanted: &str) -> anyhow::Result<String> {
        loop {
            let found = self.heard.iter().position(|line| line.starts_with(wanted));
            if let Some(index) = found {
                let line = self.heard.remove(index);
                return Ok(line.strip_prefix(wanted).unwrap_or_default().to_owned());
            }
            match self.lines.recv().await {
                Some(line) => self.heard.push(line),
                None => return Err(self.last_words().await),
            }
        }
    }

    /// Why the process has ended when it should not have.
    async fn last_words(&mut self) -> anyhow::Error {
        let name = self.name;
        let status = self.child.wait().await;
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let words = self.heard.join("; ");
        anyhow!("{name} has ended early ({status}): {words}")
    }

    /// Ends the process: asks, waits, and then does not ask.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stdin.take());
        // Its last words are read, so that it does not wait for a reader.
        let lines = &mut self.lines;
        let ended = async {
            while lines.recv().await.is_some() {}
            self.child.wait().await
        };
        if let Ok(status) = tokio::time::timeout(PATIENCE, ended).await {
            let status = status.with_context(|| format!("waiting for {}", self.name))?;
            if !status.success() {
                bail!("{} ended with {status}", self.name);
            }
            return Ok(());
        }
        self.child.kill().await?;
        bail!("{} did not end in good order and was killed", self.name)
    }

    /// A file in the process's state directory.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        Path::new(&self.state).join(name)
    }
}

/// Takes in what a process says, a line at a time, and tells it on.
async fn relay(
    from: impl AsyncRead + Unpin,
    to: mpsc::Sender<String>,
    told: Option<(Story, &'static str)>,
) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some((story, name)) = told {
            story.tell(name, &line);
        }
        if to.send(line).await.is_err() {
            return;
        }
    }
}
