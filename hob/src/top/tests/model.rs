//! What is known, and its tables.

use std::time::Duration;

use super::{BOSS, NODE, SHEPHERD, fleet, line, machine, nothing, session};
use crate::output::screen::{Paint, Screen};
use crate::top::grid::{Cell, Column, Grid, Id, Row, shortened, wrapped};
use crate::top::model::{Counters, Found, Link, MAX_LINES, rates};
use crate::top::once;
use crate::top::panels::{Panel, bytes, per_second};
use crate::top::state::News;

#[test]
fn rates_are_of_two_looks() {
    let count = |count| Counters {
        messages_in: count,
        messages_out: count * 2,
        bytes_in: count * 10,
        bytes_out: 0,
    };
    let two = Duration::from_secs(2);
    let found = rates(count(10), count(30), two).unwrap();
    assert_eq!((found.messages_in, found.messages_out), (10.0, 20.0));
    assert_eq!((found.bytes_in, found.bytes_out), (100.0, 0.0));
    assert_eq!(rates(count(10), count(30), Duration::ZERO), None, "no time has passed");
    assert_eq!(rates(count(30), count(10), two), None, "it was counted anew");
}

#[test]
fn a_rate_is_of_one_session() {
    let mut state = nothing();
    let mut look = |at, sessions| {
        state.hear(News::Found(NODE, Found::Sessions(Duration::from_secs(at), sessions)));
        let rates = |(_, session): &(usize, crate::top::model::Session)| {
            session.rates.as_ref().map(|rates| rates.messages_in)
        };
        state.live().sessions.iter().map(rates).collect::<Vec<_>>()
    };
    assert_eq!(look(1, vec![session(1, "ada", 10)]), [None]);
    assert_eq!(look(3, vec![session(1, "ada", 30), session(2, "bob", 5)]), [Some(10.0), None]);
    // The number is another peer's: the node has been started anew.
    assert_eq!(look(4, vec![session(1, "eve", 40), session(2, "bob", 5)]), [None, Some(0.0)]);
    // Over the time in which nobody looked there is none.
    state.hear(News::Up(NODE));
    state.hear(News::Down(NODE, "gone".into()));
    state.hear(News::Up(NODE));
    let sessions = vec![session(1, "eve", 90)];
    state.hear(News::Found(NODE, Found::Sessions(Duration::from_secs(9), sessions)));
    assert_eq!(state.live().sessions[0].1.rates, None);
}

#[test]
fn a_source_goes_away_and_comes_back() {
    let mut state = fleet();
    state.hear(News::Tick(super::noon() + Duration::from_secs(5)));
    state.hear(News::Down(NODE, "the session ended".into()));
    state.hear(News::Tick(super::noon() + Duration::from_secs(9)));
    state.hear(News::Down(NODE, "no node runs in /run/boss".into()));
    state.settle();
    let trouble = Panel::Sessions.trouble(state.data()).unwrap();
    assert_eq!(trouble, "lost 4s ago: no node runs in /run/boss");
    let sessions = &state.place(Panel::Sessions).grid.rows;
    assert_eq!(sessions.len(), 2, "what it has said is still shown");
    assert!(sessions.iter().all(|row| row.stale));
    assert!(state.live().sessions.iter().all(|(_, session)| session.rates.is_none()));
    assert!(Panel::Machines.trouble(state.data()).is_none(), "the others go on");
    let said = |state: &crate::top::state::State| {
        let (by, line) = state.live().lines.last().unwrap().clone();
        (by, line.event, line.text)
    };
    let lost = (None, "lost".to_owned(), "/run/boss: the session ended".to_owned());
    assert_eq!(said(&state), lost);

    state.hear(News::Found(NODE, Found::Sessions(Duration::from_secs(20), vec![])));
    state.hear(News::Up(NODE));
    state.settle();
    assert_eq!(state.live().sources[NODE].link, Link::There);
    assert!(state.place(Panel::Sessions).grid.rows.is_empty());
    assert_eq!(said(&state), (None, "back".to_owned(), "/run/boss: answers again".to_owned()));
}

#[test]
fn what_was_never_there_is_absent_and_not_lost() {
    let mut state = nothing();
    state.hear(News::Down(BOSS, "no boss runs in /run/boss".into()));
    let trouble = |state: &crate::top::state::State| Panel::Machines.trouble(state.data());
    assert_eq!(trouble(&state).unwrap(), "no boss runs in /run/boss");
    assert!(state.live().lines.is_empty());
    state.hear(News::Up(BOSS));
    assert_eq!(trouble(&state), None);
}

#[test]
fn of_several_places_those_count_where_somebody_is() {
    use crate::top::model::{Data, Kind, Source};
    let mut data =
        Data::new(super::noon(), vec![Source::new(Kind::Boss, "a"), Source::new(Kind::Boss, "b")]);
    data.down(0, "no boss runs in a".into());
    data.down(1, "no boss runs in b".into());
    let both = "no boss runs in a; no boss runs in b";
    assert_eq!(Panel::Machines.trouble(&data).unwrap(), both);
    data.up(1);
    assert_eq!(Panel::Machines.trouble(&data), None);
    let columns = |data: &Data| Panel::Machines.grid(data).columns.len();
    let one = columns(&data);
    data.up(0);
    assert_eq!(columns(&data), one + 1, "it is said whose a machine is");
}

#[test]
fn the_log_is_in_order_and_has_nothing_twice() {
    let mut state = nothing();
    let fleet = vec![line(1, 50, "a", "x", ""), line(2, 30, "b", "x", "")];
    let services = vec![line(1, 40, "c", "y", ""), line(2, 30, "d", "y", "")];
    state.hear(News::Found(BOSS, Found::Lines(fleet.clone())));
    state.hear(News::Found(SHEPHERD, Found::Lines(services)));
    // It was asked anew from the start.
    state.hear(News::Found(BOSS, Found::Lines(fleet)));
    let events: Vec<&str> = state.live().lines.iter().map(|(_, of)| of.event.as_str()).collect();
    assert_eq!(events, ["a", "c", "b", "d"]);
    let many = (0..MAX_LINES as u64 + 10).map(|n| line(n, 20, "e", "z", ""));
    state.hear(News::Found(BOSS, Found::Lines(many.collect())));
    assert_eq!(state.live().lines.len(), MAX_LINES);
    state.hear(News::Found(BOSS, Found::Lines(vec![line(9, 60, "old", "z", "")])));
    assert!(state.live().lines.iter().all(|(_, line)| line.event == "e"), "the oldest go");
}

fn table() -> Grid {
    let columns = vec![
        Column::text("NAME", 0),
        Column::number("COUNT", 1),
        Column::text("STATE", 2),
        Column::elastic("WHAT", 1),
    ];
    let row = |name: &str, count: Option<u64>, state: &str, what: &str| Row {
        id: Id(Some(0), name.into()),
        cells: vec![Cell::text(name), Cell::count(count), Cell::text(state), Cell::text(what)],
        stale: false,
    };
    let rows = vec![
        row("beta", Some(9), "running", "a long text that says what it is"),
        row("Alpha", Some(10), "stopped", ""),
        row("gamma", None, "running", "x"),
    ];
    Grid::new(columns, rows)
}

fn names(grid: &Grid) -> Vec<&str> {
    grid.rows.iter().map(|row| row.id.1.as_str()).collect()
}

#[test]
fn tables_are_sorted_and_filtered() {
    let mut grid = table();
    grid.sort(0, false);
    assert_eq!(names(&grid), ["Alpha", "beta", "gamma"]);
    grid.sort(1, true);
    assert_eq!(names(&grid), ["Alpha", "beta", "gamma"], "by number, and none is least");
    grid.sort(2, false);
    assert_eq!(names(&grid), ["beta", "gamma", "Alpha"], "the others stay in order");
    grid.filter("RUN");
    assert_eq!((names(&grid), grid.total), (vec!["beta", "gamma"], 3));
    grid.filter("!long");
    assert_eq!(names(&grid), ["gamma"]);
    grid.filter("!");
    assert_eq!(names(&grid), ["gamma"]);
}

#[test]
fn tables_fit_the_room_there_is() {
    let grid = table();
    assert_eq!(grid.fit(200, Some(0)), [(0, 5), (1, 5), (2, 7), (3, 32)]);
    // Of what is elastic some is cut first; then the highest rank goes.
    assert_eq!(grid.fit(35, None), [(0, 5), (1, 5), (2, 7), (3, 12)]);
    assert_eq!(grid.fit(34, None), [(0, 5), (1, 5), (3, 20)]);
    assert_eq!(grid.fit(12, None), [(0, 5), (1, 5)]);
    assert_eq!(grid.fit(4, None), [(0, 4)]);
    assert_eq!(grid.fit(0, None), [(0, 1)]);
    assert_eq!((shortened("äöü", 3), shortened("äöü", 2)), ("äöü".to_owned(), "ä…".to_owned()));
    assert_eq!((shortened("日本", 3), shortened("ab", 0)), ("日…".to_owned(), String::new()));
}

#[test]
fn long_lines_go_on_below() {
    assert_eq!(wrapped("abcdefgh\n\nij", 6), ["abcdef", "    gh", "", "ij"]);
    assert_eq!(wrapped("日本日本", 6), ["日本日", "    本"]);
    assert_eq!(wrapped("abcdef", 0), ["abcde", "    f"]);
}

#[test]
fn numbers_are_short() {
    for (count, shown) in [
        (0, "0"),
        (999, "999"),
        (1023, "1023"),
        (1024, "1.0K"),
        (10 * 1024, "10K"),
        (1024 * 1024 - 1, "1.0M"),
        (u64::MAX, "16384P"),
    ] {
        assert_eq!(bytes(count), shown);
    }
    for (rate, shown) in
        [(0.0, "0"), (0.01, "<0.1"), (0.5, "0.5"), (2.0, "2"), (9.96, "10"), (1234.0, "1.2K")]
    {
        assert_eq!(per_second(rate), shown);
    }
}

#[test]
fn nothing_that_others_say_steers_the_terminal() {
    let mut state = nothing();
    let evil = machine("x\x1b[2J\ny", "active", Paint::Good);
    state.hear(News::Found(BOSS, Found::Fleet(vec![evil], vec![])));
    state.hear(News::Down(NODE, "\x1b]0;title\x07\nmore".into()));
    let text = once::text(state.live(), Screen::default());
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(text.contains("x\\u{1b}[2J y"), "{text}");
}

#[test]
fn the_snapshot() {
    let state = fleet();
    let text = once::text(state.live(), Screen::default());
    super::screens::check("once", &text);
    let json = once::as_json(state.live());
    assert_eq!(
        json["machines"][0],
        serde_json::json!({
            "name": "app-machine", "state": "active", "at": "/run/boss",
        })
    );
    assert_eq!(json["sessions"][0]["called"], "app-machine");
    assert_eq!(json["sessions"][0]["rates"]["messages_in"], 25.0);
    assert_eq!(json["bindings"][1]["why"], "edge-3 is pending");
    assert_eq!(json["events"][0]["time"], "2026-11-22T00:28:00Z");
    assert_eq!(json["sources"][1]["state"], "there");
}
