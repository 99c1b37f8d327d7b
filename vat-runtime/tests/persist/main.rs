//! Durable vats: what is stored, what comes back, and what a crash may take.

mod backends;
mod commit;
mod crash;
mod environments;
mod faults;
mod garbage;
mod goblins;
mod kit;
mod model;
mod portraits;
mod remote;
mod restart;
mod sleeping;
mod text;
mod threads;
