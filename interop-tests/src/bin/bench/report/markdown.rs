//! The table for BENCHMARKS.md.

use std::fmt::Write as _;

use super::{Machine, wanted};
use crate::table::{OURS, Row, Series, Table};

/// The table, with a line on where and how it was measured.
pub(crate) fn markdown(table: &Table, machine: &Machine) -> String {
    let mut text = String::new();
    let Machine { processor, cores, kernel } = machine;
    let (targets, met) = table.score();
    let _infallible = write!(
        text,
        "{processor}, {cores} cores, Linux {kernel}. Medians of {}. {met} of {targets} targets met.\n\n\
         | row | ours | target | floor | ours / floor | min-max | others, and how many times our time |\n\
         |---|---:|---|---:|---:|---:|---|\n",
        table.reps
    );
    for row in &table.rows {
        let _infallible = writeln!(text, "{}", line(row));
    }
    text
}

fn line(row: &Row) -> String {
    let show = |figure: Option<f64>| figure.map_or(String::new(), |it| row.unit.show(it));
    let floor = row.floor();
    let named = |floor: &Series| {
        let figure = show(row.median(floor.who));
        // Most floors are one thing.
        if floor.who == "tokio" { figure } else { format!("{} {figure}", floor.who) }
    };
    let ratio = floor.and_then(|floor| row.ratio(OURS, floor.who));
    let range = floor.and_then(|floor| range(row.of(OURS)?, floor));
    let targets: Vec<String> = row
        .verdicts()
        .map(|verdict| {
            let met = match verdict.met {
                Some(true) => "met",
                Some(false) => "**missed**",
                None => "not measured",
            };
            format!("{}: {met}", wanted(verdict.target, row.unit))
        })
        .collect();
    let others: Vec<String> = row.others().map(|other| compare(row, other)).collect();
    format!(
        "| {} | {} | {} | {} | {} | {} | {} |",
        row.name,
        show(row.median(OURS)),
        targets.join("; "),
        floor.map_or(String::new(), named),
        ratio.map_or(String::new(), |ratio| format!("{ratio:.2}")),
        range.map_or(String::new(), |(least, most)| format!("{least:.2}-{most:.2}")),
        others.join("; "),
    )
}

/// The least and the most of the repetitions' ratios.
fn range(ours: &Series, floor: &Series) -> Option<(f64, f64)> {
    let ratios = ours.figures.iter().zip(&floor.figures).map(|(ours, floor)| ours / floor);
    ratios.fold(None, |range, ratio| {
        let (least, most) = range.unwrap_or((ratio, ratio));
        Some((least.min(ratio), most.max(ratio)))
    })
}

fn compare(row: &Row, other: &Series) -> String {
    let figure = row.unit.show(row.median(other.who).unwrap_or(f64::NAN));
    match row.times(other.who, OURS).filter(|times| times.is_finite() && *times > 0.0) {
        Some(times) => format!("{} {figure}, {times:.2}", other.who),
        None => format!("{} {figure}", other.who),
    }
}
