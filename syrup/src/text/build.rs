//! What a parser makes of the text.

use num_bigint::BigInt;

use crate::value::{Dict, Record, Set, Value};

/// Makes values of some type from what the parser reads.
///
/// Every method may refuse, saying why; the parser adds where.
pub trait Build {
    /// What is made.
    type Value;

    /// A boolean.
    ///
    /// # Errors
    ///
    /// As this and every method: if there is no such value.
    fn bool(&mut self, value: bool) -> Result<Self::Value, String>;
    /// An integer.
    fn int(&mut self, value: BigInt) -> Result<Self::Value, String>;
    /// A single-precision float.
    fn f32(&mut self, value: f32) -> Result<Self::Value, String>;
    /// A double-precision float.
    fn f64(&mut self, value: f64) -> Result<Self::Value, String>;
    /// A byte array.
    fn bytes(&mut self, value: Vec<u8>) -> Result<Self::Value, String>;
    /// A string.
    fn string(&mut self, value: String) -> Result<Self::Value, String>;
    /// A symbol.
    fn symbol(&mut self, value: String) -> Result<Self::Value, String>;
    /// A list.
    fn list(&mut self, items: Vec<Self::Value>) -> Result<Self::Value, String>;
    /// A dictionary: entries in the order in which they stand.
    fn dict(&mut self, entries: Vec<(Self::Value, Self::Value)>) -> Result<Self::Value, String>;
    /// A set: members in the order in which they stand.
    fn set(&mut self, members: Vec<Self::Value>) -> Result<Self::Value, String>;
    /// A record.
    fn record(
        &mut self,
        label: Self::Value,
        fields: Vec<Self::Value>,
    ) -> Result<Self::Value, String>;
    /// `@name`.
    fn reference(&mut self, name: &str) -> Result<Self::Value, String>;
}

/// Makes [`Value`]s, which have no references.
#[derive(Clone, Copy, Debug, Default)]
pub struct Values;

impl Build for Values {
    type Value = Value;

    fn bool(&mut self, value: bool) -> Result<Value, String> {
        Ok(Value::Bool(value))
    }

    fn int(&mut self, value: BigInt) -> Result<Value, String> {
        Ok(Value::from(value))
    }

    fn f32(&mut self, value: f32) -> Result<Value, String> {
        Ok(Value::F32(value))
    }

    fn f64(&mut self, value: f64) -> Result<Value, String> {
        Ok(Value::F64(value))
    }

    fn bytes(&mut self, value: Vec<u8>) -> Result<Value, String> {
        Ok(Value::Bytes(value))
    }

    fn string(&mut self, value: String) -> Result<Value, String> {
        Ok(Value::String(value))
    }

    fn symbol(&mut self, value: String) -> Result<Value, String> {
        Ok(Value::Symbol(value))
    }

    fn list(&mut self, items: Vec<Value>) -> Result<Value, String> {
        Ok(Value::List(items))
    }

    fn dict(&mut self, entries: Vec<(Value, Value)>) -> Result<Value, String> {
        let dict = Dict::new(entries).map_err(|error| error.to_string())?;
        Ok(Value::Dict(dict))
    }

    fn set(&mut self, members: Vec<Value>) -> Result<Value, String> {
        let set = Set::new(members).map_err(|_| "a member occurs twice".to_owned())?;
        Ok(Value::Set(set))
    }

    fn record(&mut self, label: Value, fields: Vec<Value>) -> Result<Value, String> {
        Ok(Value::Record(Record::new(label, fields)))
    }

    fn reference(&mut self, name: &str) -> Result<Value, String> {
        Err(format!("no reference such as @{name} can stand here"))
    }
}
