//! Measures the stack against the socket under it, in one run.
//!
//! Each row is the median of interleaved repetitions, and a ratio to its *floor*: a
//! plain ping-pong of messages of the same size over the same netlayer's channel.
//! Client and server are two processes; both are pinned to one core unless
//! `--split`, where the machine's wake-ups dominate.

mod calls;
mod codec;
mod sessions;
mod table;
mod vats;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::table::Table;

/// Measures the codec, calls between processes and what comes before them, each against
/// its floor.
#[derive(Parser)]
struct Cli {
    /// How often everything is measured; the median counts.
    #[arg(long, default_value_t = 5)]
    reps: usize,
    /// Sequential calls in a repetition.
    #[arg(long, default_value_t = 20_000)]
    calls: usize,
    /// Only rows whose name contains this; or `sessions` or `vats`, for those of that group.
    #[arg(long)]
    only: Option<String>,
    /// A core for each process instead of one for both.
    #[arg(long)]
    split: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// The other process. Started by the benchmark itself.
    #[command(hide = true)]
    Serve {
        #[arg(long)]
        transport: Transport,
        #[arg(long)]
        stack: Stack,
        #[arg(long)]
        directory: PathBuf,
        #[arg(long)]
        core: usize,
    },
    /// A process full of actors. Started by the benchmark itself.
    #[command(hide = true)]
    Populate { actors: vats::Actors },
}

/// What carries the bytes.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Transport {
    Unix,
    TcpTls,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stack {
    /// The channel alone: the floor.
    Raw,
    /// A node that exports an echo.
    Node,
    /// A node that exports somebody who calls what it is given.
    Caller,
}

impl Transport {
    const fn name(self) -> &'static str {
        match self {
            Self::Unix => "unix",
            Self::TcpTls => "tcp-tls",
        }
    }
}

fn main() {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a tokio runtime");
    match cli.role {
        Some(Role::Serve { transport, stack, directory, core }) => {
            pin(core);
            return runtime.block_on(calls::serve(transport, stack, &directory));
        }
        Some(Role::Populate { actors }) => return runtime.block_on(vats::populate(actors)),
        None => pin(0),
    }
    let wanted = |name: &str| cli.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let mut table = Table::new(cli.reps);
    codec::measure(&mut table, &wanted);
    for transport in [Transport::Unix, Transport::TcpTls] {
        if wanted(transport.name()) {
            let server_core = usize::from(cli.split);
            runtime.block_on(calls::measure(&mut table, transport, cli.calls, server_core));
        }
    }
    if wanted("sessions") {
        runtime.block_on(sessions::measure(&mut table, usize::from(cli.split)));
    }
    if wanted("vats") {
        runtime.block_on(vats::measure(&mut table));
    }
    if cli.json { table.print_json() } else { table.print_markdown() }
}

/// Runs this process on one core. Where that is not allowed, the figures are merely
/// noisier.
fn pin(core: usize) {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    if let Err(error) = rustix::thread::sched_setaffinity(None, &cores) {
        eprintln!("not pinned to core {core}: {error}");
    }
}
