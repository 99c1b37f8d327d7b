//! An agent on one node and workstations on others, with a machine made up and time that
//! stands still; and a site that is killed at every step.

mod contents;
mod killed;
mod kit;
mod stages;
