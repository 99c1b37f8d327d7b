//! Doing something outside the vat once a turn has ended well.

use crate::{Turn, promise};

/// Does it when the turn has ended well, and not if it fails. In a vat that is kept on a
/// disk the turn need not be there yet. It runs on the vat's thread and must be quick.
pub fn after_turn(turn: &mut Turn<'_>, action: impl FnOnce() + Send + 'static) {
    let (ended, resolver) = promise();
    ended.when_settled(move |outcome| {
        if outcome.is_ok() {
            action();
        }
    });
    turn.resolve(resolver, Ok(().into()));
}
