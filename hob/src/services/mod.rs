//! Services of this machine: started, stopped and watched by capability.
//!
//! ```text
//!   shepherd ── registry ── service (one each) ── process-monitor ── processes
//!      │                        └── logger            (pidfds)
//!      └── grants ── handle of one service, some actions
//! ```

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
mod shepherd;
mod show;
mod sockets;
mod status;
mod text;
mod users;
mod writer;
mod zone;

pub(crate) use cli::{SHEPHERD_HELP, SVC_HELP, Svc, SvcCommand};
pub(crate) use daemon::{Flock, ShepherdOptions, shepherd};
pub(crate) use definition::Definition;
pub(crate) use herd::{svc, svc_on};
pub(crate) use refusal::is_not_found;
#[cfg(test)]
pub(crate) use refusal::not_found;
pub(crate) use shepherd::ShepherdRef;
pub(crate) use status::{Phase, Status};
pub(crate) use text::is_name;
pub(crate) use writer::{Event, WriterRef};

/// The work of this process, if it is not to be `hob`: what becomes a service's program,
/// or `herd`.
pub(crate) fn intercept() -> Option<std::process::ExitCode> {
    helper::intercept().or_else(herd::intercept)
}

#[cfg(test)]
mod tests;
