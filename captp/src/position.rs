//! Positions in a session's tables. Owns the newtypes that keep one table's
//! numbers from being used in another.
//!
//! Export and import are named from the side that holds the table: what one side
//! exports at `ExportPos(5)` the other imports at `ImportPos(5)`.

use std::fmt;

macro_rules! position {
    ($(#[$doc:meta])* $name:ident, $short:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($short, "{}"), self.0)
            }
        }
    };
}

position! {
    /// Where an object or promise of ours stands in the table of what we have
    /// exported to the peer.
    ExportPos, "export "
}

position! {
    /// Where an object or promise of the peer stands in the table of what we have
    /// imported from it. The peer chose the number.
    ImportPos, "import "
}

position! {
    /// The position of an answer, chosen by the side that sends the message. It
    /// names the answer from either side: there is no separate question position.
    AnswerPos, "answer "
}

/// What a message to the peer can be addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RemotePos {
    /// An object or promise that the peer has exported to us.
    Import(ImportPos),
    /// The answer to a message that we have sent: pipelining.
    Answer(AnswerPos),
}

impl fmt::Display for RemotePos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Import(pos) => pos.fmt(f),
            Self::Answer(pos) => pos.fmt(f),
        }
    }
}
