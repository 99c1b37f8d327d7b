//! Living Endo 1.1, in both directions.
//!
//! Needs, in ENDO_OCAPN_PREFIX, a folder whose node_modules holds @endo/ocapn, which
//! the package registry does not have: so these are run on demand, and sessions that
//! were recorded once are replayed in every test run (captp/tests/endo.rs).

mod support;

use std::path::Path;
use std::process::{Output, Stdio};

use interop_tests::checks::{self, Subject};
use interop_tests::objects::WellKnown;
use ocapn::netlayers::ListenSpec;
use ocapn::{Node, PeerLocator, Value};
use support::calls::{at, call_everything, give, plain_values};
use support::{PATIENCE, Program, Served, framed, our_node, subject, tcp_testing_only, websocket};
use tokio::process::Command;

/// How Endo is to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// tcp-testing-only with nothing around a message.
    Raw,
    /// tcp-testing-only where each message has its length before it.
    Framed,
    /// websocket.
    Websocket,
}

impl Way {
    fn listen(self) -> ListenSpec {
        match self {
            Self::Raw => tcp_testing_only(),
            Self::Framed => framed(),
            Self::Websocket => websocket(),
        }
    }

    const fn transport(self) -> &'static str {
        match self {
            Self::Raw | Self::Framed => "tcp-testing-only",
            Self::Websocket => "websocket",
        }
    }

    async fn served(self) -> Served {
        Served::on(&self.listen()).await
    }

    async fn node(self) -> Node {
        our_node(&self.listen()).await
    }

    /// One of our programs for Endo.
    fn node_js(self, script: &str) -> std::process::Command {
        assert!(
            std::env::var_os("ENDO_OCAPN_PREFIX").is_some(),
            "ENDO_OCAPN_PREFIX names no folder whose node_modules holds @endo/ocapn"
        );
        let mut command = std::process::Command::new("node");
        command.arg("--expose-gc");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("endo").join(script));
        command.arg(if self == Self::Framed { "--framing=syrup" } else { "--framing=none" });
        command
    }

    /// Runs a program of checks to its end. All hold but those that are excused.
    async fn checks(self, script: &str, peers: &[&PeerLocator], excused: &[&str]) {
        let mut command = self.node_js(script);
        command.args(peers.iter().map(ToString::to_string));
        let run = Command::from(command).kill_on_drop(true).output();
        let Output { stdout, stderr, .. } =
            tokio::time::timeout(4 * PATIENCE, run).await.expect("it ends").unwrap();
        let (said, complaints) =
            (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        let failed: Vec<_> = said
            .lines()
            .filter_map(|line| line.strip_prefix("failed "))
            .filter(|line| !excused.iter().any(|name| line.starts_with(name)))
            .collect();
        let ended = said.lines().last().is_some_and(|line| line.starts_with("passed "));
        assert!(failed.is_empty() && ended, "{said}{complaints}");
    }
}

/// An Endo process that serves the well-known objects.
struct Endo {
    _program: Program,
    peer: PeerLocator,
}

impl Endo {
    fn start(way: Way) -> Self {
        let mut program =
            Program::start(way.node_js("server.mjs").arg(way.transport()).stderr(Stdio::null()));
        let peer = program.line().parse().unwrap();
        Self { _program: program, peer }
    }
}

/// Over websocket we can't know that it is Endo who dialled us, so to reach an object of
/// its own we dial it, and Endo takes no second session from a peer that it has one with.
const DIALLED_BACK: [&str; 2] = ["enlivener, a sturdyref to us", "a gift the other way round"];

impl Way {
    const fn excused(self) -> &'static [&'static str] {
        match self {
            Self::Raw | Self::Framed => &[],
            Self::Websocket => &DIALLED_BACK,
        }
    }
}

async fn endo_checks_us(way: Way) {
    let served = way.served().await;
    way.checks("client.mjs", &[&served.location()], way.excused()).await;
    served.node.shutdown().await;
}

async fn we_call_endo(way: Way) {
    let endo = Endo::start(way);
    let node = way.node().await;
    call_everything(&node, &endo.peer, plain_values()).await;
    node.shutdown().await;
}

impl Way {
    /// What Endo does in its own way. It never answers with a string beyond the first
    /// plane. What a frame holds it takes for a whole message; and where nothing tells
    /// where a message ends, what it reads at once for whole messages, and what comes with
    /// a greeting for another greeting.
    const fn not_endo(self) -> &'static [&'static str] {
        match self {
            Self::Framed => &["echo-strings-wide"],
            Self::Websocket => &["echo-strings-wide", "start-session-in-pieces"],
            Self::Raw => &[
                "echo-strings-wide",
                "start-session-in-pieces",
                "start-session-and-more",
                "echo-bytes-long",
            ],
        }
    }
}

async fn our_checks_of_endo(way: Way) {
    let endo = Endo::start(way);
    let subject = Subject { framing: way.listen().settings.framing, ..subject(endo.peer.clone()) };
    let mut failed = Vec::new();
    for check in checks::all() {
        if way.not_endo().contains(&check.name) {
            continue;
        }
        if let Some(halt) = check.run(&subject).await.failure {
            failed.push(format!("{}: {halt}", check.name));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Every handoff with at least one Endo and at least one of us, in each of the roles.
async fn handoffs(way: Way) {
    let excused = way.excused();
    // Endo gives.
    let (one, other) = (way.served().await, way.served().await);
    way.checks("handoff.mjs", &[&one.location(), &other.location()], excused).await;
    let (endo, ours) = (Endo::start(way), way.served().await);
    way.checks("handoff.mjs", &[&endo.peer, &ours.location()], excused).await;
    let (ours, endo) = (way.served().await, Endo::start(way));
    way.checks("handoff.mjs", &[&ours.location(), &endo.peer], excused).await;
    // We give.
    let (endo, ours) = (Endo::start(way), way.served().await);
    give(&way.node().await, &endo.peer, &ours.location()).await;
    let (ours, endo) = (way.served().await, Endo::start(way));
    give(&way.node().await, &ours.location(), &endo.peer).await;
    let (one, other) = (Endo::start(way), Endo::start(way));
    give(&way.node().await, &one.peer, &other.peer).await;
}

/// Makes the tests of one way of reaching Endo.
macro_rules! living {
    ($way:ident, $name:ident) => {
        mod $name {
            use super::Way::$way;

            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs Endo: ENDO_OCAPN_PREFIX"]
            async fn endo_checks_our_objects() {
                super::endo_checks_us($way).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs Endo: ENDO_OCAPN_PREFIX"]
            async fn we_call_endo() {
                super::we_call_endo($way).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs Endo: ENDO_OCAPN_PREFIX"]
            async fn our_checks_of_endo() {
                super::our_checks_of_endo($way).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs Endo: ENDO_OCAPN_PREFIX"]
            async fn handoffs_in_every_role() {
                super::handoffs($way).await;
            }
        }
    };
}

living!(Raw, over_tcp_testing_only);
living!(Framed, over_tcp_testing_only_with_lengths);
living!(Websocket, over_websocket);

/// Our node and Endo dial each other at once, again and again, and each reaches an object
/// of the other's.
///
/// Not where there is nothing between messages: there Endo ends a session in which one comes
/// in one piece with a greeting. And not over websocket, where we can't know that it is Endo
/// who dialled us.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Endo: ENDO_OCAPN_PREFIX"]
async fn crossed_hellos_over_tcp_testing_only_with_lengths() {
    let way = Way::Framed;
    let endo = Endo::start(way);
    let instigator = way.node().await;
    let enlivener = instigator.resolve(&at(&endo.peer, WellKnown::SturdyrefEnlivener)).await;
    let enlivener = enlivener.unwrap();
    for _ in 0..10 {
        let served = way.served().await;
        let ours = at(&served.location(), WellKnown::Echo);
        let called = enlivener.send(vec![ours.into()]).send(vec!["by Endo".into()]);
        let echo = served.node.enliven(&at(&endo.peer, WellKnown::Echo));
        let calls = async { (echo.send(vec!["by us".into()]).await, called.await) };
        let (by_us, by_endo) = tokio::time::timeout(PATIENCE, calls).await.expect("answers");
        assert_eq!(by_us, Ok(Value::List(vec!["by us".into()])));
        assert_eq!(by_endo, Ok(Value::List(vec!["by Endo".into()])));
        served.node.shutdown().await;
    }
}
