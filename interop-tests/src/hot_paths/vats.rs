//! Actors of one vat among themselves.

use std::hint::black_box;
use std::sync::Arc;

use ocapn::{Args, Fault, Ref, Reply, Turn, Value, Vat};
use vat_runtime::Manual;

use super::HotPath;

/// How many operations one turn makes, so that the turn itself does not count.
const PER_TURN: u64 = 1000;

fn echo(_turn: &mut Turn<'_>, mut args: Args) -> Result<Reply, Fault> {
    Ok(args.pop().unwrap_or_default().into())
}

/// Has a turn do something a thousand times, and all that comes of it.
fn in_a_turn(
    name: &'static str,
    operation: impl Fn(&mut Turn<'_>, &Ref, u64) + Send + Sync + 'static,
) -> HotPath {
    let hand = Manual::new();
    let vat = Vat::new("hot path", hand.clone());
    let target = vat.spawn(echo);
    let operation = Arc::new(operation);
    HotPath::new(name, PER_TURN, move || {
        let (target, operation) = (target.clone(), Arc::clone(&operation));
        drop(vat.run(move |turn| {
            for number in 0..PER_TURN {
                operation(turn, &target, number);
            }
            Ok(())
        }));
        hand.run_until_idle();
    })
}

pub(super) fn call() -> HotPath {
    in_a_turn("$ call", |turn, target, number| {
        let _answer = black_box(turn.call(target, vec![Value::from(number)]));
    })
}

pub(super) fn send() -> HotPath {
    in_a_turn("near send, with its promise", |turn, target, number| {
        drop(black_box(turn.send(target, vec![Value::from(number)])));
    })
}

pub(super) fn send_only() -> HotPath {
    in_a_turn("near send, without", |turn, target, number| {
        turn.send_only(target, vec![Value::from(number)]);
    })
}
