//! The audit log, read and followed.

use serde_json::json;

use super::{Boss, shown};
use crate::cli::fleet::Events;
use crate::fleet::{Entry, Page};
use crate::output::{self, json};

pub(super) async fn events(boss: &Boss, options: &Events) -> anyhow::Result<()> {
    let wanted = |entry: &Entry| options.machine.is_none() || entry.machine == options.machine;
    let json = options.common.form.json;
    let mut after = options.after;
    let mut kept = Vec::new();
    loop {
        let page = page(boss, after).await?;
        let end = page.entries.is_empty();
        for entry in page.entries.iter().filter(|entry| wanted(entry)) {
            match (json, options.follow) {
                (true, false) => kept.push(shown::event(entry)),
                (true, true) => json::print_line(shown::event(entry))?,
                (false, _) => output::line(&output::harmless(&shown::event_line(entry)))?,
            }
        }
        after = page.last;
        if end && !options.follow {
            break;
        }
        if end {
            boss.ask("wait", vec![after.into()]).await?;
        }
    }
    if json && !options.follow {
        return json::print(json!({"events": kept, "last": after}));
    }
    Ok(())
}

async fn page(boss: &Boss, after: u64) -> anyhow::Result<Page> {
    boss.typed("events", vec![after.into()]).await
}

/// The number of the last event there is.
pub(super) async fn last(boss: &Boss) -> anyhow::Result<u64> {
    last_after(boss, 0).await
}

/// The same, known to be at least that.
pub(super) async fn last_after(boss: &Boss, mut after: u64) -> anyhow::Result<u64> {
    loop {
        let page = page(boss, after).await?;
        if page.entries.is_empty() {
            return Ok(after);
        }
        after = page.last;
    }
}
