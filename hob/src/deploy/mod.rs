//! Deployment by capability: a workstation makes a machine what it is to be, through an
//! agent on that machine that does nothing else, and that goes back by itself when the
//! workstation can't reach it afterwards.
//!
//! ```text
//!   hob deploy ── deploy.cap ──> agent ── site ── rollout ── executors
//!        │                         │        └── objects (contents, by digest)
//!        └── upload ── chunks ─────┘
//! ```
//!
//! [`Site`] is what happens on the disk and may block; [`Agent`] says when, and to whom;
//! [`client`] is the workstation's side.
//!
//! # The protocol
//!
//! A capability to the action `deploy` of the service understands
//! `deploy SERVICE ORDER …`, where the order is
//!
//! | order | answer |
//! |---|---|
//! | `begin {label, within-ms} writer` | the deployment's id, and the object for its contents |
//! | `apply id` | what has changed; breaks, with why, if it could not be, and all is as before |
//! | `confirm id witness` | nothing: it is kept. The witness is any object of the caller's |
//! | `cancel id` | nothing: all is as before |
//! | `status [id]` | how far it is, or how it has ended |
//!
//! A deployment that is applied and not confirmed in time is undone. It is confirmed over
//! another session than the one on which it was begun: so it is known that the machine can
//! still be reached. The id is known to nobody but who has begun it.
//!
//! The object for the contents understands `want`, `chunk`, `read`, `missing` and `plan`:
//! see [`Upload`](upload::Upload). What is deployed is a desired state as JSON; it is sent
//! like any other content: in chunks, after its digest and size have been said.

mod agent;
pub(crate) mod client;
mod objects;
mod settings;
mod site;
mod upload;
mod wire;

#[cfg(test)]
mod tests;

pub(crate) use agent::{Agent, AgentRef, Tools};
pub(crate) use settings::Settings;
pub(crate) use site::Workshop;
pub(crate) use wire::Orders;

use std::sync::{Mutex, MutexGuard, PoisonError};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
