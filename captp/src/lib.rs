//! The OCapN capability transport protocol (CapTP), sans-IO.
//!
//! Bytes, commands and entropy come in as arguments; bytes and [`Event`]s go out.
//! There is no socket, clock, randomness, thread or task in this crate, and so it
//! runs the same under any event loop and under a simulator.
//!
//! - [`Session`] is one connection to one peer: handshake, tables, messages,
//!   distributed garbage collection, abort.
//! - [`Runtime`] is what it asks of whoever owns the references.
//! - [`Passable`] is what messages carry.
//! - [`locator`] has peers' locators, sturdyrefs and their `ocapn://` URIs.
//!
//! The differences between living peers are one table, in [`Dialect`].

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod crypto;
mod dialect;
mod error;
mod gifts;
mod handoff;
mod limits;
pub mod locator;
mod outbox;
mod passable;
mod peer;
mod position;
mod runtime;
mod session;
mod tables;
mod value;
mod wire;

pub use crypto::{PublicId, PublicKey, SessionId, SessionKey, Signature, SwissDigest};
pub use dialect::Dialect;
pub use error::{ApiMisuse, LimitExceeded, PeerViolation, SessionEnd};
pub use gifts::{DepositError, Gifts, WithdrawError, Withdrawal};
pub use handoff::{GiftId, HandoffGive, HandoffReceive, HandoffRecord, Signed};
pub use limits::Limits;
pub use passable::{ErrorValue, Passable, Record, Tagged};
pub use peer::{Action, ConnId, Peer, PeerSettings};
pub use position::{AnswerPos, ExportPos, ImportPos, RemotePos};
pub use runtime::{Identity, Runtime};
pub use session::{
    BootstrapCall, Established, Event, Part, Proof, Question, Session, SessionConfig, Traffic,
    Unsent,
};
pub use tables::{ReferenceCounts, TableCounts};
