//! What a peer may ask for before it holds any reference: the bootstrap object.

use captp::Passable;
use vat_runtime::{Args, Fault, Value};

use crate::shared::Shared;

/// Answers a message to the bootstrap object (section "Bootstrap Object" of the
/// CapTP draft).
pub(crate) fn receive(node: &Shared, args: Args) -> Result<Value, Fault> {
    let mut args = args.into_iter();
    match args.next().as_ref().and_then(Passable::as_symbol) {
        Some("fetch") => {
            let swiss = match args.next() {
                Some(Passable::Bytes(swiss)) => swiss,
                Some(Passable::String(swiss)) => swiss.as_bytes().to_vec().into(),
                _ => return Err("fetch wants a swiss number".into()),
            };
            // One answer for a number that is wrong and one that is no more: a
            // guesser learns nothing.
            node.registry.lookup(&swiss).map(Value::Ref).ok_or_else(|| NO_SUCH_OBJECT.into())
        }
        Some(_) => Err("the bootstrap object has no such method".into()),
        None => Err("the bootstrap object wants a method".into()),
    }
}

/// What `fetch` breaks with.
pub(crate) const NO_SUCH_OBJECT: &str = "no such object";
