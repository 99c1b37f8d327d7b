//! Three shepherds: A and B have a web server each, and C has capabilities to both. A is
//! reached by its socket, B by `tcp-tls`.

use crate::pasture::Pasture;

/// What A and B have. Without the file `up` the web server does not get ready.
const SERVERS: &str = r#"
[service.networking]
command = ["/bin/sh", "-c", "read _ <$0", "FIFO"]
autostart = false

[service.web-server]
command = ["/bin/sh", "-c", "echo serving; read _ <$0", "FIFO"]
requires = ["networking"]
ready = { command = ["test", "-e", "PLACE/up"], timeout = "2s" }
respawn = false
autostart = false

[service.web-server.actions.poke]
signal = "CONT"
"#;

const ALL: &str = "status,start,stop,restart,log,poke";

const SEVEN: [&str; 7] = [
    "A: Service networking has been started.",
    "B: Service networking has been started.",
    "A: Service web-server has been started.",
    "C: Service web-server-a has been started.",
    "B: Service web-server has been started.",
    "C: Service web-server-b has been started.",
    "C: Service web-server-fleet has been started.",
];

struct Field {
    a: Pasture,
    b: Pasture,
    c: Pasture,
}

impl Field {
    fn new() -> Self {
        let a = Pasture::new(SERVERS);
        let b = Pasture::with(SERVERS, None, &["--listen", "tcp-tls:127.0.0.1:0"]);
        for server in [&a, &b] {
            server.place.write("up", 0o600, "");
        }
        a.says(&format!("grant web-server --actions {ALL} -o web.cap"));
        a.says("grant web-server --actions status -o look.cap");
        b.says(&format!("grant web-server --actions {ALL} --over tcp-tls -o web.cap"));
        assert!(b.place.read("web.cap").contains(".tcp-tls/s/"));
        let cap = |server: &Pasture, name: &str| server.place.path(name).display().to_string();
        let definitions = format!(
            "[service.web-server-a]\nremote = {{ cap = \"{}\", patience = \"2s\" }}\nmachine = \"A\"\n\
             [service.web-server-b]\nremote = \"{}\"\nmachine = \"B\"\n\
             [service.look]\nremote = \"{}\"\n\
             [service.web-server-fleet]\nautostart = false\n\
             requires = [\"web-server-a\", \"web-server-b\"]\n",
            cap(&a, "web.cap"),
            cap(&b, "web.cap"),
            cap(&a, "look.cap"),
        );
        let c = Pasture::with(&definitions, None, &["--machine", "C"]);
        let this = Self { a, b, c };
        this.until_reachable(true);
        this
    }

    /// Waits until A is as said, as far as C knows.
    fn until_reachable(&self, reachable: bool) {
        self.c.until("C knows how it stands with A and B", |c| {
            let is = |name: &str| c.json(name)["remote"]["reachable"] == reachable;
            is("web-server-a")
                && is("look")
                && c.json("web-server-b")["remote"]["reachable"] == true
        });
    }

    fn states(&self) -> [String; 4] {
        let state = |pasture: &Pasture, name: &str| {
            pasture.json(name)["state"].as_str().unwrap().to_owned()
        };
        [
            state(&self.a, "web-server"),
            state(&self.b, "web-server"),
            state(&self.c, "web-server-a"),
            state(&self.c, "web-server-b"),
        ]
    }
}

#[test]
fn carols_fleet() {
    let mut field = Field::new();
    let said = field.c.says("start web-server-fleet");
    let lines: Vec<&str> = said.lines().collect();
    let at = |line: &str| lines.iter().position(|said| *said == line);
    assert!(lines.len() == 7 && SEVEN.iter().all(|line| at(line).is_some()), "{said}");
    for (first, then) in [(0, 2), (2, 3), (3, 6), (1, 4), (4, 5), (5, 6)] {
        assert!(at(SEVEN[first]) < at(SEVEN[then]), "{said}");
    }
    assert_eq!(field.states(), ["running"; 4]);
    let summary =
        "Started:\n + look\n + root\n + web-server-a\n + web-server-b\n + web-server-fleet\n";
    field.c.until("C knows that it runs", |c| c.says("status") == summary);
    let status = field.c.says("status web-server-b");
    assert!(
        status.contains("  It is running since ") && status.contains("  Machine: B\n"),
        "{status}"
    );
    assert!(status.contains(" serving\n"), "{status}");
    assert_eq!(field.c.json("web-server-b")["pid"], field.b.pid("web-server"));
    assert_eq!(field.c.says("poke web-server-b"), "Sent CONT to web-server.\n");
    assert!(field.c.says("log web-server-b").contains(" serving\n"));
    let (code, error) = field.c.fails("stop look");
    assert!(code == 4 && error.contains("machine look refuses"), "{code} {error}");
    assert_eq!(field.c.fails("dance web-server-a").0, 4);

    let pids = [field.a.pid("web-server"), field.b.pid("web-server")];
    let said = field.c.says("restart web-server-fleet --rolling");
    assert!(said.contains("C: Service web-server-a has been restarted.\n"), "{said}");
    assert!(said.ends_with("Restarted: web-server-a web-server-b\n"), "{said}");
    let now = [field.a.pid("web-server"), field.b.pid("web-server")];
    assert!(pids[0] != now[0] && pids[1] != now[1], "{pids:?} {now:?}");
    // One that does not get ready ends it.
    std::fs::remove_file(field.b.place.path("up")).unwrap();
    let done = field.c.herd("restart web-server-fleet --rolling --json");
    assert_eq!(done.code, Some(8), "{done:#?}");
    let rolled: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(rolled["done"], serde_json::json!(["web-server-a"]));
    assert_eq!(rolled["failed"][0]["service"], "web-server-b");
    assert_eq!(field.states(), ["running", "failed", "running", "failed"]);
    field.b.place.write("up", 0o600, "");
    assert_eq!(field.c.fails("restart web-server-a --rolling --max-unavailable 0").0, 2);

    // A's shepherd dies, and its services do not.
    let pid = field.a.pid("web-server");
    field.a.end("-KILL");
    field.until_reachable(false);
    let summary = field.c.says("status");
    assert!(summary.contains("Unreachable:\n ? look\n ? web-server-a\n"), "{summary}");
    let status = field.c.says("status web-server-a");
    let first = status.lines().nth(1).unwrap();
    assert!(
        first.starts_with("  It is unreachable since ") && first.ends_with("; it was running.")
    );
    let (code, error) = field.c.fails("start web-server-a");
    assert!(code == 5 && error.contains("machine A is unreachable"), "{code} {error}");
    assert_eq!(field.c.fails("stop web-server-a").0, 5);
    let (code, error) = field.c.fails("restart web-server-fleet --rolling");
    assert!(code == 1 && error.contains("web-server-a is not running, and no more"), "{error}");
    field.a.start(&[]);
    field.until_reachable(true);
    assert_eq!(field.a.pid("web-server"), pid);
    assert_eq!(field.states(), ["running", "failed", "running", "failed"]);

    // What is missing is started, and all of it stopped; C's end is nobody else's.
    let said = field.c.says("start web-server-fleet");
    assert!(said.contains(SEVEN[5]) && !said.contains(SEVEN[3]), "{said}");
    field.c.end("-TERM");
    assert_eq!(field.a.json("web-server")["state"], "running");
    field.c.start(&["--machine", "C"]);
    field.until_reachable(true);
    assert_eq!(field.states(), ["running"; 4]);
    field.c.says("stop web-server-fleet");
    assert_eq!(field.states(), ["stopped"; 4]);
    // The record on A says who it was.
    field.a.until("the record is written", |a| {
        a.says("audit -n 1000").contains("used id=1 method=stop service=\n")
    });
    field.a.says("revoke 1");
    let (code, error) = field.c.fails("start web-server-a");
    assert!(code == 4 && error.contains("revoked"), "{code} {error}");
}

#[test]
fn one_that_flaps_is_told_of() {
    let pasture = Pasture::new(
        r#"
        [service.crash]
        command = ["/bin/sh", "-c", "exit 7"]
        respawn = { limit = 20, delay = "1ms" }
        flapping = { changes = 3 }
        "#,
    );
    pasture.until("it flaps", |pasture| pasture.json("crash")["flapping"].is_i64());
    let summary = pasture.says("status");
    assert!(summary.contains("Flapping:\n ~ crash\n"), "{summary}");
    assert!(pasture.says("status crash").contains("  It is flapping since "));
    pasture.until("it is given up", |pasture| pasture.json("crash")["state"] == "failed");
}
