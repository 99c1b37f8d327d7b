//! Services that come and go: who changes between up and down too often is said to flap,
//! once, until it has been steady for a while.

use std::collections::VecDeque;
use std::time::Duration;

use ocapn::Turn;
use serde::{Deserialize, Serialize};

use super::text::Period;
use super::writer::ChronicleRef;

/// The state that an event has that says so.
pub(crate) const FLAPPING: &str = "flapping";

/// When a service is said to flap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Flapping {
    /// How often it may change between up and down within the window.
    pub(crate) changes: u32,
    pub(crate) window: Period,
}

impl Default for Flapping {
    fn default() -> Self {
        Self { changes: 8, window: Period(Duration::from_secs(300)) }
    }
}

impl Flapping {
    fn millis(&self) -> i64 {
        i64::try_from(self.window.0.as_millis()).unwrap_or(i64::MAX)
    }
}

/// The changes of a service, as far as they count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flaps {
    up: Option<bool>,
    /// When it changed, in milliseconds, the oldest first: never more than are allowed,
    /// and one.
    changes: VecDeque<i64>,
    /// Since when it flaps.
    since: Option<i64>,
}

impl Flaps {
    /// Notes whether it is up or down, if it is either. Gives how often it has changed if
    /// that is too often from now on.
    fn note(&mut self, setting: &Flapping, up: Option<bool>, now: i64) -> Option<usize> {
        let up = up?;
        if self.up.replace(up).is_none_or(|before| before == up) {
            return None;
        }
        let window = setting.millis();
        if self.changes.back().is_some_and(|last| now - last >= window) {
            self.since = None;
        }
        self.changes.push_back(now);
        self.changes.retain(|at| now - at < window);
        let allowed = usize::try_from(setting.changes).unwrap_or(usize::MAX);
        let often = self.changes.len() > allowed;
        while self.changes.len() > allowed.saturating_add(1) {
            self.changes.pop_front();
        }
        if !often || self.since.is_some() {
            return None;
        }
        self.since = Some(now);
        Some(self.changes.len())
    }

    /// Notes the same, and has it told if it is too often.
    pub(crate) fn tell(
        &mut self,
        turn: &mut Turn<'_>,
        chronicle: &ChronicleRef,
        service: &str,
        setting: &Flapping,
        up: Option<bool>,
        now: i64,
    ) {
        if let Some(often) = self.note(setting, up, now) {
            let detail = format!("went up or down {often} times within {}", setting.window);
            tracing::warn!(target: super::writer::LOG, "Service {service} is flapping: {detail}.");
            let (service, state) = (service.to_owned(), FLAPPING.to_owned());
            chronicle.send_only(turn).record(now.div_euclid(1000), service, state, Some(detail));
        }
    }

    /// Since when it flaps, in seconds, if it does.
    pub(crate) fn since(&self, setting: &Flapping, now: i64) -> Option<i64> {
        let last = self.changes.back()?;
        let since = self.since.filter(|_| now - last < setting.millis())?;
        Some(since.div_euclid(1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alert_for_each_time_that_it_flaps() {
        let setting = Flapping { changes: 3, window: Period(Duration::from_secs(10)) };
        let mut flaps = Flaps::default();
        let mut up = false;
        let mut change = |flaps: &mut Flaps, at: i64| {
            up = !up;
            flaps.note(&setting, Some(up), at)
        };
        // What it is at first is no change, and neither is a change on its way.
        assert_eq!(change(&mut flaps, 0), None);
        assert_eq!(flaps.note(&setting, None, 1), None);
        // As often as it may.
        for at in [1, 2, 3] {
            assert_eq!(change(&mut flaps, at), None);
        }
        assert_eq!(flaps.since(&setting, 4), None);
        // Once more, and said once.
        assert_eq!(change(&mut flaps, 4), Some(4));
        for at in 5..9_000 {
            assert_eq!(change(&mut flaps, at), None);
        }
        assert_eq!(flaps.changes.len(), 4);
        assert_eq!(flaps.since(&setting, 9_000), Some(0));
        // It is steady for a while.
        assert_eq!(flaps.since(&setting, 18_999), None);
        assert_eq!(change(&mut flaps, 20_000), None);
        for at in [20_001, 20_002] {
            assert_eq!(change(&mut flaps, at), None);
        }
        assert_eq!(change(&mut flaps, 20_003), Some(4));
        // Slowly it may change as often as it likes.
        let mut slow = Flaps::default();
        for n in 1..20 {
            assert_eq!(change(&mut slow, n * 4_000), None, "{n}");
        }
    }
}
