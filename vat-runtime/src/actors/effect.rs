//! Doing something outside the vat once a turn has ended well.

use crate::{Turn, promise};

/// Does it when what the turn says to others is let go: not if the turn fails, and in
/// a vat that is kept on a disk not before the turn is there. It runs on whichever
/// thread that is and must be quick.
pub(crate) fn after_turn(turn: &mut Turn<'_>, action: impl FnOnce() + Send + 'static) {
    let (ended, resolver) = promise();
    ended.when_settled(move |outcome| {
        if outcome.is_ok() {
            action();
        }
    });
    turn.resolve(resolver, Ok(().into()));
}
