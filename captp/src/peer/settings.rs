//! How our side of the network behaves, for users to set.

use std::time::Duration;

/// How our side of the network behaves. Times are counted by whatever clock the caller
/// gives.
///
/// Start from [`PeerSettings::default`] and set what should differ:
///
/// ```
/// let mut settings = captp::PeerSettings::default();
/// settings.refuse_unverified = true;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerSettings {
    /// How long a peer may take to send its `op:start-session`, and how long after the
    /// start of one session another can be crossed with it: a later one supersedes it.
    /// Default 10 s.
    pub handshake: Duration,
    /// How long a session that gave way must be unused before it is ended, and how long
    /// we wait for the session that a connection of ours gave way to before we dial once
    /// more. More than a message takes to arrive: the peer may have sent one before it
    /// knew. Default 1 s.
    pub retire_after: Duration,
    /// How long a session that the peer has superseded by a new one may be silent, with
    /// references left on it, before it is ended and they break: most likely the peer
    /// has restarted, and the system has not noticed yet that the connection is dead.
    /// Ends it after once to twice this time. Default 60 s.
    pub superseded: Duration,
    /// How long a gift is kept for its receiver, also when its gifter has left, and how
    /// long a receiver that came first waits for its gift. Default 5 min, which is more
    /// than the rest of a handoff takes.
    pub keep_gifts: Duration,
    /// How long what we gave to a third party is held, so that it can be had by way of
    /// us if it can't be reached directly. Default 30 s, which is more than an attempt
    /// to reach it takes.
    pub stand_in: Duration,
    /// Most gifts that a peer may leave for others at a time, most withdrawals that may
    /// wait for one of its gifts, and most gifts of ours that we stand in for, of which
    /// the oldest is let go. Default 10,000, as in [`Limits`](crate::Limits).
    pub gifts: usize,
    /// Whether sessions with peers that are not proven to be who they say are ended.
    /// Default `false`.
    pub refuse_unverified: bool,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            retire_after: Duration::from_secs(1),
            superseded: Duration::from_secs(60),
            keep_gifts: Duration::from_secs(300),
            stand_in: Duration::from_secs(30),
            gifts: crate::Limits::default().gifts,
            refuse_unverified: false,
        }
    }
}
