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
    /// In which order the fields of a struct are written.
    pub(crate) structs: StructOrder,
    /// Whether the peer knows `op:get`, `op:index` and `op:untag`.
    pub(crate) extracts: bool,
    /// Whether `desc:answer` may stand among arguments. Goblins has none there; a
    /// promise of ours that follows the answer is understood by all.
    pub(crate) answers_as_values: bool,
    /// How errors are written.
    pub(crate) errors: Errors,
    /// How tagged values are written.
    pub(crate) tagged: TaggedForm,
    /// Whether what is heard from the peer changes this.
    pub(crate) learns: bool,
    /// The peer has shown to be this crate, and may be shown the same.
    pub(crate) met: bool,
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

/// How an error is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errors {
    /// Its message as a string: Goblins and Endo each end the session over the
    /// other's record.
    Text,
    /// A string, except that Goblins' own errors go back to it as they came. Its record
    /// has no room for a message, and as a break reason a string serves it as well.
    Goblins,
    /// `<desc:error message>` and no more: Endo's, whose record is closed.
    Message,
    /// `<desc:error message fields…>`, and records with other labels as they came.
    Open,
}

/// How a tagged value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaggedForm {
    /// `<desc:tagged tag value>`.
    Tagged,
    /// `<user-record tag value>`, which is Goblins'.
    UserRecord,
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
    /// `exn:fail:mystery`, `user-record`, `kw`, `pair` or `vec`: Goblins.
    Goblins,
    /// `<desc:error message>`.
    Error,
    /// `desc:error` with more than a message.
    OpenError,
    /// `desc:tagged`.
    Tagged,
    /// `desc:answer` as a value.
    AnswerAsValue,
    /// `op:get`, `op:index` or `op:untag`.
    Extraction,
    /// The resolver that does nothing, where only this crate puts it; or nothing at
    /// all, said to ours.
    Ourselves,
}

impl Dialect {
    /// "1.0" as Goblins 0.18, Endo 1.1 and the July 2026 draft's peers accept it.
    pub const ONE: Self = Self {
        fire_and_forget: FireAndForget::NoResolver,
        gc: Gc::Plural,
        listen_wants_partial: true,
        structs: StructOrder::Content,
        extracts: true,
        answers_as_values: false,
        errors: Errors::Text,
        tagged: TaggedForm::Tagged,
        learns: false,
        met: false,
    };

    /// The conformance suite of February 2026 (6c146dc).
    pub const SUITE_FEBRUARY: Self = Self {
        fire_and_forget: FireAndForget::DeliverOnly,
        gc: Gc::Singular,
        listen_wants_partial: true,
        structs: StructOrder::Encoded,
        extracts: false,
        answers_as_values: false,
        errors: Errors::Text,
        tagged: TaggedForm::Tagged,
        learns: false,
        met: false,
    };

    /// [`Dialect::ONE`] to begin with; learns what else the peer understands.
    pub const TODAY: Self = Self { learns: true, ..Self::ONE };

    /// The draft of July 2026: [`Dialect::ONE`] with `op:listen` of two fields, answers
    /// among arguments, structs in canonical order, and errors as records of a message.
    /// For peers known to follow the draft; none of those that live today reads its
    /// `op:listen`.
    pub const DRAFT: Self = Self {
        listen_wants_partial: false,
        answers_as_values: true,
        errors: Errors::Message,
        structs: StructOrder::Encoded,
        ..Self::ONE
    };

    /// This crate at both ends: errors as open records, fields and all.
    pub const HOBGOBLIN: Self = Self { answers_as_values: true, errors: Errors::Open, ..Self::ONE };

    /// The suite with `op:deliver-only` folded into `op:deliver` (5bfcde9), whose GC
    /// operations still have February's labels.
    pub const SUITE_FOLDED: Self =
        Self { fire_and_forget: FireAndForget::NoResolver, ..Self::SUITE_FEBRUARY };

    /// What all accept; gives way to what the peer is heard to speak.
    pub const UNHEARD: Self = Self {
        fire_and_forget: FireAndForget::IdleResolver,
        gc: Gc::Held,
        extracts: false,
        learns: true,
        ..Self::ONE
    };

    /// Whether the peer may be this crate, for all that has been heard.
    pub(crate) fn may_be_ours(&self) -> bool {
        self.learns && self.gc == Gc::Plural && self.errors != Errors::Goblins
    }

    /// Learns from what the peer said.
    #[inline]
    pub(crate) fn hear(&mut self, heard: Heard) {
        // One of ours passes on what others say as they say it.
        if self.learns && !self.met {
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
                self.extracts = true;
                if self.gc == Gc::Held {
                    self.gc = Gc::Plural;
                }
            }
            Heard::SingularGc | Heard::ExportAtZero => self.gc = Gc::Singular,
            Heard::PluralGc => {
                self.fire_and_forget = FireAndForget::NoResolver;
                self.gc = Gc::Plural;
                self.extracts = true;
            }
            Heard::Struct(order) => self.structs = order,
            Heard::Goblins => {
                self.errors = Errors::Goblins;
                self.tagged = TaggedForm::UserRecord;
            }
            Heard::Error if self.errors == Errors::Text => self.errors = Errors::Message,
            Heard::OpenError if self.errors != Errors::Goblins => self.errors = Errors::Open,
            Heard::Error | Heard::OpenError => {}
            Heard::Tagged => self.tagged = TaggedForm::Tagged,
            Heard::AnswerAsValue => self.answers_as_values = true,
            Heard::Extraction => self.extracts = true,
            Heard::Ourselves => *self = Self { learns: true, met: true, ..Self::HOBGOBLIN },
        }
    }
}
