//! What callers and agents say to each other, and what callers may say at all.

use ocapn::{Args, Behaviour, Fault, Passable, Reply, Turn, Value};

use super::agent::AgentRef;
use super::site::{End, Record};
use super::upload::UploadRef;
use crate::services::refusal::refused;

/// What is asked for with `begin`.
#[derive(Passable, Clone, Debug)]
#[passable(rename_all = "kebab-case")]
pub(crate) struct Begin {
    /// Who says to begin it: people are told.
    pub(crate) label: String,
    /// Within which time it will be confirmed.
    #[passable(default)]
    pub(crate) within_ms: Option<u64>,
}

/// What `begin` gives.
#[derive(Passable, Clone)]
#[passable(rename_all = "kebab-case")]
pub(crate) struct Begun {
    /// Its id, which nobody else is told.
    pub(crate) id: String,
    pub(crate) upload: UploadRef,
    /// How many bytes a chunk has at most.
    pub(crate) chunk: u64,
    /// Within which time it has to be confirmed once it has been applied.
    pub(crate) within_ms: u64,
}

/// What `apply` gives.
#[derive(Passable, Clone, Debug, PartialEq, Eq)]
#[passable(rename_all = "kebab-case")]
pub(crate) struct Applied {
    /// What was changed.
    pub(crate) changed: Vec<String>,
    /// How long it waits for its confirmation from now on.
    pub(crate) left_ms: u64,
}

/// How far a deployment is.
#[derive(Passable, Clone, Debug, Default, PartialEq, Eq)]
#[passable(rename_all = "kebab-case")]
pub(crate) struct Standing {
    /// `none`, `open`, `applying`, `trial`, `confirming`, `going-back`, `confirmed` or
    /// `rolled-back`.
    pub(crate) stage: String,
    #[passable(default)]
    pub(crate) label: Option<String>,
    /// Since when, in seconds since 1970.
    #[passable(default)]
    pub(crate) since: Option<i64>,
    /// How long it can still be confirmed.
    #[passable(default)]
    pub(crate) left_ms: Option<u64>,
    /// Why it has ended.
    #[passable(default)]
    pub(crate) why: Option<String>,
}

impl From<Record> for Standing {
    fn from(record: Record) -> Self {
        let stage = match record.end {
            Some(End::Confirmed) => "confirmed",
            Some(End::RolledBack) => "rolled-back",
            None => "going-back",
        };
        Self {
            stage: stage.to_owned(),
            label: Some(record.label),
            since: Some(record.begun),
            left_ms: None,
            why: record.why,
        }
    }
}

/// What callers may ask of an agent, and nothing else.
pub(crate) struct Orders(pub(crate) AgentRef);

impl Behaviour for Orders {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        const ORDERS: [&str; 5] = ["begin", "apply", "confirm", "cancel", "status"];
        let mut args = args;
        let order = match args.first() {
            Some(Value::String(order) | Value::Symbol(order)) => order.clone(),
            _ => return Err("an order is missing: deploy with hob deploy".into()),
        };
        if !ORDERS.contains(&order.as_str()) {
            return Err(refused("that is no order of a deploy agent"));
        }
        if let Some(first) = args.first_mut() {
            *first = Value::Symbol(order);
        }
        turn.call(self.0.untyped(), args).map(Reply::value)
    }
}
