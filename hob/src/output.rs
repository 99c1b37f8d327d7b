//! What is printed: data on standard output, messages on standard error; for people in
//! lines and tables, for programs as JSON.
//!
//! Standard output may be gone: a reader such as `head` that has had enough is no error.

pub(crate) mod json;
pub(crate) mod progress;
pub(crate) mod redact;
pub(crate) mod screen;
pub(crate) mod table;
pub(crate) mod time;

use std::io::{self, Write as _};

/// Writes a line at once.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(format!("{text}\n").as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => Ok(outcome?),
    }
}

/// A text of somebody else's, so that it can't steer the terminal.
pub(crate) fn harmless(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_control() && c != '\n' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
