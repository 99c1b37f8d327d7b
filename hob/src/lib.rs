//! `hob`: a node anybody can run, a `curl` for capabilities, and fleets of machines.
//!
//! Everything is done by capability: a command that concerns a running node holds
//! nothing but that node's `admin.cap`, and calls the object it names.

mod admin;
mod capfile;
mod children;
mod cli;
mod client;
mod commands;
mod config;
mod demo;
mod deploy;
mod desired;
mod exit;
mod fleet;
mod kinds;
mod netns;
mod notation;
mod notify;
mod output;
pub mod providers;
mod serve;
mod services;
mod state;
#[cfg(test)]
mod testing;
mod top;
mod units;
mod wrap;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _};
use serde_json::json;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command};
use config::{Flags, Settings, Surroundings};
use output::screen::Screen;

/// Runs the program: the command line of this process, to its end.
pub fn main() -> ExitCode {
    if let Some(done) = services::intercept() {
        return done;
    }
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    log(&cli);
    let json = cli.command.speaks_json();
    match run(cli, &cli::flags(&matches)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error, json);
            ExitCode::from(exit::code(&error) as u8)
        }
    }
}

/// What commands are told besides their own options.
struct Context {
    settings: Arc<Settings>,
    screen: Screen,
    quiet: bool,
}

fn run(mut cli: Cli, flags: &Flags) -> anyhow::Result<()> {
    let mut settings = Arc::default();
    if cli.command.has_settings() {
        settings = Arc::new(Settings::load(cli.config, flags, &Surroundings::of_process())?);
        cli.command.settle(&settings);
    }
    let context = Context { settings, screen: Screen::of_process(cli.color), quiet: cli.quiet };
    match &cli.command {
        Command::Completions { shell } => return commands::help::completions(*shell),
        Command::Man { dir } => return commands::help::man(dir.as_deref()),
        Command::Config(command) => {
            return commands::config::config(command, &context.settings, context.screen);
        }
        Command::Units(options) => return commands::units::units(options),
        _ => {}
    }
    let mut builder = if cli.command.serves() {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        // On one thread a broken answer and the end of its session are seen together.
        tokio::runtime::Builder::new_current_thread()
    };
    let runtime = builder.enable_all().build()?;
    let outcome = runtime.block_on(dispatch(cli.command, context));
    // A read of standard input can't be called off, and must not keep us.
    runtime.shutdown_timeout(Duration::ZERO);
    outcome
}

async fn dispatch(command: Command, context: Context) -> anyhow::Result<()> {
    match command {
        Command::Node(options) => commands::node::node(&options).await,
        Command::Boss(options) => commands::boss::boss(&options.serve).await,
        Command::Join(options) => commands::join::join(&options).await,
        Command::Export(options) => interruptible(commands::export::export(&options)).await,
        Command::Revoke(options) => interruptible(commands::export::revoke(&options)).await,
        Command::State(command) => interruptible(commands::state::state(&command)).await,
        Command::Shepherd(options) => services::shepherd(&options).await,
        Command::Deploy(options) => interruptible(deploy::client::deploy(&options)).await,
        Command::Svc(options) => interruptible(services::svc(&options)).await,
        Command::Call(options) => interruptible(commands::call::call(&options)).await,
        Command::Demo(options) => demo::demo(&options).await,
        Command::Where(options) => {
            let Context { settings, screen, .. } = &context;
            interruptible(commands::place::place(&options, settings, *screen)).await
        }
        Command::Top(options) => interruptible(top::top(&options, context.screen)).await,
        Command::Fleet(command) => {
            interruptible(commands::fleet::fleet(&command, context.screen, context.quiet)).await
        }
        Command::GetBinding(options) => {
            interruptible(commands::machine::get_binding(&options)).await
        }
        Command::ListBindings { common } => {
            interruptible(commands::machine::list_bindings(&common, context.screen)).await
        }
        Command::Offer(options) => interruptible(commands::machine::offer(&options)).await,
        Command::Forward(options) => interruptible(commands::machine::forward(&options)).await,
        // These need no runtime, and are done.
        Command::Config(_)
        | Command::Units(_)
        | Command::Completions { .. }
        | Command::Man { .. } => Ok(()),
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

/// Says on standard error what failed, why, and what to do next; where the command
/// speaks JSON, on standard output as well.
fn report(error: &anyhow::Error, json: bool) {
    let what = output::harmless(&format!("{error:#}"));
    let next = exit::next_step(error);
    let mut text = format!("error: {what}\n");
    if let Some(next) = &next {
        text.push_str(&format!("  next: {next}\n"));
    }
    // If standard error is gone, the exit code still tells.
    let _unheard = std::io::stderr().write_all(text.as_bytes());
    if json {
        let error = json!({"exit": exit::code(error) as u8, "what": what, "next": next});
        let _unheard = output::json::print_line(json!({"error": error}));
    }
}

/// Logs to standard error, as `HOB_LOG` says.
fn log(cli: &Cli) {
    let serves = cli.command.serves();
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
    // It would be written across what the command shows.
    let across = cli.command.takes_the_screen() && std::io::stderr().is_terminal();
    let filter = if across { EnvFilter::new("off") } else { filter };
    let colour = cli.color.applies(std::io::stderr().is_terminal());
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
