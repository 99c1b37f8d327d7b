//! Counts how often each of the hot paths allocates, and how many bytes.

use interop_tests::hot_paths;

fn main() {
    /// So that what only the first runs allocate does not show.
    const RUNS: u32 = 50;
    for name in hot_paths::names() {
        let mut path = hot_paths::path(name).expect("a path of the list");
        let mut run = || (0..RUNS).for_each(|_| path.run());
        run();
        let counted = allocation_counter::measure(run);
        let runs = f64::from(RUNS) * path.operations as f64;
        let each = |all: u64| all as f64 / runs;
        println!("{:.2}\t{name}\t{:.0}", each(counted.count_total), each(counted.bytes_total));
    }
}
