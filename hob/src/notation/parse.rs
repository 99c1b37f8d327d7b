//! Text to values.

use num_bigint::BigInt;
use ocapn::text::{self, Build, Syntax};
use ocapn::{ErrorValue, Record, Tagged, Value};

pub(crate) use ocapn::text::ParseError as NotationError;

/// Reads one value, in which a bare word is a symbol. `reference` is asked what a path
/// after `@` stands for.
pub(crate) fn parse(
    text: &str,
    reference: &mut dyn FnMut(&str) -> Result<Value, String>,
) -> Result<Value, NotationError> {
    let syntax = Syntax { bare_words: true, ..Syntax::default() };
    text::parse_with(text, &syntax, &mut Passables { reference })
}

/// Makes the values that messages carry.
struct Passables<'r> {
    reference: &'r mut dyn FnMut(&str) -> Result<Value, String>,
}

impl Build for Passables<'_> {
    type Value = Value;

    fn bool(&mut self, value: bool) -> Result<Value, String> {
        Ok(value.into())
    }

    fn int(&mut self, value: BigInt) -> Result<Value, String> {
        Ok(value.into())
    }

    fn f32(&mut self, value: f32) -> Result<Value, String> {
        Ok(f64::from(value).into())
    }

    fn f64(&mut self, value: f64) -> Result<Value, String> {
        Ok(value.into())
    }

    fn bytes(&mut self, value: Vec<u8>) -> Result<Value, String> {
        Ok(Value::Bytes(value.into()))
    }

    fn string(&mut self, value: String) -> Result<Value, String> {
        Ok(value.into())
    }

    fn symbol(&mut self, value: String) -> Result<Value, String> {
        Ok(Value::Symbol(value.into()))
    }

    fn list(&mut self, items: Vec<Value>) -> Result<Value, String> {
        Ok(Value::List(items))
    }

    fn dict(&mut self, entries: Vec<(Value, Value)>) -> Result<Value, String> {
        let repeated = entries
            .iter()
            .enumerate()
            .any(|(index, (key, _))| entries.iter().take(index).any(|(other, _)| other == key));
        if repeated {
            return Err("the same key twice".to_owned());
        }
        let fields: Option<Vec<_>> = entries
            .iter()
            .map(|(key, value)| Some((key.as_str()?.into(), value.clone())))
            .collect();
        Ok(fields.map_or(Value::Map(entries), Value::Struct))
    }

    fn set(&mut self, members: Vec<Value>) -> Result<Value, String> {
        Ok(Value::Set(members))
    }

    fn record(&mut self, label: Value, mut fields: Vec<Value>) -> Result<Value, String> {
        Ok(match (label.as_symbol(), fields.as_slice()) {
            (Some("void"), []) => Value::Undefined,
            (Some("null"), []) => Value::Null,
            (Some("object" | "promise"), []) | (Some("sturdyref"), _) => {
                return Err("a reference can't be typed: name its file, @counter.cap".to_owned());
            }
            (Some("desc:tagged"), [Value::Symbol(tag) | Value::String(tag), value]) => {
                Value::Tagged(Box::new(Tagged { tag: tag.clone(), value: value.clone() }))
            }
            (Some("desc:error"), [Value::String(message), ..]) => {
                let message = message.clone();
                fields.remove(0);
                Value::Error(Box::new(ErrorValue { message, fields, label: None }))
            }
            _ => Value::Record(Box::new(Record { label, fields })),
        })
    }

    fn reference(&mut self, name: &str) -> Result<Value, String> {
        (self.reference)(name)
    }
}
