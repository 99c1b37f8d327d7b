//! The boss: machines, what is bound on them, and the fleet's log.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ocapn::Value;

use super::{Session, is_refusal};
use crate::commands::fleet::shown;
use crate::fleet::{Entry, Page, Shown, State};
use crate::output::screen::Paint;
use crate::top::model::{Binding, Found, Line, MAX_LINES, Machine};

/// Asks for the machines, and for what has happened since.
pub(super) async fn look(session: &mut Session) -> anyhow::Result<()> {
    let machines: Vec<Shown> = session.ask("list-machines", Vec::new()).await?;
    let now = SystemTime::now();
    let bindings = machines.iter().flat_map(bindings).collect();
    let machines = machines.iter().map(|shown| machine(shown, now)).collect();
    session.found(Found::Fleet(machines, bindings));
    let mut lines = Vec::new();
    loop {
        let page = match session.ask::<Page>("events", vec![session.after.into()]).await {
            // A capability may be for the machines alone.
            Err(error) if is_refusal(&error) => break,
            page => page?,
        };
        if page.entries.is_empty() {
            break;
        }
        session.after = page.last;
        lines.extend(page.entries.into_iter().map(line));
        let over = lines.len().saturating_sub(MAX_LINES);
        lines.drain(..over);
    }
    if !lines.is_empty() {
        session.found(Found::Lines(lines));
    }
    Ok(())
}

/// Has a promise fulfilled when there is something in the log that is not known.
pub(super) fn watch(session: &mut Session) {
    let message = vec![Value::symbol("wait"), session.after.into()];
    session.hint = Some(session.object.send(message));
}

fn machine(shown: &Shown, now: SystemTime) -> Machine {
    let paint = match shown.state {
        State::Active => Paint::Good,
        State::Pending | State::Leaving => Paint::Waiting,
        State::Failed | State::Quarantined => Paint::Bad,
    };
    let report = shown.report.as_ref();
    // What it is to be looked at for: why it is so, else in what it differs.
    let why = shown.why.clone().or_else(|| report?.drift.first().cloned());
    Machine {
        name: shown.name.clone(),
        provider: shown.provider.clone(),
        state: shown.state.word().to_owned(),
        paint,
        peer: shown.identity.clone(),
        seen: shown.seen.and_then(|millis| UNIX_EPOCH.checked_add(Duration::from_millis(millis))),
        drift: report.map(|report| report.drift.len()),
        why: why.or_else(|| shown.step.clone()).unwrap_or_default(),
        words: crate::output::harmless(&shown::words(shown, now)),
        json: shown::machine(shown),
    }
}

/// What others have given to it, and what is its own.
fn bindings(shown: &Shown) -> Vec<Binding> {
    let machine = shown.name.clone();
    let given = shown.bindings.iter().map(|(name, bound)| Binding {
        machine: machine.clone(),
        name: name.clone(),
        from: Some(format!("{}:{}", bound.from, bound.other)),
        rules: bound.rules.to_string(),
        live: bound.live,
        why: bound.why.clone().unwrap_or_default(),
    });
    let own = shown.report.iter().flat_map(|report| &report.bindings);
    let own = own.filter(|name| !shown.bindings.contains_key(*name)).map(|name| Binding {
        machine: machine.clone(),
        name: name.clone(),
        live: true,
        ..Binding::default()
    });
    let mut all: Vec<Binding> = given.chain(own).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

fn line(entry: Entry) -> Line {
    Line {
        number: entry.n,
        at: entry.at,
        event: entry.event,
        who: entry.machine.unwrap_or_else(|| "fleet".to_owned()),
        text: entry.text,
    }
}
