//! Values that own their parts and know their canonical order.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use num_bigint::BigInt;

use crate::decode::Decoder;
use crate::encode::{DuplicateKey, Encoder};
use crate::error::DecodeError;
use crate::options::Options;
use crate::value::tree::{self, Atom, Build};

/// A value that owns its parts.
///
/// Two values are equal exactly when their canonical encodings are, and their order is
/// that of their canonical encodings: the order that dictionary keys are in. A float is
/// therefore equal to one with the same bits, NaN included, and never to an integer.
///
/// ```
/// use syrup::Value;
///
/// let value = Value::decode(b"{2\"be2+1\"a1+}")?;
/// let Value::Dict(entries) = &value else { panic!() };
/// assert_eq!(entries.get(&Value::from("a")), Some(&Value::from(1)));
/// assert_eq!(value.to_vec(), b"{1\"a1+2\"be2+}");
/// # Ok::<_, syrup::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub enum Value {
    /// A boolean.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// An integer that does not. [`Value::from`] a [`BigInt`] picks the right variant.
    BigInt(Box<BigInt>),
    /// A single-precision float.
    F32(f32),
    /// A double-precision float.
    F64(f64),
    /// A byte array.
    Bytes(Vec<u8>),
    /// A string.
    String(String),
    /// A symbol.
    Symbol(String),
    /// A list.
    List(Vec<Value>),
    /// A dictionary.
    Dict(Dict),
    /// A set.
    Set(Set),
    /// A record.
    Record(Record),
}

impl Value {
    /// A symbol.
    #[must_use]
    pub fn symbol(text: impl Into<String>) -> Self {
        Self::Symbol(text.into())
    }

    /// A byte array.
    #[must_use]
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Bytes(bytes.into())
    }

    /// A record with a symbol for a label.
    #[must_use]
    pub fn record(label: &str, fields: impl IntoIterator<Item = Self>) -> Self {
        Self::Record(Record::new(Self::symbol(label), fields))
    }

    /// Reads the one value that `input` holds; tolerant, with the default limits.
    ///
    /// # Errors
    ///
    /// If `input` is not exactly one value within the limits.
    pub fn decode(input: &[u8]) -> Result<Self, DecodeError> {
        tree::read_all(input, &Options::default())
    }

    /// Reads the one value that `input` holds, with the options given.
    ///
    /// # Errors
    ///
    /// If `input` is not exactly one value as the options want it, or nests deeper than
    /// [`MAX_TREE_DEPTH`](crate::MAX_TREE_DEPTH).
    pub fn decode_with(input: &[u8], options: &Options) -> Result<Self, DecodeError> {
        tree::read_all(input, options)
    }

    /// Reads the next value.
    ///
    /// # Errors
    ///
    /// If it is malformed or over a limit, or there is none but the end of a container.
    pub fn read(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        tree::read(input)
    }

    /// Writes the value's canonical encoding.
    pub fn encode(&self, out: &mut Encoder<'_>) {
        match self {
            Self::Bool(value) => out.bool(*value),
            Self::Int(value) => out.int(*value),
            Self::BigInt(value) => out.bigint(value),
            Self::F32(value) => out.f32(*value),
            Self::F64(value) => out.f64(*value),
            Self::Bytes(value) => out.bytes(value),
            Self::String(value) => out.string(value),
            Self::Symbol(value) => out.symbol(value),
            Self::List(items) => {
                out.begin_list();
                items.iter().for_each(|item| item.encode(out));
                out.end_list();
            }
            Self::Record(record) => {
                out.begin_record();
                record.parts.iter().for_each(|part| part.encode(out));
                out.end_record();
            }
            Self::Dict(dict) => {
                out.begin_dict();
                for (key, value) in dict.iter() {
                    key.encode(out);
                    value.encode(out);
                }
                out.end_dict();
            }
            Self::Set(set) => {
                out.begin_set();
                set.iter().for_each(|member| member.encode(out));
                out.end_set();
            }
        }
    }

    /// The value's canonical encoding.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encode(&mut Encoder::new(&mut bytes));
        bytes
    }
}

/// The order of two strings or two symbols: their lengths are compared as they are
/// written, so that `10"…` comes before `2"…`. Byte arrays are different, since their
/// mark sorts after the digits.
fn texts(one: &[u8], two: &[u8]) -> Ordering {
    as_written(one.len(), two.len()).then_with(|| one.cmp(two))
}

/// The order of two numbers' decimal digits, read as text.
fn as_written(one: usize, two: usize) -> Ordering {
    let digits = |number: usize| number.checked_ilog10().unwrap_or(0);
    match digits(one).cmp(&digits(two)) {
        Ordering::Equal => one.cmp(&two),
        // The shorter comes first where the longer only goes on.
        Ordering::Less => {
            let front = two / 10usize.pow(digits(two) - digits(one));
            one.cmp(&front).then(Ordering::Less)
        }
        Ordering::Greater => as_written(two, one).reverse(),
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bytes(one), Self::Bytes(two)) if one.len() == two.len() => one.cmp(two),
            (Self::String(one), Self::String(two)) | (Self::Symbol(one), Self::Symbol(two)) => {
                texts(one.as_bytes(), two.as_bytes())
            }
            (Self::Bool(one), Self::Bool(two)) => one.cmp(two),
            _ => self.to_vec().cmp(&other.to_vec()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(one), Self::Bool(two)) => one == two,
            (Self::Int(one), Self::Int(two)) => one == two,
            (Self::BigInt(one), Self::BigInt(two)) => one == two,
            (Self::Int(small), Self::BigInt(big)) | (Self::BigInt(big), Self::Int(small)) => {
                **big == BigInt::from(*small)
            }
            (Self::F32(one), Self::F32(two)) => one.to_bits() == two.to_bits(),
            (Self::F64(one), Self::F64(two)) => one.to_bits() == two.to_bits(),
            (Self::Bytes(one), Self::Bytes(two)) => one == two,
            (Self::String(one), Self::String(two)) | (Self::Symbol(one), Self::Symbol(two)) => {
                one == two
            }
            (Self::List(one), Self::List(two)) => one == two,
            (Self::Dict(one), Self::Dict(two)) => one == two,
            (Self::Set(one), Self::Set(two)) => one == two,
            (Self::Record(one), Self::Record(two)) => one == two,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Bool(value) => (0u8, value).hash(state),
            // Both kinds of integer alike, since they may be equal.
            Self::Int(value) => (1u8, BigInt::from(*value)).hash(state),
            Self::BigInt(value) => (1u8, value).hash(state),
            Self::F32(value) => (2u8, value.to_bits()).hash(state),
            Self::F64(value) => (3u8, value.to_bits()).hash(state),
            Self::Bytes(value) => (4u8, value).hash(state),
            Self::String(value) => (5u8, value).hash(state),
            Self::Symbol(value) => (6u8, value).hash(state),
            Self::List(items) => (7u8, items).hash(state),
            Self::Dict(dict) => (8u8, dict).hash(state),
            Self::Set(set) => (9u8, set).hash(state),
            Self::Record(record) => (10u8, record).hash(state),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<BigInt> for Value {
    fn from(value: BigInt) -> Self {
        match i64::try_from(&value) {
            Ok(small) => Self::Int(small),
            Err(_) => Self::BigInt(Box::new(value)),
        }
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::F64(value)
    }
}

impl From<f32> for Value {
    fn from(value: f32) -> Self {
        Self::F32(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl From<Vec<Self>> for Value {
    fn from(items: Vec<Self>) -> Self {
        Self::List(items)
    }
}

/// A dictionary: entries in the canonical order of their keys, no key twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Dict {
    /// Keys and values in turn, as reading finds them.
    alternating: Vec<Value>,
}

impl Dict {
    /// A dictionary from entries in any order.
    ///
    /// # Errors
    ///
    /// If a key occurs twice.
    pub fn new(entries: impl IntoIterator<Item = (Value, Value)>) -> Result<Self, DuplicateKey> {
        let entries = entries.into_iter();
        Self::of_alternating(entries.flat_map(<[Value; 2]>::from).collect())
    }

    fn of_alternating(mut alternating: Vec<Value>) -> Result<Self, DuplicateKey> {
        sort(alternating.as_chunks_mut().0, |[key, _]| key)?;
        Ok(Self { alternating })
    }

    fn entries(&self) -> &[[Value; 2]] {
        self.alternating.as_chunks().0
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &Value) -> Option<&Value> {
        let found = self.entries().binary_search_by(|[each, _]| each.cmp(key));
        self.entries().get(found.ok()?).map(|[_, value]| value)
    }

    /// The entries in canonical order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Value, &Value)> {
        self.entries().iter().map(|[key, value]| (key, value))
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.alternating.len() / 2
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.alternating.is_empty()
    }
}

impl IntoIterator for Dict {
    type Item = (Value, Value);
    type IntoIter = Entries;

    fn into_iter(self) -> Self::IntoIter {
        Entries { alternating: self.alternating.into_iter() }
    }
}

/// The entries of a [`Dict`], by value.
#[derive(Clone, Debug)]
pub struct Entries {
    alternating: std::vec::IntoIter<Value>,
}

impl Iterator for Entries {
    type Item = (Value, Value);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.alternating.next()?, self.alternating.next()?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let entries = self.alternating.len() / 2;
        (entries, Some(entries))
    }
}

impl ExactSizeIterator for Entries {}

/// A set: members in canonical order, none twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Set {
    members: Vec<Value>,
}

impl Set {
    /// A set from members in any order.
    ///
    /// # Errors
    ///
    /// If a member occurs twice.
    pub fn new(members: impl IntoIterator<Item = Value>) -> Result<Self, DuplicateKey> {
        let mut members: Vec<_> = members.into_iter().collect();
        sort(&mut members, |member| member)?;
        Ok(Self { members })
    }

    /// Whether a value is a member.
    #[must_use]
    pub fn contains(&self, member: &Value) -> bool {
        self.members.binary_search(member).is_ok()
    }

    /// The members in canonical order.
    pub fn iter(&self) -> std::slice::Iter<'_, Value> {
        self.members.iter()
    }

    /// How many members there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl IntoIterator for Set {
    type Item = Value;
    type IntoIter = std::vec::IntoIter<Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter()
    }
}

/// Sorts what is not sorted yet.
fn sort<T>(entries: &mut [T], key: impl Fn(&T) -> &Value) -> Result<(), DuplicateKey> {
    let increases = |entries: &[T]| entries.is_sorted_by(|one, two| key(one) < key(two));
    if increases(entries) {
        return Ok(());
    }
    entries.sort_by(|one, two| key(one).cmp(key(two)));
    if increases(entries) { Ok(()) } else { Err(DuplicateKey) }
}

/// A record: a label and fields.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// The label, then the fields.
    parts: Vec<Value>,
}

impl Record {
    /// A record.
    #[must_use]
    pub fn new(label: Value, fields: impl IntoIterator<Item = Value>) -> Self {
        let mut parts = vec![label];
        parts.extend(fields);
        Self { parts }
    }

    /// The label; a symbol by convention.
    #[must_use]
    pub fn label(&self) -> &Value {
        // `Record` has no constructor without a label.
        self.parts.first().unwrap_or(&Value::Bool(false))
    }

    /// The fields.
    #[must_use]
    pub fn fields(&self) -> &[Value] {
        self.parts.get(1..).unwrap_or_default()
    }
}

impl<'a> Build<'a> for Value {
    #[inline]
    fn atom(atom: Atom<'a>) -> Self {
        match atom {
            Atom::Bool(value) => Self::Bool(value),
            Atom::Int(value) => Self::Int(value),
            Atom::BigInt(value) => Self::from(value.to_bigint()),
            Atom::F32(value) => Self::F32(value),
            Atom::F64(value) => Self::F64(value),
            Atom::Bytes(value) => Self::Bytes(value.to_owned()),
            Atom::String(value) => Self::String(value.to_owned()),
            Atom::Symbol(value) => Self::Symbol(value.to_owned()),
        }
    }

    fn list(items: Vec<Self>) -> Self {
        Self::List(items)
    }

    fn record(parts: Vec<Self>) -> Self {
        // The decoder has seen the label.
        Self::Record(Record { parts })
    }

    fn dict(alternating: Vec<Self>) -> Option<Self> {
        Dict::of_alternating(alternating).ok().map(Self::Dict)
    }

    fn set(members: Vec<Self>) -> Option<Self> {
        Set::new(members).ok().map(Self::Set)
    }
}
