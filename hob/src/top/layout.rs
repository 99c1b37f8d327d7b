//! What is where on a terminal of some size.

use ratatui::layout::Rect;

use super::grid::wrapped;
use super::panels::Panel;
use crate::output::harmless;

/// The lines of a panel above its rows: its title and those of its columns.
pub(super) const HEAD: u16 = 2;

/// From that height on, all panels are shown.
const TALL: u16 = 30;

/// From that height on, there is a strip of the log below the panel.
const MIDDLE: u16 = 20;

/// How high that strip is.
const STRIP: u16 = 6;

/// What is where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) header: Rect,
    /// The names of the panels, if not all of them are there.
    pub(super) tabs: Option<Rect>,
    pub(super) panels: Vec<(Panel, Rect)>,
    pub(super) footer: Rect,
    /// Where something is shown over it.
    pub(super) overlay: Rect,
}

impl Layout {
    /// How many lines an overlay has, without its title.
    pub(super) fn overlay_rows(&self) -> usize {
        usize::from(self.overlay.height.saturating_sub(1))
    }

    /// The lines of a text in an overlay.
    pub(super) fn overlaid(&self, text: &str) -> Vec<String> {
        wrapped(&harmless(text), usize::from(self.overlay.width.saturating_sub(2)))
    }
}

/// The layout for a size, a panel that one is in and may be shown alone, and so many rows
/// in each.
pub(super) fn layout(
    size: (u16, u16),
    focus: Panel,
    zoom: bool,
    rows: impl Fn(Panel) -> usize,
) -> Layout {
    let (width, height) = size;
    let line = |y: u16| Rect { x: 0, y, width, height: u16::from(y < height) };
    let footer = line(height.saturating_sub(1));
    let overlay = Rect { x: 0, y: 1, width, height: height.saturating_sub(2) };
    let all = height >= TALL && !zoom;
    let begin = if all { 1 } else { 2 };
    let room = height.saturating_sub(begin + 1);
    let area = |y, height| Rect { x: 0, y, width, height };
    let panels = if all {
        let heights = share(room, focus, rows);
        let mut y = begin;
        let place = |(panel, height)| {
            let area = area(y, height);
            y += height;
            (panel, area)
        };
        Panel::ALL.into_iter().zip(heights).map(place).collect()
    } else if height >= MIDDLE && !zoom && focus != Panel::Events {
        let upper = room.saturating_sub(STRIP);
        vec![(focus, area(begin, upper)), (Panel::Events, area(begin + upper, STRIP))]
    } else {
        vec![(focus, area(begin, room))]
    };
    Layout { header: line(0), tabs: (!all).then(|| line(1)), panels, footer, overlay }
}

/// How high each panel is: each shows a row at least; then the one that one is in has what
/// it needs, then the others in turn, and the log takes the rest.
fn share(room: u16, focus: Panel, rows: impl Fn(Panel) -> usize) -> [u16; 5] {
    let mut heights = [HEAD + 1; 5];
    let mut spare = room.saturating_sub(heights.iter().sum());
    let others = Panel::ALL.into_iter().filter(|panel| *panel != focus);
    for panel in [focus].into_iter().chain(others) {
        let Some(height) = heights.get_mut(panel.index()) else { continue };
        let wanted = u16::try_from(rows(panel)).unwrap_or(u16::MAX).saturating_add(HEAD);
        let more = wanted.saturating_sub(*height).min(spare);
        *height += more;
        spare -= more;
    }
    if let Some(last) = heights.last_mut() {
        *last += spare;
    }
    heights
}
