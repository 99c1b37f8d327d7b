//! Keys, as those who know htop and k9s expect them.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::panels::Panel;
use super::state::{Mode, Verb};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Quit,
    /// Back from where one is: of an overlay, a filter.
    Back,
    Help,
    Focus(Panel),
    /// So many panels on.
    Step(isize),
    /// So many rows down.
    Move(isize),
    /// So many pages down.
    Page(isize),
    First,
    Last,
    Filter,
    Command,
    /// Sort by the column so many to the right.
    Sort(isize),
    /// Sort the other way round.
    Invert,
    Open,
    Zoom,
    Pause,
    Refresh,
    Do(Verb),
    /// Draw all anew.
    Redraw,
    /// Let the shell go on.
    Suspend,
    /// A character of a text.
    Type(char),
    Erase,
    /// Make a word whole.
    Complete,
    /// Take what was typed, or say yes.
    Accept,
}

/// The keys, for those who ask.
pub(super) const HELP: &str = "\
1..5           go to a panel              Tab, Shift-Tab, ← →  from one to the next
↑ ↓  j k       move                       PgUp, PgDn           by pages
g G  Home End  first, last                Enter, d, l          details
/  F4          filter; !text: without it  Esc                  clear it, go back
< >  F6        sort by another column     I                    the other way round
s S R          start, stop, restart       z                    this panel alone
space          pause                      r  F5                look again now
:              :services, :events, :q     ?  F1                these keys
Ctrl-L         draw anew                  q  F10  Ctrl-C       quit

● there   ○ not there   ! lost, or look at this

Sessions, from the node that is asked: IN/s OUT/s are messages in a second, B-IN/s
B-OUT/s bytes. QUEUE are bytes that wait to be sent; WAIT those that were received and
wait, with ! while the peer is not read. EXP is what the peer may name, IMP what we may;
ASKED are answers that we wait for or may name, OWED those that the peer may.";

/// What a key asks for in a mode.
pub(super) fn action(mode: &Mode, key: KeyEvent) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return control(mode, key.code);
    }
    match mode {
        Mode::Filter(_) | Mode::Command(_) => typed(key.code),
        Mode::Confirm { .. } => Some(match key.code {
            KeyCode::Char('y' | 'Y') => Action::Accept,
            _ => Action::Back,
        }),
        Mode::Details { .. } => overlay(key.code),
        Mode::Browse => browse(key.code),
    }
}

const fn control(mode: &Mode, code: KeyCode) -> Option<Action> {
    let KeyCode::Char(c) = code else { return None };
    Some(match (c, mode) {
        ('c', _) => Action::Quit,
        ('l', _) => Action::Redraw,
        ('z', _) => Action::Suspend,
        ('h', Mode::Filter(_) | Mode::Command(_)) => Action::Erase,
        ('f', Mode::Browse | Mode::Details { .. }) => Action::Page(1),
        ('b', Mode::Browse | Mode::Details { .. }) => Action::Page(-1),
        _ => return None,
    })
}

const fn typed(code: KeyCode) -> Option<Action> {
    Some(match code {
        KeyCode::Char(c) => Action::Type(c),
        KeyCode::Backspace => Action::Erase,
        KeyCode::Tab => Action::Complete,
        KeyCode::Enter => Action::Accept,
        KeyCode::Esc => Action::Back,
        _ => return None,
    })
}

const fn overlay(code: KeyCode) -> Option<Action> {
    Some(match code {
        KeyCode::Up | KeyCode::Char('k') => Action::Move(-1),
        KeyCode::Down | KeyCode::Char('j') => Action::Move(1),
        KeyCode::PageUp => Action::Page(-1),
        KeyCode::PageDown | KeyCode::Char(' ') => Action::Page(1),
        KeyCode::Home | KeyCode::Char('g') => Action::First,
        KeyCode::End | KeyCode::Char('G') => Action::Last,
        KeyCode::Char('r') | KeyCode::F(5) => Action::Refresh,
        KeyCode::Esc
        | KeyCode::Enter
        | KeyCode::Backspace
        | KeyCode::Char('q' | '?' | 'd' | 'l')
        | KeyCode::F(1 | 10) => Action::Back,
        _ => return None,
    })
}

fn browse(code: KeyCode) -> Option<Action> {
    Some(match code {
        KeyCode::Char('q') | KeyCode::F(10) => Action::Quit,
        KeyCode::Esc => Action::Back,
        KeyCode::Char('?') | KeyCode::F(1) => Action::Help,
        KeyCode::Char(c @ '1'..='5') => {
            let nth = c.to_digit(10)?.checked_sub(1)?;
            Action::Focus(*Panel::ALL.get(usize::try_from(nth).ok()?)?)
        }
        KeyCode::Tab | KeyCode::Right => Action::Step(1),
        KeyCode::BackTab | KeyCode::Left => Action::Step(-1),
        KeyCode::Up | KeyCode::Char('k') => Action::Move(-1),
        KeyCode::Down | KeyCode::Char('j') => Action::Move(1),
        KeyCode::PageUp => Action::Page(-1),
        KeyCode::PageDown => Action::Page(1),
        KeyCode::Home | KeyCode::Char('g') => Action::First,
        KeyCode::End | KeyCode::Char('G') => Action::Last,
        KeyCode::Char('/') | KeyCode::F(3 | 4) => Action::Filter,
        KeyCode::Char(':') => Action::Command,
        KeyCode::Char('<' | ',') => Action::Sort(-1),
        KeyCode::Char('>' | '.') | KeyCode::F(6) => Action::Sort(1),
        KeyCode::Char('I') => Action::Invert,
        KeyCode::Enter | KeyCode::Char('d' | 'l') => Action::Open,
        KeyCode::Char('z') => Action::Zoom,
        KeyCode::Char(' ') => Action::Pause,
        KeyCode::Char('r') | KeyCode::F(5) => Action::Refresh,
        KeyCode::Char('s') => Action::Do(Verb::Start),
        KeyCode::Char('S') | KeyCode::F(9) => Action::Do(Verb::Stop),
        KeyCode::Char('R') => Action::Do(Verb::Restart),
        _ => return None,
    })
}
