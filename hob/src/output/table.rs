//! Tables that fit the terminal: what matters least goes first. Into a pipe goes all.

use super::screen::{Paint, Screen};

const GAP: &str = "  ";

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    title: &'static str,
    /// The higher, the earlier it is left out; 0 stays.
    rank: u8,
}

impl Column {
    /// A column that is always there.
    pub(crate) const fn kept(title: &'static str) -> Self {
        Self { title, rank: 0 }
    }

    /// A column that is left out before those of lower rank.
    pub(crate) const fn droppable(title: &'static str, rank: u8) -> Self {
        Self { title, rank }
    }
}

/// What is in one place of a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    /// A text of which nothing can steer the terminal. If it is empty, a dash.
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        let text = super::harmless(text.as_ref()).replace('\n', " ");
        let text = if text.is_empty() { "-".to_owned() } else { text };
        Self { text, paint: Paint::Plain }
    }

    /// The same in a colour.
    pub(crate) const fn painted(mut self, paint: Paint) -> Self {
        self.paint = paint;
        self
    }
}

/// A table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Puts a row at the end: a cell for each column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let mut cells: Vec<Cell> = cells.into_iter().collect();
        cells.resize_with(self.columns.len(), || Cell::new(""));
        self.rows.push(cells);
    }

    /// The table as text, without a newline at its end.
    pub(crate) fn render(&self, screen: Screen) -> String {
        let widths: Vec<usize> = self.widths();
        let kept = self.fitting(&widths, screen.width);
        let line = |cells: &mut dyn Iterator<Item = (&str, Paint)>| {
            let mut text = String::new();
            // Spaces are put in when something follows, so that none end a line.
            let mut owed = 0;
            for ((cell, paint), index) in cells.zip(&kept) {
                text.push_str(&" ".repeat(owed));
                let room = screen.width.filter(|_| kept.len() == 1);
                let cell = room.map_or_else(|| cell.to_owned(), |room| shortened(cell, room));
                text.push_str(&screen.paint(paint, &cell));
                let width = widths.get(*index).copied().unwrap_or_default();
                owed = width.saturating_sub(cell.chars().count()) + GAP.len();
            }
            text
        };
        let titles = kept.iter().filter_map(|index| self.columns.get(*index));
        let mut lines = vec![line(&mut titles.map(|column| (column.title, Paint::Heading)))];
        for row in &self.rows {
            let cells = kept.iter().filter_map(|index| row.get(*index));
            lines.push(line(&mut cells.map(|cell| (cell.text.as_str(), cell.paint))));
        }
        lines.join("\n")
    }

    fn widths(&self) -> Vec<usize> {
        let width = |(index, column): (usize, &Column)| {
            let cells = self.rows.iter().filter_map(|row| row.get(index));
            let cells = cells.map(|cell| cell.text.chars().count());
            cells.chain([column.title.chars().count()]).max().unwrap_or_default()
        };
        self.columns.iter().enumerate().map(width).collect()
    }

    /// Which columns are shown.
    fn fitting(&self, widths: &[usize], room: Option<usize>) -> Vec<usize> {
        let mut kept: Vec<usize> = (0..self.columns.len()).collect();
        let Some(room) = room else { return kept };
        loop {
            let taken: usize = kept.iter().filter_map(|index| widths.get(*index)).sum();
            if taken + GAP.len() * kept.len().saturating_sub(1) <= room {
                return kept;
            }
            let rank = |index: &usize| self.columns.get(*index).map_or(0, |column| column.rank);
            // Of those with the same rank the last.
            let least = kept.iter().enumerate().max_by_key(|(_, index)| rank(index));
            match least.map(|(at, index)| (at, rank(index))) {
                Some((at, rank)) if rank > 0 => drop(kept.remove(at)),
                _ => return kept,
            }
        }
    }
}

/// A text of at most that many characters.
pub(crate) fn shortened(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machines() -> Table {
        let mut table = Table::new([
            Column::kept("NAME"),
            Column::droppable("PROVIDER", 3),
            Column::kept("STATE"),
            Column::droppable("PEER", 2),
            Column::droppable("SEEN", 1),
        ]);
        let active = Cell::new("active").painted(Paint::Good);
        let cell = Cell::new;
        table.row([cell("app-machine"), cell("qemu"), active, cell("c0de…"), cell("2s")]);
        table.row([cell("edge-3"), cell("linode"), cell("pending"), cell(""), cell("")]);
        table
    }

    fn at(width: usize) -> String {
        machines().render(Screen { colour: false, width: Some(width) })
    }

    #[test]
    fn all_is_shown_into_a_pipe() {
        let expected = "\
NAME         PROVIDER  STATE    PEER   SEEN
app-machine  qemu      active   c0de…  2s
edge-3       linode    pending  -      -";
        assert_eq!(machines().render(Screen::default()), expected);
        assert_eq!(at(43), expected);
    }

    #[test]
    fn the_least_goes_first_when_there_is_no_room() {
        let narrower = "\
NAME         STATE    PEER   SEEN
app-machine  active   c0de…  2s
edge-3       pending  -      -";
        assert_eq!((at(42), at(33)), (narrower.to_owned(), narrower.to_owned()));
        let narrowest = "NAME         STATE\napp-machine  active\nedge-3       pending";
        assert_eq!(at(20), narrowest);
        assert_eq!(at(3), narrowest);
    }

    #[test]
    fn colours_take_no_room_and_texts_do_not_steer() {
        let coloured = machines().render(Screen { colour: true, width: Some(20) });
        assert_eq!(
            coloured,
            "\x1b[1mNAME\x1b[0m         \x1b[1mSTATE\x1b[0m\n\
             app-machine  \x1b[32mactive\x1b[0m\n\
             edge-3       pending"
        );
        let mut table = Table::new([Column::kept("A")]);
        table.row([Cell::new("x\x1b[2J\ny")]);
        assert_eq!(table.render(Screen::default()), "A\nx\\u{1b}[2J y");
        assert_eq!(table.render(Screen { colour: false, width: Some(4) }), "A\nx\\u…");
    }
}
