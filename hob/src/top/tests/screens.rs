//! What is drawn: as it was when somebody looked at it, in `screens`.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;

use super::keys::press;
use super::{BOSS, NODE, SHEPHERD, fleet, nothing};
use crate::top::state::{News, State};
use crate::top::view::{Theme, draw};

fn drawn(state: &mut State, size: (u16, u16), colour: bool) -> Buffer {
    state.hear(News::Size(size.0, size.1));
    state.settle();
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal.draw(|frame| draw(state, Theme { colour }, frame)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let line = |cells: &[ratatui::buffer::Cell]| {
        let line: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned()
    };
    buffer.content.chunks(width).map(line).collect::<Vec<_>>().join("\n")
}

/// Compares with what was seen. With `HOB_BLESS` set, what is there now is taken to be
/// right.
#[track_caller]
pub(super) fn check(name: &str, text: &str) {
    let path = format!("{}/src/top/tests/screens/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("HOB_BLESS").is_some() {
        std::fs::write(&path, format!("{text}\n")).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected.trim_end_matches('\n'), "{name}:\n{text}");
}

#[track_caller]
fn screen(name: &str, state: &mut State, size: (u16, u16)) {
    let buffer = drawn(state, size, false);
    check(name, text(&buffer).trim_end_matches('\n'));
}

#[test]
fn all_panels_on_a_large_terminal() {
    screen("large", &mut fleet(), (120, 40));
}

#[test]
fn one_panel_and_the_log_on_a_usual_one() {
    let mut state = fleet();
    press(&mut state, "2");
    screen("usual", &mut state, (80, 24));
    press(&mut state, "z");
    screen("zoomed", &mut state, (80, 24));
}

#[test]
fn one_panel_on_a_small_one() {
    let mut state = fleet();
    press(&mut state, "4");
    screen("small", &mut state, (40, 12));
}

#[test]
fn keys_and_details() {
    let mut state = fleet();
    press(&mut state, "?");
    screen("keys", &mut state, (80, 24));
    press(&mut state, "Esc 4 Enter");
    screen("session", &mut state, (80, 24));
    press(&mut state, "Esc 2 / r u n Enter S");
    screen("question", &mut state, (80, 24));
    press(&mut state, "n / e r");
    screen("filter", &mut state, (40, 12));
}

#[test]
fn what_is_not_there_and_what_is_lost() {
    let mut state = nothing();
    screen("looking", &mut state, (80, 24));
    for (source, why) in [
        (BOSS, "no boss runs in /run/boss"),
        (SHEPHERD, "no shepherd runs in /run/shepherd"),
        (NODE, "no node runs in /run/boss"),
    ] {
        state.hear(News::Down(source, why.into()));
    }
    screen("absent", &mut state, (120, 40));
    let mut state = fleet();
    state.hear(News::Down(SHEPHERD, "the session ended before the answer came".into()));
    state.hear(News::Tick(super::noon() + Duration::from_secs(7)));
    press(&mut state, "2");
    screen("lost", &mut state, (80, 24));
}

#[test]
fn every_size_can_be_drawn() {
    for keys in ["1", "4", "5", "?", "Enter", "2 S", ": x", "/ x"] {
        for width in [0, 1, 2, 7, 20, 39, 80, 300] {
            for height in [0, 1, 2, 3, 4, 5, 19, 20, 29, 30, 100] {
                let mut state = fleet();
                press(&mut state, keys);
                drawn(&mut state, (width, height), true);
                press(&mut state, "j G PgUp");
            }
        }
    }
}

#[test]
fn a_terminal_that_has_shrunk_meanwhile_can_be_drawn_on() {
    let mut state = fleet();
    state.hear(News::Size(120, 40));
    state.settle();
    let mut terminal = Terminal::new(TestBackend::new(10, 5)).unwrap();
    terminal.draw(|frame| draw(&state, Theme { colour: true }, frame)).unwrap();
}

#[test]
fn colours_only_where_they_are_wanted_and_never_alone() {
    let colours = |buffer: &Buffer| {
        let cells = buffer.content.iter();
        cells.filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
    };
    let mut state = fleet();
    let plain = drawn(&mut state, (120, 40), false);
    let coloured = drawn(&mut state, (120, 40), true);
    assert_eq!(colours(&plain), 0);
    assert!(colours(&coloured) > 20);
    assert_eq!(text(&plain), text(&coloured));
}
