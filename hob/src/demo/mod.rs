//! `hob demo`: three machines find each other, told like a story.
//!
//! The demo is an operator: it starts three `hob` processes and does nothing but what
//! the commands do, through the capabilities that each process puts into its state
//! directory. What the story says of a process is what that process has said.

mod cast;
mod netns;
mod plot;
mod process;
mod story;
mod table;

use anyhow::Context as _;

use crate::cli::Demo;
use crate::exit::Interrupted;
use crate::serve::StopSignals;
use crate::state;
use cast::Cast;
use netns::Network;
use story::Story;

/// Plays the demo, and leaves nothing behind however it ends.
pub(crate) async fn demo(options: &Demo) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen()?;
    let directory = state::temporary("hob-demo-", "app-machine/sock.lock".len());
    let directory = directory.context("a directory for the demo")?;
    let story = Story;
    let mut network = None;
    if options.netns {
        network = Some(Network::set_up(&["boss", "db-machine", "app-machine"])?);
    }
    let mut cast = Cast::new(directory.path(), network.as_ref(), story, options.timeout);
    let outcome = tokio::select! {
        outcome = plot::play(&mut cast) => outcome,
        _ = signals.wait() => Err(Interrupted.into()),
    };
    let stopped = cast.stop().await;
    let torn_down = network.map_or(Ok(()), Network::tear_down);
    let removed = directory.close().context("the demo's directory");
    outcome.context("the demo failed")?;
    stopped.and(torn_down).and(removed)?;
    story.tell("demo", "all processes have ended, nothing is left behind");
    Ok(())
}
