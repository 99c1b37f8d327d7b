//! Syrup as text, for people: what is printed, what a command line takes.
//!
//! ```text
//! value      = boolean | integer | float | bytes | string | symbol
//!            | list | set | dictionary | record | reference
//! boolean    = "true" | "false"
//! integer    = ["+" | "-"] digits                          42  -7
//! float      = (["+" | "-"] decimal | special) ["_f32"]    1.5  -2e10  1.5_f32
//! decimal    = digits "." digits [exponent] | digits exponent
//! exponent   = ("e" | "E") ["+" | "-"] digits
//! special    = "+inf" | "-inf" | "+nan" [":" bits]         bits: all of them, in hex
//! bytes      = "0x" {hex hex}                              0x68690a  0x
//!            | 'b"' {character | escape} '"'               b"hi\n"  b"\xff"
//! string     = '"' {character | escape} '"'                "two words"
//! symbol     = "'" word | "'" string                       'fetch  '"two words"
//! list       = "[" {value [","]} "]"                       [1 2 3]
//! set        = "#{" {value [","]} "}"                      #{1 2 3}
//! dictionary = "{" {value ":" value [","]} "}"             {"a": 1, 'b: 2}
//! record     = "<" label {value [","]} ">"                 <'point 3 -4>
//! label      = value
//! reference  = "@" word | "@" string                       @counter.cap
//! escape     = \" \\ \n \r \t \0  \u{HEX} (strings)  \xHH (bytes)
//! ```
//!
//! - Space between values is needed only where they would run together. Commas may
//!   follow elements and entries, and mean nothing.
//! - A *word* is any characters but white space, invisible ones and
//!   ``" ' ` \ ( ) [ ] { } < > , ;``. A colon belongs to a word only when one of the
//!   word's characters follows it: `'op:deliver` is one word, `{'a: 1}` has the key `a`.
//! - A number without `_f32` and with a point or an exponent is a double-precision
//!   float; `0x` begins bytes, never an integer.
//! - On a *command line* ([`parse_argument`]) a bare word is a symbol too, anywhere in
//!   the value, unless it is `true`, `false`, or begins like a number: `increment`,
//!   `<op:abort "why">`. The printer never relies on that.
//! - A reference means what the [`Build`] at hand makes of it; plain [`Value`]s have
//!   none.
//!
//! What is printed parses to the same value again:
//!
//! ```
//! use syrup::{Value, text};
//!
//! let value = text::parse(r#"<'point {"x": 3, "y": -4.5} [true 0xff "hi"]>"#)?;
//! assert_eq!(text::parse(&value.to_string())?, value);
//! assert_eq!(text::parse_argument("increment")?, Value::symbol("increment"));
//! # Ok::<_, text::ParseError>(())
//! ```

mod build;
mod lexer;
mod parse;
mod print;

pub use build::{Build, Values};
pub use parse::{ParseError, Syntax, parse, parse_argument, parse_with};
pub use print::{Container, Printer};

#[cfg(doc)]
use crate::Value;

/// Whether a character may stand in a word.
fn in_word(character: char) -> bool {
    !character.is_whitespace()
        && !print::hidden(character)
        && !matches!(
            character,
            '"' | '\'' | '`' | '\\' | '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | ',' | ';'
        )
}

/// How many bytes of the word at the front of `text`.
fn word_length(text: &str) -> usize {
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        let ends = match character {
            ':' => !next.is_some_and(|next| next != ':' && in_word(next)),
            other => !in_word(other),
        };
        if ends {
            return at;
        }
    }
    text.len()
}
