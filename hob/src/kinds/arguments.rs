//! Taking a message's arguments apart, with faults that name the method, the
//! parameter, what was expected and what came.

use ocapn::{Args, Fault, FromValue, IntoValue, Mismatch, Ref, Type, Typed, Value};

/// A message being taken apart.
pub(crate) struct Call {
    /// What the faults begin with: the kind of object, and the method once known.
    subject: String,
    args: std::vec::IntoIter<Value>,
}

impl Call {
    /// A message to an object that has no methods.
    pub(crate) fn plain(kind: &str, args: Args) -> Self {
        Self { subject: kind.to_owned(), args: args.into_iter() }
    }

    /// A message to an object with methods: its method and the rest.
    pub(crate) fn method(kind: &str, args: Args) -> Result<(String, Self), Fault> {
        let mut args = args.into_iter();
        match args.next() {
            Some(Value::Symbol(method)) => {
                Ok((method.to_string(), Self { subject: format!("{kind} {method}"), args }))
            }
            other => {
                let found = other.map_or("nothing".to_owned(), |other| article(other.kind()));
                let what =
                    format!("{} expects a method, a symbol, first, and not {found}", article(kind));
                Err(what.into())
            }
        }
    }

    /// The next argument.
    pub(crate) fn required<T: Parameter>(&mut self, name: &str) -> Result<T, Fault> {
        let what = T::WHAT.map(|what| format!(", {what},")).unwrap_or_default();
        let missing = || format!("{}: {name}{what} is missing", self.subject);
        match self.args.next() {
            Some(value) => self.convert(name, value),
            None => Err(missing().into()),
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
            format!("{}: {name} is {expected}, and not {found}", self.subject).into()
        })
    }

    /// That was the last argument.
    pub(crate) fn end(self) -> Result<(), Fault> {
        match self.args.len() {
            0 => Ok(()),
            1 => Err(format!("{}: one argument too many", self.subject).into()),
            more => Err(format!("{}: {more} arguments too many", self.subject).into()),
        }
    }

    /// A fault of this call.
    pub(crate) fn fault(&self, what: impl std::fmt::Display) -> Fault {
        format!("{}: {what}", self.subject).into()
    }
}

/// The object has no such method.
pub(crate) fn unknown(kind: &str, method: &str, methods: &str) -> Fault {
    let kind = article(kind);
    format!("{kind} has no method {method}; it has {methods}").into()
}

/// A type of arguments.
pub(crate) trait Parameter: Sized {
    /// What is expected, with its article. `None` if anything is.
    const WHAT: Option<&'static str>;

    /// The argument, or the value back if it is something else.
    fn from_value(value: Value) -> Result<Self, Value>;
}

impl Parameter for i64 {
    const WHAT: Option<&'static str> = Some("an integer");

    fn from_value(value: Value) -> Result<Self, Value> {
        value.as_int().ok_or(value)
    }
}

impl Parameter for String {
    const WHAT: Option<&'static str> = Some("a string");

    fn from_value(value: Value) -> Result<Self, Value> {
        match value {
            Value::String(text) => Ok(text.into()),
            other => Err(other),
        }
    }
}

/// A name: a string or a symbol, which mean the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(pub(crate) String);

impl Parameter for Name {
    const WHAT: Option<&'static str> = Some("a name");

    fn from_value(value: Value) -> Result<Self, Value> {
        match value {
            Value::String(text) | Value::Symbol(text) => Ok(Self(text.into())),
            other => Err(other),
        }
    }
}

impl Typed for Name {
    const TYPE: &'static Type = &Type::String;
}

impl IntoValue for Name {
    fn into_value(self) -> Value {
        self.0.into()
    }
}

impl FromValue for Name {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        Parameter::from_value(value).map_err(|found| Mismatch::of("a name", &found))
    }
}

impl Parameter for Ref {
    const WHAT: Option<&'static str> = Some("a reference");

    fn from_value(value: Value) -> Result<Self, Value> {
        match value {
            Value::Ref(reference) => Ok(reference),
            other => Err(other),
        }
    }
}

impl Parameter for Value {
    const WHAT: Option<&'static str> = None;

    fn from_value(value: Value) -> Result<Self, Value> {
        Ok(value)
    }
}

fn article(noun: &str) -> String {
    match noun {
        "bytes" | "undefined" | "null" => noun.to_owned(),
        noun if noun.starts_with(['a', 'e', 'i', 'o', 'u']) => format!("an {noun}"),
        noun => format!("a {noun}"),
    }
}
