//! The printer, on one line or many.

use std::fmt::{self, Write};

use num_bigint::BigInt;

use crate::text::lexer::is_word;
use crate::value::Value;

/// The NaN that is written without its bits.
pub(super) const NAN_F64: u64 = 0x7ff8_0000_0000_0000;
pub(super) const NAN_F32: u32 = 0x7fc0_0000;

/// The containers that a [`Printer`] opens and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// `[…]`
    List,
    /// `{…}`; keys and values follow in turn.
    Dict,
    /// `#{…}`
    Set,
    /// `<…>`; the label follows, then the fields.
    Record,
}

impl Container {
    const fn brackets(self) -> (&'static str, &'static str) {
        match self {
            Self::List => ("[", "]"),
            Self::Dict => ("{", "}"),
            Self::Set => ("#{", "}"),
            Self::Record => ("<", ">"),
        }
    }
}

/// Writes the [notation](crate::text), a token at a time.
///
/// ```
/// use syrup::text::{Container, Printer};
///
/// let mut out = Printer::compact();
/// out.begin(Container::Record);
/// out.symbol("greet");
/// out.string("ada");
/// out.reference("alice.cap");
/// out.end();
/// assert_eq!(out.finish(), r#"<'greet "ada" @alice.cap>"#);
/// ```
#[derive(Clone, Debug)]
pub struct Printer {
    /// Lines are broken where they would be wider than this.
    width: usize,
    /// Open containers with their printed parts; the outermost is only a place for the
    /// value.
    open: Vec<(Container, Vec<String>)>,
}

impl Printer {
    /// Prints on one line.
    #[must_use]
    pub fn compact() -> Self {
        Self::pretty(usize::MAX)
    }

    /// Prints containers that are wider than `width` characters one part a line.
    #[must_use]
    pub fn pretty(width: usize) -> Self {
        Self { width, open: vec![(Container::List, Vec::new())] }
    }

    /// What has been printed; several values stand side by side.
    #[must_use]
    pub fn finish(mut self) -> String {
        while self.open.len() > 1 {
            self.end();
        }
        self.open.pop().map_or_else(String::new, |(_, parts)| parts.join(" "))
    }

    /// A boolean.
    pub fn bool(&mut self, value: bool) {
        self.part(value.to_string());
    }

    /// An integer.
    pub fn int(&mut self, value: i64) {
        self.part(value.to_string());
    }

    /// An integer of any size.
    pub fn bigint(&mut self, value: &BigInt) {
        self.part(value.to_string());
    }

    /// A single-precision float.
    pub fn f32(&mut self, value: f32) {
        let bits = value.to_bits();
        self.part(match bits {
            NAN_F32 => "+nan_f32".to_owned(),
            _ if value.is_nan() => format!("+nan:{bits:08x}_f32"),
            _ if value.is_infinite() => format!("{value:+}_f32"),
            _ => format!("{value:?}_f32"),
        });
    }

    /// A double-precision float.
    pub fn f64(&mut self, value: f64) {
        let bits = value.to_bits();
        self.part(match bits {
            NAN_F64 => "+nan".to_owned(),
            _ if value.is_nan() => format!("+nan:{bits:016x}"),
            _ if value.is_infinite() => format!("{value:+}"),
            _ => format!("{value:?}"),
        });
    }

    /// A byte array: as characters when all are plain ASCII, else in hex.
    pub fn bytes(&mut self, value: &[u8]) {
        let plain = |byte: &u8| (b' '..=b'~').contains(byte);
        let mut part = String::new();
        if !value.is_empty() && value.iter().all(plain) {
            part.push('b');
            let text: String = value.iter().copied().map(char::from).collect();
            quote(&mut part, &text);
        } else {
            part.push_str("0x");
            for byte in value {
                // Writing to a string can't fail.
                let _ = write!(part, "{byte:02x}");
            }
        }
        self.part(part);
    }

    /// A string.
    pub fn string(&mut self, value: &str) {
        let mut part = String::new();
        quote(&mut part, value);
        self.part(part);
    }

    /// A symbol.
    pub fn symbol(&mut self, value: &str) {
        self.name('\'', value);
    }

    /// A reference, by whatever name the reader knows.
    pub fn reference(&mut self, name: &str) {
        self.name('@', name);
    }

    /// Opens a container.
    pub fn begin(&mut self, container: Container) {
        self.open.push((container, Vec::new()));
    }

    /// Closes the innermost container, if one is open.
    pub fn end(&mut self) {
        if self.open.len() < 2 {
            return;
        }
        let Some((container, parts)) = self.open.pop() else {
            return;
        };
        let (open, close) = container.brackets();
        let (parts, separator) = match container {
            Container::Dict => (entries(&parts), ", "),
            _ => (parts, " "),
        };
        let width: usize = parts.iter().map(|part| part.chars().count() + 2).sum();
        let whole = width <= self.width && !parts.iter().any(|part| part.contains('\n'));
        if whole || parts.is_empty() {
            self.part(format!("{open}{}{close}", parts.join(separator)));
            return;
        }
        let mut text = open.to_owned();
        for (index, part) in parts.iter().enumerate() {
            let label = container == Container::Record && index == 0 && !part.contains('\n');
            if !label {
                text.push_str("\n  ");
            }
            text.push_str(&part.replace('\n', "\n  "));
            if container == Container::Dict {
                text.push(',');
            }
        }
        text.push('\n');
        text.push_str(close);
        self.part(text);
    }

    /// A value, with all that is in it.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Bool(value) => self.bool(*value),
            Value::Int(value) => self.int(*value),
            Value::BigInt(value) => self.bigint(value),
            Value::F32(value) => self.f32(*value),
            Value::F64(value) => self.f64(*value),
            Value::Bytes(value) => self.bytes(value),
            Value::String(value) => self.string(value),
            Value::Symbol(value) => self.symbol(value),
            Value::List(items) => {
                self.begin(Container::List);
                items.iter().for_each(|item| self.value(item));
                self.end();
            }
            Value::Dict(dict) => {
                self.begin(Container::Dict);
                for (key, value) in dict.iter() {
                    self.value(key);
                    self.value(value);
                }
                self.end();
            }
            Value::Set(set) => {
                self.begin(Container::Set);
                set.iter().for_each(|member| self.value(member));
                self.end();
            }
            Value::Record(record) => {
                self.begin(Container::Record);
                self.value(record.label());
                record.fields().iter().for_each(|field| self.value(field));
                self.end();
            }
        }
    }

    fn part(&mut self, part: String) {
        if let Some((_, parts)) = self.open.last_mut() {
            parts.push(part);
        }
    }

    fn name(&mut self, mark: char, name: &str) {
        let mut part = String::from(mark);
        if is_word(name) {
            part.push_str(name);
        } else {
            quote(&mut part, name);
        }
        self.part(part);
    }
}

/// Keys joined with their values. A reference or symbol may not run into the colon's
/// far side, hence the space.
fn entries(parts: &[String]) -> Vec<String> {
    let entry = |pair: &[String]| pair.join(": ");
    parts.chunks(2).map(entry).collect()
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0' => out.push_str("\\0"),
            _ if hidden(character) => {
                // Writing to a string can't fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

/// Characters that a terminal would act on or that change how others are shown: what
/// is printed comes from peers.
pub(super) fn hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// The [notation](crate::text) on one line; with `{:#}`, broken at 80 columns.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = if f.alternate() { Printer::pretty(80) } else { Printer::compact() };
        out.value(self);
        f.write_str(&out.finish())
    }
}
