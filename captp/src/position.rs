//! Positions in a session's tables.
//!
//! A position is named from the side that holds the table: what is an
//! [`ExportPos`] to one peer is an [`ImportPos`] to the other.

macro_rules! position {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

position! {
    /// Where an object or promise of ours stands in our export table. 0 is the
    /// bootstrap object.
    ExportPos
}
position! {
    /// Where an object or promise of the peer's stands in its export table, and
    /// so in our import table.
    ImportPos
}
position! {
    /// Where the answer to a question stands: chosen by the asking side, used by it
    /// to send messages to the promised result before it is there.
    AnswerPos
}

/// Something at the other end of a session that a message can be addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RemotePos {
    /// An object or promise that the peer exported to us: `desc:export` on the wire.
    Import(ImportPos),
    /// The answer to a question of ours: `desc:answer` on the wire.
    Answer(AnswerPos),
}

impl std::fmt::Display for RemotePos {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Import(pos) => write!(f, "import {pos}"),
            Self::Answer(pos) => write!(f, "answer {pos}"),
        }
    }
}
