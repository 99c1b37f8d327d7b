//! What stands under the names of a machine, and what is granted of it: what a hob-client
//! presence is made of.

use std::fmt;

use ocapn::{Args, Behaviour, Fault, Passable, Ref, Reply, Turn, Value};

use super::LOG;
use super::grant::GrantRef;
use super::hob_client::HobClientRef;
use super::rules::Rules;
use super::standing::Requirement;
use crate::kinds::Name;

/// What a name stands for.
#[derive(Clone, Debug, Passable)]
pub(super) struct Bound {
    pub(super) value: Value,
    /// The grant that it came by, if it came from another machine.
    pub(super) id: Option<String>,
    /// Where it came from, `machine:name`.
    pub(super) from: Option<String>,
    #[passable(default)]
    pub(super) rules: Rules,
    /// The methods of it that change nothing, if it is not the usual ones.
    pub(super) reads: Option<Vec<String>>,
    /// It makes something of its own for each grant: see [`Offer`].
    #[passable(default)]
    pub(super) grants: bool,
    /// If this machine has made it.
    pub(super) service: Option<Made>,
    /// The service that has to run where it came from.
    pub(super) requirement: Option<Requirement>,
    /// What tells how that is.
    pub(super) vigil: Option<Ref>,
    /// Why it can't be used, as was told last.
    pub(super) unavailable: Option<String>,
}

/// What a machine has made to offer it.
#[derive(Clone, Debug, Passable)]
pub(super) struct Made {
    /// From what.
    pub(super) from: String,
    /// What it is called among the wrappers, if it is one.
    pub(super) wrapper: Option<String>,
}

/// What was granted.
#[derive(Clone, Debug, Passable)]
pub(super) struct Granted {
    pub(super) name: String,
    pub(super) to: String,
    pub(super) rules: Rules,
    pub(super) grant: GrantRef,
    /// Takes it back.
    pub(super) controller: Ref,
    /// What made something of its own for the grant.
    pub(super) service: Option<Ref>,
    /// The service that has to run for it to be used.
    pub(super) requirement: Option<Requirement>,
    /// Takes back the right to know how that is.
    pub(super) vigil: Option<Ref>,
}

/// How something is offered.
#[derive(Clone, Debug, Default, Passable)]
#[passable(default)]
pub(crate) struct Offer {
    /// The methods that change nothing, which is what `read-only` leaves.
    pub(crate) reads: Option<Vec<String>>,
    /// It understands `grant id rules`, which gives what is granted, and `ungrant id`.
    #[passable(default)]
    pub(crate) grants: bool,
}

impl Bound {
    /// Something, as it is.
    pub(super) fn plain(value: Value) -> Self {
        Self {
            value,
            id: None,
            from: None,
            rules: Rules::default(),
            reads: None,
            grants: false,
            service: None,
            requirement: None,
            vigil: None,
            unavailable: None,
        }
    }

    /// What it is, for people.
    pub(super) fn what(&self) -> &'static str {
        if self.id.is_some() { "an object elsewhere" } else { what(&self.value) }
    }
}

/// Something that a machine can offer by itself.
#[derive(Clone, Debug, PartialEq, Passable)]
pub(crate) enum Service {
    /// A TCP service, `HOST:PORT` as seen from the machine.
    Tcp(String),
    /// A Unix socket on the machine.
    Unix(String),
    /// Roles of a PostgreSQL database, one for each grant: settings as JSON.
    Postgres(String),
    /// A new actor of a kind.
    Kind(Name),
    /// What is bound there under another name.
    Binding(Name),
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::Unix(path) => write!(f, "unix {path}"),
            Self::Postgres(settings) => write!(f, "postgres {settings}"),
            Self::Kind(Name(kind)) => write!(f, "kind {kind}"),
            Self::Binding(Name(name)) => write!(f, "binding {name}"),
        }
    }
}

/// Whatever is bound to a name at the time: passes on what it is sent.
#[derive(Clone, ocapn::Durable)]
pub(crate) struct Current {
    pub(super) client: HobClientRef,
    pub(super) name: String,
}

impl Behaviour for Current {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        match self.client.call(turn).get_binding(Name(self.name.clone()))? {
            Value::Ref(bound) => Ok(Value::from(turn.send(&bound, args)).into()),
            other => Err(format!("what is bound as {} is {}", self.name, what(&other)).into()),
        }
    }
}

/// Asks what a promise comes to, now and not when it is first used: what its own peer
/// then hands over is reached without whoever passed the promise on.
pub(super) fn follow(turn: &mut Turn<'_>, name: &str, value: &Value) {
    let Value::Ref(promise) = value else { return };
    if !promise.is_promise() {
        return;
    }
    let name = name.to_owned();
    turn.on(promise.clone(), move |_turn, outcome| match outcome {
        Ok(value) => {
            tracing::info!(target: LOG, "the promise bound as {name} has become {}", what(&value));
        }
        Err(fault) => tracing::warn!(target: LOG, "the promise bound as {name} broke: {fault}"),
    });
}

/// What a value is, for people.
pub(super) fn what(value: &Value) -> &'static str {
    match value {
        Value::Ref(reference) if reference.is_promise() => "a promise",
        Value::Ref(reference) if reference.is_remote() => "an object elsewhere",
        Value::Ref(_) => "an object here",
        other => other.kind(),
    }
}
