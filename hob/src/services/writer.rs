//! `writer`: where what the shepherd says goes; and the chronicle of what has happened.

use std::collections::VecDeque;
use std::sync::Arc;

use ocapn::{Answer, IntoValue as _, Passable, Ref, Turn, Value, interface, object};

/// The target of the log lines of services.
pub(crate) const LOG: &str = "services";
/// How many events are kept.
const MAX_EVENTS: usize = 1000;
/// How many may watch.
const MAX_WATCHERS: usize = 64;
/// How many may wait for what happens next to a service. At one more, who has waited
/// longest hears that nothing has happened: nobody knows who has gone away since.
const MAX_WAITING: usize = 64;

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

/// Whom to tell what is done, and of which machine it is.
#[derive(Passable, Clone, Debug, Default)]
pub(crate) struct Voice {
    pub(crate) writer: Option<WriterRef>,
    /// What lines begin with, where several machines have a part in it.
    pub(crate) machine: Option<String>,
}

impl Voice {
    /// Says it in the log of the shepherd's process, and to whoever asked for what is done.
    /// They hear it before they are answered, if that is in the same turn or later.
    pub(crate) fn say(&self, turn: &mut Turn<'_>, text: String) {
        tracing::info!(target: LOG, "{text}");
        if let Some(writer) = &self.writer {
            writer.send_only(turn).line(match &self.machine {
                Some(machine) => format!("{machine}: {text}"),
                None => text,
            });
        }
    }
}

/// A place in what a chronicle tells: which chronicle, and after which number.
pub(crate) type Mark = (i64, u64);

/// What has happened to one service.
#[derive(Passable, Clone, Debug, PartialEq, Eq)]
pub(crate) struct News {
    /// Where to go on.
    pub(crate) mark: Mark,
    pub(crate) events: Vec<Event>,
}

/// Numbers what happens, keeps the last of it, and tells those who watch, in order.
#[derive(Clone)]
pub(crate) struct Chronicle {
    /// Tells it from that of another run of the shepherd.
    run: i64,
    last: u64,
    events: Arc<VecDeque<Event>>,
    watchers: Vec<WriterRef>,
    /// Those who wait for what happens next to a service.
    waiting: Vec<(String, Ref)>,
}

impl Chronicle {
    pub(crate) fn new(run: i64) -> Self {
        Self { run, last: 0, events: Arc::default(), watchers: Vec::new(), waiting: Vec::new() }
    }

    fn answer(&self, turn: &mut Turn<'_>, resolver: &Ref, events: Vec<Event>) {
        let news = News { mark: (self.run, self.last), events };
        turn.send_only(resolver, vec![Value::symbol("fulfill"), news.into_value()]);
    }
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
        let (heard, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(of, _)| *of == event.service);
        self.waiting = waiting;
        let heard: Vec<(String, Ref)> = heard;
        for (_, resolver) in heard {
            self.answer(turn, &resolver, vec![event.clone()]);
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

    /// What has happened to one service since a mark; or, if nothing has, what happens to
    /// it next. Without a mark, or with one of another chronicle, only where to begin.
    #[method]
    fn next(
        &mut self,
        turn: &mut Turn<'_>,
        service: String,
        after: Option<Mark>,
        wait: bool,
    ) -> Answer<News> {
        let after = after.filter(|(run, number)| *run == self.run && *number <= self.last);
        let since = |number: u64| {
            let new = self.events.iter().filter(|event| event.number > number);
            new.filter(|event| event.service == service).cloned().collect()
        };
        let events: Vec<Event> = after.map_or_else(Vec::new, |(_, number)| since(number));
        if !wait || !events.is_empty() || after.is_none() {
            return Answer::ready(News { mark: (self.run, self.last), events });
        }
        let of = |(of, _): &&(String, Ref)| *of == service;
        if self.waiting.iter().filter(of).count() >= MAX_WAITING
            && let Some(first) = self.waiting.iter().position(|(of, _)| *of == service)
        {
            let (_, resolver) = self.waiting.remove(first);
            self.answer(turn, &resolver, Vec::new());
        }
        let (promise, resolver) = turn.spawn_promise();
        self.waiting.push((service, resolver));
        Answer::from_promise(promise)
    }
}
