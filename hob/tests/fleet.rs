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
    /// The machines outlive their boss, and their services them: they are ended one by one.
    fn drop(&mut self) {
        let homes = self.place.path("boss/providers/local").read_dir().into_iter().flatten();
        let keys = homes.flatten().map(|home| home.file_name().into_string().unwrap());
        let marks: Vec<String> = keys.map(|key| format!("HOB_MACHINE={key}")).collect();
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            let environment = String::from_utf8_lossy(&environment).into_owned();
            if marks.iter().any(|mark| environment.contains(mark)) {
                let process = process.file_name();
                let _gone = std::process::Command::new("kill").arg("-9").arg(process).status();
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
        // Made and not noted yet, it may come by itself before it is asked for again.
        assert!(count("allocated") <= 2, "{events:#?}");
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

#[test]
fn who_watches_a_name_is_told() {
    use std::io::{BufRead as _, BufReader};
    let (boss, _server) = Boss::start();
    let (_db, app) = two_machines(&boss);
    let mut watching = support::hob();
    watching.args(["get-binding", "db", "--watch", "--state"]).arg(&app);
    let mut watching = watching.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["binding"]["from"], "db:db");
    boss.call("unbind app db").with(0);
    assert_eq!(next()["binding"], Value::Null);
    boss.call("bind app db db").with(0);
    assert_eq!(next()["binding"]["from"], "db:db");
    watching.kill().unwrap();
    watching.wait().unwrap();
}

/// A TCP service on loopback that answers each line in capitals, until it is dropped.
struct Shouter {
    address: std::net::SocketAddr,
}

impl Shouter {
    fn start() -> Self {
        use std::io::{BufRead as _, BufReader, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut lines = BufReader::new(stream.try_clone().unwrap());
                    let mut line = String::new();
                    while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
                        let _gone = (&stream).write_all(line.to_uppercase().as_bytes());
                        line.clear();
                    }
                });
            }
        });
        Self { address }
    }
}

/// Says a line to what listens there and gives the answer: empty if it hangs up.
fn shout(path: &std::path::Path) -> String {
    use std::io::{BufRead as _, BufReader, Write as _};
    let Ok(mut stream) = std::os::unix::net::UnixStream::connect(path) else {
        return String::new();
    };
    let mut answer = String::new();
    if stream.write_all(b"hello\n").is_ok() {
        let _hung_up = BufReader::new(stream).read_line(&mut answer);
    }
    answer
}

#[test]
fn a_graph_is_applied_changed_and_followed() {
    let (boss, server) = Boss::start();
    let shouter = Shouter::start();
    let (socket, motd) = (boss.place.path("echo.sock"), boss.place.path("motd"));
    let graph = |rules: &str, content: &str| {
        let text = format!(
            "[machines.db]\nprovider = \"local\"\n\
             [machines.db.offers.store]\nkind = \"kv\"\n\
             [machines.db.offers.echo]\ntcp = \"{}\"\n\
             [machines.db.state.files.\"{}\"]\ncontent = \"{content}\"\n\
             [machines.app]\nprovider = \"local\"\n\
             [bindings]\napp.echo = \"db.echo{rules}\"\napp.store = \"db.store | read-only\"\n\
             [forwards]\napp.echo = \"unix:{}\"\n",
            shouter.address,
            motd.display(),
            socket.display(),
        );
        std::fs::write(boss.place.path("graph.toml"), text).unwrap();
    };
    let fleet = |words: &str| boss.place.hob(&format!("fleet {words} --state boss"));

    graph("", "one");
    let plan = fleet("plan graph.toml").with(0);
    assert!(plan.out.ends_with("+2 create  +2 offer  +2 bind  ~2 state\n"), "{}", plan.out);
    fleet("apply graph.toml --wait").with(0);
    assert_eq!(std::fs::read_to_string(&motd).unwrap(), "one");
    assert_eq!(shout(&socket), "HELLO\n");
    assert_eq!(fleet("plan graph.toml").with(0).out, "nothing to do\n");

    // Read-only means nothing to a socket: said where it is decided, and nothing is given.
    graph(" | read-only", "one");
    let refused = fleet("apply graph.toml --wait --wait-for 3s").with(6);
    assert!(refused.err.contains("app.echo is not bound yet"), "{}", refused.err);
    assert_eq!(shout(&socket), "");

    // Other rules, another file, and one name less.
    graph(" | count(2)", "two");
    let text = std::fs::read_to_string(boss.place.path("graph.toml")).unwrap();
    let text = text.replace("app.store = \"db.store | read-only\"\n", "");
    std::fs::write(boss.place.path("graph.toml"), text).unwrap();
    fleet("apply graph.toml --wait").with(0);
    assert_eq!(std::fs::read_to_string(&motd).unwrap(), "two");
    assert_eq!([shout(&socket), shout(&socket), shout(&socket)], ["HELLO\n", "HELLO\n", ""]);
    let app = boss.ask("show app");
    assert_eq!(app["bindings"].as_object().unwrap().keys().collect::<Vec<_>>(), ["echo"]);

    // The boss may be away, and knows it all when it is back.
    assert_eq!(server.end("-KILL").code, None);
    let _server = boss.again();
    assert_eq!(fleet("plan graph.toml").with(0).out, "nothing to do\n");

    // What people take back stays away until a graph is applied again.
    fleet("unbind app:echo").with(0);
    boss.call("follow-graph").with(0);
    let plan = fleet("plan graph.toml").with(0).out;
    assert!(plan.ends_with("+1 bind\n"), "{plan}");
    fleet("apply graph.toml --wait").with(0);
    assert_eq!(shout(&socket), "HELLO\n");
    fleet("destroy app db --yes --wait").with(0);
    assert_eq!((boss.states().len(), boss.processes()), (0, 0));
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

/// Asks again and again until the answer is that.
fn until<T: PartialEq + std::fmt::Debug>(wanted: &T, ask: impl Fn() -> T) {
    while ask() != *wanted {
        std::thread::yield_now();
    }
}

/// Whether a process runs. One that nobody has taken note of does not.
fn lives(pid: &Value) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_machines_services_are_reached_by_its_boss_and_bindings_hang_on_them() {
    use std::io::{BufRead as _, BufReader};
    let (boss, server) = Boss::start();
    let (db, app) = two_machines(&boss);
    let fleet = |words: &str| boss.place.hob(&format!("fleet {words} --state boss"));
    let json = |done: Done| -> Value { serde_json::from_str(&done.with(0).out).unwrap() };
    let definition = "[service.postgres]\ncommand = [\"sleep\", \"100000\"]\nautostart = false\n";
    std::fs::write(db.join("services/postgres.toml"), definition).unwrap();
    assert_eq!(fleet("svc db reload").with(0).out, "Added: postgres\n");
    assert_eq!(fleet("svc db status").with(0).out, "Started:\n + root\nStopped:\n - postgres\n");
    fleet("svc db status nothing").with(3);
    fleet("svc nobody status").with(3);

    // What requires the service starts it, and works while it runs.
    fleet("bind app:data --from db:db --requires postgres --wait").with(0);
    let here = format!("svc --state {} status", db.display());
    assert_eq!(fleet("svc db status").with(0).out, boss.place.hob(&here).with(0).out);
    let service = || json(fleet("svc db status postgres --json"))["service"].clone();
    let pid = service()["pid"].clone();
    assert_eq!(service()["state"], "running");
    let keys = format!("get-binding data keys --state {}", app.display());
    boss.place.hob(&keys).with(0);
    let mut watching = support::hob();
    watching.args(["get-binding", "data", "--watch", "--state"]).arg(&app);
    let watching = watching.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut watching = support::Killed(watching);
    let mut lines = BufReader::new(watching.0.stdout.take().unwrap()).lines();
    let mut hears = |wanted: Value| loop {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        if line["binding"]["unavailable"] == wanted {
            break;
        }
    };
    hears(Value::Null);

    // Its machine is killed, and the service is not: it is found again.
    assert_eq!(server.end("-KILL").code, None);
    kill(&db);
    assert!(lives(&pid));
    let _server = boss.again_impatient();
    boss.until_heard_of("db");
    assert_eq!((service()["state"].clone(), service()["pid"].clone()), ("running".into(), pid));

    // Without the service there is nothing, and all who are concerned are told.
    assert_eq!(fleet("svc db stop postgres").with(0).out, "");
    let why = "unavailable: db's postgres is stopped";
    hears(why.into());
    let gone = boss.place.hob(&keys).with(5);
    assert!(gone.err.contains(why), "{}", gone.err);
    let shown = || {
        let data = json(fleet("show app --json"))["machine"]["bindings"]["data"].clone();
        (data["live"].clone(), data["why"].clone())
    };
    until(&(false.into(), why.into()), shown);

    // A grant of one machine's service is used without the boss.
    fleet("svc db grant postgres --actions status,start -o ops.cap").with(0);
    assert_eq!(
        boss.place.hob("svc -c ops.cap start postgres").with(0).out,
        "Service postgres has been started.\n"
    );
    boss.place.run(["svc", "-c", "ops.cap", "stop", "postgres"]).with(4);
    hears(Value::Null);
    boss.place.hob(&keys).with(0);
    until(&(true.into(), Value::Null), shown);
    let pid = service()["pid"].clone();
    fleet("destroy db app --yes --wait").with(0);
    assert!(!lives(&pid));
}

#[test]
fn what_a_graph_says_of_services_is_so_on_the_machine() {
    let (boss, _server) = Boss::start();
    let fleet = |words: &str| boss.place.hob(&format!("fleet {words} --state boss"));
    let json = |done: Done| -> Value { serde_json::from_str(&done.with(0).out).unwrap() };
    let graph = |services: &str, requires: &str| {
        let text = format!(
            "[machines.db]\nprovider = \"local\"\noffers.store.kind = \"kv\"\n{services}\n\
             [machines.app]\nprovider = \"local\"\n\
             [bindings]\napp.store = \"db.store{requires} | read-only\"\n"
        );
        std::fs::write(boss.place.path("graph.toml"), text).unwrap();
    };
    let web = |seconds: &str| format!("state.shepherd.web.command = [\"sleep\", \"{seconds}\"]");
    graph(&web("100000"), " requires web");
    fleet("apply graph.toml --wait").with(0);
    let service = || json(fleet("svc db status web --json"))["service"].clone();
    let first = service();
    assert_eq!((&first["state"], &first["command"][1]), (&"running".into(), &"100000".into()));
    assert_eq!(fleet("plan graph.toml").with(0).out, "nothing to do\n");

    // What is done by hand shows.
    let drift = |order: &str| {
        // Again and again, for the machine may repair it meanwhile.
        fleet(&format!("svc db {order} web")).with(0);
        json(fleet("show db --json"))["machine"]["drift"].clone()
    };
    until(&serde_json::json!(["shepherd web: stopped instead of running"]), || drift("stop"));
    until(&serde_json::json!([]), || drift("start"));

    // Another definition is another process, and none is none.
    graph(&web("100001"), " requires web");
    let plan = fleet("plan graph.toml").with(0).out;
    assert!(plan.ends_with("~1 state\n"), "{plan}");
    fleet("apply graph.toml --wait").with(0);
    let second = service();
    assert_eq!(second["command"][1], "100001");
    assert!(!lives(&first["pid"]) && lives(&second["pid"]));
    graph("", "");
    fleet("apply graph.toml --wait").with(0);
    fleet("svc db status web").with(3);
    assert!(!lives(&second["pid"]));
    let state = boss.state_of(&boss.until("db", "active"));
    assert_eq!(state.join("services").read_dir().unwrap().count(), 0);

    // What the machine can't do is gone back from.
    graph(&web("100000").replace("sleep", "/no/such/program"), "");
    fleet("apply graph.toml").with(0);
    let refused = || {
        let report = boss.ask("show db")["report"]["refused"].clone();
        report.as_str().is_some_and(|why| why.contains("shepherd web"))
    };
    until(&true, refused);
    until(&Some(3), || fleet("svc db status web").code);
    fleet("destroy db app --yes --wait").with(0);
}
