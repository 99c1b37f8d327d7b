//! Why something that was attenuated did not pass a message on. Owns [`Refusal`].

use captp::ErrorValue;

use crate::{Fault, Value};

/// Why a message was not passed on, in a form that a program can tell from the faults
/// of what is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It is not one of the methods that are allowed.
    Method,
    /// All uses are used up.
    UsedUp,
    /// Too many uses in too short a time; later ones may pass.
    TooOften,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

impl Refusal {
    const ALL: [Self; 5] =
        [Self::Method, Self::UsedUp, Self::TooOften, Self::Expired, Self::Revoked];

    /// What the fault carries, as a symbol.
    const fn symbol(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::UsedUp => "used-up",
            Self::TooOften => "too-often",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// A fault with this reason and a text for people: an error whose fields are the
    /// symbols `refused` and the reason. For what refuses by rules of its own.
    #[must_use]
    pub fn fault(self, text: &str) -> Fault {
        Value::Error(Box::new(ErrorValue {
            message: text.into(),
            fields: vec![Value::symbol("refused"), Value::symbol(self.symbol())],
            label: None,
        }))
        .into()
    }

    /// The fault of what has been revoked.
    pub(crate) fn revoked() -> Fault {
        Self::Revoked.fault("this has been revoked")
    }

    /// The reason, if the fault is a refusal, and came from a peer that passes on what
    /// errors carry or from this process.
    #[must_use]
    pub fn of(fault: &Fault) -> Option<Self> {
        let Value::Error(error) = fault.value() else { return None };
        match error.fields.as_slice() {
            [Value::Symbol(refused), Value::Symbol(reason), ..] if refused == "refused" => {
                Self::ALL.into_iter().find(|refusal| refusal.symbol() == reason)
            }
            _ => None,
        }
    }
}
