//! Living Goblins 0.18, in both directions.
//!
//! Needs the scripts of `../shared/interop/goblins` beside the repository and, in
//! GOBLINS_PREFIX, a folder made by its `install.sh`; says so where it is skipped.

mod support;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use interop_tests::checks;
use ocapn::netlayers::{Identities, ListenAddress};
use ocapn::{EnlivenError, Node, PeerLocator, Sturdyref, SwissNum, Value};
use support::{Program, Served, subject, tcp_testing_only, tcp_tls, websocket};

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
const CROSSED: &str = "enlivener, a sturdyref to us  --";

/// All thirty of Goblins' checks of our objects. The one that is excused may fail.
async fn goblins_checks_us(test: &str, listen: ListenAddress, excused: Option<&str>) {
    let Some(scripts) = scripts(test) else { return };
    let served = Served::on(&listen).await;
    let mut client = guile(&scripts, "client.scm");
    client.arg(served.location().to_string());
    let client = tokio::task::spawn_blocking(move || client.output().unwrap());
    let client = client.await.unwrap();
    let said = String::from_utf8_lossy(&client.stdout);
    let complaints = String::from_utf8_lossy(&client.stderr);
    let (mut expected, mut unexpected) = (0, 0);
    for line in said.lines() {
        match line.split_once(' ') {
            Some(("ok", _)) => expected += 1,
            Some(("failed", what)) if excused.is_some_and(|it| what.contains(it)) => expected += 1,
            Some(("failed", _)) => unexpected += 1,
            _ => {}
        }
    }
    assert_eq!((expected, unexpected), (30, 0), "{said}{complaints}");
    assert!(client.status.success() || excused.is_some());
    served.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goblins_checks_our_objects_over_tcp_tls() {
    goblins_checks_us("goblins_checks_our_objects_over_tcp_tls", tcp_tls(), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goblins_checks_our_objects_over_tcp_testing_only() {
    let test = "goblins_checks_our_objects_over_tcp_testing_only";
    goblins_checks_us(test, tcp_testing_only(), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goblins_checks_our_objects_over_websocket() {
    let test = "goblins_checks_our_objects_over_websocket";
    goblins_checks_us(test, websocket(), Some(CROSSED)).await;
}

/// Goblins as the gifter: gives objects of the exporter's to the receiver's caller,
/// mailbox and greeter.
async fn goblins_gives(scripts: &Path, exporter: &PeerLocator, receiver: &PeerLocator) {
    let mut gifter = guile(scripts, "handoff.scm");
    gifter.args([exporter.to_string(), receiver.to_string()]);
    let gifter = tokio::task::spawn_blocking(move || gifter.output().unwrap());
    let gifter = gifter.await.unwrap();
    let said = String::from_utf8_lossy(&gifter.stdout);
    let complaints = String::from_utf8_lossy(&gifter.stderr);
    assert!(said.ends_with("passed 7, failed 0\n"), "{said}{complaints}");
}

#[tokio::test(flavor = "multi_thread")]
async fn goblins_gives_one_of_us_to_another() {
    let Some(scripts) = scripts("goblins_gives_one_of_us_to_another") else { return };
    let (exporter, receiver) = (Served::on(&tcp_tls()).await, Served::on(&tcp_tls()).await);
    goblins_gives(&scripts, &exporter.location(), &receiver.location()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goblins_gives_one_of_its_own_to_us() {
    let Some(scripts) = scripts("goblins_gives_one_of_its_own_to_us") else { return };
    let exporter = Goblins::start(&scripts, "tcp-tls");
    let receiver = Served::on(&tcp_tls()).await;
    goblins_gives(&scripts, &exporter.peer, &receiver.location()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goblins_gives_one_of_us_to_its_own() {
    let Some(scripts) = scripts("goblins_gives_one_of_us_to_its_own") else { return };
    let exporter = Served::on(&tcp_tls()).await;
    let receiver = Goblins::start(&scripts, "tcp-tls");
    goblins_gives(&scripts, &exporter.location(), &receiver.peer).await;
}

/// A Goblins process that serves the well-known objects on one transport.
struct Goblins {
    _program: Program,
    peer: PeerLocator,
    sturdyrefs: Vec<(String, Sturdyref)>,
}

impl Goblins {
    fn start(scripts: &Path, transport: &str) -> Self {
        let mut server = guile(scripts, "server.scm");
        server.args([&format!("--netlayers={transport}"), "--gc-every=200", "--until-eof"]);
        let mut program = Program::start(&mut server);
        let (mut peer, mut sturdyrefs) = (None, Vec::new());
        loop {
            let line = program.line();
            let words: Vec<_> = line.split(' ').collect();
            match words.as_slice() {
                ["peer", _, uri] => peer = Some(uri.parse().unwrap()),
                ["sturdyref", _, name, uri] => {
                    sturdyrefs.push(((*name).to_owned(), uri.parse().unwrap()));
                }
                ["ready"] => break,
                other => panic!("{other:?}"),
            }
        }
        Self { _program: program, peer: peer.unwrap(), sturdyrefs }
    }

    fn sturdyref(&self, name: &str) -> &Sturdyref {
        let found = self.sturdyrefs.iter().find(|(found, _)| found == name);
        &found.unwrap().1
    }
}

async fn our_node(listen: &ListenAddress) -> Node {
    let netlayer = listen.listen(None, &Identities::New).await.unwrap();
    Node::builder().netlayer_boxed(netlayer).start()
}

/// Our node calls every object of a Goblins process.
async fn we_call_goblins(test: &str, transport: &str, listen: ListenAddress) {
    let Some(scripts) = scripts(test) else { return };
    let goblins = Goblins::start(&scripts, transport);
    let node = our_node(&listen).await;
    let calls = async {
        values(&node, &goblins).await;
        references(&node, &goblins).await;
        promises(&node, &goblins).await;
        sturdyrefs(&node, &goblins).await;
    };
    let called = tokio::time::timeout(Duration::from_secs(120), calls).await;
    assert!(called.is_ok(), "Goblins stopped answering: {:?}", node.sessions());
    node.shutdown().await;
}

async fn values(node: &Node, goblins: &Goblins) {
    let echo = node.resolve(goblins.sturdyref("echo")).await.unwrap();
    let big = num_bigint::BigInt::from(7).pow(200);
    let args = vec![
        1.into(),
        i64::MIN.into(),
        big.into(),
        true.into(),
        (-1.5).into(),
        "h\u{e9}llo \u{4e16}\u{754c} \u{1f600}".into(),
        Value::symbol("with space"),
        bytes::Bytes::from(vec![0, 1, 255]).into(),
        Value::List(vec![Value::List(vec![]), "a".into()]),
        Value::Undefined,
    ];
    assert_eq!(echo.send(args.clone()).await, Ok(Value::List(args)));
    let long = vec![Value::from(bytes::Bytes::from(vec![90; 200_000]))];
    assert_eq!(echo.send(long.clone()).await, Ok(Value::List(long)));
    let pending: Vec<_> = (0..200).map(|n| echo.send(vec![n.into()])).collect();
    for (n, answer) in (0..200).zip(pending) {
        assert_eq!(answer.await, Ok(Value::List(vec![n.into()])));
    }
}

async fn references(node: &Node, goblins: &Goblins) {
    let vat = node.vat("ours");
    let (heard, hear) = ocapn::promise();
    let hear = std::sync::Mutex::new(Some(hear));
    let ours = vat.spawn(move |turn: &mut ocapn::Turn<'_>, args: ocapn::Args| {
        if let Some(hear) = hear.lock().unwrap().take() {
            turn.resolve(hear, Ok(Value::List(args)));
        }
        Ok(ocapn::Reply::value("thanks"))
    });
    let echo = node.enliven(goblins.sturdyref("echo"));
    let back = echo.send(vec![Value::from(&ours)]).await.unwrap();
    assert_eq!(back, Value::List(vec![Value::from(&ours)]));
    node.enliven(goblins.sturdyref("greeter")).send_only(vec![Value::from(&ours)]);
    assert_eq!(heard.await, Ok(Value::List(vec!["Hello".into()])));
    let through = node.enliven(goblins.sturdyref("caller"));
    assert_eq!(through.send(vec![Value::from(&ours), 1.into()]).await, Ok("thanks".into()));
}

async fn promises(node: &Node, goblins: &Goblins) {
    // Nothing is awaited until the end.
    let factory = node.enliven(goblins.sturdyref("car-factory-builder")).send(vec![]);
    let order = |color| vec![Value::List(vec![Value::symbol(color), Value::symbol("wagon")])];
    let sound = factory.send(order("red")).send(vec![]);
    let broken = factory.send(vec![Value::List(vec![1.into()])]).send(vec![]);
    assert_eq!(sound.await, Ok("Vroom! I am a red wagon car!".into()));
    assert!(broken.await.is_err());

    for verb in ["fulfill", "break"] {
        let pair = node.enliven(goblins.sturdyref("promise-resolver")).send(vec![]).await;
        let Ok(Value::List(pair)) = pair else { panic!("{pair:?}") };
        let [Value::Ref(promise), Value::Ref(resolver)] = pair.as_slice() else {
            panic!("{pair:?}")
        };
        let settling = promise.settling();
        resolver.send_only(vec![Value::symbol(verb), 42.into()]);
        assert_eq!(settling.await.is_ok(), verb == "fulfill");
    }

    let mailbox = node.enliven(goblins.sturdyref("mailbox"));
    for number in 0..50 {
        mailbox.send_only(vec![number.into()]);
    }
    let kept = (0..50).map(|number| Value::List(vec![number.into()])).collect();
    assert_eq!(mailbox.send(vec![]).await, Ok(Value::List(kept)));
}

async fn sturdyrefs(node: &Node, goblins: &Goblins) {
    let enlivener = node.enliven(goblins.sturdyref("sturdyref-enlivener"));
    let echo = goblins.sturdyref("echo").clone();
    let theirs = enlivener.send(vec![echo.into()]).send(vec!["self".into()]);
    assert_eq!(theirs.await, Ok(Value::List(vec!["self".into()])));
    let vat = node.vat("us");
    let ours = vat.spawn(|_turn: &mut ocapn::Turn<'_>, args: ocapn::Args| {
        Ok(ocapn::Reply::value(Value::List(args)))
    });
    let ours = node.mint(&ours).unwrap();
    let called = enlivener.send(vec![ours.into()]).send(vec!["us".into()]);
    assert_eq!(called.await, Ok(Value::List(vec!["us".into()])));

    let unknown = Sturdyref::new(goblins.peer.clone(), SwissNum::new("no such object").unwrap());
    let error = node.resolve(&unknown).await.unwrap_err();
    assert!(matches!(error, EnlivenError::NoSuchObject(_)), "{error}");
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

async fn our_checks_of_goblins(test: &str, transport: &str) {
    let Some(scripts) = scripts(test) else { return };
    let goblins = Goblins::start(&scripts, transport);
    let subject = subject(goblins.peer.clone());
    let mut failed = Vec::new();
    for check in checks::all() {
        if NOT_GOBLINS.contains(&check.name) {
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
