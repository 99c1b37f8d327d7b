//! The parts of containers, one after the other.

use ::serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

use crate::decode::Token;
use crate::serde::Error;
use crate::serde::de::Deserializer;

/// What is left of a list, set or record.
pub(super) struct Items<'a, 'd, 'de> {
    input: &'a mut Deserializer<'d, 'de>,
    ended: bool,
}

impl<'a, 'd, 'de> Items<'a, 'd, 'de> {
    pub(super) const fn new(input: &'a mut Deserializer<'d, 'de>) -> Self {
        Self { input, ended: false }
    }

    /// Makes sure that nothing is left.
    pub(super) fn finish(self) -> Result<(), Error> {
        if self.ended { Ok(()) } else { self.input.close("the expected elements") }
    }
}

impl<'de> de::SeqAccess<'de> for &mut Items<'_, '_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if self.ended || self.input.at_end()? {
            self.ended = true;
            return Ok(None);
        }
        seed.deserialize(&mut *self.input).map(Some)
    }
}

/// What is left of a dictionary.
pub(super) struct Entries<'a, 'd, 'de> {
    input: &'a mut Deserializer<'d, 'de>,
    ended: bool,
}

impl<'a, 'd, 'de> Entries<'a, 'd, 'de> {
    pub(super) const fn new(input: &'a mut Deserializer<'d, 'de>) -> Self {
        Self { input, ended: false }
    }

    /// Makes sure that nothing is left.
    pub(super) fn finish(self) -> Result<(), Error> {
        if self.ended { Ok(()) } else { self.input.close("the expected entries") }
    }
}

impl<'de> de::MapAccess<'de> for &mut Entries<'_, '_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        if self.ended || self.input.at_end()? {
            self.ended = true;
            return Ok(None);
        }
        seed.deserialize(&mut *self.input).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.input)
    }
}

/// A variant: a symbol, or a record whose opening has been read.
pub(super) struct Variant<'a, 'd, 'de> {
    input: &'a mut Deserializer<'d, 'de>,
    record: bool,
}

impl<'a, 'd, 'de> Variant<'a, 'd, 'de> {
    pub(super) const fn new(input: &'a mut Deserializer<'d, 'de>, record: bool) -> Self {
        Self { input, record }
    }

    fn fields(&self) -> Result<(), Error> {
        if self.record {
            return Ok(());
        }
        Err(Error::Type {
            offset: self.input.input.position(),
            message: "a symbol, expected a record with fields".to_owned(),
        })
    }
}

impl<'de> de::EnumAccess<'de> for Variant<'_, '_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let (token, at) = self.input.token()?;
        let Token::Symbol(name) = token else {
            return Err(Error::Type {
                offset: at,
                message: "expected a symbol, a variant's name".to_owned(),
            });
        };
        let name = IntoDeserializer::<Error>::into_deserializer(name);
        let name = seed.deserialize(name).map_err(|error| error.at(at))?;
        Ok((name, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, '_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        if self.record {
            self.input.close("a variant's name")?;
        }
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.fields()?;
        let value = seed.deserialize(&mut *self.input)?;
        self.input.close("one field")?;
        Ok(value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.fields()?;
        let mut items = Items::new(self.input);
        let value = visitor.visit_seq(&mut items)?;
        items.finish()?;
        Ok(value)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.fields()?;
        let (token, at) = self.input.token()?;
        if token != Token::DictStart {
            return Err(Error::Type {
                offset: at,
                message: "expected a dictionary of fields".to_owned(),
            });
        }
        let mut entries = Entries::new(self.input);
        let value = visitor.visit_map(&mut entries)?;
        entries.finish()?;
        self.input.close("one dictionary of fields")?;
        Ok(value)
    }
}
