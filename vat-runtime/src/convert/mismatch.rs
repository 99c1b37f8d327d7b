//! Why a value could not be taken for what was expected. Owns [`Mismatch`].

use std::fmt;

use crate::{Fault, RestoreError, Value};

/// A value of another kind than expected, or out of range: what was expected, what was
/// found, and where.
///
/// ```
/// use vat_runtime::{FromValue, Value};
///
/// let list = Value::List(vec![1.into(), "two".into()]);
/// let mismatch = Vec::<u8>::from_value(list).unwrap_err();
/// assert_eq!(mismatch.to_string(), "element 1: expected an integer, found a string");
/// assert_eq!(mismatch.expected(), "an integer");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch(Box<Parts>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    /// From the inside to the outside.
    path: String,
    expected: String,
    found: String,
}

impl Mismatch {
    /// What was expected and what was found, in words with their articles.
    pub fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        let (expected, found) = (expected.into(), found.into());
        Self(Box::new(Parts { path: String::new(), expected, found }))
    }

    /// What was expected, and the kind of the value that was found.
    pub fn of(expected: impl Into<String>, found: &Value) -> Self {
        Self::new(expected, found_in_words(found))
    }

    /// The same mismatch, found within something larger: `element 3`, `field "to"`.
    #[must_use]
    pub fn within(mut self, place: impl fmt::Display) -> Self {
        use fmt::Write as _;
        let path = &mut self.0.path;
        let of = if path.is_empty() { "" } else { " of " };
        let _writing_to_a_string_succeeds = write!(path, "{of}{place}");
        self
    }

    /// Where, from the inside to the outside: `argument "to" of method "transfer"`.
    /// Empty for the value itself.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// What was expected: `an integer`.
    #[must_use]
    pub fn expected(&self) -> &str {
        &self.0.expected
    }

    /// What was found: `a string`.
    #[must_use]
    pub fn found(&self) -> &str {
        &self.0.found
    }
}

/// The kind of a value with its article. Says nothing of its contents, which may be
/// long or secret.
fn found_in_words(value: &Value) -> String {
    match value {
        Value::Undefined => "undefined".into(),
        Value::Null => "null".into(),
        Value::Ref(reference) => match reference.outcome() {
            None => "a promise".into(),
            Some(Err(_)) => "a broken promise".into(),
            Some(Ok(_)) => "a reference".into(),
        },
        Value::Int(_) | Value::BigInt(_) | Value::Error(_) | Value::Encoded(_) => {
            format!("an {}", value.kind())
        }
        Value::Bytes(_) => "a byte array".into(),
        other => format!("a {}", other.kind()),
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { path, expected, found } = &*self.0;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        write!(f, "expected {expected}, found {found}")
    }
}

impl std::error::Error for Mismatch {}

impl From<Mismatch> for Fault {
    fn from(mismatch: Mismatch) -> Self {
        mismatch.to_string().into()
    }
}

impl From<Mismatch> for RestoreError {
    fn from(mismatch: Mismatch) -> Self {
        Self::new(mismatch.to_string())
    }
}
