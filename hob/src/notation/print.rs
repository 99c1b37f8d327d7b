//! Values as text.

use ocapn::Value;
use ocapn::text::{Container, Printer};

/// A value in the notation. Sturdyrefs show their secret only if `reveal` says so.
pub(crate) fn print(value: &Value, reveal: bool) -> String {
    let mut out = Printer::compact();
    put(&mut out, value, reveal);
    out.finish()
}

fn put(out: &mut Printer, value: &Value, reveal: bool) {
    match value {
        Value::Undefined => record(out, "void", |_| ()),
        Value::Null => record(out, "null", |_| ()),
        Value::Bool(value) => out.bool(*value),
        Value::Int(value) => out.int(*value),
        Value::BigInt(value) => out.bigint(value),
        Value::Float(value) => out.f64(*value),
        Value::String(text) => out.string(text),
        Value::Symbol(name) => out.symbol(name),
        Value::Bytes(bytes) => out.bytes(bytes),
        Value::List(values) => {
            out.begin(Container::List);
            all(out, values, reveal);
        }
        Value::Set(values) => {
            out.begin(Container::Set);
            all(out, values, reveal);
        }
        Value::Struct(fields) => {
            out.begin(Container::Dict);
            for (key, value) in fields {
                out.string(key);
                put(out, value, reveal);
            }
            out.end();
        }
        Value::Map(entries) => {
            out.begin(Container::Dict);
            for (key, value) in entries {
                put(out, key, reveal);
                put(out, value, reveal);
            }
            out.end();
        }
        Value::Tagged(tagged) => record(out, "desc:tagged", |out| {
            out.symbol(&tagged.tag);
            put(out, &tagged.value, reveal);
        }),
        Value::Error(error) => record(out, "desc:error", |out| {
            out.string(&error.message);
            error.fields.iter().for_each(|field| put(out, field, reveal));
        }),
        Value::Record(record) => {
            out.begin(Container::Record);
            put(out, &record.label, reveal);
            all(out, &record.fields, reveal);
        }
        Value::Sturdyref(sturdyref) => record(out, "sturdyref", |out| {
            if reveal {
                out.string(&sturdyref.reveal_uri());
            } else {
                out.string(&sturdyref.redacted().to_string());
            }
        }),
        Value::Ref(reference) if reference.is_promise() => record(out, "promise", |_| ()),
        Value::Ref(_) => record(out, "object", |_| ()),
        other => record(out, "unknown", |out| out.string(other.kind())),
    }
}

/// The rest of an open container.
fn all(out: &mut Printer, values: &[Value], reveal: bool) {
    values.iter().for_each(|value| put(out, value, reveal));
    out.end();
}

fn record(out: &mut Printer, label: &str, fields: impl FnOnce(&mut Printer)) {
    out.begin(Container::Record);
    out.symbol(label);
    fields(out);
    out.end();
}
