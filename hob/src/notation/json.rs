//! Values as JSON, for `--json`.
//!
//! What JSON has is written as such: booleans, strings, lists, structs (objects) and
//! finite floats, and integers that fit 64 bits. Nothing and null are both `null`. All
//! else is an object with one key that begins with `@`:
//!
//! `{"@symbol": "name"}` · `{"@int": "12345678901234567890"}` ·
//! `{"@float": "+inf"}` · `{"@bytes": "base64"}` · `{"@set": […]}` ·
//! `{"@map": [[key, value], …]}` · `{"@tagged": ["tag", value]}` ·
//! `{"@record": [label, field, …]}` · `{"@error": ["message", field, …]}` ·
//! `{"@ref": "object"}` or `"promise"` · `{"@sturdyref": "ocapn://…"}`
//!
//! A struct's own key that begins with `@` gets one more `@`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ocapn::Value;
use serde_json::{Map, Value as Json, json};

/// A value as JSON. Sturdyrefs show their secret only if `reveal` says so.
pub(crate) fn to_json(value: &Value, reveal: bool) -> Json {
    let all = |values: &[Value]| -> Vec<Json> {
        values.iter().map(|value| to_json(value, reveal)).collect()
    };
    match value {
        Value::Undefined | Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::BigInt(value) => json!({"@int": value.to_string()}),
        Value::Float(number) if number.is_finite() => json!(number),
        Value::Float(_) => json!({"@float": super::print(value, false)}),
        Value::String(text) => json!(text.as_str()),
        Value::Symbol(name) => json!({"@symbol": name.as_str()}),
        Value::Bytes(bytes) => json!({"@bytes": STANDARD.encode(bytes)}),
        Value::List(values) => Json::Array(all(values)),
        Value::Set(values) => json!({"@set": all(values)}),
        Value::Struct(fields) => Json::Object(
            fields
                .iter()
                .map(|(key, value)| {
                    let escape = if key.starts_with('@') { "@" } else { "" };
                    (format!("{escape}{key}"), to_json(value, reveal))
                })
                .collect::<Map<_, _>>(),
        ),
        Value::Map(entries) => {
            let pair = |(key, value): &(Value, Value)| {
                json!([to_json(key, reveal), to_json(value, reveal)])
            };
            json!({"@map": entries.iter().map(pair).collect::<Vec<_>>()})
        }
        Value::Tagged(tagged) => {
            json!({"@tagged": [tagged.tag.as_str(), to_json(&tagged.value, reveal)]})
        }
        Value::Error(error) => {
            let mut parts = vec![json!(error.message.as_str())];
            parts.extend(all(&error.fields));
            json!({"@error": parts})
        }
        Value::Record(record) => {
            let mut parts = vec![to_json(&record.label, reveal)];
            parts.extend(all(&record.fields));
            json!({"@record": parts})
        }
        Value::Sturdyref(sturdyref) if reveal => json!({"@sturdyref": sturdyref.reveal_uri()}),
        Value::Sturdyref(sturdyref) => json!({"@sturdyref": sturdyref.redacted().to_string()}),
        Value::Ref(reference) if reference.is_promise() => json!({"@ref": "promise"}),
        Value::Ref(_) => json!({"@ref": "object"}),
        other => json!({"@unknown": other.kind()}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mapping() {
        for (text, json) in [
            ("<void>", "null"),
            ("[true 5 -2.5 \"x\"]", "[true,5,-2.5,\"x\"]"),
            ("{\"a\": 1, \"@b\": 2}", "{\"a\":1,\"@@b\":2}"),
            ("name", "{\"@symbol\":\"name\"}"),
            ("98765432109876543210", "{\"@int\":\"98765432109876543210\"}"),
            ("+nan", "{\"@float\":\"+nan\"}"),
            ("0x00ff", "{\"@bytes\":\"AP8=\"}"),
            ("#{1}", "{\"@set\":[1]}"),
            ("{1: 2}", "{\"@map\":[[1,2]]}"),
            ("<desc:tagged t 1>", "{\"@tagged\":[\"t\",1]}"),
            ("<desc:error \"no\" 1>", "{\"@error\":[\"no\",1]}"),
            ("<p 1>", "{\"@record\":[{\"@symbol\":\"p\"},1]}"),
        ] {
            let value = crate::notation::parse(text, &mut |_| Err("none".into())).unwrap();
            assert_eq!(to_json(&value, false).to_string(), json, "{text}");
        }
    }
}
