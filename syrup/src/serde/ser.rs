//! Rust types to Syrup.

use ::serde::ser::{self, Serialize};
use num_bigint::BigInt;

use crate::encode::{Encoder, Place, Places, sort_entries};
use crate::serde::{Error, NULL, VOID};

/// Writes a value's canonical encoding.
///
/// # Errors
///
/// If a map has a key twice, or the value's own `Serialize` fails.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes);
    value.serialize(Serializer::new(&mut encoder))?;
    Ok(bytes)
}

/// Writes one value with an [`Encoder`].
///
/// After an error, the part of the value that was written stays in the buffer.
#[derive(Debug)]
pub struct Serializer<'e, 'o> {
    out: &'e mut Encoder<'o>,
}

impl<'e, 'o> Serializer<'e, 'o> {
    /// A serializer that writes with `out`.
    pub const fn new(out: &'e mut Encoder<'o>) -> Self {
        Self { out }
    }

    fn list(self) -> Compound<'e, 'o> {
        self.out.begin_list();
        Compound::new(self.out, Shape::List)
    }

    fn record(self, label: &str) -> Compound<'e, 'o> {
        self.out.begin_record();
        self.out.symbol(label);
        Compound::new(self.out, Shape::Record)
    }

    fn dict(self, shape: Shape) -> Compound<'e, 'o> {
        self.out.begin_dict();
        Compound::new(self.out, shape)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    List,
    Record,
    Dict,
    /// A dictionary as the one field of a record.
    DictInRecord,
}

/// A container being written by a [`Serializer`].
#[derive(Debug)]
pub struct Compound<'e, 'o> {
    out: &'e mut Encoder<'o>,
    shape: Shape,
    /// Where the entries of a dictionary are.
    places: Places,
}

impl<'e, 'o> Compound<'e, 'o> {
    fn new(out: &'e mut Encoder<'o>, shape: Shape) -> Self {
        Self { out, shape, places: Places::new() }
    }

    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(Serializer { out: self.out })
    }

    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        let begin = self.out.out().len();
        self.part(key)?;
        let key_end = self.out.out().len();
        self.places.push(Place { begin, key_end, end: key_end });
        Ok(())
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.part(value)?;
        let end = self.out.out().len();
        if let Some(place) = self.places.last_mut() {
            place.end = end;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), Error> {
        match self.shape {
            Shape::List => self.out.end_list(),
            Shape::Record => self.out.end_record(),
            Shape::Dict | Shape::DictInRecord => {
                sort_entries(self.out.out(), &mut self.places)?;
                self.out.end_dict();
                if self.shape == Shape::DictInRecord {
                    self.out.end_record();
                }
            }
        }
        Ok(())
    }
}

macro_rules! integers {
    ($($method:ident $type:ty => $write:ident $wide:ty;)*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<(), Error> {
            self.out.$write(<$wide>::from(value));
            Ok(())
        }
    )*};
}

impl<'e, 'o> ser::Serializer for Serializer<'e, 'o> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Compound<'e, 'o>;
    type SerializeTuple = Compound<'e, 'o>;
    type SerializeTupleStruct = Compound<'e, 'o>;
    type SerializeTupleVariant = Compound<'e, 'o>;
    type SerializeMap = Compound<'e, 'o>;
    type SerializeStruct = Compound<'e, 'o>;
    type SerializeStructVariant = Compound<'e, 'o>;

    integers! {
        serialize_i8 i8 => int i64;
        serialize_i16 i16 => int i64;
        serialize_i32 i32 => int i64;
        serialize_i64 i64 => int i64;
        serialize_u8 u8 => uint u64;
        serialize_u16 u16 => uint u64;
        serialize_u32 u32 => uint u64;
        serialize_u64 u64 => uint u64;
    }

    fn serialize_i128(self, value: i128) -> Result<(), Error> {
        self.out.bigint(&BigInt::from(value));
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<(), Error> {
        self.out.bigint(&BigInt::from(value));
        Ok(())
    }

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.out.bool(value);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.out.f32(value);
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        self.out.f64(value);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.out.string(value.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.out.string(value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.out.bytes(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.record(NULL).finish()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.record(VOID).finish()
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<(), Error> {
        self.record(name).finish()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        self.out.symbol(variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let mut record = self.record(name);
        record.part(value)?;
        record.finish()
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.serialize_newtype_struct(variant, value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Compound<'e, 'o>, Error> {
        Ok(self.list())
    }

    fn serialize_tuple(self, _: usize) -> Result<Compound<'e, 'o>, Error> {
        Ok(self.list())
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        _: usize,
    ) -> Result<Compound<'e, 'o>, Error> {
        Ok(self.record(name))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'e, 'o>, Error> {
        Ok(self.record(variant))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Compound<'e, 'o>, Error> {
        Ok(self.dict(Shape::Dict))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Compound<'e, 'o>, Error> {
        Ok(self.dict(Shape::Dict))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'e, 'o>, Error> {
        self.out.begin_record();
        self.out.symbol(variant);
        Ok(self.dict(Shape::DictInRecord))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! parts {
    ($($trait:ident $method:ident;)*) => {$(
        impl ser::$trait for Compound<'_, '_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.part(value)
            }

            fn end(self) -> Result<(), Error> {
                self.finish()
            }
        }
    )*};
}

parts! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

macro_rules! fields {
    ($($trait:ident;)*) => {$(
        impl ser::$trait for Compound<'_, '_> {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), Error> {
                self.key(key)?;
                self.value(value)
            }

            fn end(self) -> Result<(), Error> {
                self.finish()
            }
        }
    )*};
}

fields! {
    SerializeStruct;
    SerializeStructVariant;
}

impl ser::SerializeMap for Compound<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.value(value)
    }

    fn end(self) -> Result<(), Error> {
        self.finish()
    }
}
