//! The shepherd: services, what happens to them, and what is done with them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ocapn::{IntoValue as _, Promise, Value, object};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::{Session, is_refusal};
use crate::exit::Broke;
use crate::output::screen::Paint;
use crate::services::{Event, Phase, Status, Writer, WriterRef, refusal_reason, status_text};
use crate::top::model::{Found, Line, Service};
use crate::top::state::{News, Verb};

/// How many of the last lines of a service are shown with it.
const LINES: u64 = 100;

/// Asks for the services, and for what has happened since.
pub(super) async fn look(session: &mut Session) -> anyhow::Result<()> {
    let statuses: Vec<Status> = session.ask("statuses", Vec::new()).await?;
    session.found(Found::Services(statuses.iter().map(service).collect()));
    let events = match session.ask::<Vec<Event>>("events", vec![session.after.into()]).await {
        // A capability to one service has no log.
        Err(error) if is_refusal(&error) => return Ok(()),
        events => events?,
    };
    if let Some(last) = events.last() {
        session.after = last.number;
        session.found(Found::Lines(events.into_iter().map(line).collect()));
    }
    Ok(())
}

/// What a shepherd says goes here.
struct Ear {
    hints: UnboundedSender<()>,
    news: UnboundedSender<News>,
}

#[object]
impl Writer for Ear {
    fn line(&self, text: String) {
        let _gone = self.news.send(News::Said(text));
    }

    fn said(&self, _at: i64, _text: String) {}

    fn happened(&self, _event: Event) {
        let _gone = self.hints.send(());
    }
}

/// Has the shepherd say when something happens.
pub(super) async fn watch(session: &mut Session) {
    let (hints, heard) = unbounded_channel();
    let ear = Ear { hints, news: session.news.clone() };
    let writer = WriterRef::spawn_in(&session.client.vat(), ear);
    match session.ask::<Value>("watch", vec![writer.into_value()]).await {
        Ok(_) => session.hints = Some(heard),
        // Then it is only looked at from time to time.
        Err(_) => session.hinting = false,
    }
}

/// Asks for all about a service.
pub(super) fn details(session: &Session, under_way: &mut JoinSet<News>, name: String) {
    let source = session.asked.source;
    let message = vec![Value::symbol("status"), name.as_str().into(), LINES.into()];
    let answer = session.object.send(message);
    under_way.spawn(async move {
        let status = answer.await.map_err(|fault| said(Broke(fault)));
        let status = status.and_then(|status| {
            <Status as ocapn::FromValue>::from_value(status).map_err(|error| error.to_string())
        });
        match status {
            Ok(status) => News::Details(source, name, status_text(&status)),
            Err(why) => News::Said(format!("status {name}: {why}")),
        }
    });
}

/// Has something done with a service.
pub(super) fn order(session: &Session, under_way: &mut JoinSet<News>, verb: Verb, name: String) {
    let (hints, _) = unbounded_channel();
    let ear = Ear { hints, news: session.news.clone() };
    let writer = WriterRef::spawn_in(&session.client.vat(), ear);
    let message = vec![Value::symbol(verb.word()), name.as_str().into(), writer.into_value()];
    let answer = session.object.send(message);
    under_way.spawn(done(session.asked.source, verb, name, answer));
}

async fn done(source: usize, verb: Verb, name: String, answer: Promise) -> News {
    let word = verb.word();
    match answer.await {
        Ok(_) => News::Said(format!("{word} {name}: done")),
        Err(fault) => match refusal_reason(&fault) {
            Some(why) => News::Denied(source, verb, format!("{word} {name}: {why}")),
            None => News::Said(format!("{word} {name}: {}", said(Broke(fault)))),
        },
    }
}

fn said(broke: Broke) -> String {
    broke.why()
}

fn service(status: &Status) -> Service {
    let paint = match status.state {
        Phase::Running => Paint::Good,
        Phase::Starting | Phase::Stopping => Paint::Waiting,
        Phase::Failed => Paint::Bad,
        Phase::Stopped => Paint::Plain,
    };
    let what = match (&status.failure, &status.timer) {
        (Some(failure), _) if !status.state.is_up() => failure.clone(),
        (_, Some(timer)) => format!("timer {timer}"),
        _ if !status.sockets.is_empty() && status.pid.is_none() => {
            format!("listens on {}", status.sockets.join(" "))
        }
        _ => status.command.join(" "),
    };
    Service {
        name: status.name.clone(),
        state: status.state.name().to_owned(),
        paint,
        since: at(status.since),
        pid: status.pid.and_then(|pid| u64::try_from(pid).ok()),
        enabled: status.enabled,
        what,
        json: serde_json::to_value(status).unwrap_or_default(),
    }
}

fn at(seconds: i64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

fn line(event: Event) -> Line {
    Line {
        number: event.number,
        at: u64::try_from(event.at).unwrap_or_default().saturating_mul(1000),
        event: event.state,
        who: event.service,
        text: event.detail.unwrap_or_default(),
    }
}
