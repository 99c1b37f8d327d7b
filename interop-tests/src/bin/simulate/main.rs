//! Runs seeds in the simulator, and shows those that fail.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use interop_tests::sim::generate::generate;
use interop_tests::sim::script::Script;
use interop_tests::sim::shrink::shrink;
use interop_tests::sim::{Counters, Report, run};

/// Runs random programs in simulated worlds of peers, and checks all that happens.
#[derive(Parser)]
struct Cli {
    /// Which seeds, as `FROM..TO`, or one.
    #[arg(long, default_value = "0..1000")]
    seeds: String,
    /// Operations in each program; by default the seed decides.
    #[arg(long)]
    steps: Option<usize>,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
    /// Stop at the first failure.
    #[arg(long)]
    first: bool,
    /// Runs the script in a file instead.
    #[arg(long)]
    script: Option<PathBuf>,
    /// Say all that happens in the run of the script, or of the only seed.
    #[arg(long)]
    trace: bool,
    /// Print the script of the seed, and don't run it.
    #[arg(long)]
    print: bool,
    /// How many runs may be spent on making a failing script smaller.
    #[arg(long, default_value_t = 3000)]
    shrink: usize,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match simulate(&cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn simulate(cli: &Cli) -> Result<bool, String> {
    if let Some(path) = &cli.script {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        return Ok(replay(&text.parse()?, cli.trace));
    }
    let (from, to) = seeds(&cli.seeds)?;
    if cli.print {
        print!("{}", generate(from, cli.steps));
        return Ok(true);
    }
    if cli.trace {
        return Ok(replay(&generate(from, cli.steps), true));
    }
    Ok(Campaign::new(cli, from, to).run())
}

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let number = |text: &str| text.parse().map_err(|_| format!("not a seed: {text}"));
    match text.split_once("..") {
        Some((from, to)) => Ok((number(from)?, number(to)?)),
        None => number(text).map(|seed| (seed, seed + 1)),
    }
}

fn replay(script: &Script, trace: bool) -> bool {
    let report = run(script, trace);
    for line in &report.log {
        println!("{line}");
    }
    for (name, count) in report.counters.named() {
        println!("{count:>10} {name}");
    }
    match &report.failure {
        Some(failure) => println!("FAILED: {failure}"),
        None => println!("clean; trace {:016x}", report.trace),
    }
    report.failure.is_none()
}

/// Many seeds.
struct Campaign<'a> {
    cli: &'a Cli,
    to: u64,
    from: u64,
    next: AtomicU64,
    stop: AtomicBool,
    total: Mutex<Total>,
    begun: Instant,
    bar: ProgressBar,
}

#[derive(Default)]
struct Total {
    seeds: u64,
    counters: Counters,
    failures: Vec<Failure>,
}

struct Failure {
    seed: u64,
    steps: u64,
    what: String,
    script: Script,
}

impl<'a> Campaign<'a> {
    fn new(cli: &'a Cli, from: u64, to: u64) -> Self {
        let (next, stop) = (AtomicU64::new(from), AtomicBool::new(false));
        let bar = ProgressBar::new(to.saturating_sub(from));
        let style = "{bar:30} {pos}/{len} seeds, {msg} [{elapsed}, {eta} left]";
        bar.set_style(
            ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        Self { cli, to, from, next, stop, total: Mutex::default(), begun: Instant::now(), bar }
    }

    fn run(&self) -> bool {
        std::thread::scope(|scope| {
            for _ in 0..self.cli.jobs.max(1) {
                scope.spawn(|| self.work());
            }
        });
        self.show()
    }

    fn work(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            if seed >= self.to {
                return;
            }
            let script = generate(seed, self.cli.steps);
            let report = run(&script, false);
            self.count(seed, script, report);
        }
    }

    fn count(&self, seed: u64, script: Script, report: Report) {
        let failure = report.failure.map(|_| {
            if self.cli.first {
                self.stop.store(true, Ordering::Relaxed);
            }
            let (script, what) = shrink(&script, self.cli.shrink);
            Failure { seed, steps: report.counters.steps, what, script }
        });
        let mut total = self.total.lock().unwrap_or_else(|poison| poison.into_inner());
        total.seeds += 1;
        total.counters.add(&report.counters);
        if let Some(failure) = failure {
            let Failure { seed, what, script, .. } = &failure;
            if !self.cli.json {
                self.bar.suspend(|| println!("# seed {seed}: {what}\n{script}"));
            }
            total.failures.push(failure);
        }
        let steps = total.counters.steps as f64;
        let minute = steps / self.begun.elapsed().as_secs_f64() * 60.0;
        self.bar.inc(1);
        if total.seeds.is_multiple_of(16) {
            self.bar.set_message(format!(
                "{:.1} million steps, {:.1} million a minute, {} failed",
                steps / 1e6,
                minute / 1e6,
                total.failures.len()
            ));
        }
    }

    fn show(&self) -> bool {
        self.bar.finish_and_clear();
        let total = self.total.lock().unwrap_or_else(|poison| poison.into_inner());
        let seconds = self.begun.elapsed().as_secs_f64();
        let minute = total.counters.steps as f64 / seconds * 60.0;
        let out = &mut std::io::stdout().lock();
        let shown = if self.cli.json {
            let failures = total.failures.iter().map(|failure| {
                serde_json::json!({
                    "seed": failure.seed, "steps": failure.steps, "what": failure.what,
                    "lines": failure.script.lines.len(), "script": failure.script.to_string(),
                })
            });
            let counters: serde_json::Map<_, _> = total
                .counters
                .named()
                .into_iter()
                .map(|(name, count)| (name.to_owned(), count.into()))
                .collect();
            let json = serde_json::json!({
                "from": self.from, "to": self.to, "seeds": total.seeds,
                "seconds": seconds, "steps_before": total.counters.steps, "steps_a_minute": minute, "counters": counters,
                "failures": failures.collect::<Vec<_>>(),
            });
            writeln!(out, "{json}")
        } else {
            let million = total.counters.steps.max(1) as f64 / 1e6;
            for (name, count) in total.counters.named() {
                let rate = count as f64 / million;
                let _shown = writeln!(out, "{count:>12} {name:<30} {rate:>12.1} per million steps");
            }
            writeln!(
                out,
                "{} seeds from {}, {} failed; {seconds:.1} s, {:.2} million steps a minute",
                total.seeds,
                self.from,
                total.failures.len(),
                minute / 1e6
            )
        };
        shown.is_ok() && total.failures.is_empty()
    }
}
