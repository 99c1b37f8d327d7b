//! How strictly to read, and how much.

/// How to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// What to accept beyond canonical Syrup.
    pub mode: Mode,
    /// How much to accept.
    pub limits: Limits,
}

/// What to accept beyond canonical Syrup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Leading zeros, a negative zero, and dictionaries and sets in any order. A key
    /// or member that occurs twice is refused all the same: implementations disagree
    /// on which of the two counts, and that is a way to smuggle.
    #[default]
    Tolerant,
    /// Nothing: whatever is accepted is what an encoder would write.
    Strict,
}

/// How much to accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most containers inside each other. Default 128.
    pub depth: usize,
    /// Most bytes in a value. Default 64 MiB.
    pub size: usize,
    /// Most decimal digits in an integer or a length. Default 4,096.
    pub int_digits: usize,
}

impl Limits {
    /// The limits that hold unless others are set.
    pub const DEFAULT: Self = Self { depth: 128, size: 64 << 20, int_digits: 4096 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
