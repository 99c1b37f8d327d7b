//! Values as trees: [`Value`] owns its parts, [`ValueRef`] borrows them.

mod borrowed;
mod owned;
mod tree;

pub use borrowed::ValueRef;
pub use owned::{Dict, Entries, Record, Set, Value};
pub use tree::MAX_TREE_DEPTH;
