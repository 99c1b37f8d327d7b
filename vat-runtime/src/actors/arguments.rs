//! Taking a message's arguments apart, with faults that name the method, the
//! parameter, what was expected and what came.

use bytes::Bytes;
use smol_str::SmolStr;

use crate::{Args, Fault, Ref, Value};

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
    pub(crate) fn required<T: Parameter>(&mut self, name: &str) -> Result<T, Fault> {
        match self.args.next() {
            Some(value) => self.convert(name, value),
            None => {
                let what = T::WHAT.map(|what| format!(", {what},")).unwrap_or_default();
                Err(self.fault(format_args!("{name}{what} is missing")))
            }
        }
    }

    /// The next argument, if there is one.
    pub(crate) fn optional<T: Parameter>(&mut self, name: &str) -> Result<Option<T>, Fault> {
        let value = self.args.next();
        value.map(|value| self.convert(name, value)).transpose()
    }

    fn convert<T: Parameter>(&self, name: &str, value: Value) -> Result<T, Fault> {
        T::from_value(value).map_err(|found| {
            let expected = T::WHAT.unwrap_or("something else");
            let found = article(found.kind());
            self.fault(format_args!("{name} is {expected}, and not {found}"))
        })
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
    pub(crate) fn only<T: Parameter>(&mut self, name: &str) -> Result<T, Fault> {
        let value = self.required(name)?;
        self.end()?;
        Ok(value)
    }

    /// A fault of this call.
    pub(crate) fn fault(&self, what: impl std::fmt::Display) -> Fault {
        let space = if self.method.is_empty() { "" } else { " " };
        format!("{}{space}{}: {what}", self.kind, self.method).into()
    }

    /// The object has no such method.
    pub(crate) fn unknown(&self, methods: &str) -> Fault {
        let kind = article(self.kind);
        format!("{kind} has no method {}; it has {methods}", self.method).into()
    }
}

/// A type of arguments.
pub(crate) trait Parameter: Sized {
    /// What is expected, with its article. `None` if anything is.
    const WHAT: Option<&'static str>;

    /// The argument, or the value back if it is something else.
    fn from_value(value: Value) -> Result<Self, Value>;
}

macro_rules! parameters {
    ($($type:ty, $what:expr, $value:ident => $convert:expr;)*) => {$(
        impl Parameter for $type {
            const WHAT: Option<&'static str> = $what;

            fn from_value($value: Value) -> Result<Self, Value> {
                $convert
            }
        }
    )*};
}

parameters! {
    Value, None, value => Ok(value);
    i64, Some("an integer"), value => value.as_int().ok_or(value);
    u64, Some("a natural number"), value => natural(&value).ok_or(value);
    usize, Some("a natural number"), value => natural(&value).ok_or(value);
    SmolStr, Some("a symbol"), value => match value {
        Value::Symbol(name) => Ok(name),
        other => Err(other),
    };
    Name, Some("a name"), value => match value {
        Value::String(text) | Value::Symbol(text) => Ok(Self(text)),
        other => Err(other),
    };
    Bytes, Some("bytes"), value => match value {
        Value::Bytes(bytes) => Ok(bytes),
        other => Err(other),
    };
    Ref, Some("a reference"), value => match value {
        Value::Ref(reference) => Ok(reference),
        other => Err(other),
    };
    Vec<Value>, Some("a list"), value => match value {
        Value::List(items) => Ok(items),
        other => Err(other),
    };
}

/// A name: a string or a symbol, which mean the same.
pub(crate) struct Name(pub(crate) SmolStr);

fn natural<T: TryFrom<i64>>(value: &Value) -> Option<T> {
    value.as_int().and_then(|value| T::try_from(value).ok())
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
    pub(crate) fn new(kind: &'static str, portrait: Value) -> Result<Self, crate::RestoreError> {
        match portrait {
            Value::List(parts) => Ok(Self { kind, parts: parts.into_iter() }),
            other => Err(Self::wrong(kind, &format!("it is {}", article(other.kind())))),
        }
    }

    /// The next part.
    pub(crate) fn part<T: Parameter>(&mut self, name: &str) -> Result<T, crate::RestoreError> {
        let value = self.parts.next().unwrap_or_default();
        T::from_value(value).map_err(|found| {
            Self::wrong(self.kind, &format!("{name} is {}", article(found.kind())))
        })
    }

    /// The parts that are left.
    pub(crate) fn rest(self) -> std::vec::IntoIter<Value> {
        self.parts
    }

    /// An error about the portrait.
    pub(crate) fn wrong(kind: &str, what: &str) -> crate::RestoreError {
        crate::RestoreError::new(format!("not a portrait of {}: {what}", article(kind)))
    }
}
