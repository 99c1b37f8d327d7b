//! Services of this machine, and by capability of others: started, stopped and watched.
//!
//! ```text
//!   shepherd ── registry ── service (one each) ── process-monitor ── processes
//!      │           │            ├── logger            (pidfds)
//!      │           │            └── built-in actor, if it is that and no process
//!      │           └── exported service (one each) ── a grant of another machine's shepherd
//!      └── grants ── handle of one service, some actions
//! ```

mod audit;
mod builtin;
mod calendar;
mod catalogue;
mod cgroup;
mod cli;
mod context;
mod controller;
mod daemon;
mod definition;
mod exported;
mod flapping;
mod fleet;
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
mod relay;
mod remote;
mod revival;
mod rolling;
mod shepherd;
mod show;
mod sockets;
mod status;
pub(crate) mod text;
mod users;
mod watching;
pub(crate) mod writer;
mod zone;

pub(crate) use cli::{SHEPHERD_HELP, SVC_HELP, Svc, SvcCommand};
pub(crate) use daemon::{Flock, ShepherdOptions, shepherd};
pub(crate) use definition::Definition;
pub(crate) use herd::{svc, svc_on};
pub(crate) use refusal::is_not_found;
#[cfg(test)]
pub(crate) use refusal::not_found;
pub(crate) use refusal::reason as refusal_reason;
pub(crate) use shepherd::ShepherdRef;
pub(crate) use status::{Phase, Status};
pub(crate) use text::is_name;
pub(crate) use writer::{Event, Writer, WriterRef};

/// The work of this process, if it is not to be `hob`: what becomes a service's program,
/// or `herd`.
pub(crate) fn intercept() -> Option<std::process::ExitCode> {
    helper::intercept().or_else(herd::intercept)
}

/// A service in full, as `herd status` prints it.
pub(crate) fn status_text(status: &Status) -> String {
    show::status(status, logfile::now(), &zone::Zone::of_machine())
}

#[cfg(test)]
mod tests;
