//! Faults that a client tells apart, by a symbol after the message.

use ocapn::actors::Refusal;
use ocapn::{ErrorValue, Fault, Value};

const NOT_FOUND: &str = "not-found";
const REFUSED: &str = "refused";
const RELAYED: &str = "relayed";

fn fault(text: &str, fields: &[&'static str]) -> Fault {
    Value::Error(Box::new(ErrorValue {
        message: text.into(),
        fields: fields.iter().map(|field| Value::symbol(field)).collect(),
        label: None,
    }))
    .into()
}

/// There is no such thing.
pub(crate) fn not_found(text: &str) -> Fault {
    fault(text, &[NOT_FOUND])
}

/// The capability is not for that.
pub(crate) fn refused(text: &str) -> Fault {
    fault(text, &[REFUSED, "method"])
}

/// The same in other words, and still told apart from others.
pub(crate) fn retold(fault: &Fault, text: String) -> Fault {
    match fault.value() {
        Value::Error(error) => Value::Error(Box::new(ErrorValue {
            message: text.into(),
            fields: error.fields.clone(),
            label: None,
        }))
        .into(),
        _ => text.into(),
    }
}

/// A refusal of another machine's, told here: with what it says of whose it is.
pub(crate) fn relayed(fault: &Fault, text: String) -> Fault {
    let mut fault = retold(fault, text).value().clone();
    if let Value::Error(error) = &mut fault {
        error.fields.push(Value::symbol(RELAYED));
    }
    fault.into()
}

/// Whether the message says all about the refusal.
pub(crate) fn is_relayed(fault: &Fault) -> bool {
    let Value::Error(error) = fault.value() else { return false };
    matches!(error.fields.last(), Some(Value::Symbol(last)) if last == RELAYED)
}

/// Whether there is no such thing.
pub(crate) fn is_not_found(fault: &Fault) -> bool {
    let Value::Error(error) = fault.value() else { return false };
    matches!(error.fields.first(), Some(Value::Symbol(first)) if first == NOT_FOUND)
}

/// Why a capability refuses, if it does.
pub(crate) fn reason(fault: &Fault) -> Option<&'static str> {
    Some(match Refusal::of(fault)? {
        Refusal::Expired => "this capability has expired",
        Refusal::Revoked => "this capability has been revoked",
        _ => "not permitted by this capability",
    })
}
