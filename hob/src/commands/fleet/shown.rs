//! Machines and what belongs to them, as they are shown: as JSON, and in words.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::fleet::{Entry, Revoked, Shown, ShownBinding, ShownToken, State, short};
use crate::output::screen::{Mark, Paint};
use crate::output::table::{Cell, Column, Table};
use crate::output::time::{ago, clock, rfc3339};

/// A moment in milliseconds since 1970.
pub(super) fn moment(millis: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or(UNIX_EPOCH)
}

fn when(millis: u64) -> String {
    rfc3339(moment(millis))
}

/// The colour of a state. Its word says the same.
const fn paint(state: State) -> Paint {
    match state {
        State::Active => Paint::Good,
        State::Pending | State::Leaving => Paint::Waiting,
        State::Failed | State::Quarantined => Paint::Bad,
    }
}

/// How many things on a machine are not as they should be, if it has said so.
fn drift(machine: &Shown) -> Option<usize> {
    machine.report.as_ref().map(|report| report.drift.len())
}

/// The names on a machine: * after what others have given, ! after what is not there.
fn bindings(machine: &Shown) -> String {
    let given = machine.bindings.iter();
    let given = given.map(|(name, bound)| (name.clone(), if bound.live { "*" } else { "!" }));
    let own = machine.report.iter().flat_map(|report| &report.bindings);
    let own = own.filter(|name| !machine.bindings.contains_key(*name));
    let mut names: Vec<(String, &str)> = given.chain(own.map(|name| (name.clone(), ""))).collect();
    names.sort();
    names.into_iter().map(|(name, mark)| name + mark).collect::<Vec<_>>().join(" ")
}

/// The machines as a table.
pub(super) fn table(machines: &[Shown], now: SystemTime) -> Table {
    let mut table = Table::new([
        Column::kept("NAME"),
        Column::droppable("PROVIDER", 4),
        Column::kept("STATE"),
        Column::droppable("PEER", 5),
        Column::droppable("SEEN", 2),
        Column::droppable("DRIFT", 3),
        Column::droppable("BINDINGS", 1),
    ]);
    for machine in machines {
        table.row([
            Cell::new(&machine.name),
            Cell::new(&machine.provider),
            Cell::new(machine.state.word()).painted(paint(machine.state)),
            Cell::new(machine.identity.as_deref().map(short).unwrap_or_default()),
            Cell::new(machine.seen.map(|seen| ago(moment(seen), now)).unwrap_or_default()),
            Cell::new(drift(machine).map(|count| count.to_string()).unwrap_or_default()),
            Cell::new(bindings(machine)),
        ]);
    }
    table
}

/// The service that a binding requires, as it is written in graphs.
pub(in crate::commands) fn requires(service: Option<&str>) -> String {
    service.map(|service| format!(" requires {service}")).unwrap_or_default()
}

fn service_mark(state: &str) -> Mark {
    match state {
        "running" => Mark::On,
        "failed" => Mark::Attention,
        _ => Mark::Off,
    }
}

/// A machine as JSON.
pub(crate) fn machine(machine: &Shown) -> Value {
    let bindings = machine.bindings.iter().map(|(name, bound)| {
        let bound = json!({
            "from": bound.from,
            "other": bound.other,
            "rules": bound.rules.to_string(),
            "requires": bound.requires,
            "by_graph": bound.by_graph,
            "live": bound.live,
            "why": bound.why,
        });
        (name.clone(), bound)
    });
    let bindings: serde_json::Map<_, _> = bindings.collect();
    let spec: Value = serde_json::from_str(&machine.spec).unwrap_or_default();
    let report = machine.report.as_ref();
    json!({
        "name": machine.name,
        "provider": machine.provider,
        "state": machine.state.word(),
        "why": machine.why,
        "identity_mismatch": machine.identity_mismatch,
        "step": machine.step,
        "peer": machine.identity,
        "instance": machine.instance,
        "address": machine.address,
        "spec": spec,
        "created": when(machine.created),
        "seen": machine.seen.map(when),
        "enrol_expires": machine.enrol_expires.map(when),
        "bindings": bindings,
        "names": report.map(|report| &report.bindings),
        "generation": machine.generation,
        "reported_generation": report.map(|report| report.generation),
        "drift": report.map(|report| &report.drift),
        "services": report.map(|report| &report.services),
        "hob_version": report.map(|report| &report.version),
    })
}

/// A machine in words, a line for each thing that there is to be said.
pub(crate) fn words(machine: &Shown, now: SystemTime) -> String {
    let mut lines = vec![format!("{} is {}", machine.name, machine.state.word())];
    let mut say = |what: &str, text: Option<String>| {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            lines.push(format!("  {what:<10} {text}"));
        }
    };
    say("why", machine.why.clone());
    say("provider", Some(machine.provider.clone()));
    say("step", machine.step.clone().filter(|_| machine.state == State::Pending));
    say("peer", machine.identity.clone());
    say("instance", machine.instance.clone());
    say("address", machine.address.clone());
    say("spec", Some(machine.spec.clone()).filter(|spec| spec != "{}"));
    say("created", Some(when(machine.created)));
    say("seen", machine.seen.map(|seen| format!("{} ago", ago(moment(seen), now))));
    say("enrol", machine.enrol_expires.map(|expires| format!("expires {}", when(expires))));
    for (name, bound) in &machine.bindings {
        let bar = if bound.rules.is_empty() { "" } else { " | " };
        let (mark, why) = match (&bound.why, bound.live) {
            (_, true) => (Mark::On.sign(), String::new()),
            (None, false) => (Mark::Off.sign(), "  (not there yet)".to_owned()),
            (Some(why), false) => (Mark::Attention.sign(), format!("  ({why})")),
        };
        let requires = requires(bound.requires.as_deref());
        let from = format!("{}:{}{requires}{bar}{}", bound.from, bound.other, bound.rules);
        say("binding", Some(format!("{mark} {name} = {from}{why}")));
    }
    for name in machine.report.iter().flat_map(|report| &report.bindings) {
        let own = !machine.bindings.contains_key(name);
        say("offers", own.then(|| name.clone()));
    }
    for (name, state) in machine.report.iter().flat_map(|report| &report.services) {
        say("service", Some(format!("{} {name} is {state}", service_mark(state).sign())));
    }
    for line in machine.report.iter().flat_map(|report| &report.drift) {
        say("drift", Some(format!("{} {line}", Mark::Attention.sign())));
    }
    lines.join("\n")
}

/// What was revoked, as JSON.
pub(super) fn revoked(revoked: &Revoked) -> Value {
    json!({"revoked": revoked.revoked, "stays_valid": revoked.stays})
}

/// What was done to a machine, as JSON.
pub(super) fn done(name: &str, revoked: &Revoked) -> Value {
    json!({"name": name, "revoked": revoked.revoked, "stays_valid": revoked.stays})
}

/// An event as JSON.
pub(super) fn event(entry: &Entry) -> Value {
    json!({
        "n": entry.n,
        "at": when(entry.at),
        "event": entry.event,
        "machine": entry.machine,
        "text": entry.text,
    })
}

/// An event in a line.
pub(super) fn event_line(entry: &Entry) -> String {
    let machine = entry.machine.as_deref().unwrap_or("fleet");
    format!("{} {:<14} {machine}: {}", clock(moment(entry.at)), entry.event, entry.text)
}

/// The enrolments as a table.
pub(super) fn tokens(tokens: &[ShownToken], now: SystemTime) -> Table {
    let columns = [
        Column::kept("ID"),
        Column::kept("MACHINE"),
        Column::kept("STATE"),
        Column::droppable("MADE", 2),
        Column::droppable("EXPIRES", 1),
        Column::droppable("USED-BY", 3),
    ];
    let mut table = Table::new(columns);
    for token in tokens {
        let (state, paint) = match token_state(token, now) {
            "valid" => ("valid", Paint::Good),
            other => (other, Paint::Faint),
        };
        table.row([
            Cell::new(&token.id),
            Cell::new(&token.machine),
            Cell::new(state).painted(paint),
            Cell::new(format!("{} ago", ago(moment(token.made), now))),
            Cell::new(when(token.expires)),
            Cell::new(token.used_by.as_deref().map(short).unwrap_or_default()),
        ]);
    }
    table
}

fn token_state(token: &ShownToken, now: SystemTime) -> &'static str {
    match &token.used_by {
        Some(_) => "used",
        None if moment(token.expires) <= now => "expired",
        None => "valid",
    }
}

/// An enrolment as JSON.
pub(super) fn token(token: &ShownToken, now: SystemTime) -> Value {
    json!({
        "id": token.id,
        "machine": token.machine,
        "state": token_state(token, now),
        "made": when(token.made),
        "expires": when(token.expires),
        "used_by": token.used_by,
    })
}

/// A machine's own bindings as a table.
pub(in crate::commands) fn names(bindings: &[ShownBinding]) -> Table {
    let columns = [
        Column::kept("NAME"),
        Column::droppable("WHAT", 2),
        Column::droppable("FROM", 1),
        Column::droppable("RULES", 3),
    ];
    let mut table = Table::new(columns);
    for bound in bindings {
        let from = bound.from.as_deref().unwrap_or_default();
        let what = bound.unavailable.as_ref().unwrap_or(&bound.what);
        let cells = [&*bound.name, what, from, &*bound.rules.to_string()];
        table.row(cells.map(Cell::new));
    }
    table
}

/// A binding as JSON.
pub(in crate::commands) fn name(bound: &ShownBinding) -> Value {
    json!({
        "name": bound.name,
        "what": bound.what,
        "from": bound.from,
        "rules": bound.rules.to_string(),
        "requires": bound.requires,
        "unavailable": bound.unavailable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use crate::fleet::{Binding, Report};
    use crate::output::screen::Screen;

    fn now() -> SystemTime {
        moment(1_000_000_000_000)
    }

    fn shown(name: &str, state: State) -> Shown {
        Shown {
            name: name.into(),
            provider: "ssh".into(),
            state,
            why: None,
            identity_mismatch: false,
            step: None,
            identity: None,
            instance: None,
            address: None,
            spec: "{}".into(),
            created: 999_999_000_000,
            seen: None,
            enrol_expires: None,
            bindings: BTreeMap::new(),
            generation: 0,
            report: None,
        }
    }

    fn binding(live: bool, why: Option<&str>) -> Binding {
        Binding {
            id: "1".into(),
            from: "db-machine".into(),
            other: "db".into(),
            rules: "read-only".parse().unwrap(),
            requires: None,
            by_graph: false,
            live,
            why: why.map(str::to_owned),
        }
    }

    fn fleet() -> Vec<Shown> {
        let mut app = shown("app-machine", State::Active);
        app.identity = Some("c0deaaaaaaaaaaaa".into());
        app.seen = Some(999_999_998_000);
        app.bindings.insert("db".into(), binding(true, None));
        app.bindings.insert("queue".into(), binding(false, Some("db-machine is away")));
        app.report = Some(Report {
            bindings: vec!["db".into(), "web".into()],
            drift: vec!["nginx is stopped".into()],
            ..Report::default()
        });
        vec![app, shown("edge-3", State::Pending)]
    }

    #[test]
    fn the_table_of_machines() {
        let table = table(&fleet(), now());
        let expected = "\
NAME         PROVIDER  STATE    PEER       SEEN  DRIFT  BINDINGS
app-machine  ssh       active   c0deaaaa…  2s    1      db* queue! web
edge-3       ssh       pending  -          -     -      -";
        assert_eq!(table.render(Screen::default()), expected);
        let narrow = Screen { colour: false, width: Some(40) };
        let expected = "\
NAME         STATE    SEEN  BINDINGS
app-machine  active   2s    db* queue! web
edge-3       pending  -     -";
        // 42 columns are needed for that.
        assert_ne!(table.render(narrow), expected);
        let narrow = Screen { colour: false, width: Some(42) };
        assert_eq!(table.render(narrow), expected);
    }

    #[test]
    fn a_machine_in_words_and_as_json() {
        let expected = "\
app-machine is active
  provider   ssh
  peer       c0deaaaaaaaaaaaa
  created    2001-09-09T01:30:00Z
  seen       2s ago
  binding    ● db = db-machine:db | read-only
  binding    ! queue = db-machine:db | read-only  (db-machine is away)
  offers     web
  drift      ! nginx is stopped";
        assert_eq!(words(&fleet()[0], now()), expected);
        let json = machine(&fleet()[0]);
        assert_eq!(json["seen"], "2001-09-09T01:46:38Z");
        assert_eq!(json["bindings"]["db"]["rules"], "read-only");
        assert_eq!(json["drift"][0], "nginx is stopped");
        assert_eq!(machine(&fleet()[1])["seen"], Value::Null);
    }

    #[test]
    fn enrolments_and_events() {
        let token = |expires, used: Option<&str>| ShownToken {
            id: "1f".into(),
            machine: "pi".into(),
            made: 999_999_940_000,
            expires,
            used_by: used.map(str::to_owned),
        };
        let all = [
            token(1_000_000_060_000, None),
            token(1_000_000_000_000, None),
            token(1_000_000_060_000, Some("abcdefghijkl")),
        ];
        let expected = "\
ID  MACHINE  STATE    MADE     EXPIRES               USED-BY
1f  pi       valid    60s ago  2001-09-09T01:47:40Z  -
1f  pi       expired  60s ago  2001-09-09T01:46:40Z  -
1f  pi       used     60s ago  2001-09-09T01:47:40Z  abcdefgh…";
        assert_eq!(tokens(&all, now()).render(Screen::default()), expected);
        let entry = Entry {
            n: 3,
            at: 1_000_000_000_000,
            event: "registered".into(),
            machine: Some("pi".into()),
            text: "by abc".into(),
        };
        assert_eq!(event_line(&entry), "01:46:40 registered     pi: by abc");
        assert_eq!(event(&entry)["at"], "2001-09-09T01:46:40Z");
    }
}
