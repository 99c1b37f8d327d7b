//! The conversions of what holds nothing else: numbers, texts, references.

use std::fmt;

use bytes::Bytes;
use captp::locator::Sturdyref;
use num_bigint::BigInt;
use smol_str::SmolStr;

use crate::convert::{FromValue, IntoValue, Mismatch, Type, Typed, settled};
use crate::{Fault, Promise, Ref, Value};

/// A symbol, such as a method's name; text is a `String`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(pub SmolStr);

impl Symbol {
    /// The symbol's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Symbol {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for Symbol {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

/// For a type with one kind of value: what it is, how to make it and what of.
macro_rules! atom {
    ($($name:ty, $type:expr, $own:ident => $into:expr, $($from:pat => $make:expr),+;)*) => {$(
        impl Typed for $name {
            const TYPE: &'static Type = &$type;
        }

        impl IntoValue for $name {
            fn into_value(self) -> Value {
                let $own = self;
                $into
            }
        }

        impl FromValue for $name {
            fn from_value(value: Value) -> Result<Self, Mismatch> {
                match settled(value) {
                    $($from => Ok($make),)+
                    other => Err(Mismatch::of(Self::TYPE.with_article(), &other)),
                }
            }
        }
    )*};
}

atom! {
    bool, Type::Boolean, own => Value::Bool(own), Value::Bool(value) => value;
    String, Type::String, own => Value::String(own.into()), Value::String(text) => text.into();
    SmolStr, Type::String, own => Value::String(own), Value::String(text) => text;
    Symbol, Type::Symbol, own => Value::Symbol(own.0), Value::Symbol(name) => Self(name);
    Bytes, Type::Bytes, own => Value::Bytes(own), Value::Bytes(bytes) => bytes;
    Sturdyref, Type::Sturdyref, own => own.into(), Value::Sturdyref(it) => *it;
    BigInt, Type::Integer, own => own.into(), Value::Int(it) => it.into(), Value::BigInt(it) => *it;
}

macro_rules! integer {
    ($($name:ty)*) => {$(
        impl Typed for $name {
            const TYPE: &'static Type = &Type::Integer;
        }

        impl IntoValue for $name {
            fn into_value(self) -> Value {
                i64::try_from(self).map_or_else(|_| Value::from(BigInt::from(self)), Value::Int)
            }
        }

        impl FromValue for $name {
            fn from_value(value: Value) -> Result<Self, Mismatch> {
                let expected = || format!("an integer from {} to {}", Self::MIN, Self::MAX);
                match settled(value) {
                    Value::Int(found) => Self::try_from(found)
                        .map_err(|_| Mismatch::new(expected(), found.to_string())),
                    // As large as it may be, its digits are not repeated.
                    Value::BigInt(found) => Self::try_from(&*found)
                        .map_err(|_| Mismatch::new(expected(), "one that is out of range")),
                    other => Err(Mismatch::of(Self::TYPE.with_article(), &other)),
                }
            }
        }
    )*};
}

integer! { i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize }

impl Typed for f64 {
    const TYPE: &'static Type = &Type::Float;
}

impl IntoValue for f64 {
    fn into_value(self) -> Value {
        Value::Float(self)
    }
}

impl FromValue for f64 {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        /// Up to here a float holds every integer.
        const EXACT: i64 = 1 << f64::MANTISSA_DIGITS;
        match settled(value) {
            Value::Float(float) => Ok(float),
            #[allow(clippy::cast_precision_loss, reason = "not within these bounds")]
            Value::Int(int) if (-EXACT..=EXACT).contains(&int) => Ok(int as Self),
            other => Err(Mismatch::of(Self::TYPE.with_article(), &other)),
        }
    }
}

impl Typed for f32 {
    const TYPE: &'static Type = &Type::Float;
}

impl IntoValue for f32 {
    fn into_value(self) -> Value {
        Value::Float(self.into())
    }
}

/// Rounded to the nearest.
impl FromValue for f32 {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        #[allow(clippy::cast_possible_truncation, reason = "documented")]
        f64::from_value(value).map(|float| float as Self)
    }
}

impl Typed for &str {
    const TYPE: &'static Type = &Type::String;
}

impl IntoValue for &str {
    fn into_value(self) -> Value {
        self.into()
    }
}

impl Typed for Value {
    const TYPE: &'static Type = &Type::Any;
}

impl IntoValue for Value {
    fn into_value(self) -> Value {
        self
    }
}

/// Takes every value as it is, promises that have settled too.
impl FromValue for Value {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        Ok(value)
    }
}

impl Typed for () {
    const TYPE: &'static Type = &Type::Undefined;
}

impl IntoValue for () {
    fn into_value(self) -> Value {
        Value::Undefined
    }
}

/// Takes undefined and null.
impl FromValue for () {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match settled(value) {
            Value::Undefined | Value::Null => Ok(()),
            other => Err(Mismatch::of("undefined", &other)),
        }
    }

    fn absent() -> Option<Self> {
        Some(())
    }
}

impl Typed for Ref {
    const TYPE: &'static Type = &Type::Reference(None);
}

impl IntoValue for Ref {
    fn into_value(self) -> Value {
        Value::Ref(self)
    }
}

/// Takes a promise as it is, settled or not: messages to it must not overtake each
/// other.
impl FromValue for Ref {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::Ref(reference) => Ok(reference),
            other => Err(Mismatch::of(Self::TYPE.with_article(), &other)),
        }
    }
}

impl Typed for Promise {
    const TYPE: &'static Type = &Type::Promise(&Type::Any);
}

impl IntoValue for Promise {
    fn into_value(self) -> Value {
        self.into()
    }
}

/// Takes every value: what is no promise is one that has settled.
impl FromValue for Promise {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        Ok(match value {
            Value::Ref(reference) => Self(reference),
            other => Self::settled(Ok(other)),
        })
    }
}

impl Typed for Fault {
    const TYPE: &'static Type = &Type::Error;
}

impl IntoValue for Fault {
    fn into_value(self) -> Value {
        Self::into_value(self)
    }
}

/// Takes errors only, though promises may break with anything.
impl FromValue for Fault {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match settled(value) {
            error @ Value::Error(_) => Ok(error.into()),
            other => Err(Mismatch::of(Self::TYPE.with_article(), &other)),
        }
    }
}
