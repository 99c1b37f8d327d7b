//! The Syrup codec: canonical, incremental, zero-copy.
//!
//! Syrup is the binary serialisation of the Object Capability Network: booleans,
//! floats, integers of any size, byte arrays, strings, symbols, lists,
//! dictionaries, sets and labelled records, with one canonical encoding for each
//! value.
//!
//! | bytes | value |
//! |---|---|
//! | `t` `f` | booleans |
//! | `42+` `7-` | integers of any size |
//! | `F` and 4 bytes, `D` and 8 bytes | floats, big-endian |
//! | `3:cat` `3"cat` `3'cat` | byte array, string, symbol; lengths in bytes |
//! | `[1+2+]` | list |
//! | `{1"a1+1"b2+}` | dictionary: keys and values, in the order of the encoded keys |
//! | `#1+2+$` | set, in the order of the encoded members |
//! | `<5'point3+4+>` | record: a label and fields |
//!
//! There are three ways in, from the fastest to the easiest:
//!
//! - [`Encoder`] and [`Decoder`] work on tokens, in one pass and without copying;
//! - [`ValueRef`] and [`Value`] are trees, borrowed and owned;
//! - the module `serde` maps Rust types (feature `serde`, on by default).
//!
//! [`Scanner`] finds where values end in a stream that arrives in pieces, and
//! [`text`] is the notation for people and command lines.
//!
//! ```
//! use syrup::{Decoder, Encoder, Token, Value};
//!
//! let mut bytes = Vec::new();
//! let mut out = Encoder::new(&mut bytes);
//! out.begin_record();
//! out.symbol("op:abort");
//! out.string("bye");
//! out.end_record();
//! assert_eq!(bytes, b"<8'op:abort3\"bye>");
//!
//! let mut input = Decoder::new(&bytes);
//! assert_eq!(input.token()?, Token::RecordStart);
//! assert_eq!(input.token()?, Token::Symbol("op:abort"));
//! assert_eq!(input.token()?, Token::String("bye"));
//! assert_eq!(input.token()?, Token::RecordEnd);
//! input.end()?;
//!
//! assert_eq!(Value::decode(&bytes)?.to_string(), r#"<'op:abort "bye">"#);
//! # Ok::<_, syrup::DecodeError>(())
//! ```
//!
//! # Hostile input
//!
//! No input makes this crate panic. [`Limits`] bound depth, size and digits; memory is
//! a small multiple of the input, and a length is never believed before the bytes are
//! there. [`Mode::Strict`] takes only what an encoder would write;
//! [`Mode::Tolerant`], the default, also takes entries in any order and leading zeros.
//! Neither takes a key twice or text that is not UTF-8. Trees nest no deeper than
//! [`MAX_TREE_DEPTH`]. Errors say what is wrong and at which byte.

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
pub use value::{Dict, Entries, MAX_TREE_DEPTH, Record, Set, Value, ValueRef};
