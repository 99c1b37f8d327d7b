//! A host as it is named in the settings: `[user@]name[:port]`.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Serialize};

/// A host that can be reached by `ssh`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host {
    user: Option<String>,
    name: String,
    port: Option<u16>,
}

impl Host {
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Its name or address, without brackets.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn port(&self) -> Option<u16> {
        self.port
    }

    /// Its name, with that port.
    pub(super) fn with_port(&self, port: u16) -> String {
        format!("{}:{port}", self.in_brackets())
    }

    fn in_brackets(&self) -> String {
        if self.name.contains(':') { format!("[{}]", self.name) } else { self.name.clone() }
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected a host as user@name:port, found {text:?}");
        let (user, rest) = match text.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, text),
        };
        let (name, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((name, "")) => (name, None),
            Some((name, port)) => (name, Some(port.strip_prefix(':').ok_or_else(wrong)?)),
            None => match rest.split_once(':') {
                // More than one: an address of IPv6.
                Some((_, port)) if port.contains(':') => (rest, None),
                Some((name, port)) => (name, Some(port)),
                None => (rest, None),
            },
        };
        // What begins with a dash would be an option of ssh's.
        let plain = |word: &str, more: &str| {
            !word.is_empty()
                && !word.starts_with('-')
                && word.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        if !plain(name, "-_.:%") || user.is_some_and(|user| !plain(user, "-_.")) {
            return Err(wrong());
        }
        let port = port.map(str::parse).transpose().map_err(|_| wrong())?;
        if port == Some(0) {
            return Err(wrong());
        }
        Ok(Self { user: user.map(str::to_owned), name: name.to_owned(), port })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(&self.in_brackets())?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Host {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (text, user, name, port) in [
            ("db", None, "db", None),
            ("root@10.0.0.5", Some("root"), "10.0.0.5", None),
            ("db.example:2222", None, "db.example", Some(2222)),
            ("a@[::1]:22", Some("a"), "::1", Some(22)),
            ("[fe80::1%eth0]", None, "fe80::1%eth0", None),
        ] {
            let host: Host = text.parse().unwrap();
            assert_eq!((host.user(), host.name(), host.port()), (user, name, port), "{text}");
            assert_eq!(host.to_string(), text);
        }
        assert_eq!("::1".parse::<Host>().unwrap().with_port(7), "[::1]:7");
        for bad in
            ["", "@x", "-oProxyCommand=x", "a b", "x:", "x:0", "x:70000", "x;y", "[::1]x", "-u@x"]
        {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
        }
    }
}
