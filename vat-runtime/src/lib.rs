//! Vats: actors, transactional turns and promises.
//!
//! A [`Vat`] holds actors and handles one message at a time, in a [`Turn`] that
//! either takes effect as a whole or not at all. An actor is a [`Behaviour`] behind
//! a [`Ref`]; it is immutable and changes by answering with the next one. Actors of
//! the same vat call each other ([`Turn::call`]); to anything else, in another vat
//! or at a peer, one sends ([`Turn::send`], [`Ref::send`]) and gets a [`Promise`],
//! to which one can send on before it settles.
//!
//! The crate has no event loop and no sockets of its own: a [`Scheduler`] says when
//! and where vats run, a [`Link`] carries messages to a peer.
//!
//! ```
//! use vat_runtime::{Args, Behaviour, Fault, Manual, Reply, Turn, Value, Vat};
//!
//! struct NoisyIncrementer(i64);
//!
//! impl Behaviour for NoisyIncrementer {
//!     fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
//!         let by = args.first().map_or(Some(1), Value::as_int).ok_or("not an integer")?;
//!         let count = self.0 + by;
//!         let text = format!("My new count is: {count}");
//!         Ok(Reply::become_with(NoisyIncrementer(count), text))
//!     }
//! }
//!
//! let hand = Manual::new();
//! let vat = Vat::new("demo", hand.clone());
//! let incrementer = vat.spawn(NoisyIncrementer(0));
//! incrementer.send_only(vec![]);
//! let answer = incrementer.send(vec![20.into()]);
//! hand.run_until_idle();
//! assert_eq!(answer.wait(), Ok("My new count is: 21".into()));
//! ```
//!
//! # Order
//!
//! A message to a reference is never overtaken by a later message of the same
//! sender to the same reference, also while promises settle. What waits in a promise
//! goes on, in order, before the promise can be seen to have settled. A promise at a
//! peer that has carried messages goes on sending the same way until these are known
//! to have arrived: until the last of them has been answered.

// Generated code names this crate from outside, also within it.
extern crate self as vat_runtime;

mod actormap;
pub mod actors;
mod behaviour;
mod cell;
mod changes;
mod clock;
pub mod convert;
mod drive;
mod fault;
mod host_loop;
mod ids;
mod inbox;
mod intake;
mod job;
mod link;
mod mail;
mod on;
mod parts;
pub mod persist;
mod promise;
mod reference;
mod route;
mod scheduler;
mod simulation;
mod slab;
mod snapshot;
mod sync;
mod trace;
mod trampoline;
mod transactormap;
mod turn;
pub mod typed;
mod vat;
mod watchdog;

pub use actormap::{Actormap, Turned};
pub use behaviour::{Behaviour, Reply};
pub use clock::{Alarm, Alarms, Clock, SimClock, ThreadClock, ring};
pub use convert::{FromValue, IntoValue, Mismatch, Passable, Symbol, Type, Typed};
pub use drive::{DRIVE_BUDGET, drive, drive_with_budget};
pub use fault::Fault;
pub use host_loop::HostLoop;
pub use intake::{Intake, Parked};
pub use link::Link;
pub use mail::Mail;
pub use on::On;
pub use persist::{Barrier, Durable, RestoreError};
pub use promise::{Promise, Resolver, Settling, promise};
pub use reference::{Identity, Ref, WeakRef, is_live, is_sturdy};
pub use scheduler::{Manual, OwnThread, Ran, ReadyVat, Scheduler};
pub use simulation::Simulation;
pub use snapshot::Snapshot;
pub use trace::{Cause, Event, Trace, TurnId, VatLog};
pub use transactormap::{Change, MergeError, Transactormap};
pub use turn::Turn;
pub use typed::{Answer, Become, Here, TypedRef};
pub use vat::{Limits, Vat};
pub use vat_macros::{Durable, Passable, interface, object};
pub use watchdog::{LongTurn, Watchdog};

/// A value in a message: data or a reference.
pub type Value = captp::Passable<Ref>;

/// The arguments of a message.
pub type Args = Vec<Value>;
