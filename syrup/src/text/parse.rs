//! The parser: brackets and what stands in them.

use crate::options::Limits;
use crate::text::build::{Build, Values};
use crate::text::lexer::{Atom, Lexer};
use crate::value::{MAX_TREE_DEPTH, Value};

/// Text that is not what the [notation](crate::text) allows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at byte {offset}")]
pub struct ParseError {
    /// Where, in bytes from the start of the text.
    pub offset: usize,
    /// What is wrong, for people.
    pub message: String,
}

impl ParseError {
    pub(super) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into() }
    }
}

/// What is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syntax {
    /// Whether a bare word is a symbol, as on a command line. Off by default.
    pub bare_words: bool,
    /// Most brackets inside each other. Default 128; never more than
    /// [`MAX_TREE_DEPTH`].
    pub depth: usize,
    /// Most digits in an integer. Default 4,096.
    pub int_digits: usize,
}

impl Default for Syntax {
    fn default() -> Self {
        let limits = Limits::default();
        Self { bare_words: false, depth: limits.depth, int_digits: limits.int_digits }
    }
}

/// Reads one value.
///
/// # Errors
///
/// If the text is not exactly one value.
pub fn parse(text: &str) -> Result<Value, ParseError> {
    parse_with(text, &Syntax::default(), &mut Values)
}

/// Reads one value as on a command line, where a bare word is a symbol.
///
/// # Errors
///
/// If the text is not exactly one value.
pub fn parse_argument(text: &str) -> Result<Value, ParseError> {
    let syntax = Syntax { bare_words: true, ..Syntax::default() };
    parse_with(text, &syntax, &mut Values)
}

/// Reads one value of whatever type `build` makes.
///
/// # Errors
///
/// If the text is not exactly one value, or `build` refuses a part of it.
pub fn parse_with<B: Build>(
    text: &str,
    syntax: &Syntax,
    build: &mut B,
) -> Result<B::Value, ParseError> {
    let mut parser = Parser {
        lexer: Lexer::new(text, syntax),
        depth: 0,
        max_depth: syntax.depth.min(MAX_TREE_DEPTH),
        build,
    };
    let value = parser.value()?;
    parser.lexer.skip_space();
    match parser.lexer.peek() {
        None => Ok(value),
        Some(_) => Err(parser.error("something follows the value")),
    }
}

type Entries<T> = Vec<(T, T)>;

struct Parser<'t, 'b, B> {
    lexer: Lexer<'t>,
    depth: usize,
    max_depth: usize,
    build: &'b mut B,
}

impl<B: Build> Parser<'_, '_, B> {
    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::new(self.lexer.position(), message)
    }

    fn value(&mut self) -> Result<B::Value, ParseError> {
        self.lexer.skip_space();
        let at = self.lexer.position();
        let made = match self.lexer.open() {
            Some(bracket) => {
                self.depth += 1;
                if self.depth > self.max_depth {
                    let message = format!("nested deeper than {}", self.max_depth);
                    return Err(ParseError::new(at, message));
                }
                let made = self.container(bracket, at)?;
                self.depth -= 1;
                made
            }
            None => match self.lexer.atom()? {
                Atom::Bool(value) => self.build.bool(value),
                Atom::Int(value) => self.build.int(value),
                Atom::F32(value) => self.build.f32(value),
                Atom::F64(value) => self.build.f64(value),
                Atom::Bytes(value) => self.build.bytes(value),
                Atom::String(value) => self.build.string(value),
                Atom::Symbol(value) => self.build.symbol(value),
                Atom::Reference(name) => self.build.reference(&name),
            },
        };
        made.map_err(|message| ParseError::new(at, message))
    }

    /// The rest of a container that was opened at `at`.
    fn container(
        &mut self,
        bracket: &str,
        at: usize,
    ) -> Result<Result<B::Value, String>, ParseError> {
        Ok(match bracket {
            "[" => {
                let items = self.items(']', at)?;
                self.build.list(items)
            }
            "#{" => {
                let members = self.items('}', at)?;
                self.build.set(members)
            }
            "{" => {
                let entries = self.entries(at)?;
                self.build.dict(entries)
            }
            _ => {
                if self.closes('>', at)? {
                    return Err(ParseError::new(at, "a record needs a label"));
                }
                let label = self.value()?;
                self.lexer.comma();
                let fields = self.items('>', at)?;
                self.build.record(label, fields)
            }
        })
    }

    fn items(&mut self, close: char, at: usize) -> Result<Vec<B::Value>, ParseError> {
        let mut items = Vec::new();
        while !self.closes(close, at)? {
            items.push(self.value()?);
            self.lexer.comma();
        }
        Ok(items)
    }

    fn entries(&mut self, at: usize) -> Result<Entries<B::Value>, ParseError> {
        let mut entries = Vec::new();
        while !self.closes('}', at)? {
            let key = self.value()?;
            self.lexer.skip_space();
            if !self.lexer.take(':') {
                return Err(self.error("a key is followed by ':' and a value"));
            }
            entries.push((key, self.value()?));
            self.lexer.comma();
        }
        Ok(entries)
    }

    /// Whether the container opened at `at` ends here.
    fn closes(&mut self, close: char, at: usize) -> Result<bool, ParseError> {
        self.lexer.skip_space();
        match self.lexer.peek() {
            None => Err(ParseError::new(at, format!("no '{close}' closes this"))),
            Some(next) if next == close => Ok(self.lexer.take(close)),
            Some(']' | '}' | '>') => Err(self.error(format!("'{close}' is wanted here"))),
            Some(_) => Ok(false),
        }
    }
}
