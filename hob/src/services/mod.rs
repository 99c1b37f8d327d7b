//! Services of this machine: started, stopped and watched by capability.
//!
//! ```text
//!   shepherd ── registry ── service (one each) ── process-monitor ── processes
//!      │                        └── logger            (pidfds)
//!      └── grants ── handle of one service, some actions
//! ```

#![allow(dead_code, reason = "called once the fleet is wired up")]

mod calendar;
mod catalogue;
mod definition;
mod text;
mod zone;
mod cgroup;
mod controller;
mod grants;
mod helper;
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
mod sockets;
mod status;
mod users;
mod writer;
