//! Measures the stack against the sockets under it and against what one would use
//! instead, in one run.
//!
//! Every row is the median of repetitions in which all candidates take turns. A candidate
//! of the rows of calls is two processes, both on the first core unless the row says
//! *split*; this process starts them and waits. What each row is to be is in `targets`.

mod allocations;
mod calls;
mod codec;
mod floor;
mod memory;
mod ours;
mod pairs;
mod report;
mod sessions;
mod sockets;
mod table;
mod targets;
mod tls;
mod vats;
mod work;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::calls::Scale;
use crate::pairs::{Starter, Who};
use crate::report::Machine;
use crate::sockets::Transport;
use crate::table::Table;

/// Measures calls, sessions, memory, vats and the codec, each beside its floor.
#[derive(Parser)]
struct Cli {
    /// How often everything is measured; the median counts. Five times, unless --quick.
    #[arg(long)]
    reps: Option<usize>,
    /// Only rows whose name contains this. May be given more than once.
    #[arg(long)]
    only: Vec<String>,
    /// Measure capnp-rpc, tonic, tarpc and other codecs, too. Builds interop-tests/peers.
    #[arg(long)]
    peers: bool,
    /// All rows of calls also with a core for each process.
    #[arg(long)]
    split: bool,
    /// A twentieth of everything, once: to see that it works.
    #[arg(long)]
    quick: bool,
    /// Name the rows that have a target, and measure nothing.
    #[arg(long)]
    list: bool,
    /// Write every figure to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the table to this file, too.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Draw a chart into this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What the processes are that the benchmark itself starts.
#[derive(Subcommand)]
enum Role {
    /// Is called.
    #[command(hide = true)]
    Serve { who: String, transport: Transport, directory: PathBuf, nodes: usize },
    /// Calls.
    #[command(hide = true)]
    Work {
        who: String,
        transport: Transport,
        directory: PathBuf,
        size: usize,
        /// The processes that are called.
        #[arg(value_delimiter = ',')]
        servers: String,
        addresses: Vec<String>,
    },
    /// Is full of actors.
    #[command(hide = true)]
    Populate { actors: String, number: usize },
}

fn main() {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a tokio runtime");
    match &cli.role {
        Some(Role::Serve { who, transport, directory, nodes }) => {
            end_with_input();
            match Who::parse(who).expect("somebody known") {
                Who::Tokio => runtime.block_on(floor::serve(*transport, directory)),
                Who::Blocking => floor::serve_blocking(*transport, directory),
                _ => runtime.block_on(ours::serve(*transport, directory, "node", *nodes)),
            }
        }
        Some(Role::Work { who, transport, directory, size, servers, addresses }) => {
            let servers: Vec<u32> = servers.split(',').filter_map(|id| id.parse().ok()).collect();
            let who = Who::parse(who).expect("somebody known");
            let place = (*transport, directory.as_path());
            runtime.block_on(work(who, place, *size, &servers, addresses));
            // Ending a thousand sessions is of no interest.
            std::process::exit(0);
        }
        Some(Role::Populate { actors, number }) => {
            let actors = vats::Actors::parse(actors).expect("actors that are known");
            runtime.block_on(vats::populate(actors, *number));
        }
        None if cli.list => targets::names().for_each(|row| println!("{row}")),
        None => {
            let reps = cli.reps.unwrap_or(if cli.quick { 1 } else { 5 });
            let mut table = Table::new(reps, cli.only.clone());
            // Before this process keeps to one of the cores.
            let machine = Machine::here();
            measure(&cli, &mut table, &runtime);
            if let Err(error) = write(&cli, &table, &machine) {
                eprintln!("{error}");
                std::process::exit(1);
            }
        }
    }
}

fn measure(cli: &Cli, table: &mut Table, runtime: &tokio::runtime::Runtime) {
    let peers = cli.peers.then(pairs::build_peers);
    let directory = tempfile::tempdir().expect("a directory");
    let starter = Starter::new(directory.path().to_owned(), peers.clone());
    let scale = Scale { divisor: if cli.quick { 20 } else { 1 } };
    let figure = Duration::from_millis(if cli.quick { 2 } else { 25 });
    allocations::measure(table);
    pairs::raise_file_limit();
    pairs::pin(0);
    calls::measure(table, &starter, scale, cli.split);
    sessions::measure(table, &starter, scale);
    memory::measure(table, &starter, scale);
    runtime.block_on(vats::measure(table, scale));
    codec::measure(table, figure, peers.as_deref());
}

fn write(cli: &Cli, table: &Table, machine: &Machine) -> std::io::Result<()> {
    let missing = |row: &&str| table.wants(row) && table.rows.iter().all(|it| it.name != *row);
    targets::names().filter(missing).for_each(|row| eprintln!("not measured: {row}"));
    let markdown = report::markdown(table, machine);
    print!("{markdown}");
    if let Some(file) = &cli.markdown {
        std::fs::write(file, markdown)?;
    }
    if let Some(file) = &cli.json {
        std::fs::write(file, report::json(table, machine))?;
    }
    if let Some(file) = &cli.svg {
        match report::chart::svg(table) {
            Some(svg) => std::fs::write(file, svg)?,
            None => eprintln!("no chart: none of its rows was measured"),
        }
    }
    Ok(())
}

async fn work(
    who: Who,
    (transport, directory): (Transport, &Path),
    size: usize,
    servers: &[u32],
    addresses: &[String],
) {
    let first = || addresses.first().expect("somebody to call");
    match who {
        Who::Tokio => work::obey(floor::Tokio::new(transport, first(), size).await, servers).await,
        Who::Blocking => {
            work::obey(floor::Blocking::new(transport, first(), size), servers).await;
        }
        Who::OursLoopback => {
            let (ours, _server) = ours::Ours::loopback().await;
            work::obey(ours, servers).await;
        }
        _ => work::obey(ours::Ours::new(transport, directory, addresses).await, servers).await,
    }
}

/// Ends this process when whoever started it closes its input.
fn end_with_input() {
    std::thread::spawn(|| {
        let mut scrap = [0; 1];
        let _ended = std::io::stdin().read(&mut scrap);
        std::process::exit(0);
    });
}
