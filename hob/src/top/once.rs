//! What there is, printed once: for people as tables, for programs as JSON.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::model::{Data, Kind, Line, Link, Rates, Session, Source};
use super::panels::{self, Panel};
use super::sources::{self, Asked};
use super::state::{News, State};
use super::view;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::output::screen::{Paint, Screen};
use crate::output::table::{Cell, Column, Table};
use crate::output::time::rfc3339;

/// How many of the last events are printed.
const EVENTS: usize = 20;

pub(super) async fn once(
    shown: Vec<Source>,
    asked: Vec<Asked>,
    screen: Screen,
    json: bool,
) -> anyhow::Result<()> {
    let (tell, mut news) = unbounded_channel();
    let mut looks = JoinSet::new();
    for asked in asked {
        let tell = tell.clone();
        looks.spawn(async move {
            let source = asked.source;
            if let Err(error) = look(asked, &tell).await {
                let _gone = tell.send(News::Down(source, format!("{error:#}")));
            }
        });
    }
    drop(tell);
    let mut state = State::new(SystemTime::now(), shown, true);
    while let Some(news) = news.recv().await {
        state.hear(news);
    }
    state.hear(News::Tick(SystemTime::now()));
    let data = state.live();
    let sources = &data.sources;
    if !sources.iter().any(|source| source.link == Link::There) {
        let whys: Vec<String> = sources.iter().map(|source| said(data, source)).collect();
        let next = "start one, or name others with --state, --boss, --herd and --admin";
        return Err(Failure::new(Exit::Unreachable, whys.join("; ")).next(next).into());
    }
    if json {
        return output::json::print(as_json(data));
    }
    output::line(&text(data, screen))
}

/// Looks at a source; twice, and an interval later, where there are rates.
async fn look(asked: Asked, news: &UnboundedSender<News>) -> anyhow::Result<()> {
    let mut session = sources::Session::open(&asked, news).await?;
    let _gone = news.send(News::Up(asked.source));
    let outcome = async {
        session.look().await?;
        if asked.kind == Kind::Node {
            tokio::time::sleep(asked.interval).await;
            session.look().await?;
        }
        Ok(())
    };
    let outcome = outcome.await;
    session.end().await;
    outcome
}

/// How it stands with a source, in a line.
fn said(data: &Data, source: &Source) -> String {
    match (source.trouble(data.now), &source.link) {
        (Some(trouble), Link::Lost { .. }) => format!("{}: {trouble}", source.place),
        (Some(trouble), _) => trouble,
        (None, _) => source.place.clone(),
    }
}

/// All of it in words.
pub(super) fn text(data: &Data, screen: Screen) -> String {
    let mut lines = vec![format!("hob top  {}", rfc3339(data.now))];
    for source in data.shown() {
        let mark = view::mark(source);
        let sign = screen.paint(mark.paint(), mark.sign());
        let said = output::harmless(&said(data, source)).replace('\n', " ");
        lines.push(format!("{:<9} {sign} {said}", source.kind.word()));
    }
    for panel in Panel::ALL {
        let mut grid = panel.grid(data);
        if let Some(column) = panel.sorted() {
            grid.sort(column, false);
        }
        lines.push(String::new());
        lines.push(screen.paint(Paint::Heading, &panel.title().to_uppercase()));
        if grid.rows.is_empty() {
            let trouble = panel.trouble(data);
            let trouble = trouble.unwrap_or_else(|| "none".to_owned());
            lines.push(format!("  {}", output::harmless(&trouble).replace('\n', " ")));
            continue;
        }
        let columns = grid.columns.iter().map(|column| match column.rank {
            0 => Column::kept(column.title),
            rank => Column::droppable(column.title, rank),
        });
        let mut table = Table::new(columns);
        let skipped = match panel {
            Panel::Events => grid.rows.len().saturating_sub(EVENTS),
            _ => 0,
        };
        for row in grid.rows.iter().skip(skipped) {
            table.row(row.cells.iter().map(|cell| Cell::new(&cell.text).painted(cell.paint)));
        }
        lines.push(table.render(screen));
    }
    lines.join("\n")
}

/// All of it as JSON.
pub(super) fn as_json(data: &Data) -> Value {
    let place = |source: usize| data.sources.get(source).map(|source| source.place.clone());
    let sources = data.sources.iter().map(|source| {
        let (state, why) = match &source.link {
            Link::There => ("there", None),
            Link::Looking => ("looking", None),
            Link::Absent(why) => ("absent", Some(why)),
            Link::Lost { why, .. } => ("lost", Some(why)),
        };
        json!({"kind": source.kind.word(), "place": source.place, "state": state, "why": why})
    });
    let with_place = |(source, json): (usize, &Value)| {
        let mut json = json.clone();
        if let Value::Object(fields) = &mut json {
            fields.insert("at".to_owned(), json!(place(source)));
        }
        json
    };
    let machines = data.machines.iter().map(|(of, machine)| with_place((*of, &machine.json)));
    let services = data.services.iter().map(|(of, service)| with_place((*of, &service.json)));
    let bindings = data.bindings.iter().map(|(source, bound)| {
        json!({
            "machine": bound.machine,
            "name": bound.name,
            "from": bound.from,
            "rules": bound.rules,
            "live": bound.live,
            "why": (!bound.why.is_empty()).then_some(&bound.why),
            "at": place(*source),
        })
    });
    let sessions = data.sessions.iter().map(|(source, session)| {
        let mut json = session_json(data, session);
        if let Value::Object(fields) = &mut json {
            fields.insert("at".to_owned(), json!(place(*source)));
        }
        json
    });
    let events = data.lines.iter().map(|(source, line)| event_json(source.and_then(place), line));
    json!({
        "now": rfc3339(data.now),
        "sources": sources.collect::<Vec<_>>(),
        "machines": machines.collect::<Vec<_>>(),
        "services": services.collect::<Vec<_>>(),
        "bindings": bindings.collect::<Vec<_>>(),
        "sessions": sessions.collect::<Vec<_>>(),
        "events": events.collect::<Vec<_>>(),
    })
}

fn session_json(data: &Data, session: &Session) -> Value {
    let rates = |rates: &Rates| {
        json!({
            "messages_in": rates.messages_in,
            "messages_out": rates.messages_out,
            "bytes_in": rates.bytes_in,
            "bytes_out": rates.bytes_out,
        })
    };
    let counters = &session.counters;
    json!({
        "number": session.number,
        "peer": session.peer,
        "called": panels::peer(data, session),
        "own": session.own,
        "transport": session.transport,
        "verified": session.verified,
        "messages_in": counters.messages_in,
        "messages_out": counters.messages_out,
        "bytes_in": counters.bytes_in,
        "bytes_out": counters.bytes_out,
        "rates": session.rates.as_ref().map(rates),
        "queued_bytes": session.queued,
        "waiting_bytes": session.waiting,
        "paced": session.paced,
        "exports": session.exports,
        "imports": session.imports,
        "questions": session.questions,
        "answers": session.answers,
    })
}

fn event_json(at: Option<String>, line: &Line) -> Value {
    let when = UNIX_EPOCH.checked_add(Duration::from_millis(line.at)).unwrap_or(UNIX_EPOCH);
    json!({
        "n": line.number,
        "time": rfc3339(when),
        "event": line.event,
        "about": line.who,
        "text": line.text,
        "at": at,
    })
}
