//! Options that mean the same wherever they are.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueHint};

use crate::config::{Settings, quantity::duration};

/// In which form the answer is printed.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Form {
    /// Print JSON, which says its version
    #[arg(long)]
    pub(crate) json: bool,
}

/// How long a command may take.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// How long to wait for answers, as 500ms, 30s or 2m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// Whether to wait until what was begun is done.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// Wait until it is done, for as long as --wait-for says
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long --wait waits; then the exit code is 6, and what was begun goes on
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration)]
    pub(crate) wait_for: Duration,
}

/// Leave to do what can't be undone.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Consent {
    /// Don't ask: do it. Needed where nobody can be asked
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Which running node to use.
#[derive(Args, Debug)]
pub(crate) struct NodeChoice {
    /// The node's state directory [env: HOB_STATE] [config: state.path] [default: as `hob
    /// where` says]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state: Option<PathBuf>,
    /// How long to wait, as 500ms, 30s or 2m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

impl NodeChoice {
    /// Puts in what the command line has not said.
    pub(crate) fn settle(&mut self, settings: &Arc<Settings>) {
        self.state = self.state.take().or_else(|| settings.state());
    }
}
