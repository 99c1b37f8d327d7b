//! The simulator itself: some hundred seeds, the scripts of bugs that were found once,
//! and that nothing but the script decides what happens.

use std::path::Path;

use interop_tests::sim::generate::generate;
use interop_tests::sim::run;
use interop_tests::sim::script::Script;

#[test]
fn some_hundred_seeds_are_clean() {
    for seed in 0..300 {
        let report = run(&generate(seed, Some(40)), false);
        if let Some(failure) = report.failure {
            panic!("seed {seed} of 40 operations: {failure}");
        }
    }
}

#[test]
fn what_should_happen_happens() {
    let mut total = interop_tests::sim::Counters::default();
    for seed in 0..150 {
        total.add(&run(&generate(seed, Some(150)), false).counters);
    }
    for (name, count) in total.named() {
        assert!(count > 0, "no {name} in 150 seeds");
    }
}

#[test]
fn the_same_script_runs_the_same_way() {
    for seed in 0..40 {
        let script = generate(seed, Some(60));
        let (once, again) = (run(&script, false), run(&script, false));
        assert_eq!(once.trace, again.trace, "seed {seed}");
        let text = script.to_string();
        assert_eq!(text.parse::<Script>().as_ref(), Ok(&script), "seed {seed}");
    }
    assert_ne!(run(&generate(1, None), false).trace, run(&generate(2, None), false).trace);
}

#[test]
fn scripts_of_bugs_that_were_found_run_clean() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("bugs");
    let mut scripts = 0;
    for entry in std::fs::read_dir(folder).expect("the folder of bugs") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a script");
        let script: Script = text.parse().expect("a script");
        let report = run(&script, false);
        assert_eq!(report.failure, None, "{}", path.display());
        scripts += 1;
    }
    assert!(scripts > 0);
}
