//! Structs and tagged values, field by field: what derived conversions are made of.

use std::fmt::Write as _;

use captp::Tagged;
use smol_str::SmolStr;

use crate::Value;
use crate::convert::{FromValue, IntoValue, Mismatch, Type, settled};

/// A struct in the making.
#[derive(Debug, Default)]
pub struct FieldsOut(Vec<(SmolStr, Value)>);

impl FieldsOut {
    /// One more field; what is optional and not there is left out.
    #[must_use]
    pub fn with<T: IntoValue>(mut self, name: &'static str, value: T) -> Self {
        let value = value.into_value();
        if !matches!((T::TYPE, &value), (Type::Optional(_), Value::Undefined)) {
            self.0.push((SmolStr::new_static(name), value));
        }
        self
    }

    /// The struct.
    #[must_use]
    pub fn into_value(self) -> Value {
        Value::Struct(self.0)
    }
}

/// A struct being taken apart.
#[derive(Debug)]
pub struct FieldsIn(Vec<(SmolStr, Value)>);

impl FieldsIn {
    /// The fields of a struct.
    ///
    /// # Errors
    ///
    /// If the value is none.
    pub fn of(value: Value, expected: &Type) -> Result<Self, Mismatch> {
        match settled(value) {
            Value::Struct(fields) => Ok(Self(fields)),
            other => Err(Mismatch::of(expected.with_article(), &other)),
        }
    }

    fn take<T: FromValue>(&mut self, name: &str) -> Option<Result<T, Mismatch>> {
        let at = self.0.iter().position(|(field, _)| field == name)?;
        let (_, value) = self.0.swap_remove(at);
        if value == Value::Undefined && !matches!(T::TYPE, Type::Any | Type::Undefined) {
            return T::absent().map(Ok);
        }
        Some(T::from_value(value).map_err(|wrong| wrong.within(format_args!("field {name:?}"))))
    }

    /// A field.
    ///
    /// # Errors
    ///
    /// If it does not fit, or is not there and can't be left out.
    pub fn required<T: FromValue>(&mut self, name: &str) -> Result<T, Mismatch> {
        self.take(name).or_else(|| T::absent().map(Ok)).unwrap_or_else(|| {
            let missing = Mismatch::new(T::TYPE.with_article(), "nothing");
            Err(missing.within(format_args!("field {name:?}")))
        })
    }

    /// A field, or something else if it is not there.
    ///
    /// # Errors
    ///
    /// If it is there and does not fit.
    pub fn or<T: FromValue>(&mut self, name: &str, default: T) -> Result<T, Mismatch> {
        self.take(name).unwrap_or(Ok(default))
    }

    /// A field, or its type's default if it is not there.
    ///
    /// # Errors
    ///
    /// If it is there and does not fit.
    pub fn or_default<T: FromValue + Default>(&mut self, name: &str) -> Result<T, Mismatch> {
        self.take(name).unwrap_or_else(|| Ok(T::default()))
    }

    /// Sees to it that nothing is left.
    ///
    /// # Errors
    ///
    /// If there is a field that nobody has asked for.
    pub fn end(self) -> Result<(), Mismatch> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                Err(Mismatch::new("no further fields", format!("the field {name:?}")))
            }
        }
    }
}

/// A value with a tag.
#[must_use]
pub fn tagged(tag: &'static str, value: Value) -> Value {
    Value::Tagged(Box::new(Tagged { tag: SmolStr::new_static(tag), value }))
}

/// The tag, and what is tagged. A symbol is a tag with nothing.
///
/// # Errors
///
/// If the value is neither.
pub fn tag_of(value: Value, expected: &[&str]) -> Result<(SmolStr, Option<Value>), Mismatch> {
    match settled(value) {
        Value::Symbol(name) => Ok((name, None)),
        Value::Tagged(tagged) => Ok((tagged.tag, Some(tagged.value))),
        other => Err(Mismatch::of(one_of(expected), &other)),
    }
}

/// What is made, or the place where that went wrong.
///
/// # Errors
///
/// That of making it.
pub fn within<T>(place: &str, make: impl FnOnce() -> Result<T, Mismatch>) -> Result<T, Mismatch> {
    make().map_err(|wrong| wrong.within(place))
}

/// That a tag, or a symbol, is none of those that there are.
#[must_use]
pub fn alternatives(expected: &[&str], tag: &str, content: Option<&Value>) -> Mismatch {
    let found = if content.is_some() { "the tag" } else { "the symbol" };
    Mismatch::new(one_of(expected), format!("{found} {tag:?}"))
}

fn one_of(names: &[&str]) -> String {
    let mut text = String::new();
    for (at, name) in names.iter().enumerate() {
        let before = match at {
            0 if names.len() == 1 => "",
            0 => "one of ",
            _ => ", ",
        };
        let _writing_to_a_string_succeeds = write!(text, "{before}{name:?}");
    }
    text
}
