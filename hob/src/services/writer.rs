//! `writer`: where what the shepherd says goes; and the chronicle of what has happened.

use std::collections::VecDeque;
use std::sync::Arc;

use ocapn::{Passable, Turn, interface, object};

/// The target of the log lines of services.
pub(crate) const LOG: &str = "services";
/// How many events are kept.
const MAX_EVENTS: usize = 1000;
/// How many may watch.
const MAX_WATCHERS: usize = 64;

/// Something that happened to a service.
#[derive(Passable, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// Counts on from 1.
    pub(crate) number: u64,
    /// In seconds since 1970.
    pub(crate) at: i64,
    pub(crate) service: String,
    /// The state that it is in now.
    pub(crate) state: String,
    /// More about it.
    #[passable(default)]
    pub(crate) detail: Option<String>,
}

/// Somebody who is told things.
#[interface]
pub(crate) trait Writer {
    /// What the shepherd says of what it was asked to do.
    fn line(&self, text: String);
    /// What a service said, and when.
    fn said(&self, at: i64, text: String);
    /// What happened to a service.
    fn happened(&self, event: Event);
}

/// Says it in the log of the shepherd's process, and to whoever asked for what is done.
/// They hear it before they are answered, if that is in the same turn or later.
pub(crate) fn say(turn: &mut Turn<'_>, writer: Option<&WriterRef>, text: String) {
    tracing::info!(target: LOG, "{text}");
    if let Some(writer) = writer {
        writer.send_only(turn).line(text);
    }
}

/// Numbers what happens, keeps the last of it, and tells those who watch, in order.
#[derive(Clone, Default)]
pub(crate) struct Chronicle {
    last: u64,
    events: Arc<VecDeque<Event>>,
    watchers: Vec<WriterRef>,
}

#[object(reference = pub(crate) ChronicleRef)]
impl Chronicle {
    #[method]
    fn record(
        &mut self,
        turn: &mut Turn<'_>,
        at: i64,
        service: String,
        state: String,
        detail: Option<String>,
    ) {
        self.last += 1;
        let event = Event { number: self.last, at, service, state, detail };
        let events = Arc::make_mut(&mut self.events);
        events.push_back(event.clone());
        if events.len() > MAX_EVENTS {
            events.pop_front();
        }
        for watcher in &self.watchers {
            let answer = watcher.send(turn).happened(event.clone());
            let (me, gone) = (ChronicleRef::from_ref(turn.me()), watcher.clone());
            answer.on(turn, move |turn, heard| {
                if heard.is_err() {
                    me.send_only(turn).unwatch(gone);
                }
            });
        }
    }

    /// Tells somebody what happens from now on, after what is known of before with a
    /// higher number.
    #[method]
    fn watch(
        &mut self,
        turn: &mut Turn<'_>,
        watcher: WriterRef,
        after: Option<u64>,
    ) -> Result<u64, String> {
        if self.watchers.len() >= MAX_WATCHERS {
            return Err(format!("more than {MAX_WATCHERS} watch already"));
        }
        let after = after.unwrap_or(self.last);
        for event in self.events.iter().filter(|event| event.number > after) {
            watcher.send_only(turn).happened(event.clone());
        }
        self.watchers.push(watcher);
        Ok(self.last)
    }

    #[method]
    fn unwatch(&mut self, watcher: WriterRef) {
        self.watchers.retain(|other| other.untyped() != watcher.untyped());
    }

    /// What has happened with a higher number.
    #[method]
    fn events(&self, after: u64) -> Vec<Event> {
        self.events.iter().filter(|event| event.number > after).cloned().collect()
    }
}
