//! What kind of value a type is, for error messages and descriptions. Owns [`Type`].

use std::fmt;

/// What the trait of a type's conversions says about it.
pub trait Typed {
    /// The kind of value that it is in a message.
    const TYPE: &'static Type;
}

/// A kind of value, as descriptions name it: `integer`, `list of string`,
/// `reference to Lobby`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Type {
    /// Any value.
    Any,
    /// No value.
    Undefined,
    /// A boolean.
    Boolean,
    /// An integer.
    Integer,
    /// A floating-point number.
    Float,
    /// Text.
    String,
    /// A symbol.
    Symbol,
    /// A byte array.
    Bytes,
    /// A list of elements of one type.
    List(&'static Type),
    /// A list of a fixed number of elements, each of its own type.
    Tuple(&'static [&'static Type]),
    /// A set of elements of one type.
    Set(&'static Type),
    /// A struct with any keys and values of one type.
    Map(&'static Type),
    /// A struct with known fields, by name.
    Struct(&'static str),
    /// One of several alternatives, by name: symbols and tagged values.
    Enum(&'static str),
    /// Something that may be left out.
    Optional(&'static Type),
    /// A reference, to an object with an interface if that is named.
    Reference(Option<&'static str>),
    /// A promise of something, or that something at once.
    Promise(&'static Type),
    /// A sturdyref.
    Sturdyref,
    /// An error.
    Error,
}

impl Type {
    /// The type in a sentence: `an integer`, `a list of string`.
    #[must_use]
    pub fn with_article(&self) -> String {
        match self {
            Self::Any => "a value".into(),
            Self::Undefined => "undefined".into(),
            Self::Integer | Self::Error => format!("an {self}"),
            Self::Optional(inner) => format!("{} or undefined", inner.with_article()),
            _ => format!("a {self}"),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Undefined => f.write_str("undefined"),
            Self::Boolean => f.write_str("boolean"),
            Self::Integer => f.write_str("integer"),
            Self::Float => f.write_str("float"),
            Self::String => f.write_str("string"),
            Self::Symbol => f.write_str("symbol"),
            Self::Bytes => f.write_str("byte array"),
            Self::List(inner) => write!(f, "list of {inner}"),
            Self::Tuple(inner) => {
                f.write_str("list of ")?;
                for (at, inner) in inner.iter().enumerate() {
                    write!(f, "{}{inner}", if at == 0 { "" } else { " and " })?;
                }
                Ok(())
            }
            Self::Set(inner) => write!(f, "set of {inner}"),
            Self::Map(inner) => write!(f, "struct of {inner}"),
            Self::Struct(name) => write!(f, "struct {name}"),
            Self::Enum(name) => f.write_str(name),
            Self::Optional(inner) => write!(f, "optional {inner}"),
            Self::Reference(None) => f.write_str("reference"),
            Self::Reference(Some(interface)) => write!(f, "reference to {interface}"),
            Self::Promise(inner) => write!(f, "promise of {inner}"),
            Self::Sturdyref => f.write_str("sturdyref"),
            Self::Error => f.write_str("error"),
        }
    }
}
