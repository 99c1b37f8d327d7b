//! Passables: the values that OCapN messages carry, generic over the runtime's
//! reference type.
//!
//! Owns the value type and the small value structs inside it. How they are
//! written on the wire is `wire`'s concern.

use bytes::Bytes;
use num_bigint::BigInt;
use smol_str::SmolStr;

use crate::locator::Sturdyref;

/// A value that may be passed in a message ("Passable" in the OCapN model).
///
/// `R` is the runtime's reference type: a capability to an object or a promise.
#[derive(Clone, Debug, PartialEq, Default)]
#[non_exhaustive]
pub enum Passable<R> {
    /// No value: what a method that returns nothing answers.
    #[default]
    Undefined,
    /// The null of languages that have one. Goblins has none: it gets
    /// [`Passable::Undefined`].
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer that fits 64 bits. Integers are kept here whenever they fit.
    Int(i64),
    /// An integer that does not fit 64 bits.
    BigInt(Box<BigInt>),
    /// A double-precision float. All NaNs are one value on the wire; -0.0 is kept,
    /// which Endo refuses. Single-precision ones that come in are widened; none are
    /// sent.
    Float(f64),
    /// A Unicode string, beyond the basic plane too (Endo can't send those).
    String(SmolStr),
    /// A symbol, such as a method name.
    Symbol(SmolStr),
    /// A byte array. Received ones are slices of the read buffer, not copies.
    Bytes(Bytes),
    /// An ordered list.
    List(Vec<Passable<R>>),
    /// A mapping from strings to values, in canonical key order once encoded.
    Struct(Vec<(SmolStr, Passable<R>)>),
    /// A mapping with keys that are not all strings, such as symbols; some peers send
    /// them, and Endo refuses them.
    Map(Vec<(Passable<R>, Passable<R>)>),
    /// A set; some peers send them, and Endo refuses them.
    Set(Vec<Passable<R>>),
    /// A tagged value.
    Tagged(Box<Tagged<R>>),
    /// An error value, an open record.
    Error(Box<ErrorValue<R>>),
    /// A sturdyref passed as data; nothing enlivens it by itself.
    Sturdyref(Box<Sturdyref>),
    /// A record with a label that we give no meaning to, kept as it came.
    Record(Box<Record<R>>),
    /// A value encoded before, sent as it is: what is signed must not be encoded
    /// anew. Never received.
    Encoded(Bytes),
    /// A capability: an object or a promise, near or far.
    Ref(R),
}

/// A value with a tag that says how to read it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tagged<R> {
    /// The tag.
    pub tag: SmolStr,
    /// What is tagged.
    pub value: Passable<R>,
}

/// An error as it crosses the wire: an open record (#248, #289) of a message for people
/// and whatever else its maker put in. Carries no local detail such as a backtrace.
///
/// What came is kept, and goes on as it came to a peer that takes it; a peer that
/// does not gets the message.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorValue<R> {
    /// What went wrong, for people; [`ErrorValue::UNSAID`] if the peer did not say.
    pub message: SmolStr,
    /// Fields beyond the message, in the order they came: in #248's shape an identifier
    /// and data.
    pub fields: Vec<Passable<R>>,
    /// The record label it arrived with, when it was not `desc:error`
    /// (`exn:fail:mystery`, say).
    pub label: Option<SmolStr>,
}

impl<R> ErrorValue<R> {
    /// The message of an error that came without one.
    pub const UNSAID: &'static str = "the other side does not say what went wrong";

    /// Whether the error came without a message.
    pub(crate) fn is_unsaid(&self) -> bool {
        self.message == Self::UNSAID
    }
}

/// A record with an arbitrary label.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<R> {
    /// The label, a symbol in all known dialects.
    pub label: Passable<R>,
    /// The fields, in order.
    pub fields: Vec<Passable<R>>,
}

impl<R> Passable<R> {
    /// A symbol from a static name, without an allocation.
    #[must_use]
    pub const fn symbol(name: &'static str) -> Self {
        Self::Symbol(SmolStr::new_static(name))
    }

    /// A string.
    pub fn string(text: impl Into<SmolStr>) -> Self {
        Self::String(text.into())
    }

    /// An error with a message for people.
    pub fn error(message: impl Into<SmolStr>) -> Self {
        Self::Error(Box::new(ErrorValue {
            message: message.into(),
            fields: Vec::new(),
            label: None,
        }))
    }

    /// The name, if this is a symbol.
    #[must_use]
    pub fn as_symbol(&self) -> Option<&str> {
        match self {
            Self::Symbol(name) => Some(name),
            _ => None,
        }
    }

    /// The text, if this is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if this is one that fits 64 bits.
    #[must_use]
    pub const fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The reference, if this is one.
    #[must_use]
    pub const fn as_ref(&self) -> Option<&R> {
        match self {
            Self::Ref(reference) => Some(reference),
            _ => None,
        }
    }

    /// Whether this is an atom, and so holds no reference.
    #[must_use]
    pub const fn is_plain_atom(&self) -> bool {
        matches!(
            self,
            Self::Undefined
                | Self::Null
                | Self::Bool(_)
                | Self::Int(_)
                | Self::BigInt(_)
                | Self::Float(_)
                | Self::String(_)
                | Self::Symbol(_)
                | Self::Bytes(_)
        )
    }

    /// What kind of value this is, for error messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Undefined => "undefined",
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Int(_) | Self::BigInt(_) => "integer",
            Self::Float(_) => "float",
            Self::String(_) => "string",
            Self::Symbol(_) => "symbol",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Struct(_) => "struct",
            Self::Map(_) => "map",
            Self::Set(_) => "set",
            Self::Tagged(_) => "tagged value",
            Self::Error(_) => "error",
            Self::Sturdyref(_) => "sturdyref",
            Self::Record(_) => "record",
            Self::Encoded(_) => "encoded value",
            Self::Ref(_) => "reference",
        }
    }
}

macro_rules! from {
    ($($source:ty => |$value:ident| $build:expr;)*) => {$(
        impl<R> From<$source> for Passable<R> {
            fn from($value: $source) -> Self {
                $build
            }
        }
    )*};
}

from! {
    () => |_value| Self::Undefined;
    bool => |value| Self::Bool(value);
    i32 => |value| Self::Int(value.into());
    u32 => |value| Self::Int(value.into());
    i64 => |value| Self::Int(value);
    u64 => |value| i64::try_from(value).map_or_else(|_| Self::BigInt(Box::new(value.into())), Self::Int);
    f64 => |value| Self::Float(value);
    &str => |value| Self::String(value.into());
    String => |value| Self::String(value.into());
    Bytes => |value| Self::Bytes(value);
    BigInt => |value| i64::try_from(&value).map_or_else(|_| Self::BigInt(Box::new(value)), Self::Int);
    Sturdyref => |value| Self::Sturdyref(Box::new(value));
}

impl<R, T: Into<Self>> From<Vec<T>> for Passable<R> {
    fn from(items: Vec<T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

impl<R, T: Into<Self>> From<Option<T>> for Passable<R> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Undefined, Into::into)
    }
}
