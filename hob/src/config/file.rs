//! The config file: TOML, in which every key is known and every complaint says where.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::keys::{KEYS, Key, Value};
use super::surroundings::Surroundings;

/// The section with a table for each provider.
const PROVIDERS: &str = "providers";

/// More than any config file needs.
const MAX_BYTES: u64 = 1 << 20;

/// Why settings can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file can't be read.
    #[error("{}: {why}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// Something in the file is wrong.
    #[error("{}:{line}:{column}: {what}", path.display())]
    InFile {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What is wrong.
        what: String,
        /// What may have been meant, or is known.
        hint: Option<String>,
    },
    /// A variable or a flag is wrong.
    #[error("{from}: {what}")]
    Elsewhere {
        /// Which one.
        from: String,
        /// What is wrong with it.
        what: String,
    },
}

/// A config file that has been read.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What it sets, by the name of the setting, and in which line.
    pub(super) values: BTreeMap<&'static str, (Value, usize)>,
    /// The providers by name.
    pub(crate) providers: BTreeMap<String, Provider>,
}

/// A provider as the file has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Provider {
    /// Its settings, which only it understands.
    pub(crate) table: toml::Table,
    /// The line of the file that it begins in.
    pub(crate) line: usize,
}

impl Provider {
    /// What kind of provider it is: `kind`, or what it is called.
    pub(crate) fn kind<'a>(&'a self, name: &'a str) -> &'a str {
        self.table.get("kind").and_then(toml::Value::as_str).unwrap_or(name)
    }
}

impl File {
    /// Reads a config file.
    pub(crate) fn read(path: &Path, around: &Surroundings) -> Result<Self, ConfigError> {
        let read = || {
            use io::Read as _;
            let mut text = String::new();
            let file = std::fs::File::open(path)?;
            if file.take(MAX_BYTES + 1).read_to_string(&mut text)? as u64 > MAX_BYTES {
                return Err(io::Error::other("larger than any config file"));
            }
            Ok(text)
        };
        let text = read().map_err(|why| ConfigError::Unreadable { path: path.to_owned(), why })?;
        Self::parse(path, &text, around)
    }

    pub(super) fn parse(
        path: &Path,
        text: &str,
        around: &Surroundings,
    ) -> Result<Self, ConfigError> {
        let reader = Reader { path, text };
        let document = DeTable::parse(text).map_err(|error| {
            reader.error(error.span().unwrap_or_default(), error.message().to_owned(), None)
        })?;
        let mut file = Self { path: path.to_owned(), ..Self::default() };
        for (name, section) in document.get_ref() {
            let span = name.span();
            let DeValue::Table(table) = section.get_ref() else {
                let known = is_section(name.get_ref());
                return Err(match known {
                    true => {
                        reader.error(span, format!("{} is a section: [{0}]", name.get_ref()), None)
                    }
                    false => reader.unknown(span, name.get_ref(), "", sections()),
                });
            };
            if name.get_ref() == PROVIDERS {
                file.providers = reader.providers(table)?;
            } else if is_section(name.get_ref()) {
                reader.section(name.get_ref(), table, around, &mut file)?;
            } else {
                return Err(reader.unknown(span, name.get_ref(), "", sections()));
            }
        }
        Ok(file)
    }
}

/// A text with positions in it.
struct Reader<'t> {
    path: &'t Path,
    text: &'t str,
}

impl Reader<'_> {
    fn line_and_column(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        (before.matches('\n').count() + 1, column)
    }

    fn error(&self, span: Range<usize>, what: String, hint: Option<String>) -> ConfigError {
        let (line, column) = self.line_and_column(span.start);
        ConfigError::InFile { path: self.path.to_owned(), line, column, what, hint }
    }

    /// There is no such key. `known` are those that there are.
    fn unknown(
        &self,
        span: Range<usize>,
        name: &str,
        section: &str,
        known: Vec<&'static str>,
    ) -> ConfigError {
        let (what, whole) = match section {
            "" => (format!("there is no section [{name}]"), "the sections are"),
            section => (format!("[{section}] has no key {name:?}"), "its keys are"),
        };
        let hint = nearest(name, &known).map_or_else(
            || format!("{whole} {}", known.join(", ")),
            |nearest| format!("did you mean {nearest}?"),
        );
        self.error(span, what, Some(hint))
    }

    fn section(
        &self,
        section: &str,
        table: &DeTable<'_>,
        around: &Surroundings,
        file: &mut File,
    ) -> Result<(), ConfigError> {
        for (name, value) in table {
            let known = |key: &&Key| key.name.split_once('.') == Some((section, name.get_ref()));
            let Some(key) = KEYS.iter().find(known) else {
                return Err(self.unknown(name.span(), name.get_ref(), section, keys_of(section)));
            };
            let complain =
                |what: String| self.error(value.span(), format!("{}: {what}", key.name), None);
            let texts = texts(value.get_ref()).map_err(complain)?;
            let read = key.read(&texts, around).map_err(complain)?;
            if key.is_relative(&read) {
                let what = "a path in the config file is absolute; %h is the home directory and \
                            %t that of sockets";
                return Err(complain(what.to_owned()));
            }
            let (line, _) = self.line_and_column(name.span().start);
            file.values.insert(key.name, (read, line));
        }
        Ok(())
    }

    fn providers(&self, table: &DeTable<'_>) -> Result<BTreeMap<String, Provider>, ConfigError> {
        // Once more, now without positions: a provider's table is its own business.
        let mut whole: toml::Table = self.text.parse().unwrap_or_default();
        let mut tables = match whole.remove(PROVIDERS) {
            Some(toml::Value::Table(tables)) => tables,
            _ => toml::Table::new(),
        };
        let mut providers = BTreeMap::new();
        for (name, value) in table {
            let bad = |what: &str| self.error(name.span(), what.to_owned(), None);
            let text = name.get_ref().as_ref();
            let Some(toml::Value::Table(table)) = tables.remove(text) else {
                return Err(bad("each provider has a section: [providers.NAME]"));
            };
            if table.get("kind").is_some_and(|kind| !kind.is_str()) {
                return Err(self.error(
                    value.span(),
                    "kind is the name of a kind of provider".into(),
                    None,
                ));
            }
            let (line, _) = self.line_and_column(name.span().start);
            providers.insert(text.to_owned(), Provider { table, line });
        }
        Ok(providers)
    }
}

/// The texts that a value is written as.
fn texts(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    match value {
        DeValue::String(text) => Ok(vec![text.clone().into_owned()]),
        DeValue::Integer(number) if number.radix() == 10 => Ok(vec![number.as_str().to_owned()]),
        DeValue::Array(values) => {
            let one = |value: &toml::Spanned<DeValue<'_>>| match value.get_ref() {
                DeValue::String(text) => Ok(text.clone().into_owned()),
                _ => Err("a list of strings is wanted".to_owned()),
            };
            values.iter().map(one).collect()
        }
        _ => Err("a string or a number is wanted".to_owned()),
    }
}

fn sections() -> Vec<&'static str> {
    let mut names: Vec<_> =
        KEYS.iter().filter_map(|key| Some(key.name.split_once('.')?.0)).collect();
    names.push(PROVIDERS);
    names.dedup();
    names
}

fn is_section(name: &str) -> bool {
    sections().contains(&name)
}

fn keys_of(section: &str) -> Vec<&'static str> {
    let key =
        |key: &Key| key.name.split_once('.').filter(|(of, _)| *of == section).map(|(_, key)| key);
    KEYS.iter().filter_map(key).collect()
}

/// The known name that is most like one that is not known, if any is much like it.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let folded = |text: &str| text.to_lowercase().replace('-', "_");
    let distance = |other: &&str| edits(&folded(name), &folded(other));
    let (edits, nearest) = known.iter().map(|other| (distance(other), *other)).min()?;
    (edits <= nearest.chars().count().div_ceil(3)).then_some(nearest)
}

/// How many characters to put in, take out or change to come from one text to another.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, c) in from.chars().enumerate() {
        let mut next = vec![index + 1];
        for ((other, pair), left) in to.iter().zip(row.windows(2)).zip(0..) {
            let [diagonal, above] = *pair else { continue };
            let before = next.get(left).copied().unwrap_or(usize::MAX - 1);
            next.push((diagonal + usize::from(*other != c)).min(above + 1).min(before + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        let around = Surroundings::with(&[("HOME", "/home/a")]);
        match File::parse(Path::new("c.toml"), text, &around) {
            Ok(_) => "none".to_owned(),
            Err(error @ ConfigError::InFile { hint: None, .. }) => error.to_string(),
            Err(ref error @ ConfigError::InFile { hint: Some(ref hint), .. }) => {
                format!("{error} ({hint})")
            }
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn complaints_say_where_and_what_was_meant() {
        for (text, expected) in [
            ("", "none"),
            (
                "[node]\n  listn = []",
                "c.toml:2:3: [node] has no key \"listn\" (did you mean listen?)",
            ),
            (
                "[node]\npublic-adress = 1",
                "c.toml:2:1: [node] has no key \"public-adress\" (did you mean public_address?)",
            ),
            ("[state]\nzebra = 1", "c.toml:2:1: [state] has no key \"zebra\" (its keys are path)"),
            ("\n[limit]\n", "c.toml:2:2: there is no section [limit] (did you mean limits?)"),
            (
                "[elsewhere]",
                "c.toml:1:2: there is no section [elsewhere] (the sections are node, state, boss, machine, \
                 limits, providers)",
            ),
            ("node = 3", "c.toml:1:1: node is a section: [node]"),
            ("providers.ssh = 3", "c.toml:1:11: each provider has a section: [providers.NAME]"),
            (
                "[boss]\nreconcile = \"ä\"",
                "c.toml:2:13: boss.reconcile: \"ä\": write a time as 500ms, 30s, 2m, 1h or 7d",
            ),
            (
                "[boss]\nreconcile = true",
                "c.toml:2:13: boss.reconcile: a string or a number is wanted",
            ),
            (
                "[boss]\nreconcile = [\"1s\", \"2s\"]",
                "c.toml:2:13: boss.reconcile: one value is wanted, and not several",
            ),
            ("[node]\nlisten = [1]", "c.toml:2:10: node.listen: a list of strings is wanted"),
            (
                "[state]\npath = \"here\"",
                "c.toml:2:8: state.path: a path in the config file is absolute; %h is the home \
                 directory and %t that of sockets",
            ),
            ("[providers.x]\nkind = 3", "c.toml:1:12: kind is the name of a kind of provider"),
        ] {
            let found = complaint(text);
            if expected.contains("kind is the name") {
                assert!(found.ends_with("kind is the name of a kind of provider"), "{found}");
            } else {
                assert_eq!(found, expected, "{text}");
            }
        }
        assert!(complaint("[node\n").starts_with("c.toml:1:"), "{}", complaint("[node\n"));
        assert!(complaint("[node]\n[node]\n").starts_with("c.toml:2:"));
    }

    #[test]
    fn values_and_the_lines_they_are_in() {
        let around = Surroundings::with(&[("HOME", "/home/a")]);
        let text = "[state]\npath = \"%h/s\"\n\n[boss]\nreconcile = 5\n\
                    [providers.far]\nkind = \"ssh\"\nhosts = [\"a\"]\n[providers.local]\n";
        let file = File::parse(Path::new("c.toml"), text, &around).unwrap();
        assert_eq!(file.values["state.path"], (Value::Path("/home/a/s".into()), 2));
        assert_eq!(file.values["boss.reconcile"].1, 5);
        assert_eq!(file.providers["far"].kind("far"), "ssh");
        assert_eq!(file.providers["far"].line, 6);
        assert_eq!(file.providers["local"].kind("local"), "local");
    }

    #[test]
    fn likeness() {
        assert_eq!((edits("", "abc"), edits("abc", "abc"), edits("abc", "axbc")), (3, 0, 1));
        assert_eq!(nearest("lsiten", &["listen", "path"]), Some("listen"));
        assert_eq!(nearest("zebra", &["listen", "path"]), None);
    }
}
