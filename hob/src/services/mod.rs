//! Services of this machine: started, stopped and watched by capability.
//!
//! ```text
//!   shepherd ── registry ── service (one each) ── process-monitor ── processes
//!      │                        └── logger            (pidfds)
//!      └── grants ── handle of one service, some actions
//! ```

mod audit;
mod calendar;
mod catalogue;
mod cgroup;
mod cli;
mod controller;
mod daemon;
mod definition;
mod grants;
mod helper;
mod herd;
mod logfile;
mod logger;
mod monitor;
mod native;
mod orders;
mod procedures;
mod process;
mod procfs;
mod readable;
mod ready;
mod refusal;
mod registry;
mod revival;
mod shepherd;
mod show;
mod sockets;
mod status;
mod text;
mod users;
mod writer;
mod zone;

pub(crate) use cli::{SHEPHERD_HELP, SVC_HELP, Svc};
pub(crate) use daemon::{ShepherdOptions, shepherd};
pub(crate) use herd::svc;

/// The work of this process, if it is not to be `hob`: what becomes a service's program,
/// or `herd`.
pub(crate) fn intercept() -> Option<std::process::ExitCode> {
    helper::intercept().or_else(herd::intercept)
}

#[cfg(test)]
mod tests;
