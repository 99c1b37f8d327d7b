//! Values that borrow their texts and bytes from the input.

use std::cell::Cell;

use crate::decode::{BigDigits, Decoder};
use crate::encode::{DuplicateKey, Encoder};
use crate::error::DecodeError;
use crate::options::Options;
use crate::value::tree::{self, Atom, Build};

/// A value whose texts and bytes are slices of the input.
///
/// Dictionaries and sets are in the order in which they came, which is the canonical
/// one after strict decoding. Encoding sorts them. Floats are compared as numbers and
/// entries in their order; [`Value`](crate::Value) compares canonically.
///
/// ```
/// use syrup::ValueRef;
///
/// let value = ValueRef::decode(b"<5'point3+4->")?;
/// let ValueRef::Record(parts) = &value else { panic!() };
/// assert_eq!(parts[..], [ValueRef::Symbol("point"), ValueRef::Int(3), ValueRef::Int(-4)]);
/// # Ok::<_, syrup::DecodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum ValueRef<'a> {
    /// A boolean.
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
    /// A list.
    List(Vec<ValueRef<'a>>),
    /// A dictionary.
    Dict(Vec<(ValueRef<'a>, ValueRef<'a>)>),
    /// A set.
    Set(Vec<ValueRef<'a>>),
    /// A record: its label, then its fields.
    Record(Vec<ValueRef<'a>>),
}

impl<'a> ValueRef<'a> {
    /// Reads the one value that `input` holds; tolerant, with the default limits.
    ///
    /// # Errors
    ///
    /// If `input` is not exactly one value within the limits.
    pub fn decode(input: &'a [u8]) -> Result<Self, DecodeError> {
        tree::read_all(input, &Options::default())
    }

    /// Reads the one value that `input` holds, with the options given.
    ///
    /// # Errors
    ///
    /// If `input` is not exactly one value as the options want it, or nests deeper than
    /// [`MAX_TREE_DEPTH`](crate::MAX_TREE_DEPTH).
    pub fn decode_with(input: &'a [u8], options: &Options) -> Result<Self, DecodeError> {
        tree::read_all(input, options)
    }

    /// Reads the next value.
    ///
    /// # Errors
    ///
    /// If it is malformed or over a limit, or there is none but the end of a container.
    pub fn read(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        tree::read(input)
    }

    /// Writes the value, with dictionaries and sets in canonical order.
    ///
    /// # Errors
    ///
    /// If a dictionary or set has the same key or member twice; decoded ones only have
    /// when tolerance let the two be written differently. What was written before the
    /// error stays in the buffer.
    pub fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DuplicateKey> {
        match self {
            Self::Bool(value) => out.bool(*value),
            Self::Int(value) => out.int(*value),
            Self::BigInt(value) => out.bigint(&value.to_bigint()),
            Self::F32(value) => out.f32(*value),
            Self::F64(value) => out.f64(*value),
            Self::Bytes(value) => out.bytes(value),
            Self::String(value) => out.string(value),
            Self::Symbol(value) => out.symbol(value),
            Self::List(items) => {
                out.begin_list();
                items.iter().try_for_each(|item| item.encode(out))?;
                out.end_list();
            }
            Self::Record(parts) => {
                out.begin_record();
                parts.iter().try_for_each(|part| part.encode(out))?;
                out.end_record();
            }
            Self::Dict(entries) => {
                let inner = Cell::new(Ok(()));
                out.dict(
                    entries.iter().map(|(key, value)| (key, value)),
                    |out, key| inner.set(inner.get().and(key.encode(out))),
                    |out, value| inner.set(inner.get().and(value.encode(out))),
                )?;
                return inner.get();
            }
            Self::Set(members) => {
                let inner = Cell::new(Ok(()));
                out.set(members, |out, member| {
                    inner.set(inner.get().and(member.encode(out)));
                })?;
                return inner.get();
            }
        }
        Ok(())
    }
}

impl<'a> Build<'a> for ValueRef<'a> {
    #[inline]
    fn atom(atom: Atom<'a>) -> Self {
        match atom {
            Atom::Bool(value) => Self::Bool(value),
            Atom::Int(value) => Self::Int(value),
            Atom::BigInt(value) => Self::BigInt(value),
            Atom::F32(value) => Self::F32(value),
            Atom::F64(value) => Self::F64(value),
            Atom::Bytes(value) => Self::Bytes(value),
            Atom::String(value) => Self::String(value),
            Atom::Symbol(value) => Self::Symbol(value),
        }
    }

    fn list(items: Vec<Self>) -> Self {
        Self::List(items)
    }

    fn record(parts: Vec<Self>) -> Self {
        Self::Record(parts)
    }

    fn dict(alternating: Vec<Self>) -> Option<Self> {
        let mut entries = Vec::with_capacity(alternating.len() / 2);
        let mut alternating = alternating.into_iter();
        while let (Some(key), Some(value)) = (alternating.next(), alternating.next()) {
            entries.push((key, value));
        }
        Some(Self::Dict(entries))
    }

    fn set(members: Vec<Self>) -> Option<Self> {
        Some(Self::Set(members))
    }
}
