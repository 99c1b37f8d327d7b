//! `logger`: the last lines that a service has said, and who follows them. What reads
//! and writes them is outside of the vat: see [`logfile`](super::logfile).

use std::collections::VecDeque;
use std::sync::Arc;

use ocapn::{Turn, object};

use super::process::{Lines, Sink};
use super::writer::WriterRef;

/// How many lines are kept.
const MAX_LINES: usize = 100;
/// How many may follow.
const MAX_FOLLOWERS: usize = 16;

/// A service's last lines.
#[derive(Clone, Default)]
pub(crate) struct Logger {
    lines: Arc<VecDeque<(i64, String)>>,
    followers: Vec<WriterRef>,
}

#[object(reference = pub(crate) LoggerRef)]
impl Logger {
    /// Takes lines; answered once they are kept, so that no more come before.
    #[method]
    fn heard(&mut self, turn: &mut Turn<'_>, heard: Lines) {
        for follower in &self.followers {
            let me = LoggerRef::from_ref(turn.me());
            for (at, line) in &heard {
                let answer = follower.send(turn).said(*at, line.clone());
                let (me, gone) = (me.clone(), follower.clone());
                answer.on(turn, move |turn, taken| {
                    if taken.is_err() {
                        me.send_only(turn).unfollow(gone);
                    }
                });
            }
        }
        let skipped = heard.len().saturating_sub(MAX_LINES);
        let lines = Arc::make_mut(&mut self.lines);
        lines.extend(heard.into_iter().skip(skipped));
        let excess = lines.len().saturating_sub(MAX_LINES);
        lines.drain(..excess);
    }

    /// The last lines, the oldest first.
    #[method]
    fn recent(&self, most: u64) -> Lines {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let skipped = self.lines.len().saturating_sub(most);
        self.lines.iter().skip(skipped).cloned().collect()
    }

    /// Tells somebody the last lines and all that come.
    #[method]
    fn follow(
        &mut self,
        turn: &mut Turn<'_>,
        follower: WriterRef,
        most: u64,
    ) -> Result<(), String> {
        if self.followers.len() >= MAX_FOLLOWERS {
            return Err(format!("more than {MAX_FOLLOWERS} follow already"));
        }
        for (at, line) in self.recent(most) {
            follower.send_only(turn).said(at, line);
        }
        self.followers.push(follower);
        Ok(())
    }

    #[method]
    fn unfollow(&mut self, follower: WriterRef) {
        self.followers.retain(|other| other.untyped() != follower.untyped());
    }
}

/// Lines for the logger, as the world tells them.
pub(crate) fn sink(logger: LoggerRef) -> Sink {
    Box::new(move |lines: Lines| {
        let kept = logger.heard(lines);
        Box::pin(async move {
            let _until_kept = kept.await;
        })
    })
}
