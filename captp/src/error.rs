//! Why sessions end and calls are refused: faults are assigned by type.

use syrup::{DecodeError, DecodeErrorKind};

use crate::locator::PeerId;
use crate::position::{AnswerPos, ExportPos};
use crate::wire::WireError;

/// A rule of the protocol that the peer broke. Each aborts the session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerViolation {
    /// The bytes are not Syrup.
    #[error("malformed Syrup: {0}")]
    Syrup(DecodeError),
    /// The bytes are Syrup, but not of the shape that this place calls for.
    #[error("at byte {offset}: expected {expected}")]
    Shape {
        /// Where in the message, in bytes from its start.
        offset: usize,
        /// What the protocol wants there.
        expected: &'static str,
    },
    /// A message that is not an operation we know.
    #[error("unknown operation")]
    UnknownOperation,
    /// Something came before `op:start-session`.
    #[error("expected op:start-session first")]
    NotStarted,
    /// A second `op:start-session` on one connection.
    #[error("op:start-session repeated")]
    StartedTwice,
    /// The peer speaks another version of the protocol.
    #[error("CapTP version is incompatible: {theirs:?}")]
    Version {
        /// What the peer said it speaks.
        theirs: String,
    },
    /// The location in `op:start-session` is not signed by the session key.
    #[error("location signature does not verify")]
    LocationSignature,
    /// The peer presents our own session key.
    #[error("session key is our own")]
    OurOwnKey,
    /// The peer answers under another name than the one we dialled.
    #[error("dialled {dialled} but reached {claimed}")]
    NotWhoWeDialled {
        /// Whom we asked for.
        dialled: PeerId,
        /// Who answered.
        claimed: PeerId,
    },
    /// A message for, or a reference to, an export that is not there.
    #[error("no export {0}")]
    NoSuchExport(ExportPos),
    /// A message for an answer that is not there.
    #[error("no answer {0}")]
    NoSuchAnswer(AnswerPos),
    /// A question that uses an answer position still in use.
    #[error("answer {0} is still in use")]
    AnswerInUse(AnswerPos),
    /// More references released than were sent.
    #[error("export {pos} released {delta} times, sent {sent} times")]
    OverRelease {
        /// The export.
        pos: ExportPos,
        /// How many references we sent and have not had back.
        sent: u64,
        /// How many the peer released.
        delta: u64,
    },
    /// The two lists of `op:gc-exports` differ in length.
    #[error("op:gc-exports with lists of different lengths")]
    UnevenGc,
}

impl From<WireError> for PeerViolation {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Syrup(error) => Self::Syrup(error),
            WireError::Shape { offset, expected } => Self::Shape { offset, expected },
        }
    }
}

/// A limit of [`Limits`](crate::Limits) that was crossed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limit exceeded: {name} ({limit})")]
pub struct LimitExceeded {
    /// The limit's name, as in [`Limits`](crate::Limits).
    pub name: &'static str,
    /// Its value.
    pub limit: u64,
}

impl LimitExceeded {
    /// The limit that a decoding error stands for, if it does.
    pub(crate) fn in_decoding(error: &DecodeError) -> Option<Self> {
        let (name, limit) = match error.kind {
            DecodeErrorKind::DepthLimit(limit) => ("message_depth", limit as u64),
            DecodeErrorKind::SizeLimit(limit) => ("message_size", limit as u64),
            DecodeErrorKind::IntDigitsLimit(limit) => ("int_digits", limit as u64),
            _ => return None,
        };
        Some(Self { name, limit })
    }
}

/// A call on a session that its user may not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiMisuse {
    /// The session has ended.
    #[error("the session has ended")]
    Ended,
    /// The value is nested deeper than messages may be.
    #[error("value nested deeper than {0}")]
    TooDeep(usize),
    /// The session can hold no more of these.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// A value that has no encoding: a struct or map with a key twice.
    #[error("a key occurs twice in a struct")]
    DuplicateKey,
    /// An experiment that the session's configuration does not ask for.
    #[error("the experiment is not switched on")]
    Experimental,
    /// The message would be longer than the limit.
    #[error("message longer than {0} bytes")]
    TooLong(usize),
}

/// How a session came to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionEnd {
    /// The peer sent `op:abort`.
    #[error("aborted by the peer: {0}")]
    PeerAborted(String),
    /// The peer broke a rule.
    #[error("protocol violation: {0}")]
    Violation(#[from] PeerViolation),
    /// A limit was crossed.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// The connection closed.
    #[error("disconnected")]
    Disconnected,
    /// We ended it.
    #[error("closed: {0}")]
    Closed(String),
}

impl SessionEnd {
    /// What `op:abort` says of this end, or `None` if the peer needs no telling.
    #[must_use]
    pub fn abort_reason(&self) -> Option<String> {
        match self {
            Self::PeerAborted(_) | Self::Disconnected => None,
            Self::Violation(violation) => Some(violation.to_string()),
            Self::Limit(limit) => Some(limit.to_string()),
            Self::Closed(reason) => Some(reason.clone()),
        }
    }
}

impl From<PeerViolation> for Box<SessionEnd> {
    fn from(violation: PeerViolation) -> Self {
        Self::new(violation.into())
    }
}

impl From<WireError> for SessionEnd {
    fn from(error: WireError) -> Self {
        if let WireError::Syrup(error) = &error
            && let Some(limit) = LimitExceeded::in_decoding(error)
        {
            return Self::Limit(limit);
        }
        Self::Violation(error.into())
    }
}
