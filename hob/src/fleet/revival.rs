//! When a machine's provider is to be asked to start it again. Of machines that say
//! nothing only: those that do have no need of it.

use std::collections::HashMap;
use std::time::Duration;

/// Since when the boss waits for each active machine to say something.
#[derive(Debug)]
pub(crate) struct Revival {
    /// How long it waits.
    after: u64,
    /// By name, in milliseconds since 1970; of none before the first look.
    since: Option<HashMap<String, u64>>,
}

impl Revival {
    /// That of a boss that has just been started.
    pub(crate) fn new(after: Duration) -> Self {
        Self { after: after.as_millis() as u64, since: None }
    }

    /// Which of the active machines, each with when it was last heard of, are to be asked
    /// for now: all of them the first time, and then those that have said nothing for
    /// too long since.
    pub(crate) fn due(
        &mut self,
        active: impl Iterator<Item = (String, Option<u64>)>,
        now: u64,
    ) -> Vec<String> {
        let before = self.since.take();
        let mut due = Vec::new();
        let since = active.map(|(name, seen)| {
            let known = before.as_ref().map(|before| before.get(&name).copied());
            let waiting = match known {
                // The boss has just been started.
                None => None,
                // The machine has just become active.
                Some(None) => Some(now),
                Some(known) => known.max(seen),
            };
            let waiting = waiting.filter(|since| now.saturating_sub(*since) < self.after);
            if waiting.is_none() {
                due.push(name.clone());
            }
            (name, waiting.unwrap_or(now))
        });
        self.since = Some(since.collect());
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(revival: &mut Revival, active: &[(&str, Option<u64>)], now: u64) -> Vec<String> {
        revival.due(active.iter().map(|(name, seen)| ((*name).to_owned(), *seen)), now)
    }

    #[test]
    fn all_at_the_start_and_then_those_that_say_nothing_once_in_each_span() {
        let mut revival = Revival::new(Duration::from_secs(1));
        let silent: [(&str, Option<u64>); 2] = [("a", None), ("b", None)];
        assert_eq!(due(&mut revival, &silent, 10_000), ["a", "b"]);
        assert_eq!(due(&mut revival, &silent, 10_999), [""; 0]);
        // `b` speaks, and `c` is new.
        let all = [("a", None), ("b", Some(10_500)), ("c", Some(10_400))];
        assert_eq!(due(&mut revival, &all, 11_000), ["a"]);
        assert_eq!(due(&mut revival, &all, 11_500), ["b"]);
        assert_eq!(due(&mut revival, &all, 11_999), [""; 0]);
        assert_eq!(due(&mut revival, &all, 12_000), ["a", "c"]);
        // One that was away is as if it were new.
        assert_eq!(due(&mut revival, &[], 12_001), [""; 0]);
        assert_eq!(due(&mut revival, &all, 20_000), [""; 0]);
        assert_eq!(due(&mut revival, &all, 21_000), ["a", "b", "c"]);
    }
}
