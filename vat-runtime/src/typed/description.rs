//! What an object can do, in words: as code knows it ([`Interface`]) and as it is told
//! to others ([`Description`]).

use std::fmt::Write as _;

use crate::convert::fields::{FieldsIn, FieldsOut};
use crate::convert::{FromValue, IntoValue, Mismatch, Type, Typed};
use crate::typed::Answer;
use crate::{Ref, Value};

/// The method by which an object describes itself.
pub(super) const DESCRIBE: &str = "describe";

/// An interface: what a trait with [`#[interface]`](macro@crate::interface) says.
#[derive(Debug)]
pub struct Interface {
    name: &'static str,
    doc: &'static str,
    methods: &'static [Method],
}

/// A method of an interface.
#[derive(Debug)]
pub struct Method {
    name: &'static str,
    apply: bool,
    doc: &'static str,
    parameters: &'static [Parameter],
    returns: &'static Type,
}

/// A parameter of a method.
#[derive(Debug)]
pub struct Parameter {
    name: &'static str,
    of: &'static Type,
    optional: fn() -> bool,
    rest: bool,
}

impl Interface {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str, doc: &'static str, methods: &'static [Method]) -> Self {
        Self { name, doc, methods }
    }

    /// The name of the trait.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it is for: the first paragraph of its documentation, or nothing.
    #[must_use]
    pub const fn doc(&self) -> &'static str {
        self.doc
    }

    /// The methods.
    #[must_use]
    pub const fn methods(&self) -> &'static [Method] {
        self.methods
    }

    /// The same, as objects tell it.
    #[must_use]
    pub fn describe(&self) -> Description {
        let methods = self.methods.iter().map(Method::describe).collect();
        Description { name: self.name.into(), doc: self.doc.into(), methods }
    }
}

impl Method {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(
        name: &'static str,
        doc: &'static str,
        parameters: &'static [Parameter],
        returns: &'static Type,
    ) -> Self {
        Self { name, apply: false, doc, parameters, returns }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn apply(mut self) -> Self {
        self.apply = true;
        self
    }

    /// The name, a symbol in messages.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The name as it is in messages, if it is: see `#[method(apply)]`.
    #[must_use]
    pub const fn wire_name(&self) -> Option<&'static str> {
        if self.apply { None } else { Some(self.name) }
    }

    /// What it does: the first paragraph of its documentation, or nothing.
    #[must_use]
    pub const fn doc(&self) -> &'static str {
        self.doc
    }

    /// The parameters, in order.
    #[must_use]
    pub const fn parameters(&self) -> &'static [Parameter] {
        self.parameters
    }

    /// What it answers with.
    #[must_use]
    pub const fn returns(&self) -> &'static Type {
        self.returns
    }

    fn describe(&self) -> MethodDescription {
        MethodDescription {
            name: if self.apply { String::new() } else { self.name.into() },
            doc: self.doc.into(),
            parameters: self.parameters.iter().map(Parameter::describe).collect(),
            returns: self.returns.to_string(),
        }
    }

    pub(super) fn in_words(&self) -> String {
        format!("method {:?}", self.name)
    }

    /// How many arguments it takes, in words.
    pub(super) fn count_in_words(&self) -> String {
        let most = self.parameters.len();
        let left_out = self.parameters.iter().rev().take_while(|last| last.is_optional());
        let least = most - left_out.count();
        let rest = self.parameters.last().is_some_and(|last| last.rest);
        let (count, last) = match (least, most) {
            (0, 0) => return "no arguments".into(),
            (least, _) if rest => (format!("at least {least}"), least),
            (least, most) if least == most => (least.to_string(), most),
            (0, most) => (format!("at most {most}"), most),
            (least, most) => (format!("{least} to {most}"), most),
        };
        format!("{count} {}", if last == 1 { "argument" } else { "arguments" })
    }
}

impl Parameter {
    #[doc(hidden)]
    #[must_use]
    pub const fn of<T: FromValue>(name: &'static str) -> Self {
        Self { name, of: T::TYPE, optional: || T::absent().is_some(), rest: false }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn rest_of<T: FromValue>(name: &'static str) -> Self {
        Self { name, of: T::TYPE, optional: || true, rest: true }
    }

    /// The name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What is expected.
    #[must_use]
    pub const fn type_of(&self) -> &'static Type {
        self.of
    }

    /// Whether it may be left out, if all after it are too.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        (self.optional)()
    }

    /// Whether it stands for all further arguments, each of this type.
    #[must_use]
    pub const fn is_rest(&self) -> bool {
        self.rest
    }

    fn describe(&self) -> ParameterDescription {
        ParameterDescription {
            name: self.name.into(),
            type_name: match self.of {
                Type::Optional(inner) => inner.to_string(),
                other => other.to_string(),
            },
            optional: self.is_optional() && !self.rest,
            rest: self.rest,
        }
    }
}

/// What an object can do, as it tells itself: its answer to the method `describe`, a
/// struct with these fields.
///
/// ```
/// # use vat_runtime::{Manual, Vat, interface, object};
/// # use vat_runtime::typed::describe;
/// /// Greets.
/// #[interface]
/// trait Greeter {
///     /// Greets somebody.
///     fn greet(&self, name: String, times: Option<u8>) -> String;
/// }
/// # struct Polite;
/// # #[object]
/// # impl Greeter for Polite {
/// #     fn greet(&self, name: String, _times: Option<u8>) -> String { name }
/// # }
/// let hand = Manual::new();
/// let vat = Vat::new("demo", hand.clone());
/// let greeter = GreeterRef::spawn_in(&vat, Polite);
/// let description = describe(greeter.untyped());
/// hand.run_until_idle();
/// let description = description.wait()?;
/// assert_eq!(description, GreeterRef::DESCRIPTION.describe());
/// assert_eq!(
///     description.to_string(),
///     "Greeter: Greets.\n\
///      \x20 greet(name: string, times?: integer) -> string: Greets somebody.\n",
/// );
/// # Ok::<(), vat_runtime::Fault>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Description {
    /// The name of its interface, or of its interfaces, with commas.
    pub name: String,
    /// What it is for.
    pub doc: String,
    /// Its methods.
    pub methods: Vec<MethodDescription>,
}

/// What an object says of one of its methods.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MethodDescription {
    /// Its name, a symbol in messages; empty if the object is called without one.
    pub name: String,
    /// What it does.
    pub doc: String,
    /// Its parameters, in order.
    pub parameters: Vec<ParameterDescription>,
    /// What it answers with: a [`Type`] in words.
    pub returns: String,
}

/// What an object says of a parameter of a method.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ParameterDescription {
    /// Its name, for people: arguments go by their order.
    pub name: String,
    /// What is expected: a [`Type`] in words. In messages this field is `type`.
    pub type_name: String,
    /// Whether it may be left out, if all after it are too.
    pub optional: bool,
    /// Whether it stands for all further arguments, each of this type.
    pub rest: bool,
}

/// Asks an object what it can do.
pub fn describe(object: &Ref) -> Answer<Description> {
    Answer::from_promise(object.send(vec![Value::symbol(DESCRIBE)]))
}

impl Description {
    pub(super) fn of_all(interfaces: &[&'static Interface]) -> Self {
        let mut all = Self::default();
        for interface in interfaces {
            let Self { name, doc, methods } = interface.describe();
            let (comma, newline) = if all.name.is_empty() { ("", "") } else { (", ", "\n") };
            let _ = write!(all.name, "{comma}{name}");
            let _writing_to_a_string_succeeds = write!(all.doc, "{newline}{doc}");
            all.methods.extend(methods);
        }
        all
    }
}

impl std::fmt::Display for Description {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_with_doc(f, &self.name, &self.doc)?;
        self.methods.iter().try_for_each(|method| write!(f, "  {method}"))
    }
}

impl std::fmt::Display for MethodDescription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parameters: Vec<_> = self.parameters.iter().map(ToString::to_string).collect();
        let line = format!("{}({}) -> {}", self.name, parameters.join(", "), self.returns);
        write_with_doc(f, &line, &self.doc)
    }
}

impl std::fmt::Display for ParameterDescription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (optional, rest) =
            (if self.optional { "?" } else { "" }, if self.rest { "..." } else { "" });
        write!(f, "{rest}{}{optional}: {}", self.name, self.type_name)
    }
}

fn write_with_doc(f: &mut std::fmt::Formatter<'_>, line: &str, doc: &str) -> std::fmt::Result {
    if doc.is_empty() { writeln!(f, "{line}") } else { writeln!(f, "{line}: {doc}") }
}

/// Conversions by hand: a derive would need this crate to be built already.
macro_rules! passable {
    ($($name:ident { $($field:ident: $key:literal),+ })*) => {$(
        impl Typed for $name {
            const TYPE: &'static Type = &Type::Struct(stringify!($name));
        }

        impl IntoValue for $name {
            fn into_value(self) -> Value {
                FieldsOut::default()$(.with($key, self.$field))+.into_value()
            }
        }

        impl FromValue for $name {
            fn from_value(value: Value) -> Result<Self, Mismatch> {
                let mut fields = FieldsIn::of(value, Self::TYPE)?;
                Ok(Self { $($field: fields.or_default($key)?),+ })
            }
        }
    )*};
}

passable! {
    Description { name: "name", doc: "doc", methods: "methods" }
    MethodDescription { name: "name", doc: "doc", parameters: "parameters", returns: "returns" }
    ParameterDescription { name: "name", type_name: "type", optional: "optional", rest: "rest" }
}
