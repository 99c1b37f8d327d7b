//! What can go wrong between Rust types and Syrup.

use std::fmt::Display;

use crate::encode::DuplicateKey;
use crate::error::DecodeError;

/// A value that can't be written, or Syrup that is not of the type asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input is not Syrup, or over a limit.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A map or set to be written has a key twice.
    #[error(transparent)]
    DuplicateKey(#[from] DuplicateKey),
    /// Syrup of another type than expected.
    #[error("{message} at byte {offset}")]
    Type {
        /// Where the value begins or, if that is not known, how far had been read.
        offset: usize,
        /// What was expected and found.
        message: String,
    },
    /// What the type being written says is wrong with it.
    #[error("{0}")]
    Message(String),
}

impl Error {
    /// Adds where it happened, unless that is known.
    pub(super) fn at(self, offset: usize) -> Self {
        match self {
            Self::Message(message) => Self::Type { offset, message },
            other => other,
        }
    }
}

impl ::serde::ser::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::Message(message.to_string())
    }
}

impl ::serde::de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::Message(message.to_string())
    }
}
