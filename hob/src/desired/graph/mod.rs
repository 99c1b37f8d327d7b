//! The service graph: which machines there are to be, what they offer, who is given what
//! under which rules, and what is to be on each of them. Written by people as TOML.

mod check;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use ocapn::Value;

use super::Rules;
use super::limits::Limits;
use super::machine::{DesiredState, Listen};
use super::names::{Name, Place};
use super::tree::{Invalid, Node, Tree};

pub(crate) use super::machine::Sources;
pub(crate) use check::{Circle, Part};

/// A fleet as it is to be. Each one that exists is consistent: what it names is there,
/// nothing is bound in a circle, and all is within its limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Graph {
    machines: BTreeMap<Name, Machine>,
    bindings: BTreeMap<Place, Binding>,
}

/// A machine of a graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Machine {
    /// That it is there already, made by hand: this graph neither makes nor destroys it.
    pub(crate) existing: bool,
    /// What makes it. `None`: what the boss uses by default.
    pub(crate) provider: Option<String>,
    /// What the provider is asked for.
    pub(crate) spec: serde_json::Map<String, serde_json::Value>,
    /// What it offers, under which names.
    pub(crate) offers: BTreeMap<Name, Offer>,
    /// What is to be on it. Without the forwards, which are with the bindings: see
    /// [`Graph::state_of`].
    pub(crate) state: DesiredState,
}

/// What a machine offers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Offer {
    /// Roles of a PostgreSQL database, one made for each binding.
    Postgres {
        /// Which database.
        database: String,
        /// Where the server is: `HOST:PORT`, or the directory of its socket, perhaps with
        /// `:PORT`. `None`: at its usual socket on the machine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<String>,
        /// Who makes the roles. `None`: `postgres`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        admin: Option<String>,
        /// The file on the machine with that one's password, if the server wants one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password_file: Option<String>,
        /// Where the roles log in, if not where that one does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        login_host: Option<String>,
    },
    /// A TCP service, `HOST:PORT` as seen from the machine.
    Tcp(String),
    /// A Unix socket on the machine.
    Unix(String),
    /// A new actor of that kind, which lives on the machine.
    Kind(String),
    /// What is bound on the same machine under that name.
    Binding(Name),
    /// What was registered there by hand under the same name.
    Existing,
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres { database, server: None, .. } => write!(f, "postgres {database}"),
            Self::Postgres { database, server: Some(server), .. } => {
                write!(f, "postgres {database} at {server}")
            }
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::Unix(path) => write!(f, "unix {path}"),
            Self::Kind(kind) => write!(f, "kind {kind}"),
            Self::Binding(name) => write!(f, "binding {name}"),
            Self::Existing => f.write_str("existing"),
        }
    }
}

/// What is given, and under which rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// What is given.
    pub(crate) from: Place,
    /// What may be done with it.
    pub(crate) rules: Rules,
    /// The service that has to run on the machine that gives it.
    pub(crate) requires: Option<String>,
    /// Where programs that speak no CapTP reach it on the machine.
    pub(crate) forward: Option<Listen>,
}

/// Why a graph can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GraphError {
    /// Line and column, both counted from 1, if the graph was text.
    pub(crate) place: Option<(usize, usize)>,
    /// Which field.
    pub(crate) path: String,
    /// What is wrong with it, and what was expected.
    pub(crate) what: String,
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, "line {line}, column {column}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for GraphError {}

impl GraphError {
    pub(in crate::desired) fn new(invalid: Invalid, text: &str) -> Self {
        let place = invalid.at.map(|at| {
            let before = text.get(..at).unwrap_or(text);
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            (line, column)
        });
        Self { place, path: invalid.path, what: invalid.what }
    }
}

/// The directory of a graph's file, in which the files are that it mentions.
#[derive(Clone, Debug)]
pub(crate) struct Directory(pub(crate) PathBuf);

impl Sources for Directory {
    fn read(&self, path: &str, limit: usize) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        File::open(self.0.join(path))?.take(limit.saturating_add(1)).read_to_end(&mut content)?;
        Ok(content)
    }
}

impl Graph {
    /// Reads a graph that somebody wrote.
    ///
    /// # Errors
    ///
    /// [`GraphError`], with line and column.
    pub(crate) fn parse(
        text: &str,
        sources: &dyn Sources,
        limits: &Limits,
    ) -> Result<Self, GraphError> {
        let failed = |invalid| GraphError::new(invalid, text);
        if text.len() > limits.text_bytes {
            let what = format!("{} bytes of text: the limit is {}", text.len(), limits.text_bytes);
            return Err(failed(Invalid::new("", None, what)));
        }
        let tree = Tree::from_toml(text).map_err(failed)?;
        read::read(tree, limits, Some(sources)).map_err(failed)
    }

    /// Reads a graph that was passed.
    ///
    /// # Errors
    ///
    /// [`GraphError`].
    pub(crate) fn from_value(value: &Value, limits: &Limits) -> Result<Self, GraphError> {
        let failed = |invalid| GraphError::new(invalid, "");
        read::read(Tree::from_value(value), limits, None).map_err(failed)
    }

    /// Reads a graph from JSON of the same form as the TOML.
    ///
    /// # Errors
    ///
    /// [`GraphError`].
    pub(crate) fn from_json(json: &serde_json::Value, limits: &Limits) -> Result<Self, GraphError> {
        let failed = |invalid| GraphError::new(invalid, "");
        read::read(Tree::from_json(json), limits, None).map_err(failed)
    }

    /// As a value that can be passed: what was in files is in it.
    pub(crate) fn to_value(&self) -> Value {
        self.to_tree().to_value()
    }

    /// As JSON: what was in files is in it.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        self.to_tree().to_json()
    }

    /// The machines.
    pub(crate) const fn machines(&self) -> &BTreeMap<Name, Machine> {
        &self.machines
    }

    /// The same graph, which does not make those machines.
    pub(crate) fn without_making(mut self, which: impl Fn(&Name) -> bool) -> Self {
        for (name, machine) in &mut self.machines {
            machine.existing |= which(name);
        }
        self
    }

    /// The bindings, by where they are bound.
    pub(crate) const fn bindings(&self) -> &BTreeMap<Place, Binding> {
        &self.bindings
    }

    /// What is offered at a place.
    pub(crate) fn offer(&self, place: &Place) -> Option<&Offer> {
        self.machines.get(&place.machine)?.offers.get(&place.name)
    }

    /// What is to be on a machine, the forwards of its bindings included.
    pub(crate) fn state_of(&self, machine: &Name) -> Option<DesiredState> {
        let mut state = self.machines.get(machine)?.state.clone();
        let forwards = self.bindings.iter().filter(|(place, _)| place.machine == *machine);
        state.forwards = forwards
            .filter_map(|(place, binding)| Some((place.name.clone(), binding.forward.clone()?)))
            .collect();
        Some(state)
    }

    /// Offers and bindings so that each comes after what it is made from; of those that
    /// may come at the same time, in the order of their names. What an offer that is
    /// existing is made from, `existing` says.
    ///
    /// # Errors
    ///
    /// A [`Circle`], which only what is existing can make.
    pub(crate) fn in_order(
        &self,
        existing: &dyn Fn(&Place) -> Option<Part>,
    ) -> Result<Vec<Part>, Circle> {
        check::in_order(self, &|part| match part {
            Part::Offer(place) if self.offer(place) == Some(&Offer::Existing) => existing(place),
            part => check::source(self, part),
        })
    }

    fn to_tree(&self) -> Tree {
        let machines = self.machines.iter();
        let machines = machines.map(|(name, machine)| (name.as_str(), Some(machine.to_tree())));
        let by_machine = |entries: Vec<(&Place, String)>| {
            let mut tables: BTreeMap<&str, Vec<(&str, Option<Tree>)>> = BTreeMap::new();
            for (place, text) in entries {
                let table = tables.entry(place.machine.as_str()).or_default();
                table.push((place.name.as_str(), Some(text.into())));
            }
            Tree::table(tables.into_iter().map(|(name, table)| (name, Some(Tree::table(table)))))
        };
        let bindings = self.bindings.iter();
        let bindings = bindings.map(|(place, binding)| (place, binding.text())).collect();
        let forwards = self.bindings.iter();
        let forwards = forwards
            .filter_map(|(place, binding)| Some((place, binding.forward.as_ref()?.to_string())))
            .collect();
        Tree::table([
            ("version", Some(Node::Int(VERSION as i64).into())),
            ("machines", Some(Tree::table(machines))),
            ("bindings", Some(by_machine(bindings))),
            ("forwards", Some(by_machine(forwards))),
        ])
    }
}

/// The version of the graph's form.
const VERSION: u64 = 1;

impl Binding {
    /// `db-machine.db requires postgresql | read-only`.
    pub(crate) fn text(&self) -> String {
        let requires = self.requires.as_ref();
        let requires = requires.map(|service| format!(" requires {service}")).unwrap_or_default();
        let bar = if self.rules.is_empty() { "" } else { " | " };
        format!("{}{requires}{bar}{}", self.from, self.rules)
    }
}

impl Machine {
    fn to_tree(&self) -> Tree {
        let spec = serde_json::Value::Object(self.spec.clone());
        let offers = self.offers.iter();
        let offers = offers.map(|(name, offer)| (name.as_str(), Some(offer.to_tree())));
        Tree::table([
            ("existing", self.existing.then(|| Node::Bool(true).into())),
            ("provider", self.provider.as_deref().map(Tree::from)),
            ("spec", (!self.spec.is_empty()).then(|| Tree::from_json(&spec))),
            ("offers", Some(Tree::table(offers))),
            ("state", (!self.state.is_empty()).then(|| self.state.to_tree())),
        ])
    }
}

impl Offer {
    fn to_tree(&self) -> Tree {
        let one = |name, tree: Tree| Tree::table([(name, Some(tree))]);
        match self {
            Self::Postgres { database, server, admin, password_file, login_host } => {
                let fields = Tree::table([
                    ("database", Some(database[..].into())),
                    ("server", server.as_deref().map(Tree::from)),
                    ("admin", admin.as_deref().map(Tree::from)),
                    ("password-file", password_file.as_deref().map(Tree::from)),
                    ("login-host", login_host.as_deref().map(Tree::from)),
                ]);
                one("postgres", fields)
            }
            Self::Tcp(address) => one("tcp", address[..].into()),
            Self::Unix(path) => one("unix", path[..].into()),
            Self::Kind(kind) => one("kind", kind[..].into()),
            Self::Binding(name) => one("binding", name.as_str().into()),
            Self::Existing => one("existing", Node::Bool(true).into()),
        }
    }
}
