//! JSON for programs: each document says which version of its shape it has. Within a
//! version keys may come, and none goes or changes its meaning.

use serde_json::{Map, Value, json};

/// The version of all documents.
pub(crate) const VERSION: u64 = 1;

/// A document with the fields of an object, and the version before them.
pub(crate) fn document(fields: Value) -> Value {
    let mut document = Map::new();
    document.insert("version".to_owned(), json!(VERSION));
    match fields {
        Value::Object(fields) => document.extend(fields),
        other => drop(document.insert("value".to_owned(), other)),
    }
    Value::Object(document)
}

/// Prints a document over several lines.
pub(crate) fn print(fields: Value) -> anyhow::Result<()> {
    super::line(&serde_json::to_string_pretty(&document(fields))?)
}

/// Prints a document in one line, one of many: NDJSON.
pub(crate) fn print_line(fields: Value) -> anyhow::Result<()> {
    super::line(&document(fields).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_comes_first() {
        assert_eq!(document(json!({"b": 1, "a": 2})).to_string(), r#"{"version":1,"b":1,"a":2}"#);
        assert_eq!(document(json!([1])).to_string(), r#"{"version":1,"value":[1]}"#);
    }
}
