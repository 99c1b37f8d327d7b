//! The rows, who has which figures in them, and whether ours are what we want.

use crate::targets::{Bound, Target, targets};

/// What a row's figures are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nanoseconds.
    Time,
    /// A second.
    Rate,
    /// Megabytes a second.
    Throughput,
    Bytes,
    /// A number of something.
    Count,
    /// How many times something else.
    Times,
    Percent,
}

/// Somebody's figures, one for each repetition.
pub(crate) struct Series {
    pub(crate) who: &'static str,
    pub(crate) figures: Vec<f64>,
}

pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    series: Vec<Series>,
}

/// What became of a target.
pub(crate) struct Verdict {
    pub(crate) target: &'static Target,
    /// `None` if who it compares us with was not measured.
    pub(crate) met: Option<bool>,
}

/// All that was measured.
pub(crate) struct Table {
    pub(crate) reps: usize,
    only: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

/// Who has no name but being ours.
pub(crate) const OURS: &str = "ours";
/// Those that are floors, the one that counts first.
pub(crate) const FLOORS: [&str; 4] = ["tokio", "blocking", "channels", "memcpy"];

impl Table {
    pub(crate) const fn new(reps: usize, only: Vec<String>) -> Self {
        Self { reps, only, rows: Vec::new() }
    }

    /// Whether anybody wants to see a row.
    pub(crate) fn wants(&self, row: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| row.contains(only.as_str()))
    }

    /// Whether anybody wants to see one of these.
    pub(crate) fn wants_any<S: AsRef<str>>(&self, rows: impl IntoIterator<Item = S>) -> bool {
        rows.into_iter().any(|row| self.wants(row.as_ref()))
    }

    /// Adds the figure of one repetition, unless nobody wants to see it.
    pub(crate) fn add(&mut self, name: &str, unit: Unit, who: &'static str, figure: f64) {
        if !self.wants(name) {
            return;
        }
        let at = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.rows.push(Row { name: name.to_owned(), unit, series: Vec::new() });
            self.rows.len() - 1
        });
        let series = &mut self.rows[at].series;
        match series.iter_mut().find(|series| series.who == who) {
            Some(series) => series.figures.push(figure),
            None => series.push(Series { who, figures: vec![figure] }),
        }
    }

    /// The same for somebody whose name is only known at run time.
    pub(crate) fn add_named(&mut self, name: &str, unit: Unit, who: &str, figure: f64) {
        let known = ["ocapn-syrup", "preserves", "rmp-serde", "ciborium", "serde_json"];
        if let Some(who) = known.into_iter().find(|known| *known == who) {
            self.add(name, unit, who, figure);
        }
    }

    /// How many targets there are of rows that were measured, and how many are met.
    pub(crate) fn score(&self) -> (usize, usize) {
        let verdicts = self.rows.iter().flat_map(Row::verdicts).filter_map(|it| it.met);
        verdicts.fold((0, 0), |(all, met), it| (all + 1, met + usize::from(it)))
    }
}

impl Row {
    pub(crate) fn of(&self, who: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.who == who)
    }

    pub(crate) fn median(&self, who: &str) -> Option<f64> {
        self.of(who).map(|series| median(&series.figures))
    }

    /// The floor that counts, if it has one.
    pub(crate) fn floor(&self) -> Option<&Series> {
        FLOORS.iter().find_map(|floor| self.of(floor))
    }

    /// Everybody but us and the floor that counts.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Series> {
        let floor = self.floor().map(|floor| floor.who);
        self.series.iter().filter(move |it| it.who != OURS && Some(it.who) != floor)
    }

    pub(crate) fn all(&self) -> &[Series] {
        &self.series
    }

    /// The ratio of somebody's figures to somebody else's: the median of each
    /// repetition's, where both have as many.
    pub(crate) fn ratio(&self, of: &str, to: &str) -> Option<f64> {
        ratios(self.of(of)?, self.of(to)?).map(|ratios| median(&ratios))
    }

    /// The same as how many times the time, whatever the unit.
    pub(crate) fn times(&self, of: &str, to: &str) -> Option<f64> {
        let ratio = self.ratio(of, to)?;
        Some(if self.unit.less_is_better() { ratio } else { 1.0 / ratio })
    }

    pub(crate) fn verdicts(&self) -> impl Iterator<Item = Verdict> + '_ {
        targets(&self.name).iter().map(|target| Verdict { target, met: self.meets(target) })
    }

    fn meets(&self, target: &Target) -> Option<bool> {
        let figure = match target.of {
            None => self.median(OURS)?,
            Some(who) => self.ratio(OURS, who)?,
        };
        Some(match target.bound {
            Bound::AtMost(most) => figure <= most,
            Bound::AtLeast(least) => figure >= least,
        })
    }
}

fn ratios(of: &Series, to: &Series) -> Option<Vec<f64>> {
    if of.figures.len() == to.figures.len() {
        return Some(of.figures.iter().zip(&to.figures).map(|(of, to)| of / to).collect());
    }
    Some(vec![median(&of.figures) / median(&to.figures)])
}

impl Unit {
    pub(crate) const fn less_is_better(self) -> bool {
        matches!(self, Self::Time | Self::Bytes | Self::Count | Self::Times)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Time => "ns",
            Self::Rate => "per second",
            Self::Throughput => "MB/s",
            Self::Bytes => "bytes",
            Self::Count => "count",
            Self::Times => "times",
            Self::Percent => "percent",
        }
    }

    /// For people.
    pub(crate) fn show(self, figure: f64) -> String {
        match self {
            Self::Time => scaled(figure, &[("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9)]),
            Self::Bytes if figure.abs() < 4096.0 => format!("{figure:.0} B"),
            Self::Bytes => scaled(figure, &[("KiB", 1024.0), ("MiB", 1024.0 * 1024.0)]),
            Self::Rate => format!("{}/s", grouped(figure)),
            Self::Throughput => format!("{} MB/s", grouped(figure)),
            Self::Count => format!("{figure:.1}"),
            Self::Times => format!("{figure:.2} x"),
            Self::Percent => format!("{figure:.0} %"),
        }
    }
}

/// In the largest unit in which it is at least one, to three digits.
fn scaled(figure: f64, units: &[(&str, f64)]) -> String {
    let fits = units.iter().rev().find(|(_, scale)| figure.abs() >= *scale);
    let (unit, scale) = fits.or(units.first()).copied().unwrap_or(("", 1.0));
    let figure = figure / scale;
    let digits = if figure.abs() < 10.0 { 2 } else { usize::from(figure.abs() < 100.0) };
    format!("{figure:.digits$} {unit}")
}

/// With commas between the thousands.
fn grouped(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && grouped != "-" {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(&str, Unit, &'static str, f64)]) -> Table {
        let mut table = Table::new(1, Vec::new());
        for (row, unit, who, figure) in rows {
            table.add(row, *unit, who, *figure);
        }
        table
    }

    #[test]
    fn a_target_may_be_a_figure_or_somebody_elses() {
        const ROW: &str = "10,000 in flight, unix";
        let rate = |who, figure| (ROW, Unit::Rate, who, figure);
        let slow = table(&[rate(OURS, 700_000.0), rate("capnp-rpc", 80_000.0)]);
        let met: Vec<_> = slow.rows[0].verdicts().map(|it| it.met).collect();
        assert_eq!(met, [Some(false), Some(true)]);
        assert_eq!(slow.score(), (2, 1));
        let alone = table(&[rate(OURS, 900_000.0)]);
        assert_eq!(alone.score(), (1, 1), "nobody is compared who was not measured");
    }

    #[test]
    fn ratios_are_of_figures_taken_one_after_the_other() {
        const ROW: &str = "sequential call, unix";
        let mut table = Table::new(3, Vec::new());
        // The machine got slower under both: what counts is that both did.
        for (ours, floor) in [(10.0, 5.0), (20.0, 10.0), (400.0, 200.0)] {
            table.add(ROW, Unit::Time, OURS, ours);
            table.add(ROW, Unit::Time, "tokio", floor);
        }
        assert_eq!(table.rows[0].ratio(OURS, "tokio"), Some(2.0));
        assert_eq!(table.rows[0].median(OURS), Some(20.0));
        assert_eq!(table.score(), (1, 0));
    }

    #[test]
    fn a_rate_half_as_high_is_twice_the_time() {
        let row = |who, figure| ("fire and forget, unix", Unit::Rate, who, figure);
        let table = table(&[row("tokio", 100.0), row(OURS, 50.0)]);
        assert_eq!(table.rows[0].times(OURS, "tokio"), Some(2.0));
    }

    #[test]
    fn figures_are_shown_in_units_that_fit() {
        assert_eq!(Unit::Time.show(999.4), "999 ns");
        assert_eq!(Unit::Time.show(1234.0), "1.23 us");
        assert_eq!(Unit::Time.show(20_000_000.0), "20.0 ms");
        assert_eq!(Unit::Time.show(0.4), "0.40 ns");
        assert_eq!(Unit::Rate.show(1_234_567.0), "1,234,567/s");
        assert_eq!(Unit::Bytes.show(-12_288.0), "-12.0 KiB");
        assert_eq!(Unit::Bytes.show(64.0), "64 B");
    }
}
