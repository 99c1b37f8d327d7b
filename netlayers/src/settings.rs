//! Deadlines and limits that all netlayers share.

use std::time::Duration;

use crate::netlayer::Framing;

/// Deadlines and limits of a netlayer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// How long reaching the other end may take when dialling, names looked up and all
    /// addresses tried. Default 10 s.
    pub connect_timeout: Duration,
    /// How long the handshake after that may take, on either end. Default 10 s.
    pub handshake_timeout: Duration,
    /// Handshakes of accepted connections under way at once; at one more the oldest is
    /// dropped, so that silent clients can't keep others out. Default 256.
    pub max_handshakes: usize,
    /// Channels ready and waiting for `accept`; while there are more, nothing is taken
    /// from the system's queue. Default 64.
    pub max_ready: usize,
    /// TCP: after how long a silence the system asks whether the other end is still
    /// there. Data may stay unacknowledged, or unread with all buffers full, for twice as
    /// long; then the channel fails. So a peer that is gone without a word is noticed,
    /// and one that stops reading is cut off. `None`: the system's habits, which may be to
    /// wait for ever. Counted in whole seconds, at least 4. Default 60 s.
    pub keepalive: Option<Duration>,
    /// How messages are told apart, on channels that we dial as on those that we
    /// accept; for `tcp-testing-only`, `tcp-tls` and `unix`. Both ends must be set to the
    /// same: nothing in a locator says it, as no peer would read it, and it is not
    /// guessed from what comes. Default: not at all.
    pub framing: Framing,
    /// Where a netlayer tells messages apart, in frames or in WebSocket's messages: the
    /// largest one, in bytes, sent or accepted. A channel with a larger one fails. At
    /// least the 200 of `websocket`'s handshake. Default 64 MiB.
    pub max_message: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            max_handshakes: 256,
            max_ready: 64,
            keepalive: Some(Duration::from_secs(60)),
            framing: Framing::RawSyrup,
            max_message: 64 << 20,
        }
    }
}
