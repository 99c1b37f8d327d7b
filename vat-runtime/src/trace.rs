//! What happened, and because of what. Owns the log of a vat's last turns ([`Event`]), how
//! the logs of several vats are read together ([`Trace`]), and the mark by which messages
//! remember their turn ([`TurnId`]).
//!
//! Every message carries the turn that sent it, so the log of the turn that takes it names
//! its cause, also in another vat. A turn of a handler has two causes: the turn that set
//! the handler up, and the one that settled the promise.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::io;

use crate::ids::ActorId;
use crate::slab::Slab;
use crate::{Fault, Value};

/// Names one turn of this process: which vat, and its how manieth turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TurnId {
    /// The vat, by a number that no other vat of this process has. From 1; 0 is what is
    /// in no vat: a session, or code outside.
    pub vat: u64,
    /// The turn, counted from 1 in the order in which the vat ran them.
    pub turn: u64,
}

impl TurnId {
    /// No turn: what comes from outside.
    pub const OUTSIDE: Self = Self { vat: 0, turn: 0 };

    /// Whether this names no turn.
    #[must_use]
    pub const fn is_outside(self) -> bool {
        self.vat == 0
    }
}

impl fmt::Display for TurnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_outside() {
            return f.write_str("outside");
        }
        write!(f, "{}.{}", self.vat, self.turn)
    }
}

/// Why there was a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// A message, sent by that turn.
    Message {
        /// Who sent it.
        from: TurnId,
    },
    /// A promise settled that a handler waited for.
    Settled {
        /// Who set the handler up.
        from: TurnId,
        /// Who settled the promise.
        by: TurnId,
    },
    /// The program outside wanted it ([`Vat::run`](crate::Vat::run)).
    #[default]
    Errand,
}

impl Cause {
    /// The turns that this is because of.
    pub fn turns(self) -> impl Iterator<Item = TurnId> {
        let (one, other) = match self {
            Self::Message { from } => (from, TurnId::OUTSIDE),
            Self::Settled { from, by } => (from, by),
            Self::Errand => (TurnId::OUTSIDE, TurnId::OUTSIDE),
        };
        [one, other].into_iter().filter(|turn| !turn.is_outside())
    }
}

/// One turn, as the vat's log remembers it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Event {
    /// Which turn.
    pub turn: TurnId,
    /// Because of what.
    pub cause: Cause,
    /// On whose behalf: a number that no other actor of the vat ever has.
    pub actor: Option<u64>,
    /// What kind of actor that was ([`Behaviour::name`](crate::Behaviour::name)).
    pub kind: &'static str,
    /// The first argument of the message, if that is a symbol: its method.
    method: Value,
    /// How many messages, handlers and resolutions took effect with the turn.
    pub effects: usize,
    /// How many times actors were spawned or became something.
    pub changes: usize,
    /// Why the turn failed, if it did.
    pub fault: Option<Box<Fault>>,
}

impl Event {
    /// The method of the message that the turn handled, if it names one.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        match &self.method {
            Value::Symbol(name) => Some(name),
            _ => None,
        }
    }
}

/// The last turns of a vat: see [`Vat::log`](crate::Vat::log).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VatLog {
    /// The vat's number.
    pub vat: u64,
    /// The vat's name.
    pub name: String,
    /// Its turns, oldest first.
    pub events: Vec<Event>,
}

/// The log as it is written: full from some time on, and then written over in place.
pub(crate) struct Ring {
    events: Vec<Event>,
    limit: usize,
    /// Where the turn that began last stands.
    last: usize,
}

impl Ring {
    /// A log of so many turns, or none.
    pub(crate) fn of(limit: usize) -> Option<Box<Self>> {
        (limit > 0).then(|| Box::new(Self { events: Vec::new(), limit, last: limit - 1 }))
    }

    /// A turn begins.
    pub(crate) fn begin(
        &mut self,
        turn: TurnId,
        cause: Cause,
        actor: Option<ActorId>,
        actors: &Slab,
        args: &[Value],
    ) {
        let _ = CURRENT.try_with(|current| current.set(turn));
        self.last = if self.last + 1 < self.limit { self.last + 1 } else { 0 };
        if self.events.len() <= self.last {
            self.events.push(Event::default());
        }
        let Some(event) = self.events.get_mut(self.last) else { return };
        // Field by field: most are plain numbers, and this is done for every turn.
        event.turn = turn;
        event.cause = cause;
        event.actor = actor.map(ActorId::to_bits);
        event.kind = actor.and_then(|id| actors.name(id)).unwrap_or("none");
        if let Some(method @ Value::Symbol(_)) = args.first() {
            event.method = method.clone();
        } else if !matches!(event.method, Value::Undefined) {
            event.method = Value::Undefined;
        }
        if event.fault.is_some() {
            event.fault = None;
        }
    }

    /// The turn that began last has ended.
    #[inline]
    pub(crate) fn end(&mut self, effects: usize, changes: usize, fault: Option<&Fault>) {
        if let Some(event) = self.events.get_mut(self.last) {
            event.effects = effects;
            event.changes = changes;
            if let Some(fault) = fault {
                event.fault = Some(Box::new(fault.clone()));
            }
        }
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        let (newer, older) = self.events.split_at(self.events.len().min(self.last + 1));
        older.iter().chain(newer).cloned().collect()
    }
}

thread_local! {
    /// The turn that this thread runs, or has run last in the course of running a vat.
    static CURRENT: Cell<TurnId> = const { Cell::new(TurnId::OUTSIDE) };
}

/// The turn that this thread runs or commits, if its vat has a log.
pub(crate) fn current() -> TurnId {
    CURRENT.try_with(Cell::get).unwrap_or_default()
}

/// This thread runs a vat, until it is dropped.
pub(crate) struct Running(TurnId);

impl Running {
    pub(crate) fn begin() -> Self {
        Self(CURRENT.try_with(|current| current.replace(TurnId::OUTSIDE)).unwrap_or_default())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = CURRENT.try_with(|current| current.set(self.0));
    }
}

/// The logs of several vats of this process, read together.
///
/// ```
/// use vat_runtime::{Args, Fault, Manual, Reply, Trace, Turn, Vat};
///
/// let hand = Manual::new();
/// let [here, there] = ["here", "there"].map(|name| Vat::new(name, hand.clone()));
/// let far = there.spawn(|_: &mut Turn<'_>, _: Args| -> Result<Reply, Fault> { Ok(().into()) });
/// let asker = here.spawn(move |turn: &mut Turn<'_>, _: Args| -> Result<Reply, Fault> {
///     turn.send_only(&far, vec![]);
///     Ok(().into())
/// });
/// asker.send_only(vec![]);
/// hand.run_until_idle();
///
/// let logs = [here.log(), there.log()];
/// hand.run_until_idle();
/// let trace: Trace = logs.into_iter().filter_map(|log| log.wait().ok()).collect();
/// let first = trace.roots().next().unwrap();
/// let second = trace.caused_by(first.turn).next().unwrap();
/// assert_eq!(trace.vat_name(second.turn.vat), Some("there"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Trace {
    names: BTreeMap<u64, String>,
    events: BTreeMap<TurnId, Event>,
    effects: BTreeMap<TurnId, Vec<TurnId>>,
}

impl FromIterator<VatLog> for Trace {
    fn from_iter<I: IntoIterator<Item = VatLog>>(logs: I) -> Self {
        let mut trace = Self::default();
        for VatLog { vat, name, events } in logs {
            trace.names.insert(vat, name);
            trace.events.extend(events.into_iter().map(|event| (event.turn, event)));
        }
        for event in trace.events.values() {
            for cause in event.cause.turns() {
                let effects = trace.effects.entry(cause).or_default();
                if effects.last() != Some(&event.turn) {
                    effects.push(event.turn);
                }
            }
        }
        trace
    }
}

impl Trace {
    /// All turns that are remembered, by vat and turn.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.values()
    }

    /// The turn of that name, if it is remembered.
    #[must_use]
    pub fn event(&self, turn: TurnId) -> Option<&Event> {
        self.events.get(&turn)
    }

    /// The name of a vat of which there is a log.
    #[must_use]
    pub fn vat_name(&self, vat: u64) -> Option<&str> {
        self.names.get(&vat).map(String::as_str)
    }

    /// The turns of which no remembered turn is the cause.
    pub fn roots(&self) -> impl Iterator<Item = &Event> {
        self.events()
            .filter(|event| event.cause.turns().all(|cause| !self.events.contains_key(&cause)))
    }

    /// The turns that a turn is the cause of, or one of the causes.
    pub fn caused_by(&self, turn: TurnId) -> impl Iterator<Item = &Event> {
        let effects = self.effects.get(&turn).into_iter().flatten();
        effects.filter_map(|effect| self.events.get(effect))
    }

    /// The turns that led to a turn, in an order in which each comes after its causes.
    #[must_use]
    pub fn led_to(&self, turn: TurnId) -> Vec<&Event> {
        let (mut found, mut open) = (BTreeSet::new(), vec![turn]);
        while let Some(next) = open.pop() {
            let causes = self.events.get(&next).into_iter().flat_map(|event| event.cause.turns());
            for cause in causes.filter(|cause| self.events.contains_key(cause)) {
                if found.insert(cause) {
                    open.push(cause);
                }
            }
        }
        let (mut ordered, mut left) = (Vec::new(), found);
        // A cause is in `left` until it has been put in order; no turn causes an earlier one,
        // so each round finds some.
        while !left.is_empty() {
            let ready: Vec<TurnId> = left
                .iter()
                .filter(|turn| {
                    let event = self.events.get(turn);
                    event.is_none_or(|event| event.cause.turns().all(|by| !left.contains(&by)))
                })
                .copied()
                .collect();
            if ready.is_empty() {
                break;
            }
            for turn in ready {
                left.remove(&turn);
                ordered.extend(self.events.get(&turn));
            }
        }
        ordered
    }

    /// What led to what, as indented text. A turn with two causes stands under that which
    /// settled its promise.
    #[must_use]
    pub fn tree(&self) -> String {
        let mut text = String::new();
        let mut open: Vec<(usize, &Event)> = self.roots().map(|event| (0, event)).collect();
        open.reverse();
        let mut shown = BTreeSet::new();
        while let Some((depth, event)) = open.pop() {
            if !shown.insert(event.turn) {
                continue;
            }
            let _ = writeln!(text, "{:1$}{2}", "", 2 * depth, self.line(event));
            let effects: Vec<_> = self
                .caused_by(event.turn)
                .filter(|effect| match effect.cause {
                    Cause::Settled { by, .. } if self.events.contains_key(&by) => by == event.turn,
                    _ => true,
                })
                .collect();
            open.extend(effects.into_iter().rev().map(|effect| (depth + 1, effect)));
        }
        text
    }

    fn line(&self, event: &Event) -> String {
        let vat = self.vat_name(event.turn.vat).unwrap_or("?");
        let what = match event.cause {
            Cause::Message { .. } => event.method().unwrap_or("message"),
            Cause::Settled { .. } => "handler",
            Cause::Errand => "errand",
        };
        let fault = event.fault.as_ref().map_or(String::new(), |fault| format!(" failed: {fault}"));
        format!("{} {vat} {} {what}{fault}", event.turn, event.kind)
    }

    /// Writes each turn as one line of JSON, by vat and turn.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write_json_lines(&self, to: &mut impl io::Write) -> io::Result<()> {
        for event in self.events() {
            let name = self.vat_name(event.turn.vat).unwrap_or_default();
            writeln!(to, "{}", json(event, name))?;
        }
        Ok(())
    }
}

fn json(event: &Event, vat: &str) -> String {
    let mut line = format!(
        "{{\"vat\":{},\"name\":{},\"turn\":{}",
        event.turn.vat,
        quoted(vat),
        event.turn.turn
    );
    let turn = |turn: TurnId| match turn.is_outside() {
        true => "null".to_owned(),
        false => format!("{{\"vat\":{},\"turn\":{}}}", turn.vat, turn.turn),
    };
    let _ = match event.cause {
        Cause::Message { from } => write!(line, ",\"cause\":\"message\",\"from\":{}", turn(from)),
        Cause::Settled { from, by } => {
            let (from, by) = (turn(from), turn(by));
            write!(line, ",\"cause\":\"settled\",\"from\":{from},\"by\":{by}")
        }
        Cause::Errand => write!(line, ",\"cause\":\"errand\""),
    };
    if let Some(actor) = event.actor {
        let _ = write!(line, ",\"actor\":{actor},\"kind\":{}", quoted(event.kind));
    }
    if let Some(method) = event.method() {
        let _ = write!(line, ",\"method\":{}", quoted(method));
    }
    let _ = write!(line, ",\"effects\":{},\"changes\":{}", event.effects, event.changes);
    if let Some(fault) = &event.fault {
        let _ = write!(line, ",\"fault\":{}", quoted(&fault.to_string()));
    }
    line.push('}');
    line
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            control if u32::from(control) < 0x20 => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
