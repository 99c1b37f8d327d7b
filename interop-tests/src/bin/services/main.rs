//! What it costs to have a hundred services that do nothing: the memory of their
//! supervisor and of its helpers, how often it wakes up, and how long it takes until a
//! service that was killed runs again. `hob shepherd` beside runit and systemd, in the
//! same run.
//!
//! Needs the program `hob` beside this one (`cargo build --release -p hob`). A supervisor
//! that is not installed, or can't run here, is left out with a line.

mod process;
mod supervisors;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use process::Usage;
use supervisors::{Supervisor, hob, runit, systemd};

/// Measures supervisors of services.
#[derive(Parser)]
struct Options {
    /// How many services
    #[arg(long, default_value_t = 100)]
    services: usize,
    /// The program to run [default: hob, beside this one]
    #[arg(long)]
    hob: Option<PathBuf>,
    /// For how many seconds to look at them at rest
    #[arg(long, default_value_t = 60)]
    rest: u64,
    /// How many services to kill, one after the other
    #[arg(long, default_value_t = 60)]
    crashes: usize,
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// What was measured of one supervisor.
struct Row {
    name: &'static str,
    processes: usize,
    /// In bytes.
    memory: u64,
    wakeups: u64,
    processor: Duration,
    /// From the least to the most.
    respawns: Vec<Duration>,
}

fn main() -> Result<(), Failed> {
    let options = Options::parse();
    let beside = std::env::current_exe()?.with_file_name("hob");
    let program = options.hob.clone().unwrap_or(beside);
    let mut rows = Vec::new();
    for start in [hob, runit, systemd] {
        match start(&program, options.services)? {
            Ok(supervisor) => rows.push(measure(&options, supervisor)?),
            Err(why) => println!("left out: {why}"),
        }
    }
    report(&options, &rows);
    Ok(())
}

fn measure(options: &Options, supervisor: Supervisor) -> Result<Row, Failed> {
    eprintln!("{}: at rest", supervisor.name);
    let services = supervisor.wait_until_all_run()?;
    // What starting has brought about is over, and so is what others do once a second after.
    std::thread::sleep(Duration::from_secs(5));
    let own = supervisor.processes()?;
    let memory = own.iter().map(|pid| process::memory(*pid)).sum::<Result<u64, Failed>>()?;
    let before = Usage::of(&own)?;
    std::thread::sleep(Duration::from_secs(options.rest));
    let after = Usage::of(&own)?;
    eprintln!("{}: crashes", supervisor.name);
    let mut respawns = Vec::new();
    for index in 0..options.crashes {
        let number = index % services.len();
        respawns.push(supervisor.crash(number)?);
    }
    respawns.sort_unstable();
    Ok(Row {
        name: supervisor.name,
        processes: own.len(),
        memory,
        wakeups: after.switches.saturating_sub(before.switches),
        processor: after.processor.saturating_sub(before.processor),
        respawns,
    })
}

fn report(options: &Options, rows: &[Row]) {
    let per_minute = 60.0 / options.rest.max(1) as f64;
    println!(
        "| {} idle services | processes | memory (PSS) | wakeups a minute | processor time a minute | crash to respawn, median of {} (min-max) |",
        options.services, options.crashes
    );
    println!("|---|---:|---:|---:|---:|---:|");
    for row in rows {
        let at = |index: usize| {
            row.respawns.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
        };
        println!(
            "| {} | {} | {:.1} MiB | {:.0} | {:.0} ms | {:.2} ms ({:.2}-{:.2}) |",
            row.name,
            row.processes,
            row.memory as f64 / f64::from(1 << 20),
            row.wakeups as f64 * per_minute,
            row.processor.as_secs_f64() * 1000.0 * per_minute,
            at(row.respawns.len() / 2),
            at(0),
            at(row.respawns.len().saturating_sub(1)),
        );
    }
}
