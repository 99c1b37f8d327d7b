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
    /// In which order the fields of a struct are written. Always learnt from the peer:
    /// what it writes it reads.
    pub(crate) structs: StructOrder,
    /// Whether what else is heard from the peer changes this.
    pub(crate) learns: bool,
}

/// In which order the fields of a struct are written. The two differ where keys differ
/// in length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StructOrder {
    /// By the bytes of the keys as they are encoded: what canonical Syrup wants, and
    /// Goblins and the suite write. Endo ends the session over it.
    Encoded,
    /// By the keys' own bytes, as Endo writes. Goblins and the suite read any order.
    Content,
}

impl StructOrder {
    /// The order that one field's key after another's shows, if it shows any.
    pub(crate) fn of(before: &str, after: &str) -> Option<Self> {
        if before.len() == after.len() {
            return None;
        }
        // The digits of a length end before anything that is greater than a digit.
        let encoded = before.len().to_string() < after.len().to_string();
        match (encoded, before < after) {
            (true, false) => Some(Self::Encoded),
            (false, true) => Some(Self::Content),
            _ => None,
        }
    }
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
    /// `op:deliver-only`.
    DeliverOnly,
    /// `op:deliver` with a false resolver.
    NoResolver,
    /// `op:gc-export` or `op:gc-answer`.
    SingularGc,
    /// `op:gc-exports` or `op:gc-answers`.
    PluralGc,
    /// An export of the peer's at position 0 that is not its bootstrap object: the
    /// conformance suite counts its exports from there, and nobody else does.
    ExportAtZero,
    /// A struct, in an order that is not the other.
    Struct(StructOrder),
}

impl Dialect {
    /// "1.0" as Goblins 0.18, Endo 1.1 and the July 2026 draft's peers accept it.
    pub const ONE: Self = Self {
        fire_and_forget: FireAndForget::NoResolver,
        gc: Gc::Plural,
        listen_wants_partial: true,
        structs: StructOrder::Content,
        learns: false,
    };

    /// The conformance suite of February 2026 (6c146dc).
    pub const SUITE_FEBRUARY: Self = Self {
        fire_and_forget: FireAndForget::DeliverOnly,
        gc: Gc::Singular,
        listen_wants_partial: true,
        structs: StructOrder::Encoded,
        learns: false,
    };

    /// The suite with `op:deliver-only` folded into `op:deliver` (5bfcde9), whose GC
    /// operations still have February's labels.
    pub const SUITE_FOLDED: Self = Self {
        fire_and_forget: FireAndForget::NoResolver,
        gc: Gc::Singular,
        listen_wants_partial: true,
        structs: StructOrder::Encoded,
        learns: false,
    };

    /// What all accept; gives way to what the peer is heard to speak.
    pub const UNHEARD: Self = Self {
        fire_and_forget: FireAndForget::IdleResolver,
        gc: Gc::Held,
        listen_wants_partial: true,
        structs: StructOrder::Content,
        learns: true,
    };

    /// Learns from what the peer said.
    #[inline]
    pub(crate) fn hear(&mut self, heard: Heard) {
        if self.learns || matches!(heard, Heard::Struct(_)) {
            self.learn(heard);
        }
    }

    fn learn(&mut self, heard: Heard) {
        match heard {
            Heard::DeliverOnly => {
                self.fire_and_forget = FireAndForget::DeliverOnly;
                self.gc = Gc::Singular;
            }
            Heard::NoResolver => {
                self.fire_and_forget = FireAndForget::NoResolver;
                if self.gc == Gc::Held {
                    self.gc = Gc::Plural;
                }
            }
            Heard::SingularGc | Heard::ExportAtZero => self.gc = Gc::Singular,
            Heard::PluralGc => {
                self.fire_and_forget = FireAndForget::NoResolver;
                self.gc = Gc::Plural;
            }
            Heard::Struct(order) => self.structs = order,
        }
    }
}
