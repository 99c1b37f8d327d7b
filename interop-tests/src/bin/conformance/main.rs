//! `conformance`: serves the well-known objects, or checks a peer that does.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod adapter;
mod check;
mod serve;

/// Conformance of OCapN implementations.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the well-known objects until ended.
    ///
    /// Prints a peer URI for each netlayer, one a line, in the order of --listen.
    Serve(serve::Serve),
    /// Check a peer that serves the well-known objects.
    ///
    /// Exits with 0 if every check passed, 1 if one failed, 2 if none could be run.
    Check(check::Check),
}

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(serve) => serve.run().await,
        Command::Check(check) => check.run().await,
    }
}
