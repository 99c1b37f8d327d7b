//! One shape for what is read from TOML, JSON and passed values, so that all three are
//! read by the same code, equally strictly, and errors name the field: and, of TOML, the
//! line and column.

use std::fmt;

use ocapn::Value;
use serde_json::Value as Json;
use toml::de::{DeTable, DeValue};

use super::names::did_you_mean;

/// What was read, before it is known to mean anything.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    /// Where it begins in its text, in bytes, if it comes from text.
    pub(super) at: Option<usize>,
    pub(super) node: Node,
}

/// A part of a [`Tree`].
#[derive(Clone, Debug)]
pub(super) enum Node {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Tree>),
    Table(Vec<(Key, Tree)>),
    /// Something that has no place in a tree: what it is.
    Other(&'static str),
}

/// A key of a table.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) at: Option<usize>,
}

/// Why something can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// Which field, from the root. Empty: the whole.
    pub(crate) path: String,
    /// What is wrong with it, and what was expected.
    pub(crate) what: String,
    /// Where in the text, in bytes, if it was text.
    pub(super) at: Option<usize>,
}

impl Invalid {
    pub(super) fn new(path: &str, at: Option<usize>, what: impl fmt::Display) -> Self {
        Self { path: path.to_owned(), what: what.to_string(), at }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.what)
        } else {
            write!(f, "{}: {}", self.path, self.what)
        }
    }
}

impl std::error::Error for Invalid {}

/// The path of a field in a table.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let key =
        if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

impl From<Node> for Tree {
    fn from(node: Node) -> Self {
        Self { at: None, node }
    }
}

impl From<String> for Tree {
    fn from(text: String) -> Self {
        Node::Text(text).into()
    }
}

impl From<&str> for Tree {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Tree {
    /// A table, without the fields that are `None`.
    pub(super) fn table<K: Into<String>>(
        fields: impl IntoIterator<Item = (K, Option<Self>)>,
    ) -> Self {
        let fields = fields.into_iter().filter_map(|(name, tree)| {
            let key = Key { name: name.into(), at: None };
            tree.map(|tree| (key, tree))
        });
        Node::Table(fields.collect()).into()
    }

    /// A list.
    pub(super) fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Node::List(items.into_iter().collect()).into()
    }

    pub(super) fn from_toml(text: &str) -> Result<Self, Invalid> {
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map(|span| span.start);
            Invalid::new("", at, error.message())
        })?;
        Ok(Self { at: Some(table.span().start), node: Node::of_table(table.get_ref()) })
    }

    pub(super) fn from_json(json: &Json) -> Self {
        let node = match json {
            Json::Null => Node::Other("null"),
            Json::Bool(value) => Node::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(int), _) => Node::Int(int),
                (None, Some(float)) => Node::Float(float),
                (None, None) => Node::Other("a number that is too large"),
            },
            Json::String(text) => Node::Text(text.clone()),
            Json::Array(items) => Node::List(items.iter().map(Self::from_json).collect()),
            Json::Object(fields) => Node::Table(
                fields.iter().map(|(name, json)| (Key::of(name), Self::from_json(json))).collect(),
            ),
        };
        node.into()
    }

    pub(super) fn from_value(value: &Value) -> Self {
        let node = match value {
            Value::Bool(value) => Node::Bool(*value),
            Value::Int(value) => Node::Int(*value),
            Value::Float(value) => Node::Float(*value),
            Value::String(text) | Value::Symbol(text) => Node::Text(text.to_string()),
            Value::List(items) => Node::List(items.iter().map(Self::from_value).collect()),
            Value::Struct(fields) => Node::Table(
                fields
                    .iter()
                    .map(|(name, value)| (Key::of(name), Self::from_value(value)))
                    .collect(),
            ),
            other => Node::Other(other.kind()),
        };
        node.into()
    }

    pub(super) fn to_json(&self) -> Json {
        match &self.node {
            Node::Bool(value) => Json::from(*value),
            Node::Int(value) => Json::from(*value),
            Node::Float(value) => Json::from(*value),
            Node::Text(text) => Json::from(text.as_str()),
            Node::List(items) => items.iter().map(Self::to_json).collect(),
            Node::Table(fields) => Json::Object(
                fields.iter().map(|(key, tree)| (key.name.clone(), tree.to_json())).collect(),
            ),
            Node::Other(_) => Json::Null,
        }
    }

    pub(super) fn to_value(&self) -> Value {
        match &self.node {
            Node::Bool(value) => (*value).into(),
            Node::Int(value) => (*value).into(),
            Node::Float(value) => (*value).into(),
            Node::Text(text) => text.as_str().into(),
            Node::List(items) => Value::List(items.iter().map(Self::to_value).collect()),
            Node::Table(fields) => Value::Struct(
                fields
                    .iter()
                    .map(|(key, tree)| (key.name.as_str().into(), tree.to_value()))
                    .collect(),
            ),
            Node::Other(_) => Value::Undefined,
        }
    }

    /// What it is, with its article.
    pub(super) const fn kind(&self) -> &'static str {
        match self.node {
            Node::Bool(_) => "a boolean",
            Node::Int(_) => "an integer",
            Node::Float(_) => "a float",
            Node::Text(_) => "a string",
            Node::List(_) => "a list",
            Node::Table(_) => "a table",
            Node::Other(kind) => kind,
        }
    }

    fn expected(&self, path: &str, what: &str) -> Invalid {
        Invalid::new(path, self.at, format_args!("expected {what}, found {}", self.kind()))
    }

    pub(super) fn text(self, path: &str, what: &str) -> Result<String, Invalid> {
        match self.node {
            Node::Text(text) => Ok(text),
            _ => Err(self.expected(path, what)),
        }
    }

    /// Text that means something.
    pub(super) fn parsed<T: std::str::FromStr<Err: fmt::Display>>(
        self,
        path: &str,
        what: &str,
    ) -> Result<T, Invalid> {
        let at = self.at;
        self.text(path, what)?.parse().map_err(|error| Invalid::new(path, at, error))
    }

    pub(super) fn boolean(self, path: &str) -> Result<bool, Invalid> {
        match self.node {
            Node::Bool(value) => Ok(value),
            _ => Err(self.expected(path, "true or false")),
        }
    }

    pub(super) fn natural(self, path: &str) -> Result<u64, Invalid> {
        match self.node {
            Node::Int(value) if value >= 0 => Ok(value.unsigned_abs()),
            _ => Err(self.expected(path, "an integer that is not negative")),
        }
    }

    pub(super) fn items(self, path: &str, what: &str) -> Result<Vec<Self>, Invalid> {
        match self.node {
            Node::List(items) => Ok(items),
            _ => Err(self.expected(path, what)),
        }
    }

    /// The entries of a table whose keys are names that somebody gave.
    pub(super) fn entries(self, path: &str, what: &str) -> Result<Vec<(Key, Self)>, Invalid> {
        let Node::Table(mut entries) = self.node else {
            return Err(self.expected(path, what));
        };
        // A passed value may have a key twice; in TOML it is an error before.
        entries.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        let twice = entries.windows(2).find_map(|pair| match pair {
            [(a, _), (b, _)] if a.name == b.name => Some(b),
            _ => None,
        });
        match twice {
            Some(key) => Err(Invalid::new(&join(path, &key.name), key.at, "is there twice")),
            None => Ok(entries),
        }
    }

    /// A table whose keys are known.
    pub(super) fn fields(self, path: &str, what: &str) -> Result<Fields, Invalid> {
        let at = self.at;
        let fields = self.entries(path, what)?;
        Ok(Fields { path: path.to_owned(), at, fields, known: Vec::new() })
    }
}

impl Key {
    fn of(name: &str) -> Self {
        Self { name: name.to_owned(), at: None }
    }
}

impl Node {
    fn of_table(table: &DeTable<'_>) -> Self {
        let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
            let name: &toml::de::DeString<'_> = key.get_ref();
            let key = Key { name: name.to_string(), at: Some(key.span().start) };
            (key, Tree { at: Some(value.span().start), node: Self::of_toml(value.get_ref()) })
        };
        Self::Table(table.iter().map(entry).collect())
    }

    fn of_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(int) => {
                let int = i64::from_str_radix(int.as_str(), int.radix());
                int.map_or(Self::Other("an integer that is too large"), Self::Int)
            }
            DeValue::Float(float) => {
                let float = float.as_str().parse();
                float.map_or(Self::Other("a float that is too large"), Self::Float)
            }
            DeValue::Boolean(value) => Self::Bool(*value),
            DeValue::Datetime(_) => Self::Other("a time"),
            DeValue::Array(items) => Self::List(
                items
                    .iter()
                    .map(|item| Tree {
                        at: Some(item.span().start),
                        node: Self::of_toml(item.get_ref()),
                    })
                    .collect(),
            ),
            DeValue::Table(table) => Self::of_table(table),
        }
    }
}

/// A table that is taken apart, field by field: what is left over at the end is unknown.
pub(super) struct Fields {
    path: String,
    pub(super) at: Option<usize>,
    fields: Vec<(Key, Tree)>,
    known: Vec<&'static str>,
}

impl Fields {
    /// The field with that name, if it is there, and its path.
    pub(super) fn take(&mut self, name: &'static str) -> Option<(String, Tree)> {
        self.known.push(name);
        let index = self.fields.iter().position(|(key, _)| key.name == name)?;
        let (key, mut tree) = self.fields.remove(index);
        // A table of its own begins where its header does, not after it.
        if matches!(tree.node, Node::Table(_)) {
            tree.at = key.at;
        }
        Some((join(&self.path, name), tree))
    }

    /// The field with that name.
    pub(super) fn need(&mut self, name: &'static str) -> Result<(String, Tree), Invalid> {
        self.take(name).ok_or_else(|| self.invalid(format_args!("{name:?} is missing")))
    }

    /// Which of the known fields are there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(key, _)| key.name == name)
    }

    /// Something is wrong with the whole table.
    pub(super) fn invalid(&self, what: impl fmt::Display) -> Invalid {
        Invalid::new(&self.path, self.at, what)
    }

    /// There are no fields but those that were taken.
    pub(super) fn end(self) -> Result<(), Invalid> {
        let Some((key, _)) = self.fields.into_iter().next() else { return Ok(()) };
        let hint = did_you_mean(&key.name, self.known.iter().copied());
        let known = self.known.join(", ");
        let what = format!("there is no such key{hint}");
        let what = if hint.is_empty() { format!("{what}; there are {known}") } else { what };
        Err(Invalid::new(&join(&self.path, &key.name), key.at, what))
    }
}
