//! Where a store keeps what it is given. Owns the [`Backend`] interface, what is
//! committed by it, and the backend that keeps it in memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use smol_str::SmolStr;
use syrup::{Decoder, Encoder, Token};

use crate::persist::portrait;

/// The version of what is stored that this program writes. It reads all older ones, and
/// refuses newer ones.
pub const FORMAT: u32 = 1;

/// Keeps objects and roots, all of a transaction or nothing of it.
///
/// Methods are called from several threads at a time; only one of them commits.
pub trait Backend: Send + Sync + 'static {
    /// What the last transaction left, unchanged by later ones.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    fn view(&self) -> io::Result<Box<dyn View>>;

    /// Makes a transaction durable. When it returns, the transaction survives a crash.
    ///
    /// # Errors
    ///
    /// If it cannot be known to be durable. The store then uses the backend for reading
    /// only; a later opening finds all of the transaction, or nothing.
    fn commit(&self, transaction: &Transaction) -> io::Result<()>;

    /// What is stored of one object: an [`Entry`].
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    fn object(&self, vat: u64, id: u64) -> io::Result<Option<Bytes>> {
        self.view()?.object(vat, id)
    }
}

/// What was stored at one moment.
pub trait View: Send {
    /// The store as a whole.
    ///
    /// # Errors
    ///
    /// As with every method, if it cannot be read.
    fn summary(&self) -> io::Result<Summary>;

    /// The vats.
    ///
    /// # Errors
    ///
    /// See [`View::summary`].
    fn vats(&self) -> io::Result<BTreeMap<u64, StoredVat>>;

    /// What is stored of one object: an [`Entry`].
    ///
    /// # Errors
    ///
    /// See [`View::summary`].
    fn object(&self, vat: u64, id: u64) -> io::Result<Option<Bytes>>;

    /// Visits all objects in the order of vats and numbers.
    ///
    /// # Errors
    ///
    /// See [`View::summary`], or what `visit` gives.
    fn objects(&self, visit: &mut VisitObject<'_>) -> io::Result<()>;

    /// The value of a root.
    ///
    /// # Errors
    ///
    /// See [`View::summary`].
    fn root(&self, vat: u64, name: &[u8]) -> io::Result<Option<Bytes>>;

    /// Visits all roots in the order of vats and names.
    ///
    /// # Errors
    ///
    /// See [`View::summary`], or what `visit` gives.
    fn roots(&self, visit: &mut VisitRoot<'_>) -> io::Result<()>;
}

/// Takes an object: vat, number, entry.
pub type VisitObject<'v> = dyn FnMut(u64, u64, &[u8]) -> io::Result<()> + 'v;

/// Takes a root: vat, name, value.
pub type VisitRoot<'v> = dyn FnMut(u64, &[u8], &[u8]) -> io::Result<()> + 'v;

/// A store as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The number of the last turn that is stored.
    pub sequence: u64,
    /// How many objects there were after the last collection of those that nothing
    /// holds.
    pub collected: u64,
    /// How many objects there are.
    pub objects: u64,
}

/// What is stored of a vat itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVat {
    /// Its name.
    pub name: SmolStr,
    /// The number of its next object. Never falls: numbers are not used again.
    pub next: u64,
}

/// What is made durable together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// The number of the last turn that is part of it.
    pub sequence: u64,
    /// Vats that are new or changed.
    pub vats: BTreeMap<u64, StoredVat>,
    /// Objects by vat and number: their entries, or none for those that go.
    pub objects: BTreeMap<(u64, u64), Option<Bytes>>,
    /// Roots by vat and name: their values, or none for those that go.
    pub roots: BTreeMap<(u64, Bytes), Option<Bytes>>,
    /// The new [`Summary::collected`].
    pub collected: Option<u64>,
}

/// What is stored of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name of its kind, or nothing if it could not be stored.
    pub kind: SmolStr,
    /// What it is called in logs: [`Behaviour::name`](crate::Behaviour::name).
    pub debug_name: SmolStr,
    /// The version of its portrait's form.
    pub version: u32,
    /// Its portrait, in Syrup.
    pub portrait: Bytes,
}

impl Entry {
    /// The entry as Goblins stores it: a list of name, debug name, version and data. A
    /// name in a namespace is a list of the namespaces and the name.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.portrait.len() + 48);
        let mut out = Encoder::new(&mut bytes);
        out.begin_list();
        match self.kind.rsplit_once('/') {
            None => out.symbol(&self.kind),
            Some((spaces, name)) => {
                out.begin_list();
                out.begin_list();
                spaces.split('/').for_each(|space| out.symbol(space));
                out.end_list();
                out.symbol(name);
                out.end_list();
            }
        }
        out.symbol(&self.debug_name);
        out.uint(self.version.into());
        out.raw(&self.portrait);
        out.end_list();
        bytes
    }

    /// Reads an entry.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn decode(encoded: &Bytes) -> io::Result<Self> {
        let options = portrait::options(encoded.len() + 1);
        let mut input = Decoder::with_options(encoded, &options);
        let entry = Self::read(&mut input).ok_or_else(|| invalid("an object's entry is none"))?;
        Ok(Self { portrait: encoded.slice_ref(entry.1), ..entry.0 })
    }

    /// All but the portrait, and where that is.
    fn read<'a>(input: &mut Decoder<'a>) -> Option<(Self, &'a [u8])> {
        (input.token().ok()? == Token::ListStart).then_some(())?;
        let kind = read_name(input)?;
        let debug_name = match input.token().ok()? {
            Token::Symbol(name) | Token::String(name) => name.into(),
            _ => SmolStr::default(),
        };
        let Token::Int(version) = input.token().ok()? else { return None };
        let version = u32::try_from(version).ok()?;
        let portrait = input.skip().ok()?;
        (input.token().ok()? == Token::ListEnd).then_some(())?;
        Some((Self { kind, debug_name, version, portrait: Bytes::new() }, portrait))
    }
}

fn read_name(input: &mut Decoder<'_>) -> Option<SmolStr> {
    let mut name = String::new();
    let depth = input.depth();
    loop {
        match input.token().ok()? {
            Token::ListStart => continue,
            Token::ListEnd => {}
            Token::Symbol(part) | Token::String(part) => {
                if !name.is_empty() {
                    name.push('/');
                }
                name.push_str(part);
            }
            _ => return None,
        }
        if input.depth() == depth {
            return Some(name.into());
        }
    }
}

/// What is stored makes no sense.
pub(crate) fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// All that is stored, in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tables {
    pub(crate) sequence: u64,
    pub(crate) collected: u64,
    pub(crate) vats: BTreeMap<u64, StoredVat>,
    pub(crate) objects: BTreeMap<(u64, u64), Bytes>,
    pub(crate) roots: BTreeMap<(u64, Bytes), Bytes>,
}

impl Tables {
    pub(crate) fn apply(&mut self, transaction: &Transaction) {
        self.sequence = transaction.sequence;
        self.collected = transaction.collected.unwrap_or(self.collected);
        let vats = transaction.vats.iter();
        self.vats.extend(vats.map(|(id, vat)| (*id, vat.clone())));
        put_all(&mut self.objects, &transaction.objects);
        put_all(&mut self.roots, &transaction.roots);
    }
}

fn put_all<K: Ord + Clone>(table: &mut BTreeMap<K, Bytes>, changes: &BTreeMap<K, Option<Bytes>>) {
    for (key, value) in changes {
        match value {
            Some(value) => table.insert(key.clone(), value.clone()),
            None => table.remove(key),
        };
    }
}

impl View for Arc<Tables> {
    fn summary(&self) -> io::Result<Summary> {
        let (sequence, collected) = (self.sequence, self.collected);
        Ok(Summary { sequence, collected, objects: self.objects.len() as u64 })
    }

    fn vats(&self) -> io::Result<BTreeMap<u64, StoredVat>> {
        Ok(self.vats.clone())
    }

    fn object(&self, vat: u64, id: u64) -> io::Result<Option<Bytes>> {
        Ok(self.objects.get(&(vat, id)).cloned())
    }

    fn objects(&self, visit: &mut VisitObject<'_>) -> io::Result<()> {
        self.objects.iter().try_for_each(|((vat, id), entry)| visit(*vat, *id, entry))
    }

    fn root(&self, vat: u64, name: &[u8]) -> io::Result<Option<Bytes>> {
        Ok(self.roots.get(&(vat, Bytes::copy_from_slice(name))).cloned())
    }

    fn roots(&self, visit: &mut VisitRoot<'_>) -> io::Result<()> {
        self.roots.iter().try_for_each(|((vat, name), value)| visit(*vat, name, value))
    }
}

/// A backend that keeps everything in memory: for tests, and for vats that are to sleep
/// and wake but not to outlive the process.
///
/// Clones share what they keep, so that a store can be opened on it again.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Arc<Tables>>>);

impl Memory {
    /// A backend that keeps nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A backend of its own that keeps the same as this one does now.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.tables())))
    }

    fn tables(&self) -> Arc<Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Backend for Memory {
    fn view(&self) -> io::Result<Box<dyn View>> {
        Ok(Box::new(self.tables()))
    }

    fn commit(&self, transaction: &Transaction) -> io::Result<()> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut tables).apply(transaction);
        Ok(())
    }
}

/// Copies what a view has into a backend that has nothing yet, as one transaction.
///
/// # Errors
///
/// If the view cannot be read or the backend not be written, or it has something.
pub fn copy(from: &dyn View, to: &dyn Backend) -> io::Result<()> {
    if !to.view()?.vats()?.is_empty() {
        return Err(invalid("what is to be written to holds something already"));
    }
    let summary = from.summary()?;
    let mut all = Transaction {
        sequence: summary.sequence,
        vats: from.vats()?,
        collected: Some(summary.collected),
        ..Transaction::default()
    };
    from.objects(&mut |vat, id, entry| {
        all.objects.insert((vat, id), Some(Bytes::copy_from_slice(entry)));
        Ok(())
    })?;
    from.roots(&mut |vat, name, value| {
        let name = Bytes::copy_from_slice(name);
        all.roots.insert((vat, name), Some(Bytes::copy_from_slice(value)));
        Ok(())
    })?;
    to.commit(&all)
}
