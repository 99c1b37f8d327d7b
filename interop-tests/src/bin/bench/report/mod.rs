//! What is left of a run: a table, its figures for machines, and a chart.

pub(crate) mod chart;
mod json;
mod markdown;

pub(crate) use self::json::json;
pub(crate) use self::markdown::markdown;
use crate::targets::{Bound, Target};

/// Where it was measured.
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
}

impl Machine {
    pub(crate) fn here() -> Self {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
        let processor = model.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown");
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            processor: processor.to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: kernel.trim().to_owned(),
        }
    }
}

/// In words.
fn describe(target: &Target) -> String {
    match (&target.bound, target.of) {
        (Bound::AtMost(figure), Some(who)) => format!("at most {} x {who}", short(*figure)),
        (Bound::AtLeast(figure), Some(who)) => format!("at least {} x {who}", short(*figure)),
        (Bound::AtMost(_), None) => "at most".to_owned(),
        (Bound::AtLeast(_), None) => "at least".to_owned(),
    }
}

/// To two digits, without noughts at the end.
fn short(figure: f64) -> String {
    let text = format!("{figure:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The whole of what is wanted, with its unit.
fn wanted(target: &Target, unit: crate::table::Unit) -> String {
    let words = describe(target);
    match (&target.bound, target.of) {
        (Bound::AtMost(figure) | Bound::AtLeast(figure), None) => {
            format!("{words} {}", unit.show(*figure))
        }
        _ => words,
    }
}
