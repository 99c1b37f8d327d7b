//! The dashboard as it stands: what is known, where one is in it, and what a key does.
//! Knows no terminal but its size.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::grid::{Grid, Id, Row};
use super::input::{Action, HELP};
use super::layout::{self, Layout};
use super::model::{Data, Found, Source};
use super::panels::Panel;

/// What may be done with a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verb {
    Start,
    Stop,
    Restart,
}

impl Verb {
    /// The method, and the word for people.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

/// Something new.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum News {
    /// The time.
    Tick(SystemTime),
    /// The terminal has that size.
    Size(u16, u16),
    /// A source answers.
    Up(usize),
    /// A source does not answer, and why.
    Down(usize, String),
    /// What a source has.
    Found(usize, Found),
    /// What was asked for of a service.
    Details(usize, String, String),
    /// For the user, once.
    Said(String),
    /// A capability is not for that.
    Denied(usize, Verb, String),
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Quit,
    /// All sources are to look now.
    Refresh,
    /// A shepherd is to say all about a service.
    Details(usize, String),
    /// A shepherd is to do something with a service.
    Do(usize, Verb, String),
    Redraw,
    Suspend,
}

/// What the keys are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Browse,
    /// Something is shown in full, from a line on.
    Details {
        title: String,
        text: String,
        top: usize,
        /// The source and name of the service that it is about, if it is about one.
        about: Option<(usize, String)>,
    },
    /// A filter is typed; that before is taken back if it is not taken.
    Filter(String),
    /// A command is typed.
    Command(String),
    /// Somebody is asked whether that is meant.
    Confirm {
        source: usize,
        verb: Verb,
        name: String,
    },
}

/// Where one is in a panel.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// The column, and whether what is most comes first.
    pub(super) sort: Option<(usize, bool)>,
    pub(super) filter: String,
    /// The row; nothing is the first one, and in the log the last one.
    selected: Option<Id>,
    /// Where that is.
    pub(super) index: usize,
    /// The first row that is shown.
    pub(super) top: usize,
    /// The rows, as they are shown.
    pub(super) grid: Grid,
}

/// The dashboard.
#[derive(Clone, Debug)]
pub(super) struct State {
    live: Data,
    /// What is shown, while it is paused.
    frozen: Option<Box<Data>>,
    pub(super) focus: Panel,
    places: [Place; 5],
    pub(super) mode: Mode,
    pub(super) zoom: bool,
    pub(super) size: (u16, u16),
    /// For the user, until the next key.
    pub(super) message: Option<String>,
    /// Nothing is to be changed by this.
    read_only: bool,
    denied: BTreeSet<(usize, Verb)>,
}

impl State {
    pub(super) fn new(now: SystemTime, sources: Vec<Source>, read_only: bool) -> Self {
        let live = Data::new(now, sources);
        // Where one begins there should be something to see.
        let first =
            |panel: &&Panel| panel.kind().is_some_and(|kind| live.of(kind).next().is_some());
        let focus = Panel::ALL.iter().find(first).copied().unwrap_or(Panel::Events);
        let places = Panel::ALL.map(|panel| Place {
            sort: panel.sorted().map(|column| (column, false)),
            ..Place::default()
        });
        let mut this = Self {
            live,
            frozen: None,
            focus,
            places,
            mode: Mode::Browse,
            zoom: false,
            size: (80, 24),
            message: None,
            read_only,
            denied: BTreeSet::new(),
        };
        this.settle();
        this
    }

    /// What is shown.
    pub(super) fn data(&self) -> &Data {
        self.frozen.as_deref().unwrap_or(&self.live)
    }

    /// What is known by now.
    pub(super) const fn live(&self) -> &Data {
        &self.live
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.frozen.is_some()
    }

    pub(super) fn place(&self, panel: Panel) -> &Place {
        // There are as many places as panels.
        let [machines, services, bindings, sessions, events] = &self.places;
        match panel {
            Panel::Machines => machines,
            Panel::Services => services,
            Panel::Bindings => bindings,
            Panel::Sessions => sessions,
            Panel::Events => events,
        }
    }

    fn place_mut(&mut self, panel: Panel) -> &mut Place {
        let [machines, services, bindings, sessions, events] = &mut self.places;
        match panel {
            Panel::Machines => machines,
            Panel::Services => services,
            Panel::Bindings => bindings,
            Panel::Sessions => sessions,
            Panel::Events => events,
        }
    }

    /// The row one is at.
    pub(super) fn row(&self) -> Option<&Row> {
        let place = self.place(self.focus);
        place.grid.rows.get(place.index)
    }

    /// The service one is at: its source and its name.
    fn service(&self) -> Option<(usize, &str)> {
        if self.focus != Panel::Services {
            return None;
        }
        let Row { id: Id(source, name), .. } = self.row()?;
        Some(((*source)?, name))
    }

    /// Whether something can be done with the service one is at, as far as is known.
    pub(super) fn allows(&self, verb: Verb) -> bool {
        let may =
            |(source, _)| !self.denied.contains(&(source, verb)) && !self.data().is_stale(source);
        !self.read_only && self.service().is_some_and(may)
    }

    /// Takes in what is new. [`State::settle`] is to follow before it is shown.
    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::Tick(now) => self.live.now = now,
            News::Size(width, height) => self.size = (width, height),
            News::Up(source) => {
                // It may be another capability by now.
                self.denied.retain(|(of, _)| *of != source);
                self.live.up(source);
            }
            News::Down(source, why) => self.live.down(source, why),
            News::Found(source, found) => self.live.found(source, found),
            News::Details(source, name, text) => {
                if let Mode::Details { text: before, about, .. } = &mut self.mode
                    && *about == Some((source, name))
                {
                    *before = text;
                }
            }
            News::Said(text) => self.message = Some(text),
            News::Denied(source, verb, text) => {
                self.denied.insert((source, verb));
                self.message = Some(text);
            }
        }
    }

    /// Makes the tables anew, and keeps one's place in each.
    pub(super) fn settle(&mut self) {
        for panel in Panel::ALL {
            let mut grid = panel.grid(self.data());
            let place = self.place_mut(panel);
            if let Some((column, descending)) = place.sort {
                grid.sort(column, descending);
            }
            grid.filter(&place.filter);
            let last = grid.rows.len().saturating_sub(1);
            let found = place.selected.as_ref().map(|selected| grid.position(selected));
            place.index = match found {
                Some(Some(index)) => index,
                // It is gone: what has come to its place is next to it.
                Some(None) => place.index.min(last),
                None if panel == Panel::Events => last,
                None => 0,
            };
            place.grid = grid;
        }
        let layout = self.layout();
        for (panel, area) in &layout.panels {
            let rows = usize::from(area.height.saturating_sub(layout::HEAD));
            let place = self.place_mut(*panel);
            let last = place.grid.rows.len().saturating_sub(rows);
            let lowest = (place.index + 1).saturating_sub(rows);
            place.top = place.top.clamp(lowest, place.index.max(lowest)).min(last);
        }
        if let Mode::Details { text, top, .. } = &mut self.mode {
            let lines = layout.overlaid(text).len();
            *top = (*top).min(lines.saturating_sub(layout.overlay_rows()));
        }
    }

    pub(super) fn layout(&self) -> Layout {
        let rows = |panel: Panel| self.place(panel).grid.rows.len();
        layout::layout(self.size, self.focus, self.zoom, rows)
    }

    /// Does what a key asks for, and says what is to be done outside.
    pub(super) fn act(&mut self, action: Action) -> Option<Order> {
        self.message = None;
        let order = match self.mode.clone() {
            Mode::Browse => self.browse(action),
            Mode::Details { .. } => self.in_details(action),
            Mode::Filter(before) => self.in_filter(action, before),
            Mode::Command(text) => self.in_command(action, text),
            Mode::Confirm { source, verb, name } => match everywhere(action) {
                Some(order) => Some(order),
                None => {
                    self.mode = Mode::Browse;
                    (action == Action::Accept).then(|| {
                        self.message = Some(format!("{} {name}…", verb.word()));
                        Order::Do(source, verb, name)
                    })
                }
            },
        };
        self.settle();
        order
    }

    fn browse(&mut self, action: Action) -> Option<Order> {
        match action {
            Action::Help => {
                let (title, text) = ("Keys".to_owned(), HELP.to_owned());
                self.mode = Mode::Details { title, text, top: 0, about: None };
            }
            Action::Focus(panel) => self.focus = panel,
            Action::Step(by) => self.focus = self.focus.step(by),
            Action::Move(by) => self.go(by),
            Action::Page(by) => self.go(by * self.page()),
            Action::First => self.select(Some(0)),
            // In the log that is where it goes on.
            Action::Last if self.focus == Panel::Events => self.select(None),
            Action::Last => self.select(Some(usize::MAX)),
            Action::Filter => self.mode = Mode::Filter(self.place(self.focus).filter.clone()),
            Action::Command => self.mode = Mode::Command(String::new()),
            Action::Sort(by) => self.sort(by),
            Action::Invert => {
                let (column, descending) = self.place(self.focus).sort.unwrap_or((0, false));
                self.place_mut(self.focus).sort = Some((column, !descending));
            }
            Action::Open => return self.open(),
            Action::Zoom => self.zoom = !self.zoom,
            Action::Back if !self.place(self.focus).filter.is_empty() => {
                self.place_mut(self.focus).filter.clear();
            }
            Action::Back => self.zoom = false,
            Action::Pause => {
                self.frozen = match self.frozen {
                    Some(_) => None,
                    None => Some(Box::new(self.live.clone())),
                }
            }
            Action::Do(verb) => self.ask(verb),
            _ => return everywhere(action),
        }
        None
    }

    fn in_details(&mut self, action: Action) -> Option<Order> {
        let layout = self.layout();
        let room = layout.overlay_rows();
        let Mode::Details { text, top, about, .. } = &mut self.mode else { return None };
        let last = layout.overlaid(text).len().saturating_sub(room);
        let page = isize::try_from(room).unwrap_or(1).max(1);
        match action {
            Action::Move(by) => *top = top.saturating_add_signed(by).min(last),
            Action::Page(by) => *top = top.saturating_add_signed(by * page).min(last),
            Action::First => *top = 0,
            Action::Last => *top = last,
            Action::Back => self.mode = Mode::Browse,
            Action::Refresh => {
                let about = about.clone();
                return about.map(|(source, name)| Order::Details(source, name));
            }
            _ => return everywhere(action),
        }
        None
    }

    fn in_filter(&mut self, action: Action, before: String) -> Option<Order> {
        let filter = &mut self.place_mut(self.focus).filter;
        match action {
            Action::Type(c) => filter.push(c),
            Action::Erase => drop(filter.pop()),
            Action::Accept => self.mode = Mode::Browse,
            Action::Back => {
                *filter = before;
                self.mode = Mode::Browse;
            }
            _ => return everywhere(action),
        }
        None
    }

    fn in_command(&mut self, action: Action, mut text: String) -> Option<Order> {
        match action {
            Action::Type(c) => text.push(c),
            Action::Erase if text.is_empty() => {
                self.mode = Mode::Browse;
                return None;
            }
            Action::Erase => drop(text.pop()),
            Action::Complete => {
                if let [(word, _)] = *commands(&text) {
                    text = word.to_owned();
                }
            }
            Action::Back => {
                self.mode = Mode::Browse;
                return None;
            }
            Action::Accept => {
                self.mode = Mode::Browse;
                return match *commands(&text) {
                    _ if text.is_empty() => None,
                    [(_, command)] => self.browse(command),
                    [] => {
                        self.message = Some(format!("there is no :{text}; ? shows the keys"));
                        None
                    }
                    _ => {
                        self.message = Some(format!(":{text} may be several commands"));
                        None
                    }
                };
            }
            _ => return everywhere(action),
        }
        self.mode = Mode::Command(text);
        None
    }

    /// How many rows are a page.
    fn page(&self) -> isize {
        let layout = self.layout();
        let of = layout.panels.iter().find(|(panel, _)| *panel == self.focus);
        let rows = of.map_or(1, |(_, area)| area.height.saturating_sub(layout::HEAD));
        isize::try_from(rows).unwrap_or(1).max(1)
    }

    fn go(&mut self, by: isize) {
        let index = self.place(self.focus).index.saturating_add_signed(by);
        let last = self.place(self.focus).grid.rows.len().saturating_sub(1);
        // At its end the log is followed.
        let follow = self.focus == Panel::Events && index >= last;
        self.select((!follow).then_some(index));
    }

    fn select(&mut self, index: Option<usize>) {
        let place = self.place_mut(self.focus);
        let last = place.grid.rows.len().saturating_sub(1);
        let row = index.and_then(|index| place.grid.rows.get(index.min(last)));
        place.selected = row.map(|row| row.id.clone());
    }

    fn sort(&mut self, by: isize) {
        let place = self.place_mut(self.focus);
        let count = place.grid.columns.len().max(1);
        let column = match place.sort {
            None if by > 0 => 0,
            None => count - 1,
            Some((column, _)) => (column + count).saturating_add_signed(by) % count,
        };
        // Of numbers the greatest are wanted, of names the first.
        let right = place.grid.columns.get(column).is_some_and(|column| column.right);
        place.sort = Some((column, right));
    }

    fn open(&mut self) -> Option<Order> {
        let row = self.row()?;
        let text = self.focus.details(self.data(), row);
        let title = row.cells.first().map(|cell| cell.text.clone()).unwrap_or_default();
        let about = self.service().map(|(source, name)| (source, name.to_owned()));
        self.mode = Mode::Details { title, text, top: 0, about: about.clone() };
        about.map(|(source, name)| Order::Details(source, name))
    }

    fn ask(&mut self, verb: Verb) {
        let Some((source, name)) = self.service() else {
            self.message = Some(format!("only services can be told to {}", verb.word()));
            return;
        };
        let name = name.to_owned();
        if self.allows(verb) {
            self.mode = Mode::Confirm { source, verb, name };
        } else if self.data().is_stale(source) {
            self.message = Some("the shepherd does not answer".to_owned());
        } else if self.read_only {
            self.message = Some("nothing is done with --read-only".to_owned());
        } else {
            self.message = Some(format!("{}: not permitted by this capability", verb.word()));
        }
    }
}

/// What means the same in all modes.
const fn everywhere(action: Action) -> Option<Order> {
    Some(match action {
        Action::Quit => Order::Quit,
        Action::Refresh => Order::Refresh,
        Action::Redraw => Order::Redraw,
        Action::Suspend => Order::Suspend,
        _ => return None,
    })
}

/// The commands that begin like that, or the one that is it.
fn commands(text: &str) -> Vec<(&'static str, Action)> {
    const COMMANDS: [(&str, Action); 10] = [
        ("machines", Action::Focus(Panel::Machines)),
        ("services", Action::Focus(Panel::Services)),
        ("svc", Action::Focus(Panel::Services)),
        ("bindings", Action::Focus(Panel::Bindings)),
        ("sessions", Action::Focus(Panel::Sessions)),
        ("events", Action::Focus(Panel::Events)),
        ("log", Action::Focus(Panel::Events)),
        ("help", Action::Help),
        ("quit", Action::Quit),
        ("q!", Action::Quit),
    ];
    let text = text.trim().to_lowercase();
    let exact = COMMANDS.iter().filter(|(word, _)| *word == text);
    if let Some(found) = exact.copied().next() {
        return vec![found];
    }
    // As everybody types it.
    if text == "q" {
        return vec![("quit", Action::Quit)];
    }
    COMMANDS.iter().filter(|(word, _)| word.starts_with(&text)).copied().collect()
}
