//! `hob shepherd` and `herd` as real processes: the transcript of the source, capabilities
//! to one service, a shepherd that is killed, and services that misbehave.

mod deploy;
mod pasture;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use pasture::{Pasture, processes};
use support::{Done, Place};

/// A daemon as Emacs is one: it says that it starts, and ends with 15 when it is told to.
const EMACS: &str = r#"
[service.emacs]
command = ["/bin/sh", "-c", "echo Starting Emacs daemon.; trap 'exit 15' TERM; while :; do read _ <$0; done", "FIFO"]
doc = "The editor."
"#;

/// Times, process numbers and paths as they are in the source.
fn as_in_the_source(text: &str) -> String {
    let time = |word: &str| {
        let bytes = word.as_bytes();
        word.len() == 8 && bytes[2] == b':' && bytes[5] == b':'
    };
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut words: Vec<String> = Vec::new();
        for word in line.split(' ') {
            if time(word) {
                words.push("HH:MM:SS".into());
            } else if word.len() == 10 && word.starts_with("20") && word.contains('-') {
                words.push("DATE".into());
            } else if let Some(number) = word.strip_prefix('(')
                && number.parse::<u32>().is_ok()
            {
                words.push("(N".into());
            } else {
                words.push(word.into());
            }
        }
        let line = words.join(" ").replace("second ago", "seconds ago");
        lines.push(match line.trim_start() {
            line if line.starts_with("Main PID: ") => "  Main PID: PID".to_owned(),
            line if line.starts_with("Command: ") => "  Command: COMMAND".to_owned(),
            _ => line,
        });
    }
    lines.join("\n")
}

const RUNNING: &str = "\
Status of emacs:
  It is running since HH:MM:SS (N seconds ago).
  Main PID: PID
  Command: COMMAND
  It is enabled.
  Provides: emacs
  Will be respawned.

Recent messages (use '-n' to view more or less):
  DATE HH:MM:SS Starting Emacs daemon.";

const STOPPED: &str = "\
Status of emacs:
  It is stopped since HH:MM:SS (N seconds ago).
  Process exited with code 15.
  It is enabled.
  Provides: emacs
  Will be respawned.";

#[test]
fn the_transcript_of_the_source() {
    let pasture = Pasture::new(EMACS);
    let said = |lines: u64| {
        pasture.until("it says that it starts", |pasture| {
            pasture.says("log emacs").matches("Starting Emacs daemon.").count() as u64 >= lines
        });
    };
    said(1);
    assert_eq!(pasture.says("status"), "Started:\n + emacs\n + root\n");
    assert_eq!(as_in_the_source(&pasture.says("status emacs")), RUNNING);
    let first = pasture.pid("emacs");
    assert_eq!(pasture.says("stop emacs"), "");
    assert_eq!(as_in_the_source(&pasture.says("status emacs")), STOPPED);
    assert_eq!(pasture.says("status"), "Started:\n + root\nStopped:\n - emacs\n");
    assert_eq!(pasture.says("start emacs"), "Service emacs has been started.\n");
    said(2);
    assert_eq!(as_in_the_source(&pasture.says("status emacs -n 1")), RUNNING);
    let second = pasture.pid("emacs");
    assert_eq!(pasture.says("restart emacs"), "Service emacs has been started.\n");
    said(3);
    assert_eq!(as_in_the_source(&pasture.says("status emacs -n 1")), RUNNING);
    let third = pasture.pid("emacs");
    assert_eq!(BTreeSet::from([first, second, third]).len(), 3);
    assert_eq!(pasture.says("start emacs"), "Service emacs is already running.\n");
    assert_eq!(pasture.says("doc emacs"), "The editor.\n");
    assert_eq!(pasture.fails("status vi").0, 3);
    assert_eq!(pasture.fails("stop").0, 2);
    assert_eq!(pasture.fails("stop root").0, 2);
    assert_eq!(pasture.fails("status --state nowhere").0, 5);
    assert_eq!(pasture.says("disable emacs") + &pasture.says("stop emacs"), "");
    assert_eq!(pasture.fails("start emacs").0, 1);
    assert_eq!(processes(pasture.place.path("fifo").to_str().unwrap()), BTreeSet::new());
}

#[test]
fn a_grant_is_for_what_it_says_and_no_more() {
    let definitions =
        format!("{EMACS}\n[service.vi]\n[service.emacs.actions.poke]\nsignal = \"CONT\"\n");
    let mut pasture = Pasture::new(&definitions);
    pasture.says("grant emacs --actions status,restart,poke --to ci -o ci.cap");
    pasture.says("grant emacs --actions start,stop,log -o ops.cap");
    assert_eq!(pasture.says("-c ci.cap status"), "Started:\n + emacs\n");
    let before = pasture.pid("emacs");
    assert_eq!(pasture.says("-c ci.cap restart emacs"), "Service emacs has been started.\n");
    assert_ne!(pasture.pid("emacs"), before);
    assert_eq!(pasture.says("-c ci.cap poke emacs"), "Sent CONT to emacs.\n");
    let refused = |pasture: &Pasture, words: &str| {
        let (code, error) = pasture.fails(words);
        assert_eq!(code, 4, "{words}: {error}");
        error
    };
    let error = refused(&pasture, "-c ci.cap stop emacs");
    assert_eq!(error, "herd: stop: not permitted by this capability\n");
    for words in [
        "start emacs",
        "disable emacs",
        "doc emacs",
        "status vi",
        "restart vi",
        "status nothing",
        "grants",
        "revoke 1",
        "grant emacs --actions stop -o more.cap",
        "reload",
        "watch",
        "spawn x true",
        "bring-up emacs",
        "shut-down emacs",
        "boot emacs",
        "define emacs",
        "audit",
        "log emacs -f",
    ] {
        refused(&pasture, &format!("-c ci.cap {words}"));
    }
    pasture.says("-c ops.cap log emacs");
    assert_eq!(pasture.says("-c ops.cap stop emacs"), "");
    // They outlive the shepherd, and can be taken back, also from those who come late.
    pasture.end("-KILL");
    pasture.start(&[]);
    assert_eq!(pasture.says("-c ops.cap start emacs"), "Service emacs has been started.\n");
    assert_eq!(pasture.says("revoke 1"), "Grant 1 has been revoked.\n");
    let error = refused(&pasture, "-c ci.cap status emacs");
    assert_eq!(error, "herd: status: this capability has been revoked\n");
    let list = pasture.says("grants");
    assert_eq!(
        list,
        "1 revoked emacs poke,restart,status for ci\n2 valid emacs follow,start,status,stop\n"
    );
    pasture.until("the record is written", |pasture| {
        let audit = pasture.says("audit -n 100");
        [
            "granted id=1 service=emacs",
            "used id=1 (ci) method=restart service=emacs",
            "refused id=1 (ci) method=stop service=emacs",
            "revoked id=1",
        ]
        .into_iter()
        .all(|line| audit.contains(line))
    });
    // Somebody else's guess is nobody's capability.
    let cap = pasture.place.read("ci.cap");
    let (kept, secret) = cap.trim().split_once("/s/").unwrap();
    let (secret, hints) = secret.split_once('?').unwrap();
    let guess: String = secret.chars().map(|c| if c == 'A' { 'E' } else { 'A' }).collect();
    pasture.place.write("guess.cap", 0o600, &format!("{kept}/s/{guess}?{hints}\n"));
    assert_eq!(pasture.fails("-c guess.cap status emacs").0, 3);
}

#[test]
fn an_expired_grant_is_refused() {
    let pasture = Pasture::new(EMACS);
    pasture.says("grant emacs --actions status --expires 1s -o ci.cap");
    let mut error = String::new();
    pasture.until("it expires", |pasture| {
        let (code, said) = pasture.fails("-c ci.cap status emacs");
        error = said;
        code == 4
    });
    assert_eq!(error, "herd: status: this capability has expired\n");
}

#[test]
fn a_killed_shepherd_finds_its_services_again() {
    let mut definitions = EMACS.to_owned();
    for n in 0..10 {
        definitions.push_str(&format!(
            "[service.s{n}]\ncommand = [\"/bin/sh\", \"-c\", \"read _ <$0\", \"FIFO\", \"s{n}\"]\n"
        ));
    }
    let mut pasture = Pasture::new(&definitions);
    let mark = pasture.place.path("fifo").to_str().unwrap().to_owned();
    pasture.until("all run", |pasture| {
        pasture.says("status").lines().filter(|line| line.starts_with(" +")).count() == 12
    });
    pasture.says("stop s3");
    let before = processes(&mark);
    assert_eq!(before.len(), 10);
    let pid = pasture.pid("s7");
    pasture.end("-KILL");
    assert_eq!(processes(&mark), before);
    // One ends while nobody looks.
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    pasture.start(&[]);
    pasture.until("s7 runs again", |pasture| pasture.json("s7")["state"] == "running");
    let after = processes(&mark);
    assert_eq!(after.len(), 10);
    assert_eq!(before.difference(&after).collect::<Vec<_>>(), [&pid]);
    // What was stopped stays so, and what was found is still looked after.
    assert_eq!(pasture.json("s3")["state"], "stopped");
    let found = pasture.pid("s5");
    assert!(before.contains(&found));
    assert!(Command::new("kill").args(["-KILL", &found.to_string()]).status().unwrap().success());
    pasture.until("s5 is started again", |pasture| {
        pasture.json("s5")["pid"].as_i64().is_some_and(|pid| pid != found)
    });
    pasture.says("stop emacs");
    pasture.end("-TERM");
    assert_eq!(processes(&mark), BTreeSet::new());
    // Ended in good order, everything that is enabled is started again.
    pasture.start(&["--leave-running"]);
    pasture.until("all run", |_| processes(&mark).len() == 11);
    let before = processes(&mark);
    pasture.end("-TERM");
    pasture.start(&[]);
    assert_eq!(pasture.json("s3")["state"], "running");
    assert_eq!(processes(&mark), before);
}

#[test]
fn those_who_misbehave_are_contained() {
    let pasture = Pasture::new(
        r#"
        [service.deaf]
        command = ["/bin/sh", "-c", "trap '' TERM; while :; do read _ <$0; done", "FIFO", "deaf"]
        grace = "100ms"

        [service.runaway]
        command = ["/bin/sh", "-c", "setsid sh -c 'read _ <$0' FIFO runaway & read _ <$0", "FIFO", "runaway"]

        [service.flood]
        command = ["/bin/sh", "-c", "echo flooding; yes all work and no play; read _ <$0", "FIFO"]
        log = { size = "64KiB", keep = 2, file = "PLACE/flood.log" }

        [service.full]
        command = ["/bin/sh", "-c", "echo nobody reads this; echo >PLACE/said; read _ <$0", "FIFO"]
        log = { file = "/dev/full" }

        [service.missing]
        command = ["/nonexistent/program"]

        [service.crash]
        command = ["/bin/sh", "-c", "exit 7"]
        respawn = { limit = 3, delay = "1ms" }
        "#,
    );
    pasture.until("full has said something", |pasture| pasture.place.path("said").exists());
    assert_eq!(pasture.json("full")["state"], "running");
    let mark = format!("{} runaway", pasture.place.path("fifo").display());
    pasture.until("runaway has run away", |_| processes(&mark).len() == 2);
    pasture.says("stop runaway");
    pasture.until("runaway was caught", |_| processes(&mark).is_empty());
    assert_eq!(pasture.says("stop deaf"), "");
    assert_eq!(pasture.json("deaf")["exit-signal"], 9);
    pasture.until("crash is given up", |pasture| pasture.json("crash")["state"] == "failed");
    assert_eq!(pasture.json("crash")["failure"], "respawning too fast");
    let missing = pasture.json("missing");
    assert_eq!(missing["state"], "failed");
    assert!(missing["failure"].as_str().unwrap().contains("No such file"), "{missing}");
    pasture.until("the log is rotated", |pasture| pasture.place.path("flood.log.2").exists());
    pasture.says("stop flood");
    let logs: Vec<PathBuf> = ["flood.log", "flood.log.1", "flood.log.2", "flood.log.3"]
        .map(|name| pasture.place.path(name))
        .into();
    assert!(!logs[3].exists());
    for log in &logs[..3] {
        assert!(log.metadata().unwrap().len() <= 64 * 1024 * 2, "{log:?}");
    }
    let id = pasture.child.as_ref().unwrap().id();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 200 * 1024, "{peak}");
    // No zombies are left.
    pasture.until("all that ended was reaped", |_| zombies(id).is_empty());
}

fn zombies(parent: u32) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let stats =
        entries.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    stats
        .filter(|stat| {
            let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
            rest.starts_with(&format!("Z {parent} "))
        })
        .collect()
}

#[test]
fn a_fork_bomb_is_contained() {
    let limited = ["/sys/fs/cgroup/pids/cgroup.procs", "/sys/fs/cgroup/cgroup.controllers"];
    let root = rustix::process::geteuid().is_root();
    if !root || !limited.iter().any(|path| std::path::Path::new(path).exists()) {
        println!("skipped: this needs root and control groups that limit processes");
        return;
    }
    let pasture = Pasture::new(
        r#"
        [service.bomb]
        command = ["/bin/sh", "-c", "bomb() { bomb FIFO | bomb FIFO; }; bomb; read _ <$0", "FIFO"]
        limits = { tasks = 20 }
        respawn = false
        autostart = false
        "#,
    );
    let mark = pasture.place.path("fifo").to_str().unwrap().to_owned();
    pasture.herd("start bomb");
    for _ in 0..20 {
        assert!(processes(&mark).len() <= 21);
    }
    pasture.herd("stop bomb");
    pasture.until("nothing is left of it", |_| processes(&mark).is_empty());
}

#[test]
fn readiness_sockets_and_environment() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: python3 is not here");
        return;
    }
    let pasture = Pasture::new(
        r#"
        [service.notifies]
        command = ["python3", "-c", "import os, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.connect(os.environ['NOTIFY_SOCKET']); s.send(b'STATUS=soon'); s.send(b'READY=1'); open('FIFO').read()"]
        ready = { notify = true }

        [service.file]
        command = ["/bin/sh", "-c", "echo >PLACE/ready; read _ <$0", "FIFO"]
        ready = { file = "PLACE/ready" }

        [service.command]
        command = ["/bin/sh", "-c", "pwd; echo $GREETING; ulimit -n; read _ <$0", "FIFO"]
        ready = { command = ["test", "-e", "PLACE/ready"] }
        requires = ["file"]
        environment = { GREETING = "hello" }
        directory = "/usr"
        limits = { nofile = 33 }

        [service.late]
        command = ["/bin/sh", "-c", "read _ <$0", "FIFO"]
        ready = { port = "127.0.0.1:1", timeout = "100ms" }
        autostart = false

        [service.activated]
        command = ["python3", "-c", "import os, socket; assert int(os.environ['LISTEN_PID']) == os.getpid() and os.environ['LISTEN_FDS'] == '1'; s = socket.socket(fileno=3); c, _ = s.accept(); c.send(b'hello'); c.close()"]
        socket = { listen = ["unix:PLACE/activated"] }
        "#,
    );
    for service in ["notifies", "file", "command", "activated"] {
        pasture.until(service, |pasture| pasture.json(service)["state"] == "running");
    }
    pasture.until("it says what it was given", |pasture| {
        let said = pasture.says("log command");
        ["/usr", "hello", "33"].iter().all(|line| said.contains(line))
    });
    let (code, error) = pasture.fails("start late");
    assert!(code == 1 && error.contains("not ready within 100ms"), "{error}");
    for _ in 0..2 {
        let mut connection =
            std::os::unix::net::UnixStream::connect(pasture.place.path("activated")).unwrap();
        let mut said = String::new();
        connection.read_to_string(&mut said).unwrap();
        assert_eq!(said, "hello");
    }
}

#[test]
fn bad_definitions_are_said_where() {
    let place = Place::new();
    place.write("x.toml", 0o600, "[service.a]\ncomand = [\"x\"]\n");
    let done = place.hob("shepherd --state s --services x.toml");
    assert_eq!(done.code, Some(2));
    assert!(done.err.contains("x.toml:2:1: unknown field `comand`"), "{done:?}");
}

/// `HOB_REAL_STORMS` says how many rounds; the same in a simulation is in the library.
#[test]
fn a_hundred_services_in_a_storm() {
    let mut definitions = String::new();
    for n in 0..100 {
        let requires = if n < 10 { String::new() } else { format!("\"s{}\"", n / 10) };
        definitions.push_str(&format!(
            "[service.s{n}]\ncommand = [\"/bin/sh\", \"-c\", \"read _ <$0\", \"FIFO\"]\n\
             requires = [{requires}]\nrespawn = {{ limit = 1000, delay = \"1ms\" }}\n"
        ));
    }
    let mut pasture = Pasture::new(&definitions);
    let mark = pasture.place.path("fifo").to_str().unwrap().to_owned();
    let rounds = std::env::var("HOB_REAL_STORMS").ok().and_then(|text| text.parse().ok());
    for round in 0..rounds.unwrap_or(2) {
        pasture.until("all run", |pasture| {
            pasture.says("status").lines().filter(|line| line.starts_with(" + s")).count() == 100
        });
        let running = processes(&mark);
        assert_eq!(running.len(), 100, "round {round}");
        let crash: Vec<String> =
            running.iter().skip(round % 2).step_by(2).map(i64::to_string).collect();
        assert!(Command::new("kill").arg("-KILL").args(&crash).status().unwrap().success());
        if round % 2 == 1 {
            pasture.end("-KILL");
            pasture.start(&[]);
        }
        pasture.until("all run again", |_| {
            let now = processes(&mark);
            now.len() == 100 && crash.iter().all(|pid| !now.contains(&pid.parse().unwrap()))
        });
        // Those that require s1 stop with it, and start again.
        pasture.says("restart s1");
    }
    pasture.says("stop s1");
    let stopped = pasture.says("status").lines().filter(|line| line.starts_with(" - ")).count();
    assert_eq!(stopped, 11);
    pasture.end("-TERM");
    assert_eq!(processes(&mark), BTreeSet::new());
    pasture.start(&[]);
}

#[test]
fn a_watcher_sees_every_change_in_order() {
    let pasture = Pasture::new(EMACS);
    pasture.until("it runs", |pasture| pasture.json("emacs")["state"] == "running");
    pasture.says("restart emacs");
    pasture.says("stop emacs");
    let herd = pasture.place.path("herd");
    let mut watching = Command::new(herd)
        .args(["watch", "--after", "0"])
        .env("HOB_STATE", pasture.place.path("s"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(watching.stdout.take().unwrap());
    let states: Vec<String> = out
        .lines()
        .map(|line| {
            let event: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            format!("{} {}", event["number"], event["state"].as_str().unwrap())
        })
        .take(8)
        .collect();
    watching.kill().unwrap();
    watching.wait().unwrap();
    let expected = [
        "1 starting",
        "2 running",
        "3 stopping",
        "4 stopped",
        "5 starting",
        "6 running",
        "7 stopping",
        "8 stopped",
    ];
    assert_eq!(states, expected);
}

/// A root shepherd and another user of the machine: he has what he was given, and a third
/// one has nothing, although she holds the same file.
#[test]
fn another_user_has_what_was_granted() {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    use std::os::unix::process::CommandExt as _;
    if !rustix::process::geteuid().is_root() {
        println!("skipped: this needs root");
        return;
    }
    let mut pasture = Pasture::new(EMACS);
    pasture.end("-TERM");
    let place = |name: &str| pasture.place.path(name);
    std::fs::set_permissions(place(""), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_hob"), place("hob")).unwrap();
    std::os::unix::fs::symlink("hob", place("herd")).unwrap();
    pasture.start(&["--socket", "shared", "--users", "65533"]);
    pasture.says("grant emacs --actions status -o ci.cap");
    let cap = pasture.place.read("ci.cap");
    let run = |user: u32, words: &str| {
        let file = format!("{user}.cap");
        pasture.place.write(&file, 0o600, &cap);
        chown(pasture.place.path(&file), Some(user), Some(user)).unwrap();
        let mut command = Command::new(pasture.place.path("herd"));
        command.current_dir(pasture.place.path("")).uid(user).gid(user).env("TZ", "UTC");
        command.args(["-c", &file]).args(words.split_whitespace()).env_remove("HOB_STATE");
        Done::from(command.stdin(Stdio::null()).output().unwrap())
    };
    let done = run(65533, "status emacs");
    assert!(done.out.starts_with("Status of emacs:"), "{done:#?}");
    assert_eq!(run(65533, "stop emacs").code, Some(4));
    assert_eq!(run(65532, "status emacs").code, Some(5));
    assert_eq!(pasture.json("emacs")["state"], "running");
}
