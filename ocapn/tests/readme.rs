//! The README shows the example that it names.

const README: &str = include_str!("../../README.md");
const COUNTER: &str = include_str!("../examples/counter.rs");

#[test]
fn the_readme_shows_the_counter_example() {
    let (_heading, program) = COUNTER.split_once("\n\n").unwrap();
    assert!(README.contains(program), "README.md and ocapn/examples/counter.rs differ");
}
