//! Calling what is near and sending to what is not.

use crate::reference::Kind;
use crate::{Args, Fault, Ref, Turn, Value};

/// Calls an actor of this vat (`$`) and sends to anything else (`<-`): the answer, or
/// the promise of it.
///
/// A promise is sent to even once it has settled to a near actor: what was sent to it
/// before may still be on its way, and must not be overtaken.
///
/// # Errors
///
/// The fault of an actor that was called.
pub fn call_or_send(turn: &mut Turn<'_>, to: &Ref, args: Args) -> Result<Value, Fault> {
    if matches!(to.0, Kind::Actor(_)) && turn.is_near(to) {
        turn.call(to, args)
    } else {
        Ok(turn.send(to, args).into())
    }
}
