//! Starting real `hob` processes and talking to them.

#![allow(dead_code, reason = "each test binary uses what it needs")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};

use tempfile::TempDir;

/// The program under test, with none of the tester's own settings.
pub(crate) fn hob() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hob"));
    let own = ["XDG_STATE_HOME", "XDG_CONFIG_HOME", "NOTIFY_SOCKET", "STATE_DIRECTORY", "NO_COLOR"];
    let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in set.filter(|name| name.starts_with("HOB_") || own.contains(&name.as_str())) {
        command.env_remove(name);
    }
    command.env("HOME", "/nonexistent").stdin(Stdio::null());
    command
}

/// Says that a test is skipped, and not by eprintln, which the test harness would keep to
/// itself.
pub(crate) fn skipped(why: &str) {
    use std::io::Write as _;
    let _said = writeln!(std::io::stderr(), "skipped: {why}");
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

impl Done {
    /// Ended with this code; if it is not 0, with an error and without a panic.
    #[track_caller]
    pub(crate) fn with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(!self.err.contains("panicked"), "{self:#?}");
        assert_eq!(self.err.contains("error: "), code != 0, "{self:#?}");
        self
    }
}

impl Done {
    /// Ended with this code and nothing on standard error but perhaps what to do next.
    #[track_caller]
    pub(crate) fn with_next(self, code: i32) -> Self {
        assert!(self.err.lines().all(|line| line.starts_with("  next: ")), "{self:#?}");
        self.with(code)
    }

    /// Refused by the definition of the command line.
    #[track_caller]
    pub(crate) fn with_usage(self) -> Self {
        assert!(self.err.contains("For more information, try '--help'"), "{self:#?}");
        self.with(2)
    }
}

/// A directory for one test, and the commands run in it.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::Builder::new().prefix("hob-test-").tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs `hob` with words separated by spaces.
    pub(crate) fn hob(&self, words: &str) -> Done {
        self.run(words.split_whitespace())
    }

    pub(crate) fn run(&self, words: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Done {
        let mut command = hob();
        command.current_dir(self.0.path()).args(words);
        command.output().unwrap().into()
    }

    /// Runs `hob` with something on its standard input.
    pub(crate) fn hob_with_input(&self, words: &str, input: &str) -> Done {
        std::fs::write(self.path("input"), input).unwrap();
        let input = std::fs::File::open(self.path("input")).unwrap();
        let mut command = hob();
        command.current_dir(self.0.path()).stdin(input);
        command.args(words.split_whitespace()).output().unwrap().into()
    }

    /// Starts a command that serves, and waits until it is ready.
    pub(crate) fn serve(&self, words: &str) -> Server {
        self.serve_with(words, &[])
    }

    /// The same with variables.
    pub(crate) fn serve_with(&self, words: &str, variables: &[(&str, &str)]) -> Server {
        Server::start(self.0.path(), words, variables)
    }

    /// Writes a file with a mode.
    pub(crate) fn write(&self, name: &str, mode: u32, content: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

/// A process that is killed when this is dropped.
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A `hob` process that serves until it is dropped.
pub(crate) struct Server {
    child: Child,
    _out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
    /// What it has logged and was read.
    logged: String,
    pub(crate) locators: Vec<String>,
}

impl Server {
    fn start(directory: &Path, words: &str, variables: &[(&str, &str)]) -> Self {
        let mut child = hob()
            .envs(variables.iter().copied())
            .current_dir(directory)
            .args(words.split_whitespace())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let mut locators = Vec::new();
        loop {
            let mut line = String::new();
            if out.read_line(&mut line).unwrap() == 0 {
                let mut why = String::new();
                err.read_to_string(&mut why).unwrap();
                panic!("hob {words} has ended: {:?} {why}", child.wait());
            }
            match line.trim_end().strip_prefix("listening ") {
                Some(locator) => locators.push(locator.to_owned()),
                None if line == "ready\n" => break,
                None => panic!("unexpected: {line}"),
            }
        }
        Self { child, _out: out, err, logged: String::new(), locators }
    }

    /// The value of a hint in the first locator.
    pub(crate) fn hint(&self, name: &str) -> String {
        let (_, query) = self.locators[0].split_once('?').unwrap();
        let mut hints = query.split('&').filter_map(|hint| hint.split_once('='));
        hints.find(|(key, _)| *key == name).unwrap().1.to_owned()
    }

    /// The designator in the first locator.
    pub(crate) fn designator(&self) -> String {
        let host = self.locators[0].strip_prefix("ocapn://").unwrap();
        host.split('.').next().unwrap().to_owned()
    }

    /// Waits until it logs a line that contains the text.
    #[track_caller]
    pub(crate) fn logs(&mut self, text: &str) {
        loop {
            let mut line = String::new();
            let read = self.err.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "never logged {text:?}: {}", self.logged);
            self.logged.push_str(&line);
            if line.contains(text) {
                return;
            }
        }
    }

    /// Sends a signal, waits for the end, and gives what was logged.
    pub(crate) fn end(mut self, signal: &str) -> Done {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let mut err = std::mem::take(&mut self.logged);
        self.err.read_to_string(&mut err).unwrap();
        Done { code: self.child.wait().unwrap().code(), out: String::new(), err }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}
