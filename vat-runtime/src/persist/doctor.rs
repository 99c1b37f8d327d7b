//! What state a store is in. Owns the [`Report`]: what is there, what nothing holds, and
//! what will not come back as it was.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use bytes::Bytes;
use smol_str::{SmolStr, format_smolstr};
use syrup::Value as Syrup;

use crate::persist::backend::{Entry, View};
use crate::persist::collect::{Object, named, unreached};
use crate::persist::portrait;
use crate::persist::store::lock;
use crate::persist::{Store, StoreError, StoredAs};

/// A store looked over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The vats, and whether each is open.
    pub vats: BTreeMap<SmolStr, bool>,
    /// How many roots there are.
    pub roots: u64,
    /// What objects there are, by kind and version.
    pub kinds: BTreeMap<(SmolStr, u32), KindCount>,
    /// What the next collection will drop.
    pub unheld: Vec<Object>,
    /// What will not come back as it was.
    pub ailments: Vec<Ailment>,
}

/// The objects of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindCount {
    /// How many there are.
    pub objects: u64,
    /// How many bytes their entries take.
    pub bytes: u64,
}

/// Something that will not come back as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ailment {
    /// It cannot be restored; why.
    NotRestorable(Object, String),
    /// A field could not be stored, where it is and what it was.
    Lost(Object, String, String),
    /// A field refers to an object that is not there, or could not be stored.
    Dangling(Object, String, StoredAs),
}

impl Report {
    /// How many objects there are.
    #[must_use]
    pub fn objects(&self) -> u64 {
        self.kinds.values().map(|kind| kind.objects).sum()
    }

    /// How many bytes their entries take.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.kinds.values().map(|kind| kind.bytes).sum()
    }
}

impl fmt::Display for Ailment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRestorable(object, why) => write!(f, "{object}: cannot be restored: {why}"),
            Self::Lost(object, path, what) => {
                write!(f, "{object}: {what} at {} was not stored", at(path))
            }
            Self::Dangling(object, path, to) => {
                write!(f, "{object}: {} refers to {to}, which is not stored", at(path))
            }
        }
    }
}

fn at(path: &str) -> &str {
    if path.is_empty() { "the portrait" } else { path }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (objects, bytes) = (self.objects(), self.bytes());
        writeln!(f, "{objects} objects, {bytes} bytes, {} roots", self.roots)?;
        for (vat, open) in &self.vats {
            writeln!(f, "vat {vat}: {}", if *open { "open" } else { "not open" })?;
        }
        for ((kind, version), count) in &self.kinds {
            let kind = if kind.is_empty() { "(no kind)" } else { kind };
            let KindCount { objects, bytes } = count;
            writeln!(f, "{kind} version {version}: {objects} objects, {bytes} bytes")?;
        }
        for object in &self.unheld {
            writeln!(f, "nothing holds {object}")?;
        }
        for ailment in &self.ailments {
            writeln!(f, "{ailment}")?;
        }
        Ok(())
    }
}

impl Store {
    /// Looks over all that is durable. Reads everything; turns go on meanwhile.
    ///
    /// Kinds are checked against the environments of the vats that are open.
    ///
    /// # Errors
    ///
    /// If what is stored cannot be read.
    pub fn doctor(&self) -> Result<Report, StoreError> {
        let (view, reached) = self.shared().reachable()?;
        let mut report = Report { unheld: unreached(&*view, &reached)?, ..Report::default() };
        let stored = view.vats()?;
        let mut environments = HashMap::new();
        for (id, state) in &lock(&self.shared().vats).stored {
            let open = state.homes.iter().filter_map(std::sync::Weak::upgrade);
            let open = open.rev().find(|home| home.is_running());
            report.vats.insert(state.name.clone(), open.is_some());
            environments.extend(open.map(|home| (*id, home.environment.clone())));
        }
        view.roots(&mut |_, _, _| {
            report.roots += 1;
            Ok(())
        })?;
        view.objects(&mut |vat, id, encoded| {
            let name = stored.get(&vat).map(|vat| vat.name.clone()).unwrap_or_default();
            let object = named(name, vat, id, encoded);
            let entry = Entry::decode(&Bytes::copy_from_slice(encoded));
            let Ok(entry) = entry else {
                let why = "its entry cannot be read".to_owned();
                report.ailments.push(Ailment::NotRestorable(object, why));
                return Ok(());
            };
            let count = report.kinds.entry((entry.kind.clone(), entry.version)).or_default();
            count.objects += 1;
            count.bytes += encoded.len() as u64;
            if entry.kind.is_empty() {
                let why = "it was of no kind that can be stored".to_owned();
                report.ailments.push(Ailment::NotRestorable(object, why));
                return Ok(());
            }
            let environment = environments.get(&vat);
            let checked = environment.map(|known| known.check(&entry.kind, entry.version));
            if let Some(Err(error)) = checked {
                report.ailments.push(Ailment::NotRestorable(object.clone(), error.to_string()));
            }
            let mut walk = Walk { view: &*view, object, ailments: &mut report.ailments };
            let options = portrait::options(entry.portrait.len() + 1);
            match Syrup::decode_with(&entry.portrait, &options) {
                Ok(value) => walk.value(&value, &mut String::new()),
                Err(error) => {
                    let why = format!("its portrait cannot be read: {error}");
                    walk.ailments.push(Ailment::NotRestorable(walk.object, why));
                }
            }
            Ok(())
        })?;
        Ok(report)
    }
}

/// Looks through a portrait for what was lost.
struct Walk<'w> {
    view: &'w dyn View,
    object: Object,
    ailments: &'w mut Vec<Ailment>,
}

impl Walk<'_> {
    fn value(&mut self, value: &Syrup, path: &mut String) {
        match value {
            Syrup::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.within(&format_smolstr!("[{index}]"), item, path);
                }
            }
            Syrup::Dict(entries) => {
                for (index, (key, item)) in entries.iter().enumerate() {
                    match key {
                        Syrup::String(key) => {
                            self.within(&format_smolstr!(".{key}"), item, path);
                        }
                        other => {
                            self.within(&format_smolstr!("[{index}]"), other, path);
                            self.within(&format_smolstr!("[{index}]"), item, path);
                        }
                    }
                }
            }
            Syrup::Set(members) => {
                for (index, member) in members.iter().enumerate() {
                    self.within(&format_smolstr!("[{index}]"), member, path);
                }
            }
            Syrup::Record(record) => self.record(record, path),
            _ => {}
        }
    }

    fn within(&mut self, step: &str, value: &Syrup, path: &mut String) {
        let length = path.len();
        path.push_str(step);
        self.value(value, path);
        path.truncate(length);
    }

    fn record(&mut self, record: &syrup::Record, path: &mut String) {
        let Syrup::Symbol(label) = record.label() else { return };
        let vat = self.object.at.vat;
        match (label.as_str(), record.fields()) {
            ("near", [Syrup::Int(id)]) => self.reference(vat, *id, path),
            ("far", [Syrup::Int(vat), Syrup::Int(id)]) => {
                self.reference(u64::try_from(*vat).unwrap_or_default(), *id, path);
            }
            ("broken", [Syrup::Record(reason)]) => {
                if let Some(Syrup::String(message)) = reason.fields().first()
                    && let Some(what) = message.strip_prefix(portrait::NOT_STORED)
                {
                    let object = self.object.clone();
                    self.ailments.push(Ailment::Lost(object, path.clone(), what.to_owned()));
                }
            }
            ("tagged", [Syrup::Symbol(tag), value]) => {
                self.within(&format_smolstr!(".{tag}"), value, path);
            }
            ("encase", [value]) => self.within(".promise", value, path),
            ("record", [label, fields @ ..]) => {
                self.within(".label", label, path);
                self.all(fields, path);
            }
            ("error", [_, _, fields @ ..]) => self.all(fields, path),
            (_, fields) => self.all(fields, path),
        }
    }

    fn all(&mut self, fields: &[Syrup], path: &mut String) {
        for (index, field) in fields.iter().enumerate() {
            self.within(&format_smolstr!("[{index}]"), field, path);
        }
    }

    fn reference(&mut self, vat: u64, id: i64, path: &str) {
        let at = StoredAs { vat, object: u64::try_from(id).unwrap_or_default() };
        let entry = self.view.object(vat, at.object).ok().flatten();
        let entry = entry.and_then(|entry| Entry::decode(&entry).ok());
        if entry.is_none_or(|entry| entry.kind.is_empty()) {
            self.ailments.push(Ailment::Dangling(self.object.clone(), path.to_owned(), at));
        }
    }
}
