//! Our own checks against our own objects, in process and as programs.

mod support;

use interop_tests::checks::{self, Subject};
use ocapn::netlayers::{Framing, ListenAddress, ListenSpec};
use support::{
    Program, Served, conformance, framed, subject, tcp_testing_only, tcp_tls, websocket,
};

/// Runs every check against a node of this process.
async fn all_pass(listen: ListenSpec) {
    let served = Served::on(&listen).await;
    all_pass_of(&subject(served.location())).await;
    served.node.shutdown().await;
}

async fn all_pass_of(subject: &Subject) {
    let mut failed = Vec::new();
    for check in checks::all() {
        if let Some(halt) = check.run(subject).await.failure {
            failed.push(format!("{}: {halt}", check.name));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_checks_pass_over_tcp_testing_only() {
    all_pass(tcp_testing_only()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_checks_pass_over_tcp_testing_only_with_lengths() {
    let served = Served::on(&framed()).await;
    let framing = Framing::LengthPrefixed;
    let subject = Subject { framing, ..subject(served.location()) };
    all_pass_of(&subject).await;
    served.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_checks_pass_over_tcp_tls() {
    all_pass(tcp_tls()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_checks_pass_over_unix() {
    let directory = tempfile::tempdir().unwrap();
    all_pass(ListenAddress::Unix(directory.path().join("served")).into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_checks_pass_over_websocket() {
    all_pass(websocket()).await;
}

#[test]
fn the_programs_pass_each_other_over_every_netlayer() {
    let directory = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", directory.path().join("served").display());
    let identity = directory.path().join("identity");
    let mut serve = conformance();
    serve.args(["serve", "--until-eof", "--identity"]).arg(&identity);
    for listen in ["tcp-testing-only:127.0.0.1:0", "tcp-tls:127.0.0.1:0", &socket] {
        serve.args(["--listen", listen]);
    }
    let mut serve = Program::start(&mut serve);
    let count = checks::all().len();
    for transport in ["tcp-testing-only", "tcp-tls", "unix"] {
        let uri = serve.line();
        assert!(uri.contains(&format!(".{transport}?")), "{uri}");
        let check = conformance().args(["check", &uri]).output().unwrap();
        let said = String::from_utf8(check.stdout).unwrap();
        assert_eq!(said, format!("{count} passed, 0 failed\n"), "{transport}");
        assert_eq!(check.status.code(), Some(0));
    }
    assert_eq!(serve.end().code(), Some(0));
    assert!(identity.exists());
}

#[test]
fn a_kept_identity_is_the_same_again() {
    let directory = tempfile::tempdir().unwrap();
    let designator = || {
        let mut serve = conformance();
        serve.args(["serve", "--until-eof", "--listen", "tcp-tls:127.0.0.1:0", "--identity"]);
        let mut serve = Program::start(serve.arg(directory.path()));
        let uri = serve.line();
        assert!(serve.end().success());
        uri.split_once('?').unwrap().0.to_owned()
    };
    assert_eq!(designator(), designator());
}

#[test]
fn a_report_in_json() {
    let mut serve = conformance();
    serve.args(["serve", "--until-eof", "--listen", "tcp-testing-only:127.0.0.1:0"]);
    let mut serve = Program::start(&mut serve);
    let uri = serve.line();
    let check = conformance()
        .args(["check", &uri, "--json", "--only", "pipelining", "--only", "greeter"])
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_eq!(report["passed"], 2);
    assert_eq!(report["failed"], 0);
    assert_eq!(report["peer"], uri);
    assert_eq!(report["checks"][0]["name"], "greeter");
    assert_eq!(report["checks"][0]["passed"], true);
}

/// Exit status and what was said, in all, of `conformance` with those arguments.
fn run(args: &[&str]) -> (Option<i32>, String) {
    let output = conformance().args(args).output().unwrap();
    let mut said = String::from_utf8(output.stdout).unwrap();
    said.push_str(&String::from_utf8(output.stderr).unwrap());
    (output.status.code(), said)
}

#[test]
fn exit_statuses() {
    // An address at which nobody listens: bound once, and let go.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let nobody = format!("ocapn://nobody.tcp-testing-only?host=127.0.0.1&port={port}");
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("tcp-testing-only:{}", held.local_addr().unwrap());

    let cases: &[(&[&str], i32, &str)] = &[
        (&["check", &nobody, "--only", "fetch"], 1, "FAILED  fetch: could not connect"),
        (&["check", &nobody, "--only", "no-such-check"], 2, "no check is called \"no-such-check\""),
        (&["check", &nobody, "--only", "fetch", "--skip", "fetch"], 2, "no check is left to run"),
        (&["check", "http://example.org"], 2, "invalid value"),
        (&["check"], 2, "required"),
        (&["check", "--list"], 0, "start-session"),
        (&["check", "ocapn://x.onion", "--only", "fetch"], 1, "transport onion is not known here"),
        (&["serve"], 2, "--listen"),
        (&["serve", "--listen", "carrier-pigeon:coop"], 2, "write tcp-tls:HOST:PORT"),
        (&["serve", "--listen", "unix:"], 2, "needs a path"),
        (&["serve", "--listen", "tcp-testing-only:nowhere"], 2, "nowhere"),
        (&["serve", "--listen", "unix:/no/such/directory/socket"], 2, "/no/such/directory/socket"),
        (&["serve", "--until-eof", "--listen", &taken], 2, "conformance: "),
    ];
    for (args, status, text) in cases {
        let (found, said) = run(args);
        assert_eq!(found, Some(*status), "{args:?}: {said}");
        assert!(said.contains(text), "{args:?}: {said}");
    }
}
