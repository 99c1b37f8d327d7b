//! Passables on the wire, references included.
//!
//! Decoding turns descriptors into references on the way, in one pass and without
//! an intermediate tree; encoding does the reverse and counts what it exports.

use smol_str::SmolStr;
use syrup::{Encoder, Token};

use crate::dialect::{Dialect, Errors, Heard, StructOrder, TaggedForm};
use crate::error::{ApiMisuse, PeerViolation, SessionEnd};
use crate::handoff::{Envelope, HandoffGive, Signed};
use crate::outbox::Outbox;
use crate::passable::{ErrorValue, Passable, Record, Tagged};
use crate::position::{AnswerPos, ExportPos, ImportPos, RemotePos};
use crate::runtime::{Identity, Runtime};
use crate::tables::{Exported, IDLE, Tables};
use crate::wire::{self, Reader, WireError, head};

/// Why decoding stopped. Boxed: it is rare, and the way in is hot.
pub(crate) type Fatal = Box<SessionEnd>;

impl From<WireError> for Fatal {
    fn from(error: WireError) -> Self {
        Self::new(error.into())
    }
}

impl From<crate::LimitExceeded> for Fatal {
    fn from(error: crate::LimitExceeded) -> Self {
        Self::new(error.into())
    }
}

/// Decodes values for a session.
pub(crate) struct Incoming<'s, R: Runtime> {
    pub(crate) tables: &'s mut Tables<R>,
    pub(crate) runtime: &'s mut R,
    pub(crate) dialect: &'s mut Dialect,
    /// Gifts that came along with the message, and the promises for them.
    pub(crate) handoffs: &'s mut Vec<(Signed<HandoffGive>, R::Resolver)>,
}

type Value<R> = Passable<<R as Runtime>::Ref>;

impl<R: Runtime> Incoming<'_, R> {
    /// The next value.
    pub(crate) fn value(&mut self, input: &mut Reader<'_>) -> Result<Value<R>, Fatal> {
        let offset = input.offset();
        let token = input.token()?;
        self.after(token, offset, input)
    }

    /// The elements up to the end of a list that has been opened.
    pub(crate) fn list(&mut self, input: &mut Reader<'_>) -> Result<Vec<Value<R>>, Fatal> {
        self.until_end(input)
    }

    /// The values up to the end of the innermost container, which the decoder sees to be
    /// of its kind.
    fn until_end(&mut self, input: &mut Reader<'_>) -> Result<Vec<Value<R>>, Fatal> {
        let mut values = Vec::new();
        loop {
            let offset = input.offset();
            match input.token()? {
                Token::ListEnd | Token::SetEnd | Token::DictEnd | Token::RecordEnd => {
                    return Ok(values);
                }
                token => values.push(self.after(token, offset, input)?),
            }
        }
    }

    fn after<'a>(
        &mut self,
        token: Token<'a>,
        offset: usize,
        input: &mut Reader<'a>,
    ) -> Result<Value<R>, Fatal> {
        Ok(match token {
            Token::Bool(value) => Passable::Bool(value),
            Token::Int(value) => Passable::Int(value),
            Token::BigInt(digits) => Passable::from(digits.to_bigint()),
            Token::F32(value) => Passable::Float(value.into()),
            Token::F64(value) => Passable::Float(value),
            Token::Bytes(bytes) => Passable::Bytes(input.share(bytes)),
            Token::String(text) => Passable::String(text.into()),
            Token::Symbol(name) => Passable::Symbol(name.into()),
            Token::ListStart => Passable::List(self.list(input)?),
            Token::SetStart => Passable::Set(self.until_end(input)?),
            Token::DictStart => self.dict(input)?,
            Token::RecordStart => self.record(input)?,
            Token::ListEnd | Token::SetEnd | Token::DictEnd | Token::RecordEnd => {
                return Err(WireError::unexpected(offset, "a value").into());
            }
        })
    }

    /// A struct if all keys are strings, else a map.
    fn dict(&mut self, input: &mut Reader<'_>) -> Result<Value<R>, Fatal> {
        let mut fields: Vec<(SmolStr, _)> = Vec::new();
        loop {
            let offset = input.offset();
            match input.token()? {
                Token::DictEnd => return Ok(Passable::Struct(fields)),
                Token::String(key) => {
                    let order = fields.last().and_then(|(last, _)| StructOrder::of(last, key));
                    order.into_iter().for_each(|order| self.dialect.hear(Heard::Struct(order)));
                    let key = key.into();
                    fields.push((key, self.value(input)?));
                }
                other => {
                    let fields = fields.into_iter();
                    let mut entries: Vec<_> =
                        fields.map(|(key, value)| (Passable::String(key), value)).collect();
                    let key = self.after(other, offset, input)?;
                    entries.push((key, self.value(input)?));
                    return self.map(entries, input);
                }
            }
        }
    }

    fn map(
        &mut self,
        mut entries: Vec<(Value<R>, Value<R>)>,
        input: &mut Reader<'_>,
    ) -> Result<Value<R>, Fatal> {
        loop {
            let offset = input.offset();
            let token = input.token()?;
            if token == Token::DictEnd {
                return Ok(Passable::Map(entries));
            }
            let key = self.after(token, offset, input)?;
            entries.push((key, self.value(input)?));
        }
    }

    fn record(&mut self, input: &mut Reader<'_>) -> Result<Value<R>, Fatal> {
        let offset = input.offset();
        let token = input.token()?;
        let Token::Symbol(label) = token else {
            let label = self.after(token, offset, input)?;
            let fields = self.until_end(input)?;
            return Ok(Passable::Record(Box::new(Record { label, fields })));
        };
        if label == "desc:sig-envelope" {
            return Ok(Passable::Ref(self.handoff(input)?));
        }
        if let Some(reference) = self.descriptor(label, input)? {
            return Ok(Passable::Ref(reference));
        }
        let value = match label {
            "ocapn-sturdyref" => return Ok(input.sturdyref_fields()?.into()),
            "desc:tagged" | "user-record" => return self.tagged(label, input),
            "void" if input.at_record_end() => Passable::Undefined,
            "null" if input.at_record_end() => Passable::Null,
            "desc:error" | "exn:fail:mystery" => return self.error(label, input),
            _ => {
                if let "kw" | "pair" | "vec" = label {
                    self.dialect.hear(Heard::Goblins);
                }
                let label = Passable::Symbol(label.into());
                let fields = self.until_end(input)?;
                return Ok(Passable::Record(Box::new(Record { label, fields })));
            }
        };
        input.record_end()?;
        Ok(value)
    }

    /// The reference that a descriptor stands for, if `label` is a descriptor's.
    pub(crate) fn descriptor(
        &mut self,
        label: &str,
        input: &mut Reader<'_>,
    ) -> Result<Option<R::Ref>, Fatal> {
        let reference = match label {
            "desc:import-object" => self.import(input.position()?, false)?,
            "desc:import-promise" => self.import(input.position()?, true)?,
            "desc:export" => {
                let pos = ExportPos(input.position()?);
                match self.tables.exported(pos)? {
                    Exported::Reference { reference, .. } => reference.clone(),
                    // The bootstrap object and resolvers are for sending messages
                    // to, not for passing on: no honest peer has reason to.
                    _ => return Err(PeerViolation::NoSuchExport(pos).into()),
                }
            }
            "desc:answer" => {
                let answer = self.tables.answer(AnswerPos(input.position()?))?.clone();
                self.dialect.hear(Heard::AnswerAsValue);
                answer
            }
            _ => return Ok(None),
        };
        input.record_end()?;
        Ok(Some(reference))
    }

    /// The reference to what stands at that position at the peer.
    pub(crate) fn import(&mut self, pos: u64, promise: bool) -> Result<R::Ref, Fatal> {
        if pos == IDLE.0 {
            self.dialect.hear(Heard::Ourselves);
        }
        Ok(self.tables.import(self.runtime, ImportPos(pos), promise)?)
    }

    /// A promise for a third party's object that the peer gives us.
    fn handoff(&mut self, input: &mut Reader<'_>) -> Result<R::Ref, Fatal> {
        let offset = input.offset();
        let Envelope::Give(give) = Envelope::decode(input)? else {
            return Err(WireError::unexpected(offset, "a handoff-give").into());
        };
        let (promise, resolver) = self.runtime.promise();
        self.handoffs.push((give, resolver));
        Ok(promise)
    }

    /// A tagged value; a record of that label but of another shape is kept as it came.
    fn tagged(&mut self, label: &str, input: &mut Reader<'_>) -> Result<Value<R>, Fatal> {
        let mut fields = self.until_end(input)?;
        let heard = if label == "user-record" { Heard::Goblins } else { Heard::Tagged };
        self.dialect.hear(heard);
        if let [Passable::Symbol(tag) | Passable::String(tag), _] = fields.as_slice() {
            let tag = tag.clone();
            let value = fields.pop().unwrap_or_default();
            return Ok(Passable::Tagged(Box::new(Tagged { tag, value })));
        }
        let label = Passable::Symbol(label.into());
        Ok(Passable::Record(Box::new(Record { label, fields })))
    }

    fn error(&mut self, label: &str, input: &mut Reader<'_>) -> Result<Value<R>, Fatal> {
        let mut fields = self.until_end(input)?;
        self.dialect.hear(match label {
            "desc:error" if fields.len() > 1 => Heard::OpenError,
            "desc:error" => Heard::Error,
            _ => Heard::Goblins,
        });
        let message = match fields.first() {
            Some(Passable::String(message)) => {
                let message = message.clone();
                fields.remove(0);
                message
            }
            _ => SmolStr::new_static(ErrorValue::<R::Ref>::UNSAID),
        };
        let label = (label != "desc:error").then(|| label.into());
        Ok(Passable::Error(Box::new(ErrorValue { message, fields, label })))
    }
}

/// Encodes values for a session. On an error the caller rewinds outbox and tables.
pub(crate) struct Outgoing<'s, R: Runtime> {
    pub(crate) tables: &'s mut Tables<R>,
    pub(crate) runtime: &'s mut R,
    pub(crate) out: &'s mut Outbox,
    pub(crate) dialect: Dialect,
    pub(crate) max_depth: usize,
}

impl<R: Runtime> Outgoing<'_, R> {
    /// A list of values.
    pub(crate) fn list(&mut self, values: &[Value<R>], depth: usize) -> Result<(), ApiMisuse> {
        self.out.encoder().begin_list();
        for value in values {
            self.value(value, depth + 1)?;
        }
        self.out.encoder().end_list();
        Ok(())
    }

    /// A value inside `depth` containers.
    pub(crate) fn value(&mut self, value: &Value<R>, depth: usize) -> Result<(), ApiMisuse> {
        if depth >= self.max_depth {
            return Err(ApiMisuse::TooDeep(self.max_depth));
        }
        match value {
            Passable::Undefined => self.empty_record("void"),
            // Goblins has one nothing, and stops reading at any other record.
            Passable::Null if self.dialect.errors == Errors::Goblins => self.empty_record("void"),
            Passable::Null => self.empty_record("null"),
            Passable::Bool(value) => self.out.encoder().bool(*value),
            Passable::Int(value) => self.out.encoder().int(*value),
            Passable::BigInt(value) => self.out.encoder().bigint(value),
            Passable::Float(value) => {
                // One NaN on the wire.
                self.out.encoder().f64(if value.is_nan() { f64::NAN } else { *value });
            }
            Passable::String(text) => self.out.encoder().string(text),
            Passable::Symbol(name) => self.out.encoder().symbol(name),
            Passable::Bytes(bytes) => self.out.bytes(bytes),
            Passable::List(values) => self.list(values, depth)?,
            Passable::Struct(fields) => self.fields(fields, depth)?,
            Passable::Map(entries) => self.map(entries, depth)?,
            Passable::Set(values) => self.set(values, depth)?,
            Passable::Tagged(tagged) => {
                self.open_record(match self.dialect.tagged {
                    TaggedForm::Tagged => "desc:tagged",
                    TaggedForm::UserRecord => "user-record",
                });
                self.out.encoder().symbol(&tagged.tag);
                self.value(&tagged.value, depth + 1)?;
                self.out.encoder().end_record();
            }
            Passable::Error(error) => self.error(error, depth)?,
            Passable::Sturdyref(sturdyref) => {
                wire::encode_sturdyref(&mut self.out.encoder(), sturdyref);
            }
            Passable::Record(record) => {
                self.out.encoder().begin_record();
                self.value(&record.label, depth + 1)?;
                for field in &record.fields {
                    self.value(field, depth + 1)?;
                }
                self.out.encoder().end_record();
            }
            Passable::Encoded(encoded) => self.out.encoder().raw(encoded),
            Passable::Ref(reference) => self.reference(reference, depth)?,
        }
        Ok(())
    }

    fn error(&mut self, error: &ErrorValue<R::Ref>, depth: usize) -> Result<(), ApiMisuse> {
        let theirs = error.label.as_deref();
        let goblins = theirs == Some("exn:fail:mystery") && error.fields.is_empty();
        match self.dialect.errors {
            Errors::Goblins if goblins && error.is_unsaid() => {
                self.empty_record("exn:fail:mystery");
                return Ok(());
            }
            Errors::Text | Errors::Goblins => {
                self.out.encoder().string(&error.message);
                return Ok(());
            }
            Errors::Message => {
                self.open_record("desc:error");
                self.out.encoder().string(&error.message);
            }
            Errors::Open => {
                self.open_record(theirs.unwrap_or("desc:error"));
                if !error.is_unsaid() {
                    self.out.encoder().string(&error.message);
                }
                for field in &error.fields {
                    self.value(field, depth + 1)?;
                }
            }
        }
        self.out.encoder().end_record();
        Ok(())
    }

    /// A descriptor, or the value of a promise that has one.
    pub(crate) fn reference(&mut self, reference: &R::Ref, depth: usize) -> Result<(), ApiMisuse> {
        match self.runtime.identify(reference) {
            Identity::Local { key, promise } => {
                let pos = self.tables.export(reference, key)?;
                let head = if promise { head::IMPORT_PROMISE } else { head::IMPORT_OBJECT };
                descriptor(&mut self.out.encoder(), head, pos.0);
            }
            Identity::Remote { pos: RemotePos::Import(pos), .. } => {
                descriptor(&mut self.out.encoder(), head::EXPORT, pos.0);
            }
            Identity::Remote { pos: RemotePos::Answer(pos), .. }
                if self.dialect.answers_as_values =>
            {
                descriptor(&mut self.out.encoder(), head::ANSWER, pos.0);
            }
            Identity::Remote { pos: RemotePos::Answer(_), key } => {
                let pos = self.tables.export(reference, key)?;
                descriptor(&mut self.out.encoder(), head::IMPORT_PROMISE, pos.0);
            }
            Identity::Value(value) => self.value(value, depth)?,
        }
        Ok(())
    }

    fn fields(&mut self, fields: &[(SmolStr, Value<R>)], depth: usize) -> Result<(), ApiMisuse> {
        let mut order: Vec<_> = fields.iter().collect();
        match self.dialect.structs {
            StructOrder::Content => order.sort_by_key(|(text, _)| text.as_str()),
            StructOrder::Encoded => order.sort_by_cached_key(|(text, _)| {
                let mut bytes = Vec::with_capacity(text.len() + 4);
                Encoder::new(&mut bytes).string(text);
                bytes
            }),
        }
        if order.windows(2).any(|pair| matches!(pair, [(one, _), (two, _)] if one == two)) {
            return Err(ApiMisuse::DuplicateKey);
        }
        self.out.encoder().begin_dict();
        for (text, value) in order {
            self.out.encoder().string(text);
            self.value(value, depth + 1)?;
        }
        self.out.encoder().end_dict();
        Ok(())
    }

    fn map(&mut self, entries: &[(Value<R>, Value<R>)], depth: usize) -> Result<(), ApiMisuse> {
        let keys = self.sorted(entries.iter().map(|(key, _)| key), depth)?;
        self.out.encoder().begin_dict();
        for (key, index) in keys {
            self.out.encoder().raw(&key);
            if let Some((_, value)) = entries.get(index) {
                self.value(value, depth + 1)?;
            }
        }
        self.out.encoder().end_dict();
        Ok(())
    }

    fn set(&mut self, values: &[Value<R>], depth: usize) -> Result<(), ApiMisuse> {
        let values = self.sorted(values.iter(), depth)?;
        self.out.encoder().begin_set();
        for (value, _) in values {
            self.out.encoder().raw(&value);
        }
        self.out.encoder().end_set();
        Ok(())
    }

    /// The encodings of `values` in canonical order, with where they were.
    fn sorted<'v>(
        &mut self,
        values: impl Iterator<Item = &'v Value<R>>,
        depth: usize,
    ) -> Result<Vec<(Vec<u8>, usize)>, ApiMisuse>
    where
        R::Ref: 'v,
    {
        let mut encoded = Vec::new();
        for (index, value) in values.enumerate() {
            let mut out = Outbox::default();
            let (tables, runtime) = (&mut *self.tables, &mut *self.runtime);
            let (dialect, max_depth) = (self.dialect, self.max_depth);
            let mut part = Outgoing { tables, runtime, out: &mut out, dialect, max_depth };
            part.value(value, depth + 1)?;
            let mut bytes = Vec::new();
            out.drain_into(&mut bytes);
            encoded.push((bytes, index));
        }
        encoded.sort();
        if encoded.windows(2).any(|pair| matches!(pair, [one, two] if one.0 == two.0)) {
            return Err(ApiMisuse::DuplicateKey);
        }
        Ok(encoded)
    }

    fn open_record(&mut self, label: &str) {
        let mut out = self.out.encoder();
        out.begin_record();
        out.symbol(label);
    }

    fn empty_record(&mut self, label: &str) {
        self.open_record(label);
        self.out.encoder().end_record();
    }
}

/// Writes a record of a head and a position.
#[inline]
pub(crate) fn descriptor(out: &mut Encoder<'_>, head: &[u8], pos: u64) {
    out.raw(head);
    out.uint(pos);
    out.end_record();
}
