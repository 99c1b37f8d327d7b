//! Takes one of the hot paths so many times, and nothing else: what `.ci/instructions`
//! counts the instructions of.
//!
//! Two runs with different counts differ by that many of the path alone.

use interop_tests::hot_paths;

fn main() -> Result<(), &'static str> {
    let mut args = std::env::args().skip(1);
    let (Some(name), Some(times)) = (args.next(), args.next()) else {
        // What the figures are of: a name, and how many operations a run has.
        for name in hot_paths::names() {
            let path = hot_paths::path(name).ok_or("a path of the list")?;
            println!("{}\t{name}", path.operations);
        }
        return Ok(());
    };
    let mut path =
        hot_paths::path(&name).ok_or("no such path; without arguments, all are named")?;
    let times: u32 = times.parse().map_err(|_| "how many times?")?;
    for _ in 0..times {
        path.run();
    }
    Ok(())
}
