//! Reading Syrup, in one pass and without copying.

use std::cmp::Ordering;

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

/// So many decimal digits always fit 64 bits.
const SAFE_DIGITS: usize = 19;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    List,
    Record,
    Dict,
    Set,
}

/// The canonical integer at the front, with its length, if it is one that is not negative
/// and surely fits.
fn leading_uint(input: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (digits, byte) in input.iter().enumerate().take(SAFE_DIGITS) {
        match byte {
            b'0'..=b'9' => value = 10 * value + u64::from(byte - b'0'),
            b'+' if digits == 1 || digits > 1 && input.first() != Some(&b'0') => {
                return Some((value, digits + 1));
            }
            _ => return None,
        }
    }
    None
}

/// An open container.
struct Frame<'a> {
    kind: Kind,
    /// In a dictionary: the next value belongs to a key.
    after_key: bool,
    /// A key or member came before one that sorts after it.
    unsorted: bool,
    /// Where the container begins.
    start: usize,
    /// The last key or member, encoded. In a record: anything, once it has a label.
    last: Option<&'a [u8]>,
    /// Where this container's keys begin in [`Decoder::keys`].
    keys: usize,
    /// How many keys an unsorted container may have before they are next compared.
    compare_at: usize,
}

/// Reads tokens off a slice.
///
/// Containers are checked to be closed by their own kind, dictionaries to have a
/// value for every key and no key twice, sets to have no member twice, and records
/// to have a label. An end of the input within a value is
/// [`DecodeErrorKind::Incomplete`].
///
/// Keys are the same when their encodings are. In a tolerant decoder `1+` and `01+`
/// are two keys, therefore; [`Value`](crate::Value) compares what they mean.
///
/// Nothing is allocated for the values themselves. The keys of open dictionaries are
/// remembered by their places, 16 bytes each, when they may come in any order.
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
    /// Where the value being read at the outermost level may end at the latest.
    bound: usize,
    /// What completes next is looked at: there is no container around it, or the
    /// innermost is a dictionary or set, or a record without a label yet.
    watching: bool,
    stack: SmallVec<[Frame<'a>; 6]>,
    /// Tolerant mode: the places of the keys of all open dictionaries and sets.
    keys: Vec<(usize, usize)>,
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
        Self {
            input,
            position: 0,
            bound: options.limits.size,
            watching: true,
            stack: SmallVec::new(),
            keys: Vec::new(),
            options: *options,
        }
    }

    /// How many bytes have been read.
    #[inline]
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// What has not been read yet.
    #[inline]
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.input.get(self.position..).unwrap_or_default()
    }

    /// How many containers are open.
    #[inline]
    #[must_use]
    pub fn depth(&self) -> usize {
        self.stack.len()
    }

    /// Checks that nothing follows what has been read.
    ///
    /// # Errors
    ///
    /// If something does, or a container is still open.
    pub fn end(&self) -> Result<(), DecodeError> {
        if !self.stack.is_empty() {
            return Err(self.incomplete());
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

    /// Opens a record if `head` comes next: the encoding of its opening and its label.
    /// Gives whether it did; if not, nothing has been read.
    ///
    /// What two calls of [`Decoder::token`] would do, for those who know what to expect.
    #[inline]
    pub fn open_record(&mut self, head: &[u8]) -> bool {
        let end = self.position + head.len();
        let allowed = self.stack.len() < self.options.limits.depth && end <= self.bound;
        if !allowed || !self.rest().starts_with(head) {
            return false;
        }
        let label = self.input.get(self.position + 1..end);
        let frame = Frame::new(Kind::Record, self.position, self.keys.len());
        self.stack.push(Frame { last: label, ..frame });
        self.watching = false;
        self.position = end;
        true
    }

    /// Reads a whole record if `head` comes next, the encoding of its opening and its
    /// label, and after it one canonical integer that is not negative, and the end. Gives
    /// the integer; if there is none, nothing has been read.
    ///
    /// What four calls of [`Decoder::token`] would do, for those who know what to expect.
    /// It is for records in lists and records.
    ///
    /// ```
    /// let mut input = syrup::Decoder::new(b"[<3'one12+><3'two12+>]");
    /// input.token()?;
    /// assert_eq!(input.record_of_uint(b"<3'one"), Some(12));
    /// assert_eq!(input.record_of_uint(b"<3'one"), None);
    /// assert_eq!(input.token()?, syrup::Token::RecordStart);
    /// # Ok::<_, syrup::DecodeError>(())
    /// ```
    #[inline]
    pub fn record_of_uint(&mut self, head: &[u8]) -> Option<u64> {
        let rest = self.rest().strip_prefix(head)?;
        let mut value = 0;
        let mut digits = 0;
        while let Some(byte @ b'0'..=b'9') = rest.get(digits) {
            if digits == SAFE_DIGITS - 1 {
                return None;
            }
            value = 10 * value + u64::from(byte - b'0');
            digits += 1;
        }
        let canonical = digits == 1 || rest.first() != Some(&b'0');
        let end = self.position + head.len() + digits + 2;
        let limits = &self.options.limits;
        let allowed = digits > 0
            && digits <= limits.int_digits
            && self.stack.len() < limits.depth
            && end <= self.bound
            && !self.watching;
        let complete = rest.get(digits..digits + 2) == Some(b"+>");
        if !(canonical && allowed && complete) {
            return None;
        }
        self.position = end;
        Some(value)
    }

    /// Reads the canonical integers that come next and are not negative, as far as they are
    /// small enough to be sure that they fit, to the end of `into`.
    ///
    /// What as many calls of [`Decoder::token`] would do, for those who expect many. It is
    /// for integers in lists.
    ///
    /// ```
    /// let mut input = syrup::Decoder::new(b"[1+20+3-]");
    /// input.token()?;
    /// let mut integers = Vec::new();
    /// input.uints(&mut integers);
    /// assert_eq!(integers, [1, 20]);
    /// assert_eq!(input.token()?, syrup::Token::Int(-3));
    /// # Ok::<_, syrup::DecodeError>(())
    /// ```
    pub fn uints(&mut self, into: &mut Vec<u64>) {
        if self.watching {
            return;
        }
        while let Some((value, length)) = leading_uint(self.rest()) {
            let end = self.position + length;
            if length > self.options.limits.int_digits + 1 || end > self.bound {
                return;
            }
            self.position = end;
            into.push(value);
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
            return Err(self.incomplete());
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

    /// The input ended within a value; the offset is where.
    #[cold]
    fn incomplete(&self) -> DecodeError {
        if self.input.len() > self.bound {
            // No more input can make a value of the right size of it.
            return self.error(DecodeErrorKind::SizeLimit(self.options.limits.size));
        }
        DecodeError::new(self.input.len(), DecodeErrorKind::Incomplete)
    }

    /// The bytes after a one-byte mark.
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        if self.position + N >= self.bound {
            return Err(self.error(DecodeErrorKind::SizeLimit(self.options.limits.size)));
        }
        let bytes = self.input.get(self.position + 1..self.position + 1 + N);
        let array = bytes.and_then(|bytes| bytes.try_into().ok());
        let array = array.ok_or_else(|| self.incomplete())?;
        self.position += 1 + N;
        Ok(array)
    }

    /// An integer, or the length of a literal and the literal.
    #[inline]
    fn number_or_literal(&mut self) -> Result<Token<'a>, DecodeError> {
        let rest = self.rest();
        let mut value = 0u64;
        let mut fits = true;
        let mut digits = 0;
        let mark = loop {
            let Some(&byte) = rest.get(digits) else {
                self.check_digits(digits)?;
                return Err(self.incomplete());
            };
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break byte;
            }
            if digits < SAFE_DIGITS {
                value = value * 10 + u64::from(digit);
            } else {
                self.check_digits(digits + 1)?;
                let more = value.checked_mul(10);
                match more.and_then(|value| value.checked_add(u64::from(digit))) {
                    Some(more) => value = more,
                    None => fits = false,
                }
            }
            digits += 1;
        };
        self.check_digits(digits)?;
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

    #[inline]
    fn check_digits(&self, digits: usize) -> Result<(), DecodeError> {
        let limit = self.options.limits.int_digits;
        if digits > limit {
            return Err(self.error(DecodeErrorKind::IntDigitsLimit(limit)));
        }
        Ok(())
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
        let begin = self.position + digits + 1;
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| begin.checked_add(length))
            .filter(|end| fits && *end <= self.bound);
        let Some(end) = end else {
            let limit = self.options.limits.size;
            return Err(self.error(DecodeErrorKind::SizeLimit(limit)));
        };
        let Some(bytes) = self.input.get(begin..end) else {
            return Err(self.incomplete());
        };
        if mark == b':' {
            self.position = end;
            return Ok(Token::Bytes(bytes));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                self.position = end;
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
        if self.position >= self.bound {
            let limit = self.options.limits.size;
            return Err(self.error(DecodeErrorKind::SizeLimit(limit)));
        }
        self.stack.push(Frame::new(kind, self.position, self.keys.len()));
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
        let mut start = self.position;
        if let Some(frame) = self.stack.pop() {
            start = frame.start;
            if frame.unsorted {
                self.find_duplicate(frame.keys)?;
            }
            self.keys.truncate(frame.keys);
        }
        self.position += 1;
        self.watching = match self.stack.last() {
            None => true,
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

    /// A value that began at `start` has been read where it is watched.
    fn completed(&mut self, start: usize) -> Result<(), DecodeError> {
        let Some(frame) = self.stack.last_mut() else {
            let limit = self.options.limits.size;
            if self.position > self.bound {
                return Err(DecodeError::new(start, DecodeErrorKind::SizeLimit(limit)));
            }
            self.bound = self.position.saturating_add(limit);
            return Ok(());
        };
        let encoded = self.input.get(start..self.position).unwrap_or_default();
        match frame.kind {
            Kind::List => {}
            Kind::Record => {
                frame.last = Some(encoded);
                self.watching = false;
            }
            Kind::Dict if frame.after_key => frame.after_key = false,
            Kind::Dict | Kind::Set => {
                frame.after_key = frame.kind == Kind::Dict;
                let last = frame.last.replace(encoded);
                let strict = self.options.mode == Mode::Strict;
                match last.map(|last| last.cmp(encoded)) {
                    None | Some(Ordering::Less) => {}
                    Some(Ordering::Equal) => {
                        return Err(DecodeError::new(start, DecodeErrorKind::DuplicateKey));
                    }
                    Some(Ordering::Greater) if strict => {
                        return Err(DecodeError::new(start, DecodeErrorKind::UnsortedKey));
                    }
                    Some(Ordering::Greater) => frame.unsorted = true,
                }
                if !strict {
                    self.keys.push((start, self.position));
                    if frame.unsorted && self.keys.len() - frame.keys >= frame.compare_at {
                        // Doubling keeps what is remembered proportional to the keys
                        // that differ, and the comparisons to n log n.
                        frame.compare_at *= 2;
                        let keys = frame.keys;
                        self.find_duplicate(keys)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Looks for equal keys among those from `from` on, which it sorts.
    #[cold]
    fn find_duplicate(&mut self, from: usize) -> Result<(), DecodeError> {
        let input = self.input;
        let encoded = |place: &(usize, usize)| input.get(place.0..place.1);
        let keys = self.keys.get_mut(from..).unwrap_or_default();
        keys.sort_unstable_by(|one, two| encoded(one).cmp(&encoded(two)).then(one.cmp(two)));
        let repeated = keys
            .windows(2)
            .filter_map(|pair| match pair {
                [one, two] if encoded(one) == encoded(two) => Some(two.0),
                _ => None,
            })
            .min();
        match repeated {
            Some(offset) => Err(DecodeError::new(offset, DecodeErrorKind::DuplicateKey)),
            None => Ok(()),
        }
    }
}

impl Frame<'_> {
    const fn new(kind: Kind, start: usize, keys: usize) -> Self {
        let (after_key, unsorted, last, compare_at) = (false, false, None, 32);
        Self { kind, after_key, unsorted, start, last, keys, compare_at }
    }

    /// Whether a record's label has been read.
    const fn after_label(&self) -> bool {
        self.last.is_some()
    }
}
