//! Why a message did not get through. Owns [`Unreachable`] and what a failed try says.

use std::fmt;

use captp::{ErrorValue, PeerViolation, SessionEnd};
use netlayers::ConnectError;
use vat_runtime::{Fault, Value};

use crate::DialError;

/// Why a [`Lasting`](crate::Lasting) did not pass a message on, in a form that a program
/// can tell from the faults of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreachable {
    /// The peer could not be reached in time. It may be later.
    Away,
    /// Too many messages wait for the peer already.
    Full,
    /// The peer knows no such object, or says it does not.
    NoSuchObject,
    /// Somebody else answers where the peer should be.
    WrongPeer,
    /// The sturdyref names a peer in a way that this node can't dial.
    BadLocator,
}

const UNREACHABLE: &str = "unreachable";

impl Unreachable {
    const ALL: [Self; 5] =
        [Self::Away, Self::Full, Self::NoSuchObject, Self::WrongPeer, Self::BadLocator];

    const fn symbol(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Full => "full",
            Self::NoSuchObject => "no-such-object",
            Self::WrongPeer => "wrong-peer",
            Self::BadLocator => "bad-locator",
        }
    }

    /// Whether trying again later is of no use unless somebody changes something.
    #[must_use]
    pub const fn is_lasting(self) -> bool {
        !matches!(self, Self::Away | Self::Full)
    }

    /// The reason, if the fault is of this sort, and came from this process or from a peer
    /// that passes on what errors carry.
    #[must_use]
    pub fn of(fault: &Fault) -> Option<Self> {
        let Value::Error(error) = fault.value() else { return None };
        match error.fields.as_slice() {
            [Value::Symbol(what), Value::Symbol(why), ..] if what == UNREACHABLE => {
                Self::ALL.into_iter().find(|reason| reason.symbol() == why)
            }
            _ => None,
        }
    }

    /// A fault with this reason: an error whose fields are the symbols `unreachable` and
    /// the reason.
    pub(super) fn fault(self, peer: &impl fmt::Display, why: &str) -> Fault {
        let message = match self {
            Self::NoSuchObject => format!("{peer} refuses: {why}"),
            _ => format!("{peer} can't be reached: {why}"),
        };
        Value::Error(Box::new(ErrorValue {
            message: message.into(),
            fields: vec![Value::symbol(UNREACHABLE), Value::symbol(self.symbol())],
            label: None,
        }))
        .into()
    }
}

/// Why there was no session: in what way that matters, and in words.
pub(super) fn reason(error: &DialError) -> (Unreachable, String) {
    let reason = match error {
        DialError::NoNetlayer(_) => Unreachable::BadLocator,
        DialError::Connect(error) => match &**error {
            ConnectError::IdentityMismatch { .. } => Unreachable::WrongPeer,
            ConnectError::BadLocator(_) => Unreachable::BadLocator,
            // The fault says already who it is.
            ConnectError::Unreachable { cause, .. } => {
                return (Unreachable::Away, cause.to_string());
            }
            _ => Unreachable::Away,
        },
        DialError::Handshake {
            end: SessionEnd::Violation(PeerViolation::NotWhoWeDialled { .. }),
            ..
        } => Unreachable::WrongPeer,
        DialError::Handshake { .. } | DialError::Stopped => Unreachable::Away,
    };
    (reason, error.to_string())
}
