//! The chart: how many times the floor's time everybody takes, row by row.
//!
//! Bars begin at the floor, which is a line: to the right of it is slower, to the left
//! faster, on a scale on which twice as slow and twice as quick are as far from it.

use std::fmt::Write as _;

use crate::table::{OURS, Row, Table};
use crate::targets::Bound;

/// The rows that are drawn, of those that were measured and have a floor on tokio.
const ROWS: [&str; 14] = [
    "sequential call, unix",
    "sequential call, tcp",
    "sequential call, tcp-tls",
    "3-deep pipeline, unix, split",
    "64 in flight, unix",
    "64 in flight, tcp-tls",
    "10,000 in flight, unix",
    "10,000 in flight, tcp-tls",
    "fire and forget, unix",
    "1 MiB payload, unix",
    "1 MiB payload, tcp",
    "1 MiB payload, tcp-tls",
    "session set-up, tcp-tls",
    "handoff, tcp-tls",
];

/// Who has a bar, in which colour: for a light background, and for a dark one.
const BARS: [(&str, &str, &str, &str); 5] = [
    (OURS, "ours", "#1a7f37", "#3fb950"),
    ("capnp-rpc", "capnp", "#8250df", "#a371f7"),
    ("tarpc", "tarpc", "#9a6700", "#d29922"),
    ("tonic", "tonic", "#0969da", "#58a6ff"),
    ("blocking", "blocking", "#818b98", "#6e7681"),
];

const WIDTH: f64 = 860.0;
/// Where the rows' names end.
const LEFT: f64 = 210.0;
const RIGHT: f64 = 800.0;
const BAR: f64 = 9.0;
const GAP: f64 = 12.0;
const TOP: f64 = 74.0;
/// What may stand on the axis.
const TICKS: [f64; 12] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0];

/// One bar.
struct Bar {
    class: &'static str,
    times: f64,
}

struct Group<'a> {
    row: &'a Row,
    bars: Vec<Bar>,
    /// How many times the floor's time ours is to take, if that is the target.
    target: Option<f64>,
}

/// Draws the rows of a table that belong in it; nothing if there are none.
pub(crate) fn svg(table: &Table) -> Option<String> {
    let groups: Vec<Group<'_>> = ROWS.iter().filter_map(|name| group(table, name)).collect();
    let all = groups.iter().flat_map(|group| group.bars.iter().map(|bar| bar.times));
    let (least, most) =
        all.fold((0.5_f64, 2.0_f64), |(least, most), it| (least.min(it), most.max(it)));
    if groups.is_empty() {
        return None;
    }
    let ticks: Vec<f64> =
        TICKS.into_iter().filter(|tick| *tick > least / 2.5 && *tick < most * 2.5).collect();
    let axis = Axis { least: ticks.first()?.log10(), most: ticks.last()?.log10() };
    let heights = groups.iter().map(|group| group.bars.len() as f64 * BAR + GAP);
    let bottom = TOP + heights.sum::<f64>();
    let mut text = head(bottom + 30.0);
    legend(&mut text, &groups);
    for tick in &ticks {
        let (x, label) = (axis.at(*tick), super::short(*tick));
        let class = if *tick == 1.0 { "floor" } else { "grid" };
        let _infallible = write!(
            text,
            "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\"/>\n\
             <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\">{label} x</text>\n",
            TOP - 8.0,
            bottom + 16.0,
        );
    }
    let mut y = TOP;
    for group in &groups {
        draw(&mut text, group, &axis, y);
        y += group.bars.len() as f64 * BAR + GAP;
    }
    text.push_str("</svg>\n");
    Some(text)
}

fn group<'a>(table: &'a Table, name: &str) -> Option<Group<'a>> {
    let row = table.rows.iter().find(|row| row.name == name)?;
    let floor = row.floor().filter(|floor| floor.who == "tokio")?;
    let bar = |&(who, class, ..): &(&'static str, &'static str, &str, &str)| {
        Some(Bar { class, times: row.times(who, floor.who)? })
    };
    let bars: Vec<Bar> = BARS.iter().filter_map(bar).collect();
    let mut targets = row.verdicts().map(|it| it.target).filter(|it| it.of == Some("tokio"));
    let target = targets.next().map(|target| match target.bound {
        Bound::AtMost(figure) => figure,
        Bound::AtLeast(figure) => 1.0 / figure,
    });
    Some(Group { row, bars, target })
}

struct Axis {
    least: f64,
    most: f64,
}

impl Axis {
    fn at(&self, times: f64) -> f64 {
        LEFT + (times.log10() - self.least) / (self.most - self.least) * (RIGHT - LEFT)
    }
}

fn head(height: f64) -> String {
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"11\">\n<style>\n\
         .paper {{ fill: #ffffff }} text {{ fill: #1f2328 }} .tick, .times {{ fill: #59636e }}\n\
         .grid {{ stroke: #d1d9e0; stroke-width: 0.5 }} .floor {{ stroke: #59636e; stroke-width: 1.5 }}\n\
         .target {{ stroke: #1f2328; stroke-width: 2 }} .title {{ font-size: 14px; font-weight: 600 }}\n\
         .row {{ text-anchor: end }} .tick {{ text-anchor: middle }} .times {{ font-size: 9px }}\n"
    );
    let mut dark = String::from(
        "@media (prefers-color-scheme: dark) {\n\
         .paper { fill: #0d1117 } text { fill: #f0f6fc } .tick, .times { fill: #9198a1 }\n\
         .grid { stroke: #30363d } .floor { stroke: #9198a1 } .target { stroke: #f0f6fc }\n",
    );
    for (_, class, on_light, on_dark) in BARS {
        let _infallible = writeln!(text, ".{class} {{ fill: {on_light} }}");
        let _infallible = writeln!(dark, ".{class} {{ fill: {on_dark} }}");
    }
    let _infallible = write!(
        text,
        "{dark}}}\n</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"title\" x=\"16\" y=\"24\">Time against a bare tokio socket (the line, 1 x): \
         left of it is faster, right of it slower</text>\n"
    );
    text
}

fn legend(text: &mut String, groups: &[Group<'_>]) {
    let mut x = 16.0;
    for (who, class, ..) in BARS {
        if groups.iter().flat_map(|group| &group.bars).any(|bar| bar.class == class) {
            let _infallible = writeln!(
                text,
                "<rect class=\"{class}\" x=\"{x:.0}\" y=\"38\" width=\"11\" height=\"11\"/>\
                 <text x=\"{:.0}\" y=\"48\">{who}</text>",
                x + 16.0,
            );
            x += 40.0 + 6.5 * who.len() as f64;
        }
    }
    let _infallible = writeln!(
        text,
        "<line class=\"target\" x1=\"{x:.0}\" x2=\"{x:.0}\" y1=\"37\" y2=\"50\"/>\
         <text x=\"{:.0}\" y=\"48\">our target</text>",
        x + 8.0,
    );
}

fn draw(text: &mut String, group: &Group<'_>, axis: &Axis, top: f64) {
    let height = group.bars.len() as f64 * BAR;
    let _infallible = writeln!(
        text,
        "<text class=\"row\" x=\"{:.0}\" y=\"{:.1}\">{}</text>",
        LEFT - 12.0,
        top + height / 2.0 + 4.0,
        group.row.name,
    );
    let floor = axis.at(1.0);
    let mut y = top;
    for bar in &group.bars {
        let end = axis.at(bar.times);
        let (from, width) = (floor.min(end), (floor - end).abs().max(1.0));
        let (at, anchor) = if end < floor { (end - 4.0, "end") } else { (end + 4.0, "start") };
        let _infallible = writeln!(
            text,
            "<rect class=\"{}\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\"/>\
             <text class=\"times\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{} x</text>",
            bar.class,
            BAR - 1.5,
            y + BAR - 1.5,
            super::short(bar.times),
        );
        y += BAR;
    }
    if let Some(target) = group.target {
        let x = axis.at(target);
        let _infallible = writeln!(
            text,
            "<line class=\"target\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
            top - 2.0,
            top + BAR,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Unit;

    #[test]
    fn bars_go_right_of_the_floor_if_slower_and_left_if_faster() {
        let mut table = Table::new(1, Vec::new());
        for (row, unit, floor, ours) in [
            ("sequential call, unix", Unit::Time, 6.0, 12.0),
            ("10,000 in flight, unix", Unit::Rate, 150_000.0, 600_000.0),
        ] {
            table.add(row, unit, "tokio", floor);
            table.add(row, unit, OURS, ours);
        }
        let svg = svg(&table).expect("two rows of the chart");
        let bars: Vec<&str> = svg.lines().filter(|line| line.contains("class=\"times\"")).collect();
        assert!(bars[0].contains("anchor=\"start\">2 x"), "{}", bars[0]);
        assert!(bars[1].contains("anchor=\"end\">0.25 x"), "{}", bars[1]);
        assert!(svg.contains("our target"));
    }

    #[test]
    fn without_a_row_there_is_no_chart() {
        assert!(svg(&Table::new(1, Vec::new())).is_none());
    }
}
