//! A fleet by the command line: a real boss, real machines, and what is printed.

mod support;

use support::{Done, Place, Server};

/// A boss, and machines that join by hand.
struct Fleet {
    place: Place,
    boss: Server,
}

impl Fleet {
    fn new() -> Self {
        let place = Place::new();
        let boss = place.serve("boss --state boss --listen tcp-tls:127.0.0.1:0");
        Self { place, boss }
    }

    fn hob(&self, words: &str) -> Done {
        self.place.hob(&format!("fleet {words} --state boss"))
    }

    /// The answer of a command as JSON.
    fn json(&self, words: &str) -> serde_json::Value {
        let done = self.hob(&format!("{words} --json")).with(0);
        let value: serde_json::Value = serde_json::from_str(&done.out).unwrap();
        assert_eq!(value["version"], 1, "{value}");
        value
    }

    fn join(&self, name: &str) -> Server {
        self.hob(&format!("create {name}")).with(0);
        self.hob(&format!("token create {name} -o {name}.cap")).with(0);
        self.start(name)
    }

    fn start(&self, name: &str) -> Server {
        let words = format!("join --state {name} --enrol {name}.cap --listen tcp-tls:127.0.0.1:0");
        self.place.serve(&words)
    }
}

/// A text with what differs each time replaced.
fn golden(text: &str) -> String {
    let word = |word: &str| {
        if word.contains('…') {
            "PEER…".to_owned()
        } else if word.len() > 1
            && word.ends_with(['s', 'm'])
            && word.as_bytes()[0].is_ascii_digit()
        {
            "AGO".to_owned()
        } else if word.len() == 20 && word.ends_with('Z') {
            "WHEN".to_owned()
        } else if word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            "ID".to_owned()
        } else {
            word.to_owned()
        }
    };
    let line = |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn machines_are_made_bound_and_destroyed() {
    let fleet = Fleet::new();
    let created = fleet.hob("create db-machine").with_next(0);
    assert_eq!(created.out, "○ pending\n");
    assert_eq!(created.err, "  next: hob fleet token create db-machine -o db-machine.enrol.cap\n");
    let token = fleet.hob("token create db-machine -o db-machine.cap").with(0);
    assert_eq!(token.out, "wrote db-machine.cap (0600): good once, for db-machine to join with\n");
    let _db = fleet.start("db-machine");
    let _app = fleet.join("app-machine");
    fleet.hob("create edge-3").with_next(0);
    // The first reports have come when the machines know their names.
    fleet
        .place
        .hob("export store --kind kv -o store.cap --state db-machine --transport unix")
        .with(0);
    let offered = fleet.place.hob("offer db -f store.cap --state db-machine").with(0);
    assert_eq!(offered.out, "offered db\n");
    let bound = fleet.hob("bind app-machine:db --from db-machine:db --attenuate read-only").with(0);
    assert_eq!(bound.out, "● app-machine:db = db-machine:db | read-only\n");
    let bound = fleet.json("bind app-machine:db --from db-machine:db --attenuate read-only");
    assert_eq!((&bound["rules"], &bound["live"]), (&"read-only".into(), &true.into()));

    let listed = golden(&fleet.hob("list").with(0).out);
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines[0], "NAME PROVIDER STATE PEER SEEN DRIFT BINDINGS");
    assert!(lines[1].starts_with("app-machine manual active PEER… "), "{listed}");
    assert!(lines[1].ends_with(" db*"), "{listed}");
    assert!(lines[2].starts_with("db-machine manual active PEER… "), "{listed}");
    assert_eq!(lines[3], "edge-3 manual pending - - - -");
    let shown = golden(&fleet.hob("show app-machine").with(0).out);
    assert!(shown.starts_with("app-machine is active\nprovider manual\npeer "), "{shown}");
    assert!(shown.contains("\nbinding ● db = db-machine:db | read-only"), "{shown}");

    // On the machine: what was given is there, and only what was given.
    let app = |words: &str| fleet.place.hob(&format!("{words} --state app-machine"));
    let listed = app("list-bindings").with(0).out;
    assert_eq!(
        listed,
        "NAME  WHAT                 FROM           RULES\n\
         db    an object elsewhere  db-machine:db  read-only\n"
    );
    assert_eq!(
        app("get-binding db").with(0).out,
        "db is an object elsewhere, from db-machine:db | read-only\n"
    );
    fleet.place.hob("call @store.cap set greeting \"hello\"").with(0);
    assert_eq!(app("get-binding db get greeting").with(0).out, "\"hello\"\n");
    app("get-binding db set greeting 1").with(4);
    app("get-binding nothing").with(3);

    let other = fleet.hob("bind app-machine:db --from db-machine:db").with(1);
    assert!(other.err.ends_with("next: hob fleet rebind app-machine:db --from db-machine:db\n"));
    fleet.hob("rebind app-machine:db --from db-machine:db").with(0);
    app("get-binding db set greeting 2").with(0);
    fleet.hob("rebind app-machine:other --from db-machine:db").with(3);
    let unbound = fleet.hob("unbind app-machine:db").with(0);
    assert_eq!(
        unbound.out,
        "revoked app-machine's db, which was db-machine:db\n\
         stays valid: what app-machine has read of it, and other bindings of db-machine:db\n"
    );
    fleet.hob("unbind app-machine:db").with(3);
    fleet.hob("unbind nowhere:db").with(3);

    let refused = fleet.hob("destroy edge-3").with(2);
    assert!(refused.err.ends_with("next: say --yes if that is what you want\n"), "{}", refused.err);
    fleet.hob("destroy edge-3 nowhere --yes --wait").with(8);
    fleet.hob("show edge-3").with(3);
    let machines = fleet.json("list");
    assert_eq!(machines["machines"].as_array().unwrap().len(), 2);
}

#[test]
fn what_is_not_there_yet_has_a_code_of_its_own() {
    let fleet = Fleet::new();
    let waited = fleet.hob("create pi --wait --wait-for 300ms").with(6);
    assert!(waited.err.contains(" pi: waiting for register\n"), "{}", waited.err);
    assert!(waited.err.contains("error: pi is still pending after 0s"), "{}", waited.err);
    let quiet = fleet.place.hob("-q fleet create pi --wait --wait-for 300ms --state boss").with(6);
    assert!(quiet.err.starts_with("error: "), "{}", quiet.err);
    fleet.hob("create app").with_next(0);
    let pending = fleet.hob("bind app:db --from pi:db").with(6);
    assert!(pending.err.contains("hob fleet show app"), "{}", pending.err);
    let json = fleet.hob("bind app:db --from pi:db --json").with(6);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["error"]["exit"], 6);
    fleet.hob("bind app:other --from nowhere:db").with(3);
    fleet.hob("bind app --from pi:db").with_usage();
    fleet.hob("bind app:db --from pi:db --attenuate never").with_usage();
    // Somebody waits while the machine comes.
    let words = "fleet create pi --wait --json --state boss";
    let mut waiting = support::hob();
    waiting.current_dir(fleet.place.path("")).args(words.split(' '));
    waiting.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let waiting = waiting.spawn().unwrap();
    fleet.hob("token create pi -o pi.cap").with(0);
    let _pi = fleet.start("pi");
    let waited: Done = waiting.wait_with_output().unwrap().into();
    let json: serde_json::Value = serde_json::from_str(&waited.with(0).out).unwrap();
    assert_eq!(json["machine"]["state"], "active");
}

#[test]
fn enrolments_and_what_the_audit_log_tells_of_them() {
    let fleet = Fleet::new();
    fleet.hob("create pi").with_next(0);
    assert_eq!(
        fleet.hob("token list").with(0).out,
        "no enrolments: hob fleet token create MACHINE -o FILE\n"
    );
    fleet.hob("token create pi --ttl 1h -o pi.cap").with(0);
    fleet.hob("token create nowhere -o x.cap").with(3);
    assert!(!fleet.place.path("x.cap").exists());
    let listed = golden(&fleet.hob("token list").with(0).out);
    assert_eq!(listed, "ID MACHINE STATE MADE EXPIRES USED-BY\nID pi valid AGO ago WHEN -");
    let id = fleet.json("token list")["tokens"][0]["id"].as_str().unwrap().to_owned();
    let revoked = fleet.hob(&format!("token revoke {id}")).with(0);
    assert_eq!(revoked.out, format!("revoked enrolment {id} of pi\n"));
    fleet.hob(&format!("token revoke {id}")).with(3);
    let words = "join --state pi --enrol pi.cap --listen tcp-tls:127.0.0.1:0";
    fleet.place.hob(words).with(3);

    let events = fleet.json("events");
    let kinds: Vec<&str> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["created", "enrolment", "token-revoked"]);
    assert_eq!(events["last"], 3);
    let text = fleet.hob("events --after 2").with(0).out;
    assert!(text.contains(&format!(" token-revoked  pi: enrolment {id} revoked")), "{text}");
    assert_eq!(fleet.hob("events --machine other").with(0).out, "");
}

#[test]
fn a_list_that_is_watched_says_what_changes_and_events_are_followed() {
    use std::io::{BufRead as _, BufReader};
    let fleet = Fleet::new();
    let follow = |words: &str| {
        let mut command = support::hob();
        command.current_dir(fleet.place.path("")).args(words.split(' '));
        command.stdout(std::process::Stdio::piped());
        let mut child = support::Killed(command.spawn().unwrap());
        let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        (
            child,
            lines.map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap()),
        )
    };
    let (_watching, mut lists) = follow("fleet list --watch --state boss");
    let (_following, mut events) = follow("fleet events -f --json --state boss");
    assert_eq!(lists.next().unwrap()["machines"].as_array().unwrap().len(), 0);
    fleet.hob("create pi").with_next(0);
    let list = lists.next().unwrap();
    assert_eq!((&list["version"], &list["machines"][0]["name"]), (&1.into(), &"pi".into()));
    let event = events.next().unwrap();
    assert_eq!((&event["version"], &event["event"]), (&1.into(), &"created".into()));
}

#[test]
fn a_boss_is_made_again_of_its_backup() {
    let fleet = Fleet::new();
    let pi = fleet.join("pi");
    // As a boss has it that listens by websocket too.
    fleet.place.write("boss/websocket-key", 0o600, "a key");
    fleet.hob("backup copy").with(0);
    fleet.hob("backup copy").with(1);
    fleet.hob("restore copy").with(1);
    let Fleet { place, boss } = fleet;
    let designator = boss.designator();
    let port = boss.hint("port");
    boss.end("-KILL");
    place.hob("fleet restore copy --state boss").with(2);
    place.hob("fleet restore nothing --state other").with(2);
    let restored = place.hob("fleet restore copy --state other").with(0);
    assert!(restored.out.contains("start it with: hob boss --state "), "{}", restored.out);
    assert_eq!(place.read("other/websocket-key"), "a key");
    // Where the machines look for it.
    let boss = place.serve(&format!("boss --state other --listen tcp-tls:127.0.0.1:{port}"));
    assert_eq!(boss.designator(), designator);
    let listed = golden(&place.hob("fleet list --state other").with(0).out);
    assert!(listed.contains("\npi manual active PEER… "), "{listed}");
    drop(pi);
}

#[test]
fn where_nobody_is_the_next_command_is_said() {
    let place = Place::new();
    let done = place.hob("fleet list --state nowhere").with(5);
    assert_eq!(
        done.err,
        "error: no boss runs in nowhere\n  next: start one with: hob boss --state nowhere; or name \
         its capability with --file\n"
    );
    let done = place.hob("list-bindings --state nowhere").with(5);
    assert!(done.err.contains("no machine of a fleet runs in nowhere"), "{}", done.err);
    let json = place.hob("fleet list --state nowhere --json").with(5);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((&json["version"], &json["error"]["exit"]), (&1.into(), &5.into()));
    place.hob("fleet list --file missing.cap").with(2);
}

/// A machine that a provider makes, and that goes also when the test fails.
struct Made<'f>(&'f Fleet, &'static str);

impl Drop for Made<'_> {
    fn drop(&mut self) {
        // It is gone already if all went well.
        let _gone = self.0.hob(&format!("destroy {} --yes --wait", self.1));
    }
}

#[test]
fn a_provider_makes_a_machine_while_somebody_waits() {
    let fleet = Fleet::new();
    let _made = Made(&fleet, "m1");
    let created = fleet.hob("create m1 --provider local");
    let steps: Vec<&str> = created.err.lines().collect();
    // Which of the steps are seen depends on how fast they are.
    assert!(steps.iter().all(|line| line.contains(" m1: ")), "{created:?}");
    let words: Vec<&str> = created.out.split_whitespace().collect();
    let [tick, active, peer, designator, time] = *words else { panic!("{created:?}") };
    assert_eq!([tick, active, peer], ["✓", "active", "peer"]);
    assert!(designator.ends_with('…') && time.ends_with('s'), "{created:?}");
    assert_eq!(created.code, Some(0));
    // Asked again, it is there.
    fleet.hob("create m1 --provider local").with(0);
    let other = fleet.hob("create m1").with(1);
    assert!(other.err.contains("m1 is there already, by local"), "{}", other.err);
    fleet.hob("create m2 --provider nobody").with(3);
    let shown = fleet.json("show m1");
    assert_eq!(
        (&shown["machine"]["provider"], &shown["machine"]["state"]),
        (&"local".into(), &"active".into())
    );
    let events = fleet.json("events --machine m1");
    let kinds: Vec<&str> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert!(kinds.contains(&"created") && kinds.contains(&"registered"), "{kinds:?}");
    fleet.hob("quarantine m1 --why odd").with(0);
    assert!(fleet.hob("show m1").with(0).out.starts_with("m1 is quarantined\n  why        odd\n"));
    fleet.hob("release m1").with(0);
    fleet.hob("release m1").with(1);
    fleet.hob("destroy m1 --yes --wait").with(0);
    fleet.hob("show m1").with(3);
}

#[test]
fn a_boss_has_the_providers_of_its_config_file() {
    let place = Place::new();
    place.write(
        "c.toml",
        0o600,
        "[boss]\ndefault_provider = \"near\"\n[providers.near]\nkind = \"local\"\n",
    );
    let boss = place.serve("boss --state boss --listen tcp-tls:127.0.0.1:0 --config c.toml");
    let fleet = Fleet { place, boss };
    let _made = Made(&fleet, "m1");
    fleet.hob("create m1").with(0);
    assert_eq!(fleet.json("show m1")["machine"]["provider"], "near");
    fleet.hob("destroy m1 --yes --wait").with(0);
    let place = &fleet.place;
    place.write("bad.toml", 0o600, "\n[providers.near]\nkind = \"local\"\nlistn = 3\n");
    let bad = place.hob("boss --state other --listen unix:./x --config bad.toml").with(2);
    assert!(bad.err.contains("error: bad.toml:2:1: providers.near.listn"), "{}", bad.err);
}

#[test]
fn that_somebody_else_answers_has_an_exit_code_of_its_own() {
    let place = Place::new();
    place.write("stranger.sh", 0o755, "#!/bin/sh\necho 'another key' >&2\nexit 76\n");
    let program = place.path("stranger.sh").display().to_string();
    place.write("c.toml", 0o600, &format!("[providers.command]\ncommand = ['{program}']\n"));
    let _boss = place.serve("boss --state boss --listen tcp-tls:127.0.0.1:0 --config c.toml");
    let created = place.hob("fleet create app --provider command --wait --state boss").with_next(7);
    assert!(created.err.contains("identity mismatch: "), "{}", created.err);
    assert!(created.err.contains("another key"), "{}", created.err);
    let shown = place.hob("fleet show app --json --state boss").with(0).out;
    assert!(shown.contains("\"identity_mismatch\": true"), "{shown}");
}
