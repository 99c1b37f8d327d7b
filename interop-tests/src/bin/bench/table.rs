//! The rows, their medians and how they are printed.

/// What a row's figures are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nanoseconds an operation: less is better.
    Nanoseconds,
    /// Microseconds until it is done: less is better.
    Microseconds,
    /// Operations a second: more is better.
    PerSecond,
    /// Bytes: less is better.
    Bytes,
}

struct Row {
    name: String,
    unit: Unit,
    bytes: usize,
    ours: Vec<f64>,
    floor: Vec<f64>,
    /// The same done by others.
    peers: Vec<(&'static str, Vec<f64>)>,
}

/// All that was measured.
pub(crate) struct Table {
    reps: usize,
    rows: Vec<Row>,
}

impl Table {
    pub(crate) const fn new(reps: usize) -> Self {
        Self { reps, rows: Vec::new() }
    }

    pub(crate) const fn reps(&self) -> usize {
        self.reps
    }

    /// Adds one repetition's figures to a row: ours and the floor's, measured one
    /// after the other.
    pub(crate) fn add(&mut self, name: &str, unit: Unit, bytes: usize, ours: f64, floor: f64) {
        let found = self.rows.iter_mut().find(|row| row.name == name);
        let row = if let Some(row) = found {
            row
        } else {
            let (ours, floor) = (Vec::new(), Vec::new());
            let (name, peers) = (name.to_owned(), Vec::new());
            self.rows.push(Row { name, unit, bytes, ours, floor, peers });
            self.rows.last_mut().expect("the row just added")
        };
        row.ours.push(ours);
        row.floor.push(floor);
    }

    /// Adds what another took for the last repetition of a row.
    pub(crate) fn add_peer(&mut self, row: &str, peer: &'static str, figure: f64) {
        let Some(row) = self.rows.iter_mut().find(|known| known.name == row) else { return };
        match row.peers.iter_mut().find(|(known, _)| *known == peer) {
            Some((_, figures)) => figures.push(figure),
            None => row.peers.push((peer, vec![figure])),
        }
    }

    pub(crate) fn print_markdown(&self) {
        println!(
            "| row | bytes | ours | floor | ours / floor | min-max | peers, and theirs / ours |"
        );
        println!("|---|---|---|---|---|---|---|");
        for row in &self.rows {
            let (ours, floor) = (median(&row.ours), median(&row.floor));
            let ratios: Vec<f64> = row.ours.iter().zip(&row.floor).map(|(o, f)| o / f).collect();
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            let most = ratios.iter().copied().fold(0.0, f64::max);
            let peers: Vec<String> = row.peers.iter().map(|peer| row.compare(peer)).collect();
            println!(
                "| {} | {} | {} | {} | {:.2} | {least:.2}-{most:.2} | {} |",
                row.name,
                row.bytes,
                row.unit.show(ours, row.bytes),
                row.unit.show(floor, row.bytes),
                median(&ratios),
                peers.join("; "),
            );
        }
    }

    pub(crate) fn print_json(&self) {
        for row in &self.rows {
            let unit = match row.unit {
                Unit::Nanoseconds => "ns",
                Unit::Microseconds => "us",
                Unit::PerSecond => "per second",
                Unit::Bytes => "bytes",
            };
            let peers: String = row
                .peers
                .iter()
                .map(|(name, figures)| format!(",{name:?}:{:.1}", median(figures)))
                .collect();
            println!(
                "{{\"row\":{:?},\"unit\":{unit:?},\"bytes\":{},\"ours\":{:.1},\"floor\":{:.1}{peers}}}",
                row.name,
                row.bytes,
                median(&row.ours),
                median(&row.floor),
            );
        }
    }
}

impl Row {
    fn compare(&self, (name, figures): &(&str, Vec<f64>)) -> String {
        let ratios: Vec<f64> = figures.iter().zip(&self.ours).map(|(p, o)| p / o).collect();
        format!("{name} {}, {:.1}", self.unit.show(median(figures), self.bytes), median(&ratios))
    }
}

impl Unit {
    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    fn show(self, figure: f64, bytes: usize) -> String {
        match self {
            Self::Nanoseconds if bytes == 0 => format!("{figure:.0} ns"),
            Self::Nanoseconds if figure < 10_000.0 => {
                format!("{figure:.0} ns, {:.0} MB/s", bytes as f64 / figure * 1000.0)
            }
            Self::Nanoseconds => {
                format!("{:.1} us, {:.0} MB/s", figure / 1000.0, bytes as f64 / figure * 1000.0)
            }
            Self::Microseconds => format!("{figure:.0} us"),
            Self::Bytes => format!("{figure:.0} B"),
            Self::PerSecond => format!("{:.0}/s ({:.2} us)", figure, 1e6 / figure),
        }
    }
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
