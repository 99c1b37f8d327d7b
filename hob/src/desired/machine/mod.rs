//! The desired state of one machine: what is to be on it, the number that the boss gives
//! each version of it, and its digest.

mod read;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::graph::GraphError;
use super::limits::Limits;
use super::names::Name;
use super::tree::{Invalid, Tree};

pub(crate) use read::Sources;
pub(in crate::desired) use read::read_state;

/// What is to be on a machine. What is not mentioned is not touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DesiredState {
    /// Packages of the system's package manager that are to be installed.
    pub(crate) packages: BTreeSet<String>,
    /// Files, by their absolute paths.
    pub(crate) files: BTreeMap<String, FileState>,
    /// Services of the system's service manager.
    pub(crate) services: BTreeMap<String, ServiceState>,
    /// Services that hob itself runs.
    pub(crate) shepherd: BTreeMap<String, OwnService>,
    /// Bindings that programs reach at a local socket or port.
    pub(crate) forwards: BTreeMap<Name, Listen>,
    /// A Guix profile, or a whole Guix system.
    pub(crate) guix: Option<GuixState>,
}

/// A file as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileState {
    /// What is in it.
    pub(crate) content: Content,
    /// Its permission bits, at most `0o777`. A link has none.
    pub(crate) mode: u32,
    /// Who owns it: a name or a number. `None`: whoever runs hob.
    pub(crate) owner: Option<String>,
    /// Whose group it has: a name or a number. `None`: that of whoever runs hob.
    pub(crate) group: Option<String>,
}

/// What is in a file, or what is there instead. Bytes may be a secret, and don't show.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Bytes that are kept apart, among the objects of the [executor](super::executor).
    Object {
        /// What they are.
        digest: Digest,
        /// How many.
        size: u64,
    },
    /// A symbolic link to there.
    Link(String),
    /// A directory.
    Directory,
}

impl Content {
    /// Which content this is.
    pub(crate) fn digest(&self) -> Digest {
        match self {
            Self::Bytes(bytes) => Digest::of(bytes),
            Self::Object { digest, .. } => *digest,
            Self::Link(target) => Digest::of(target.as_bytes()),
            Self::Directory => Digest::of(&[]),
        }
    }

    /// The bytes that are part of the state.
    pub(crate) const fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.as_slice(),
            _ => &[],
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Content({} bytes)", bytes.len()),
            Self::Object { digest, size } => write!(f, "Content({digest:?}, {size} bytes)"),
            Self::Link(target) => write!(f, "Link({target:?})"),
            Self::Directory => f.write_str("Directory"),
        }
    }
}

/// A service as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceState {
    /// Whether it runs, and is started with the system; else neither.
    pub(crate) running: bool,
    /// Files of this state: the service is restarted when one of them changes.
    pub(crate) restart_on: BTreeSet<String>,
}

/// A service that hob itself runs, as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnService {
    /// Whether it runs, and is started with the machine; else neither.
    pub(crate) running: bool,
    /// Its definition as it was written, with sorted keys.
    pub(crate) definition: serde_json::Value,
    /// Files of this state: the service is restarted when one of them changes.
    pub(crate) restart_on: BTreeSet<String>,
}

/// A Guix profile that hob owns, a system, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GuixState {
    /// The profile's path.
    pub(crate) profile: String,
    /// The text of the manifest that the profile is made from.
    pub(crate) manifest: Option<String>,
    /// The text of the operating system's declaration.
    pub(crate) system: Option<String>,
}

/// Where a forward is reached on the machine: never from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Listen {
    /// A Unix socket, by its absolute path.
    Unix(String),
    /// A port of a loopback address.
    Tcp(SocketAddr),
}

/// Text that is no place to listen at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadListen {
    /// It has none of the forms.
    #[error("{0:?} is neither unix:/PATH nor tcp:127.0.0.1:PORT")]
    Form(String),
    /// Other machines would reach it.
    #[error("{0} is no loopback address: whoever reaches it would hold what is bound")]
    NotLoopback(SocketAddr),
}

impl FromStr for Listen {
    type Err = BadListen;

    fn from_str(text: &str) -> Result<Self, BadListen> {
        let bad = || BadListen::Form(text.to_owned());
        match text.split_once(':') {
            Some(("unix", path)) if is_absolute(path) => Ok(Self::Unix(path.to_owned())),
            Some(("tcp", address)) => {
                let address: SocketAddr = address.parse().map_err(|_| bad())?;
                if address.ip().is_loopback() {
                    Ok(Self::Tcp(address))
                } else {
                    Err(BadListen::NotLoopback(address))
                }
            }
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{path}"),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// Whether a path is absolute, and each of its parts is plainly the name of something.
pub(crate) fn is_absolute(path: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    !path.contains('\0')
        && path.len() < 4096
        && path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain))
}

/// The SHA-256 of a desired state's canonical form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of what a hasher was fed.
    pub(crate) fn finish(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }

    /// Copies bytes, and gives their digest and how many they were.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn read(
        mut from: impl std::io::Read,
        mut to: impl std::io::Write,
    ) -> std::io::Result<(Self, u64)> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        let mut size = 0;
        loop {
            let read = from.read(&mut buffer)?;
            let bytes = buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                return Ok((Self::finish(hasher), size));
            }
            hasher.update(bytes);
            to.write_all(bytes)?;
            size += bytes.len() as u64;
        }
    }

    /// Its first twelve digits, enough to tell generations apart.
    pub(crate) fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

/// Text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no digest: that is 64 hexadecimal digits")]
pub(crate) struct BadDigest(String);

impl FromStr for Digest {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, BadDigest> {
        let bad = || BadDigest(text.to_owned());
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 64 || !text.bytes().all(digit) {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let digits = text.get(2 * index..2 * index + 2).ok_or_else(bad)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Which version of a machine's desired state: the boss's number for it and its digest.
/// A boss that was restored from a backup may give a number anew.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(deny_unknown_fields)]
pub(crate) struct GenerationId {
    /// The boss's number, counted from 1 for each machine. 0 is the empty state, which
    /// nobody sent.
    pub(crate) number: u64,
    /// What is in it.
    pub(crate) digest: Digest,
}

impl fmt::Display for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number, self.digest.short())
    }
}

/// A version of a machine's desired state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    /// The boss's number.
    pub(crate) number: u64,
    /// What is to be.
    pub(crate) state: DesiredState,
}

impl Generation {
    /// What a machine has that was never told anything.
    pub(crate) fn none() -> Self {
        Self { number: 0, state: DesiredState::default() }
    }

    /// Which one this is.
    pub(crate) fn id(&self) -> GenerationId {
        GenerationId { number: self.number, digest: self.state.digest() }
    }

    fn to_tree(&self) -> Tree {
        let id = self.id();
        Tree::table([
            ("version", Some(super::tree::Node::Int(VERSION as i64).into())),
            ("generation", Some(super::tree::Node::Int(id.number as i64).into())),
            ("digest", Some(id.digest.to_string().into())),
            ("state", Some(self.state.to_tree())),
        ])
    }

    /// As JSON.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        self.to_tree().to_json()
    }

    /// From JSON.
    ///
    /// # Errors
    ///
    /// As [`from_value`](Self::from_value).
    pub(crate) fn from_json(json: &serde_json::Value, limits: &Limits) -> Result<Self, Invalid> {
        read::read_generation(Tree::from_json(json), limits)
    }
}

/// The version of the form that generations have on the wire and on disk.
const VERSION: u64 = 1;

impl DesiredState {
    /// Whether nothing is wanted.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The SHA-256 of the state as JSON with sorted keys.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(self.to_tree().to_json().to_string().as_bytes())
    }

    /// How many packages, files and services there are.
    pub(crate) fn items(&self) -> usize {
        self.packages.len() + self.files.len() + self.services.len() + self.shepherd.len()
    }

    /// As JSON.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        self.to_tree().to_json()
    }

    /// From TOML that somebody wrote, with files that it mentions.
    ///
    /// # Errors
    ///
    /// [`GraphError`], with line and column.
    pub(crate) fn parse(
        text: &str,
        sources: &dyn Sources,
        limits: &Limits,
    ) -> Result<Self, GraphError> {
        let state =
            Tree::from_toml(text).and_then(|tree| read_state(tree, "", limits, Some(sources)));
        state.map_err(|invalid| GraphError::new(invalid, text))
    }

    /// From JSON.
    ///
    /// # Errors
    ///
    /// [`Invalid`], which names the field.
    pub(crate) fn from_json(json: &serde_json::Value, limits: &Limits) -> Result<Self, Invalid> {
        read_state(Tree::from_json(json), "", limits, None)
    }

    /// The canonical form: parts that are empty are left out, keys are sorted.
    pub(in crate::desired) fn to_tree(&self) -> Tree {
        let texts = |texts: &BTreeSet<String>| Tree::list(texts.iter().map(|text| text[..].into()));
        let files = self.files.iter().map(|(path, file)| (path.clone(), Some(file.to_tree())));
        let services =
            self.services.iter().map(|(name, service)| (name.clone(), Some(service.to_tree())));
        let shepherd =
            self.shepherd.iter().map(|(name, service)| (name.clone(), Some(service.to_tree())));
        let forwards = self
            .forwards
            .iter()
            .map(|(name, listen)| (name.to_string(), Some(listen.to_string().into())));
        Tree::table([
            ("files", (!self.files.is_empty()).then(|| Tree::table(files))),
            ("forwards", (!self.forwards.is_empty()).then(|| Tree::table(forwards))),
            ("guix", self.guix.as_ref().map(GuixState::to_tree)),
            ("packages", (!self.packages.is_empty()).then(|| texts(&self.packages))),
            ("services", (!self.services.is_empty()).then(|| Tree::table(services))),
            ("shepherd", (!self.shepherd.is_empty()).then(|| Tree::table(shepherd))),
        ])
    }
}

impl FileState {
    fn to_tree(&self) -> Tree {
        let mut fields: [(&str, Option<Tree>); 8] = [
            ("base64", None),
            ("content", None),
            ("digest", None),
            ("directory", None),
            ("group", self.group.clone().map(Tree::from)),
            ("mode", Some(format!("{:04o}", self.mode).into())),
            ("owner", self.owner.clone().map(Tree::from)),
            ("size", None),
        ];
        let mut set = |name: &str, tree: Tree| {
            let field = fields.iter_mut().find(|(field, _)| *field == name);
            if let Some((_, place)) = field {
                *place = Some(tree);
            }
        };
        match &self.content {
            Content::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => set("content", text.into()),
                Err(_) => set("base64", STANDARD.encode(bytes).into()),
            },
            Content::Object { digest, size } => {
                set("digest", digest.to_string().into());
                let size = i64::try_from(*size).unwrap_or(i64::MAX);
                set("size", super::tree::Node::Int(size).into());
            }
            Content::Directory => set("directory", super::tree::Node::Bool(true).into()),
            Content::Link(target) => return Tree::table([("link", Some(target[..].into()))]),
        }
        Tree::table(fields)
    }
}

impl ServiceState {
    /// `running` or `stopped`.
    pub(crate) const fn word(&self) -> &'static str {
        if self.running { "running" } else { "stopped" }
    }

    fn to_tree(&self) -> Tree {
        if self.restart_on.is_empty() {
            return self.word().into();
        }
        let paths = Tree::list(self.restart_on.iter().map(|path| path[..].into()));
        Tree::table([("restart-on", Some(paths)), ("state", Some(self.word().into()))])
    }
}

impl OwnService {
    /// Whether it does something and ends.
    pub(crate) fn is_one_shot(&self) -> bool {
        self.definition.get("one-shot").and_then(serde_json::Value::as_bool).unwrap_or_default()
    }

    fn to_tree(&self) -> Tree {
        let defined = self.definition.as_object().into_iter().flatten();
        let mut fields: BTreeMap<&str, Tree> =
            defined.map(|(key, value)| (key.as_str(), Tree::from_json(value))).collect();
        if !self.restart_on.is_empty() {
            let paths = Tree::list(self.restart_on.iter().map(|path| path[..].into()));
            fields.insert("restart-on", paths);
        }
        if !self.running {
            fields.insert("state", "stopped".into());
        }
        Tree::table(fields.into_iter().map(|(key, tree)| (key, Some(tree))))
    }
}

impl GuixState {
    fn to_tree(&self) -> Tree {
        let text = |text: &Option<String>| {
            text.as_deref().map(|text| Tree::table([("content", Some(text.into()))]))
        };
        Tree::table([
            ("manifest", text(&self.manifest)),
            ("profile", Some(self.profile[..].into())),
            ("system", text(&self.system)),
        ])
    }
}
