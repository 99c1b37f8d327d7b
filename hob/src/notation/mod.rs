//! The text notation in which people write arguments and read results: that of
//! [`ocapn::text`], with what OCapN adds to Syrup.
//!
//! | what | written |
//! |---|---|
//! | integer, any size | `42` `-7` |
//! | float | `3.14` `1e9` `+inf` `-inf` `+nan` |
//! | boolean | `true` `false` |
//! | string | `"hi"`, with `\n \r \t \\ \" \u{1F600}` |
//! | symbol | `'increment` or, as an argument, `increment`; `'"with spaces"`, `'true` |
//! | bytes | `0x00ff` or `b"ascii"` |
//! | list | `[1 2 3]`; commas may follow elements |
//! | struct | `{"name": "db", "size": 3}` |
//! | map | a struct with other keys: `{'a: 1, 2: 3}` |
//! | set | `#{1 2}` |
//! | record | `<'point 1 2>` |
//! | nothing, null | `<'void>` `<'null>` |
//! | tagged value | `<'desc:tagged 'dollars 5>` |
//! | error | `<'desc:error "what went wrong">` |
//! | reference, as an argument | `@counter.cap` or `@"my counter.cap"` |
//! | reference, in a result | `<'object>` or `<'promise>`, which can't be typed back |
//! | sturdyref, in a result | `<'sturdyref "ocapn://…">`, its secret cut short |
//!
//! What [`print`](print()) writes, [`parse()`] reads back, but for references and
//! sturdyrefs.

pub(crate) mod json;
mod parse;
mod print;

pub(crate) use parse::{NotationError, parse};
pub(crate) use print::print;

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
        "+inf",
        "+nan",
        "true",
        "\"hi\"",
        "\"line\\n \\\"quoted\\\" \\\\ \\t \\u{7}é\"",
        "'increment",
        "'true",
        "'\"with spaces\"",
        "'desc:error",
        "0x00ff",
        "b\"ascii\"",
        "[1 ['two 3] \"four\"]",
        "{}",
        "{\"name\": \"db\", \"two words\": {}}",
        "{'a: 1, 2: [3]}",
        "#{1 'two}",
        "<'point 1 2>",
        "<\"label\" 1>",
        "<'void>",
        "<'null>",
        "<'desc:tagged 'dollars 5>",
        "<'desc:error \"what\">",
        "<'desc:error \"what\" 1 {}>",
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
            ("increment", "'increment"),
            ("<void>", "<'void>"),
            ("<desc:tagged \"dollars\" 1>", "<'desc:tagged 'dollars 1>"),
            ("<desc:error>", "<'desc:error>"),
            ("1.5_f32", "1.5"),
        ] {
            let value = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(print(&value, false), printed);
        }
    }

    #[test]
    fn what_has_no_meaning_here_is_refused() {
        for (text, what) in [
            ("", "at byte 0"),
            ("hello world", "at byte 6"),
            ("{\"a\": 1, \"a\": 2}", "the same key twice"),
            ("<object>", "can't be typed"),
            ("<'sturdyref \"ocapn://x\">", "can't be typed"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(what), "{text}: {error}");
        }
    }

    #[test]
    fn at_names_a_file() {
        let mut seen = Vec::new();
        let value = parse("[@a/b.cap {\"x\": @\"c d.cap\"}]", &mut |path: &str| {
            seen.push(path.to_owned());
            Ok(Value::Bool(true))
        });
        assert_eq!(print(&value.unwrap(), false), "[true {\"x\": true}]");
        assert_eq!(seen, ["a/b.cap", "c d.cap"]);
    }
}
