//! Finding where values end in a stream of them.

use crate::error::{DecodeError, DecodeErrorKind};
use crate::options::{Limits, Options};

/// Numbers of up to so many digits are looked at in one go.
const SHORT_NUMBER: usize = 6;

/// Finds the ends of values in an unframed stream.
///
/// Looks at each byte once, however the stream is cut into pieces, and never at the
/// content of byte arrays, strings and symbols. It checks no more than it needs to
/// find the end: a [`Decoder`](crate::Decoder) checks the rest.
///
/// ```
/// let mut scanner = syrup::Scanner::new(&syrup::Options::default());
/// assert_eq!(scanner.scan(b"[1+3\"o")?, None);
/// assert_eq!(scanner.scan(b"[1+3\"one]7+")?, Some(9));
/// assert_eq!(scanner.scan(b"7+")?, Some(2));
/// # Ok::<_, syrup::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Scanner {
    limits: Limits,
    /// How far the current value has been looked at; may be beyond the input when a
    /// literal's content is skipped.
    position: usize,
    /// How much of the value went before the input that `position` counts in.
    passed: usize,
    /// Open containers.
    depth: usize,
    /// The number being read: its digits so far and, unless it is too large to be a
    /// length, its value.
    digits: usize,
    value: Option<u64>,
}

impl Scanner {
    /// A scanner at the beginning of a value. Only the limits of the options matter.
    #[must_use]
    pub const fn new(options: &Options) -> Self {
        Self { limits: options.limits, position: 0, passed: 0, depth: 0, digits: 0, value: Some(0) }
    }

    /// The length of the value at the front of `input`, once it is whole.
    ///
    /// `input` is everything since the value began: with `None`, call again with the
    /// same bytes and more. After a value's length has been given, the next call is
    /// about the bytes that follow it.
    ///
    /// # Errors
    ///
    /// If no bytes that could follow make it a value within the limits. The scanner is
    /// of no use afterwards.
    pub fn scan(&mut self, input: &[u8]) -> Result<Option<usize>, DecodeError> {
        loop {
            if self.digits == 0 {
                self.skip_whole_tokens(input);
            }
            if self.at_end() {
                break;
            }
            let Some(&byte) = input.get(self.position) else {
                return Ok(None);
            };
            match byte {
                b'0'..=b'9' => {
                    self.digit(byte)?;
                    continue;
                }
                b'+' | b'-' if self.digits > 0 => self.position += 1,
                b':' | b'"' | b'\'' if self.digits > 0 => self.skip_literal()?,
                other if self.digits > 0 => {
                    return Err(self.error(DecodeErrorKind::UnexpectedByte(other)));
                }
                b'[' | b'<' | b'{' | b'#' => self.open()?,
                b']' | b'>' | b'}' | b'$' => {
                    let Some(depth) = self.depth.checked_sub(1) else {
                        return Err(self.error(DecodeErrorKind::UnexpectedEnd));
                    };
                    self.depth = depth;
                    self.position += 1;
                }
                b't' | b'f' => self.position += 1,
                b'D' => self.position += 9,
                b'F' => self.position += 5,
                other => return Err(self.error(DecodeErrorKind::UnexpectedByte(other))),
            }
            self.digits = 0;
            self.value = Some(0);
            if self.passed.saturating_add(self.position) > self.limits.size {
                return Err(self.error(DecodeErrorKind::SizeLimit(self.limits.size)));
            }
        }
        if self.position > input.len() {
            return Ok(None);
        }
        Ok(Some(std::mem::take(&mut self.position)))
    }

    /// As [`scan`](Self::scan), for those who don't keep what they have shown: `input`
    /// is only what follows the input of the last call. Gives the length of what
    /// belongs to the value in this `input`.
    ///
    /// ```
    /// let mut scanner = syrup::Scanner::new(&syrup::Options::default());
    /// assert_eq!(scanner.scan_next(b"[1+3\"o")?, None);
    /// assert_eq!(scanner.scan_next(b"ne]7+")?, Some(3));
    /// assert_eq!(scanner.scan_next(b"7+")?, Some(2));
    /// # Ok::<_, syrup::DecodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`scan`](Self::scan).
    pub fn scan_next(&mut self, input: &[u8]) -> Result<Option<usize>, DecodeError> {
        let end = self.scan(input)?;
        if end.is_some() {
            self.passed = 0;
        } else {
            // Without an end all of the input has been looked at.
            self.position = self.position.saturating_sub(input.len());
            self.passed = self.passed.saturating_add(input.len());
        }
        Ok(end)
    }

    /// Whether the position is where the value ends.
    #[inline]
    const fn at_end(&self) -> bool {
        self.depth == 0 && self.digits == 0 && self.position > 0
    }

    const fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::new(self.passed.saturating_add(self.position), kind)
    }

    /// Goes past the tokens that are there in whole and can be seen to be fine, to the end
    /// of the value if it comes to that. What it stops at is for [`Self::scan`] to judge.
    fn skip_whole_tokens(&mut self, input: &[u8]) {
        let bound = self.limits.size.saturating_sub(self.passed);
        let (mut at, mut depth) = (self.position, self.depth);
        while (depth > 0 || at == 0) && at < bound {
            match input.get(at) {
                Some(b'0'..=b'9') => match self.whole_number(input, at) {
                    Some(end) if end <= bound => at = end,
                    _ => break,
                },
                Some(b'[' | b'<' | b'{' | b'#') if depth < self.limits.depth => {
                    depth += 1;
                    at += 1;
                }
                Some(b']' | b'>' | b'}' | b'$') if depth > 0 => {
                    depth -= 1;
                    at += 1;
                }
                Some(b't' | b'f') => at += 1,
                _ => break,
            }
        }
        (self.position, self.depth) = (at, depth);
    }

    /// Where a short number ends, together with the literal that it is the length of.
    #[inline]
    fn whole_number(&self, input: &[u8], at: usize) -> Option<usize> {
        let (mut value, mut end) = (0, at);
        loop {
            match input.get(end)? {
                byte @ b'0'..=b'9' if end - at < SHORT_NUMBER => {
                    value = 10 * value + usize::from(byte - b'0');
                    end += 1;
                }
                _ if end - at > self.limits.int_digits => return None,
                b'+' | b'-' => return Some(end + 1),
                b':' | b'"' | b'\'' => return Some(end + 1 + value),
                _ => return None,
            }
        }
    }

    #[inline]
    fn digit(&mut self, byte: u8) -> Result<(), DecodeError> {
        let digit = u64::from(byte - b'0');
        self.value = self.value.and_then(|value| value.checked_mul(10)?.checked_add(digit));
        self.digits += 1;
        if self.digits > self.limits.int_digits {
            return Err(self.error(DecodeErrorKind::IntDigitsLimit(self.limits.int_digits)));
        }
        self.position += 1;
        Ok(())
    }

    #[inline]
    fn skip_literal(&mut self) -> Result<(), DecodeError> {
        let end = self
            .value
            .and_then(|length| usize::try_from(length).ok()?.checked_add(self.position + 1));
        match end {
            Some(end) if self.passed.saturating_add(end) <= self.limits.size => {
                self.position = end;
                Ok(())
            }
            _ => Err(self.error(DecodeErrorKind::SizeLimit(self.limits.size))),
        }
    }

    fn open(&mut self) -> Result<(), DecodeError> {
        self.depth += 1;
        if self.depth > self.limits.depth {
            return Err(self.error(DecodeErrorKind::DepthLimit(self.limits.depth)));
        }
        self.position += 1;
        Ok(())
    }
}
