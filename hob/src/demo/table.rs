//! The table at the end of the demo.

use ocapn::Value;

use super::plot::field;

/// A line of the table.
pub(super) struct Row {
    pub(super) machine: &'static str,
    pub(super) identity: String,
    pub(super) address: String,
    pub(super) state: String,
    pub(super) bindings: String,
    pub(super) traffic: Sums,
}

/// What went each way over tcp-tls, all sessions together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    messages_in: i64,
    messages_out: i64,
    bytes_in: i64,
    bytes_out: i64,
}

impl Sums {
    /// From what an admin object says of its sessions.
    pub(super) fn of(sessions: &Value) -> Self {
        let mut sums = Self::default();
        let Value::List(sessions) = sessions else {
            return sums;
        };
        for session in sessions {
            if field(session, "transport").and_then(Value::as_str) != Some("tcp-tls") {
                continue;
            }
            let number = |name| field(session, name).and_then(Value::as_int).unwrap_or(0);
            sums.messages_in += number("messages-in");
            sums.messages_out += number("messages-out");
            sums.bytes_in += number("bytes-in");
            sums.bytes_out += number("bytes-out");
        }
        sums
    }
}

const HEADINGS: [&str; 9] = [
    "MACHINE",
    "IDENTITY",
    "ADDRESS",
    "STATE",
    "BINDINGS",
    "MSGS IN",
    "MSGS OUT",
    "BYTES IN",
    "BYTES OUT",
];

/// Columns from here on are numbers.
const NUMBERS: usize = 5;

/// The table, each column as wide as it has to be.
pub(super) fn show(rows: &[Row]) -> String {
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        [
            row.machine.to_owned(),
            row.identity.clone(),
            row.address.clone(),
            row.state.clone(),
            row.bindings.clone(),
            row.traffic.messages_in.to_string(),
            row.traffic.messages_out.to_string(),
            row.traffic.bytes_in.to_string(),
            row.traffic.bytes_out.to_string(),
        ]
    }));
    let mut widths = [0; HEADINGS.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let text = |line: &[String; HEADINGS.len()]| {
        let cells = line.iter().zip(widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| {
            if column < NUMBERS { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ")
    };
    lines.iter().map(text).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::values;

    #[test]
    fn only_tcp_tls_is_counted_and_columns_line_up() {
        let sessions = values(
            r#"{"transport": "tcp-tls", "messages-in": 1, "messages-out": 2, "bytes-in": 30, "bytes-out": 4}
             {"transport": "tcp-tls", "messages-in": 10, "messages-out": 20, "bytes-in": 300, "bytes-out": 40}
             {"transport": "unix", "messages-in": 999, "messages-out": 999, "bytes-in": 9, "bytes-out": 9}"#,
        );
        let row = Row {
            machine: "app-machine",
            identity: "abcdefgh…".to_owned(),
            address: "10.0.0.1:70".to_owned(),
            state: "active".to_owned(),
            bindings: "db".to_owned(),
            traffic: Sums::of(&Value::List(sessions)),
        };
        assert_eq!(
            show(&[row]),
            "MACHINE      IDENTITY   ADDRESS      STATE   BINDINGS  MSGS IN  MSGS OUT  BYTES IN  BYTES OUT\n\
             app-machine  abcdefgh…  10.0.0.1:70  active  db             11        22       330         44"
        );
    }
}
