//! `conformance`: serves the well-known objects, or checks a peer that does.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
}

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(serve) => serve.run().await,
    }
}
