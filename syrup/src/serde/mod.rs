//! Rust types to Syrup and back, by way of serde.
//!
//! | Rust | Syrup |
//! |---|---|
//! | `bool`, integers up to 128 bits | boolean, integer |
//! | `f32`, `f64` | `F` float, `D` float |
//! | `char`, `str` | string |
//! | bytes (`serialize_bytes`) | byte array |
//! | sequence, tuple | list |
//! | map | dictionary, in canonical order |
//! | struct | dictionary with strings for keys, as OCapN structs have |
//! | `struct Point(i64, i64)` | record `<'Point 3 4>`; likewise with one field or none |
//! | `None`, `()` | records `<'null>`, `<'void>`, as peers send them |
//! | `Some(x)` | `x` |
//! | enum variant `A` | symbol `'A` |
//! | enum variant `A(x)`, `A(x, y)` | record `<'A x>`, `<'A x y>` |
//! | enum variant `A { x, y }` | record `<'A {"x": …, "y": …}>` |
//!
//! Labels are names after `#[serde(rename)]`, so that tuple structs and tuple variants
//! describe OCapN's own records; a newtype that should leave no trace is
//! `#[serde(transparent)]`. A string is also accepted where a symbol is asked for as
//! text and the other way round, and a set where a sequence is. An optional field that
//! is missing is `None`.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, Debug, PartialEq)]
//! #[serde(rename = "desc:export")]
//! struct Export(u64);
//!
//! #[derive(Serialize, Deserialize, Debug, PartialEq)]
//! struct Machine<'a> {
//!     name: &'a str,
//!     cores: u32,
//!     root: Export,
//! }
//!
//! let machine = Machine { name: "db", cores: 2, root: Export(0) };
//! let bytes = syrup::to_vec(&machine)?;
//! assert_eq!(bytes, br#"{4"name2"db4"root<11'desc:export0+>5"cores2+}"#);
//! assert_eq!(syrup::from_slice::<Machine>(&bytes)?, machine);
//! # Ok::<_, syrup::serde::Error>(())
//! ```

mod access;
mod de;
mod error;
mod ser;

pub use de::{Deserializer, from_slice, from_slice_with};
pub use error::Error;
pub use ser::{Compound, Serializer, to_vec};

/// What stands for `None`.
const NULL: &str = "null";
/// What stands for `()`.
const VOID: &str = "void";
