//! Reading Syrup, in one pass and without copying.

use num_bigint::{BigInt, Sign};
use smallvec::SmallVec;

use crate::error::{DecodeError, DecodeErrorKind};
use crate::options::{Mode, Options};

/// A piece of Syrup: an atom, or the beginning or end of a container.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    /// `t` or `f`.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// An integer that does not.
    BigInt(BigDigits<'a>),
    /// A single-precision float.
    F32(f32),
    /// A double-precision float.
    F64(f64),
    /// A byte array.
    Bytes(&'a [u8]),
    /// A string.
    String(&'a str),
    /// A symbol.
    Symbol(&'a str),
    /// `[`
    ListStart,
    /// `]`
    ListEnd,
    /// `{`
    DictStart,
    /// `}`
    DictEnd,
    /// `#`
    SetStart,
    /// `$`
    SetEnd,
    /// `<`; the record's label is the next value.
    RecordStart,
    /// `>`
    RecordEnd,
}

/// A large integer, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BigDigits<'a> {
    digits: &'a [u8],
    negative: bool,
}

impl BigDigits<'_> {
    /// The number. Takes time that grows faster than the number of digits, which
    /// [`Limits::int_digits`](crate::Limits::int_digits) bounds.
    #[must_use]
    pub fn to_bigint(&self) -> BigInt {
        let magnitude = num_bigint::BigUint::parse_bytes(self.digits, 10).unwrap_or_default();
        BigInt::from_biguint(if self.negative { Sign::Minus } else { Sign::Plus }, magnitude)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    List,
    Record,
    Dict,
    Set,
}

/// An open container.
struct Frame<'a> {
    kind: Kind,
    /// In a dictionary: the next value belongs to a key.
    after_key: bool,
    /// Where the value being read began, if it is a container.
    start: usize,
    /// The last key or member, encoded; strict mode wants them to increase.
    last: Option<&'a [u8]>,
}

/// Reads tokens off a slice.
///
/// Containers are checked to be closed by their own kind, dictionaries to have a
/// value for every key and records to have a label. An end of the input within a
/// value is [`DecodeErrorKind::Incomplete`].
///
/// ```
/// use syrup::{Decoder, Token};
///
/// let mut input = Decoder::new(b"[3\"one2+]");
/// assert_eq!(input.token()?, Token::ListStart);
/// assert_eq!(input.token()?, Token::String("one"));
/// assert_eq!(input.token()?, Token::Int(2));
/// assert_eq!(input.token()?, Token::ListEnd);
/// input.end()?;
/// # Ok::<_, syrup::DecodeError>(())
/// ```
pub struct Decoder<'a> {
    input: &'a [u8],
    position: usize,
    /// The innermost container is a dictionary or set, or a record without a label
    /// yet: what completes in it is looked at.
    watching: bool,
    stack: SmallVec<[Frame<'a>; 6]>,
    options: Options,
}

impl<'a> Decoder<'a> {
    /// Reads with the default options: tolerant, with the default limits.
    #[must_use]
    pub fn new(input: &'a [u8]) -> Self {
        Self::with_options(input, &Options::default())
    }

    /// Reads with the options given.
    #[must_use]
    pub fn with_options(input: &'a [u8], options: &Options) -> Self {
        let stack = SmallVec::new();
        Self { input, position: 0, watching: false, stack, options: *options }
    }

    /// How many bytes have been read.
    #[inline]
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// Checks that nothing follows what has been read.
    ///
    /// # Errors
    ///
    /// If something does, or a container is still open.
    pub fn end(&self) -> Result<(), DecodeError> {
        if !self.stack.is_empty() {
            return Err(self.error(DecodeErrorKind::Incomplete));
        }
        if self.position < self.input.len() {
            return Err(self.error(DecodeErrorKind::TrailingBytes));
        }
        Ok(())
    }

    /// Skips one whole value and gives its encoding.
    ///
    /// # Errors
    ///
    /// If it is malformed, or there is none but the end of a container.
    pub fn skip(&mut self) -> Result<&'a [u8], DecodeError> {
        let (start, depth) = (self.position, self.stack.len());
        loop {
            let at = self.position;
            self.token()?;
            if self.stack.len() < depth {
                return Err(DecodeError::new(at, DecodeErrorKind::UnexpectedEnd));
            }
            if self.stack.len() == depth {
                return Ok(self.input.get(start..self.position).unwrap_or_default());
            }
        }
    }

    /// The next token.
    ///
    /// # Errors
    ///
    /// If the input is malformed or ends, or a limit is crossed. The decoder is of no
    /// use afterwards.
    #[inline]
    pub fn token(&mut self) -> Result<Token<'a>, DecodeError> {
        let start = self.position;
        let Some(&byte) = self.input.get(start) else {
            return Err(self.error(DecodeErrorKind::Incomplete));
        };
        let token = match byte {
            b'0'..=b'9' => self.number_or_literal()?,
            b'<' => return self.open(Kind::Record, Token::RecordStart),
            b'>' => return self.close(Kind::Record, Token::RecordEnd),
            b'[' => return self.open(Kind::List, Token::ListStart),
            b']' => return self.close(Kind::List, Token::ListEnd),
            b'{' => return self.open(Kind::Dict, Token::DictStart),
            b'}' => return self.close(Kind::Dict, Token::DictEnd),
            b'#' => return self.open(Kind::Set, Token::SetStart),
            b'$' => return self.close(Kind::Set, Token::SetEnd),
            b't' | b'f' => {
                self.position += 1;
                Token::Bool(byte == b't')
            }
            b'D' => Token::F64(f64::from_be_bytes(self.array()?)),
            b'F' => Token::F32(f32::from_be_bytes(self.array()?)),
            other => return Err(self.error(DecodeErrorKind::UnexpectedByte(other))),
        };
        if self.watching {
            self.completed(start)?;
        }
        Ok(token)
    }

    fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::new(self.position, kind)
    }

    /// The bytes after a one-byte mark.
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.input.get(self.position + 1..self.position + 1 + N);
        let array = bytes.and_then(|bytes| bytes.try_into().ok());
        let array = array.ok_or_else(|| self.error(DecodeErrorKind::Incomplete))?;
        self.position += 1 + N;
        Ok(array)
    }

    /// An integer, or the length of a literal and the literal.
    #[inline]
    fn number_or_literal(&mut self) -> Result<Token<'a>, DecodeError> {
        let rest = self.input.get(self.position..).unwrap_or_default();
        let mut value = 0u64;
        let mut fits = true;
        let mut digits = 0;
        let mark = loop {
            match rest.get(digits) {
                Some(byte @ b'0'..=b'9') => {
                    let digit = u64::from(byte - b'0');
                    match value.checked_mul(10).and_then(|value| value.checked_add(digit)) {
                        Some(more) => value = more,
                        None => fits = false,
                    }
                    digits += 1;
                    if digits > self.options.limits.int_digits {
                        let limit = self.options.limits.int_digits;
                        return Err(self.error(DecodeErrorKind::IntDigitsLimit(limit)));
                    }
                }
                Some(mark) => break *mark,
                None => return Err(self.error(DecodeErrorKind::Incomplete)),
            }
        };
        if self.options.mode == Mode::Strict {
            self.check_canonical(rest, digits, mark)?;
        }
        let digit_bytes = rest.get(..digits).unwrap_or_default();
        let integer = match mark {
            b':' | b'"' | b'\'' => return self.literal(mark, digits, value, fits),
            b'+' => i64::try_from(value).ok().filter(|_| fits),
            b'-' => 0i64.checked_sub_unsigned(value).filter(|_| fits),
            other => {
                self.position += digits;
                return Err(self.error(DecodeErrorKind::UnexpectedByte(other)));
            }
        };
        self.position += digits + 1;
        Ok(match integer {
            Some(integer) => Token::Int(integer),
            None => Token::BigInt(BigDigits { digits: digit_bytes, negative: mark == b'-' }),
        })
    }

    fn check_canonical(&self, rest: &[u8], digits: usize, mark: u8) -> Result<(), DecodeError> {
        let zero = rest.first() == Some(&b'0');
        if zero && digits > 1 {
            return Err(self.error(DecodeErrorKind::LeadingZero));
        }
        if zero && mark == b'-' {
            return Err(self.error(DecodeErrorKind::NegativeZero));
        }
        Ok(())
    }

    #[inline]
    fn literal(
        &mut self,
        mark: u8,
        digits: usize,
        length: u64,
        fits: bool,
    ) -> Result<Token<'a>, DecodeError> {
        let limit = self.options.limits.size;
        let length = usize::try_from(length).ok().filter(|length| fits && *length <= limit);
        let Some(length) = length else {
            return Err(self.error(DecodeErrorKind::SizeLimit(limit)));
        };
        let begin = self.position + digits + 1;
        // A length within the limit can't overflow what an address can.
        let Some(bytes) = self.input.get(begin..begin + length) else {
            return Err(self.error(DecodeErrorKind::Incomplete));
        };
        if mark == b':' {
            self.position = begin + length;
            return Ok(Token::Bytes(bytes));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                self.position = begin + length;
                Ok(if mark == b'"' { Token::String(text) } else { Token::Symbol(text) })
            }
            Err(error) => {
                let offset = begin + error.valid_up_to();
                Err(DecodeError::new(offset, DecodeErrorKind::InvalidUtf8))
            }
        }
    }

    #[inline]
    fn open(&mut self, kind: Kind, token: Token<'a>) -> Result<Token<'a>, DecodeError> {
        let limit = self.options.limits.depth;
        if self.stack.len() >= limit {
            return Err(self.error(DecodeErrorKind::DepthLimit(limit)));
        }
        self.stack.push(Frame { kind, after_key: false, start: self.position, last: None });
        self.watching = !matches!(kind, Kind::List);
        self.position += 1;
        Ok(token)
    }

    #[inline]
    fn close(&mut self, kind: Kind, token: Token<'a>) -> Result<Token<'a>, DecodeError> {
        match self.stack.last() {
            Some(frame) if frame.kind == kind => {
                if frame.after_key {
                    return Err(self.error(DecodeErrorKind::KeyWithoutValue));
                }
                if kind == Kind::Record && self.watching {
                    return Err(self.error(DecodeErrorKind::RecordWithoutLabel));
                }
            }
            _ => return Err(self.error(DecodeErrorKind::UnexpectedEnd)),
        }
        let start = self.stack.pop().map_or(0, |frame| frame.start);
        self.position += 1;
        self.watching = match self.stack.last() {
            None => false,
            Some(frame) => match frame.kind {
                Kind::List => false,
                Kind::Dict | Kind::Set => true,
                Kind::Record => !frame.after_label(),
            },
        };
        if self.watching {
            self.completed(start)?;
        }
        Ok(token)
    }

    /// A value that began at `start` has been read within a container that is
    /// watched.
    fn completed(&mut self, start: usize) -> Result<(), DecodeError> {
        let strict = self.options.mode == Mode::Strict;
        let encoded = self.input.get(start..self.position).unwrap_or_default();
        let Some(frame) = self.stack.last_mut() else {
            return Ok(());
        };
        match frame.kind {
            Kind::List => {}
            Kind::Record => {
                frame.last = Some(&[]);
                self.watching = false;
            }
            Kind::Dict if frame.after_key => frame.after_key = false,
            Kind::Dict | Kind::Set => {
                frame.after_key = frame.kind == Kind::Dict;
                if strict && let Some(last) = frame.last {
                    let kind = match last.cmp(encoded) {
                        std::cmp::Ordering::Less => None,
                        std::cmp::Ordering::Equal => Some(DecodeErrorKind::DuplicateKey),
                        std::cmp::Ordering::Greater => Some(DecodeErrorKind::UnsortedKey),
                    };
                    if let Some(kind) = kind {
                        return Err(DecodeError::new(start, kind));
                    }
                }
                frame.last = Some(encoded);
            }
        }
        Ok(())
    }
}

impl Frame<'_> {
    /// Whether a record's label has been read.
    const fn after_label(&self) -> bool {
        self.last.is_some()
    }
}
