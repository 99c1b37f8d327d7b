//! Names of machines, of what is offered and of bindings, and which of them somebody
//! may have meant.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A name: 1 to 63 of `a-z`, `0-9` and `-`, with neither a hyphen first nor last, and so
/// good for a host name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(String);

/// Text that is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name: those have 1 to 63 of a-z, 0-9 and -, and no - first or last")]
pub(crate) struct BadName(String);

impl Name {
    /// The name as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let good = (1..=63).contains(&text.len())
            && text.bytes().all(letter)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if good { Ok(Self(text.to_owned())) } else { Err(BadName(text.to_owned())) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A name on a machine, of something offered or of a binding: `db-machine.db`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// Which machine.
    pub(crate) machine: Name,
    /// Which name there.
    pub(crate) name: Name,
}

/// Text that is no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPlace {
    /// There is no point in it.
    #[error("{0:?} names no place: that is MACHINE.NAME")]
    NoPoint(String),
    /// One of its parts is no name.
    #[error(transparent)]
    Name(#[from] BadName),
}

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        let parts = text.split_once('.');
        let (machine, name) = parts.ok_or_else(|| BadPlace::NoPoint(text.to_owned()))?;
        Ok(Self { machine: machine.parse()?, name: name.parse()? })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.machine, self.name)
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `; did you mean …?`, if one of the candidates is nearly what was written; else nothing.
pub(crate) fn did_you_mean<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    // A slip of one letter in three, at most: further off it is another word.
    let far = (written.chars().count() / 3).clamp(1, 3);
    let near = candidates
        .into_iter()
        .map(|candidate| (distance(written, candidate), candidate))
        .filter(|(distance, _)| *distance <= far)
        .min();
    near.map(|(_, candidate)| format!("; did you mean {candidate:?}?")).unwrap_or_default()
}

/// How many letters must be put in, left out, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(100).collect();
    let b: Vec<char> = b.chars().take(100).collect();
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let same = usize::from(a[i - 1] != b[j - 1]);
                let mut best =
                    (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + same);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_good_for_hosts() {
        let long = "a".repeat(63);
        for good in ["a", "0", "db-machine", "a--b", &long] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        let longer = "a".repeat(64);
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "ä", "a b", &longer] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn places_are_a_machine_and_a_name() {
        assert_eq!("db-machine.db".parse::<Place>().unwrap().to_string(), "db-machine.db");
        for bad in ["db", ".db", "db.", "a.b.c", "a .b"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_near_is_suggested() {
        let names = ["db-machine", "app", "edge-1"];
        for (written, hint) in [
            ("db-machne", "; did you mean \"db-machine\"?"),
            ("bd-machine", "; did you mean \"db-machine\"?"),
            ("ap", "; did you mean \"app\"?"),
            ("edge-2", "; did you mean \"edge-1\"?"),
            ("mail", ""),
            ("x", ""),
        ] {
            assert_eq!(did_you_mean(written, names), hint, "{written}");
        }
    }
}
