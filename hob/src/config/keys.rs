//! The settings there are: for each its name in the file, its flag, its variable, its
//! default, and how its text is read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ocapn::netlayers::{ListenSpec, PublicAddress};
use serde_json::json;

use super::quantity::{duration, show_duration, show_size, size};
use super::surroundings::Surroundings;

/// A setting that there is.
#[derive(Debug)]
pub(crate) struct Key {
    /// `section.name`, as in the file.
    pub(crate) name: &'static str,
    /// The command line's option of the same meaning, without its dashes.
    pub(crate) flag: Option<&'static str>,
    /// The environment variable.
    pub(crate) variable: &'static str,
    pub(super) kind: Kind,
    /// The default as it would be written; empty if there is none.
    pub(super) default: &'static str,
}

/// How a setting is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Addresses to listen on: a list; separated by spaces in a variable.
    Listen,
    /// An address to be dialled at.
    Address,
    /// A directory.
    Directory,
    /// A name.
    Name,
    /// A time.
    Time,
    /// A size in bytes.
    Size,
    /// A number of things, at least one.
    Count,
}

const fn key(
    name: &'static str,
    flag: Option<&'static str>,
    variable: &'static str,
    kind: Kind,
    default: &'static str,
) -> Key {
    Key { name, flag, variable, kind, default }
}

/// The option that sets any limit: `--limit NAME=VALUE`.
pub(crate) const LIMIT: &str = "limit";

/// All settings, in the order in which they are shown.
pub(crate) const KEYS: [Key; 16] = [
    key("node.listen", Some("listen"), "HOB_LISTEN", Kind::Listen, ""),
    key("node.public_address", Some("public-address"), "HOB_PUBLIC_ADDRESS", Kind::Address, ""),
    key("state.path", Some("state"), "HOB_STATE", Kind::Directory, ""),
    key("boss.reconcile", Some("reconcile"), "HOB_RECONCILE", Kind::Time, "60s"),
    key("boss.enrol_ttl", Some("enrol-ttl"), "HOB_ENROL_TTL", Kind::Time, "15m"),
    key("boss.revive_after", Some("revive-after"), "HOB_REVIVE_AFTER", Kind::Time, "2m"),
    key("boss.default_provider", Some("default-provider"), "HOB_PROVIDER", Kind::Name, ""),
    key("machine.services", Some("services"), "HOB_SERVICES", Kind::Directory, ""),
    key("limits.sessions", Some(LIMIT), "HOB_SESSIONS", Kind::Count, "1024"),
    key("limits.message_size", Some(LIMIT), "HOB_MESSAGE_SIZE", Kind::Size, "64MiB"),
    key("limits.peer_exports", Some(LIMIT), "HOB_PEER_EXPORTS", Kind::Count, "1000000"),
    key("limits.peer_imports", Some(LIMIT), "HOB_PEER_IMPORTS", Kind::Count, "1000000"),
    key("limits.peer_answers", Some(LIMIT), "HOB_PEER_ANSWERS", Kind::Count, "100000"),
    key("limits.peer_questions", Some(LIMIT), "HOB_PEER_QUESTIONS", Kind::Count, "100000"),
    key("limits.peer_gifts", Some(LIMIT), "HOB_PEER_GIFTS", Kind::Count, "10000"),
    key("limits.peer_bytes", Some(LIMIT), "HOB_PEER_BYTES", Kind::Size, "64MiB"),
];

/// What a setting is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing, and there is no default.
    Unset,
    /// A text.
    Text(String),
    /// Several.
    Texts(Vec<String>),
    /// A directory.
    Path(PathBuf),
    /// A time.
    Time(Duration),
    /// Bytes.
    Size(u64),
    /// How many.
    Count(u64),
}

impl Key {
    /// The value that the texts stand for: several if the setting is a list, else one.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub(super) fn read(&self, texts: &[String], around: &Surroundings) -> Result<Value, String> {
        if self.kind == Kind::Listen {
            let expanded =
                texts.iter().map(|text| around.expand(text)).collect::<Result<_, _>>()?;
            let texts: Vec<String> = expanded;
            for text in &texts {
                text.parse::<ListenSpec>().map_err(|why| format!("{text:?}: {why}"))?;
            }
            return Ok(Value::Texts(texts));
        }
        let [text] = texts else { return Err("one value is wanted, and not several".to_owned()) };
        let bad = |why: String| format!("{text:?}: {why}");
        Ok(match self.kind {
            Kind::Listen => Value::Unset,
            Kind::Address => {
                text.parse::<PublicAddress>().map_err(bad)?;
                Value::Text(text.clone())
            }
            Kind::Directory => Value::Path(around.expand(text).map_err(bad)?.into()),
            Kind::Name => match text.as_str() {
                "" => return Err("a name is wanted".to_owned()),
                name => Value::Text(name.to_owned()),
            },
            Kind::Time => Value::Time(duration(text).map_err(bad)?),
            Kind::Size => Value::Size(size(text).map_err(bad)?),
            Kind::Count => {
                let count =
                    text.parse().ok().filter(|count| (1..=u64::from(u32::MAX)).contains(count));
                let why = || bad("a number from 1 to 4294967295 is wanted".to_owned());
                Value::Count(count.ok_or_else(why)?)
            }
        })
    }

    /// The texts in a variable.
    pub(super) fn split(&self, variable: &str) -> Vec<String> {
        match self.kind {
            Kind::Listen => variable.split_whitespace().map(str::to_owned).collect(),
            _ => vec![variable.to_owned()],
        }
    }

    /// Whether a relative path in the config file would depend on who reads it from
    /// where.
    pub(super) fn is_relative(&self, value: &Value) -> bool {
        match value {
            Value::Path(path) => path.is_relative(),
            Value::Texts(texts) => texts.iter().any(|text| {
                text.strip_prefix("unix:").is_some_and(|path| Path::new(path).is_relative())
            }),
            _ => false,
        }
    }
}

impl Value {
    /// As JSON: times in seconds, sizes in bytes.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Unset => serde_json::Value::Null,
            Self::Text(text) => json!(text),
            Self::Texts(texts) => json!(texts),
            Self::Path(path) => json!(path.to_string_lossy()),
            Self::Time(time) if time.subsec_nanos() == 0 => json!(time.as_secs()),
            Self::Time(time) => json!(time.as_secs_f64()),
            Self::Size(number) | Self::Count(number) => json!(number),
        }
    }
}

/// As in a config file; nothing if there is nothing.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        match self {
            Self::Unset => Ok(()),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::Texts(texts) => {
                let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
                write!(f, "[{}]", texts.join(", "))
            }
            Self::Path(path) => f.write_str(&quoted(&path.to_string_lossy())),
            Self::Time(time) => f.write_str(&quoted(&show_duration(*time))),
            Self::Size(bytes) => f.write_str(&quoted(&show_size(*bytes))),
            Self::Count(count) => write!(f, "{count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_can_be_read_and_limits_are_those_of_a_session() {
        let around = Surroundings::default();
        for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
            key.read(&[key.default.to_owned()], &around).unwrap();
        }
        let names: std::collections::BTreeSet<_> = KEYS.iter().map(|key| key.variable).collect();
        assert_eq!(names.len(), KEYS.len());
    }

    #[test]
    fn bad_values_say_what_is_wanted() {
        let around = Surroundings::default();
        let read = |name: &str, text: &str| {
            let key = KEYS.iter().find(|key| key.name == name).unwrap();
            key.read(&[text.to_owned()], &around).map(|value| value.to_string())
        };
        assert_eq!(read("boss.reconcile", "2h"), Ok("\"2h\"".into()));
        assert_eq!(read("limits.peer_bytes", "16MiB"), Ok("\"16MiB\"".into()));
        assert_eq!(read("limits.peer_exports", "10"), Ok("10".into()));
        for (name, text) in [
            ("node.listen", "tcp-tls"),
            ("node.public_address", "host:0"),
            ("state.path", "%x"),
            ("boss.default_provider", ""),
            ("boss.reconcile", "soon"),
            ("limits.peer_bytes", "much"),
            ("limits.peer_exports", "0"),
            ("limits.peer_exports", "4294967296"),
        ] {
            assert!(read(name, text).is_err(), "{name} {text}");
        }
    }
}
