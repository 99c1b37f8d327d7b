//! `hob`: a node anybody can run, a `curl` for capabilities, and fleets of machines.
//!
//! Everything is done by capability: a command that concerns a running node holds
//! nothing but that node's `admin.cap`, and calls the object it names.

mod admin;
mod capfile;
mod cli;
mod client;
mod commands;
mod demo;
mod exit;
mod fleet;
mod kinds;
mod netns;
mod notation;
mod output;
pub mod providers;
mod serve;
mod services;
mod state;
#[cfg(test)]
mod testing;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command};

/// Runs the program: the command line of this process, to its end.
pub fn main() -> ExitCode {
    if let Some(done) = services::intercept() {
        return done;
    }
    let cli = Cli::parse();
    log(&cli);
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(exit::code(&error) as u8)
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Completions { shell } => return commands::help::completions(shell),
        Command::Man { dir } => return commands::help::man(dir.as_deref()),
        _ => {}
    }
    let serves = matches!(
        command,
        Command::Node(_) | Command::Boss(_) | Command::Join(_) | Command::Shepherd(_)
    );
    let mut builder = if serves {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        // On one thread a broken answer and the end of its session are seen together.
        tokio::runtime::Builder::new_current_thread()
    };
    let runtime = builder.enable_all().build()?;
    let outcome = runtime.block_on(dispatch(command));
    // A read of standard input can't be called off, and must not keep us.
    runtime.shutdown_timeout(Duration::ZERO);
    outcome
}

async fn dispatch(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Node(options) => commands::node::node(&options).await,
        Command::Boss(options) => commands::boss::boss(&options).await,
        Command::Join(options) => commands::join::join(&options).await,
        Command::Export(options) => interruptible(commands::export::export(&options)).await,
        Command::Revoke(options) => interruptible(commands::export::revoke(&options)).await,
        Command::State(command) => interruptible(commands::state::state(&command)).await,
        Command::Shepherd(options) => services::shepherd(&options).await,
        Command::Svc(options) => interruptible(services::svc(&options)).await,
        Command::Call(options) => interruptible(commands::call::call(&options)).await,
        Command::Demo(options) => demo::demo(&options).await,
        Command::Completions { .. } | Command::Man { .. } => Ok(()),
    }
}

/// Ends the work on a signal in an orderly way, so that it leaves nothing behind.
async fn interruptible(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut signals = serve::StopSignals::listen()?;
    tokio::select! {
        outcome = work => outcome,
        _ = signals.wait() => Err(exit::Interrupted.into()),
    }
}

/// Says on standard error what failed, why, and what to do next.
fn report(error: &anyhow::Error) {
    let mut text = format!("error: {}\n", output::harmless(&format!("{error:#}")));
    if let Some(next) = exit::next_step(error) {
        text.push_str(&format!("  next: {next}\n"));
    }
    // If standard error is gone, the exit code still tells.
    let _unheard = std::io::stderr().write_all(text.as_bytes());
}

/// Logs to standard error, as `HOB_LOG` says.
fn log(cli: &Cli) {
    let serves = matches!(
        cli.command,
        Command::Node(_) | Command::Boss(_) | Command::Join(_) | Command::Shepherd(_)
    );
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => "error",
        (_, 0) if serves => "info",
        (_, 0) => "warn",
        (_, 1) => "debug",
        (_, _) => "trace",
    };
    let filter = EnvFilter::builder()
        .with_env_var("HOB_LOG")
        .try_from_env()
        .unwrap_or_else(|_| EnvFilter::new(level));
    let colour = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false);
    if cli.plain_log {
        log.without_time().with_level(false).init();
    } else {
        log.init();
    }
}
