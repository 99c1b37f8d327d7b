//! Why a promise broke or a turn failed. Owns [`Fault`].

use std::fmt;

use crate::Value;

/// A break reason: what a broken promise carries and what a failing handler returns.
///
/// It is a value like any other, since it crosses the wire; usually an error with
/// a message for people and no local detail.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault(Value);

impl Fault {
    /// The value that says what went wrong.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.0
    }

    /// The value that says what went wrong, owned.
    #[must_use]
    pub fn into_value(self) -> Value {
        self.0
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Value::Error(error) => f.write_str(&error.message),
            Value::String(text) | Value::Symbol(text) => f.write_str(text),
            other => write!(f, "broken with a value of kind {}", other.kind()),
        }
    }
}

impl std::error::Error for Fault {}

impl From<&str> for Fault {
    fn from(message: &str) -> Self {
        Self(Value::error(message))
    }
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self(Value::error(message))
    }
}

impl From<Value> for Fault {
    fn from(value: Value) -> Self {
        Self(value)
    }
}
