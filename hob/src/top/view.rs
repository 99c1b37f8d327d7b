//! The dashboard as it is drawn.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget as _};

use super::grid::{GAP, shortened, width};
use super::layout::HEAD;
use super::model::{Link, Source};
use super::panels::Panel;
use super::state::{Mode, State, Verb};
use crate::output::harmless;
use crate::output::screen::{Mark, Paint};
use crate::output::time::clock;

/// How things are painted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    /// Whether there are colours. What they say is said without them too.
    pub(super) colour: bool,
}

impl Theme {
    fn of(self, paint: Paint) -> Style {
        let style = Style::new();
        let coloured = |colour| if self.colour { style.fg(colour) } else { style };
        match paint {
            Paint::Plain => style,
            Paint::Good => coloured(Color::Green),
            Paint::Waiting => coloured(Color::Yellow),
            Paint::Bad => coloured(Color::Red).add_modifier(Modifier::BOLD),
            Paint::Faint => style.add_modifier(Modifier::DIM),
            Paint::Heading => style.add_modifier(Modifier::BOLD),
        }
    }

    const fn selected() -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}

/// Draws all of it.
pub(super) fn draw(state: &State, theme: Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    let layout = state.layout();
    let whole = |rect: Rect| rect.intersection(area);
    header(state, theme, whole(layout.header), buffer);
    if let Some(tabs) = layout.tabs {
        self::tabs(state, theme, whole(tabs), buffer);
    }
    for (panel, area) in &layout.panels {
        self::panel(state, theme, *panel, whole(*area), buffer);
    }
    if let Mode::Details { title, text, top, .. } = &state.mode {
        let lines = layout.overlaid(text);
        overlay(theme, title, &lines, *top, whole(layout.overlay), buffer);
    }
    footer(state, theme, whole(layout.footer), buffer);
}

/// Puts pieces in a line, one after the other, as far as there is room.
fn line<'a>(spans: impl IntoIterator<Item = Span<'a>>, area: Rect, buffer: &mut Buffer) {
    if area.height > 0 {
        buffer.set_line(area.x, area.y, &Line::from_iter(spans), area.width);
    }
}

/// The sign for how it stands with a source.
pub(super) const fn mark(source: &Source) -> Mark {
    match source.link {
        Link::There => Mark::On,
        Link::Looking | Link::Absent(_) => Mark::Off,
        Link::Lost { .. } => Mark::Attention,
    }
}

fn header(state: &State, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let data = state.data();
    let paused = if state.is_paused() { " PAUSED " } else { "" };
    let sources = |places: bool| {
        let mut spans = Vec::new();
        for source in data.shown() {
            let mark = mark(source);
            spans.push(Span::raw(format!("{} ", source.kind.word())));
            spans.push(Span::styled(mark.sign(), theme.of(mark.paint())));
            let place = if places { format!(" {}", source.place) } else { String::new() };
            spans.push(Span::styled(format!("{place}  "), theme.of(Paint::Faint)));
        }
        spans
    };
    let time = clock(data.now);
    // In full, shorter, and shorter still.
    let forms = [
        ("hob top  ", sources(true), format!(" {time} UTC ")),
        ("hob top  ", sources(false), format!(" {time} UTC ")),
        ("", sources(false), format!(" {time}")),
    ];
    let needed = |(name, spans, time): &(&str, Vec<Span<'_>>, String)| {
        width(name) + spans.iter().map(Span::width).sum::<usize>() + width(paused) + width(time)
    };
    let room = usize::from(area.width);
    let form = forms.iter().find(|form| needed(form) <= room).or(forms.last());
    let Some((name, spans, time)) = form else { return };
    let right = u16::try_from(width(paused) + width(time)).unwrap_or(area.width);
    let left = Rect { width: area.width.saturating_sub(right), ..area };
    let name = Span::styled(*name, theme.of(Paint::Heading));
    line([name].into_iter().chain(spans.iter().cloned()), left, buffer);
    let rest = Rect { x: area.x + left.width, width: area.width - left.width, ..area };
    line([Span::styled(paused, Theme::selected()), Span::raw(time.as_str())], rest, buffer);
}

fn tabs(state: &State, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let text = |panel: Panel, name: &str, counted: bool| {
        let count = if counted {
            format!(" {}", state.place(panel).grid.rows.len())
        } else {
            String::new()
        };
        format!(" {} {name}{count} ", panel.index() + 1)
    };
    // In full, shorter, and shorter still.
    let forms: [&dyn Fn(Panel) -> String; 3] = [
        &|panel| text(panel, panel.title(), true),
        &|panel| text(panel, panel.abbreviation(), true),
        &|panel| format!("{}{} ", panel.index() + 1, panel.abbreviation()),
    ];
    let fits = |form: &&&dyn Fn(Panel) -> String| {
        Panel::ALL.iter().map(|panel| width(&form(*panel))).sum::<usize>()
            <= usize::from(area.width)
    };
    let last = forms.last();
    let Some(form) = forms.iter().find(fits).or(last) else { return };
    let spans = Panel::ALL.iter().map(|panel| {
        let style = match *panel {
            panel if panel == state.focus => Theme::selected().add_modifier(Modifier::BOLD),
            panel if panel.trouble(state.data()).is_some() => theme.of(Paint::Faint),
            _ => Style::new(),
        };
        Span::styled(form(*panel), style)
    });
    line(spans, area, buffer);
}

/// The title of a panel: how much is in it, how it is filtered, what is amiss.
fn title(state: &State, theme: Theme, panel: Panel, area: Rect, buffer: &mut Buffer) {
    let place = state.place(panel);
    let (shown, total) = (place.grid.rows.len(), place.grid.total);
    let count = if shown == total { total.to_string() } else { format!("{shown} of {total}") };
    let style = if panel == state.focus {
        Theme::selected().add_modifier(Modifier::BOLD)
    } else {
        theme.of(Paint::Heading)
    };
    let name = format!(" {} {} ({count}) ", panel.index() + 1, panel.title());
    let mut spans = vec![Span::raw("─"), Span::styled(name, style)];
    if !place.filter.is_empty() {
        spans.push(Span::styled(format!(" /{} ", place.filter), theme.of(Paint::Waiting)));
    }
    if total > 0
        && let Some(trouble) = panel.trouble(state.data())
    {
        let lost = format!(" {} {trouble} ", Mark::Attention.sign());
        spans.push(Span::styled(lost, theme.of(Paint::Bad)));
    }
    let taken: usize = spans.iter().map(Span::width).sum();
    let rest = usize::from(area.width).saturating_sub(taken);
    spans.push(Span::styled("─".repeat(rest), theme.of(Paint::Faint)));
    line(spans, area, buffer);
}

fn panel(state: &State, theme: Theme, panel: Panel, area: Rect, buffer: &mut Buffer) {
    title(state, theme, panel, area, buffer);
    let place = state.place(panel);
    let below = |lines: u16| Rect {
        y: area.y.saturating_add(lines),
        height: area.height.saturating_sub(lines),
        ..area
    };
    if place.grid.rows.is_empty() {
        let text = match panel.trouble(state.data()) {
            _ if place.grid.total > 0 => "nothing has that in it; Esc clears the filter".to_owned(),
            Some(trouble) => trouble,
            None => "none".to_owned(),
        };
        let text = shortened(&text, usize::from(area.width.saturating_sub(2)));
        line([Span::styled(format!("  {text}"), theme.of(Paint::Faint))], below(1), buffer);
        return;
    }
    let sorted = place.sort.map(|(column, _)| column);
    let columns = place.grid.fit(usize::from(area.width.saturating_sub(1)), sorted);
    let mut heads = vec![Span::raw(" ")];
    for (index, room) in &columns {
        let Some(column) = place.grid.columns.get(*index) else { continue };
        let sign = match place.sort {
            Some((by, true)) if by == *index => "▼",
            Some((by, false)) if by == *index => "▲",
            _ => "",
        };
        let text = padded(&format!("{}{sign}", column.title), *room, column.right);
        heads.push(Span::styled(text, theme.of(Paint::Heading)));
        heads.push(Span::raw(" ".repeat(GAP)));
    }
    line(heads, below(1), buffer);
    let rows = place.grid.rows.iter().enumerate().skip(place.top);
    for ((index, row), at) in rows.zip(0..area.height.saturating_sub(HEAD)) {
        let here = index == place.index && panel == state.focus;
        let mut spans = vec![Span::raw(" ")];
        for (index, room) in &columns {
            let (Some(column), Some(cell)) =
                (place.grid.columns.get(*index), row.cells.get(*index))
            else {
                continue;
            };
            let paint = if row.stale { Paint::Faint } else { cell.paint };
            let text = padded(&cell.text, *room, column.right);
            spans.push(Span::styled(text, theme.of(paint)));
            spans.push(Span::raw(" ".repeat(GAP)));
        }
        let area = below(HEAD + at);
        line(spans, area, buffer);
        if here {
            buffer.set_style(Rect { height: 1, ..area }, Theme::selected());
        }
    }
}

fn padded(text: &str, room: usize, right: bool) -> String {
    let text = shortened(text, room);
    let pad = " ".repeat(room.saturating_sub(width(&text)));
    if right { pad + &text } else { text + &pad }
}

fn overlay(
    theme: Theme,
    title: &str,
    lines: &[String],
    top: usize,
    area: Rect,
    buffer: &mut Buffer,
) {
    Clear.render(area, buffer);
    let rows = usize::from(area.height.saturating_sub(1));
    let more = if lines.len() > rows {
        format!("{}-{} of {} ", top + 1, (top + rows).min(lines.len()), lines.len())
    } else {
        String::new()
    };
    let name = format!(" {title} ");
    let rest = usize::from(area.width).saturating_sub(width(&name) + width(&more) + 1);
    let head = [
        Span::raw("─"),
        Span::styled(name, Theme::selected().add_modifier(Modifier::BOLD)),
        Span::styled("─".repeat(rest), theme.of(Paint::Faint)),
        Span::raw(more),
    ];
    line(head, area, buffer);
    for (text, at) in lines.iter().skip(top).zip(1..area.height) {
        let area = Rect { y: area.y + at, height: 1, ..area };
        line([Span::raw(format!(" {text}"))], area, buffer);
    }
}

fn footer(state: &State, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let faint = theme.of(Paint::Faint);
    let prompt = |before: &str, text: &str, after: &str| {
        let room = usize::from(area.width).saturating_sub(width(before) + width(after) + 1);
        // What is typed is at the end.
        let skipped = text.chars().count().saturating_sub(room);
        let text: String = text.chars().skip(skipped).collect();
        vec![
            Span::styled(before.to_owned(), theme.of(Paint::Heading)),
            Span::raw(text),
            Span::styled(" ", Theme::selected()),
            Span::styled(after.to_owned(), faint),
        ]
    };
    let spans = match &state.mode {
        Mode::Filter(_) => prompt("/", &state.place(state.focus).filter, "  ↵ keep  Esc give up"),
        Mode::Command(text) => prompt(":", text, "  ↵ go  Tab complete"),
        Mode::Confirm { verb, name, .. } => {
            let what = harmless(&format!(" {} {name}? [y/N] ", verb.word()));
            vec![Span::styled(what, Theme::selected().add_modifier(Modifier::BOLD))]
        }
        _ => match &state.message {
            Some(message) => {
                let message = harmless(message).replace('\n', " ");
                vec![Span::styled(message, theme.of(Paint::Waiting))]
            }
            None => hints(state)
                .into_iter()
                .flat_map(|(key, what)| {
                    [
                        Span::styled(key, theme.of(Paint::Heading)),
                        Span::styled(format!(" {what}  "), faint),
                    ]
                })
                .collect(),
        },
    };
    line(spans, area, buffer);
}

/// The keys that matter most where one is.
fn hints(state: &State) -> Vec<(&'static str, &'static str)> {
    if !matches!(state.mode, Mode::Browse) {
        return vec![("Esc", "back"), ("↑↓", "scroll")];
    }
    let mut hints = vec![("?", "keys"), ("q", "quit"), ("/", "filter")];
    let verbs = [("s", Verb::Start), ("S", Verb::Stop), ("R", Verb::Restart)];
    let verbs = verbs.into_iter().filter(|(_, verb)| state.allows(*verb));
    hints.extend(verbs.map(|(key, verb)| (key, verb.word())));
    hints.extend([("↵", "details"), ("<>", "sort"), ("z", "zoom"), ("space", "pause")]);
    hints
}
