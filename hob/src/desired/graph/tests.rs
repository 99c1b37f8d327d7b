//! Tests of graphs: what is read, and what is said of what can't be.

use std::io;

use super::*;
use crate::desired::plan::{Actual, Options, plan};

const SHOP: &str = r#"
[machines.db-machine]
provider = "ssh"
spec = { host = "root@10.0.0.5", sizes = [1, 2.5, true] }
[machines.db-machine.offers]
db.postgres = { database = "shop" }
cache = { tcp = "127.0.0.1:6379" }
[machines.db-machine.state]
packages = ["postgresql"]
services = { postgresql = "running" }
[machines.db-machine.state.files."/etc/motd"]
content = "hello\n"
[machines.db-machine.state.files."/etc/hob-logo"]
source = "files/logo"
mode = "0600"

[machines.app]
[machines.app.offers]
half-db.binding = "db"

[machines.edge]
existing = true
[machines.edge.offers]
door.existing = true

[bindings]
app.db = "db-machine.db | read-only"
edge.db = "app.half-db|rate(10/s)"
app.door = "edge.door"

[forwards]
app.db = "unix:/run/hob/db"
"#;

/// The files that the graphs here mention.
struct Logo;

impl Sources for Logo {
    fn read(&self, path: &str, _limit: usize) -> io::Result<Vec<u8>> {
        match path {
            "files/logo" | "files/hob.conf" => Ok(vec![0xff, 0]),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn parse(text: &str) -> Result<Graph, GraphError> {
    Graph::parse(text, &Logo, &Limits::default())
}

fn refused(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

fn place(text: &str) -> Place {
    text.parse().unwrap()
}

#[test]
fn a_graph_is_read() {
    let graph = parse(SHOP).unwrap();
    let names: Vec<&str> = graph.machines().keys().map(Name::as_str).collect();
    assert_eq!(names, ["app", "db-machine", "edge"]);
    let db = &graph.bindings()[&place("app.db")];
    assert_eq!(db.text(), "db-machine.db | read-only");
    assert_eq!(db.forward.as_ref().unwrap().to_string(), "unix:/run/hob/db");
    assert_eq!(graph.bindings()[&place("edge.db")].from, place("app.half-db"));
    let machine = &graph.machines()["db-machine"];
    assert_eq!(machine.provider.as_deref(), Some("ssh"));
    assert_eq!(machine.spec["host"], "root@10.0.0.5");
    assert_eq!(machine.state.files["/etc/hob-logo"].content.bytes(), [0xff, 0]);
    assert_eq!(machine.state.files["/etc/hob-logo"].mode, 0o600);
    assert_eq!(graph.offer(&place("db-machine.cache")), Some(&Offer::Tcp("127.0.0.1:6379".into())));
    let app = graph.state_of(&"app".parse().unwrap()).unwrap();
    assert_eq!(app.forwards.len(), 1);
}

#[test]
fn a_binding_may_require_a_service() {
    let graph = |binding: &str| {
        parse(&format!(
            "[machines.db]\noffers.db.kind = \"kv\"\n[machines.app]\n\
             [bindings]\napp.db = \"{binding}\"\n"
        ))
    };
    let with = graph("db.db  requires  postgresql| read-only").unwrap();
    let binding = &with.bindings()[&place("app.db")];
    assert_eq!(binding.requires.as_deref(), Some("postgresql"));
    assert_eq!(binding.text(), "db.db requires postgresql | read-only");
    assert_eq!(Graph::from_json(&with.to_json(), &Limits::default()).as_ref(), Ok(&with));
    for wrong in [
        "db.db needs x",
        "db.db requires",
        "db.db requires a/b",
        "db.db requires a b",
        "db.db requiresx",
    ] {
        let error = graph(wrong).unwrap_err().to_string();
        assert!(error.contains("`requires SERVICE` or a bar"), "{wrong}: {error}");
    }
    // Another requirement is another grant.
    let without = graph("db.db | read-only").unwrap();
    let mut actual = Actual::default();
    let first = plan(&without, &actual, &Options::default());
    first.steps.iter().for_each(|step| actual.apply(&step.action));
    assert!(plan(&without, &actual, &Options::default()).is_empty());
    let change = plan(&with, &actual, &Options::default());
    let step = change.steps.first().unwrap();
    assert_eq!(step.why, "required no service");
    assert!(format!("{change:#}").contains("db.db requires postgresql | read-only"), "{change:#}");
    actual.apply(&step.action);
    assert!(plan(&with, &actual, &Options::default()).is_empty());
}

#[test]
fn the_graph_of_the_documentation_is_one() {
    let chapter = include_str!("../../../../docs/graph.md");
    let text = chapter.split("```").nth(1).and_then(|block| block.strip_prefix("toml\n")).unwrap();
    let graph = parse(text).unwrap();
    let bound = graph.bindings().values().map(Binding::text).collect::<Vec<_>>();
    assert_eq!(bound, ["db-machine.cache | rate(100/s)", "db-machine.db | read-only"]);
    // What the chapter says of the limits is so.
    let limits = Limits::default();
    for (what, limit) in [
        ("the graph's text", "4 MiB"),
        ("machines", &limits.machines.to_string()),
        ("bindings", "10 000"),
        ("offers of one machine", &limits.offers.to_string()),
        ("packages, files and services of one machine", &limits.items.to_string()),
        ("the content of one file", "1 MiB"),
        ("all contents of one machine", "4 MiB"),
    ] {
        assert!(chapter.contains(&format!("| {what} | {limit} |")), "{what}");
    }
}

#[test]
fn a_graph_survives_being_passed() {
    let graph = parse(SHOP).unwrap();
    assert_eq!(Graph::from_value(&graph.to_value(), &Limits::default()).as_ref(), Ok(&graph));
    assert_eq!(Graph::from_json(&graph.to_json(), &Limits::default()).as_ref(), Ok(&graph));
    let passed = graph.to_json();
    let back = Graph::from_json(&passed, &Limits::default()).unwrap().to_json();
    assert_eq!(passed.to_string(), back.to_string());
}

#[test]
fn what_is_made_from_something_comes_after_it() {
    let order = parse(SHOP).unwrap().in_order(&|_| None).unwrap();
    let order: Vec<String> = order.iter().map(Part::to_string).collect();
    let expected = [
        "db-machine.cache is offered",
        "db-machine.db is offered",
        "edge.door is offered",
        "app.db is bound",
        "app.door is bound",
        "app.half-db is offered",
        "edge.db is bound",
    ];
    let mut sorted = order.clone();
    sorted.sort();
    let mut all = expected.map(str::to_owned).to_vec();
    all.sort();
    assert_eq!(sorted, all);
    let at = |what: &str| order.iter().position(|part| part == what).unwrap();
    assert!(at("db-machine.db is offered") < at("app.db is bound"));
    assert!(at("app.db is bound") < at("app.half-db is offered"));
    assert!(at("app.half-db is offered") < at("edge.db is bound"));
}

#[test]
fn errors_say_where_and_what() {
    for (text, error) in [
        (
            "machines = 5",
            "line 1, column 12: machines: expected a table of machines, found an integer",
        ),
        (
            "\n[machine.a]",
            "line 2, column 2: machine: there is no such key; did you mean \"machines\"?",
        ),
        (
            "[machines.a]\nstat = {}",
            "line 2, column 1: machines.a.stat: there is no such key; did you mean \"state\"?",
        ),
        (
            "[machines.a]\ncolour = 1",
            "line 2, column 1: machines.a.colour: there is no such key; there are existing, \
             provider, spec, offers, state",
        ),
        (
            "[machines.A]",
            "line 1, column 11: machines.A: \"A\" is no name: those have 1 to 63 of a-z, 0-9 and \
             -, and no - first or last",
        ),
        (
            "[machines.a.state]\npackages = [\"xx\", 5]",
            "line 2, column 19: machines.a.state.packages[1]: expected the name of a package, \
             found an integer",
        ),
        (
            "[machines.a.state.files]\n\"/x\".source = \"nowhere\"",
            "line 2, column 15: machines.a.state.files.\"/x\".source: nowhere: entity not found",
        ),
        (
            "[machines.a.state.files]\n\"/x\".source = \"../secret\"",
            "line 2, column 15: machines.a.state.files.\"/x\".source: \"../secret\" is no path \
             within the graph's own directory",
        ),
        (
            "[machines.a.state]\nforwards.db = \"unix:/x\"",
            "line 1, column 13: machines.a.state.forwards: forwards are written in the graph's own \
             table [forwards]",
        ),
        (
            "[machines.a]\nexisting = true\nprovider = \"ssh\"",
            "line 1, column 1: machines.a: a machine that is existing has no provider and no \
             spec here",
        ),
        (
            "[machines.a.spec]\nsince = 2020-01-01",
            "line 2, column 9: machines.a.spec.since: a time is not allowed here",
        ),
        ("version = 2", "line 1, column 11: version: version 2 is not known here: 1 is"),
    ] {
        assert_eq!(refused(text), error);
    }
    let error = refused("[machines.a]\n[machines.a]");
    assert!(error.starts_with("line 2, column "), "{error}");
    let error = refused("[machines.a]\nx = \"ä\" y");
    // Columns are counted in characters, and not in bytes.
    assert!(error.starts_with("line 2, column 9: "), "{error}");
}

#[test]
fn offers_are_one_thing_each() {
    for (offer, error) in [
        ("", ": expected one of postgres, tcp, unix, kind, binding or existing"),
        ("tpc = \"h:1\"", ".tpc: there is no such key; did you mean \"tcp\"?"),
        ("tcp = \"h:1\", unix = \"/s\"", ": offers 2 things: one at a time"),
        ("tcp = \"h\"", ".tcp: \"h\" is not HOST:PORT"),
        ("tcp = \"h:0\"", ".tcp: \"h:0\" is not HOST:PORT"),
        ("unix = \"s\"", ".unix: the path of a socket is absolute"),
        ("postgres = {}", ".postgres: \"database\" is missing"),
        (
            "postgres = { database = \"d\", server = \"/run/pg:x\" }",
            ".postgres.server: \"/run/pg:x\" is not /DIRECTORY or /DIRECTORY:PORT",
        ),
        (
            "postgres = { database = \"d\", server = \"h\" }",
            ".postgres.server: \"h\" is not HOST:PORT",
        ),
        (
            "postgres = { database = \"d\", password-file = \"p\" }",
            ".postgres.password-file: \"p\" is not absolute: it is on the machine",
        ),
        ("existing = false", ".existing: expected true, or nothing"),
    ] {
        let error_seen = refused(&format!("[machines.a]\noffers.o = {{ {offer} }}"));
        assert!(error_seen.ends_with(&format!("machines.a.offers.o{error}")), "{error_seen}");
    }
}

#[test]
fn what_is_named_is_there() {
    let machines = "[machines.db-machine]\noffers.db.kind = \"kv\"\noffers.web.kind = \"kv\"\n[machines.app]\n";
    for (rest, error) in [
        (
            "[bindings]\napp.db = \"db-machne.db\"",
            "bindings.app.db: there is no machine \"db-machne\" in the graph; did you mean \
             \"db-machine\"?",
        ),
        (
            "[bindings]\nap.db = \"db-machine.db\"",
            "bindings.ap.db: there is no machine \"ap\" in the graph; did you mean \"app\"?",
        ),
        (
            "[bindings]\napp.db = \"db-machine.dc\"",
            "bindings.app.db: db-machine offers no \"dc\"; did you mean \"db\"? (it offers db, web)",
        ),
        (
            "[bindings]\napp.db = \"app.db\"",
            "bindings.app.db: app offers no \"db\" (it offers nothing)",
        ),
        (
            "[bindings]\napp.db = \"db\"",
            "bindings.app.db: \"db\" names no place: that is MACHINE.NAME",
        ),
        (
            "[bindings]\napp.db = \"db-machine.db |\"",
            "bindings.app.db: after the bar a rule is expected",
        ),
        (
            "[bindings]\napp.db = \"db-machine.db | readonly\"",
            "bindings.app.db: \"readonly\" is no rule: it has no such form; there are read-only, \
             methods(get, keys), rate(10/s), count(100) and expires(30d)",
        ),
        (
            "[bindings]\n\"app.db\" = \"db-machine.db\"",
            "bindings.\"app.db\": write app.db without the quotes",
        ),
        (
            "[bindings]\napp = \"db-machine.db\"",
            "bindings.app: expected entries of the form MACHINE.NAME = \"…\", found a string",
        ),
        (
            "[forwards]\napp.db = \"unix:/x\"",
            "forwards.app.db: nothing is bound as app.db in the graph",
        ),
        (
            "offers.x.binding = \"dv\"\n[bindings]\napp.db = \"db-machine.db\"",
            "machines.app.offers.x: nothing is bound as app.dv in the graph; did you mean \"db\"?",
        ),
    ] {
        let seen = refused(&format!("{machines}{rest}"));
        assert!(seen.starts_with("line ") && seen.ends_with(error), "{seen}");
    }
    let twice = format!(
        "{machines}[bindings]\napp.a = \"db-machine.db\"\napp.b = \"db-machine.db\"\n[forwards]\n\
         app.a = \"unix:/x\"\napp.b = \"unix:/x\""
    );
    assert_eq!(refused(&twice), "forwards.app.b: app.a listens at unix:/x already");
}

#[test]
fn circles_are_refused_with_their_path() {
    let error = refused(
        r#"
        [machines.a]
        offers.x.binding = "in"
        [machines.b]
        offers.y.binding = "in"
        [machines.c]
        [bindings]
        a.in = "b.y"
        b.in = "a.x"
        c.in = "a.x"
        "#,
    );
    let path = "bindings.b.in: what is given goes in a circle: b.in is bound from what a.x is \
                offered from what a.in is bound from what b.y is offered from what b.in is bound";
    assert!(error.contains(path), "{error}");
}

#[test]
fn limits_hold() {
    let limits =
        Limits { machines: 2, bindings: 1, offers: 1, text_bytes: 200, ..Limits::default() };
    let parse =
        |text: &str| Graph::parse(text, &Logo, &limits).map(drop).map_err(|error| error.what);
    let two = "[machines.a]\noffers.x.kind = \"kv\"\n[machines.b]\n";
    assert_eq!(parse(&format!("{two}[bindings]\nb.x = \"a.x\"")), Ok(()));
    let error = parse(&format!("{two}[bindings]\nb.x = \"a.x\"\nb.y = \"a.x\""));
    assert_eq!(error.unwrap_err(), "2 bindings: the limit is 1");
    let error = parse(&format!("{two}[machines.c]"));
    assert_eq!(error.unwrap_err(), "3 machines: the limit is 2");
    let error = parse("[machines.a]\noffers.x.kind = \"kv\"\noffers.y.kind = \"kv\"");
    assert_eq!(error.unwrap_err(), "2 offers: the limit is 1");
    let error = parse(&format!("#{}", "x".repeat(200)));
    assert_eq!(error.unwrap_err(), "201 bytes of text: the limit is 200");
    let limits = Limits { file_bytes: 1, ..Limits::default() };
    let error = Graph::parse(SHOP, &Logo, &limits).unwrap_err().what;
    assert_eq!(error, "the content is over the limit of 1 bytes");
}
