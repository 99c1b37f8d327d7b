//! A live session that hears whatever the fuzzer makes up, in two pieces: it does not
//! panic, its tables stay in order, and nothing follows its end.
#![no_main]

#[path = "../../tests/support/mod.rs"]
mod support;

use captp::Event;
use support::{Pair, Value, config};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((cut, said)) = input.split_first() else {
        return;
    };
    let mut side = Pair::with(config("alice", 1), config("bob", 2)).a;
    let ours: Vec<_> = (0..8).map(|_| Value::Ref(side.runtime.local(false))).collect();
    side.deliver(support::BOOTSTRAP, &ours, None).expect("a live session");
    let (first, second) = said.split_at(usize::from(*cut).min(said.len()));
    for part in [first, second] {
        side.receive(part);
        side.transmit(true);
    }
    side.session.disconnected();
    side.session.take_events(&mut side.events);
    let ends = side.events.iter().position(|event| matches!(event, Event::Ended(_)));
    assert_eq!(ends, Some(side.events.len() - 1));
    side.session.check().expect("tables in order");
});
