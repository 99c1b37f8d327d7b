//! The rules of a binding, as far as the graph needs to know them: text that can be
//! compared.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// What stands after the bar in `db.db | read-only`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rules(String);

impl Rules {
    /// Whether all is allowed.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Rules {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let words: Vec<&str> = text.split_whitespace().collect();
        Ok(Self(words.join(" ")))
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
