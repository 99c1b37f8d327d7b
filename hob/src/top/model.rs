//! What is known: machines, services, bindings, sessions, and the log, each by whom it
//! was said. Knows no terminal and no clock: the time is told to it as well.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::output::screen::Paint;
use crate::output::time::ago;

/// How many lines of the log are kept.
pub(super) const MAX_LINES: usize = 2000;

/// What can be asked for something to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// For machines, bindings and the fleet's log.
    Boss,
    /// For services and what happens to them.
    Shepherd,
    /// For sessions.
    Node,
}

impl Kind {
    /// The word for it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Boss => "boss",
            Self::Shepherd => "shepherd",
            Self::Node => "node",
        }
    }
}

/// How it stands with one that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// It has not answered yet.
    Looking,
    /// It was never there, and why.
    Absent(String),
    /// It answers.
    There,
    /// It has answered, and does no longer. What it said is still shown.
    Lost {
        /// Why.
        why: String,
        /// Since when.
        since: SystemTime,
    },
}

impl Link {
    /// Whether there is something that it has said.
    const fn has_answered(&self) -> bool {
        matches!(self, Self::There | Self::Lost { .. })
    }
}

/// One that is asked.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) kind: Kind,
    /// The state directory or capability file by which it is found.
    pub(super) place: String,
    pub(super) link: Link,
}

impl Source {
    pub(super) fn new(kind: Kind, place: impl Into<String>) -> Self {
        Self { kind, place: place.into(), link: Link::Looking }
    }

    /// What is amiss with it.
    pub(super) fn trouble(&self, now: SystemTime) -> Option<String> {
        Some(match &self.link {
            Link::There => return None,
            Link::Looking => format!("looking for the {}…", self.kind.word()),
            Link::Absent(why) => why.clone(),
            Link::Lost { why, since } => format!("lost {} ago: {why}", ago(*since, now)),
        })
    }
}

/// A machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) provider: String,
    pub(super) state: String,
    pub(super) paint: Paint,
    /// Its designator.
    pub(super) peer: Option<String>,
    pub(super) seen: Option<SystemTime>,
    /// In how many things it differs from what it should be, if it has said so.
    pub(super) drift: Option<usize>,
    pub(super) why: String,
    /// All of it in words.
    pub(super) words: String,
    /// All of it, as `hob fleet list --json` has it.
    pub(super) json: Value,
}

/// A name on a machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Binding {
    pub(super) machine: String,
    pub(super) name: String,
    /// The machine that has given it, and what it is called there; nothing if it is the
    /// machine's own.
    pub(super) from: Option<String>,
    pub(super) rules: String,
    pub(super) live: bool,
    pub(super) why: String,
}

/// A service.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) paint: Paint,
    pub(super) since: Option<SystemTime>,
    pub(super) pid: Option<u64>,
    pub(super) enabled: bool,
    /// What else there is to say in a line: why it has failed, when it rings, what it runs.
    pub(super) what: String,
    /// All of it, as `herd status --json` has it.
    pub(super) json: Value,
}

/// Messages and bytes each way since a session began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) messages_in: u64,
    pub(super) messages_out: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

/// The same in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) messages_in: f64,
    pub(super) messages_out: f64,
    pub(super) bytes_in: f64,
    pub(super) bytes_out: f64,
}

/// A session of a node, as it stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Session {
    /// Which of the node's it is.
    pub(super) number: u64,
    /// The peer's designator.
    pub(super) peer: String,
    pub(super) transport: String,
    /// Whether the netlayer has proven who the peer is.
    pub(super) verified: bool,
    /// Whether it is the one by which this is asked.
    pub(super) own: bool,
    pub(super) counters: Counters,
    /// Bytes that wait to be sent.
    pub(super) queued: u64,
    /// Bytes received that wait for vats or for promises.
    pub(super) waiting: u64,
    /// Whether the peer is not read for now.
    pub(super) paced: bool,
    pub(super) exports: u64,
    pub(super) imports: u64,
    pub(super) questions: u64,
    pub(super) answers: u64,
    /// None before there were two looks at it.
    pub(super) rates: Option<Rates>,
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Line {
    /// Its number with whoever said it.
    pub(super) number: u64,
    /// When, in milliseconds since 1970.
    pub(super) at: u64,
    pub(super) event: String,
    /// Which machine or service it is about.
    pub(super) who: String,
    pub(super) text: String,
}

/// What a look has found.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    Fleet(Vec<Machine>, Vec<Binding>),
    Services(Vec<Service>),
    /// And when, by a clock that never jumps.
    Sessions(Duration, Vec<Session>),
    Lines(Vec<Line>),
}

/// All that is known.
#[derive(Clone, Debug)]
pub(super) struct Data {
    pub(super) now: SystemTime,
    pub(super) sources: Vec<Source>,
    /// Each with the number of its source.
    pub(super) machines: Vec<(usize, Machine)>,
    pub(super) bindings: Vec<(usize, Binding)>,
    pub(super) services: Vec<(usize, Service)>,
    pub(super) sessions: Vec<(usize, Session)>,
    /// Oldest first. No source: it was said here.
    pub(super) lines: Vec<(Option<usize>, Line)>,
    /// When the sessions of a source were looked at last.
    looked: BTreeMap<usize, Duration>,
    /// How many lines were said here.
    noted: u64,
}

impl Data {
    pub(super) fn new(now: SystemTime, sources: Vec<Source>) -> Self {
        Self {
            now,
            sources,
            machines: Vec::new(),
            bindings: Vec::new(),
            services: Vec::new(),
            sessions: Vec::new(),
            lines: Vec::new(),
            looked: BTreeMap::new(),
            noted: 0,
        }
    }

    /// The sources that are to be shown: of each kind those that are or were there; where
    /// none is, all that were looked for.
    pub(super) fn shown(&self) -> impl Iterator<Item = &Source> {
        let matters = |source: &&Source| {
            let mut others = self.sources.iter().filter(|other| other.kind == source.kind);
            source.link.has_answered() || !others.any(|other| other.link.has_answered())
        };
        self.sources.iter().filter(matters)
    }

    /// Those of a kind.
    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = &Source> {
        self.shown().filter(move |source| source.kind == kind)
    }

    /// Whether what a source has said may be no longer so.
    pub(super) fn is_stale(&self, source: usize) -> bool {
        let link = self.sources.get(source).map(|source| &source.link);
        matches!(link, Some(Link::Lost { .. }))
    }

    /// Takes in what a look at a source has found.
    pub(super) fn found(&mut self, source: usize, found: Found) {
        match found {
            Found::Fleet(machines, bindings) => {
                replace(&mut self.machines, source, machines);
                replace(&mut self.bindings, source, bindings);
            }
            Found::Services(services) => replace(&mut self.services, source, services),
            Found::Sessions(at, mut sessions) => {
                let passed = self.looked.insert(source, at).map(|then| at.saturating_sub(then));
                for session in &mut sessions {
                    let before = self.sessions.iter().find(|(of, before)| {
                        // Numbers begin anew when a node does: its peers are others then.
                        *of == source
                            && before.number == session.number
                            && before.peer == session.peer
                    });
                    session.rates = before.zip(passed).and_then(|((_, before), passed)| {
                        rates(before.counters, session.counters, passed)
                    });
                }
                replace(&mut self.sessions, source, sessions);
            }
            Found::Lines(lines) => {
                for line in lines {
                    self.log(Some(source), line);
                }
            }
        }
    }

    /// A source answers.
    pub(super) fn up(&mut self, source: usize) {
        let Some(of) = self.sources.get_mut(source) else { return };
        let before = std::mem::replace(&mut of.link, Link::There);
        // No rate over the time in which it was not seen.
        self.looked.remove(&source);
        if let Link::Lost { .. } = before {
            self.note(source, "back", "answers again");
        }
    }

    /// A source can't be asked.
    pub(super) fn down(&mut self, source: usize, why: String) {
        let now = self.now;
        let Some(of) = self.sources.get_mut(source) else { return };
        match &mut of.link {
            Link::Looking | Link::Absent(_) => of.link = Link::Absent(why),
            Link::Lost { why: before, .. } => *before = why,
            Link::There => {
                of.link = Link::Lost { why: why.clone(), since: now };
                for (_, session) in self.sessions.iter_mut().filter(|(of, _)| *of == source) {
                    session.rates = None;
                }
                self.note(source, "lost", &why);
            }
        }
    }

    /// Writes down what happened to a source.
    fn note(&mut self, source: usize, event: &str, text: &str) {
        let Some(of) = self.sources.get(source) else { return };
        let at = self.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.noted += 1;
        let line = Line {
            number: self.noted,
            at: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            event: event.into(),
            who: of.kind.word().into(),
            text: format!("{}: {text}", of.place),
        };
        self.log(None, line);
    }

    /// Puts a line where it belongs, unless it is there.
    fn log(&mut self, source: Option<usize>, line: Line) {
        let after = self.lines.partition_point(|(_, other)| other.at <= line.at);
        let mut same = self.lines.iter().take(after).rev().take_while(|(_, of)| of.at == line.at);
        if same.any(|(of, other)| *of == source && *other == line) {
            return;
        }
        if self.lines.len() >= MAX_LINES {
            if after == 0 {
                return;
            }
            self.lines.remove(0);
            self.lines.insert(after - 1, (source, line));
        } else {
            self.lines.insert(after, (source, line));
        }
    }
}

/// Puts what a source says now in the place of what it has said.
fn replace<T>(all: &mut Vec<(usize, T)>, source: usize, new: Vec<T>) {
    all.retain(|(of, _)| *of != source);
    all.extend(new.into_iter().map(|item| (source, item)));
    // Stable: within a source the order is the source's.
    all.sort_by_key(|(of, _)| *of);
}

/// How much there was in a second, unless no time has passed or it was counted anew.
pub(super) fn rates(before: Counters, now: Counters, passed: Duration) -> Option<Rates> {
    if passed.is_zero() {
        return None;
    }
    let rate = |before: u64, now: u64| {
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown in three figures")]
        now.checked_sub(before).map(|count| count as f64 / passed.as_secs_f64())
    };
    Some(Rates {
        messages_in: rate(before.messages_in, now.messages_in)?,
        messages_out: rate(before.messages_out, now.messages_out)?,
        bytes_in: rate(before.bytes_in, now.bytes_in)?,
        bytes_out: rate(before.bytes_out, now.bytes_out)?,
    })
}
