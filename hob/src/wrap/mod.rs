//! Wrappers: services that speak no CapTP, as capabilities.
//!
//! A [`SocketService`] is a TCP or Unix socket that can be connected to, a
//! [`PostgresService`] a database that makes a role for each binding, and a [`Forward`] the
//! other end: a port or socket on the machine of the program that uses such a service.
//! [`Wrappers`] has those of a machine by name.
//!
//! ```text
//!  program ── socket ── Forward ══ CapTP ══ SocketService ── socket ── service
//!                          sink <──────────── far
//!                          far ─────────────> sink
//! ```
//!
//! # The protocol
//!
//! A connection is a pair of *sinks*, an object at each side to which the other side sends
//! what goes that way. It begins with one message to a service:
//!
//! | message | answer |
//! |---|---|
//! | `connect sink` | the service's sink, when it is connected; breaks, with why, if it is not |
//!
//! The caller gives its own sink. It may send to the promise of the answer at once. A sink
//! understands
//!
//! | message | answer |
//! |---|---|
//! | `write bytes` | nothing, when the bytes have been accepted: when the socket has taken them |
//! | `end` | nothing, when the end has been passed on; nothing more may be written |
//! | `abort [reason]` | nothing, at once; the connection is over in both directions |
//!
//! - **Order.** Messages to a sink are handled in the order in which they were sent, which
//!   CapTP guarantees, and answered in it.
//! - **Backpressure.** A side has at most 256 KiB and 256 writes unanswered, and while
//!   `connect` is unanswered at most 16 KiB. A receiver takes at least 1 MiB and 1,024
//!   writes; beyond what it takes it aborts. A write may be of any size up to what may be
//!   unanswered; 64 KiB is sensible. One of no bytes is allowed and does nothing.
//! - **Half-close.** `end` is for one direction. The other goes on until its own `end`.
//! - **The end.** A side keeps its reference to the other's sink until both directions have
//!   ended and its own `end` has been answered. To let go of it earlier is to abort: so a
//!   session that is cut, which lets go of everything, closes the sockets at both ends.
//!   An answer that breaks says that the connection is over.
//! - **An abort is no end.** Where the socket can tell the two apart (TCP), the program is
//!   shown a reset. What was written and not answered may be lost.
//!
//! A service may also make something of its own for each binding:
//!
//! | message | answer |
//! |---|---|
//! | `grant id rules` | an object that understands `connect sink`; the same for the same id |
//! | `ungrant id` | nothing, when it is over: connections are cut, and none are made any more |
//!
//! Both may be repeated. `rules` is a list of structs, each with the symbol `rule`; a rule
//! that the service cannot keep breaks the answer.

#![allow(dead_code, unused_imports, reason = "called once the fleet is wired up")]

mod directory;
mod forward;
mod granted;
mod live;
mod postgres;
mod service;
mod socket;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ocapn::persist::{Environment, EnvironmentError, RestoreError};
use ocapn::{Fault, Node, Turn, Value, Vat};
use tokio::runtime::Handle;

pub(crate) use directory::Wrappers;
pub(crate) use forward::Forward;
use forward::Listening;
use granted::Granted;
use live::Live;
use postgres::Database;
pub(crate) use postgres::{Access, PostgresService, PostgresSettings};
pub(crate) use service::SocketService;
pub(crate) use socket::Address;
pub(crate) use stream::StreamLimits;

/// The target of the log lines of wrappers.
pub(crate) const LOG: &str = "wrap";

/// What wrappers do their work with: one for each process. Clones are handles to it.
#[derive(Clone)]
pub(crate) struct Wrap(Arc<Shared>);

struct Shared {
    /// Where the sinks live, which end with the process.
    vat: Vat,
    runtime: Handle,
    limits: StreamLimits,
    services: Mutex<HashMap<String, Arc<Live>>>,
    databases: Mutex<HashMap<String, Arc<Database>>>,
    forwards: Mutex<HashMap<String, Arc<Listening>>>,
}

impl Wrap {
    /// What wrappers on a node need. To be made on a tokio runtime, on which they run.
    pub(crate) fn new(node: &Node, limits: StreamLimits) -> Self {
        let vat = node.vat("streams");
        Self(Arc::new(Shared {
            vat,
            runtime: Handle::current(),
            limits,
            services: Mutex::default(),
            databases: Mutex::default(),
            forwards: Mutex::default(),
        }))
    }

    /// Listens nowhere any more, until it is started again: for when a process ends.
    pub(crate) async fn end(&self) {
        let forwards = std::mem::take(&mut *lock(&self.0.forwards));
        for forward in forwards.into_values() {
            forward.end().await;
        }
    }

    /// What there is of the service of that id; a restored one finds what it had.
    fn live(&self, id: &str, connections: usize) -> Arc<Live> {
        let mut services = lock(&self.0.services);
        let live = services.entry(id.to_owned());
        live.or_insert_with(|| Arc::new(Live::new(connections))).clone()
    }
}

/// The kinds of wrappers that a node can keep across restarts. Their ledgers are of kinds
/// of `ocapn::actors`.
pub(crate) fn environment(wrap: &Wrap) -> Result<Environment, EnvironmentError> {
    let mut kinds = Environment::new();
    let (sockets, databases) = (wrap.clone(), wrap.clone());
    let (forwards, directories) = (wrap.clone(), wrap.clone());
    let socket = move |portrait| SocketService::restore(sockets.clone(), portrait);
    let postgres = move |portrait| PostgresService::restore(databases.clone(), portrait);
    let forward = move |portrait| Forward::restore(forwards.clone(), portrait);
    let wrappers = move |portrait| Wrappers::restore(directories.clone(), portrait);
    kinds
        .kind::<Granted>("granted")?
        .kind_with("socket", 1, SocketService::portray, socket)?
        .kind_with("postgres", 1, PostgresService::portray, postgres)?
        .kind_with("forward", 1, Forward::portray, forward)?
        .kind_with("wrappers", 1, Wrappers::portray, wrappers)?;
    Ok(kinds)
}

/// Does it once the turn has ended well and is durable: not if it fails.
fn after_turn(turn: &mut Turn<'_>, action: impl FnOnce() + Send + 'static) {
    let (ended, resolver) = turn.promise();
    ended.when_settled(move |outcome| {
        if outcome.is_ok() {
            action();
        }
    });
    turn.resolve(resolver, Ok(().into()));
}

/// A name that nothing else has.
fn new_id() -> Result<String, Fault> {
    let mut entropy = [0; 8];
    getrandom::fill(&mut entropy).map_err(|_| "no randomness to be had")?;
    Ok(entropy.iter().fold(String::new(), |mut id, byte| {
        // Writing to a string can't fail.
        let _ok = write!(id, "{byte:02x}");
        id
    }))
}

/// The parts of a portrait that is a list.
fn parts<const N: usize>(kind: &str, portrait: Value) -> Result<[Value; N], RestoreError> {
    let wrong = || RestoreError::new(format!("a {kind} has {N} parts"));
    let Value::List(parts) = portrait else { return Err(wrong()) };
    parts.try_into().map_err(|_| wrong())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
