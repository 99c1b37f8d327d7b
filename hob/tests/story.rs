//! The acceptance story of the fleet: a boss, a database server that is reached by `ssh`, a
//! machine for the application that is virtual, and a PostgreSQL that is given to it.
//!
//! It needs PostgreSQL, OpenSSH's server and client, busybox and root; and for the virtual
//! machine what `tests/qemu.rs` needs. Without that it is a network namespace.

mod support;

#[path = "story/database.rs"]
mod database;
#[path = "story/machine.rs"]
mod machine;
#[path = "providers/sshd.rs"]
mod sshd;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use database::Database;
use machine::{Kind, Machine};
use serde_json::Value;
use sshd::Sshd;
use support::{Done, Place, Server, skipped};

/// The host's address, which its own programs and all its machines can dial.
const HOST: &str = "10.214.77.1";

/// The first of these programs that is not here.
fn missing(programs: &[&'static str]) -> Option<&'static str> {
    let path = std::env::var("PATH").unwrap_or_default();
    let there = |name: &&str| {
        path.split(':').chain(["/usr/sbin"]).any(|place| Path::new(place).join(name).exists())
    };
    programs.iter().find(|name| !there(name)).copied()
}

fn ip(words: &str) -> bool {
    let done = Command::new("ip").args(words.split(' ')).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

/// An address of this host, as long as this lives.
struct Address;

impl Address {
    fn add() -> Option<Self> {
        ip(&format!("addr replace {HOST}/32 dev lo")).then_some(Self)
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        ip(&format!("addr del {HOST}/32 dev lo"));
    }
}

/// All that there is before there is a fleet. What is dropped last is what the rest needs.
struct Story {
    begin: Instant,
    words: String,
    kind: Kind,
    settings: String,
    place: Place,
    database: Database,
    sshd: Sshd,
    _address: Address,
}

impl Story {
    /// `None` if there is nothing to tell: why is said.
    fn prepare() -> Option<Self> {
        let Some(programs) = database::programs() else {
            skipped("there is no PostgreSQL server (postgresql-15)");
            return None;
        };
        let needed = ["ip", "ssh", "sshd", "ssh-keygen", "flock", "psql", "busybox", "strip"];
        if let Some(program) = missing(&needed) {
            skipped(&format!("there is no {program}"));
            return None;
        }
        let Some(address) = Address::add() else {
            skipped("this host can't be given an address: this needs root");
            return None;
        };
        let begin = Instant::now();
        let place = Place::new();
        // What is copied to machines: without what debuggers need it is a tenth as large.
        let hob = place.path("hob");
        let mut strip = Command::new("strip");
        strip.arg("-o").arg(&hob).arg(env!("CARGO_BIN_EXE_hob"));
        assert!(strip.status().unwrap().success());
        let kernel = machine::kernel();
        let virtual_parts = ["qemu-system-x86_64", "cpio", "mke2fs"];
        let (kind, settings) = match (&kernel, missing(&virtual_parts)) {
            (Some(kernel), None) => (Kind::Qemu, machine::qemu_settings(&place, &hob, kernel)),
            (kernel, program) => {
                let what = program.filter(|_| kernel.is_some()).unwrap_or("guest's kernel");
                skipped(&format!("there is no {what}: app-machine is no virtual machine"));
                (Kind::Netns, "subnet = '10.214.77.0/24'\ngateway = true\n".to_owned())
            }
        };
        let sshd = Sshd::start(&place, "sshd");
        place.write("known_hosts", 0o600, &sshd.known_as(&sshd.host_key));
        let database = Database::start(&programs);
        let words = format!("boss --config hob.toml --state boss --listen tcp-tls:{HOST}:");
        let story = Self { begin, words, kind, settings, place, database, sshd, _address: address };
        story.write_files(&hob);
        Some(story)
    }

    fn write_files(&self, hob: &Path) {
        let at = |name: &str| self.place.path(name).display().to_string();
        let config = format!(
            "[providers.ssh]\nhosts = [\"{host}\"]\nknown_hosts = {known:?}\n\
             identity_file = {key:?}\ninstall = {{ copy = {hob:?} }}\ndirectory = {there:?}\n\
             init = \"process\"\nlisten = \"tcp-tls:{HOST}:0\"\n\n[providers.{app}]\n{settings}",
            host = self.sshd.host(),
            known = at("known_hosts"),
            key = at("client_key"),
            there = at("remote"),
            app = self.kind.provider(),
            settings = self.settings,
        );
        self.place.write("hob.toml", 0o600, &config);
        self.place.write("password", 0o600, database::PASSWORD);
        self.place.write("app", 0o755, include_str!("story/app.sh"));
        let app = match self.kind {
            Kind::Qemu => "/usr/local/app".to_owned(),
            Kind::Netns => at("installed-app"),
        };
        let graph = format!(
            "[machines.db-machine]\nprovider = \"ssh\"\n\n\
             [machines.db-machine.offers]\n\
             db.postgres = {{ database = \"shop\", server = \"{socket}\", admin = \"hob\", \
             password-file = {password:?} }}\n\n\
             [machines.app-machine]\nprovider = \"{provider}\"\n\
             offers.spare.binding = \"db\"\n\n\
             [machines.app-machine.state.files.\"{app}\"]\n\
             source = \"app\"\nmode = \"0755\"\n\n\
             [bindings]\napp-machine.db = \"db-machine.db | read-only\"\n\n\
             [forwards]\napp-machine.db = \"tcp:127.0.0.1:5432\"\n",
            socket = self.database.directory().display(),
            password = at("password"),
            provider = self.kind.provider(),
        );
        self.place.write("graph.toml", 0o644, &graph);
    }

    /// Starts the boss, or starts it again at the same address.
    fn boss(&mut self) -> Server {
        let port = if self.words.ends_with(':') { "0" } else { "" };
        let server = self.place.serve(&format!("{}{port}", self.words));
        if port == "0" {
            self.words += &server.hint("port");
        }
        self.tell("the boss runs");
        server
    }

    fn tell(&self, what: &str) {
        println!("# {:.1} s: {what}", self.begin.elapsed().as_secs_f64());
    }

    /// Runs a command about the fleet, and shows it.
    fn fleet(&self, words: &str) -> Done {
        let done = self.place.hob(&format!("fleet {words} --state boss"));
        println!("$ hob fleet {words}\n{}{}", done.err, done.out);
        done
    }

    fn json(&self, words: &str) -> Value {
        let done = self.place.hob(&format!("fleet {words} --json --state boss")).with(0);
        serde_json::from_str(&done.out).unwrap()
    }

    /// All events, each as `kind machine text`.
    fn events(&self) -> Vec<String> {
        let events = self.json("events");
        let text = |event: &Value, key: &str| event[key].as_str().unwrap_or("-").to_owned();
        let events = events["events"].as_array().unwrap().iter();
        let line = |event| [text(event, "event"), text(event, "machine"), text(event, "text")];
        events.map(|event| line(event).join(" ")).collect()
    }

    /// Waits for an event, from one to the next.
    fn until(&self, wanted: &str) {
        loop {
            let last = self.json("events")["last"].clone();
            if self.events().iter().any(|event| event.contains(wanted)) {
                return;
            }
            self.place.hob(&format!("call --file boss/boss.cap wait {last}")).with(0);
        }
    }

    /// The processes of db-machine.
    fn of_db_machine(&self) -> usize {
        let there = self.place.path("remote/machines").display().to_string();
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = all.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).contains(&there)).count()
    }

    /// The roles that hob has made in the database.
    fn roles(&self) -> String {
        let made = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'hob\\_%'";
        self.database.query("postgres", made)
    }
}

impl Drop for Story {
    /// Ends what a test that failed has left: what has this place on its command line.
    fn drop(&mut self) {
        let here = self.place.path("").display().to_string();
        let here = here.trim_end_matches('/').as_bytes().to_vec();
        for process in Path::new("/proc").read_dir().unwrap().flatten() {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            if line.windows(here.len()).any(|words| words == here) {
                let _gone = Command::new("kill").arg("-9").arg(process.file_name()).status();
            }
        }
        let id = self.place.path("boss/providers/netns/network.json");
        let Ok(id) = std::fs::read_to_string(id) else { return };
        let id = id.trim_matches('"');
        for name in Path::new("/run/netns").read_dir().into_iter().flatten().flatten() {
            let name = name.file_name().into_string().unwrap();
            if name.starts_with(id) {
                ip(&format!("netns del {name}"));
            }
        }
    }
}

/// That these have happened, in this order, among others.
#[track_caller]
fn in_order(events: &[String], wanted: &[&str]) {
    let mut rest = events.iter();
    for wanted in wanted {
        let found = rest.any(|event| event.starts_with(wanted));
        assert!(found, "no {wanted:?} after those before it: {events:#?}");
    }
}

/// The fleet comes to be, though its boss is killed in the midst of it.
fn it_comes_to_be(story: &mut Story) -> Server {
    let mut boss = story.boss();
    story.fleet("plan graph.toml").with(0);
    let mut applying = support::hob();
    applying.current_dir(story.place.path("")).args(["fleet", "apply", "graph.toml", "--wait"]);
    applying.args(["--state", "boss"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let applying = applying.spawn().unwrap();
    boss.logs("enrolment db-machine: minted");
    assert_eq!(boss.end("-KILL").code, None);
    story.tell("the boss was killed while db-machine enrolled");
    let interrupted: Done = applying.wait_with_output().unwrap().into();
    assert_ne!(interrupted.code, Some(0), "{interrupted:?}");
    let boss = story.boss();
    story.fleet("apply graph.toml --wait --wait-for 300s").with(0);
    story.tell("all of the graph is there");
    story.fleet("list").with(0);
    let events = story.events();
    for machine in ["db-machine", "app-machine"] {
        for event in ["created", "registered"] {
            let event = format!("{event} {machine} ");
            let times = events.iter().filter(|other| other.starts_with(&event)).count();
            assert_eq!(times, 1, "{event}: {events:#?}");
        }
    }
    assert_eq!((story.of_db_machine(), &*story.roles()), (1, "1"));
    boss
}

/// The application has its database, under the rule that it was given by.
fn it_has_its_database(app: &mut Machine) {
    // What it has said by now may be of before.
    app.says("app: codes: ");
    app.says("app: select: shop has 3 orders");
    app.says("app: insert: cannot execute INSERT in a read-only transaction");
    app.says("app: codes: db 0, spare 1");
}

#[test]
fn from_nothing_to_a_query_and_back() {
    let Some(mut story) = Story::prepare() else { return };
    let boss = it_comes_to_be(&mut story);
    let made = story.place.path("boss/providers").join(story.kind.provider());
    let mut app =
        Machine::of(story.kind, &story.settings, &made, &story.place.path("installed-app"));
    it_has_its_database(&mut app);
    story.tell("app-machine reads orders, and may not write any");

    // The boss is needed for decisions, and not for what was decided.
    assert_eq!(boss.end("-TERM").code, Some(0));
    app.forget();
    it_has_its_database(&mut app);
    story.tell("the boss is off, and app-machine still reads");
    app.reboot();
    story.tell("app-machine is rebooted, and the boss is still off");
    it_has_its_database(&mut app);
    story.tell("app-machine has its binding and its forward, and reads again");

    let _boss = story.boss();
    story.fleet("show app-machine").with(0);
    story.fleet("unbind app-machine:db").with(0);
    story.until("has been taken back");
    app.forget();
    // Nothing that was asked since has had an answer from the database.
    app.says("app: codes: ");
    assert_eq!(app.line("app: select: "), "no answer");
    assert_eq!(app.line("app: insert: "), "no answer");
    assert_eq!(app.line("app: codes: "), "db 3, spare 4");
    assert_eq!(story.roles(), "0");
    story.tell("what was given is taken back, and so are the next queries refused");

    let events = story.events();
    let told = [
        "apply - ",
        "created db-machine ",
        "enrolment db-machine ",
        "registered db-machine ",
        "offered db-machine ",
        "bound app-machine ",
        "unbind app-machine ",
        "revoked db-machine ",
    ];
    in_order(&events, &told);
    in_order(&events, &["created app-machine ", "registered app-machine ", "bound app-machine "]);
    for event in ["created ", "enrolment ", "registered "] {
        let times = events.iter().filter(|other| other.starts_with(event)).count();
        assert_eq!(times, 2, "{event}once for each machine: {events:#?}");
    }
    story.fleet("events").with(0);
    story.fleet("destroy app-machine db-machine --yes --wait").with(0);
    assert_eq!(
        (story.of_db_machine(), story.json("list")["machines"].clone()),
        (0, Value::Array(vec![]))
    );
    story.tell("nothing is left");
}
