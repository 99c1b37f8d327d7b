//! Exit codes, and what to do next: decided by the type of the error.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | the call broke, or the command could not be carried out |
//! | 2 | usage: an argument, URI, file, address or setting can't be used |
//! | 3 | not found: no such object, machine, binding or token |
//! | 4 | refused, revoked or expired: the capability does not give that, or no longer |
//! | 5 | unreachable or timed out |
//! | 6 | pending: not there yet, and still on its way |
//! | 7 | identity mismatch: somebody else answered |
//! | 8 | done for a part of the fleet only |
//! | 130 | interrupted |

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Error;
use ocapn::actors::Refusal;
use ocapn::netlayers::{BindError, ConnectError, IdentityError};
use ocapn::{DialError, EnlivenError, Fault, PeerViolation, SessionEnd, Value};

use crate::capfile::{CapError, Why};
use crate::config::ConfigError;
use crate::notation::{NotationError, print};
use crate::state::StateError;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// The call broke, or the command could not be carried out.
    Failed = 1,
    /// Something given can't be used.
    Usage = 2,
    /// There is no such object.
    NoSuchObject = 3,
    /// The capability does not give that, or no longer.
    Refused = 4,
    /// Nobody could be reached, or not in time.
    Unreachable = 5,
    /// It is not there yet, and still on its way.
    Pending = 6,
    /// Somebody else answered.
    IdentityMismatch = 7,
    /// It is done for a part of the fleet only.
    Partial = 8,
    /// Ctrl-C.
    Interrupted = 130,
}

/// A failure of which the command itself knows what it is and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Failure {
    /// How the program ends.
    pub(crate) exit: Exit,
    /// What failed, and why.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) next: Option<String>,
}

impl Failure {
    /// A failure with nothing to do about it.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), next: None }
    }

    /// What to do about it: a command, if there is one.
    pub(crate) fn next(self, next: impl Into<String>) -> Self {
        Self { next: Some(next.into()), ..self }
    }
}

/// The object answered, with a fault.
#[derive(Debug, thiserror::Error)]
#[error("the call broke: {}", self.why())]
pub(crate) struct Broke(pub(crate) Fault);

impl Broke {
    /// How the program ends of it.
    pub(crate) fn exit(&self) -> Exit {
        of_fault(&self.0)
    }

    /// What the object said, as text.
    pub(crate) fn why(&self) -> String {
        match self.0.value() {
            Value::Error(_) | Value::String(_) | Value::Symbol(_) => self.0.to_string(),
            other => print(other, false),
        }
    }
}

/// No answer in the time allowed.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", .0.as_secs_f64())]
pub(crate) struct TimedOut(pub(crate) Duration);

/// The session ended before the answer came.
#[derive(Debug, thiserror::Error)]
#[error("the session ended before the answer came: {0}")]
pub(crate) struct Severed(pub(crate) Fault);

/// No node runs in the state directory.
#[derive(Debug, thiserror::Error)]
#[error("no hob node runs in {}", .0.display())]
pub(crate) struct NoNode(pub(crate) PathBuf);

/// What was given makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadUsage(pub(crate) String);

/// The node exports nothing under that name.
#[derive(Debug, thiserror::Error)]
#[error("nothing is exported as {0:?}")]
pub(crate) struct NotExported(pub(crate) String);

/// Somebody is not who they should be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Mismatch(pub(crate) String);

/// The capability is not for that, has expired or was revoked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

/// What was named is not there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotThere(pub(crate) String);

/// Ctrl-C or a signal to end.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

/// The exit code that the first error known to this table stands for.
pub(crate) fn code(error: &Error) -> Exit {
    error.chain().find_map(code_of).unwrap_or(Exit::Failed)
}

fn code_of(error: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return Some(failure.exit);
    }
    if let Some(Broke(fault)) = error.downcast_ref() {
        return Some(of_fault(fault));
    }
    if let Some(error) = error.downcast_ref::<EnlivenError>() {
        return Some(of_enliven(error));
    }
    if let Some(error) = error.downcast_ref::<DialError>() {
        return Some(of_dial(error));
    }
    if let Some(error) = error.downcast_ref::<ConnectError>() {
        return Some(of_connect(error));
    }
    if let Some(error) = error.downcast_ref::<BindError>() {
        return Some(of_bind(error));
    }
    if let Some(error) = error.downcast_ref::<StateError>() {
        return Some(match error {
            StateError::NoDefault | StateError::Mode { .. } => Exit::Usage,
            StateError::Io { .. } | StateError::Locked { .. } => Exit::Failed,
        });
    }
    if let Some(error) = error.downcast_ref::<IdentityError>() {
        return Some(match error {
            IdentityError::FileMode { .. }
            | IdentityError::DirectoryMode { .. }
            | IdentityError::Corrupt { .. }
            | IdentityError::BadPem(_) => Exit::Usage,
            _ => Exit::Failed,
        });
    }
    let usage = error.is::<NotationError>()
        || error.is::<CapError>()
        || error.is::<BadUsage>()
        || error.is::<ConfigError>();
    let unreachable = error.is::<TimedOut>() || error.is::<Severed>() || error.is::<NoNode>();
    match error {
        _ if usage => Some(Exit::Usage),
        _ if unreachable => Some(Exit::Unreachable),
        _ if error.is::<NotExported>() => Some(Exit::NoSuchObject),
        _ if error.is::<NotThere>() => Some(Exit::NoSuchObject),
        _ if error.is::<Refused>() => Some(Exit::Refused),
        _ if error.is::<Mismatch>() => Some(Exit::IdentityMismatch),
        _ if error.is::<Interrupted>() => Some(Exit::Interrupted),
        _ => None,
    }
}

/// An object may say no in a way that programs can tell.
fn of_fault(fault: &Fault) -> Exit {
    if Refusal::of(fault).is_some() {
        return Exit::Refused;
    }
    match fault.value() {
        Value::Error(error)
            if error.fields.first().and_then(Value::as_symbol) == Some("not-found") =>
        {
            Exit::NoSuchObject
        }
        // What it hangs on does not run.
        Value::Error(error)
            if error.fields.first().and_then(Value::as_symbol) == Some("unavailable") =>
        {
            Exit::Unreachable
        }
        _ => Exit::Failed,
    }
}

fn of_enliven(error: &EnlivenError) -> Exit {
    match error {
        EnlivenError::Dial(error) => of_dial(error),
        EnlivenError::NoSuchObject(_) => Exit::NoSuchObject,
        EnlivenError::SessionEnded(end) => of_end(end),
        _ => Exit::Failed,
    }
}

fn of_dial(error: &DialError) -> Exit {
    match error {
        DialError::NoNetlayer(_) => Exit::Usage,
        DialError::Connect(error) => of_connect(error),
        DialError::Handshake { end, .. } => of_end(end),
        _ => Exit::Failed,
    }
}

fn of_connect(error: &ConnectError) -> Exit {
    match error {
        ConnectError::Unreachable { .. } | ConnectError::Handshake { .. } => Exit::Unreachable,
        ConnectError::IdentityMismatch { .. } => Exit::IdentityMismatch,
        ConnectError::BadLocator(_) => Exit::Usage,
        _ => Exit::Failed,
    }
}

const fn of_end(end: &SessionEnd) -> Exit {
    match end {
        SessionEnd::Violation(PeerViolation::NotWhoWeDialled { .. }) => Exit::IdentityMismatch,
        _ => Exit::Unreachable,
    }
}

const fn of_bind(error: &BindError) -> Exit {
    match error {
        BindError::NoPublicHost { .. }
        | BindError::Empty(_)
        | BindError::BadPath(_)
        | BindError::PathTooLong { .. }
        | BindError::NotASocket(_) => Exit::Usage,
        _ => Exit::Failed,
    }
}

/// What the user might do about it.
pub(crate) fn next_step(error: &Error) -> Option<String> {
    error.chain().find_map(next_of)
}

fn next_of(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.next.clone();
    }
    if let Some(error) = error.downcast_ref::<ConfigError>() {
        return match error {
            ConfigError::InFile { hint, .. } => hint.clone(),
            ConfigError::Unreadable { .. } => Some("name another file with --config".to_owned()),
            ConfigError::Elsewhere { .. } => None,
        };
    }
    if let Some(NoNode(path)) = error.downcast_ref() {
        let path = path.display();
        return Some(format!("start one with: hob node --state {path}"));
    }
    if let Some(error) = error.downcast_ref::<StateError>() {
        return match error {
            StateError::NoDefault => Some("name one with --state DIR".to_owned()),
            StateError::Mode { path, .. } => Some(format!("chmod 700 {}", path.display())),
            StateError::Locked { .. } => Some("use it, end it, or name another --state".to_owned()),
            StateError::Io { .. } => None,
        };
    }
    if let Some(error) = error.downcast_ref::<CapError>() {
        return match &error.why {
            Why::Mode(_) => Some("chmod 600 it, if nobody else has read it".to_owned()),
            Why::InTheWay => Some("name another file with -o".to_owned()),
            _ => None,
        };
    }
    if let Some(BindError::NoPublicHost { .. }) = error.downcast_ref() {
        return Some("say where others reach it: --public-address HOST:PORT".to_owned());
    }
    if let Some(BindError::PathTooLong { .. }) = error.downcast_ref() {
        return Some("name a directory with a shorter path".to_owned());
    }
    if let Some(Broke(fault)) = error.downcast_ref() {
        let next = match Refusal::of(fault)? {
            Refusal::Method => "this capability does not give that: ask for one that does",
            Refusal::TooOften => "try again later",
            _ => "ask for a new capability",
        };
        return Some(next.to_owned());
    }
    if error.is::<NotationError>() {
        return Some("hob call --help explains how arguments are written".to_owned());
    }
    if error.is::<TimedOut>() {
        return Some("allow more time with --timeout".to_owned());
    }
    let code = match error.downcast_ref::<EnlivenError>() {
        Some(error) => of_enliven(error),
        None => of_dial(error.downcast_ref()?),
    };
    match code {
        Exit::NoSuchObject => {
            Some("it was revoked or used up: ask for a new capability".to_owned())
        }
        Exit::Unreachable => Some("is its node running, and reachable from here?".to_owned()),
        Exit::IdentityMismatch => {
            Some("don't go on: get the capability anew from somebody you trust".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocapn::ErrorValue;
    use std::io;
    use std::sync::Arc;

    fn refused() -> ConnectError {
        ConnectError::Handshake {
            address: "x".into(),
            source: io::ErrorKind::ConnectionReset.into(),
        }
    }

    fn mismatch() -> ConnectError {
        ConnectError::IdentityMismatch { address: "x".into(), expected: "a".into(), found: None }
    }

    fn not_found() -> Fault {
        let fields = vec![Value::symbol("not-found")];
        Value::Error(Box::new(ErrorValue { message: "no x".into(), fields, label: None })).into()
    }

    #[test]
    fn every_code_by_type() {
        let dial = |error| EnlivenError::Dial(DialError::Connect(Arc::new(error)));
        let table: Vec<(Error, Exit)> = vec![
            (Broke("no".into()).into(), Exit::Failed),
            (Broke(Refusal::Revoked.fault("gone")).into(), Exit::Refused),
            (Broke(Refusal::Method.fault("not that")).into(), Exit::Refused),
            (Broke(not_found()).into(), Exit::NoSuchObject),
            (BadUsage("no".into()).into(), Exit::Usage),
            (EnlivenError::NoSuchObject("x".into()).into(), Exit::NoSuchObject),
            (EnlivenError::SessionEnded(SessionEnd::Disconnected).into(), Exit::Unreachable),
            (dial(refused()).into(), Exit::Unreachable),
            (dial(mismatch()).into(), Exit::IdentityMismatch),
            (refused().into(), Exit::Unreachable),
            (mismatch().into(), Exit::IdentityMismatch),
            (DialError::NoNetlayer("x".into()).into(), Exit::Usage),
            (TimedOut(Duration::from_secs(1)).into(), Exit::Unreachable),
            (Severed("gone".into()).into(), Exit::Unreachable),
            (NoNode("/x".into()).into(), Exit::Unreachable),
            (StateError::NoDefault.into(), Exit::Usage),
            (BindError::Empty("x").into(), Exit::Usage),
            (BindError::InUse("/x".into()).into(), Exit::Failed),
            (Refused("no".into()).into(), Exit::Refused),
            (NotThere("no".into()).into(), Exit::NoSuchObject),
            (Interrupted.into(), Exit::Interrupted),
            (Failure::new(Exit::Refused, "x").into(), Exit::Refused),
            (Failure::new(Exit::Pending, "x").into(), Exit::Pending),
            (Failure::new(Exit::Partial, "x").into(), Exit::Partial),
            (ConfigError::Elsewhere { from: "x".into(), what: "y".into() }.into(), Exit::Usage),
            (Error::msg("anything"), Exit::Failed),
        ];
        for (error, expected) in table {
            // What was being done does not hide what went wrong.
            let error = error.context("doing something");
            assert_eq!(code(&error), expected, "{error:#}");
        }
    }

    #[test]
    fn the_numbers_are_those_of_the_table() {
        let codes = [
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::NoSuchObject, 3),
            (Exit::Refused, 4),
            (Exit::Unreachable, 5),
            (Exit::Pending, 6),
            (Exit::IdentityMismatch, 7),
            (Exit::Partial, 8),
            (Exit::Interrupted, 130),
        ];
        for (exit, code) in codes {
            assert_eq!(exit as u8, code);
        }
    }

    #[test]
    fn failures_say_what_to_do() {
        let error: Error =
            Failure::new(Exit::Pending, "x is pending").next("hob fleet show x").into();
        assert_eq!(next_step(&error.context("doing")).unwrap(), "hob fleet show x");
        let often = Error::from(Broke(Refusal::TooOften.fault("too often")));
        assert_eq!(next_step(&often).unwrap(), "try again later");
        assert_eq!(next_step(&Broke("no".into()).into()), None);
    }
}
