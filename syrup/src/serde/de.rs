//! Syrup to Rust types.

use ::serde::de::{self, Deserialize, Unexpected, Visitor};
use num_bigint::BigInt;

use crate::decode::{Decoder, Token};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::options::Options;
use crate::serde::access::{Entries, Items, Variant};
use crate::serde::{Error, NULL, VOID};
use crate::value::MAX_TREE_DEPTH;

/// Reads a value; tolerant, with the default limits. Texts and bytes may be borrowed
/// from `input`.
///
/// # Errors
///
/// If `input` is not exactly one value, or not one of that type.
pub fn from_slice<'de, T: Deserialize<'de>>(input: &'de [u8]) -> Result<T, Error> {
    from_slice_with(input, &Options::default())
}

/// Reads a value with the options given.
///
/// # Errors
///
/// If `input` is not exactly one value as the options want it, or not one of that type.
pub fn from_slice_with<'de, T: Deserialize<'de>>(
    input: &'de [u8],
    options: &Options,
) -> Result<T, Error> {
    let mut decoder = Decoder::with_options(input, options);
    let value = T::deserialize(&mut Deserializer::new(&mut decoder))?;
    decoder.end()?;
    Ok(value)
}

/// Reads one value with a [`Decoder`].
pub struct Deserializer<'d, 'de> {
    pub(super) input: &'d mut Decoder<'de>,
    /// A token that has been read and not used, with where it began.
    peeked: Option<(Token<'de>, usize)>,
}

impl<'d, 'de> Deserializer<'d, 'de> {
    /// A deserializer of the next value.
    pub const fn new(input: &'d mut Decoder<'de>) -> Self {
        Self { input, peeked: None }
    }

    pub(super) fn token(&mut self) -> Result<(Token<'de>, usize), Error> {
        if let Some(peeked) = self.peeked.take() {
            return Ok(peeked);
        }
        let at = self.input.position();
        let token = self.input.token()?;
        // Every container costs the reader some stack.
        if self.input.depth() > MAX_TREE_DEPTH {
            let kind = DecodeErrorKind::DepthLimit(MAX_TREE_DEPTH);
            return Err(DecodeError::new(at, kind).into());
        }
        Ok((token, at))
    }

    pub(super) fn peek(&mut self) -> Result<(Token<'de>, usize), Error> {
        let peeked = self.token()?;
        self.peeked = Some(peeked);
        Ok(peeked)
    }

    /// Whether the next token ends a container; takes it if so.
    pub(super) fn at_end(&mut self) -> Result<bool, Error> {
        let (token, _) = self.peek()?;
        let ends =
            matches!(token, Token::ListEnd | Token::SetEnd | Token::DictEnd | Token::RecordEnd);
        if ends {
            self.peeked = None;
        }
        Ok(ends)
    }

    /// Takes the end of a container after `parts` of it have been read.
    pub(super) fn close(&mut self, parts: &str) -> Result<(), Error> {
        let offset = self.input.position();
        if self.at_end()? {
            return Ok(());
        }
        Err(Error::Type { offset, message: format!("more than {parts}") })
    }

    /// Whether the next value is a record with nothing but this label.
    fn is_empty_record(&self, label: &str) -> bool {
        let rest = self.input.rest();
        let rest = match self.peeked {
            None => rest.strip_prefix(b"<"),
            Some((Token::RecordStart, _)) => Some(rest),
            Some(_) => None,
        };
        rest.and_then(|rest| rest.strip_prefix(label.len().to_string().as_bytes()))
            .and_then(|rest| rest.strip_prefix(b"'"))
            .and_then(|rest| rest.strip_prefix(label.as_bytes()))
            .is_some_and(|rest| rest.starts_with(b">"))
    }

    /// Opens a record that must have this label.
    fn record(&mut self, label: &str) -> Result<(), Error> {
        let (token, at) = self.token()?;
        let wrong = |found: &str| Error::Type {
            offset: at,
            message: format!("{found}, expected a record with the label {label}"),
        };
        if token != Token::RecordStart {
            return Err(wrong(describe(&token)));
        }
        match self.token()?.0 {
            Token::Symbol(found) if found == label => Ok(()),
            Token::Symbol(found) => Err(wrong(&format!("record with the label {found}"))),
            other => Err(wrong(&format!("record labelled with a {}", describe(&other)))),
        }
    }

    /// Reads on after `visit` has looked at the parts of a container.
    fn parts<V: Visitor<'de>>(&mut self, visitor: V, at: usize) -> Result<V::Value, Error> {
        let mut items = Items::new(self);
        let value = visitor.visit_seq(&mut items).map_err(|error| error.at(at))?;
        items.finish()?;
        Ok(value)
    }

    fn entries<V: Visitor<'de>>(&mut self, visitor: V, at: usize) -> Result<V::Value, Error> {
        let mut entries = Entries::new(self);
        let value = visitor.visit_map(&mut entries).map_err(|error| error.at(at))?;
        entries.finish()?;
        Ok(value)
    }

    fn any<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        if self.is_empty_record(NULL) || self.is_empty_record(VOID) {
            let none = self.is_empty_record(NULL);
            self.skip_empty_record()?;
            return if none { visitor.visit_none() } else { visitor.visit_unit() };
        }
        let (token, at) = self.token()?;
        match token {
            Token::Bool(value) => visitor.visit_bool(value),
            Token::Int(value) => visitor.visit_i64(value),
            Token::BigInt(value) => big(&value.to_bigint(), visitor),
            Token::F32(value) => visitor.visit_f32(value),
            Token::F64(value) => visitor.visit_f64(value),
            Token::Bytes(value) => visitor.visit_borrowed_bytes(value),
            Token::String(value) | Token::Symbol(value) => visitor.visit_borrowed_str(value),
            Token::ListStart | Token::SetStart | Token::RecordStart => self.parts(visitor, at),
            Token::DictStart => self.entries(visitor, at),
            Token::ListEnd | Token::DictEnd | Token::SetEnd | Token::RecordEnd => {
                Err(DecodeError::new(at, DecodeErrorKind::UnexpectedEnd).into())
            }
        }
        .map_err(|error: Error| error.at(at))
    }

    fn skip_empty_record(&mut self) -> Result<(), Error> {
        for _ in 0..3 {
            self.token()?;
        }
        Ok(())
    }

    fn skip(&mut self) -> Result<(), Error> {
        let mut depth = 0usize;
        loop {
            match self.token()?.0 {
                Token::ListStart | Token::DictStart | Token::SetStart | Token::RecordStart => {
                    depth += 1;
                }
                Token::ListEnd | Token::DictEnd | Token::SetEnd | Token::RecordEnd => {
                    depth = depth.saturating_sub(1);
                }
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

/// An integer beyond 64 bits, as the widest that Rust has.
fn big<'de, V: Visitor<'de>>(value: &BigInt, visitor: V) -> Result<V::Value, Error> {
    if let Ok(value) = u64::try_from(value) {
        return visitor.visit_u64(value);
    }
    if let Ok(value) = i128::try_from(value) {
        return visitor.visit_i128(value);
    }
    match u128::try_from(value) {
        Ok(value) => visitor.visit_u128(value),
        Err(_) => Err(de::Error::invalid_value(
            Unexpected::Other("integer of more than 128 bits"),
            &visitor,
        )),
    }
}

fn describe(token: &Token<'_>) -> &'static str {
    match token {
        Token::Bool(_) => "boolean",
        Token::Int(_) | Token::BigInt(_) => "integer",
        Token::F32(_) | Token::F64(_) => "float",
        Token::Bytes(_) => "byte array",
        Token::String(_) => "string",
        Token::Symbol(_) => "symbol",
        Token::ListStart => "list",
        Token::DictStart => "dictionary",
        Token::SetStart => "set",
        Token::RecordStart => "record",
        Token::ListEnd | Token::DictEnd | Token::SetEnd | Token::RecordEnd => "end",
    }
}

impl<'de> de::Deserializer<'de> for &mut Deserializer<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_empty_record(NULL) {
            self.skip_empty_record()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.record(name)?;
        self.close("a label")?;
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.record(name)?;
        let value = visitor.visit_newtype_struct(&mut *self)?;
        self.close("one field")?;
        Ok(value)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let at = self.input.position();
        self.record(name)?;
        self.parts(visitor, at)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let (token, at) = self.peek()?;
        let record = token == Token::RecordStart;
        if record {
            self.token()?;
        }
        visitor.visit_enum(Variant::new(self, record)).map_err(|error| error.at(at))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.skip()?;
        visitor.visit_unit()
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    ::serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string
        bytes byte_buf unit seq tuple map struct identifier
    }
}
