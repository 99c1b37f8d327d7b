//! What a session may cost us.

/// The limits of one session. Crossing one ends that session, with the limit's
/// name as the reason, or paces it where its text says so, and touches no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Longest message in bytes, received or sent. Default 64 MiB.
    pub message_size: usize,
    /// Longest `op:start-session` in bytes: what a stranger may have us keep before it has
    /// said who it is. Default 16 KiB.
    pub greeting_size: usize,
    /// Deepest nesting of a message. Default 128.
    pub message_depth: usize,
    /// Most decimal digits of an integer. Default 4,096.
    pub int_digits: usize,
    /// Most objects and promises exported to the peer at a time. Default 1,000,000.
    pub exports: usize,
    /// Most objects and promises imported from the peer at a time. Default 1,000,000.
    pub imports: usize,
    /// Most of the peer's questions whose answers are held at a time. Default 100,000.
    pub answers: usize,
    /// Most of our own questions open at a time. Default 100,000.
    pub questions: usize,
    /// Most gifts that a peer may leave for others at a time, and most withdrawals
    /// that may wait for one of its gifts. Default 10,000.
    pub gifts: usize,
    /// Most bytes waiting for the peer to take them. Default 64 MiB.
    pub queued_bytes: usize,
    /// Most bytes of the peer's messages, by about what they take in memory, that wait
    /// for vats to take them. Above that the peer is paced: it is not read until half is
    /// left. Kept by whoever runs the vats. Default 64 MiB.
    pub waiting_bytes: usize,
    /// Most bytes of the peer's messages that wait for promises to settle. These cannot
    /// pace the peer, which may have to settle the promise: above that the session ends.
    /// Kept by whoever runs the vats. Default 64 MiB.
    pub parked_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size: 64 << 20,
            greeting_size: 16 << 10,
            message_depth: 128,
            int_digits: 4096,
            exports: 1_000_000,
            imports: 1_000_000,
            answers: 100_000,
            questions: 100_000,
            gifts: 10_000,
            queued_bytes: 64 << 20,
            waiting_bytes: 64 << 20,
            parked_bytes: 64 << 20,
        }
    }
}

impl Limits {
    /// The part of the limits that the codec enforces.
    pub(crate) fn decoding(&self) -> syrup::Options {
        let mut options = syrup::Options::default();
        options.limits.depth = self.message_depth;
        options.limits.size = self.message_size;
        options.limits.int_digits = self.int_digits;
        options
    }
}
