//! OCapN for Rust: a node is vats, CapTP sessions, netlayers and sturdyrefs.
