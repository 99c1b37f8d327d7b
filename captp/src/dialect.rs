//! The differences between peers that all say version "1.0".
//!
//! One table for all of them; the rest of the crate speaks abstract operations.
//! Receiving accepts every known form. Sending follows what the peer has been heard
//! to speak; until then only forms that every dialect possible on that netlayer
//! accepts are sent.

/// What we may send to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dialect {
    /// How a message that wants no answer is written.
    pub(crate) fire_and_forget: FireAndForget,
    /// How released references are written.
    pub(crate) gc: Gc,
    /// Whether `op:listen` has its third field.
    pub(crate) listen_wants_partial: bool,
    /// Whether anything heard from the peer may still change this.
    pub(crate) settled: bool,
}

/// How a message that wants no answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FireAndForget {
    /// `op:deliver-only to args`.
    DeliverOnly,
    /// `op:deliver to args f f`.
    NoResolver,
    /// `op:deliver to args f <desc:import-object N>` with a resolver that does
    /// nothing: understood by all.
    IdleResolver,
}

/// How released references are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gc {
    /// `op:gc-exports [pos] [delta]` and `op:gc-answers [pos]`.
    Plural,
    /// The same under the labels `op:gc-export` and `op:gc-answer`.
    Singular,
    /// Held back until the peer is heard, or too many have gathered.
    Held,
}

/// Something the peer said that tells dialects apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// `op:deliver-only`, `op:gc-export` or `op:gc-answer`.
    SuiteFebruary,
    /// A false resolver, `op:gc-exports` or `op:gc-answers`.
    One,
}

impl Dialect {
    /// "1.0" as Goblins 0.18, Endo 1.1 and the July 2026 draft's peers accept it.
    pub const ONE: Self = Self {
        fire_and_forget: FireAndForget::NoResolver,
        gc: Gc::Plural,
        listen_wants_partial: true,
        settled: true,
    };

    /// The conformance suite of February 2026 (6c146dc).
    pub const SUITE_FEBRUARY: Self = Self {
        fire_and_forget: FireAndForget::DeliverOnly,
        gc: Gc::Singular,
        listen_wants_partial: true,
        settled: true,
    };

    /// The conformance suite once `op:deliver-only` is folded into `op:deliver`
    /// (5bfcde9). It can't be told from [`Dialect::ONE`] by what it says, but knows
    /// only the singular GC labels: for listeners that expect it.
    pub const SUITE_FOLDED: Self = Self {
        fire_and_forget: FireAndForget::NoResolver,
        gc: Gc::Singular,
        listen_wants_partial: true,
        settled: true,
    };

    /// What all of the above accept; gives way to the first or the second when the peer is heard.
    pub const UNHEARD: Self = Self {
        fire_and_forget: FireAndForget::IdleResolver,
        gc: Gc::Held,
        listen_wants_partial: true,
        settled: false,
    };

    /// Learns from what the peer said.
    pub(crate) fn hear(&mut self, heard: Heard) {
        if !self.settled {
            *self = match heard {
                Heard::SuiteFebruary => Self::SUITE_FEBRUARY,
                Heard::One => Self::ONE,
            };
        }
    }
}
