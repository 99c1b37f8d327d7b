//! Checks of any peer that serves the well-known objects, one behaviour each.
//!
//! Every check has a connection and an identity of its own, so that none sees what
//! another left behind, save in the mailbox.

mod calls;
mod garbage;
mod promises;
mod session;
mod sturdyrefs;
mod values;

use std::time::{Duration, Instant};

use ocapn::PeerLocator;
use ocapn::netlayers::{
    BoxFuture, Framing, Identity, Netlayer, TcpOptions, TcpTestingOnly, TcpTls, Unix, UnixOptions,
    Websocket, WebsocketIdentity, WebsocketOptions,
};
use tempfile::TempDir;

use crate::objects::WellKnown;
use crate::scripted::{Halt, Scripted, Settled, Target, Term};

/// The peer that is checked, and how patiently.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Where it is.
    pub peer: PeerLocator,
    /// How long it may take over any one thing.
    pub patience: Duration,
    /// Where it can reach us, for what it dials itself; on Unix sockets not needed.
    pub our_host: String,
    /// How messages are told apart on streams, there and here.
    pub framing: Framing,
}

/// One check.
pub struct Check {
    /// Its name, as in `--only NAME`.
    pub name: &'static str,
    /// What it checks.
    pub about: &'static str,
    run: for<'s> fn(&'s Subject) -> BoxFuture<'s, Result<(), Halt>>,
}

/// What came of a check.
#[derive(Debug)]
pub struct Outcome {
    /// The check's name.
    pub name: &'static str,
    /// Why it failed, if it did.
    pub failure: Option<Halt>,
    /// How long it took.
    pub took: Duration,
}

/// Makes a check of a name, what it is about and an async function.
macro_rules! check {
    ($name:literal, $about:literal, $run:path) => {
        $crate::checks::Check { name: $name, about: $about, run: |subject| Box::pin($run(subject)) }
    };
}
use check;

/// All checks, in the order in which they are best run.
#[must_use]
pub fn all() -> Vec<&'static Check> {
    [
        session::CHECKS,
        values::CHECKS,
        calls::CHECKS,
        promises::CHECKS,
        garbage::CHECKS,
        sturdyrefs::CHECKS,
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl Check {
    /// Runs the check.
    pub async fn run(&self, subject: &Subject) -> Outcome {
        let began = Instant::now();
        let failure = (self.run)(subject).await.err();
        Outcome { name: self.name, failure, took: began.elapsed() }
    }
}

/// A netlayer of our own, and the directory that its socket is in, if it has one.
struct Ours {
    netlayer: Box<dyn Netlayer>,
    _directory: Option<TempDir>,
}

impl Subject {
    /// A netlayer of the subject's transport, with an identity never used before.
    async fn ours(&self) -> Result<Ours, Halt> {
        let failed = |why: String| Halt::Unexpected(format!("no netlayer of our own: {why}"));
        let mut options = TcpOptions::default();
        options.settings.framing = self.framing;
        let mut address = format!("{}:0", self.our_host);
        if self.our_host != "127.0.0.1" {
            options.public_host = Some(self.our_host.clone());
            "0.0.0.0:0".clone_into(&mut address);
        }
        let mut directory = None;
        let netlayer: Box<dyn Netlayer> = match self.peer.transport.as_str() {
            "tcp-testing-only" => Box::new(
                TcpTestingOnly::bind(&address, options)
                    .await
                    .map_err(|error| failed(error.to_string()))?,
            ),
            "tcp-tls" => {
                let identity = Identity::generate().map_err(|error| failed(error.to_string()))?;
                let bound = TcpTls::bind(&address, identity, options).await;
                Box::new(bound.map_err(|error| failed(error.to_string()))?)
            }
            "websocket" => {
                let identity =
                    WebsocketIdentity::generate().map_err(|error| failed(error.to_string()))?;
                let mut websocket = WebsocketOptions::default();
                websocket.tcp = options;
                let bound = Websocket::bind(&address, identity, websocket).await;
                Box::new(bound.map_err(|error| failed(error.to_string()))?)
            }
            "unix" => {
                let own = directory.insert(tempfile::tempdir()?);
                let bound = Unix::bind(own.path().join("check"), UnixOptions::default()).await;
                Box::new(bound.map_err(|error| failed(error.to_string()))?)
            }
            other => return Err(failed(format!("transport {other} is not known here"))),
        };
        Ok(Ours { netlayer, _directory: directory })
    }

    /// A connection, on which nothing has been said.
    async fn connect(&self) -> Result<Scripted, Halt> {
        let ours = self.ours().await?;
        Scripted::dial(&*ours.netlayer, &self.peer, self.patience).await
    }

    /// A session.
    async fn greet(&self) -> Result<Scripted, Halt> {
        let mut peer = self.connect().await?;
        peer.greet().await?;
        Ok(peer)
    }

    /// A session, and one of the subject's objects.
    async fn fetch(&self, object: WellKnown) -> Result<(Scripted, Target), Halt> {
        let mut peer = self.greet().await?;
        let object = peer.fetch(object.swiss()).await?;
        Ok((peer, object))
    }
}

/// Fails a check unless that holds.
fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Halt> {
    if holds { Ok(()) } else { Err(Halt::Unexpected(otherwise())) }
}

/// Fails a check unless a promise was fulfilled with that value.
fn fulfilled(settled: &Settled, expected: &Term) -> Result<(), Halt> {
    match settled {
        Ok(value) => ensure(value.encode() == expected.encode(), || {
            format!("expected {expected}, got {value}")
        }),
        Err(reason) => Err(Halt::Unexpected(format!("broke with {reason}"))),
    }
}

/// Fails a check unless a promise broke.
fn broken(settled: &Settled) -> Result<(), Halt> {
    match settled {
        Ok(value) => Err(Halt::Unexpected(format!("expected a break, got {value}"))),
        Err(_) => Ok(()),
    }
}

impl Subject {
    /// A word that no other run uses.
    fn token(&self) -> Result<String, Halt> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|error| Halt::Unexpected(error.to_string()))?;
        Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
    }
}
