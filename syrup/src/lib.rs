//! The Syrup codec: canonical, incremental, zero-copy.
//!
//! Syrup is the binary serialisation of the Object Capability Network: booleans,
//! floats, integers of any size, byte arrays, strings, symbols, lists,
//! dictionaries, sets and labelled records, with one canonical encoding for each
//! value.
//!
//! - [`Encoder`] writes tokens to a buffer.
//! - [`Decoder`] reads tokens off a slice, in one pass and without copying.
//! - [`Scanner`] finds where values end in a stream that arrives in pieces.

mod decode;
mod encode;
mod error;
mod options;
mod scan;
#[cfg(feature = "serde")]
pub mod serde;
pub mod text;
mod value;

pub use decode::{BigDigits, Decoder, Token};
pub use encode::{DuplicateKey, Encoder};
pub use error::{DecodeError, DecodeErrorKind};
pub use options::{Limits, Mode, Options};
pub use scan::Scanner;
#[cfg(feature = "serde")]
pub use serde::{from_slice, to_vec};
pub use value::{Dict, MAX_TREE_DEPTH, Record, Set, Value, ValueRef};
