//! A store in one Syrup file. Owns its shape, and how it is replaced so that a crash
//! leaves either the old file or the new one.
//!
//! ```text
//! <'<portrait-graph> 1 VAT ROOTS-VERSION {OBJECT: ENTRY} [ROOT]>   one for each vat
//! <'hobgoblin-store FORMAT SEQUENCE COLLECTED {VAT: [NAME NEXT {ROOT-NAME: VALUE}]}>
//! ```
//!
//! A graph is what Goblins' Syrup store (its version 1) reads and writes; what Goblins
//! has no place for follows in a record of ours. A file with graphs only, which Goblins
//! wrote, is read as well: its vat is called `goblins`, its roots `0`, `1` and so on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use syrup::{Decoder, Encoder, Token};

use crate::persist::backend::{Backend, FORMAT, StoredVat, Tables, Transaction, View, invalid};
use crate::persist::portrait;

/// The version of Goblins' portrait graphs.
const GRAPH: i64 = 1;
const GRAPH_LABEL: &str = "<portrait-graph>";
const STORE_LABEL: &str = "hobgoblin-store";

/// A store in a Syrup file that is written anew by each transaction: readable, by nobody
/// but its owner, and for as many objects as one likes to write each time.
#[derive(Debug)]
pub struct SyrupFile {
    path: PathBuf,
    tables: Mutex<Arc<Tables>>,
    /// Keeps other processes out.
    _lock: File,
}

impl SyrupFile {
    /// Opens the file at a path, or begins one with the first transaction. Another file
    /// beside it, with `.lock` added to its name, keeps other processes out.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is no store or one of a newer format, or another
    /// process has it open.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let lock = beside(&path, ".lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(lock)?;
        lock.try_lock().map_err(|error| {
            io::Error::other(format!("{}: in use by another process ({error})", path.display()))
        })?;
        let tables = match fs::read(&path) {
            Ok(bytes) => read(&Bytes::from(bytes)).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Tables::default(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, tables: Mutex::new(Arc::new(tables)), _lock: lock })
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let next = beside(&self.path, ".next");
        let mut file = private(&next)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        move_to(&next, &self.path)
    }
}

/// A new file that only its owner may read: there may be sturdyrefs in what it will hold.
pub(crate) fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Puts a file that is on the disk in its place, for good.
pub(crate) fn move_to(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl Backend for SyrupFile {
    fn view(&self) -> io::Result<Box<dyn View>> {
        Ok(Box::new(self.tables.lock().unwrap_or_else(PoisonError::into_inner).clone()))
    }

    fn commit(&self, transaction: &Transaction) -> io::Result<()> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut tables).apply(transaction);
        let tables = tables.clone();
        self.replace(&write(&tables))
    }
}

fn write(tables: &Tables) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut out = Encoder::new(&mut bytes);
    for &vat in tables.vats.keys() {
        write_graph(tables, vat, &mut out);
    }
    out.begin_record();
    out.symbol(STORE_LABEL);
    out.uint(FORMAT.into());
    out.uint(tables.sequence);
    out.uint(tables.collected);
    // Numbers and names occur once in a map, here and below.
    let _distinct = out.dict(
        tables.vats.iter().map(|(id, vat)| (id, (id, vat))),
        |out, id| out.uint(*id),
        |out, (id, vat)| write_vat(tables, *id, vat, out),
    );
    out.end_record();
    bytes
}

fn write_vat(tables: &Tables, id: u64, vat: &StoredVat, out: &mut Encoder<'_>) {
    out.begin_list();
    out.string(&vat.name);
    out.uint(vat.next);
    let _distinct = out.dict(
        roots_of(tables, id),
        |out, name: &Bytes| out.bytes(name),
        |out, value: &Bytes| out.raw(value),
    );
    out.end_list();
}

fn roots_of(tables: &Tables, vat: u64) -> impl Iterator<Item = (&Bytes, &Bytes)> {
    let first = (vat, Bytes::new());
    let roots = tables.roots.range(first..).take_while(move |((of, _), _)| *of == vat);
    roots.map(|((_, name), value)| (name, value))
}

fn write_graph(tables: &Tables, vat: u64, out: &mut Encoder<'_>) {
    out.begin_record();
    out.symbol(GRAPH_LABEL);
    out.int(GRAPH);
    out.uint(vat);
    // The version of the roots: what Goblins upgrades them by.
    out.int(0);
    let objects = tables.objects.range((vat, 0)..=(vat, u64::MAX));
    let _distinct =
        out.dict(objects, |out, (_, id)| out.uint(*id), |out, entry: &Bytes| out.raw(entry));
    out.begin_list();
    for (_, value) in roots_of(tables, vat) {
        portrait::references(value, |(of, id)| {
            if of.is_none_or(|of| of == vat) {
                out.uint(id);
            }
        });
    }
    out.end_list();
    out.end_record();
}

fn read(bytes: &Bytes) -> io::Result<Tables> {
    let mut input = Decoder::with_options(bytes, &portrait::options(bytes.len() + 1));
    let mut reading = Reading { bytes, tables: Tables::default(), graphs: Vec::new() };
    let mut complete = false;
    while !input.rest().is_empty() {
        complete = reading.record(&mut input)?;
    }
    if !complete {
        reading.adopt();
    }
    Ok(reading.tables)
}

struct Reading<'b> {
    bytes: &'b Bytes,
    tables: Tables,
    /// The vats of the graphs, and their roots.
    graphs: Vec<(u64, Vec<u64>)>,
}

fn malformed(error: impl std::fmt::Display) -> io::Error {
    invalid(format!("not a store: {error}"))
}

fn number(input: &mut Decoder<'_>) -> io::Result<u64> {
    match input.token().map_err(malformed)? {
        Token::Int(value) => u64::try_from(value).map_err(malformed),
        other => Err(malformed(format!("{other:?} where a number belongs"))),
    }
}

fn expect(input: &mut Decoder<'_>, expected: &Token<'_>) -> io::Result<()> {
    let found = input.token().map_err(malformed)?;
    if found == *expected {
        return Ok(());
    }
    Err(malformed(format!("{found:?} where {expected:?} belongs")))
}

impl Reading<'_> {
    /// Reads one record. Gives whether it was the one that completes a file of ours.
    fn record(&mut self, input: &mut Decoder<'_>) -> io::Result<bool> {
        expect(input, &Token::RecordStart)?;
        let ours = match input.token().map_err(malformed)? {
            Token::Symbol(GRAPH_LABEL) => false,
            Token::Symbol(STORE_LABEL) => true,
            other => return Err(malformed(format!("{other:?} where a graph's label belongs"))),
        };
        if ours {
            self.store(input)?;
        } else {
            self.graph(input)?;
        }
        expect(input, &Token::RecordEnd)?;
        Ok(ours)
    }

    fn graph(&mut self, input: &mut Decoder<'_>) -> io::Result<()> {
        match input.token().map_err(malformed)? {
            Token::Int(GRAPH) => {}
            other => return Err(invalid(format!("a portrait graph of version {other:?}"))),
        }
        // Goblins names its vats by random bytes.
        let vat = match input.token().map_err(malformed)? {
            Token::Int(vat) => u64::try_from(vat).map_err(malformed)?,
            _ => self.graphs.len() as u64 + 1,
        };
        input.skip().map_err(malformed)?;
        expect(input, &Token::DictStart)?;
        loop {
            let id = match input.token().map_err(malformed)? {
                Token::DictEnd => break,
                Token::Int(id) => u64::try_from(id).map_err(malformed)?,
                other => return Err(malformed(format!("{other:?} where a slot belongs"))),
            };
            let entry = input.skip().map_err(malformed)?;
            self.tables.objects.insert((vat, id), self.bytes.slice_ref(entry));
        }
        expect(input, &Token::ListStart)?;
        let mut roots = Vec::new();
        loop {
            match input.token().map_err(malformed)? {
                Token::ListEnd => break,
                Token::Int(id) => roots.push(u64::try_from(id).map_err(malformed)?),
                other => return Err(malformed(format!("{other:?} where a slot belongs"))),
            }
        }
        self.graphs.push((vat, roots));
        Ok(())
    }

    fn store(&mut self, input: &mut Decoder<'_>) -> io::Result<()> {
        let format = number(input)?;
        if format > FORMAT.into() {
            return Err(newer(format));
        }
        self.tables.sequence = number(input)?;
        self.tables.collected = number(input)?;
        expect(input, &Token::DictStart)?;
        loop {
            let vat = match input.token().map_err(malformed)? {
                Token::DictEnd => return Ok(()),
                Token::Int(vat) => u64::try_from(vat).map_err(malformed)?,
                other => return Err(malformed(format!("{other:?} where a vat belongs"))),
            };
            expect(input, &Token::ListStart)?;
            let name = match input.token().map_err(malformed)? {
                Token::String(name) => name.into(),
                other => return Err(malformed(format!("{other:?} where a name belongs"))),
            };
            let next = number(input)?;
            self.tables.vats.insert(vat, StoredVat { name, next });
            expect(input, &Token::DictStart)?;
            loop {
                let name = match input.token().map_err(malformed)? {
                    Token::DictEnd => break,
                    Token::Bytes(name) => self.bytes.slice_ref(name),
                    other => return Err(malformed(format!("{other:?} where a name belongs"))),
                };
                let value = self.bytes.slice_ref(input.skip().map_err(malformed)?);
                self.tables.roots.insert((vat, name), value);
            }
            expect(input, &Token::ListEnd)?;
        }
    }

    /// Makes vats and roots of graphs that Goblins wrote.
    fn adopt(&mut self) {
        for (index, (vat, roots)) in self.graphs.iter().enumerate() {
            let name = if index == 0 { "goblins".into() } else { format!("goblins-{vat}").into() };
            let last = self.tables.objects.range(..=(*vat, u64::MAX)).next_back();
            let next = last.map_or(1, |((_, id), _)| id.saturating_add(1));
            self.tables.vats.insert(*vat, StoredVat { name, next });
            for (place, root) in roots.iter().enumerate() {
                let mut value = Vec::new();
                let mut out = Encoder::new(&mut value);
                out.begin_record();
                out.symbol("near");
                out.uint(*root);
                out.end_record();
                self.tables.roots.insert((*vat, place.to_string().into()), value.into());
            }
        }
    }
}

/// The refusal of a store that a newer program wrote.
pub(crate) fn newer(format: u64) -> io::Error {
    invalid(format!(
        "the store has format {format}, and this program knows formats up to {FORMAT}: a newer \
         one wrote it"
    ))
}
