//! What can be wrong with Syrup, and where.

/// Input that is not the Syrup asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct DecodeError {
    /// Where, in bytes from the start of the input.
    pub offset: usize,
    /// What is wrong there.
    pub kind: DecodeErrorKind,
}

impl DecodeError {
    pub(crate) const fn new(offset: usize, kind: DecodeErrorKind) -> Self {
        Self { offset, kind }
    }
}

/// What is wrong with the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The input ends within a value; more of it may make it whole.
    #[error("the input ends")]
    Incomplete,
    /// A byte that begins nothing, or that does not belong after a number.
    #[error("unexpected byte {0:#04x}")]
    UnexpectedByte(u8),
    /// The end of a container that is not open, or not innermost.
    #[error("end of a container that is not open")]
    UnexpectedEnd,
    /// Something follows the value.
    #[error("bytes after the value")]
    TrailingBytes,
    /// A string or symbol that is not UTF-8.
    #[error("invalid UTF-8")]
    InvalidUtf8,
    /// A dictionary ends after a key.
    #[error("key without a value")]
    KeyWithoutValue,
    /// A record has nothing in it.
    #[error("record without a label")]
    RecordWithoutLabel,
    /// A number with a zero before it (strict).
    #[error("leading zero")]
    LeadingZero,
    /// `0-` (strict).
    #[error("negative zero")]
    NegativeZero,
    /// A key or member that belongs before the last one (strict).
    #[error("key out of order")]
    UnsortedKey,
    /// A key or member that was there before.
    #[error("key repeated")]
    DuplicateKey,
    /// More containers inside each other than [`Limits::depth`](crate::Limits::depth).
    #[error("nested deeper than {0}")]
    DepthLimit(usize),
    /// More bytes than [`Limits::size`](crate::Limits::size).
    #[error("longer than {0} bytes")]
    SizeLimit(usize),
    /// More digits than [`Limits::int_digits`](crate::Limits::int_digits).
    #[error("number of more than {0} digits")]
    IntDigitsLimit(usize),
}
