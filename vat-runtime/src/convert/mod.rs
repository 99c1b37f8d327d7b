//! Between Rust's types and the values of messages. Owns [`IntoValue`], [`FromValue`],
//! what both say about a type ([`Typed`]) and, in its parts, which type of Rust is
//! which kind of value.
//!
//! | Rust | value |
//! |---|---|
//! | `()` | undefined |
//! | `bool` | boolean |
//! | `i8` … `i128`, `u8` … `u128`, `isize`, `usize`, `BigInt` | integer |
//! | `f64`, `f32` | float; an integer that a float can hold is taken too |
//! | `String`, `SmolStr`, `&str` | string |
//! | [`Symbol`] | symbol |
//! | [`Bytes`](bytes::Bytes) | byte array (a `Vec<u8>` is a list of integers) |
//! | `Vec<T>`, `[T; N]`, tuples | list |
//! | `BTreeMap`, `HashMap` with text for keys | struct |
//! | `BTreeSet`, `HashSet` | set |
//! | `Option<T>` | as `T`, or undefined; null is taken too |
//! | [`Ref`](crate::Ref), references with an interface | reference |
//! | [`Promise`](crate::Promise), [`Answer`](crate::Answer) | a promise, or at once what it would come to |
//! | [`Sturdyref`](captp::locator::Sturdyref) | sturdyref |
//! | [`Fault`](crate::Fault) | error |
//! | [`Value`] | anything |
//! | a struct or enum with `#[derive(Passable)]` | see [`Passable`](macro@crate::Passable) |
//!
//! A promise that has settled is as good as what it came to. One that has not is no
//! integer: wait for it first.

mod atoms;
mod containers;
pub(crate) mod fields;
mod mismatch;
mod types;

pub use atoms::Symbol;
pub use mismatch::Mismatch;
pub use types::{Type, Typed};

use crate::Value;

/// What can be put into a message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be passed in a message",
    note = "derive `Passable` for it, or implement `IntoValue` and `Typed`"
)]
pub trait IntoValue: Typed {
    /// The value that stands for this.
    fn into_value(self) -> Value;
}

/// What can be made of a value from a message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be made from a value of a message",
    note = "derive `Passable` for it, or implement `FromValue` and `Typed`",
    note = "what a method of an interface returns is written out: `Result<T, Fault>`, \
            `Become<Self, T>` and `Answer<T>` are seen through, aliases of them are not"
)]
pub trait FromValue: Typed + Sized {
    /// Makes this from a value.
    ///
    /// # Errors
    ///
    /// When the value is of another kind, out of range or lacks something: what was
    /// expected, what was found, and where.
    fn from_value(value: Value) -> Result<Self, Mismatch>;

    /// What to take where no value was given: an argument or a field was left out.
    /// `None`, the default, if it can't be left out.
    #[must_use]
    fn absent() -> Option<Self> {
        None
    }
}

/// What can be passed in a message and taken from one: [`IntoValue`] and
/// [`FromValue`] together. Derive it with [`macro@crate::Passable`].
pub trait Passable: IntoValue + FromValue {}

impl<T: IntoValue + FromValue> Passable for T {}

/// The value that a settled promise came to, else the value itself.
pub(crate) fn settled(value: Value) -> Value {
    if let Value::Ref(reference) = &value
        && let Some(Ok(outcome)) = reference.outcome()
    {
        return outcome;
    }
    value
}
