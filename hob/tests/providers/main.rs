//! Every provider that can run here, held to the contract; and each for what is its own.

mod command;
mod hosts;
mod ssh;
mod sshd;
#[path = "../support/mod.rs"]
mod support;
mod worlds;
