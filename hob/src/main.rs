//! Hobgoblin's node, fleet and service program.
fn main() {}
