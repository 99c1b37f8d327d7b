//! The actor library: actors that programs are put together from.
//!
//! Methods are named as Spritely Goblins names them where it has the same actor.
//! Each kind is a behaviour to [`Turn::spawn`](crate::Turn::spawn), or a function that
//! spawns what belongs together. What a peer can make grow has a limit with a default
//! ([`DEFAULT_ENTRIES`]) and a setting. Those with state are
//! [`Durable`](crate::Durable) unless they say why not.

mod arguments;
mod cell;
mod ghash;
mod kv;
mod opportunistic;
mod queue;
mod ring_buffer;
mod set;
mod table;
mod vector;

use arguments::{Parameter, Portrait};
pub use cell::{Cell, ReadOnlyCell, WriteOnlyCell};
pub use ghash::Ghash;
pub use kv::Kv;
pub use opportunistic::call_or_send;
pub use queue::Queue;
pub use ring_buffer::RingBuffer;
pub use set::Set;
pub use table::DEFAULT_ENTRIES;
pub use vector::Vector;

use crate::{Ref, RestoreError, Value};

/// A portrait that is one reference.
fn only_reference(kind: &str, portrait: Value) -> Result<Ref, RestoreError> {
    Ref::from_value(portrait)
        .map_err(|found| Portrait::wrong(kind, &format!("it is of kind {}", found.kind())))
}
