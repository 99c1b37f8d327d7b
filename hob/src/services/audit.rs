//! The record of who did what: a file, written in order, of which nobody can make more
//! than so much.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ocapn::netlayers::Stranger;
use ocapn::{Node, TurnedAway};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use super::logfile::{self, LogFile};
use super::process::Lines;
use super::zone::Zone;

/// How many lines are written of what is done by one in a second. Of more only their number
/// is, so that nobody pushes out what others have done.
const PER_SECOND: u64 = 100;
/// How many lines wait at most to be written.
const MAX_WAITING: usize = 10_000;

/// The record.
#[derive(Clone)]
pub(crate) struct Audit(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    more: Notify,
}

/// What is to be written.
#[derive(Default)]
struct Waiting {
    lines: Lines,
    /// The second that is counted.
    second: i64,
    /// How many lines there were in it, by whom they are about.
    counts: BTreeMap<String, u64>,
    /// Lines that had no room at all.
    lost: u64,
}

impl Waiting {
    fn add(&mut self, now: i64, line: String) {
        if now != self.second {
            self.end_second(now);
        }
        let by = by(&line);
        let count = self.counts.get(by).copied().unwrap_or(0) + 1;
        self.counts.insert(by.to_owned(), count);
        if count <= PER_SECOND {
            self.push(now, line);
        }
    }

    fn push(&mut self, at: i64, line: String) {
        if self.lines.len() < MAX_WAITING {
            self.lines.push((at, line));
        } else {
            self.lost = self.lost.saturating_add(1);
        }
    }

    /// Says of what there was too much.
    fn end_second(&mut self, now: i64) {
        let second = std::mem::replace(&mut self.second, now);
        for (by, count) in std::mem::take(&mut self.counts) {
            if let Some(more) = count.checked_sub(PER_SECOND).filter(|more| *more > 0) {
                self.push(second, format!("and {more} more in this second: {by}"));
            }
        }
        if self.lost > 0 && self.lines.len() < MAX_WAITING {
            let lost = std::mem::take(&mut self.lost);
            self.lines.push((second, format!("[{lost} lines were lost]")));
        }
    }

    fn is_flooded(&self) -> bool {
        self.lost > 0 || self.counts.values().any(|count| *count > PER_SECOND)
    }
}

/// Whom a line is about: the grant, or the user.
fn by(line: &str) -> &str {
    let who = |word: &&str| word.starts_with("id=") || word.starts_with("user=");
    line.split(' ').find(who).unwrap_or("others")
}

impl Audit {
    /// The record in a file, written on the present runtime for as long as that lives.
    pub(crate) fn start(path: &Path, zone: Zone) -> Self {
        let shared = Arc::<Shared>::default();
        let file = LogFile::new(path.to_owned(), 16 << 20, 4);
        Handle::current().spawn(write(shared.clone(), file, zone));
        Self(shared)
    }

    /// Adds a line.
    pub(crate) fn note(&self, line: String) {
        self.0.lock().add(logfile::now(), line);
        self.0.more.notify_one();
    }
}

impl Audit {
    /// Keeps a record of those too who come to a node with no capability at all.
    pub(crate) fn keep_of(&self, node: &Node) {
        let audit = self.clone();
        node.on_turned_away(move |who| match who {
            TurnedAway::NoSuchObject { address, count } => {
                audit.note(format!("refused from={address:?}: no such object, {count} times"));
            }
            TurnedAway::Stranger(Stranger { credentials, address, count, .. }) => {
                let (uid, pid) = (credentials.uid, credentials.pid.unwrap_or_default());
                audit.note(format!(
                    "refused user={uid} process={pid} at={address:?}: not allowed, {count} times"
                ));
            }
            _ => audit.note(format!("refused {who:?}")),
        });
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be written, and whether there is more of it than is.
    fn take(&self, now: i64) -> (Lines, bool) {
        let mut waiting = self.lock();
        if now != waiting.second {
            waiting.end_second(now);
        }
        (std::mem::take(&mut waiting.lines), waiting.is_flooded())
    }
}

async fn write(shared: Arc<Shared>, mut file: LogFile, zone: Zone) {
    loop {
        shared.more.notified().await;
        loop {
            let (lines, flooded) = shared.take(logfile::now());
            if !lines.is_empty() {
                let zone = zone.clone();
                let written = spawn_blocking(move || {
                    file.write(&lines, &zone);
                    file
                });
                let Ok(again) = written.await else { return };
                file = again;
            }
            if !flooded {
                break;
            }
            // The end of the second says how much there was.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_much_does_not_push_out_what_others_do() {
        let mut waiting = Waiting::default();
        for n in 0..5000 {
            waiting.add(7, format!("refused id=1 method=m{n}: not permitted"));
        }
        waiting.add(7, "used id=2 method=status".to_owned());
        assert!(waiting.is_flooded());
        waiting.add(8, "refused id=1 method=stop: not permitted".to_owned());
        assert!(!waiting.is_flooded());
        assert_eq!(waiting.lines.len(), 103);
        assert_eq!(waiting.lines[100], (7, "used id=2 method=status".to_owned()));
        assert_eq!(waiting.lines[101], (7, "and 4900 more in this second: id=1".to_owned()));
        assert_eq!(waiting.lines[102].0, 8);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut waiting = Waiting::default();
        for n in 0..2 * MAX_WAITING {
            waiting.add(7, format!("used id={n} method=status"));
        }
        assert_eq!((waiting.lines.len(), waiting.lost), (MAX_WAITING, MAX_WAITING as u64));
        waiting.lines.clear();
        waiting.end_second(8);
        assert_eq!(waiting.lines, [(7, format!("[{MAX_WAITING} lines were lost]"))]);
    }
}
