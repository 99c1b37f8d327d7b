//! Tables of any kind: sorted, filtered, and fitted to a width.

use ratatui::text::Span;

use crate::output::harmless;
use crate::output::screen::Paint;

/// What stands between columns.
pub(super) const GAP: usize = 2;

/// An elastic column is not narrower than this before others are left out.
const ELASTIC: usize = 12;

/// How wide a text is on a terminal.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// A text of at most that width.
pub(super) fn shortened(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut taken = 1;
    for c in text.chars() {
        taken += width(c.encode_utf8(&mut [0; 4]));
        if taken > room {
            break;
        }
        kept.push(c);
    }
    if room > 0 {
        kept.push('…');
    }
    kept
}

/// The lines of a text, none wider than the room; what goes on is set in a little.
pub(super) fn wrapped(text: &str, room: usize) -> Vec<String> {
    const SET_IN: &str = "    ";
    let mut lines = Vec::new();
    for text in text.lines() {
        let mut line = String::new();
        let mut taken = 0;
        for c in text.chars() {
            let more = width(c.encode_utf8(&mut [0; 4]));
            // Where nothing fits there is nothing to be gained.
            if taken + more > room && taken > SET_IN.len() {
                lines.push(std::mem::replace(&mut line, SET_IN.to_owned()));
                taken = SET_IN.len();
            }
            line.push(c);
            taken += more;
        }
        lines.push(line);
    }
    lines
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// The higher, the earlier it is left out; 0 stays.
    pub(super) rank: u8,
    /// Whether it stands at the right, as numbers do.
    pub(super) right: bool,
    /// Whether it takes what room there is.
    pub(super) elastic: bool,
}

impl Column {
    pub(super) const fn text(title: &'static str, rank: u8) -> Self {
        Self { title, rank, right: false, elastic: false }
    }

    pub(super) const fn number(title: &'static str, rank: u8) -> Self {
        Self { title, rank, right: true, elastic: false }
    }

    pub(super) const fn elastic(title: &'static str, rank: u8) -> Self {
        Self { title, rank, right: false, elastic: true }
    }
}

/// By what cells are compared. What is not known comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    None,
    Number(u64),
    Text(String),
}

/// What is in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) paint: Paint,
    key: Key,
}

impl Cell {
    /// A text of which nothing can steer the terminal. If it is empty, a dash.
    pub(super) fn text(text: impl AsRef<str>) -> Self {
        let text = harmless(text.as_ref()).replace('\n', " ");
        let key = if text.is_empty() { Key::None } else { Key::Text(text.to_lowercase()) };
        let text = if text.is_empty() { "-".to_owned() } else { text };
        Self { text, paint: Paint::Plain, key }
    }

    /// Something that is compared by a number.
    pub(super) fn number(text: impl AsRef<str>, number: Option<u64>) -> Self {
        Self { key: number.map_or(Key::None, Key::Number), ..Self::text(text) }
    }

    /// A count, or nothing.
    pub(super) fn count(count: Option<u64>) -> Self {
        Self::number(count.map(|count| count.to_string()).unwrap_or_default(), count)
    }

    pub(super) fn painted(mut self, paint: Paint) -> Self {
        self.paint = paint;
        self
    }
}

/// What names a row as long as there is one: its source, and its name there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(pub(super) Option<usize>, pub(super) String);

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: Id,
    pub(super) cells: Vec<Cell>,
    /// Whether it may be no longer so.
    pub(super) stale: bool,
}

/// A table.
#[derive(Clone, Debug, Default)]
pub(super) struct Grid {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
    /// How many rows there were before it was filtered.
    pub(super) total: usize,
}

impl Grid {
    pub(super) fn new(columns: Vec<Column>, rows: Vec<Row>) -> Self {
        let total = rows.len();
        Self { columns, rows, total }
    }

    /// Sorts by a column. Rows that are alike stay as they are.
    pub(super) fn sort(&mut self, column: usize, descending: bool) {
        self.rows.sort_by(|one, other| {
            let key = |row: &Row| row.cells.get(column).map(|cell| cell.key.clone());
            let order = key(one).cmp(&key(other));
            if descending { order.reverse() } else { order }
        });
    }

    /// Keeps the rows that have a text in them, whatever its case; after `!` those that
    /// have not.
    pub(super) fn filter(&mut self, filter: &str) {
        let (without, text) = match filter.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, filter),
        };
        if text.is_empty() {
            return;
        }
        let text = text.to_lowercase();
        self.rows.retain(|row| {
            row.cells.iter().any(|cell| cell.text.to_lowercase().contains(&text)) != without
        });
    }

    /// Where a row is.
    pub(super) fn position(&self, id: &Id) -> Option<usize> {
        self.rows.iter().position(|row| row.id == *id)
    }

    /// Which columns are shown in that room, and how wide. `sorted` has a sign after its
    /// title.
    pub(super) fn fit(&self, room: usize, sorted: Option<usize>) -> Vec<(usize, usize)> {
        let natural: Vec<usize> = self.widths(sorted);
        let needed = |index: &usize| {
            let natural = natural.get(*index).copied().unwrap_or_default();
            let elastic = self.columns.get(*index).is_some_and(|column| column.elastic);
            if elastic { natural.min(ELASTIC) } else { natural }
        };
        let mut kept: Vec<usize> = (0..self.columns.len()).collect();
        loop {
            let taken: usize = kept.iter().map(needed).sum();
            if taken + GAP * kept.len().saturating_sub(1) <= room {
                break;
            }
            let rank = |index: &usize| self.columns.get(*index).map_or(0, |column| column.rank);
            let least = kept.iter().enumerate().max_by_key(|(_, index)| rank(index));
            match least.map(|(at, index)| (at, rank(index))) {
                Some((at, rank)) if rank > 0 => drop(kept.remove(at)),
                _ => break,
            }
        }
        let mut widths: Vec<usize> = kept.iter().map(needed).collect();
        let room = room.saturating_sub(GAP * kept.len().saturating_sub(1));
        // What stays and has no room is cut where it is widest.
        while widths.iter().sum::<usize>() > room {
            match widths.iter_mut().max() {
                Some(widest) if *widest > 1 => *widest -= 1,
                _ => break,
            }
        }
        let mut spare = room.saturating_sub(widths.iter().sum());
        for (index, width) in kept.iter().zip(&mut widths) {
            let natural = natural.get(*index).copied().unwrap_or_default();
            let more = natural.saturating_sub(*width).min(spare);
            *width += more;
            spare -= more;
        }
        kept.into_iter().zip(widths).collect()
    }

    fn widths(&self, sorted: Option<usize>) -> Vec<usize> {
        let of = |(index, column): (usize, &Column)| {
            let cells = self.rows.iter().filter_map(|row| row.cells.get(index));
            let cells = cells.map(|cell| width(&cell.text));
            let title = width(column.title) + usize::from(sorted == Some(index));
            cells.chain([title]).max().unwrap_or_default()
        };
        self.columns.iter().enumerate().map(of).collect()
    }
}
