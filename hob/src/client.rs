//! An ephemeral node: what a command that only calls others uses. It has an identity of
//! the moment, nobody is told where it listens, and it ends with the command.

use std::time::Duration;

use anyhow::Context as _;
use ocapn::netlayers::{
    ConnectError, Identity, TcpOptions, TcpTestingOnly, TcpTls, Unix, UnixOptions, Websocket,
    WebsocketIdentity, WebsocketOptions,
};
use ocapn::{DialError, EnlivenError, Node, Promise, Ref, Sturdyref, Value};
use tempfile::TempDir;

use crate::capfile;
use crate::exit::{Broke, NoNode, Severed, TimedOut};

use crate::state::{self, StateDir};

/// Any port of this machine alone: a node has to be somewhere.
const NOWHERE: &str = "127.0.0.1:0";

/// An ephemeral node.
pub(crate) struct Client {
    node: Node,
    /// Where its Unix socket is.
    _directory: Option<TempDir>,
}

impl Client {
    /// A node that can dial all of these.
    pub(crate) async fn start(targets: impl Iterator<Item = &Sturdyref>) -> anyhow::Result<Self> {
        let mut transports: Vec<&str> =
            targets.map(|target| target.peer.transport.as_str()).collect();
        transports.sort_unstable();
        transports.dedup();
        let mut builder = Node::builder();
        let mut directory = None;
        for transport in transports {
            builder = match transport {
                "tcp-tls" => {
                    let identity = Identity::generate()?;
                    builder.netlayer(TcpTls::bind(NOWHERE, identity, TcpOptions::default()).await?)
                }
                "websocket" => {
                    let identity = WebsocketIdentity::generate()?;
                    let options = WebsocketOptions::default();
                    builder.netlayer(Websocket::bind(NOWHERE, identity, options).await?)
                }
                "tcp-testing-only" => {
                    builder.netlayer(TcpTestingOnly::bind(NOWHERE, TcpOptions::default()).await?)
                }
                "unix" => {
                    let private = state::temporary("hob-", "sock.lock".len());
                    let private = private.context("a directory for a socket")?;
                    let path = private.path().join("sock");
                    let unix = Unix::bind(path, UnixOptions::default()).await?;
                    directory = Some(private);
                    builder.netlayer(unix)
                }
                // Dialling will say that there is none.
                _ => builder,
            };
        }
        Ok(Self { node: builder.start(), _directory: directory })
    }

    /// The node that runs in a state directory, by its admin object.
    pub(crate) async fn of_node(state: &StateDir) -> anyhow::Result<(Self, Ref)> {
        let no_node = || NoNode(state.path().to_owned());
        let sturdyref = match capfile::read(&state.admin_cap()) {
            Err(error) if error.is_missing() => return Err(no_node().into()),
            outcome => outcome?,
        };
        let client = Self::start([&sturdyref].into_iter()).await?;
        match client.node.resolve(&sturdyref).await {
            // Left behind by a node that was killed.
            Err(EnlivenError::Dial(DialError::Connect(error)))
                if matches!(*error, ConnectError::Unreachable { .. }) =>
            {
                client.end().await;
                Err(no_node().into())
            }
            outcome => {
                let admin = outcome.context("the node's admin object")?;
                Ok((client, admin))
            }
        }
    }

    /// A vat for objects that are called back.
    pub(crate) fn vat(&self) -> ocapn::Vat {
        self.node.vat("client")
    }

    /// The object that a sturdyref names.
    pub(crate) async fn resolve(&self, sturdyref: &Sturdyref) -> anyhow::Result<Ref> {
        let resolved = self.node.resolve(sturdyref).await;
        resolved.with_context(|| sturdyref.redacted().to_string())
    }

    /// What a promise comes to. `at` is the object that was called.
    pub(crate) async fn outcome(&self, at: &Ref, promise: Promise) -> anyhow::Result<Value> {
        match promise.await {
            Ok(value) => Ok(value),
            Err(fault) if at.is_remote() && self.node.session_of(at).is_none() => {
                Err(Severed(fault).into())
            }
            Err(fault) => Err(Broke(fault).into()),
        }
    }

    /// Calls an object and waits for the answer.
    pub(crate) async fn call(&self, object: &Ref, args: Vec<Value>) -> anyhow::Result<Value> {
        self.outcome(object, object.send(args)).await
    }

    /// Waits until the session on which an object lives is over.
    pub(crate) async fn severed(&self, object: &Ref) {
        self.node.on_sever(object).await;
    }

    /// By what names its peers know this node.
    pub(crate) fn designators(&self) -> Vec<String> {
        let locations = self.node.locations().into_iter();
        locations.map(|location| location.designator).collect()
    }

    /// Ends the node in good order.
    pub(crate) async fn end(self) {
        self.node.shutdown().await;
    }
}

/// Gives up after the time allowed.
pub(crate) async fn within<T>(
    time: Duration,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    match tokio::time::timeout(time, work).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(TimedOut(time).into()),
    }
}
