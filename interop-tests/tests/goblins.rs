//! Living Goblins 0.18, in both directions.
//!
//! Needs the scripts of `../shared/interop/goblins` beside the repository and, in
//! GOBLINS_PREFIX, a folder made by its `install.sh`; says so where it is skipped.

mod support;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use interop_tests::checks;
use ocapn::PeerLocator;
use ocapn::netlayers::ListenSpec;
use support::calls::{call_everything, give, plain_values};
use support::{Program, Served, our_node, subject, tcp_testing_only, tcp_tls, websocket};

/// The scripts, or a note that they can't be run.
fn scripts(test: &str) -> Option<PathBuf> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/interop/goblins");
    let missing = if !scripts.is_dir() {
        "no ../shared/interop/goblins beside the repository"
    } else if std::env::var_os("GOBLINS_PREFIX").is_none() {
        "GOBLINS_PREFIX does not name a folder made by ../shared/interop/goblins/install.sh"
    } else {
        return Some(scripts);
    };
    // Not by eprintln, which the test harness would keep to itself.
    let _said = writeln!(std::io::stderr(), "skipped: {test}: {missing}");
    None
}

/// A Goblins program. It ignores SIGPIPE: by default, writing to a peer that has
/// gone ends its process.
fn guile(scripts: &Path, script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' PIPE; exec sh \"$@\"", "sh"]);
    command.arg(scripts.join("guile.sh")).arg(scripts.join(script));
    // Without this a Goblins peer gets eleven messages a second through.
    command.arg("--nodelay");
    command
}

/// What may fail over websocket: there we can't know that it is Goblins who dialled us,
/// so to reach a sturdyref of its own we dial it, and Goblins takes that for crossed
/// hellos with the session that it began, however old that is.
const CROSSED: [&str; 1] = ["enlivener, a sturdyref to us"];

/// Runs a script of so many checks to its end. All hold but those that are excused.
async fn goblins_checks(
    scripts: &Path,
    script: &str,
    peers: &[&PeerLocator],
    count: usize,
    excused: &[&str],
) {
    let mut checks = guile(scripts, script);
    checks.args(peers.iter().map(ToString::to_string));
    let checks = tokio::task::spawn_blocking(move || checks.output().unwrap());
    let checks = checks.await.unwrap();
    let said = String::from_utf8_lossy(&checks.stdout);
    let complaints = String::from_utf8_lossy(&checks.stderr);
    let held = |line: &&str| match line.split_once(' ') {
        Some(("ok", _)) => true,
        Some(("failed", what)) => excused.iter().any(|name| what.trim_start().starts_with(name)),
        _ => false,
    };
    assert_eq!(said.lines().filter(held).count(), count, "{said}{complaints}");
}

/// All thirty of Goblins' checks of our objects.
async fn goblins_checks_us(test: &str, listen: ListenSpec, excused: &[&str]) {
    let Some(scripts) = scripts(test) else { return };
    let served = Served::on(&listen).await;
    goblins_checks(&scripts, "client.scm", &[&served.location()], 30, excused).await;
    served.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goblins_checks_our_objects_over_tcp_tls() {
    goblins_checks_us("goblins_checks_our_objects_over_tcp_tls", tcp_tls(), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goblins_checks_our_objects_over_tcp_testing_only() {
    let test = "goblins_checks_our_objects_over_tcp_testing_only";
    goblins_checks_us(test, tcp_testing_only(), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goblins_checks_our_objects_over_websocket() {
    let test = "goblins_checks_our_objects_over_websocket";
    goblins_checks_us(test, websocket(), &CROSSED).await;
}

/// Every handoff with at least one Goblins and at least one of us, in each of the roles.
/// Goblins keeps handoff counts in a way that bears one receiver a gifter, so each has
/// processes of its own.
async fn handoffs(test: &str, transport: &str, listen: fn() -> ListenSpec) {
    let Some(scripts) = scripts(test) else { return };
    let scripts = &*scripts;
    let gives = async |exporter: &PeerLocator, receiver: &PeerLocator| {
        goblins_checks(scripts, "handoff.scm", &[exporter, receiver], 7, &[]).await;
    };
    let served = || async move { Served::on(&listen()).await };
    let goblins = || Goblins::start(scripts, transport);
    // Goblins gives.
    let (one, other) = (served().await, served().await);
    gives(&one.location(), &other.location()).await;
    let (theirs, ours) = (goblins(), served().await);
    gives(&theirs.peer, &ours.location()).await;
    let (ours, theirs) = (served().await, goblins());
    gives(&ours.location(), &theirs.peer).await;
    // We give.
    let (theirs, ours) = (goblins(), served().await);
    give(&our_node(&listen()).await, &theirs.peer, &ours.location()).await;
    let (ours, theirs) = (served().await, goblins());
    give(&our_node(&listen()).await, &ours.location(), &theirs.peer).await;
    let (one, other) = (goblins(), goblins());
    give(&our_node(&listen()).await, &one.peer, &other.peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handoffs_in_every_role_over_tcp_tls() {
    handoffs("handoffs_in_every_role_over_tcp_tls", "tcp-tls", tcp_tls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handoffs_in_every_role_over_tcp_testing_only() {
    let test = "handoffs_in_every_role_over_tcp_testing_only";
    handoffs(test, "tcp-testing-only", tcp_testing_only).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handoffs_in_every_role_over_websocket() {
    handoffs("handoffs_in_every_role_over_websocket", "websocket", websocket).await;
}

/// A Goblins process that serves the well-known objects on one transport.
struct Goblins {
    _program: Program,
    peer: PeerLocator,
}

impl Goblins {
    fn start(scripts: &Path, transport: &str) -> Self {
        let mut server = guile(scripts, "server.scm");
        server.args([&format!("--netlayers={transport}"), "--gc-every=200", "--until-eof"]);
        let mut program = Program::start(&mut server);
        let mut peer = None;
        loop {
            let line = program.line();
            let words: Vec<_> = line.split(' ').collect();
            match words.as_slice() {
                ["peer", _, uri] => peer = Some(uri.parse().unwrap()),
                ["sturdyref", ..] => {}
                ["ready"] => break,
                other => panic!("{other:?}"),
            }
        }
        Self { _program: program, peer: peer.unwrap() }
    }
}

/// Our node calls every object of a Goblins process.
async fn we_call_goblins(test: &str, transport: &str, listen: ListenSpec) {
    let Some(scripts) = scripts(test) else { return };
    let goblins = Goblins::start(&scripts, transport);
    let node = our_node(&listen).await;
    let mut values = plain_values();
    values.push("\u{1f600}".into());
    values.push(bytes::Bytes::from(vec![90; 200_000]).into());
    call_everything(&node, &goblins.peer, values).await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn we_call_goblins_over_tcp_tls() {
    we_call_goblins("we_call_goblins_over_tcp_tls", "tcp-tls", tcp_tls()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn we_call_goblins_over_tcp_testing_only() {
    let test = "we_call_goblins_over_tcp_testing_only";
    we_call_goblins(test, "tcp-testing-only", tcp_testing_only()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn we_call_goblins_over_websocket() {
    we_call_goblins("we_call_goblins_over_websocket", "websocket", websocket()).await;
}

/// What Goblins 0.18 does in its own way: it never closes a connection by itself,
/// and does not know desc:tagged.
const NOT_GOBLINS: [&str; 4] = ["abort-before-session", "abort", "hang-up", "echo-tagged"];

/// And over websocket: it takes each frame for a message.
const NOT_IN_FRAMES: &str = "start-session-in-pieces";

async fn our_checks_of_goblins(test: &str, transport: &str) {
    let Some(scripts) = scripts(test) else { return };
    let goblins = Goblins::start(&scripts, transport);
    let subject = subject(goblins.peer.clone());
    let mut failed = Vec::new();
    for check in checks::all() {
        let framed = transport == "websocket" && check.name == NOT_IN_FRAMES;
        if framed || NOT_GOBLINS.contains(&check.name) {
            continue;
        }
        if let Some(halt) = check.run(&subject).await.failure {
            failed.push(format!("{}: {halt}", check.name));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_checks_of_goblins_over_tcp_tls() {
    our_checks_of_goblins("our_checks_of_goblins_over_tcp_tls", "tcp-tls").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_checks_of_goblins_over_tcp_testing_only() {
    let test = "our_checks_of_goblins_over_tcp_testing_only";
    our_checks_of_goblins(test, "tcp-testing-only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_checks_of_goblins_over_websocket() {
    our_checks_of_goblins("our_checks_of_goblins_over_websocket", "websocket").await;
}
