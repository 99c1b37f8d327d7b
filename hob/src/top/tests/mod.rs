//! Tests of the dashboard without a terminal: what is known, what keys do, what is drawn.

mod keys;
mod model;
mod screens;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::model::{Binding, Counters, Found, Kind, Line, Machine, Service, Session, Source};
use super::state::{News, State};
use crate::output::screen::Paint;

/// 22 November 2026, 00:30:00.
fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_307_400)
}

fn millis(seconds_ago: u64) -> u64 {
    1_795_307_400_000 - seconds_ago * 1000
}

fn machine(name: &str, state: &str, paint: Paint) -> Machine {
    Machine {
        name: name.into(),
        provider: "ssh".into(),
        state: state.into(),
        paint,
        words: format!("{name} is {state}\n  provider   ssh"),
        json: json!({"name": name, "state": state}),
        ..Machine::default()
    }
}

fn service(name: &str, state: &str, paint: Paint) -> Service {
    Service {
        name: name.into(),
        state: state.into(),
        paint,
        since: Some(noon() - Duration::from_secs(300)),
        enabled: true,
        what: format!("/usr/bin/{name} --foreground"),
        json: json!({"name": name, "state": state}),
        ..Service::default()
    }
}

fn session(number: u64, peer: &str, counted: u64) -> Session {
    Session {
        number,
        peer: peer.into(),
        transport: "tcp-tls".into(),
        verified: true,
        counters: Counters {
            messages_in: counted,
            messages_out: counted * 2,
            bytes_in: counted * 100,
            bytes_out: counted * 4096,
        },
        exports: 3,
        imports: 4,
        ..Session::default()
    }
}

fn line(number: u64, seconds_ago: u64, event: &str, who: &str, text: &str) -> Line {
    Line {
        number,
        at: millis(seconds_ago),
        event: event.into(),
        who: who.into(),
        text: text.into(),
    }
}

const BOSS: usize = 0;
const SHEPHERD: usize = 1;
const NODE: usize = 2;

fn nothing() -> State {
    let sources = vec![
        Source::new(Kind::Boss, "/run/boss"),
        Source::new(Kind::Shepherd, "/run/shepherd"),
        Source::new(Kind::Node, "/run/boss"),
    ];
    State::new(noon(), sources, false)
}

/// A fleet of three machines with four services, and some sessions, looked at twice.
fn fleet() -> State {
    let mut state = nothing();
    let mut app = machine("app-machine", "active", Paint::Good);
    app.peer = Some("c0deaaaaaaaaaaaaaaaa".into());
    app.seen = Some(noon() - Duration::from_secs(2));
    app.drift = Some(1);
    app.why = "nginx is stopped".into();
    let mut db = machine("db-machine", "active", Paint::Good);
    db.peer = Some("9xk1bbbbbbbbbbbbbbbb".into());
    db.seen = Some(noon() - Duration::from_secs(30));
    db.drift = Some(0);
    let edge = machine("edge-3", "pending", Paint::Waiting);
    let bound = |machine: &str, name: &str, from: Option<&str>, live, why: &str| Binding {
        machine: machine.into(),
        name: name.into(),
        from: from.map(str::to_owned),
        rules: if from.is_some() { "read-only".into() } else { String::new() },
        live,
        why: why.into(),
    };
    let bindings = vec![
        bound("app-machine", "db", Some("db-machine:db"), true, ""),
        bound("app-machine", "queue", Some("edge-3:queue"), false, "edge-3 is pending"),
        bound("db-machine", "db", None, true, ""),
    ];
    let mut web = service("web-server", "running", Paint::Good);
    web.pid = Some(4242);
    let mut broken = service("broken", "failed", Paint::Bad);
    broken.what = "it has ended 5 times in 25s".into();
    let services = vec![
        broken,
        service("networking", "running", Paint::Good),
        service("nightly", "stopped", Paint::Plain),
        web,
    ];
    let lines = vec![
        line(1, 120, "created", "app-machine", "expected, to be made by ssh: pending"),
        line(2, 60, "registered", "app-machine", "registered as c0deaaaa…: active"),
    ];
    let happened = vec![
        line(1, 90, "running", "web-server", ""),
        line(2, 30, "failed", "broken", "5 times in 25s"),
    ];
    let sessions = |counted| {
        let mut known = session(1, "c0deaaaaaaaaaaaaaaaa", counted);
        known.waiting = 5 << 20;
        known.paced = true;
        let mut own = session(2, "q7q7cccccccccccccccc", 10);
        own.own = true;
        own.transport = "unix".into();
        own.queued = 2000;
        vec![known, own]
    };
    for news in [
        News::Found(BOSS, Found::Fleet(vec![app, db, edge], bindings)),
        News::Found(BOSS, Found::Lines(lines)),
        News::Up(BOSS),
        News::Found(SHEPHERD, Found::Services(services)),
        News::Found(SHEPHERD, Found::Lines(happened)),
        News::Up(SHEPHERD),
        News::Up(NODE),
        News::Found(NODE, Found::Sessions(Duration::from_secs(10), sessions(100))),
        News::Found(NODE, Found::Sessions(Duration::from_secs(12), sessions(150))),
    ] {
        state.hear(news);
    }
    state.settle();
    state
}
