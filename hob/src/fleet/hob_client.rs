//! The hob-client presence: owns the bindings of the machine it lives on.

use std::collections::BTreeMap;
use std::sync::Arc;

use ocapn::{Args, Behaviour, Fault, Reply, Turn, Value};

use super::LOG;
use crate::kinds::{Call, Name, unknown};

const METHODS: &str = "register-binding name value, list-bindings, get-binding name";

/// A machine's bindings: what its programs find under which names. A binding may be a
/// promise, which stands for what it will come to.
#[derive(Clone, Default)]
pub(crate) struct HobClient(Arc<BTreeMap<String, Value>>);

impl Behaviour for HobClient {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let (method, mut call) = Call::method("hob-client", args)?;
        match method.as_str() {
            "register-binding" => {
                let Name(name) = call.required("name")?;
                let value: Value = call.required("value")?;
                call.end()?;
                tracing::info!(target: LOG, "bound {name} to {}", what(&value));
                follow(turn, &name, &value);
                let mut next = self.clone();
                Arc::make_mut(&mut next.0).insert(name, value);
                Ok(Reply::becomes(next))
            }
            "list-bindings" => {
                call.end()?;
                let names = self.0.keys().map(|name| name.as_str().into());
                Ok(Value::List(names.collect()).into())
            }
            "get-binding" => {
                let Name(name) = call.required("name")?;
                let value = self.0.get(&name).cloned();
                let value = value
                    .ok_or_else(|| call.fault(format_args!("nothing is bound as {name:?}")))?;
                call.end()?;
                Ok(value.into())
            }
            _ => Err(unknown("hob-client", &method, METHODS)),
        }
    }
}

/// Asks what a promise comes to, now and not when it is first used: what its own peer
/// then hands over is reached without whoever passed the promise on.
fn follow(turn: &mut Turn<'_>, name: &str, value: &Value) {
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

/// What a value is, for the log.
fn what(value: &Value) -> &'static str {
    match value {
        Value::Ref(reference) if reference.is_promise() => "a promise",
        Value::Ref(reference) if reference.is_remote() => "an object elsewhere",
        Value::Ref(_) => "an object here",
        other => other.kind(),
    }
}
