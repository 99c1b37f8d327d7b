//! Taking a message's arguments apart, with faults that name the method, the
//! parameter, what was expected and what came.

use std::fmt;

use smol_str::SmolStr;

use crate::convert::{FromValue, IntoValue, Mismatch, Type, Typed};
use crate::typed::{Description, MethodDescription, ParameterDescription};
use crate::{Args, Fault, Reply, RestoreError, Value};

/// A message being taken apart.
pub(crate) struct Call {
    kind: &'static str,
    /// Empty for an object without methods.
    method: SmolStr,
    args: std::vec::IntoIter<Value>,
}

impl Call {
    /// A message to an object that has no methods.
    pub(crate) fn plain(kind: &'static str, args: Args) -> Self {
        Self { kind, method: SmolStr::default(), args: args.into_iter() }
    }

    /// A message to an object with methods: its method and the rest.
    pub(crate) fn method(kind: &'static str, args: Args) -> Result<Self, Fault> {
        let mut args = args.into_iter();
        match args.next() {
            Some(Value::Symbol(method)) => Ok(Self { kind, method, args }),
            other => {
                let found = other.map_or("nothing".to_owned(), |other| article(other.kind()));
                let kind = article(kind);
                Err(format!("{kind} expects a method, a symbol, first, and not {found}").into())
            }
        }
    }

    /// The method's name.
    pub(crate) fn name(&self) -> &str {
        &self.method
    }

    /// The next argument.
    pub(crate) fn required<T: FromValue>(&mut self, name: &str) -> Result<T, Fault> {
        match self.args.next() {
            Some(value) => self.convert(name, value),
            None => Err(self.fault(format_args!("{name} is missing"))),
        }
    }

    /// The next argument, unless it is left out.
    pub(crate) fn optional<T: FromValue>(&mut self, name: &str) -> Result<Option<T>, Fault> {
        self.args.next().map_or(Ok(None), |value| self.convert(name, value))
    }

    fn convert<T: FromValue>(&self, name: &str, value: Value) -> Result<T, Fault> {
        T::from_value(value).map_err(|mismatch| self.fault(mismatch.within(name)))
    }

    /// The arguments that are left.
    pub(crate) fn rest(self) -> Args {
        self.args.collect()
    }

    /// That was the last argument.
    pub(crate) fn end(&self) -> Result<(), Fault> {
        match self.args.len() {
            0 => Ok(()),
            1 => Err(self.fault("one argument too many")),
            more => Err(self.fault(format_args!("{more} arguments too many"))),
        }
    }

    /// The only argument.
    pub(crate) fn only<T: FromValue>(&mut self, name: &str) -> Result<T, Fault> {
        let value = self.required(name)?;
        self.end()?;
        Ok(value)
    }

    /// A fault of this call.
    pub(crate) fn fault(&self, what: impl fmt::Display) -> Fault {
        let space = if self.method.is_empty() { "" } else { " " };
        format!("{}{space}{}: {what}", self.kind, self.method).into()
    }

    /// What the message comes to if it is for none of the object's methods, each given
    /// with its parameters: `ref key [default]`, `publish args…`. That is a fault, or
    /// their description if that was asked for.
    pub(crate) fn otherwise(&self, methods: &str) -> Result<Reply, Fault> {
        if self.method == "describe" && self.args.len() == 0 {
            return Ok(describe(self.kind, methods).into_value().into());
        }
        let kind = article(self.kind);
        Err(format!("{kind} has no method {}; it has {methods}", self.method).into())
    }
}

fn describe(kind: &str, methods: &str) -> Description {
    let parameter = |word: &str| {
        let bare = word.trim_start_matches('[').trim_end_matches(']').trim_end_matches('…');
        ParameterDescription {
            name: bare.into(),
            type_name: Type::Any.to_string(),
            optional: word.starts_with('['),
            rest: word.ends_with('…'),
        }
    };
    let method = |signature: &str| {
        let mut words = signature.split_whitespace();
        MethodDescription {
            name: words.next().unwrap_or_default().into(),
            parameters: words.map(parameter).collect(),
            returns: Type::Any.to_string(),
            ..MethodDescription::default()
        }
    };
    let methods = methods.split(", ").map(method).collect();
    Description { name: kind.into(), methods, ..Description::default() }
}

/// A name: a string or a symbol, which mean the same.
pub(crate) struct Name(pub(crate) SmolStr);

impl Typed for Name {
    const TYPE: &'static Type = &Type::String;
}

impl FromValue for Name {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::String(text) | Value::Symbol(text) => Ok(Self(text)),
            other => Err(Mismatch::of("a name", &other)),
        }
    }
}

fn article(noun: &str) -> String {
    match noun {
        "bytes" | "undefined" | "null" => noun.to_owned(),
        noun if noun.starts_with(['a', 'e', 'i', 'o', 'u']) => format!("an {noun}"),
        noun => format!("a {noun}"),
    }
}

/// The parts of a portrait that is a list.
pub(crate) struct Portrait {
    kind: &'static str,
    parts: std::vec::IntoIter<Value>,
}

impl Portrait {
    /// Takes the portrait of an actor of that kind apart.
    pub(crate) fn new(kind: &'static str, portrait: Value) -> Result<Self, RestoreError> {
        let parts: Vec<Value> = whole(kind, portrait)?;
        Ok(Self { kind, parts: parts.into_iter() })
    }

    /// The next part.
    pub(crate) fn part<T: FromValue>(&mut self, name: &str) -> Result<T, RestoreError> {
        let value = self.parts.next().unwrap_or_default();
        T::from_value(value).map_err(|mismatch| wrong(self.kind, mismatch.within(name)))
    }

    /// The parts that are left.
    pub(crate) fn rest<T: FromValue>(self) -> impl Iterator<Item = Result<T, RestoreError>> {
        let kind = self.kind;
        self.parts.map(move |value| T::from_value(value).map_err(|mismatch| wrong(kind, mismatch)))
    }
}

/// A portrait that is one thing.
pub(crate) fn whole<T: FromValue>(kind: &str, portrait: Value) -> Result<T, RestoreError> {
    T::from_value(portrait).map_err(|mismatch| wrong(kind, mismatch))
}

/// An error about the portrait of an actor of that kind.
pub(crate) fn wrong(kind: &str, what: impl fmt::Display) -> RestoreError {
    RestoreError::new(format!("not a portrait of {}: {what}", article(kind)))
}
