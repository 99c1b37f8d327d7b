//! Services of this machine: started, stopped and watched by capability.
//!
//! ```text
//!   shepherd ── registry ── service (one each) ── process-monitor ── processes
//!      │                        └── logger            (pidfds)
//!      │                        └── built-in actor, if it is that and no process
//!      └── grants ── handle of one service, some actions
//! ```

mod builtin;
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
pub(crate) mod refusal;
mod registry;
mod shepherd;
mod show;
mod sockets;
mod status;
pub(crate) mod text;
mod users;
pub(crate) mod writer;
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
