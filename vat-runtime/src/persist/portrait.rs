//! Portraits as bytes. Owns how values with references in them are written down in
//! Syrup and read again, and what is said of what cannot be.
//!
//! Data is written as itself. Everything else is a record; its labels are those of
//! Goblins' stores (`near`, `far`, `encase`, `broken`, `void`, `tagged`, `kw`, `vec`,
//! `ocapn-id`) where Goblins has one, and ours (`null`, `error`, `record`, `map`,
//! `encoded`) where not.
//!
//! | record | is |
//! |---|---|
//! | `<near id>` | the actor of this number in the same vat |
//! | `<far vat id>` | one in another vat of the store |
//! | `<ocapn-id uri>` | a sturdyref as data |
//! | `<remote uri>` | a reference that is enlivened from its sturdyref |
//! | `<encase value>` | a promise that was fulfilled with this |
//! | `<broken reason>` | a promise that was broken, or a reference that could not be stored |

use std::fmt::Write as _;

use bytes::Bytes;
use captp::locator::Sturdyref;
use captp::{ErrorValue, Record, Tagged};
use smol_str::SmolStr;
use syrup::{DecodeErrorKind, Decoder, Encoder, Limits, Options, Token};

use crate::persist::RestoreError;
use crate::promise::Promise;
use crate::{Fault, Ref, Value};

/// How deep a value may nest and be stored.
pub const MAX_DEPTH: usize = 200;

/// How the reason begins of what is broken because it could not be stored.
pub(crate) const NOT_STORED: &str = "not stored: ";

/// What a reference is stored as.
pub(crate) enum Named {
    Near(u64),
    Far(u64, u64),
    Remote(Sturdyref),
    /// A promise fulfilled with something that is no reference.
    Encased(Value),
    Broken(Value),
    /// It cannot be stored; why, for people.
    Lost(String),
}

/// A part of a portrait that could not be stored, and will come back broken.
pub(crate) struct Loss {
    /// Where in the portrait: `[0].members.ada`.
    pub(crate) path: String,
    /// What is there, and why that cannot be stored.
    pub(crate) what: String,
}

/// Encodes a value. Returns what was lost.
pub(crate) fn encode(
    value: &Value,
    out: &mut Vec<u8>,
    name: &mut dyn FnMut(&Ref) -> Named,
) -> Vec<Loss> {
    let mut writer = Writer { name, path: Vec::new(), losses: Vec::new() };
    writer.value(value, &mut Encoder::new(out));
    writer.losses
}

enum Step {
    Index(usize),
    Field(SmolStr),
}

struct Writer<'n> {
    name: &'n mut dyn FnMut(&Ref) -> Named,
    path: Vec<Step>,
    losses: Vec<Loss>,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, out: &mut Encoder<'_>) {
        if self.path.len() >= MAX_DEPTH && !value.is_plain_atom() {
            return self.lose(format!("a value nested deeper than {MAX_DEPTH}"), out);
        }
        match value {
            Value::Undefined => {
                open("void", out);
                out.bool(false);
                out.end_record();
            }
            Value::Null => {
                open("null", out);
                out.end_record();
            }
            Value::Bool(value) => out.bool(*value),
            Value::Int(value) => out.int(*value),
            Value::BigInt(value) => out.bigint(value),
            Value::Float(value) => out.f64(*value),
            Value::String(text) => out.string(text),
            Value::Symbol(name) => out.symbol(name),
            Value::Bytes(bytes) => out.bytes(bytes),
            Value::List(items) => {
                out.begin_list();
                self.items(items, out);
                out.end_list();
            }
            Value::Struct(fields) => self.fields(fields, out),
            Value::Map(entries) => self.map(entries, out),
            Value::Set(members) => self.set(members, out),
            Value::Tagged(tagged) => {
                open("tagged", out);
                out.symbol(&tagged.tag);
                self.within(Step::Field(tagged.tag.clone()), &tagged.value, out);
                out.end_record();
            }
            Value::Error(error) => {
                open("error", out);
                out.string(&error.message);
                match &error.label {
                    Some(label) => out.symbol(label),
                    None => out.bool(false),
                }
                self.items(&error.fields, out);
                out.end_record();
            }
            Value::Sturdyref(sturdyref) => {
                open("ocapn-id", out);
                out.string(&sturdyref.reveal_uri());
                out.end_record();
            }
            Value::Record(record) => self.record(record, out),
            Value::Encoded(encoded) => {
                open("encoded", out);
                out.bytes(encoded);
                out.end_record();
            }
            Value::Ref(reference) => self.reference(reference, out),
            _ => self.lose(format!("a value of kind {}", value.kind()), out),
        }
    }

    fn within(&mut self, step: Step, value: &Value, out: &mut Encoder<'_>) {
        self.path.push(step);
        self.value(value, out);
        self.path.pop();
    }

    fn items(&mut self, items: &[Value], out: &mut Encoder<'_>) {
        for (index, item) in items.iter().enumerate() {
            self.within(Step::Index(index), item, out);
        }
    }

    fn fields(&mut self, fields: &[(SmolStr, Value)], out: &mut Encoder<'_>) {
        let written = out.dict(
            fields.iter().map(|(key, value)| (key, (key, value))),
            |out, key| out.string(key),
            |out, (key, value)| self.within(Step::Field(key.clone()), value, out),
        );
        if written.is_err() {
            self.lose("a struct that has a field twice".to_owned(), out);
        }
    }

    /// Marked as a map where it would be read as a struct.
    fn map(&mut self, entries: &[(Value, Value)], out: &mut Encoder<'_>) {
        let like_struct = entries.iter().all(|(key, _)| matches!(key, Value::String(_)));
        if like_struct {
            open("map", out);
        }
        let mut keys = Vec::with_capacity(entries.len());
        for (index, (key, _)) in entries.iter().enumerate() {
            let mut encoded = Vec::new();
            self.within(Step::Index(index), key, &mut Encoder::new(&mut encoded));
            keys.push(encoded);
        }
        let written = out.dict(
            keys.iter().zip(entries.iter().enumerate()),
            |out, key| out.raw(key),
            |out, (index, (_, value))| self.within(Step::Index(index), value, out),
        );
        if written.is_err() {
            self.lose("a map that has a key twice".to_owned(), out);
        }
        if like_struct {
            out.end_record();
        }
    }

    fn set(&mut self, members: &[Value], out: &mut Encoder<'_>) {
        let members = members.iter().enumerate();
        let written =
            out.set(members, |out, (index, member)| self.within(Step::Index(index), member, out));
        if written.is_err() {
            self.lose("a set that has a member twice".to_owned(), out);
        }
    }

    /// Records that Goblins stores in their own form are left so.
    fn record(&mut self, record: &Record<Ref>, out: &mut Encoder<'_>) {
        if let Some(label @ ("kw" | "vec")) = record.label.as_symbol() {
            open(label, out);
            self.items(&record.fields, out);
        } else {
            open("record", out);
            self.within(Step::Field("label".into()), &record.label, out);
            self.items(&record.fields, out);
        }
        out.end_record();
    }

    fn reference(&mut self, reference: &Ref, out: &mut Encoder<'_>) {
        match (self.name)(reference) {
            Named::Near(id) => {
                open("near", out);
                out.uint(id);
            }
            Named::Far(vat, id) => {
                open("far", out);
                out.uint(vat);
                out.uint(id);
            }
            Named::Remote(sturdyref) => {
                open("remote", out);
                out.string(&sturdyref.reveal_uri());
            }
            Named::Encased(value) => {
                open("encase", out);
                self.within(Step::Field("promise".into()), &value, out);
            }
            Named::Broken(reason) => {
                open("broken", out);
                self.within(Step::Field("broken".into()), &reason, out);
            }
            Named::Lost(why) => return self.lose(why, out),
        }
        out.end_record();
    }

    fn lose(&mut self, what: String, out: &mut Encoder<'_>) {
        open("broken", out);
        open("error", out);
        out.string(&format!("{NOT_STORED}{what}"));
        out.bool(false);
        out.end_record();
        out.end_record();
        let mut path = String::new();
        for step in &self.path {
            // Writing to a string can't fail.
            let _ = match step {
                Step::Index(index) => write!(path, "[{index}]"),
                Step::Field(name) => write!(path, ".{name}"),
            };
        }
        self.losses.push(Loss { path, what });
    }
}

fn open(label: &str, out: &mut Encoder<'_>) {
    out.begin_record();
    out.symbol(label);
}

/// What the references in a portrait are, here and now.
pub(crate) trait Referents {
    fn near(&mut self, id: u64) -> Ref;
    fn far(&mut self, vat: u64, id: u64) -> Ref;
    fn remote(&mut self, sturdyref: Sturdyref) -> Ref;
}

/// What reads portraits, and text and entries that hold them.
pub(crate) fn options(size: usize) -> Options {
    let limits = Limits { depth: MAX_DEPTH * 2 + 16, size, int_digits: usize::MAX };
    Options { limits, ..Options::default() }
}

/// Decodes what [`encode`] wrote.
pub(crate) fn decode(
    encoded: &Bytes,
    referents: &mut dyn Referents,
) -> Result<Value, RestoreError> {
    let decoder = Decoder::with_options(encoded, &options(encoded.len() + 1));
    let mut reader = Reader { decoder, source: encoded, referents };
    let value = reader.value()?;
    reader.decoder.end().map_err(unreadable)?;
    Ok(value)
}

fn unreadable(error: syrup::DecodeError) -> RestoreError {
    RestoreError::new(format!("the portrait cannot be read: {error}"))
}

struct Reader<'a, 'r> {
    decoder: Decoder<'a>,
    source: &'a Bytes,
    referents: &'r mut dyn Referents,
}

impl<'a> Reader<'a, '_> {
    fn token(&mut self) -> Result<Token<'a>, RestoreError> {
        self.decoder.token().map_err(unreadable)
    }

    fn value(&mut self) -> Result<Value, RestoreError> {
        let token = self.token()?;
        self.after(token)
    }

    fn after(&mut self, token: Token<'a>) -> Result<Value, RestoreError> {
        Ok(match token {
            Token::Bool(value) => Value::Bool(value),
            Token::Int(value) => Value::Int(value),
            Token::BigInt(digits) => Value::from(digits.to_bigint()),
            Token::F32(value) => Value::Float(value.into()),
            Token::F64(value) => Value::Float(value),
            Token::Bytes(bytes) => Value::Bytes(self.source.slice_ref(bytes)),
            Token::String(text) => Value::String(text.into()),
            Token::Symbol(name) => Value::Symbol(name.into()),
            Token::ListStart => Value::List(self.until(Token::ListEnd)?),
            Token::SetStart => Value::Set(self.until(Token::SetEnd)?),
            Token::DictStart => self.dict()?,
            Token::RecordStart => self.record()?,
            Token::ListEnd | Token::SetEnd | Token::DictEnd | Token::RecordEnd => {
                let kind = DecodeErrorKind::UnexpectedEnd;
                return Err(RestoreError::new(format!("the portrait cannot be read: {kind}")));
            }
        })
    }

    fn until(&mut self, end: Token<'_>) -> Result<Vec<Value>, RestoreError> {
        let mut values = Vec::new();
        loop {
            let token = self.token()?;
            if token == end {
                return Ok(values);
            }
            values.push(self.after(token)?);
        }
    }

    /// A struct if all keys are strings, else a map.
    fn dict(&mut self) -> Result<Value, RestoreError> {
        let mut entries = Vec::new();
        loop {
            let token = self.token()?;
            if token == Token::DictEnd {
                break;
            }
            let key = self.after(token)?;
            entries.push((key, self.value()?));
        }
        if !entries.iter().all(|(key, _)| matches!(key, Value::String(_))) {
            return Ok(Value::Map(entries));
        }
        let fields = entries.into_iter().filter_map(|(key, value)| match key {
            Value::String(key) => Some((key, value)),
            _ => None,
        });
        Ok(Value::Struct(fields.collect()))
    }

    fn record(&mut self) -> Result<Value, RestoreError> {
        let label = self.value()?;
        let fields = self.until(Token::RecordEnd)?;
        let unlike = |label: &str| RestoreError::new(format!("a record {label:?} of other fields"));
        let Some(name) = label.as_symbol() else {
            return Ok(Value::Record(Box::new(Record { label, fields })));
        };
        Ok(match (name, fields.as_slice()) {
            ("void", _) => Value::Undefined,
            ("null", []) => Value::Null,
            ("near", [Value::Int(id)]) => {
                Value::Ref(self.referents.near(number(*id).ok_or_else(|| unlike(name))?))
            }
            ("far", [Value::Int(vat), Value::Int(id)]) => {
                let both = number(*vat).zip(number(*id)).ok_or_else(|| unlike(name))?;
                Value::Ref(self.referents.far(both.0, both.1))
            }
            ("ocapn-id", [Value::String(uri)]) => match uri.parse::<Sturdyref>() {
                Ok(sturdyref) => sturdyref.into(),
                // Goblins stores locators of peers so, too.
                Err(_) => Value::Record(Box::new(Record { label, fields })),
            },
            ("remote", [Value::String(uri)]) => {
                let sturdyref = uri.parse().map_err(|error| {
                    RestoreError::new(format!("a sturdyref that cannot be read: {error}"))
                })?;
                Value::Ref(self.referents.remote(sturdyref))
            }
            ("encase", [value]) => Value::from(Promise::settled(Ok(value.clone()))),
            ("broken", [reason]) => Value::from(Promise::settled(Err(Fault::from(reason.clone())))),
            ("broken", []) => {
                Value::from(Promise::settled(Err("it was broken when it was stored".into())))
            }
            ("tagged", [Value::Symbol(tag), value]) => {
                Value::Tagged(Box::new(Tagged { tag: tag.clone(), value: value.clone() }))
            }
            ("error", [Value::String(message), label, rest @ ..]) => {
                let label = label.as_symbol().map(SmolStr::from);
                let (message, fields) = (message.clone(), rest.to_vec());
                Value::Error(Box::new(ErrorValue { message, fields, label }))
            }
            ("record", [label, rest @ ..]) => {
                Value::Record(Box::new(Record { label: label.clone(), fields: rest.to_vec() }))
            }
            ("map", [Value::Struct(entries)]) => {
                let entries = entries.iter().cloned();
                Value::Map(entries.map(|(key, value)| (Value::String(key), value)).collect())
            }
            ("encoded", [Value::Bytes(bytes)]) => Value::Encoded(bytes.clone()),
            ("null" | "near" | "far" | "remote" | "encase" | "map" | "encoded", _) => {
                return Err(unlike(name));
            }
            _ => Value::Record(Box::new(Record { label, fields })),
        })
    }
}

fn number(value: i64) -> Option<u64> {
    u64::try_from(value).ok()
}

/// A reference found by [`references`]: the vat, unless it is the object's own, and the
/// object's number.
pub(crate) type Found = (Option<u64>, u64);

/// The actors that a portrait, or an entry with one in it, refers to. Reads no more than
/// it needs, and stops at what cannot be read.
pub(crate) fn references(encoded: &[u8], mut found: impl FnMut(Found)) {
    let mut input = Decoder::with_options(encoded, &options(encoded.len() + 1));
    let mut token = input.token();
    while let Ok(present) = token {
        token = input.token();
        if present != Token::RecordStart {
            continue;
        }
        let fields = match &token {
            Ok(Token::Symbol("near")) => 1,
            Ok(Token::Symbol("far")) => 2,
            _ => continue,
        };
        let mut numbers = [None; 2];
        for number in numbers.iter_mut().take(fields) {
            token = input.token();
            *number = match &token {
                Ok(Token::Int(value)) => u64::try_from(*value).ok(),
                _ => None,
            };
        }
        match numbers {
            [Some(id), None] if fields == 1 => found((None, id)),
            [Some(vat), Some(id)] => found((Some(vat), id)),
            _ => {}
        }
    }
}
