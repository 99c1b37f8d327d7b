//! Tests of the dashboard without a terminal.
