//! Values as text.

use std::fmt::Write as _;

use ocapn::Value;

use super::is_bare_symbol;

/// A value in the notation. Sturdyrefs show their secret only if `reveal` says so.
pub(crate) fn print(value: &Value, reveal: bool) -> String {
    let mut printer = Printer { out: String::new(), reveal };
    printer.value(value);
    printer.out
}

struct Printer {
    out: String,
    reveal: bool,
}

impl Printer {
    fn value(&mut self, value: &Value) {
        match value {
            Value::Undefined => self.out.push_str("<void>"),
            Value::Null => self.out.push_str("<null>"),
            Value::Bool(value) => self.show(value),
            Value::Int(value) => self.show(value),
            Value::BigInt(value) => self.show(value),
            Value::Float(value) => self.float(*value),
            Value::String(text) => self.quoted(text),
            Value::Symbol(name) => self.symbol(name),
            Value::Bytes(bytes) => {
                self.out.push_str("#x\"");
                for byte in bytes {
                    self.show(format_args!("{byte:02x}"));
                }
                self.out.push('"');
            }
            Value::List(values) => self.sequence("[", values, "]"),
            Value::Set(values) => self.sequence("#{", values, "}"),
            Value::Struct(fields) => self.entries(fields, |this, key| {
                if is_bare_symbol(key) && !key.contains(':') {
                    this.out.push_str(key);
                } else {
                    this.quoted(key);
                }
            }),
            Value::Map(entries) => self.entries(entries, |this, key| match key {
                // A bare word would be read as a string here, and its colon as the end.
                Value::Symbol(name) if is_bare_symbol(name) && !name.contains(':') => {
                    this.out.push('\'');
                    this.out.push_str(name);
                }
                Value::Symbol(name) => {
                    this.out.push('\'');
                    this.quoted(name);
                }
                other => this.value(other),
            }),
            Value::Tagged(tagged) => {
                self.out.push_str("<desc:tagged ");
                self.symbol(&tagged.tag);
                self.out.push(' ');
                self.value(&tagged.value);
                self.out.push('>');
            }
            Value::Error(error) => {
                self.out.push_str("<desc:error ");
                self.quoted(&error.message);
                self.rest(&error.fields);
            }
            Value::Record(record) => {
                self.out.push('<');
                self.value(&record.label);
                self.rest(&record.fields);
            }
            Value::Sturdyref(sturdyref) if self.reveal => {
                self.show(format_args!("<sturdyref {}>", sturdyref.reveal_uri()));
            }
            Value::Sturdyref(sturdyref) => {
                self.show(format_args!("<sturdyref {}>", sturdyref.redacted()));
            }
            Value::Ref(reference) if reference.is_promise() => self.out.push_str("<promise>"),
            Value::Ref(_) => self.out.push_str("<object>"),
            other => self.show(format_args!("<unknown {}>", other.kind())),
        }
    }

    fn show(&mut self, value: impl std::fmt::Display) {
        let _writing_to_a_string_succeeds = write!(self.out, "{value}");
    }

    fn float(&mut self, value: f64) {
        if value.is_nan() {
            self.out.push_str("+nan.0");
        } else if value.is_infinite() {
            self.out.push_str(if value > 0.0 { "+inf.0" } else { "-inf.0" });
        } else {
            self.show(format_args!("{value:?}"));
        }
    }

    fn symbol(&mut self, name: &str) {
        if is_bare_symbol(name) {
            self.out.push_str(name);
        } else {
            self.out.push('\'');
            if name.chars().all(super::is_word) && !name.is_empty() && !is_number_like(name) {
                self.out.push_str(name);
            } else {
                self.quoted(name);
            }
        }
    }

    fn quoted(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                // A peer's text must not steer our terminal.
                c if c.is_control() || is_invisible(c) => {
                    self.show(format_args!("\\u{{{:x}}}", u32::from(c)));
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    fn sequence(&mut self, open: &str, values: &[Value], close: &str) {
        self.out.push_str(open);
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.out.push(' ');
            }
            self.value(value);
        }
        self.out.push_str(close);
    }

    fn entries<K>(&mut self, entries: &[(K, Value)], key: impl Fn(&mut Self, &K)) {
        self.out.push('{');
        for (index, (name, value)) in entries.iter().enumerate() {
            if index > 0 {
                self.out.push(' ');
            }
            key(self, name);
            self.out.push_str(": ");
            self.value(value);
        }
        self.out.push('}');
    }

    /// The further fields of a record, and its end.
    fn rest(&mut self, fields: &[Value]) {
        for field in fields {
            self.out.push(' ');
            self.value(field);
        }
        self.out.push('>');
    }
}

fn is_number_like(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
}

/// Characters that change the order or place of the text around them.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
