//! Every figure, for machines.

use serde_json::{Map, Value, json};

use super::{Machine, wanted};
use crate::table::{Row, Table, median};

/// The table with the figures of each repetition.
pub(crate) fn json(table: &Table, machine: &Machine) -> String {
    let (targets, met) = table.score();
    let all = json!({
        "machine": {
            "processor": machine.processor,
            "cores": machine.cores,
            "kernel": machine.kernel,
        },
        "repetitions": table.reps,
        "targets": targets,
        "met": met,
        "rows": table.rows.iter().map(row).collect::<Vec<_>>(),
    });
    format!("{all:#}\n")
}

fn row(row: &Row) -> Value {
    let figures: Map<String, Value> = row
        .all()
        .iter()
        .map(|series| {
            let median = median(&series.figures);
            (series.who.to_owned(), json!({ "median": median, "all": series.figures }))
        })
        .collect();
    let targets: Vec<Value> = row
        .verdicts()
        .map(|it| json!({ "target": wanted(it.target, row.unit), "met": it.met }))
        .collect();
    json!({ "row": row.name, "unit": row.unit.name(), "figures": figures, "targets": targets })
}
