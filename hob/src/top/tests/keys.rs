//! What keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{BOSS, SHEPHERD, fleet, machine, nothing};
use crate::output::screen::Paint;
use crate::top::input;
use crate::top::model::Found;
use crate::top::panels::Panel;
use crate::top::state::{Mode, News, Order, State, Verb};

/// The key of a name: a character, or what is written on it.
pub(super) fn key(name: &str) -> KeyEvent {
    let plain = |code| KeyEvent::new(code, KeyModifiers::NONE);
    if let Some(name) = name.strip_prefix("C-") {
        let code = KeyCode::Char(name.chars().next().unwrap());
        return KeyEvent::new(code, KeyModifiers::CONTROL);
    }
    plain(match name {
        "Enter" => KeyCode::Enter,
        "Esc" => KeyCode::Esc,
        "Tab" => KeyCode::Tab,
        "BackTab" => KeyCode::BackTab,
        "Back" => KeyCode::Backspace,
        "Up" => KeyCode::Up,
        "Down" => KeyCode::Down,
        "Left" => KeyCode::Left,
        "Right" => KeyCode::Right,
        "PgUp" => KeyCode::PageUp,
        "PgDn" => KeyCode::PageDown,
        "Home" => KeyCode::Home,
        "End" => KeyCode::End,
        "Space" => KeyCode::Char(' '),
        name if name.len() > 1 && name.starts_with('F') => KeyCode::F(name[1..].parse().unwrap()),
        name => {
            let mut chars = name.chars();
            let c = chars.next().unwrap();
            assert!(chars.next().is_none(), "{name}");
            KeyCode::Char(c)
        }
    })
}

/// Presses keys one after the other, and gives what the last one is to have done.
#[track_caller]
pub(super) fn press(state: &mut State, keys: &str) -> Option<Order> {
    let mut order = None;
    for name in keys.split_whitespace() {
        let action = input::action(&state.mode, key(name));
        order = action.and_then(|action| state.act(action));
    }
    order
}

fn selected(state: &State) -> &str {
    state.row().map_or("", |row| row.id.1.as_str())
}

#[test]
fn panels() {
    let mut state = fleet();
    for (keys, panel) in [
        ("2", Panel::Services),
        ("5", Panel::Events),
        ("Tab", Panel::Machines),
        ("BackTab", Panel::Events),
        ("Left Left", Panel::Bindings),
        ("Right", Panel::Sessions),
        (": s e r Enter", Panel::Services),
        (": b Tab Enter", Panel::Bindings),
        (": s v c Enter", Panel::Services),
        (": l o g Enter", Panel::Events),
        (": m x Back Enter", Panel::Machines),
    ] {
        assert_eq!(press(&mut state, keys), None);
        assert_eq!((state.focus, &state.mode), (panel, &Mode::Browse), "{keys}");
    }
    for (keys, said) in [
        (": x Enter", "there is no :x; ? shows the keys"),
        (": s Enter", ":s may be several commands"),
    ] {
        press(&mut state, keys);
        assert_eq!(state.message.as_deref(), Some(said));
    }
    press(&mut state, "6 9 0 x");
    assert_eq!(state.focus, Panel::Machines);
}

#[test]
fn ways_out() {
    for keys in ["q", "F10", "C-c", ": q Enter", ": q u i t Enter", ": q ! Enter", "? C-c", "/ C-c"]
    {
        assert_eq!(press(&mut fleet(), keys), Some(Order::Quit), "{keys}");
    }
    for keys in ["? q", "? Esc", "Enter q", "Enter Esc", "/ q Enter", ": q Esc", ": Back"] {
        let mut state = fleet();
        assert_eq!(press(&mut state, keys), None, "{keys}");
        assert_eq!(state.mode, Mode::Browse, "{keys}");
    }
    assert_eq!(press(&mut fleet(), "r"), Some(Order::Refresh));
    assert_eq!(press(&mut fleet(), "F5"), Some(Order::Refresh));
    assert_eq!(press(&mut fleet(), "C-l"), Some(Order::Redraw));
    assert_eq!(press(&mut fleet(), "C-z"), Some(Order::Suspend));
}

#[test]
fn rows() {
    let mut state = fleet();
    for (keys, name) in [
        ("", "app-machine"),
        ("j", "db-machine"),
        ("Down Down Down", "edge-3"),
        ("k", "db-machine"),
        ("g", "app-machine"),
        ("Up", "app-machine"),
        ("G", "edge-3"),
        ("Home", "app-machine"),
        ("PgDn", "edge-3"),
        ("PgUp", "app-machine"),
        ("End C-b", "app-machine"),
        ("C-f", "edge-3"),
    ] {
        press(&mut state, keys);
        assert_eq!(selected(&state), name, "{keys}");
    }
}

#[test]
fn one_stays_at_a_row_wherever_it_goes() {
    let mut state = fleet();
    press(&mut state, "j");
    press(&mut state, "I");
    assert_eq!((selected(&state), state.place(Panel::Machines).index), ("db-machine", 1));
    let good = |name: &str| machine(name, "active", Paint::Good);
    let more = ["zeta", "db-machine", "ypsilon", "x"].map(good).to_vec();
    state.hear(News::Found(BOSS, Found::Fleet(more, vec![])));
    state.settle();
    assert_eq!((selected(&state), state.place(Panel::Machines).index), ("db-machine", 3));
    // When it is gone, one is where it was.
    let fewer = ["zeta", "x"].map(good).to_vec();
    state.hear(News::Found(BOSS, Found::Fleet(fewer, vec![])));
    state.settle();
    assert_eq!(selected(&state), "x");
    state.hear(News::Found(BOSS, Found::Fleet(vec![], vec![])));
    state.settle();
    assert_eq!(selected(&state), "");
    assert_eq!(press(&mut state, "j k G g Enter"), None);
}

#[test]
fn long_tables_scroll() {
    let mut state = fleet();
    state.hear(News::Size(80, 12));
    let many = (0..100).map(|n| machine(&format!("m{n:02}"), "active", Paint::Good)).collect();
    state.hear(News::Found(BOSS, Found::Fleet(many, vec![])));
    state.settle();
    // Of 12 lines 5 are for other things than rows.
    let mut at = |keys: &str| {
        press(&mut state, keys);
        (state.place(Panel::Machines).index, state.place(Panel::Machines).top)
    };
    assert_eq!(at("PgDn"), (7, 1));
    assert_eq!(at("PgDn"), (14, 8));
    assert_eq!(at("k k"), (12, 8));
    assert_eq!(at("PgUp"), (5, 5));
    assert_eq!(at("G"), (99, 93));
    assert_eq!(at("g"), (0, 0));
}

#[test]
fn the_log_is_followed_from_its_end() {
    let mut state = fleet();
    press(&mut state, "5");
    let end = state.place(Panel::Events).grid.rows.len() - 1;
    assert_eq!(state.place(Panel::Events).index, end);
    let happens = |state: &mut State, number| {
        let line = super::line(number, 0, "running", "web-server", "");
        state.hear(News::Found(SHEPHERD, Found::Lines(vec![line])));
        state.settle();
        state.place(Panel::Events).index
    };
    assert_eq!(happens(&mut state, 10), end + 1);
    press(&mut state, "k");
    assert_eq!(happens(&mut state, 11), end, "one stays where one went");
    press(&mut state, "G");
    assert_eq!(happens(&mut state, 12), end + 3);
}

#[test]
fn sorting() {
    let mut state = fleet();
    press(&mut state, "2");
    let sort = |state: &State| state.place(Panel::Services).sort;
    assert_eq!(sort(&state), Some((0, false)));
    press(&mut state, ">");
    assert_eq!((sort(&state), selected(&state)), (Some((1, false)), "broken"));
    press(&mut state, "F6 F6");
    assert_eq!((sort(&state), selected(&state)), (Some((3, true)), "web-server"), "most first");
    press(&mut state, "I");
    assert_eq!(sort(&state), Some((3, false)));
    press(&mut state, "< < < <");
    assert_eq!(sort(&state), Some((5, false)), "around the end");
}

#[test]
fn filters() {
    let mut state = fleet();
    press(&mut state, "2 / R u n");
    let rows = |state: &State| state.place(Panel::Services).grid.rows.len();
    assert_eq!(rows(&state), 2, "while it is typed");
    press(&mut state, "Back Back Enter");
    assert_eq!((state.mode.clone(), rows(&state)), (Mode::Browse, 4));
    press(&mut state, "F4 u Enter");
    assert_eq!(rows(&state), 2);
    press(&mut state, "/ x y Esc");
    assert_eq!((rows(&state), &*state.place(Panel::Services).filter), (2, "Ru"), "as it was");
    press(&mut state, "Esc");
    assert_eq!(rows(&state), 4);
    assert!(state.place(Panel::Machines).filter.is_empty());
}

#[test]
fn services_are_told_after_a_question() {
    let mut state = fleet();
    press(&mut state, "2 G");
    assert_eq!(selected(&state), "web-server");
    assert_eq!(press(&mut state, "S"), None);
    let asked = Mode::Confirm { source: SHEPHERD, verb: Verb::Stop, name: "web-server".into() };
    assert_eq!(state.mode, asked);
    for no in ["n", "Enter", "Esc", "q", "Space"] {
        assert_eq!(press(&mut state, no), None, "{no}");
        assert_eq!(state.mode, Mode::Browse);
        press(&mut state, "S");
    }
    let stop = Order::Do(SHEPHERD, Verb::Stop, "web-server".into());
    assert_eq!(press(&mut state, "y"), Some(stop));
    let start = Order::Do(SHEPHERD, Verb::Start, "web-server".into());
    assert_eq!(press(&mut state, "s Y"), Some(start));
    assert!(matches!(press(&mut state, "R y"), Some(Order::Do(_, Verb::Restart, _))));
    // What is refused once is not asked for again, until it is another capability.
    state.hear(News::Denied(SHEPHERD, Verb::Stop, "stop: not permitted".into()));
    assert_eq!(press(&mut state, "S y"), None);
    assert_eq!(press(&mut state, "F9 y"), None);
    assert!(!state.allows(Verb::Stop) && state.allows(Verb::Start));
    state.hear(News::Up(SHEPHERD));
    assert!(state.allows(Verb::Stop));
    state.hear(News::Down(SHEPHERD, "gone".into()));
    assert_eq!(press(&mut state, "S y"), None);
    assert!(!state.allows(Verb::Stop));
    // Elsewhere the keys do nothing.
    assert_eq!(press(&mut state, "1 S y"), None);
    press(&mut state, "S");
    assert_eq!(state.message.as_deref(), Some("only services can be told to stop"));
}

#[test]
fn nothing_is_told_read_only() {
    let sources = nothing().live().sources.clone();
    let mut state = State::new(super::noon(), sources, true);
    let services = vec![super::service("web", "running", Paint::Good)];
    state.hear(News::Found(SHEPHERD, Found::Services(services)));
    state.settle();
    assert_eq!(press(&mut state, "2 S y"), None);
    assert_eq!((state.mode.clone(), state.allows(Verb::Stop)), (Mode::Browse, false));
}

#[test]
fn details() {
    let mut state = fleet();
    assert_eq!(press(&mut state, "Enter"), None);
    let Mode::Details { title, text, .. } = &state.mode else { panic!("{:?}", state.mode) };
    assert_eq!((&**title, &**text), ("app-machine", "app-machine is active\n  provider   ssh"));
    let order = press(&mut state, "Esc 2 l");
    assert_eq!(order, Some(Order::Details(SHEPHERD, "broken".into())));
    // An answer about another one is late.
    state.hear(News::Details(SHEPHERD, "web-server".into(), "late".into()));
    assert!(matches!(&state.mode, Mode::Details { text, .. } if text != "late"));
    let long: String = (0..100).map(|n| format!("line {n}\n")).collect();
    state.hear(News::Details(SHEPHERD, "broken".into(), long));
    let top = |state: &State| match &state.mode {
        Mode::Details { text, top, .. } => (text.starts_with("line 0"), *top),
        _ => (false, 0),
    };
    assert_eq!(top(&state), (true, 0));
    press(&mut state, "j j");
    assert_eq!(top(&state), (true, 2));
    press(&mut state, "PgDn");
    assert_eq!(top(&state), (true, 23));
    press(&mut state, "G j");
    assert_eq!(top(&state), (true, 79), "24 lines, three for other things");
    press(&mut state, "g k");
    assert_eq!(top(&state), (true, 0));
    assert_eq!(press(&mut state, "r"), Some(Order::Details(SHEPHERD, "broken".into())));
    press(&mut state, "Esc 4 Enter");
    let Mode::Details { text, .. } = &state.mode else { panic!("{:?}", state.mode) };
    assert!(text.contains("\n  in         150 messages, 15K, 25/s and 2.4K/s now\n"), "{text}");
    assert!(text.contains("and the peer is not read for now"), "{text}");
}

#[test]
fn what_comes_while_it_is_paused_is_there_afterwards() {
    let mut state = fleet();
    press(&mut state, "Space");
    assert!(state.is_paused());
    state.hear(News::Found(BOSS, Found::Fleet(vec![], vec![])));
    let line = super::line(9, 0, "destroyed", "edge-3", "");
    state.hear(News::Found(BOSS, Found::Lines(vec![line])));
    state.settle();
    assert_eq!(state.place(Panel::Machines).grid.rows.len(), 3);
    press(&mut state, "j Space");
    assert_eq!(state.place(Panel::Machines).grid.rows.len(), 0);
    assert_eq!(state.live().lines.last().unwrap().1.event, "destroyed");
    assert!(!state.is_paused());
}
