//! What can go wrong between a locator and a channel, by whose fault it is.

use std::io;
use std::time::Duration;

/// Why dialling a peer gave no channel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody could be reached there. Trying again later may help.
    #[error("{address} can't be reached: {cause}")]
    Unreachable {
        /// Where it was tried.
        address: String,
        /// What happened.
        cause: UnreachableCause,
    },
    /// Somebody answered, but not the peer that the locator names. Don't try again: the
    /// locator is wrong, the peer has lost its key, or somebody stands in between.
    #[error("{address} is not the peer {expected}: {}", found_text(.found.as_deref()))]
    IdentityMismatch {
        /// Where it was tried.
        address: String,
        /// The designator in the locator.
        expected: String,
        /// The designator of who answered. `None` if all that is known is that
        /// it could not prove to be the peer.
        found: Option<String>,
    },
    /// The locator can't be dialled by this netlayer.
    #[error("the locator can't be dialled: {0}")]
    BadLocator(#[from] BadLocator),
    /// Somebody answered and the handshake failed for a reason other than identity.
    #[error("the handshake with {address} failed: {source}")]
    Handshake {
        /// Where it was tried.
        address: String,
        /// What happened.
        source: io::Error,
    },
}

fn found_text(found: Option<&str>) -> String {
    found.map_or_else(
        || "whoever answered can't prove to have its key".to_owned(),
        |found| format!("{found} answered"),
    )
}

impl ConnectError {
    pub(crate) fn io(address: impl Into<String>, error: io::Error) -> Self {
        Self::Unreachable { address: address.into(), cause: UnreachableCause::Io(error) }
    }

    pub(crate) fn timed_out(address: impl Into<String>, after: Duration) -> Self {
        Self::Unreachable { address: address.into(), cause: UnreachableCause::TimedOut(after) }
    }
}

/// Why nobody could be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnreachableCause {
    /// The system said so: refused, no route, no such name and the like.
    #[error("{0}")]
    Io(io::Error),
    /// No connection, or no end of the handshake, in the time allowed.
    #[error("timed out after {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The netlayer has no peer of that name.
    #[error("nobody of that name is listening")]
    NobodyThere,
    /// The peer is reached by way of introduction servers, and we are with none of them.
    #[error("we share no introduction server with it")]
    NoSharedServer,
}

/// Why a locator can't be dialled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadLocator {
    /// It is for another netlayer.
    #[error("its transport is {found} and not {expected}")]
    Transport {
        /// The netlayer's transport.
        expected: &'static str,
        /// The locator's.
        found: String,
    },
    /// A hint that is needed is missing or empty.
    #[error("it has no {0} hint")]
    MissingHint(&'static str),
    /// A hint has a value without meaning.
    #[error("its {name} hint is not {wanted}")]
    BadHint {
        /// The hint's name.
        name: &'static str,
        /// What would have a meaning.
        wanted: &'static str,
    },
    /// The designator is none that this transport has.
    #[error("its designator is not {wanted}")]
    BadDesignator {
        /// What a designator looks like here.
        wanted: &'static str,
    },
}

/// Why no more channels are accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The netlayer was shut down.
    #[error("the netlayer has been shut down")]
    Closed,
}

/// Why a netlayer can't listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The system refuses the address: in use, not ours, no such name and the like.
    #[error("can't listen on {address}: {source}")]
    Address {
        /// The address wanted.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// Listening on all interfaces says nothing about where others can reach us.
    #[error("listening on {address}, every interface: say which host others should dial")]
    NoPublicHost {
        /// The address wanted.
        address: String,
    },
    /// A designator, host or name is empty.
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// Another netlayer of the same network has the name.
    #[error("the name {0} is taken")]
    NameTaken(String),
    /// The TLS library refuses the identity.
    #[error("the identity can't be used for TLS: {0}")]
    Tls(String),
    /// A socket's path is not absolute UTF-8, or has no file name.
    #[error("{0:?} is not an absolute path in UTF-8 that ends in a file name")]
    BadPath(std::path::PathBuf),
    /// A socket's path is longer than the system allows.
    #[error("the socket path {path:?} has {len} bytes, more than the {limit} a socket's may have")]
    PathTooLong {
        /// The path.
        path: std::path::PathBuf,
        /// Its length in bytes.
        len: usize,
        /// The system's limit.
        limit: usize,
    },
    /// Something else than a socket is in the way, and is left alone.
    #[error("{0:?} exists and is not a socket")]
    NotASocket(std::path::PathBuf),
    /// Somebody listens there already.
    #[error("somebody is listening on {0:?} already")]
    InUse(std::path::PathBuf),
}
