//! A boss and machines that its providers make, as processes: killed, restarted, moved.

mod support;

use std::path::PathBuf;

use serde_json::Value;
use support::{Done, Place, Server};

/// A boss in a place, and what operators ask of it.
struct Boss {
    place: Place,
    port: String,
}

impl Boss {
    fn start() -> (Self, Server) {
        let place = Place::new();
        let server = place.serve("boss --state boss --listen tcp-tls:127.0.0.1:0");
        let port = server.hint("port");
        (Self { place, port }, server)
    }

    /// Starts it again, at the same address.
    fn again(&self) -> Server {
        self.place.serve(&format!("boss --state boss --listen tcp-tls:127.0.0.1:{}", self.port))
    }

    fn call(&self, words: &str) -> Done {
        self.place.hob(&format!("call --file boss/boss.cap {words}"))
    }

    fn ask(&self, words: &str) -> Value {
        let done = self.call(&format!("{words} --json")).with(0);
        let answer: Value = serde_json::from_str(&done.out).unwrap();
        answer["fulfilled"].clone()
    }

    /// The same, and it asks soon after those that say nothing.
    fn again_impatient(&self) -> Server {
        let port = &self.port;
        let words = format!("boss --state boss --listen tcp-tls:127.0.0.1:{port}");
        self.place.serve(&format!("{words} --revive-after 1s"))
    }

    /// Waits until the machine says that it is there to this boss's process.
    fn until_heard_of(&self, name: &str) {
        // Reports are no events: the boss is asked again and again.
        while !self.ask(&format!("show {name}"))["seen"].is_number() {}
    }

    /// Waits for the machine to be in a state, from one event to the next.
    fn until(&self, name: &str, state: &str) -> Value {
        loop {
            let last = self.ask("events")["last"].as_u64().unwrap();
            let machine = self.ask(&format!("show {name}"));
            if machine["state"]["@symbol"] == state {
                return machine;
            }
            self.call(&format!("wait {last}")).with(0);
        }
    }

    fn events(&self) -> Vec<(String, String, String)> {
        let page = self.ask("events");
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or("").to_owned();
        let entries = page["entries"].as_array().unwrap().iter();
        entries.map(|e| (text(e, "event"), text(e, "machine"), text(e, "text"))).collect()
    }

    /// The state directories of the machines that `local` has made.
    fn states(&self) -> Vec<PathBuf> {
        let made = self.place.path("boss/providers/local").read_dir().into_iter().flatten();
        made.flatten().map(|entry| entry.path().join("state")).collect()
    }

    /// That of the machine with that identity, which its lock file's process has.
    fn state_of(&self, machine: &Value) -> PathBuf {
        PathBuf::from(machine["instance"].as_str().unwrap()).join("state")
    }

    fn processes(&self) -> usize {
        let here = self.place.path("boss/providers");
        let here = here.to_str().unwrap();
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = all.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).contains(here)).count()
    }
}

impl Drop for Boss {
    /// The machines outlive their boss: they are ended one by one.
    fn drop(&mut self) {
        for state in self.states() {
            if let Ok(process) = std::fs::read_to_string(state.join("lock")) {
                let _gone =
                    std::process::Command::new("kill").args(["-9", process.trim()]).status();
            }
        }
    }
}

#[test]
fn a_boss_that_is_killed_loses_and_doubles_no_machine() {
    let (boss, mut server) = Boss::start();
    // After each thing that happens on the way to a machine.
    let moments = ["created", "enrolment", "step", "allocated", "registered"];
    for (index, moment) in moments.into_iter().enumerate() {
        let name = format!("m{index}");
        boss.call(&format!("create-machine {name} local")).with(0);
        server.logs(&format!("{moment} {name}: "));
        assert_eq!(server.end("-KILL").code, None);
        server = boss.again();
        let machine = boss.until(&name, "active");
        assert_eq!(machine["bindings"], serde_json::json!({}));
        assert_eq!(boss.states().len(), index + 1, "after {moment}");
        assert_eq!(boss.processes(), index + 1, "after {moment}");
    }
    let events = boss.events();
    for index in 0..moments.len() {
        let name = format!("m{index}");
        let count = |event: &str| events.iter().filter(|e| e.0 == event && e.1 == name).count();
        assert_eq!((count("created"), count("registered")), (1, 1), "{events:#?}");
        assert!((1..=2).contains(&count("allocated")), "{events:#?}");
    }
    for index in 0..moments.len() {
        boss.call(&format!("destroy-machine m{index}")).with(0);
    }
    while boss.ask("list-machines") != serde_json::json!([]) {
        let last = boss.ask("events")["last"].as_u64().unwrap();
        if boss.ask("list-machines") != serde_json::json!([]) {
            boss.call(&format!("wait {last}")).with(0);
        }
    }
    assert_eq!((boss.states().len(), boss.processes()), (0, 0));
}

/// Two machines, of which `app` has bound what `db` has.
fn two_machines(boss: &Boss) -> (PathBuf, PathBuf) {
    boss.call("create-machine db local").with(0);
    boss.call("create-machine app local").with(0);
    let (db, app) = (boss.until("db", "active"), boss.until("app", "active"));
    let (db, app) = (boss.state_of(&db), boss.state_of(&app));
    let on = |state: &PathBuf| state.to_str().unwrap().to_owned();
    let export =
        format!("export store --kind kv -o store.cap --transport unix --state {}", on(&db));
    boss.place.hob(&export).with(0);
    boss.place
        .hob(&format!("call --file {}/hob.cap register-binding db @store.cap", on(&db)))
        .with(0);
    boss.call("bind app db db").with(0);
    let export = format!(
        "export guests --kind guestbook -o guests.cap --transport unix --state {}",
        on(&app)
    );
    boss.place.hob(&export).with(0);
    (db, app)
}

#[test]
fn without_its_boss_an_application_has_its_database_and_with_it_what_is_taken_back_is_gone() {
    let (boss, server) = Boss::start();
    let (_db, app) = two_machines(&boss);
    assert_eq!(server.end("-KILL").code, None);
    let sign = || boss.place.run(["call", "@guests.cap", "sign", "\"hello\""]);
    assert_eq!(sign().with(0).out, "\"hello\"\n");
    let _server = boss.again();
    boss.call("unbind app db").with(0);
    let told = |events: Vec<(String, String, String)>| {
        events.iter().any(|event| event.2.contains("has been taken back"))
    };
    while !told(boss.events()) {
        let last = boss.ask("events")["last"].as_u64().unwrap();
        if !told(boss.events()) {
            boss.call(&format!("wait {last}")).with(0);
        }
    }
    let gone = sign().with(3);
    assert!(gone.err.contains("nothing is bound as \"db\""), "{}", gone.err);
    let listed = boss.place.hob(&format!("call --file {}/hob.cap list-bindings", app.display()));
    assert_eq!(listed.with(0).out, "[]\n");
}

/// Ends the process that has that state directory, without a word.
fn kill(state: &std::path::Path) {
    let process = std::fs::read_to_string(state.join("lock")).unwrap();
    let process = process.trim();
    let killed = std::process::Command::new("kill").args(["-9", process]).status();
    assert!(killed.unwrap().success());
    // It is the boss's to be reaped, if there is one.
    let state = || std::fs::read_to_string(format!("/proc/{process}/stat"));
    while state().is_ok_and(|state| !state.contains(") Z ")) {
        std::thread::yield_now();
    }
}

#[test]
fn machines_that_were_killed_come_back_with_what_they_had() {
    let (boss, server) = Boss::start();
    let (db, app) = two_machines(&boss);
    let sign = |boss: &Boss| boss.place.run(["call", "@guests.cap", "sign", "\"hello\""]);
    sign(&boss).with(0);
    // All are gone, as after a reboot of the host.
    assert_eq!(server.end("-KILL").code, None);
    kill(&db);
    kill(&app);
    assert_eq!(boss.processes(), 0);
    let server = boss.again_impatient();
    boss.until_heard_of("db");
    boss.until_heard_of("app");
    assert_eq!(boss.processes(), 2);
    assert_eq!(sign(&boss).with(0).out, "\"hello\"\n");
    let count = |event: &str| boss.events().iter().filter(|e| e.0 == event).count();
    assert_eq!((count("revived"), count("registered")), (2, 2));
    // One is gone while the boss is there.
    kill(&app);
    while count("revived") < 3 {
        let last = boss.ask("events")["last"].as_u64().unwrap();
        if count("revived") < 3 {
            boss.call(&format!("wait {last}")).with(0);
        }
    }
    drop(server);
}
