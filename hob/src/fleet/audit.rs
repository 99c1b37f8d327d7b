//! The audit log: every grant, every use of an enrolment, every revocation, in the order
//! in which they happened. Owns [`Audit`] and its segments.

use std::sync::{Arc, Mutex, PoisonError};

use ocapn::actors::after_turn;
use ocapn::{Answer, Fault, Passable, Promise, Resolver, Turn, Value, object, promise};

use super::Moment;

/// How many entries one segment has: an entry costs the writing of its segment.
const SEGMENT: u64 = 64;

/// How many segments are kept.
const SEGMENTS: usize = 256;

/// How many entries one answer has at most.
const ANSWER: u64 = 1000;

/// How many may wait for what comes next.
const WAITING: usize = 256;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Passable)]
pub(crate) struct Entry {
    /// Counted from 1.
    pub(crate) n: u64,
    /// When, in milliseconds since 1970.
    pub(crate) at: u64,
    /// What kind of event, a word or two with hyphens: `registered`, `granted`.
    pub(crate) event: String,
    /// Which machine it is about, if it is about one.
    pub(crate) machine: Option<String>,
    /// What happened, for people. No secrets.
    pub(crate) text: String,
}

/// What an audit log is made of: segments, oldest first, each with the number of its
/// first entry; and the number of the last entry.
#[derive(Clone, Default, Passable)]
pub(crate) struct Log {
    segments: Vec<(u64, SegmentRef)>,
    last: u64,
}

/// The log. Its oldest segments go when there are too many.
#[derive(Clone)]
pub(crate) struct Audit {
    pub(crate) log: Log,
    pub(crate) listeners: Listeners,
}

/// Some entries.
#[derive(Clone, Default, ocapn::Durable)]
pub(crate) struct Segment(Vec<Entry>);

#[object(reference = pub(crate) SegmentRef)]
impl Segment {
    /// One more entry.
    #[method]
    fn add(&mut self, entry: Entry) {
        self.0.push(entry);
    }

    /// The entries from that number on.
    #[method]
    fn from(&self, n: u64) -> Vec<Entry> {
        self.0.iter().filter(|entry| entry.n >= n).cloned().collect()
    }
}

/// Who waits for entries to come. Not stored: they ask again.
#[derive(Clone, Default)]
pub(crate) struct Listeners(Arc<Mutex<Vec<Resolver>>>);

impl Listeners {
    fn add(&self) -> Result<Promise, Fault> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING {
            return Err("too many wait for events already".into());
        }
        let (promise, resolver) = promise();
        waiting.push(resolver);
        Ok(promise)
    }

    /// Tells all that there is more.
    fn tell(&self) {
        let waiting = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for resolver in waiting {
            resolver.fulfill(Value::Undefined);
        }
    }
}

#[object(reference = pub(crate) AuditRef)]
impl Audit {
    /// Writes an entry down.
    #[method]
    fn record(
        &mut self,
        turn: &mut Turn<'_>,
        event: String,
        machine: Option<String>,
        text: String,
    ) -> Result<(), Fault> {
        let shown = machine.as_deref().unwrap_or("fleet");
        tracing::info!(target: super::LOG, "{event} {shown}: {text}");
        self.log.last += 1;
        let n = self.log.last;
        let entry = Entry { n, at: Moment::now().millis(), event, machine, text };
        match self.log.segments.last() {
            Some((first, segment)) if n - first < SEGMENT => segment.call(turn).add(entry)?,
            _ => self.log.segments.push((n, SegmentRef::spawn(turn, Segment(vec![entry])))),
        }
        let over = self.log.segments.len().saturating_sub(SEGMENTS);
        self.log.segments.drain(..over);
        let listeners = self.listeners.clone();
        after_turn(turn, move || listeners.tell());
        Ok(())
    }

    /// The entries after that number, at most so many: as a struct with `entries` and
    /// `last`, the number to go on from.
    #[method]
    fn after(&self, turn: &mut Turn<'_>, n: u64, limit: Option<u64>) -> Result<Page, Fault> {
        let limit = limit.unwrap_or(ANSWER).min(ANSWER) as usize;
        let mut entries = Vec::new();
        for (first, segment) in &self.log.segments {
            if first + SEGMENT > n + 1 && entries.len() < limit {
                entries.extend(segment.call(turn).from(n + 1)?);
            }
        }
        entries.truncate(limit);
        let last = entries.last().map_or(n, |entry| entry.n);
        Ok(Page { entries, last })
    }

    /// A promise that is fulfilled when there is an entry after that number: ask for it
    /// then. It may be fulfilled early.
    #[method]
    fn wait(&self, n: u64) -> Result<Answer<()>, Fault> {
        if self.log.last > n {
            return Ok(Answer::ready(()));
        }
        Ok(self.listeners.add()?.into())
    }
}

/// A part of the log.
#[derive(Clone, Debug, PartialEq, Passable)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    pub(crate) last: u64,
}
