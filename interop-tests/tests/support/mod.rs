//! Peers to test: nodes of this process, and programs.

#![allow(dead_code, reason = "each test binary uses what it needs")]

pub(crate) mod calls;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use interop_tests::checks::Subject;
use interop_tests::objects;
use ocapn::netlayers::{Framing, Identities, ListenSpec, Netlayer};
use ocapn::{Node, NodeBuilder, PeerLocator, Vat};

/// How long anything may take. Nothing is expected to take as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A node of this process that serves the well-known objects.
pub(crate) struct Served {
    pub(crate) node: Node,
    _vat: Vat,
}

impl Served {
    pub(crate) async fn on(listen: &ListenSpec) -> Self {
        Self::with(Node::builder(), listen).await
    }

    pub(crate) async fn with(builder: NodeBuilder, listen: &ListenSpec) -> Self {
        Self::over(builder, listen.listen(None, &Identities::New).await.unwrap())
    }

    pub(crate) fn over(builder: NodeBuilder, netlayer: Box<dyn Netlayer>) -> Self {
        let node = builder.netlayer_boxed(netlayer).start();
        let vat = objects::serve(&node).unwrap();
        Self { node, _vat: vat }
    }

    pub(crate) fn location(&self) -> PeerLocator {
        self.node.locations().remove(0)
    }
}

pub(crate) fn subject(peer: PeerLocator) -> Subject {
    let framing = Framing::RawSyrup;
    Subject { peer, patience: PATIENCE, our_host: "127.0.0.1".to_owned(), framing }
}

pub(crate) fn tcp_testing_only() -> ListenSpec {
    "tcp-testing-only:127.0.0.1:0".parse().unwrap()
}

/// tcp-testing-only where each message has its length before it.
pub(crate) fn framed() -> ListenSpec {
    "tcp-testing-only:127.0.0.1:0?framing=length".parse().unwrap()
}

pub(crate) fn tcp_tls() -> ListenSpec {
    "tcp-tls:127.0.0.1:0".parse().unwrap()
}

pub(crate) fn websocket() -> ListenSpec {
    "websocket:127.0.0.1:0".parse().unwrap()
}

/// A node of ours that listens there and serves nothing.
pub(crate) async fn our_node(listen: &ListenSpec) -> Node {
    let netlayer = listen.listen(None, &Identities::New).await.unwrap();
    Node::builder().netlayer_boxed(netlayer).start()
}

/// A program that says lines on its standard output and ends with its standard
/// input, or at the latest with the test.
pub(crate) struct Program {
    child: Child,
    pub(crate) lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub(crate) fn line(&mut self) -> String {
        self.lines.next().expect("another line").unwrap()
    }

    /// Closes its standard input and waits for it to end.
    pub(crate) fn end(mut self) -> std::process::ExitStatus {
        drop(self.child.stdin.take());
        self.child.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The `conformance` program.
pub(crate) fn conformance() -> Command {
    Command::new(env!("CARGO_BIN_EXE_conformance"))
}
