//! Cutting a stream of bytes that is being written where its Syrup values end, for
//! netlayers that send each value as a message of its own.

use std::borrow::Cow;
use std::io;

use syrup::Scanner;

/// How much is sent at most in one message of what is not Syrup.
const PIECE: usize = 64 * 1024;

/// Finds the messages in what is written. Bytes that are not Syrup, and all after them,
/// are messages as they come: that the other end won't have them is its to say.
pub(crate) struct Cutter {
    /// The beginning of a value, until it is whole.
    value: Vec<u8>,
    /// Finds where values end; `None` once something was no Syrup.
    scanner: Option<Scanner>,
    max_message: usize,
}

impl Cutter {
    /// For messages of at most `max_message` bytes.
    pub(crate) fn new(max_message: usize) -> Self {
        Self { value: Vec::new(), scanner: Some(any_syrup()), max_message }
    }

    /// Takes bytes up to the end of a value. Says how many, and gives the message that
    /// is whole with them, if one is.
    pub(crate) fn take<'a>(
        &mut self,
        bytes: &'a [u8],
    ) -> io::Result<(usize, Option<Cow<'a, [u8]>>)> {
        let Some(scanner) = &mut self.scanner else {
            let piece = bytes.get(..PIECE.min(self.max_message)).unwrap_or(bytes);
            return Ok((piece.len(), Some(Cow::Borrowed(piece))));
        };
        let Ok(end) = scanner.scan_next(bytes) else {
            return Ok((0, self.rest()));
        };
        let taken = end.and_then(|end| bytes.get(..end)).unwrap_or(bytes);
        if self.value.len() + taken.len() > self.max_message {
            let why = format!("a message of more than {} bytes", self.max_message);
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let message = if end.is_none() {
            self.value.extend_from_slice(taken);
            None
        } else if self.value.is_empty() {
            Some(Cow::Borrowed(taken))
        } else {
            self.value.extend_from_slice(taken);
            Some(Cow::Owned(std::mem::take(&mut self.value)))
        };
        Ok((taken.len(), message))
    }

    /// Whether a value has begun and is not whole.
    pub(crate) const fn is_amid(&self) -> bool {
        !self.value.is_empty()
    }

    /// What there is of a value, as a message. What follows is then taken for no Syrup:
    /// the pieces of a value would be taken for values.
    pub(crate) fn rest<'a>(&mut self) -> Option<Cow<'a, [u8]>> {
        self.scanner = None;
        self.is_amid().then(|| Cow::Owned(std::mem::take(&mut self.value)))
    }
}

/// A scanner without limits of its own.
pub(crate) fn any_syrup() -> Scanner {
    let mut options = syrup::Options::default();
    let limits = &mut options.limits;
    (limits.depth, limits.size, limits.int_digits) = (usize::MAX, usize::MAX, usize::MAX);
    Scanner::new(&options)
}
