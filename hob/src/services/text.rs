//! Times, sizes and signals as they are written in service definitions.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rustix::process::Signal;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::{Serialize, Serializer};

/// The longest time that makes sense in a definition: a year.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// A time, as `500ms`, `10s`, `5m`, `1h` or `2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Period(pub(crate) Duration);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("{text:?} is no time: write 500ms, 10s, 5m, 1h or 2d");
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wanted)?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wanted())?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wanted()),
        };
        let time = number.checked_mul(millis).map(Duration::from_millis);
        match time {
            Some(time) if time <= LONGEST => Ok(Self(time)),
            _ => Err(format!("{text:?} is more than a year")),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
            if millis > 0 && millis.is_multiple_of(size) {
                return write!(f, "{}{unit}", millis / size);
            }
        }
        write!(f, "{millis}ms")
    }
}

/// A number of bytes, as a number or as `512KiB`, `1MiB` or `2GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("{text:?} is no size: write 4096, 512KiB, 1MiB or 2GiB");
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wanted())?;
        let factor = match unit {
            "" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(wanted()),
        };
        number.checked_mul(factor).map(Self).ok_or_else(wanted)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, size) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 > 0 && self.0.is_multiple_of(size) {
                return write!(f, "{}{unit}", self.0 / size);
            }
        }
        write!(f, "{}", self.0)
    }
}

/// A signal by its name, with or without `SIG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SignalName(pub(crate) Signal);

/// The signals that a definition may name.
const SIGNALS: [(&str, Signal); 12] = [
    ("TERM", Signal::TERM),
    ("INT", Signal::INT),
    ("HUP", Signal::HUP),
    ("QUIT", Signal::QUIT),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("WINCH", Signal::WINCH),
    ("STOP", Signal::STOP),
    ("CONT", Signal::CONT),
    ("ABRT", Signal::ABORT),
    ("ALRM", Signal::ALARM),
];

impl FromStr for SignalName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix("SIG").unwrap_or(text);
        let found = SIGNALS.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, signal)| Self(signal)).ok_or_else(|| {
            let names: Vec<_> = SIGNALS.iter().map(|(name, _)| *name).collect();
            format!("there is no signal {text:?} here; there are {}", names.join(", "))
        })
    }
}

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = SIGNALS.into_iter().find(|(_, signal)| *signal == self.0);
        f.write_str(found.map_or("TERM", |(name, _)| name))
    }
}

macro_rules! as_text {
    ($($type:ty, $what:literal;)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<$type, E> {
                        number.to_string().parse().map_err(E::custom)
                    }

                    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<$type, E> {
                        number.to_string().parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_any(Text)
            }
        }
    )*};
}

as_text! {
    Period, "a time such as 10s";
    Size, "a size such as 1MiB";
    SignalName, "the name of a signal";
    super::calendar::Calendar, "times such as \"daily 03:00\" or \"mon..fri 09:00\"";
}

/// A name of a service: letters, digits, `-`, `_`, `.`, `@` and `+`, so that it is good
/// for a file name too.
pub(crate) fn is_name(text: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.@+".contains(c);
    (1..=64).contains(&text.len()) && text.chars().all(fine) && !text.starts_with(['.', '-'])
}

/// A list of names in a definition.
pub(crate) fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    match names.iter().find(|name| !is_name(name)) {
        Some(bad) => Err(D::Error::custom(format!("{bad:?} is no name of a service"))),
        None => Ok(names),
    }
}

/// A command in a definition: words, of which the first is the program.
pub(crate) fn command<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let words = Vec::<String>::deserialize(deserializer)?;
    let fault = match words.first() {
        None => "a command has at least one word, the program",
        Some(program) if program.is_empty() => "the program has no name",
        Some(_) if words.iter().any(|word| word.contains('\0')) => "a word has a zero byte",
        Some(_) => return Ok(words),
    };
    Err(D::Error::custom(fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sizes_and_signals_are_read_and_written_alike() {
        for text in ["500ms", "10s", "5m", "1h", "2d", "0ms"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        for text in ["7", "512KiB", "1MiB", "2GiB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        assert_eq!("SIGHUP".parse::<SignalName>().unwrap().to_string(), "HUP");
        for bad in ["", "5", "s", "-1s", "1.5s", "5 m", "367d", "99999999999999999999d"] {
            assert!(bad.parse::<Period>().is_err(), "{bad}");
        }
        for bad in ["", "1MB", "-1", "99999999999GiB"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
        assert!("SIGNOPE".parse::<SignalName>().is_err());
    }

    #[test]
    fn names_are_good_for_files() {
        assert!(is_name("web-server.a@1"));
        for bad in ["", "..", ".x", "a/b", "-x", "a b", "é"] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
