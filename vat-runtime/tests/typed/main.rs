//! Typed interfaces: `#[interface]`, `#[object]`, `Passable`, `Durable`, async blocks.

mod arguments;
mod blocks;
mod calls;
mod describing;
mod durable;
mod generics;
mod passables;
mod stored;

use std::sync::Arc;

use vat_runtime::{Manual, Vat};

/// A vat that is stepped by hand.
fn vat() -> (Arc<Manual>, Vat) {
    let hand = Manual::new();
    let vat = Vat::new("test", hand.clone());
    (hand, vat)
}
