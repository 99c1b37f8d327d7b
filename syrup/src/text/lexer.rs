//! The parser's words: numbers, texts, bytes.

use num_bigint::BigInt;

use crate::text::parse::{ParseError, Syntax};
use crate::text::{in_word, word_length};

pub(super) enum Atom {
    Bool(bool),
    Int(BigInt),
    F32(f32),
    F64(f64),
    Bytes(Vec<u8>),
    String(String),
    Symbol(String),
    Reference(String),
}

pub(super) struct Lexer<'t> {
    text: &'t str,
    position: usize,
    syntax: Syntax,
}

impl<'t> Lexer<'t> {
    pub(super) const fn new(text: &'t str, syntax: &Syntax) -> Self {
        Self { text, position: 0, syntax: *syntax }
    }

    pub(super) const fn position(&self) -> usize {
        self.position
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.position..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn skip_space(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start().len();
    }

    pub(super) fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.position += wanted.len_utf8();
        }
        found
    }

    /// Skips a comma if there is one.
    pub(super) fn comma(&mut self) {
        self.skip_space();
        self.take(',');
    }

    /// The opening bracket that stands here.
    pub(super) fn open(&mut self) -> Option<&'static str> {
        let bracket = ["[", "#{", "{", "<"];
        let found = bracket.into_iter().find(|bracket| self.rest().starts_with(bracket))?;
        self.position += found.len();
        Some(found)
    }

    /// The value that stands here and is not a container.
    pub(super) fn atom(&mut self) -> Result<Atom, ParseError> {
        let at = self.position;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Err(ParseError::new(at, "a value is wanted here"));
        };
        match first {
            '"' => self.string().map(Atom::String),
            'b' if rest.starts_with("b\"") => {
                self.position += 1;
                self.byte_string().map(Atom::Bytes)
            }
            '\'' => self.name("a symbol's name").map(Atom::Symbol),
            '@' => self.name("a reference's name").map(Atom::Reference),
            _ => {
                let word = rest.get(..word_length(rest)).unwrap_or_default();
                self.position += word.len();
                self.word(word, at)
            }
        }
    }

    /// What a bare word at `at` means.
    fn word(&self, word: &str, at: usize) -> Result<Atom, ParseError> {
        let error = |message: String| Err(ParseError::new(at, message));
        let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
        match word {
            "" => return error(format!("{:?} can't begin a value", self.unexpected(at))),
            "true" => return Ok(Atom::Bool(true)),
            "false" => return Ok(Atom::Bool(false)),
            _ => {}
        }
        if let Some(hex) = word.strip_prefix("0x") {
            return match unhex(hex) {
                Some(bytes) => Ok(Atom::Bytes(bytes)),
                None => error(format!("{word} is not bytes: 0x and pairs of hex digits")),
            };
        }
        if let Some(atom) = special(word) {
            return Ok(atom);
        }
        if unsigned.starts_with(|first: char| first.is_ascii_digit()) {
            return match self.number(word, unsigned) {
                Ok(atom) => Ok(atom),
                Err(message) => error(message),
            };
        }
        if self.syntax.bare_words {
            return Ok(Atom::Symbol(word.to_owned()));
        }
        error(format!("{word} is not a value: write '{word} or \"{word}\""))
    }

    fn unexpected(&self, at: usize) -> char {
        let rest = self.text.get(at..).unwrap_or_default();
        rest.chars().next().unwrap_or_default()
    }

    fn number(&self, word: &str, unsigned: &str) -> Result<Atom, String> {
        if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
            let limit = self.syntax.int_digits;
            if unsigned.len() > limit {
                return Err(format!("number of more than {limit} digits"));
            }
            let number = word.parse().map_err(|_| format!("{word} is no integer"))?;
            return Ok(Atom::Int(number));
        }
        let refused = || format!("{word} is not a number: quote it to make it a string or symbol");
        let (single, digits) = match unsigned.strip_suffix("_f32") {
            Some(digits) => (true, digits),
            None => (false, unsigned),
        };
        if !is_decimal(digits) {
            return Err(refused());
        }
        let number = word.strip_suffix("_f32").unwrap_or(word);
        if single {
            number.parse().map(Atom::F32).map_err(|_| refused())
        } else {
            number.parse().map(Atom::F64).map_err(|_| refused())
        }
    }

    /// What follows a mark: a word or a quoted text.
    fn name(&mut self, what: &str) -> Result<String, ParseError> {
        self.position += 1;
        if self.peek() == Some('"') {
            return self.string();
        }
        let rest = self.rest();
        let word = rest.get(..word_length(rest)).unwrap_or_default();
        if word.is_empty() {
            return Err(ParseError::new(self.position, format!("{what} is wanted here")));
        }
        self.position += word.len();
        Ok(word.to_owned())
    }

    /// A string, from its opening quote on.
    fn string(&mut self) -> Result<String, ParseError> {
        let mut text = String::new();
        self.quoted(|lexer, character, escaped, at| {
            text.push(match (escaped, character) {
                (true, 'u') => lexer.code_point(at)?,
                (true, other) => simple_escape(other, at)?,
                (false, other) => other,
            });
            Ok(())
        })?;
        Ok(text)
    }

    /// Bytes, from the opening quote on.
    fn byte_string(&mut self) -> Result<Vec<u8>, ParseError> {
        let mut bytes = Vec::new();
        self.quoted(|lexer, character, escaped, at| {
            if !character.is_ascii() {
                let message = "bytes hold ASCII characters; write others as \\xHH";
                return Err(ParseError::new(at, message));
            }
            let character = match (escaped, character) {
                (true, 'x') => {
                    let hex = lexer.rest().get(..2).and_then(unhex);
                    let hex = hex.ok_or_else(|| ParseError::new(at, "\\x and two hex digits"))?;
                    lexer.position += 2;
                    bytes.extend(hex);
                    return Ok(());
                }
                (true, other) => simple_escape(other, at)?,
                (false, other) => other,
            };
            bytes.extend(u8::try_from(character));
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Gives the characters between quotes to `take`, with whether a backslash stands
    /// before each and where it is.
    fn quoted(
        &mut self,
        mut take: impl FnMut(&mut Self, char, bool, usize) -> Result<(), ParseError>,
    ) -> Result<(), ParseError> {
        let open = self.position;
        self.position += 1;
        loop {
            let at = self.position;
            let unclosed = || ParseError::new(open, "no '\"' closes this");
            let mut character = self.peek().ok_or_else(unclosed)?;
            self.position += character.len_utf8();
            let escaped = character == '\\';
            if character == '"' {
                return Ok(());
            }
            if escaped {
                character = self.peek().ok_or_else(unclosed)?;
                self.position += character.len_utf8();
            }
            take(self, character, escaped, at)?;
        }
    }

    /// `{HEX}`, after `\u` at `at`.
    fn code_point(&mut self, at: usize) -> Result<char, ParseError> {
        let hex = self.rest().strip_prefix('{');
        let hex = hex.and_then(|hex| hex.split_once('}')).map(|(hex, _)| hex);
        let valid = |hex: &&str| !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
        let character = hex
            .filter(valid)
            .and_then(|hex| u32::from_str_radix(hex, 16).ok())
            .and_then(char::from_u32);
        match (hex, character) {
            (Some(hex), Some(character)) => {
                self.position += hex.len() + 2;
                Ok(character)
            }
            _ => Err(ParseError::new(at, "\\u{HEX} of a Unicode character")),
        }
    }
}

fn simple_escape(character: char, at: usize) -> Result<char, ParseError> {
    match character {
        '"' | '\\' => Ok(character),
        'n' => Ok('\n'),
        'r' => Ok('\r'),
        't' => Ok('\t'),
        '0' => Ok('\0'),
        _ => Err(ParseError::new(at, format!("no escape: \\{character}"))),
    }
}

/// Infinities and NaNs.
fn special(word: &str) -> Option<Atom> {
    let (single, name) = match word.strip_suffix("_f32") {
        Some(name) => (true, name),
        None => (false, word),
    };
    let double = match name {
        "+inf" => f64::INFINITY,
        "-inf" => f64::NEG_INFINITY,
        "+nan" if single => return Some(Atom::F32(f32::from_bits(super::print::NAN_F32))),
        "+nan" => f64::from_bits(super::print::NAN_F64),
        _ => {
            let bits = unhex(name.strip_prefix("+nan:")?)?;
            return if single {
                let float = f32::from_be_bytes(bits.try_into().ok()?);
                float.is_nan().then_some(Atom::F32(float))
            } else {
                let float = f64::from_be_bytes(bits.try_into().ok()?);
                float.is_nan().then_some(Atom::F64(float))
            };
        }
    };
    #[allow(clippy::cast_possible_truncation, reason = "infinities only")]
    Some(if single { Atom::F32(double as f32) } else { Atom::F64(double) })
}

/// `digits "." digits [exponent] | digits exponent`, or plain digits: a suffix has
/// told floats apart by then.
fn is_decimal(text: &str) -> bool {
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let exponent = exponent.map(|text| text.strip_prefix(['+', '-']).unwrap_or(text));
    exponent.is_none_or(all_digits)
        && match mantissa.split_once('.') {
            Some((whole, part)) => all_digits(whole) && all_digits(part),
            None => all_digits(mantissa),
        }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok();
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

/// Whether a text can be written as a word after a mark.
pub(super) fn is_word(text: &str) -> bool {
    text.starts_with(in_word) && word_length(text) == text.len()
}
