//! A boss with many machines, measured: how long until all have enrolled, what memory the
//! boss takes, what a machine costs it while nothing happens, and how long plain `ssh`
//! takes to run a command on as many, in the same run.
//!
//! Every machine is a real `hob` process, made by the boss's provider `local`. Needs the
//! program `hob` beside this one (`cargo build --release -p hob`), and OpenSSH for the
//! comparison, which is left out where that is missing.

mod process;
mod ssh;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use ocapn::netlayers::{Unix, UnixOptions};
use ocapn::{Node, Ref, Sturdyref, Value};

use process::{Boss, Usage};

/// Measures a fleet.
#[derive(Parser)]
struct Options {
    /// How many machines
    #[arg(long, default_value_t = 200)]
    machines: usize,
    /// The program to run [default: hob, beside this one]
    #[arg(long)]
    hob: Option<PathBuf>,
    /// For how many seconds to look at a fleet at rest
    #[arg(long, default_value_t = 60)]
    rest: u64,
    /// How many times ssh goes around
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let options = Options::parse();
    let beside = std::env::current_exe()?.with_file_name("hob");
    let hob = options.hob.clone().unwrap_or(beside);
    let directory = tempfile::Builder::new().prefix("hob-fleet-").tempdir()?;
    let boss = Boss::start(&hob, directory.path()).await?;
    let node = client(directory.path()).await?;
    let sturdyref: Sturdyref =
        std::fs::read_to_string(boss.state().join("boss.cap"))?.trim().parse()?;
    let object = node.resolve(&sturdyref).await?;

    let empty = boss.usage()?;
    let begun = Instant::now();
    let names = (0..options.machines).map(|n| format!("m{n:03}"));
    let asked: Vec<_> = names
        .map(|name| {
            let args = vec![Value::symbol("create-machine"), name.into(), "local".into()];
            object.send(args)
        })
        .collect();
    for machine in asked {
        machine.await?;
    }
    let listed = begun.elapsed();
    until_active(&object, options.machines).await?;
    let enrolled = begun.elapsed();
    let full = boss.usage()?;

    let rest = Duration::from_secs(options.rest);
    tokio::time::sleep(rest).await;
    let rested = boss.usage()?;
    let looked = Instant::now();
    object.send(vec![Value::symbol("list-machines")]).await?;
    let list = looked.elapsed();

    report(&options, listed, enrolled, [empty, full, rested], list);
    match ssh::Server::start(directory.path())? {
        Some(server) => {
            let mut rounds = Vec::new();
            for _ in 0..options.rounds {
                rounds.push(server.fan_out(options.machines).await?);
            }
            rounds.sort_unstable();
            let median = rounds[rounds.len() / 2];
            println!(
                "| ssh to as many, 16 at once, median of {} | {:.2} s ({:.1} ms each) |",
                options.rounds,
                median.as_secs_f64(),
                each(median, options.machines)
            );
        }
        None => println!("| ssh to as many | not measured: OpenSSH is missing |"),
    }
    node.shutdown().await;
    boss.end().await
}

async fn client(directory: &std::path::Path) -> Result<Node, Failed> {
    let unix = Unix::bind(directory.join("client.sock"), UnixOptions::default()).await?;
    Ok(Node::builder().netlayer(unix).start())
}

/// Waits until all machines are active, from one event to the next.
async fn until_active(boss: &Ref, machines: usize) -> Result<(), Failed> {
    let mut last = 0;
    let mut active = 0;
    while active < machines {
        boss.send(vec![Value::symbol("wait"), last.into()]).await?;
        let page = boss.send(vec![Value::symbol("events"), last.into()]).await?;
        let Value::Struct(page) = page else { return Err("events are a struct".into()) };
        for (name, value) in page {
            match (name.as_str(), value) {
                ("last", Value::Int(n)) => last = n,
                ("entries", Value::List(entries)) => {
                    let text = |entry: &Value| match entry {
                        Value::Struct(fields) => fields
                            .iter()
                            .find(|(name, _)| name == "event")
                            .and_then(|(_, event)| event.as_str().map(str::to_owned)),
                        _ => None,
                    };
                    for event in entries.iter().filter_map(text) {
                        match event.as_str() {
                            "registered" => active += 1,
                            "failed" => {
                                eprintln!("a machine could not be made, and is tried again")
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn each(time: Duration, machines: usize) -> f64 {
    time.as_secs_f64() * 1000.0 / machines.max(1) as f64
}

fn report(
    options: &Options,
    listed: Duration,
    enrolled: Duration,
    [empty, full, rested]: [Usage; 3],
    list: Duration,
) {
    let Options { machines, rest, .. } = options;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let grown = full.memory.saturating_sub(empty.memory) / (*machines).max(1) as u64;
    let busy = rested.processor.saturating_sub(full.processor);
    let per_minute = busy.as_secs_f64() * 60.0 / *rest as f64;
    println!("| {machines} machines on one boss | |");
    println!("|---|---:|");
    println!("| all created, as pending | {:.2} s |", listed.as_secs_f64());
    println!(
        "| all enrolled and active | {:.2} s ({:.1} ms each) |",
        enrolled.as_secs_f64(),
        each(enrolled, *machines)
    );
    println!(
        "| the boss's processor time for that | {:.2} s |",
        full.processor.saturating_sub(empty.processor).as_secs_f64()
    );
    println!(
        "| the boss's memory, without machines and with | {:.1} MiB, {:.1} MiB ({} KiB each) |",
        mib(empty.memory),
        mib(full.memory),
        grown / 1024
    );
    println!(
        "| at rest, the boss's processor time | {:.2} ms per machine and minute |",
        per_minute * 1000.0 / (*machines).max(1) as f64
    );
    println!("| list-machines | {:.1} ms |", list.as_secs_f64() * 1000.0);
}
