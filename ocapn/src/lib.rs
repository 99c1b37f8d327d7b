//! OCapN for Rust: a node is vats, CapTP sessions, netlayers and sturdyrefs.

mod bootstrap;
mod connection;
mod entropy;
mod glue;
mod handoff;
mod link;
mod node;
mod registry;
mod scheduler;
mod shared;

pub use captp::locator::{self, PeerLocator, Sturdyref, SwissNum};
pub use captp::{
    Dialect, ErrorValue, Limits, PeerViolation, Record, SessionEnd, TableCounts, Tagged, Traffic,
};
pub use netlayers;
pub use node::{EnlivenError, MintError, Node, NodeBuilder, SessionInfo};
pub use shared::DialError;
pub use syrup::text;
pub use vat_runtime::{
    Args, Behaviour, Fault, Promise, Ref, Reply, Resolver, Turn, Value, Vat, promise,
};
