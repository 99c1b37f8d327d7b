//! A store in a `redb` database: one file, written only where something changes. Owns
//! its tables.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `format`, `sequence`, `collected` | number |
//! | `vats` | vat | Syrup: a list of name and next object |
//! | `objects` | vat, object | Syrup: [`Entry`](crate::persist::Entry) |
//! | `roots` | vat, name | Syrup: the value |

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use bytes::Bytes;
use redb::{
    Builder, Database, ReadOnlyTable, ReadableDatabase as _, ReadableTable as _,
    ReadableTableMetadata as _, StorageBackend, TableDefinition,
};
use syrup::{Decoder, Encoder, Token};

use crate::persist::backend::{
    Backend, FORMAT, StoredVat, Summary, Transaction, View, VisitObject, VisitRoot, invalid,
};
use crate::persist::file::{beside, move_to, newer, private};

const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta");
const VATS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("vats");
const OBJECTS: TableDefinition<'static, (u64, u64), &'static [u8]> =
    TableDefinition::new("objects");
const ROOTS: TableDefinition<'static, (u64, &'static [u8]), &'static [u8]> =
    TableDefinition::new("roots");

/// A store in a `redb` database: the one to choose. A transaction costs one `fsync` and
/// writes what it changes; reading waits for nobody.
#[derive(Debug)]
pub struct Redb(Database);

impl Redb {
    /// Opens the database at a path, or makes one that only its owner may read. The file
    /// is locked against other processes.
    ///
    /// # Errors
    ///
    /// If it cannot be read or written, is in use, is no database, or is a store of a
    /// newer format.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        if !path.try_exists()? {
            Self::make(path).map_err(named)?;
        }
        let database = builder().open(path).map_err(|error| named(into_io(error)))?;
        Self::checked(database).map_err(named)
    }

    /// Makes an empty store beside its place and moves it there: a crash on the way must
    /// not leave something that is no database yet.
    fn make(path: &Path) -> io::Result<()> {
        let next = beside(path, ".next");
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        private(&next)?;
        drop(Self::checked(builder().create(&next).map_err(into_io)?)?);
        move_to(&next, path)
    }

    /// Opens, or makes, a database on storage of the caller's: one that fails on
    /// purpose, say.
    ///
    /// # Errors
    ///
    /// As [`Redb::open`].
    pub fn on_storage(storage: impl StorageBackend) -> io::Result<Self> {
        let database = builder().create_with_backend(storage).map_err(into_io)?;
        Self::checked(database)
    }

    fn checked(database: Database) -> io::Result<Self> {
        let write = database.begin_write().map_err(into_io)?;
        {
            let mut meta = write.open_table(META).map_err(into_io)?;
            let format = meta.get("format").map_err(into_io)?.map(|format| format.value());
            match format {
                Some(format) if format > FORMAT.into() => return Err(newer(format)),
                Some(_) => return Ok(Self(database)),
                None => meta.insert("format", u64::from(FORMAT)).map_err(into_io)?,
            };
            write.open_table(VATS).map_err(into_io)?;
            write.open_table(OBJECTS).map_err(into_io)?;
            write.open_table(ROOTS).map_err(into_io)?;
        }
        write.commit().map_err(into_io)?;
        Ok(Self(database))
    }
}

/// How much of the database is kept in memory, in bytes. It is mostly read when actors
/// wake, which are in memory then.
const CACHE: usize = 64 << 20;

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

fn into_io(error: impl Into<redb::Error>) -> io::Error {
    match error.into() {
        redb::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

impl Backend for Redb {
    fn view(&self) -> io::Result<Box<dyn View>> {
        let read = self.0.begin_read().map_err(into_io)?;
        Ok(Box::new(Snapshot {
            meta: read.open_table(META).map_err(into_io)?,
            vats: read.open_table(VATS).map_err(into_io)?,
            objects: read.open_table(OBJECTS).map_err(into_io)?,
            roots: read.open_table(ROOTS).map_err(into_io)?,
        }))
    }

    fn commit(&self, transaction: &Transaction) -> io::Result<()> {
        let write = self.0.begin_write().map_err(into_io)?;
        {
            let mut meta = write.open_table(META).map_err(into_io)?;
            meta.insert("sequence", transaction.sequence).map_err(into_io)?;
            if let Some(collected) = transaction.collected {
                meta.insert("collected", collected).map_err(into_io)?;
            }
        }
        if !transaction.vats.is_empty() {
            let mut vats = write.open_table(VATS).map_err(into_io)?;
            for (id, vat) in &transaction.vats {
                vats.insert(*id, encode_vat(vat).as_slice()).map_err(into_io)?;
            }
        }
        if !transaction.objects.is_empty() {
            let mut objects = write.open_table(OBJECTS).map_err(into_io)?;
            for (key, entry) in &transaction.objects {
                match entry {
                    Some(entry) => drop(objects.insert(*key, &**entry).map_err(into_io)?),
                    None => drop(objects.remove(*key).map_err(into_io)?),
                }
            }
        }
        if !transaction.roots.is_empty() {
            let mut roots = write.open_table(ROOTS).map_err(into_io)?;
            for ((vat, name), value) in &transaction.roots {
                let key = (*vat, &**name);
                match value {
                    Some(value) => drop(roots.insert(key, &**value).map_err(into_io)?),
                    None => drop(roots.remove(key).map_err(into_io)?),
                }
            }
        }
        write.commit().map_err(into_io)
    }

    fn object(&self, vat: u64, id: u64) -> io::Result<Option<Bytes>> {
        let read = self.0.begin_read().map_err(into_io)?;
        let objects = read.open_table(OBJECTS).map_err(into_io)?;
        let entry = objects.get((vat, id)).map_err(into_io)?;
        Ok(entry.map(|entry| Bytes::copy_from_slice(entry.value())))
    }
}

struct Snapshot {
    meta: ReadOnlyTable<&'static str, u64>,
    vats: ReadOnlyTable<u64, &'static [u8]>,
    objects: ReadOnlyTable<(u64, u64), &'static [u8]>,
    roots: ReadOnlyTable<(u64, &'static [u8]), &'static [u8]>,
}

impl Snapshot {
    fn number(&self, name: &str) -> io::Result<u64> {
        let number = self.meta.get(name).map_err(into_io)?;
        Ok(number.map_or(0, |number| number.value()))
    }
}

impl View for Snapshot {
    fn summary(&self) -> io::Result<Summary> {
        Ok(Summary {
            sequence: self.number("sequence")?,
            collected: self.number("collected")?,
            objects: self.objects.len().map_err(into_io)?,
        })
    }

    fn vats(&self) -> io::Result<BTreeMap<u64, StoredVat>> {
        let mut vats = BTreeMap::new();
        for vat in self.vats.iter().map_err(into_io)? {
            let (id, vat) = vat.map_err(into_io)?;
            vats.insert(id.value(), decode_vat(vat.value())?);
        }
        Ok(vats)
    }

    fn object(&self, vat: u64, id: u64) -> io::Result<Option<Bytes>> {
        let entry = self.objects.get((vat, id)).map_err(into_io)?;
        Ok(entry.map(|entry| Bytes::copy_from_slice(entry.value())))
    }

    fn objects(&self, visit: &mut VisitObject<'_>) -> io::Result<()> {
        for object in self.objects.iter().map_err(into_io)? {
            let (key, entry) = object.map_err(into_io)?;
            let (vat, id) = key.value();
            visit(vat, id, entry.value())?;
        }
        Ok(())
    }

    fn root(&self, vat: u64, name: &[u8]) -> io::Result<Option<Bytes>> {
        let value = self.roots.get((vat, name)).map_err(into_io)?;
        Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
    }

    fn roots(&self, visit: &mut VisitRoot<'_>) -> io::Result<()> {
        for root in self.roots.iter().map_err(into_io)? {
            let (key, value) = root.map_err(into_io)?;
            let (vat, name) = key.value();
            visit(vat, name, value.value())?;
        }
        Ok(())
    }
}

fn encode_vat(vat: &StoredVat) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut out = Encoder::new(&mut bytes);
    out.begin_list();
    out.string(&vat.name);
    out.uint(vat.next);
    out.end_list();
    bytes
}

fn decode_vat(encoded: &[u8]) -> io::Result<StoredVat> {
    let mut input = Decoder::new(encoded);
    match (input.token(), input.token(), input.token()) {
        (Ok(Token::ListStart), Ok(Token::String(name)), Ok(Token::Int(next))) => {
            let next = u64::try_from(next).map_err(|_| invalid("a vat's next object is none"))?;
            Ok(StoredVat { name: name.into(), next })
        }
        _ => Err(invalid("a vat's entry is none")),
    }
}
