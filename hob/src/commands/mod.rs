//! What each command does.

pub(crate) mod boss;
pub(crate) mod call;
pub(crate) mod config;
pub(crate) mod export;
pub(crate) mod fleet;
pub(crate) mod help;
pub(crate) mod join;
pub(crate) mod machine;
pub(crate) mod node;
pub(crate) mod place;
pub(crate) mod state;
pub(crate) mod units;
