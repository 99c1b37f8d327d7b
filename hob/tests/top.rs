//! `hob top` with a real boss, a real machine and a real shepherd: printed once, and live
//! on a terminal of `script`.

mod support;

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use support::{Killed, Place, Server};

/// Only what the test starts runs.
const SERVICES: &str = r#"
[service.web]
command = ["/bin/sleep", "1000"]
autostart = false

[service.mail]
command = ["/bin/sleep", "1000"]
autostart = false
"#;

/// A shepherd that stops its services also when a test fails.
struct Shepherd(Option<Server>);

impl Shepherd {
    fn start(place: &Place) -> Self {
        place.write("services.toml", 0o600, SERVICES);
        Self(Some(place.serve("shepherd --state s --services services.toml")))
    }

    fn end(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        if let Some(server) = self.0.take() {
            server.end("-TERM");
        }
    }
}

impl Drop for Shepherd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn boss(place: &Place) -> Server {
    place.serve("boss --state boss --listen tcp-tls:127.0.0.1:0")
}

fn join(place: &Place, name: &str) -> Server {
    place.hob(&format!("fleet create {name} --state boss --no-wait")).with(0);
    place.hob(&format!("fleet token create {name} -o {name}.cap --state boss")).with(0);
    place.serve(&format!("join --state {name} --enrol {name}.cap --listen tcp-tls:127.0.0.1:0"))
}

#[test]
fn a_fleet_and_services_once() {
    let place = Place::new();
    let _boss = boss(&place);
    let _db = join(&place, "db-machine");
    place.hob("fleet create edge-3 --state boss --no-wait").with(0);
    let _shepherd = Shepherd::start(&place);
    place.hob("offer notes --kind kv --state db-machine").with(0);

    let done = place.hob("top --once --state boss --state s --interval 1ms").with(0);
    assert_eq!(done.err, "");
    let lines: Vec<Vec<&str>> =
        done.out.lines().map(|line| line.split_whitespace().collect()).collect();
    let has = |words: &[&str]| lines.iter().any(|line| line.starts_with(words));
    for words in [
        &["hob", "top"] as &[&str],
        &["boss", "●", "boss"],
        &["shepherd", "●", "s"],
        &["node", "●", "boss"],
        &["node", "●", "s"],
        &["MACHINES"],
        &["db-machine", "active", "manual"],
        &["edge-3", "pending", "manual"],
        &["mail", "stopped"],
        &["web", "stopped"],
        &["PEER", "NET", "IN/s"],
    ] {
        assert!(has(words), "{words:?}\n{}", done.out);
    }
    assert!(done.out.contains("registered with enrolment"), "{}", done.out);

    let done = place.hob("top --once --json --state boss --state s --interval 1ms").with(0);
    let json: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["machines"][0]["name"], "db-machine");
    assert_eq!(json["machines"][0]["at"], "boss");
    assert_eq!(json["services"][1]["state"], "stopped");
    let sessions = json["sessions"].as_array().unwrap();
    let own: Vec<_> = sessions.iter().filter(|session| session["own"] == true).collect();
    assert!(own.len() >= 2, "with the boss's node, and with the shepherd's: {json:#}");
    for session in own {
        assert_eq!(session["transport"], "unix");
        assert!(session["messages_in"].as_u64().unwrap() > 0, "{session:#}");
        assert!(session["exports"].as_u64().is_some(), "{session:#}");
        assert!(session["queued_bytes"].as_u64().is_some(), "{session:#}");
    }
    let events = json["events"].as_array().unwrap();
    assert!(events.iter().any(|event| event["event"] == "registered"), "{json:#}");
}

#[test]
fn a_capability_to_one_service_shows_that() {
    let place = Place::new();
    let _shepherd = Shepherd::start(&place);
    let granted = "svc grant web --actions status,restart -o ci.cap --state s";
    assert_eq!(place.hob(granted).code, Some(0));
    let done = place.hob("top --once --json --herd ci.cap --state nowhere").with(0);
    let json: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    let services = json["services"].as_array().unwrap();
    assert_eq!(services.len(), 1, "{json:#}");
    assert_eq!(services[0]["name"], "web");
    assert_eq!(json["sources"][0]["why"], "no boss runs in nowhere");
    assert_eq!(json["sources"][1]["state"], "there");
}

#[test]
fn what_can_not_be_done() {
    let place = Place::new();
    let done = place.hob("top --once --state nowhere").with(5);
    assert!(done.err.contains("no boss runs in nowhere; no shepherd runs in nowhere"), "{done:?}");
    let done = place.hob("top --once --json --state nowhere").with(5);
    assert!(done.out.starts_with(r#"{"version":1,"error":{"exit":5"#), "{done:?}");
    let done = place.hob("top --state nowhere").with(2);
    assert!(done.err.contains("--once"), "{done:?}");
    place.hob("top --once --herd nothing.cap").with(2);
    place.hob("top --once --herd -").with(2);
    place.hob("top --once --interval 0s --state nowhere").with(2);
    place.hob("top --json --state nowhere").with(2);
    place.write("open.cap", 0o644, "ocapn://x.unix/s/y");
    place.hob("top --once --boss open.cap").with(2);
}

/// What a terminal shows, as far as `hob top` writes to one.
struct Shown {
    cells: Vec<Vec<char>>,
    at: (usize, usize),
    /// What has begun with an escape and is not complete.
    sequence: Option<String>,
    bytes: Vec<u8>,
    /// All there was.
    all: String,
}

impl Shown {
    fn new() -> Self {
        Self {
            cells: vec![vec![' '; 80]; 24],
            at: (0, 0),
            sequence: None,
            bytes: Vec::new(),
            all: String::new(),
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.bytes) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let rest = self.bytes.split_off(whole);
        let text = String::from_utf8(std::mem::replace(&mut self.bytes, rest)).unwrap();
        for c in text.chars() {
            self.put(c);
        }
        self.all.push_str(&text);
    }

    fn put(&mut self, c: char) {
        if let Some(sequence) = &mut self.sequence {
            sequence.push(c);
            if sequence.len() > 1 && c.is_ascii_alphabetic() {
                let sequence = self.sequence.take().unwrap();
                self.obey(&sequence);
            }
            return;
        }
        match c {
            '\x1b' => self.sequence = Some(String::new()),
            '\r' => self.at.0 = 0,
            '\n' => self.at.1 = (self.at.1 + 1).min(23),
            c => {
                let (x, y) = self.at;
                if let Some(cell) = self.cells.get_mut(y).and_then(|line| line.get_mut(x)) {
                    *cell = c;
                }
                self.at.0 += 1;
            }
        }
    }

    fn obey(&mut self, sequence: &str) {
        if sequence == "[2J" {
            self.cells = vec![vec![' '; 80]; 24];
        } else if let Some(place) =
            sequence.strip_prefix('[').and_then(|rest| rest.strip_suffix('H'))
        {
            let number = |text: &str| text.parse::<usize>().unwrap_or(1) - 1;
            let (y, x) = place.split_once(';').unwrap_or(("1", "1"));
            self.at = (number(x), number(y));
        }
    }

    fn text(&self) -> String {
        let line = |line: &Vec<char>| line.iter().collect::<String>().trim_end().to_owned();
        self.cells.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// `hob top` on a terminal of 80 by 24.
struct Live {
    _child: Killed,
    keys: Option<ChildStdin>,
    output: Receiver<Vec<u8>>,
    shown: Shown,
}

impl Live {
    fn start(place: &Place, words: &str) -> Self {
        let program = env!("CARGO_BIN_EXE_hob");
        let line =
            format!("stty rows 24 cols 80; {program} top {words}; echo ended with $?; stty -a");
        let mut command = Command::new("script");
        command.args(["-q", "-f", "-c", &line, "/dev/null"]);
        for name in ["HOB_STATE", "HOB_CONFIG", "HOB_LOG", "NO_COLOR"] {
            command.env_remove(name);
        }
        let mut child: Child = command
            .current_dir(place.path(""))
            .env("HOME", "/nonexistent")
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let keys = child.stdin.take();
        let mut out = child.stdout.take().unwrap();
        let (send, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut buffer) {
                if send.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { _child: Killed(child), keys, output, shown: Shown::new() }
    }

    fn press(&mut self, keys: &str) {
        self.keys.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until what is shown is as wanted. One that waits in vain fails.
    #[track_caller]
    fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) {
        while !wanted(&self.shown.text()) {
            match self.output.recv_timeout(Duration::from_secs(60)) {
                Ok(bytes) => self.shown.write(&bytes),
                Err(error) => panic!("{what}: {error}\n{}", self.shown.text()),
            }
        }
    }

    /// What else is written until it ends.
    fn end(mut self) -> String {
        while let Ok(bytes) = self.output.recv_timeout(Duration::from_secs(60)) {
            self.shown.write(&bytes);
        }
        self.shown.all
    }
}

/// Whether there is a line that begins with these words.
fn has(text: &str, words: &[&str]) -> bool {
    text.lines().any(|line| line.split_whitespace().collect::<Vec<_>>().starts_with(words))
}

#[test]
fn live_on_a_terminal() {
    if Command::new("script").arg("--version").output().is_err() {
        println!("skipped: there is no `script` to make a terminal with");
        return;
    }
    let place = Place::new();
    let shepherd = Shepherd::start(&place);
    let mut live = Live::start(&place, "--state s --interval 100ms --no-color");
    live.until("no boss is said", |text| text.contains("no boss runs in s"));
    live.press("2");
    live.until("services are shown", |text| has(text, &["web", "stopped"]));
    live.press("G");
    live.press("s");
    live.until("it is asked", |text| text.contains("start web? [y/N]"));
    live.press("n");
    live.until("it is not done", |text| text.contains("? keys"));
    live.press("sy");
    live.until("it runs", |text| has(text, &["web", "running"]));
    live.until("it is said", |text| text.contains("running") && text.contains("shepherd"));
    live.press("\r");
    live.until("all about it", |text| text.contains("Main PID:"));
    // The terminal's answers would be taken for keys.
    live.press("q\x0c");
    live.until("all is drawn anew", |text| text.contains("hob top") && text.contains("? keys"));
    shepherd.end();
    live.until("it is lost", |text| text.contains("! lost"));
    let _shepherd = Shepherd::start(&place);
    live.until("it is back", |text| !text.contains("! lost") && has(text, &["web"]));
    live.press("q");
    let all = live.end();
    assert!(all.contains("\x1b[?1049h"), "the screen was taken");
    let (_, after) = all.rsplit_once("\x1b[?1049l").expect("and given back");
    assert!(after.contains("ended with 0"), "{after}");
    assert!(after.contains(" icanon") && after.contains(" echo "), "{after}");
    assert!(!all.contains("\x1b[38;"), "no colours");
}
