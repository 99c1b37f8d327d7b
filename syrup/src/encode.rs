//! Writing Syrup.

use std::error::Error;
use std::fmt;

use num_bigint::{BigInt, Sign};
use smallvec::SmallVec;

/// Writes Syrup to the end of a buffer, a token at a time.
///
/// What is written is canonical as long as the entries of dictionaries and sets are
/// written in the order of their encoded bytes, which [`Encoder::dict`] and
/// [`Encoder::set`] see to.
///
/// ```
/// let mut bytes = Vec::new();
/// let mut out = syrup::Encoder::new(&mut bytes);
/// out.begin_record();
/// out.symbol("point");
/// out.int(3);
/// out.int(-4);
/// out.end_record();
/// assert_eq!(bytes, b"<5'point3+4->");
/// ```
#[derive(Debug)]
pub struct Encoder<'o> {
    out: &'o mut Vec<u8>,
}

/// Where an entry of a dictionary or set has been written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) begin: usize,
    pub(crate) key_end: usize,
    pub(crate) end: usize,
}

pub(crate) type Places = SmallVec<[Place; 8]>;

/// Brings the entries at the end of `out` into canonical order.
pub(crate) fn sort_entries(out: &mut Vec<u8>, places: &mut Places) -> Result<(), DuplicateKey> {
    let key = |place: &Place| out.get(place.begin..place.key_end);
    if places.is_sorted_by(|one, two| key(one) < key(two)) {
        return Ok(());
    }
    let start = places.first().map_or(out.len(), |place| place.begin);
    places.sort_by(|one, two| key(one).cmp(&key(two)));
    if !places.is_sorted_by(|one, two| key(one) < key(two)) {
        return Err(DuplicateKey);
    }
    let unordered = out.split_off(start);
    for place in &*places {
        let entry = unordered.get(place.begin - start..place.end - start);
        out.extend_from_slice(entry.unwrap_or_default());
    }
    Ok(())
}

/// Two entries of a dictionary or set have the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuplicateKey;

impl fmt::Display for DuplicateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key occurs twice")
    }
}

impl Error for DuplicateKey {}

impl<'o> Encoder<'o> {
    /// Writes at the end of `out`.
    #[inline]
    pub const fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out }
    }

    /// The buffer.
    #[inline]
    pub const fn out(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// A boolean.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.out.push(if value { b't' } else { b'f' });
    }

    /// A signed integer.
    #[inline]
    pub fn int(&mut self, value: i64) {
        self.number(value.unsigned_abs(), if value < 0 { b'-' } else { b'+' });
    }

    /// An unsigned integer.
    #[inline]
    pub fn uint(&mut self, value: u64) {
        self.number(value, b'+');
    }

    /// An integer of any size.
    pub fn bigint(&mut self, value: &BigInt) {
        self.out.extend_from_slice(value.magnitude().to_str_radix(10).as_bytes());
        self.out.push(if value.sign() == Sign::Minus { b'-' } else { b'+' });
    }

    /// A double-precision float.
    #[inline]
    pub fn f64(&mut self, value: f64) {
        self.out.push(b'D');
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    /// A single-precision float.
    #[inline]
    pub fn f32(&mut self, value: f32) {
        self.out.push(b'F');
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    /// A byte array.
    #[inline]
    pub fn bytes(&mut self, value: &[u8]) {
        self.literal(value, b':');
    }

    /// Only what stands before a byte array's bytes. The caller sends exactly
    /// `length` bytes after it by other means.
    #[inline]
    pub fn bytes_header(&mut self, length: usize) {
        self.number(length as u64, b':');
    }

    /// A string.
    #[inline]
    pub fn string(&mut self, value: &str) {
        self.literal(value.as_bytes(), b'"');
    }

    /// A symbol.
    #[inline]
    pub fn symbol(&mut self, value: &str) {
        self.literal(value.as_bytes(), b'\'');
    }

    /// Opens a list; its elements follow.
    #[inline]
    pub fn begin_list(&mut self) {
        self.out.push(b'[');
    }

    /// Closes a list.
    #[inline]
    pub fn end_list(&mut self) {
        self.out.push(b']');
    }

    /// Opens a record; its label follows, then its fields.
    #[inline]
    pub fn begin_record(&mut self) {
        self.out.push(b'<');
    }

    /// Closes a record.
    #[inline]
    pub fn end_record(&mut self) {
        self.out.push(b'>');
    }

    /// Opens a dictionary; keys and values follow in turn, in the order of the keys'
    /// encoded bytes. [`Encoder::dict`] sorts.
    #[inline]
    pub fn begin_dict(&mut self) {
        self.out.push(b'{');
    }

    /// Closes a dictionary.
    #[inline]
    pub fn end_dict(&mut self) {
        self.out.push(b'}');
    }

    /// Opens a set; its members follow, in the order of their encoded bytes.
    /// [`Encoder::set`] sorts.
    #[inline]
    pub fn begin_set(&mut self) {
        self.out.push(b'#');
    }

    /// Closes a set.
    #[inline]
    pub fn end_set(&mut self) {
        self.out.push(b'$');
    }

    /// Something that is Syrup already.
    #[inline]
    pub fn raw(&mut self, encoded: &[u8]) {
        self.out.extend_from_slice(encoded);
    }

    /// A dictionary in canonical order, from entries in any order.
    ///
    /// # Errors
    ///
    /// If two keys are the same; nothing is written then.
    pub fn dict<K, V>(
        &mut self,
        entries: impl IntoIterator<Item = (K, V)>,
        mut key: impl FnMut(&mut Encoder<'_>, K),
        mut value: impl FnMut(&mut Encoder<'_>, V),
    ) -> Result<(), DuplicateKey> {
        self.sorted(b'{', b'}', entries, |out, (k, v)| {
            key(out, k);
            let split = out.out.len();
            value(out, v);
            split
        })
    }

    /// A set in canonical order, from members in any order.
    ///
    /// # Errors
    ///
    /// If two members are the same; nothing is written then.
    pub fn set<T>(
        &mut self,
        members: impl IntoIterator<Item = T>,
        mut member: impl FnMut(&mut Encoder<'_>, T),
    ) -> Result<(), DuplicateKey> {
        self.sorted(b'#', b'$', members, |out, value| {
            member(out, value);
            out.out.len()
        })
    }

    /// Writes entries one after the other, then sorts them in place if they are not
    /// sorted yet. `write` gives where the entry's key ends.
    fn sorted<T>(
        &mut self,
        open: u8,
        close: u8,
        entries: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Encoder<'_>, T) -> usize,
    ) -> Result<(), DuplicateKey> {
        let before = self.out.len();
        self.out.push(open);
        let mut places = Places::new();
        for entry in entries {
            let begin = self.out.len();
            let key_end = write(self, entry);
            places.push(Place { begin, key_end, end: self.out.len() });
        }
        if let Err(duplicate) = sort_entries(self.out, &mut places) {
            self.out.truncate(before);
            return Err(duplicate);
        }
        self.out.push(close);
        Ok(())
    }

    #[inline]
    fn literal(&mut self, value: &[u8], mark: u8) {
        self.number(value.len() as u64, mark);
        self.out.extend_from_slice(value);
    }

    #[inline]
    fn number(&mut self, value: u64, mark: u8) {
        // Most numbers are lengths and positions of one or two digits.
        #[allow(clippy::cast_possible_truncation, reason = "checked to be below 100")]
        if value < 10 {
            self.out.extend_from_slice(&[b'0' + value as u8, mark]);
        } else if value < 100 {
            let value = value as u8;
            self.out.extend_from_slice(&[b'0' + value / 10, b'0' + value % 10, mark]);
        } else {
            let mut buffer = itoa::Buffer::new();
            self.out.extend_from_slice(buffer.format(value).as_bytes());
            self.out.push(mark);
        }
    }
}
