//! Stores as text: to be read, compared, edited and read back.
//!
//! One line for each thing, in Syrup's text notation, in an order that does not depend
//! on how the store came to be:
//!
//! ```text
//! <'store 1 52 3>                              format, turns, objects after the last collection
//! <'vat 1 "bank" 258>                          number, name, number of the next object
//! <'root 1 b"mint" <'near 1>>                  vat, name, value
//! <'object 1 1 'bank/mint "bank::Mint" 1 ["zorkmid"]>
//!                                              vat, number, kind, debug name, version, portrait
//! ```
//!
//! Sturdyrefs are part of it: whoever reads the text may call what they name.

use std::io;

use bytes::Bytes;
use num_bigint::BigInt;
use syrup::text::{Syntax, Values, parse_with};
use syrup::{MAX_TREE_DEPTH, Value as Syrup};

use crate::persist::backend::{
    Backend as _, Entry, FORMAT, Memory, StoredVat, Transaction, View, invalid,
};
use crate::persist::file::newer;
use crate::persist::portrait;

fn number(value: u64) -> Syrup {
    Syrup::from(BigInt::from(value))
}

/// Writes all that is stored as text.
///
/// # Errors
///
/// If the store cannot be read, or `out` refuses.
pub fn export_text(view: &dyn View, out: &mut dyn io::Write) -> io::Result<()> {
    let summary = view.summary()?;
    let head = [FORMAT.into(), summary.sequence, summary.collected].map(number);
    writeln!(out, "{}", Syrup::record("store", head))?;
    for (id, vat) in view.vats()? {
        let name = Syrup::String(vat.name.into());
        writeln!(out, "{}", Syrup::record("vat", [number(id), name, number(vat.next)]))?;
    }
    view.roots(&mut |vat, name, value| {
        let fields = [number(vat), Syrup::bytes(name), stored(value)?];
        writeln!(out, "{}", Syrup::record("root", fields))
    })?;
    view.objects(&mut |vat, id, entry| {
        let entry = Entry::decode(&Bytes::copy_from_slice(entry))?;
        let fields = [
            number(vat),
            number(id),
            Syrup::symbol(entry.kind),
            Syrup::String(entry.debug_name.into()),
            number(entry.version.into()),
            stored(&entry.portrait)?,
        ];
        writeln!(out, "{}", Syrup::record("object", fields))
    })
}

fn stored(encoded: &[u8]) -> io::Result<Syrup> {
    let options = portrait::options(encoded.len() + 1);
    Syrup::decode_with(encoded, &options)
        .map_err(|error| invalid(format!("a stored value cannot be read: {error}")))
}

/// Reads what [`export_text`] wrote, into memory: to be [copied](crate::persist::copy)
/// into the backend of one's choice. Empty lines are skipped, and those that begin with
/// a semicolon.
///
/// # Errors
///
/// If a line is no part of a store; the message says which.
pub fn import_text(text: &str) -> io::Result<Memory> {
    let syntax = Syntax { depth: MAX_TREE_DEPTH, int_digits: usize::MAX, ..Syntax::default() };
    let mut all = Transaction::default();
    for (line, content) in text.lines().enumerate() {
        let content = content.trim();
        if content.is_empty() || content.starts_with(';') {
            continue;
        }
        let at = |what: &dyn std::fmt::Display| invalid(format!("line {}: {what}", line + 1));
        let value = parse_with(content, &syntax, &mut Values).map_err(|error| at(&error))?;
        let Syrup::Record(record) = &value else { return Err(at(&"not a record")) };
        let Syrup::Symbol(label) = record.label() else { return Err(at(&"a label is no symbol")) };
        take(&mut all, label, record.fields())?.ok_or_else(|| at(&format!("not a {label}")))?;
    }
    let memory = Memory::new();
    memory.commit(&all)?;
    Ok(memory)
}

/// Takes in one line; gives none if it is not what its label says.
fn take(all: &mut Transaction, label: &str, fields: &[Syrup]) -> io::Result<Option<()>> {
    let read = |value: &Syrup| match value {
        Syrup::Int(value) => u64::try_from(*value).ok(),
        _ => None,
    };
    let numbers: Vec<Option<u64>> = fields.iter().map(read).collect();
    match (label, fields, numbers.as_slice()) {
        ("store", _, [Some(format), ..]) if *format > FORMAT.into() => return Err(newer(*format)),
        ("store", [_, _, _], [Some(_), Some(sequence), Some(collected)]) => {
            all.sequence = *sequence;
            all.collected = Some(*collected);
        }
        ("vat", [_, Syrup::String(name), _], [Some(id), _, Some(next)]) => {
            all.vats.insert(*id, StoredVat { name: name.as_str().into(), next: *next });
        }
        ("root", [_, Syrup::Bytes(name), value], [Some(vat), ..]) => {
            let name = Bytes::copy_from_slice(name);
            all.roots.insert((*vat, name), Some(value.to_vec().into()));
        }
        (
            "object",
            [_, _, Syrup::Symbol(kind), Syrup::String(name), _, portrait],
            [Some(vat), Some(id), _, _, Some(version), _],
        ) => {
            let Ok(version) = u32::try_from(*version) else { return Ok(None) };
            let (kind, debug_name) = (kind.as_str().into(), name.as_str().into());
            let portrait = Bytes::from(portrait.to_vec());
            let entry = Entry { kind, debug_name, version, portrait };
            all.objects.insert((*vat, *id), Some(entry.encode().into()));
        }
        _ => return Ok(None),
    }
    Ok(Some(()))
}
