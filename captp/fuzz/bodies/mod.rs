//! What the fuzz targets do with a fuzzer's bytes. Ordinary tests run the same on
//! random ones: `../tests/fuzz_bodies.rs`.

#![allow(dead_code, reason = "each target uses what it needs")]

pub(crate) mod hostile;
pub(crate) mod ops;
mod speech;

/// The bytes as a source of choices. Used up, it says 0.
pub(crate) struct Source<'a>(pub(crate) &'a [u8]);

impl Source<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound
    }

    /// An index into something that long; 0 for nothing.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::from(self.byte()) % len.max(1)
    }

    /// A position: one that may be in use, mostly.
    pub(crate) fn position(&mut self) -> u64 {
        match self.byte() {
            0xff => u64::MAX,
            0xfe => i64::MAX as u64,
            byte => u64::from(byte % 10),
        }
    }
}
