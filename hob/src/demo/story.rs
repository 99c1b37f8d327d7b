//! The story: plain lines, each with the time and who speaks.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::output;

/// Tells the story on standard output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Story;

impl Story {
    /// One line of somebody's.
    pub(super) fn tell(self, who: &str, what: &str) {
        let what = output::harmless(what);
        self.plain(&format!("{}  {who:<12} {what}", now()));
    }

    /// A heading, after an empty line.
    pub(super) fn heading(self, what: &str) {
        self.plain("");
        self.plain(what);
    }

    /// A line as it is.
    pub(super) fn plain(self, line: &str) {
        // Whoever stops listening to a story does not end it.
        let _unheard = output::line(line);
    }
}

/// The time of day, UTC, to the millisecond.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default();
    let seconds = since.as_secs() % 86_400;
    format!(
        "{:02}:{:02}:{:02}.{:03}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since.subsec_millis()
    )
}
