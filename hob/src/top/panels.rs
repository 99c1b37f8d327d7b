//! The panels: what is known, as tables.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::grid::{Cell, Column, Grid, Id, Row};
use super::model::{Data, Kind, Rates, Session};
use crate::fleet::short;
use crate::output::screen::Paint;
use crate::output::time::{ago, clock};

/// A panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Panel {
    Machines,
    Services,
    Bindings,
    Sessions,
    Events,
}

impl Panel {
    pub(super) const ALL: [Self; 5] =
        [Self::Machines, Self::Services, Self::Bindings, Self::Sessions, Self::Events];

    /// Its place among the others, from 0.
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// The one so many places on, around the end.
    pub(super) fn step(self, by: isize) -> Self {
        let count = Self::ALL.len();
        let at = (self.index() + count).saturating_add_signed(by) % count;
        Self::ALL.get(at).copied().unwrap_or(self)
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Machines => "Machines",
            Self::Services => "Services",
            Self::Bindings => "Bindings",
            Self::Sessions => "Sessions",
            Self::Events => "Events",
        }
    }

    /// The same where there is little room.
    pub(super) const fn abbreviation(self) -> &'static str {
        match self {
            Self::Machines => "Mach",
            Self::Services => "Svc",
            Self::Bindings => "Bind",
            Self::Sessions => "Sess",
            Self::Events => "Log",
        }
    }

    /// Who says what is in it. The log is everybody's.
    pub(super) const fn kind(self) -> Option<Kind> {
        match self {
            Self::Machines | Self::Bindings => Some(Kind::Boss),
            Self::Services => Some(Kind::Shepherd),
            Self::Sessions => Some(Kind::Node),
            Self::Events => None,
        }
    }

    /// The column by which it is sorted at first, if not as it comes.
    pub(super) const fn sorted(self) -> Option<usize> {
        match self {
            Self::Events | Self::Bindings => None,
            _ => Some(0),
        }
    }

    /// All rows of it.
    pub(super) fn grid(self, data: &Data) -> Grid {
        match self {
            Self::Machines => machines(data),
            Self::Services => services(data),
            Self::Bindings => bindings(data),
            Self::Sessions => sessions(data),
            Self::Events => events(data),
        }
    }

    /// Why there may be nothing in it, or nothing new: what is amiss with its sources.
    pub(super) fn trouble(self, data: &Data) -> Option<String> {
        let kind = self.kind()?;
        if data.of(kind).next().is_none() {
            return Some(format!("no {} was named", kind.word()));
        }
        let several = several(data, kind);
        let amiss = data.of(kind).filter_map(|source| {
            let said = source.trouble(data.now)?;
            // What is not there says where it was looked for.
            let named = !several || said.contains(&source.place);
            Some(if named { said } else { format!("{}: {said}", source.place) })
        });
        let amiss: Vec<String> = amiss.collect();
        (!amiss.is_empty()).then(|| amiss.join("; "))
    }

    /// All there is to say of a row that needs not be asked for.
    pub(super) fn details(self, data: &Data, row: &Row) -> String {
        match self {
            Self::Machines => {
                let machine = data
                    .machines
                    .iter()
                    .find(|(source, machine)| row.id == Id(Some(*source), machine.name.clone()));
                machine.map(|(_, machine)| machine.words.clone()).unwrap_or_default()
            }
            Self::Sessions => {
                let session =
                    data.sessions.iter().find(|(source, session)| row.id == id(*source, session));
                session.map(|(source, session)| words(data, *source, session)).unwrap_or_default()
            }
            Self::Services | Self::Bindings | Self::Events => {
                let columns = self.grid(data).columns;
                let lines = columns.iter().zip(&row.cells);
                let lines =
                    lines.map(|(column, cell)| format!("{:<9} {}", column.title, cell.text));
                lines.collect::<Vec<_>>().join("\n")
            }
        }
    }
}

/// Whether there are several of a kind, so that it has to be said whose a row is.
fn several(data: &Data, kind: Kind) -> bool {
    data.of(kind).count() > 1
}

fn whose(data: &Data, source: usize) -> Cell {
    Cell::text(data.sources.get(source).map_or("", |source| source.place.as_str()))
}

/// A row of a source, with whose it is at its end where there are several.
fn row(data: &Data, kind: Kind, source: usize, name: String, cells: Vec<Cell>) -> Row {
    let mut cells = cells;
    if several(data, kind) {
        cells.push(whose(data, source));
    }
    Row { id: Id(Some(source), name), cells, stale: data.is_stale(source) }
}

fn table(data: &Data, kind: Kind, columns: &[Column], rows: Vec<Row>) -> Grid {
    let mut columns = columns.to_vec();
    if several(data, kind) {
        columns.push(Column::text("AT", 1));
    }
    Grid::new(columns, rows)
}

/// How long ago something was: what is long ago is more.
fn age(then: Option<SystemTime>, now: SystemTime) -> Cell {
    let passed = then.map(|then| now.duration_since(then).unwrap_or_default().as_secs());
    Cell::number(then.map(|then| ago(then, now)).unwrap_or_default(), passed)
}

fn machines(data: &Data) -> Grid {
    let columns = [
        Column::text("NAME", 0),
        Column::text("STATE", 0),
        Column::text("PROVIDER", 4),
        Column::text("PEER", 5),
        Column::number("SEEN", 1),
        Column::number("DRIFT", 2),
        Column::number("NAMES", 3),
        Column::elastic("WHY", 6),
    ];
    let rows = data.machines.iter().map(|(source, machine)| {
        let of_it = |of: &usize, name: &str| of == source && name == machine.name;
        let names = data.bindings.iter().filter(|(of, bound)| of_it(of, &bound.machine)).count();
        let drift = machine.drift.map(|count| count as u64);
        let drifts = if drift.unwrap_or_default() > 0 { Paint::Bad } else { Paint::Plain };
        let cells = vec![
            Cell::text(&machine.name),
            Cell::text(&machine.state).painted(machine.paint),
            Cell::text(&machine.provider),
            Cell::text(machine.peer.as_deref().map(short).unwrap_or_default()),
            age(machine.seen, data.now),
            Cell::count(drift).painted(drifts),
            Cell::count(Some(names as u64)),
            Cell::text(&machine.why),
        ];
        row(data, Kind::Boss, *source, machine.name.clone(), cells)
    });
    table(data, Kind::Boss, &columns, rows.collect())
}

fn bindings(data: &Data) -> Grid {
    let columns = [
        Column::text("MACHINE", 0),
        Column::text("NAME", 0),
        Column::text("STATE", 0),
        Column::text("FROM", 1),
        Column::elastic("RULES", 2),
        Column::elastic("WHY", 3),
    ];
    let rows = data.bindings.iter().map(|(source, bound)| {
        let (state, paint) = match (&bound.from, bound.live) {
            (None, _) => ("own", Paint::Plain),
            (Some(_), true) => ("live", Paint::Good),
            (Some(_), false) if bound.why.is_empty() => ("pending", Paint::Waiting),
            (Some(_), false) => ("broken", Paint::Bad),
        };
        let cells = vec![
            Cell::text(&bound.machine),
            Cell::text(&bound.name),
            Cell::text(state).painted(paint),
            Cell::text(bound.from.as_deref().unwrap_or_default()),
            Cell::text(&bound.rules),
            Cell::text(&bound.why),
        ];
        row(data, Kind::Boss, *source, format!("{}:{}", bound.machine, bound.name), cells)
    });
    table(data, Kind::Boss, &columns, rows.collect())
}

fn services(data: &Data) -> Grid {
    let columns = [
        Column::text("NAME", 0),
        Column::text("STATE", 0),
        Column::number("FOR", 1),
        Column::number("PID", 3),
        Column::text("ENABLED", 4),
        Column::elastic("WHAT", 2),
    ];
    let rows = data.services.iter().map(|(source, service)| {
        let enabled = if service.enabled { "yes" } else { "no" };
        let cells = vec![
            Cell::text(&service.name),
            Cell::text(&service.state).painted(service.paint),
            age(service.since, data.now),
            Cell::count(service.pid),
            Cell::text(enabled),
            Cell::text(&service.what),
        ];
        row(data, Kind::Shepherd, *source, service.name.clone(), cells)
    });
    table(data, Kind::Shepherd, &columns, rows.collect())
}

fn id(source: usize, session: &Session) -> Id {
    Id(Some(source), session.number.to_string())
}

/// What a peer is called: by the boss if it is a machine, else by its own name.
pub(super) fn peer(data: &Data, session: &Session) -> String {
    let mut machines = data.machines.iter().map(|(_, machine)| machine);
    match machines.find(|machine| machine.peer.as_deref() == Some(&session.peer)) {
        Some(machine) if !session.peer.is_empty() => machine.name.clone(),
        _ if session.own => format!("{} (this)", short(&session.peer)),
        _ => short(&session.peer),
    }
}

fn sessions(data: &Data) -> Grid {
    let columns = [
        Column::text("PEER", 0),
        Column::text("NET", 6),
        Column::number("IN/s", 1),
        Column::number("OUT/s", 1),
        Column::number("B-IN/s", 4),
        Column::number("B-OUT/s", 4),
        Column::number("QUEUE", 2),
        Column::number("WAIT", 2),
        Column::number("EXP", 5),
        Column::number("IMP", 5),
        Column::number("ASKED", 7),
        Column::number("OWED", 7),
    ];
    let rows = data.sessions.iter().map(|(source, session)| {
        let rate = |of: fn(&Rates) -> f64, show: fn(f64) -> String| {
            let rate = session.rates.as_ref().map(of);
            #[expect(clippy::cast_possible_truncation, reason = "it is only compared")]
            #[expect(clippy::cast_sign_loss, reason = "counters do not go down")]
            let key = rate.map(|rate| (rate * 1000.0) as u64);
            Cell::number(rate.map(show).unwrap_or_default(), key)
        };
        let pace = if session.paced { Paint::Waiting } else { Paint::Plain };
        let wait = match (session.paced, bytes(session.waiting)) {
            (true, bytes) => format!("{bytes}!"),
            (false, bytes) => bytes,
        };
        let cells = vec![
            Cell::text(peer(data, session)),
            Cell::text(&session.transport),
            rate(|rates| rates.messages_in, per_second),
            rate(|rates| rates.messages_out, per_second),
            rate(|rates| rates.bytes_in, bytes_per_second),
            rate(|rates| rates.bytes_out, bytes_per_second),
            Cell::number(bytes(session.queued), Some(session.queued)),
            Cell::number(wait, Some(session.waiting)).painted(pace),
            Cell::count(Some(session.exports)),
            Cell::count(Some(session.imports)),
            Cell::count(Some(session.questions)),
            Cell::count(Some(session.answers)),
        ];
        row(data, Kind::Node, *source, session.number.to_string(), cells)
    });
    table(data, Kind::Node, &columns, rows.collect())
}

/// A session in words.
fn words(data: &Data, source: usize, session: &Session) -> String {
    let counters = &session.counters;
    let proven = if session.verified { "proven by the netlayer" } else { "not proven" };
    let paced = if session.paced { ", and the peer is not read for now" } else { "" };
    let rates = |messages: fn(&Rates) -> f64, bytes: fn(&Rates) -> f64| {
        session.rates.as_ref().map_or_else(String::new, |rates| {
            let (messages, bytes) = (per_second(messages(rates)), bytes_per_second(bytes(rates)));
            format!(", {messages}/s and {bytes}/s now")
        })
    };
    let lines = [
        format!("session {} of {}", session.number, whose(data, source).text),
        format!("  peer       {} ({proven})", session.peer),
        format!("  called     {}", peer(data, session)),
        format!("  transport  {}", session.transport),
        format!(
            "  in         {} messages, {}{}",
            counters.messages_in,
            bytes(counters.bytes_in),
            rates(|rates| rates.messages_in, |rates| rates.bytes_in)
        ),
        format!(
            "  out        {} messages, {}{}",
            counters.messages_out,
            bytes(counters.bytes_out),
            rates(|rates| rates.messages_out, |rates| rates.bytes_out)
        ),
        format!("  queue      {} wait to be sent", bytes(session.queued)),
        format!("  wait       {} were received and wait{paced}", bytes(session.waiting)),
        format!("  exports    {} that the peer may name", session.exports),
        format!("  imports    {} that it lets us name", session.imports),
        format!("  asked      {} answers of the peer that we may name", session.questions),
        format!("  owed       {} answers of ours that it may name", session.answers),
    ];
    crate::output::harmless(&lines.join("\n"))
}

fn events(data: &Data) -> Grid {
    let columns = vec![
        Column::text("TIME", 0),
        Column::text("SAID-BY", 3),
        Column::text("EVENT", 2),
        Column::text("WHO", 1),
        Column::elastic("WHAT", 0),
    ];
    let rows = data.lines.iter().map(|(source, line)| {
        let when = UNIX_EPOCH.checked_add(Duration::from_millis(line.at)).unwrap_or(UNIX_EPOCH);
        let by = source.and_then(|source| data.sources.get(source));
        let paint = match &*line.event {
            "lost" | "failed" => Paint::Bad,
            _ => Paint::Plain,
        };
        let cells = vec![
            Cell::number(clock(when), Some(line.at)),
            Cell::text(by.map_or("top", |source| source.kind.word())),
            Cell::text(&line.event).painted(paint),
            Cell::text(&line.who),
            Cell::text(&line.text),
        ];
        let id = Id(*source, format!("{} {}", line.at, line.number));
        Row { id, cells, stale: false }
    });
    Grid::new(columns, rows.collect())
}

/// A number of bytes in a few characters: `0`, `999`, `1.2K`, `34M`.
pub(super) fn bytes(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two figures are shown")]
    let count = count as f64;
    scaled(count, 1024.0)
}

fn bytes_per_second(rate: f64) -> String {
    scaled(rate.round(), 1024.0)
}

/// A rate: `0`, `0.5`, `12`, `1.2K`.
pub(super) fn per_second(rate: f64) -> String {
    if rate > 0.0 && rate < 9.95 && rate.fract() > 0.0 {
        let text = format!("{rate:.1}");
        return if text == "0.0" { "<0.1".to_owned() } else { text.trim_end_matches(".0").into() };
    }
    scaled(rate.round(), 1000.0)
}

fn scaled(mut count: f64, step: f64) -> String {
    let mut units = ["", "K", "M", "G", "T", "P"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    // What would be rounded up to a full step is one of the next unit.
    while count >= step - 0.5 {
        let Some(next) = units.next() else { break };
        (unit, count) = (next, count / step);
    }
    if unit.is_empty() || count >= 9.95 {
        format!("{count:.0}{unit}")
    } else {
        format!("{count:.1}{unit}")
    }
}
