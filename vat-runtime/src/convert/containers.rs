//! The conversions of what holds other values: lists, structs, what is optional.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, Hash};

use smol_str::SmolStr;

use crate::Value;
use crate::convert::{FromValue, IntoValue, Mismatch, Type, Typed, settled};

impl<T: Typed> Typed for Option<T> {
    const TYPE: &'static Type = &Type::Optional(T::TYPE);
}

impl<T: IntoValue> IntoValue for Option<T> {
    fn into_value(self) -> Value {
        self.map_or(Value::Undefined, T::into_value)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match settled(value) {
            Value::Undefined | Value::Null => Ok(None),
            some => T::from_value(some).map(Some),
        }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Typed> Typed for Box<T> {
    const TYPE: &'static Type = T::TYPE;
}

impl<T: IntoValue> IntoValue for Box<T> {
    fn into_value(self) -> Value {
        T::into_value(*self)
    }
}

impl<T: FromValue> FromValue for Box<T> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        T::from_value(value).map(Self::new)
    }

    fn absent() -> Option<Self> {
        T::absent().map(Self::new)
    }
}

/// The elements of a list.
fn elements(value: Value, expected: &Type) -> Result<Vec<Value>, Mismatch> {
    match settled(value) {
        Value::List(values) => Ok(values),
        other => Err(Mismatch::of(expected.with_article(), &other)),
    }
}

/// The elements, each converted.
fn converted<T: FromValue, C: FromIterator<T>>(values: Vec<Value>) -> Result<C, Mismatch> {
    let element = |(at, value)| {
        T::from_value(value).map_err(|wrong| wrong.within(format_args!("element {at}")))
    };
    values.into_iter().enumerate().map(element).collect()
}

impl<T: Typed> Typed for Vec<T> {
    const TYPE: &'static Type = &Type::List(T::TYPE);
}

impl<T: IntoValue> IntoValue for Vec<T> {
    fn into_value(self) -> Value {
        Value::List(self.into_iter().map(T::into_value).collect())
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        converted(elements(value, Self::TYPE)?)
    }
}

impl<T: Typed, const N: usize> Typed for [T; N] {
    const TYPE: &'static Type = &Type::List(T::TYPE);
}

impl<T: IntoValue, const N: usize> IntoValue for [T; N] {
    fn into_value(self) -> Value {
        Value::List(self.into_iter().map(T::into_value).collect())
    }
}

impl<T: FromValue, const N: usize> FromValue for [T; N] {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        let values: Vec<T> = converted(elements(value, Self::TYPE)?)?;
        let wrong = |values: Vec<T>| wrong_length(N, values.len());
        values.try_into().map_err(wrong)
    }
}

fn wrong_length(expected: usize, found: usize) -> Mismatch {
    let element = if expected == 1 { "element" } else { "elements" };
    Mismatch::new(format!("a list of {expected} {element}"), format!("one of {found}"))
}

macro_rules! tuple {
    ($($count:literal: $($name:ident $at:literal)+;)*) => {$(
        impl<$($name: Typed),+> Typed for ($($name,)+) {
            const TYPE: &'static Type = &Type::Tuple(&[$($name::TYPE),+]);
        }

        impl<$($name: IntoValue),+> IntoValue for ($($name,)+) {
            #[allow(non_snake_case, reason = "named as their types")]
            fn into_value(self) -> Value {
                let ($($name,)+) = self;
                Value::List(vec![$($name.into_value()),+])
            }
        }

        impl<$($name: FromValue),+> FromValue for ($($name,)+) {
            #[allow(non_snake_case, reason = "named as their types")]
            fn from_value(value: Value) -> Result<Self, Mismatch> {
                let values = elements(value, Self::TYPE)?;
                let found = values.len();
                let values: Result<[Value; $count], _> = values.try_into();
                let [$($name),+] = values.map_err(|_| wrong_length($count, found))?;
                Ok(($(
                    $name::from_value($name)
                        .map_err(|wrong| wrong.within(concat!("element ", $at)))?,
                )+))
            }
        }
    )*};
}

tuple! {
    1: A 0;
    2: A 0 B 1;
    3: A 0 B 1 C 2;
    4: A 0 B 1 C 2 D 3;
    5: A 0 B 1 C 2 D 3 E 4;
    6: A 0 B 1 C 2 D 3 E 4 F 5;
    7: A 0 B 1 C 2 D 3 E 4 F 5 G 6;
    8: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7;
}

macro_rules! set {
    ($($set:ident<T $(, $hasher:ident)?>: $($bound:path),+;)*) => {$(
        impl<T: Typed $(, $hasher)?> Typed for $set<T $(, $hasher)?> {
            const TYPE: &'static Type = &Type::Set(T::TYPE);
        }

        impl<T: IntoValue $(, $hasher)?> IntoValue for $set<T $(, $hasher)?> {
            fn into_value(self) -> Value {
                Value::Set(self.into_iter().map(T::into_value).collect())
            }
        }

        impl<T, $($hasher)?> FromValue for $set<T $(, $hasher)?>
        where
            T: FromValue $(+ $bound)+,
            $($hasher: BuildHasher + Default)?
        {
            fn from_value(value: Value) -> Result<Self, Mismatch> {
                match settled(value) {
                    Value::Set(values) => converted(values),
                    other => Err(Mismatch::of(Self::TYPE.with_article(), &other)),
                }
            }
        }
    )*};
}

set! {
    BTreeSet<T>: Ord;
    HashSet<T, S>: Eq, Hash;
}

/// The fields of a struct, each value converted.
fn fields<K, T, C>(value: Value, expected: &Type) -> Result<C, Mismatch>
where
    K: From<SmolStr>,
    T: FromValue,
    C: FromIterator<(K, T)>,
{
    let field = |(key, value): (SmolStr, Value)| {
        let value = T::from_value(value);
        let value = value.map_err(|wrong| wrong.within(format_args!("field {key:?}")))?;
        Ok((key.into(), value))
    };
    match settled(value) {
        Value::Struct(fields) => fields.into_iter().map(field).collect(),
        other => Err(Mismatch::of(expected.with_article(), &other)),
    }
}

impl<K: Into<SmolStr>, T: Typed> Typed for BTreeMap<K, T> {
    const TYPE: &'static Type = &Type::Map(T::TYPE);
}

impl<K: Into<SmolStr>, T: IntoValue> IntoValue for BTreeMap<K, T> {
    fn into_value(self) -> Value {
        let field = |(key, value): (K, T)| (key.into(), value.into_value());
        Value::Struct(self.into_iter().map(field).collect())
    }
}

impl<K: Into<SmolStr> + From<SmolStr> + Ord, T: FromValue> FromValue for BTreeMap<K, T> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        fields(value, Self::TYPE)
    }
}

impl<K: Into<SmolStr>, T: Typed, S> Typed for HashMap<K, T, S> {
    const TYPE: &'static Type = &Type::Map(T::TYPE);
}

/// In the order of the keys, so that the same map is always the same value.
impl<K: Into<SmolStr>, T: IntoValue, S> IntoValue for HashMap<K, T, S> {
    fn into_value(self) -> Value {
        let field = |(key, value): (K, T)| (key.into(), value.into_value());
        let mut fields: Vec<(SmolStr, Value)> = self.into_iter().map(field).collect();
        fields.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Value::Struct(fields)
    }
}

impl<K, T, S> FromValue for HashMap<K, T, S>
where
    K: Into<SmolStr> + From<SmolStr> + Eq + Hash,
    T: FromValue,
    S: BuildHasher + Default,
{
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        fields(value, Self::TYPE)
    }
}
