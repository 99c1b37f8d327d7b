//! Text to values.

use num_bigint::BigInt;
use ocapn::{ErrorValue, Record, Tagged, Value};

use super::{MAX_DEPTH, is_word};

/// The most digits of an integer: what peers accept by default.
const MAX_DIGITS: usize = 4096;

/// Why a text is not a value, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {what}")]
pub(crate) struct NotationError {
    /// Bytes before the mistake.
    pub(crate) offset: usize,
    what: String,
}

/// Reads one value. `reference` is asked what a path after `@` stands for.
pub(crate) fn parse(
    text: &str,
    reference: &mut dyn FnMut(&str) -> Result<Value, String>,
) -> Result<Value, NotationError> {
    let mut parser = Parser { text, at: 0, depth: 0, reference };
    let value = parser.value()?;
    parser.skip_space();
    if parser.at < text.len() {
        return Err(parser.error("more than one value: quote a string as '\"…\"', or make a list"));
    }
    Ok(value)
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    reference: &'t mut dyn FnMut(&str) -> Result<Value, String>,
}

type Parsed<T> = Result<T, NotationError>;

impl<'t> Parser<'t> {
    fn error(&self, what: impl Into<String>) -> NotationError {
        Self::error_at(self.at, what)
    }

    fn error_at(offset: usize, what: impl Into<String>) -> NotationError {
        NotationError { offset, what: what.into() }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        self.at += rest.len() - trimmed.len();
    }

    fn word(&mut self, more: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !(is_word(c) && more(c))).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn value(&mut self) -> Parsed<Value> {
        self.skip_space();
        let start = self.at;
        match self.peek() {
            None => Err(self.error("a value is missing")),
            Some('"') => Ok(Value::String(self.string()?.into())),
            Some('\'') => self.symbol(|_| true),
            Some('@') => self.reference(),
            Some('[') => Ok(Value::List(self.sequence(1, ']')?)),
            Some('#') if self.rest().starts_with("#{") => Ok(Value::Set(self.sequence(2, '}')?)),
            Some('#') if self.rest().starts_with("#x\"") => self.bytes(),
            Some('#') => Err(self.error("# begins bytes, #x\"00ff\", or a set, #{1 2}")),
            Some('{') => self.entries(),
            Some('<') => self.record(),
            Some(']' | '}' | '>') => Err(self.error("there is nothing to close here")),
            Some(c) if is_word(c) => {
                let word = self.word(|_| true);
                atom(word).map_err(|what| Self::error_at(start, what))
            }
            Some(c) => Err(self.error(format!("{c:?} has no meaning here"))),
        }
    }

    fn symbol(&mut self, more: impl Fn(char) -> bool) -> Parsed<Value> {
        self.at += 1;
        if self.peek() == Some('"') {
            return Ok(Value::Symbol(self.string()?.into()));
        }
        let name = self.word(more);
        if name.is_empty() {
            return Err(Self::error_at(self.at - 1, "a symbol is missing after the quote"));
        }
        Ok(Value::Symbol(name.into()))
    }

    fn reference(&mut self) -> Parsed<Value> {
        let start = self.at;
        self.at += 1;
        let quoted;
        let path = if self.peek() == Some('"') {
            quoted = self.string()?;
            quoted.as_str()
        } else {
            let rest = self.rest();
            let ends = |c: char| {
                c.is_whitespace() || matches!(c, '[' | ']' | '{' | '}' | '<' | '>' | ',' | '"')
            };
            let end = rest.find(ends).unwrap_or(rest.len());
            self.at += end;
            rest.get(..end).unwrap_or_default()
        };
        if path.is_empty() {
            return Err(Self::error_at(start, "a file is missing after the @"));
        }
        (self.reference)(path).map_err(|what| Self::error_at(start, what))
    }

    fn string(&mut self) -> Parsed<String> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let start = self.at;
            let Some(c) = self.peek() else {
                return Err(self.error("the closing \" is missing"));
            };
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(text),
                '\\' => text.push(self.escape().ok_or_else(|| {
                    Self::error_at(start, r#"an escape is one of \n \r \t \\ \" \u{1F600}"#)
                })?),
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        match c {
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            '\\' | '"' => Some(c),
            'u' => {
                let (digits, _) = self.rest().strip_prefix('{')?.split_once('}')?;
                self.at += digits.len() + 2;
                let plain = (1..=6).contains(&digits.len());
                let code = u32::from_str_radix(digits, 16).ok().filter(|_| plain)?;
                char::from_u32(code)
            }
            _ => None,
        }
    }

    fn bytes(&mut self) -> Parsed<Value> {
        let start = self.at;
        self.at += 2;
        let digits = self.string()?;
        let pairs = digits.as_bytes().chunks(2);
        let byte = |pair: &[u8]| {
            let digit = |byte: &u8| char::from(*byte).to_digit(16);
            match pair {
                [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
                _ => None,
            }
        };
        let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
        let bytes = bytes.ok_or_else(|| {
            Self::error_at(start, "bytes are pairs of hexadecimal digits: #x\"00ff\"")
        })?;
        Ok(Value::Bytes(bytes.into()))
    }

    /// What is between an opening of `skip` bytes and `close`.
    fn sequence(&mut self, skip: usize, close: char) -> Parsed<Vec<Value>> {
        self.open(skip)?;
        let mut values = Vec::new();
        while !self.closed(close)? {
            values.push(self.value()?);
        }
        Ok(values)
    }

    fn open(&mut self, skip: usize) -> Parsed<()> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(format!("nested deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        self.at += skip;
        Ok(())
    }

    fn closed(&mut self, close: char) -> Parsed<bool> {
        self.skip_space();
        if self.at == self.text.len() {
            return Err(self.error(format!("the closing {close} is missing")));
        }
        let closed = self.take(close);
        if closed {
            self.depth -= 1;
        }
        Ok(closed)
    }

    fn entries(&mut self) -> Parsed<Value> {
        self.open(1)?;
        let mut entries: Vec<(Value, Value)> = Vec::new();
        while !self.closed('}')? {
            let start = self.at;
            let key = self.key()?;
            if entries.iter().any(|(other, _)| *other == key) {
                return Err(Self::error_at(start, "the same key twice"));
            }
            self.skip_space();
            if !self.take(':') {
                return Err(self.error("expected : after the key"));
            }
            entries.push((key, self.value()?));
        }
        if entries.iter().any(|(key, _)| key.as_str().is_none()) {
            return Ok(Value::Map(entries));
        }
        let fields = entries.into_iter();
        Ok(Value::Struct(
            fields.filter_map(|(key, value)| Some((key.as_str()?.into(), value))).collect(),
        ))
    }

    /// A key: a bare word that is no number is a string here.
    fn key(&mut self) -> Parsed<Value> {
        let start = self.at;
        match self.peek() {
            Some('\'') => self.symbol(|c| c != ':'),
            Some(c) if is_word(c) => {
                let word = self.word(|c| c != ':');
                match atom(word) {
                    Ok(number @ (Value::Int(_) | Value::BigInt(_) | Value::Float(_))) => Ok(number),
                    Ok(_) => Ok(Value::String(word.into())),
                    Err(what) => Err(Self::error_at(start, what)),
                }
            }
            _ => self.value(),
        }
    }

    fn record(&mut self) -> Parsed<Value> {
        let start = self.at;
        self.open(1)?;
        let after = self.at;
        if self.closed('>')? {
            return Err(Self::error_at(after, "a value is missing: the record's label"));
        }
        let label = self.value()?;
        let mut fields = Vec::new();
        while !self.closed('>')? {
            fields.push(self.value()?);
        }
        meaning(label, fields).map_err(|what| Self::error_at(start, what))
    }
}

/// What a record stands for.
fn meaning(label: Value, mut fields: Vec<Value>) -> Result<Value, &'static str> {
    match (label.as_symbol(), fields.as_slice()) {
        (Some("void"), []) => Ok(Value::Undefined),
        (Some("null"), []) => Ok(Value::Null),
        (Some("object" | "promise"), []) | (Some("sturdyref"), _) => {
            Err("a reference can't be typed: name its file, @counter.cap")
        }
        (Some("desc:tagged"), [Value::Symbol(tag), value]) => {
            Ok(Value::Tagged(Box::new(Tagged { tag: tag.clone(), value: value.clone() })))
        }
        (Some("desc:error"), [Value::String(message), ..]) => {
            let message = message.clone();
            fields.remove(0);
            Ok(Value::Error(Box::new(ErrorValue { message, fields, label: None })))
        }
        _ => Ok(Value::Record(Box::new(Record { label, fields }))),
    }
}

/// A bare word: a boolean, a number or a symbol.
fn atom(word: &str) -> Result<Value, String> {
    match word {
        "true" => return Ok(Value::Bool(true)),
        "false" => return Ok(Value::Bool(false)),
        "+inf.0" => return Ok(Value::Float(f64::INFINITY)),
        "-inf.0" => return Ok(Value::Float(f64::NEG_INFINITY)),
        "+nan.0" => return Ok(Value::Float(f64::NAN)),
        _ => {}
    }
    if super::is_bare_symbol(word) {
        return Ok(Value::Symbol(word.into()));
    }
    let digits = word.strip_prefix(['+', '-']).unwrap_or(word);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        if digits.len() > MAX_DIGITS {
            return Err(format!("an integer of more than {MAX_DIGITS} digits"));
        }
        return word.parse::<BigInt>().map(Value::from).map_err(|error| error.to_string());
    }
    let decimal = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    let number = word.parse::<f64>().ok();
    number
        .filter(|number| number.is_finite() && word.bytes().all(decimal))
        .map(Value::Float)
        .ok_or_else(|| {
            format!("{word:?} is not a number; quote it to make it a symbol ('\"…\") or a string")
        })
}
