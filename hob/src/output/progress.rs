//! Saying how far something has come, on standard error: on a terminal a line that
//! changes, elsewhere a line with a time for each step.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant, SystemTime};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::time::{about, clock};
use super::{harmless, table::shortened};

const FRAME: Duration = Duration::from_millis(100);

/// What is known of the way so far.
#[derive(Clone, Debug, Default)]
struct Steps {
    subject: String,
    done: Vec<String>,
    current: Option<(String, Instant)>,
    /// What else there is to know while the step is under way.
    note: String,
}

impl Steps {
    /// The line that changes, without the sign that turns.
    fn line(&self, now: Instant) -> String {
        let mut text = self.subject.clone();
        text.push(' ');
        for step in &self.done {
            text.push_str(&format!(" ✓ {step}"));
        }
        if let Some((step, since)) = &self.current {
            let waited = now.saturating_duration_since(*since);
            text.push_str(&format!(" … {step}"));
            if waited >= Duration::from_secs(1) {
                text.push_str(&format!(" {}", about(waited)));
            }
            if !self.note.is_empty() {
                text.push_str(&format!(" ({})", self.note));
            }
        }
        text
    }

    /// The next step. Whether it is a new one.
    fn step(&mut self, step: &str, now: Instant) -> bool {
        if self.current.as_ref().is_some_and(|(current, _)| current == step) {
            return false;
        }
        if let Some((done, _)) = self.current.replace((step.to_owned(), now)) {
            self.done.push(done);
        }
        true
    }
}

enum Way {
    Quiet,
    Lines,
    Bar(ProgressBar),
}

/// How far one thing has come. What is shown on a terminal is gone when this is dropped.
pub(crate) struct Progress {
    steps: Steps,
    way: Way,
}

impl Progress {
    /// The progress of something with that name; `quiet` says nothing at all.
    pub(crate) fn new(subject: &str, quiet: bool) -> Self {
        let way = if quiet {
            Way::Quiet
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(FRAME);
            Way::Bar(bar)
        } else {
            Way::Lines
        };
        let subject = harmless(subject).replace('\n', " ");
        Self { steps: Steps { subject, ..Steps::default() }, way }
    }

    /// A step begins, if it is not the one that is under way; the one before is done.
    pub(crate) fn step(&mut self, step: &str) {
        let step = shortened(&harmless(step).replace('\n', " "), 200);
        if self.steps.step(&step, Instant::now()) {
            self.say(&step);
        }
        self.draw();
    }

    /// Something that changes meanwhile, for those who watch.
    pub(crate) fn note(&mut self, note: String) {
        self.steps.note = note;
        self.draw();
    }

    /// Shows again what is known, with the time that has gone by.
    fn draw(&self) {
        if let Way::Bar(bar) = &self.way {
            bar.set_message(self.steps.line(Instant::now()));
        }
    }

    fn say(&self, step: &str) {
        if let Way::Lines = self.way {
            let line = stamped(SystemTime::now(), &self.steps.subject, step);
            // If standard error is gone, the exit code still tells.
            let _unheard = std::io::stderr().write_all(line.as_bytes());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Way::Bar(bar) = &self.way {
            bar.finish_and_clear();
        }
    }
}

fn stamped(now: SystemTime, subject: &str, step: &str) -> String {
    format!("{} {subject}: {step}\n", clock(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_changes() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut steps = Steps { subject: "db-machine".into(), ..Steps::default() };
        assert_eq!(steps.line(start), "db-machine ");
        assert!(steps.step("allocate", start));
        assert_eq!(steps.line(start), "db-machine  … allocate");
        assert!(!steps.step("allocate", after(1)));
        assert!(steps.step("waiting for register", after(2)));
        assert_eq!(steps.line(after(6)), "db-machine  ✓ allocate … waiting for register 4s");
        steps.note = "enrol expires 14m".into();
        assert!(steps.line(after(6)).ends_with("waiting for register 4s (enrol expires 14m)"));
    }

    #[test]
    fn the_lines_that_stay() {
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(12 * 3600);
        assert_eq!(stamped(noon, "db-machine", "boot"), "12:00:00 db-machine: boot\n");
    }
}
