//! `command`: machines that any program makes and takes away.
//!
//! The program is run with one argument, `create`, `destroy`, `list` or `revive`, and is
//! given one JSON document on standard input, with the enrolment in it, which travels
//! nowhere else. What it prints are lines of JSON. See `docs/providers.md`.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::files::failed;
use super::{Context, FleetId, Instance, Order, Progress, Provider, ProviderError, Span, Target};

/// The exit status by which a program says that the same may work later, `EX_TEMPFAIL`.
const TEMPORARY: i32 = 75;

/// The exit status by which a program says that somebody else answered than the one whose
/// key is pinned, `EX_PROTOCOL`.
const MISMATCH: i32 = 76;

/// The exit status by which a program says that it does not know that call, `EX_USAGE`.
const UNKNOWN: i32 = 64;

/// How long a line of the program's may be.
const LINE_BYTES: u64 = 64 * 1024;

/// How many lines it may print.
const LINES: usize = 10_000;

/// How many lines of its standard error are told on.
const LAST_LINES: usize = 5;

/// How long to listen to a program that has ended: what it has started may have taken
/// over its outputs, and never end.
const ECHO: Duration = Duration::from_millis(500);

/// How often to look whether a silent program has ended.
const LOOK: Duration = Duration::from_millis(20);

/// The settings of [`Command`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CommandSettings {
    /// The program, and arguments that come before the one that says what to do.
    pub command: Vec<String>,
    /// How long one call of it may take: `10m`.
    #[serde(default = "ten_minutes")]
    pub timeout: Span,
}

fn ten_minutes() -> Span {
    Span(Duration::from_secs(600))
}

/// Machines that a program makes.
pub struct Command {
    program: String,
    arguments: Vec<String>,
    timeout: Duration,
    state: PathBuf,
    hob: PathBuf,
}

impl Command {
    /// The provider with these settings.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], if no program is named.
    pub fn new(settings: CommandSettings, context: &Context) -> Result<Self, ProviderError> {
        let mut words = settings.command.into_iter();
        let program = words.next().filter(|program| !program.is_empty());
        let program = program.ok_or_else(|| {
            ProviderError::lasting("command: expected the name of a program, found nothing")
        })?;
        Ok(Self {
            program,
            arguments: words.collect(),
            timeout: settings.timeout.0,
            state: context.state.clone(),
            hob: context.program.clone(),
        })
    }

    /// Runs the program, and gives it `line` after line to look at.
    fn run(
        &self,
        call: &Call<'_>,
        mut line: impl FnMut(Map<String, Value>) -> Result<(), String>,
    ) -> Result<(), ProviderError> {
        let Some((status, said)) = self.outcome(call, &mut line)? else { return Ok(()) };
        let why = format!("{} {}: {said} ({status})", self.program, call.what);
        Err(match status.code() {
            Some(TEMPORARY) => ProviderError::temporary(why),
            Some(MISMATCH) => ProviderError::identity_mismatch(why),
            _ => ProviderError::lasting(why),
        })
    }

    /// Runs the program. Gives how it has ended and what it said of that, unless well.
    fn outcome(
        &self,
        call: &Call<'_>,
        mut line: impl FnMut(Map<String, Value>) -> Result<(), String>,
    ) -> Result<Option<(ExitStatus, String)>, ProviderError> {
        let mut running = self.spawn(call)?;
        let deadline = Instant::now() + self.timeout;
        let mut end: Option<(ExitStatus, Instant)> = None;
        let mut complaints = VecDeque::new();
        let (mut open, mut lines) = (2, 0);
        while open > 0 && end.is_none_or(|(_, until)| Instant::now() < until) {
            let heard = running.heard.recv_timeout(LOOK);
            running.look(&mut end)?;
            if end.is_none() && Instant::now() > deadline {
                return Err(self.too_slow(call, running));
            }
            match heard {
                Ok(Heard::End) => open -= 1,
                Ok(Heard::Complaint(text)) => {
                    complaints.push_back(call.without_secrets(text));
                    if complaints.len() > LAST_LINES {
                        complaints.pop_front();
                    }
                }
                Ok(Heard::Said(text)) => {
                    lines += 1;
                    let outcome = understood(&call.without_secrets(text), lines);
                    if let Err(why) = outcome.and_then(&mut line) {
                        running.kill();
                        let why = format!("{} {} {why}", self.program, call.what);
                        return Err(ProviderError::lasting(why));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        while end.is_none() {
            if Instant::now() > deadline {
                return Err(self.too_slow(call, running));
            }
            running.look(&mut end)?;
            std::thread::sleep(LOOK);
        }
        let Some((status, _)) = end.filter(|(status, _)| !status.success()) else {
            return Ok(None);
        };
        let said: Vec<_> = complaints.into();
        let said = if said.is_empty() { "no word of why".to_owned() } else { said.join("; ") };
        Ok(Some((status, said)))
    }

    /// The call about a machine that has been made.
    fn about<'c>(what: &'static str, target: &'c Target) -> Call<'c> {
        Call {
            what,
            fleet: &target.fleet,
            document: json!({
                "name": target.name,
                "key": target.key.as_str(),
                "fleet": target.fleet.as_str(),
                "id": target.id,
                "spec": target.spec,
            }),
            variables: vec![("HOB_NAME", target.name.clone()), ("HOB_KEY", target.key.to_string())],
            secret: None,
        }
    }

    fn spawn(&self, call: &Call<'_>) -> Result<Running, ProviderError> {
        std::fs::create_dir_all(&self.state).map_err(|error| failed(&self.state, &error))?;
        let mut command = std::process::Command::new(&self.program);
        command
            .args(&self.arguments)
            .arg(call.what)
            .env("HOB_PROGRAM", &self.hob)
            .env("HOB_PROVIDER_STATE", &self.state)
            .env("HOB_FLEET", call.fleet.as_str())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        for (name, value) in &call.variables {
            command.env(name, value);
        }
        let mut child = command.spawn().map_err(|error| {
            ProviderError::lasting(format!("can't start {}: {error}", self.program))
        })?;
        let (tell, heard) = sync_channel(16);
        if let Some(mut stdin) = child.stdin.take() {
            let document = Zeroizing::new(call.document.to_string());
            // A program that does not read it may have no need to.
            std::thread::spawn(move || stdin.write_all(document.as_bytes()));
        }
        let out = child.stdout.take().map(|out| (out, tell.clone()));
        let err = child.stderr.take().map(|err| (err, tell));
        if let Some((out, tell)) = out {
            std::thread::spawn(move || listen(out, &tell, Heard::Said));
        }
        if let Some((err, tell)) = err {
            std::thread::spawn(move || listen(err, &tell, Heard::Complaint));
        }
        Ok(Running { child, heard })
    }

    fn too_slow(&self, call: &Call<'_>, mut running: Running) -> ProviderError {
        running.kill();
        let seconds = self.timeout.as_secs_f64();
        let why = format!("{} {} took more than {seconds} s", self.program, call.what);
        ProviderError::temporary(why)
    }
}

/// One call of the program.
struct Call<'c> {
    what: &'static str,
    fleet: &'c FleetId,
    document: Value,
    variables: Vec<(&'static str, String)>,
    secret: Option<&'c str>,
}

impl Call<'_> {
    /// What may be told on: a program may repeat what it was given.
    fn without_secrets(&self, text: String) -> String {
        let Some(uri) = self.secret else { return text };
        let swiss_num = uri.split("/s/").nth(1).and_then(|rest| rest.split('?').next());
        let text = text.replace(uri, "(the enrolment)");
        match swiss_num.filter(|swiss_num| !swiss_num.is_empty()) {
            Some(swiss_num) => text.replace(swiss_num, "…"),
            None => text,
        }
    }
}

/// What comes from the program.
enum Heard {
    Said(String),
    Complaint(String),
    End,
}

/// The program while it runs.
struct Running {
    child: Child,
    heard: Receiver<Heard>,
}

impl Running {
    fn look(&mut self, end: &mut Option<(ExitStatus, Instant)>) -> Result<(), ProviderError> {
        let status = self.child.try_wait();
        let status = status.map_err(|error| ProviderError::temporary(error.to_string()))?;
        if let Some(status) = status.filter(|_| end.is_none()) {
            *end = Some((status, Instant::now() + ECHO));
        }
        Ok(())
    }

    /// Ends it with all that it has started, as far as that stayed with it.
    fn kill(&mut self) {
        // The number is the program's own until it has been waited for.
        if let Ok(None) = self.child.try_wait() {
            let _gone = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _reaped = self.child.wait();
        }
    }
}

/// Passes on what is read, a line at a time, until somebody has heard enough.
fn listen(from: impl Read, tell: &SyncSender<Heard>, as_what: fn(String) -> Heard) {
    let mut from = BufReader::new(from);
    loop {
        let mut line = Vec::new();
        match from.by_ref().take(LINE_BYTES + 1).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line).trim().to_owned();
        if !text.is_empty() && tell.send(as_what(text)).is_err() {
            return;
        }
    }
    let _nobody_listens = tell.send(Heard::End);
}

fn understood(text: &str, lines: usize) -> Result<Map<String, Value>, String> {
    if lines > LINES {
        return Err(format!("printed more than {LINES} lines"));
    }
    if text.len() as u64 > LINE_BYTES {
        return Err(format!("printed a line of more than {LINE_BYTES} bytes"));
    }
    serde_json::from_str(text).map_err(|_| {
        let start: String = text.chars().take(60).collect();
        format!("printed {start:?}: expected a JSON object on each line")
    })
}

/// The answer in a line; nothing if the line says how far it has come.
fn answer(
    mut line: Map<String, Value>,
    key: Option<&str>,
    progress: &dyn Progress,
) -> Result<Option<Instance>, String> {
    if let Some(step) = line.get("step").and_then(Value::as_str) {
        progress.step(step);
        return Ok(None);
    }
    if let Some(key) = key {
        line.insert("key".to_owned(), key.into());
    }
    let instance = serde_json::from_value(Value::Object(line));
    instance.map(Some).map_err(|error| format!("printed something else than a machine: {error}"))
}

impl Provider for Command {
    fn create(&self, order: &Order, progress: &dyn Progress) -> Result<Instance, ProviderError> {
        let call = Call {
            what: "create",
            fleet: &order.fleet,
            document: json!({
                "name": order.name,
                "key": order.key.as_str(),
                "fleet": order.fleet.as_str(),
                "enrolment": order.enrolment.reveal(),
                "spec": order.spec,
            }),
            variables: vec![("HOB_NAME", order.name.clone()), ("HOB_KEY", order.key.to_string())],
            secret: Some(order.enrolment.reveal()),
        };
        let mut made = None;
        self.run(&call, |line| {
            if let Some(instance) = answer(line, Some(order.key.as_str()), progress)? {
                made = Some(instance);
            }
            Ok(())
        })?;
        made.ok_or_else(|| {
            let why = format!("{} create ended well, but printed no {{\"id\": …}}", self.program);
            ProviderError::lasting(why)
        })
    }

    fn destroy(&self, target: &Target) -> Result<(), ProviderError> {
        self.run(&Self::about("destroy", target), |_| Ok(()))
    }

    fn revive(&self, target: &Target) -> Result<bool, ProviderError> {
        let call = Self::about("revive", target);
        let mut revived = false;
        let ended = self.outcome(&call, |line| {
            revived |= line.get("revived").and_then(Value::as_bool).unwrap_or(false);
            Ok(())
        })?;
        match ended {
            None => Ok(revived),
            // Written before there was this call, or with nothing to do for it.
            Some((status, _)) if status.code() == Some(UNKNOWN) => Ok(false),
            Some((status, said)) => {
                let why = format!("{} revive: {said} ({status})", self.program);
                Err(ProviderError::temporary(why))
            }
        }
    }

    fn list(&self, fleet: &FleetId) -> Result<Vec<Instance>, ProviderError> {
        let call = Call {
            what: "list",
            fleet,
            document: json!({ "fleet": fleet.as_str() }),
            variables: Vec::new(),
            secret: None,
        };
        let mut instances = Vec::new();
        self.run(&call, |line| {
            instances.extend(answer(line, None, &|_: &str| {})?);
            Ok(())
        })?;
        Ok(instances)
    }
}
