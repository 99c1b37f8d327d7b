//! The text notation in which people write arguments and read results.
//!
//! | what | written |
//! |---|---|
//! | integer, any size | `42` `-7` |
//! | float | `3.14` `1e9` `+inf.0` `-inf.0` `+nan.0` |
//! | boolean | `true` `false` |
//! | string | `"hi"`, with `\n \r \t \\ \" \u{1F600}` |
//! | symbol | `increment` or `'increment`; `'"with spaces"`, `'true` |
//! | bytes, in hexadecimal | `#x"00ff"` |
//! | list | `[1 2 3]`; commas are spaces |
//! | struct | `{name: "db" size: 3}`; a key is a bare word or a string |
//! | map | a struct with other keys: `{'a: 1, 2: 3}` |
//! | set | `#{1 2}` |
//! | record | `<point 1 2>` |
//! | nothing, null | `<void>` `<null>` |
//! | tagged value | `<desc:tagged dollars 5>` |
//! | error | `<desc:error "what went wrong">` |
//! | reference, as an argument | `@counter.cap` or `@"my counter.cap"` |
//! | reference, in a result | `<object>` or `<promise>`, which can't be typed back |
//! | sturdyref, in a result | `<sturdyref ocapn://…>`, its secret cut short |
//!
//! What [`print`](print()) writes, [`parse()`] reads back, but for references and
//! sturdyrefs.

pub(crate) mod json;
mod parse;
mod print;

pub(crate) use parse::{NotationError, parse};
pub(crate) use print::print;

/// The deepest nesting that is read.
const MAX_DEPTH: usize = 64;

/// Whether a character may be part of a bare word.
const fn is_word(c: char) -> bool {
    !c.is_whitespace()
        && !matches!(
            c,
            '[' | ']'
                | '{'
                | '}'
                | '<'
                | '>'
                | '('
                | ')'
                | '"'
                | '\''
                | '@'
                | '#'
                | ','
                | ';'
                | '\\'
        )
}

/// Whether a text, written bare, is read as that symbol and nothing else.
fn is_bare_symbol(text: &str) -> bool {
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return false;
    };
    let digit_next = chars.next().is_some_and(|c| c.is_ascii_digit());
    let number = first.is_ascii_digit() || (matches!(first, '+' | '-' | '.') && digit_next);
    text.chars().all(|c| is_word(c) && !c.is_control())
        && !number
        && !matches!(text, "true" | "false" | "+inf.0" | "-inf.0" | "+nan.0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocapn::Value;

    /// Read and written the same, both ways.
    const SAME: &[&str] = &[
        "42",
        "-7",
        "123456789012345678901234567890",
        "3.5",
        "1000000000.0",
        "+inf.0",
        "-inf.0",
        "+nan.0",
        "true",
        "false",
        "\"hi\"",
        "\"line\\n \\\"quoted\\\" \\\\ \\t \\u{7}é\"",
        "increment",
        "'true",
        "'\"with spaces\"",
        "'\"\"",
        "'\"12\"",
        "+",
        "-",
        "desc:error",
        "#x\"00ff\"",
        "#x\"\"",
        "[]",
        "[1 [2 three] \"four\"]",
        "{}",
        "{name: \"db\" \"two words\": {}}",
        "{a: 1 \"a:b\": 2}",
        "{'a: 1 2: [3]}",
        "#{1 two}",
        "<point 1 2>",
        "<\"label\" 1>",
        "<void>",
        "<null>",
        "<desc:tagged dollars 5>",
        "<desc:error \"what\">",
        "<desc:error \"what\" 1 {}>",
    ];

    fn read(text: &str) -> Result<Value, NotationError> {
        parse(text, &mut |_path| Ok(Value::Undefined))
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for text in SAME {
            let value = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(print(&value, false), *text);
            // NaN is equal to nothing, so compare what is printed.
            let again = read(&print(&value, false)).unwrap();
            assert_eq!(format!("{again:?}"), format!("{value:?}"), "{text}");
        }
    }

    #[test]
    fn other_spellings() {
        for (text, printed) in [
            (" [ 1,2 , 3 ] ", "[1 2 3]"),
            ("{\"a\": [1, true]}", "{a: [1 true]}"),
            ("'increment", "increment"),
            ("1e3", "1000.0"),
            ("-0.5", "-0.5"),
            ("#x\"FF\"", "#x\"ff\""),
            ("<desc:error>", "<desc:error>"),
        ] {
            let value = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(print(&value, false), printed);
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, place, what) in [
            ("", 0, "a value is missing"),
            ("[1 2", 4, "] is missing"),
            ("{a 1}", 3, "expected : after the key"),
            ("{a: 1 a: 2}", 6, "twice"),
            ("hello world", 6, "more than one value"),
            ("\"abc", 4, "closing \""),
            ("\"\\q\"", 1, "escape"),
            ("\"\\u{110000}\"", 1, "escape"),
            ("12abc", 0, "not a number"),
            ("1.2.3", 0, "not a number"),
            ("#x\"0\"", 0, "hexadecimal"),
            ("#x\"zz\"", 0, "hexadecimal"),
            ("#q", 0, "# begins"),
            ("]", 0, "nothing to close"),
            ("@", 0, "file"),
            ("<object>", 0, "can't be typed"),
            ("<>", 1, "a value is missing"),
            ("(1)", 0, "has no meaning"),
            ("'", 0, "a symbol is missing"),
        ] {
            let error = read(text).expect_err(text);
            assert_eq!(error.offset, place, "{text}: {error}");
            assert!(error.to_string().contains(what), "{text}: {error}");
        }
    }

    #[test]
    fn nesting_and_digits_are_limited() {
        let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&deep(MAX_DEPTH)).is_ok());
        let error = read(&deep(MAX_DEPTH + 1)).unwrap_err();
        assert!(error.to_string().contains("deeper"), "{error}");
        assert!(read(&"9".repeat(4096)).is_ok());
        let error = read(&"9".repeat(4097)).unwrap_err();
        assert!(error.to_string().contains("digits"), "{error}");
    }

    #[test]
    fn at_names_a_file() {
        let mut seen = Vec::new();
        let value = parse("[@a/b.cap {x: @\"c d.cap\"}]", &mut |path: &str| {
            seen.push(path.to_owned());
            Ok(Value::Bool(true))
        });
        assert_eq!(print(&value.unwrap(), false), "[true {x: true}]");
        assert_eq!(seen, ["a/b.cap", "c d.cap"]);
    }
}
