//! OCapN for Rust: a node is vats, CapTP sessions, netlayers and sturdyrefs.
//!
//! A [`Node`] runs actors in [vats](Node::vat), and lets them and the program around
//! them call actors of other nodes, in other languages and on other machines.
//!
//! 1. [`Node::builder`] takes the [`netlayers`] by which the node is reached and
//!    reaches others, and starts it on the present tokio runtime.
//! 2. [`Vat::spawn`] makes an actor of a [`Behaviour`] and gives a reference to it, a
//!    [`Ref`].
//! 3. [`Node::mint`] makes a [`Sturdyref`] for it. Its URI is a secret: whoever has it
//!    holds the object, until [`Node::revoke`].
//! 4. [`Node::enliven`] turns a sturdyref into a [`Promise`] for the object, to which
//!    messages can be sent at once. [`Node::resolve`] waits, and tells what went wrong.
//! 5. [`Ref::send`] sends a message and gives the promise of the answer. Promises are
//!    references too, and futures: `.await` them outside of vats, [`Turn::on`] inside.
//!
//! ```
//! use ocapn::netlayers::LoopbackNetwork;
//! use ocapn::{Args, Fault, Node, Reply, Turn, Value};
//!
//! fn greet(_turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
//!     let name = args.first().and_then(Value::as_str).ok_or("whom?")?;
//!     Ok(Reply::value(format!("Hello, {name}!")))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let network = LoopbackNetwork::new();
//! let ada = Node::builder().netlayer(network.netlayer("ada")?).start();
//! let ben = Node::builder().netlayer(network.netlayer("ben")?).start();
//!
//! let sturdyref = ada.mint(&ada.vat("greeters").spawn(greet))?;
//!
//! let greeter = ben.enliven(&sturdyref);
//! let greeting = greeter.send(vec!["Ben".into()]).await?;
//! assert_eq!(greeting.as_str(), Some("Hello, Ben!"));
//!
//! let fault = greeter.send(vec![]).await.unwrap_err();
//! assert_eq!(fault.to_string(), "whom?");
//! # Ok(())
//! # }
//! ```
//!
//! The folder `examples` has the same over `tcp-tls` (`counter`), and three dependent
//! calls with one wait (`pipelining`).
//!
//! # Typed interfaces
//!
//! [`interface`] on a trait makes a reference whose methods send its messages, and
//! [`object`] on an `impl` takes them apart: see [`typed`]. The messages are the same, so
//! the other end need be neither typed nor written in Rust. The examples `chat` and
//! `chat_by_hand` are one program, with and without.
//!
//! ```
//! use ocapn::netlayers::LoopbackNetwork;
//! use ocapn::{Answer, Node, interface, object};
//!
//! /// Counts.
//! #[interface]
//! trait Counter {
//!     /// Counts on.
//!     fn add(&mut self, by: i64) -> i64;
//! }
//!
//! #[derive(Clone, ocapn::Durable)]
//! struct Count(i64);
//!
//! #[object]
//! impl Counter for Count {
//!     fn add(&mut self, by: i64) -> i64 {
//!         self.0 += by;
//!         self.0
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let network = LoopbackNetwork::new();
//! # let ada = Node::builder().netlayer(network.netlayer("ada")?).start();
//! # let ben = Node::builder().netlayer(network.netlayer("ben")?).start();
//! let counter = CounterRef::spawn_in(&ada.vat("counters"), Count(0));
//! let sturdyref = ada.mint(counter.untyped())?;
//!
//! let counter = CounterRef::from(ben.enliven(&sturdyref));
//! let sum: Answer<i64> = counter.add(5);
//! assert_eq!(sum.await, Ok(5));
//! # Ok(())
//! # }
//! ```
//!
//! # What to know
//!
//! - A node and its vats live until [`Node::shutdown`], or until the node's last handle
//!   is dropped. An actor lives while something refers to it.
//! - Within a turn send by [`Turn::send`], which takes back what a failed turn sent;
//!   [`Ref::send`] is for code outside of turns.
//! - When a session ends, all promises that waited for its peer break; nothing waits
//!   for ever. [`Node::on_sever`] tells when and how. References to the peer's objects are
//!   of no use from then on; a [`Lasting`] is one that heals.
//! - Dropping the last clone of a remote reference tells its peer. Dropping a promise
//!   cancels nothing.
//! - What each session may cost is in [`Limits`], what each vat in [`VatLimits`];
//!   crossing one ends that session, or paces it: it is not read for a while.
//! - Turns must not block. One that takes longer than [`VatLimits::turn_time`] is
//!   reported ([`NodeBuilder::on_long_turn`]).
//! - [`SessionInfo::proof`] says whether the netlayer has proven who the peer is. Those
//!   who are not proven may call what they hold a reference to; refuse them with
//!   [`NodeBuilder::refuse_unverified`].
//! - A reference that is given on leads to its object directly, without the giver. Where
//!   the receiver can't reach the object's peer, what it says goes by way of the giver:
//!   then [`Node::session_of`] names the giver as the reference's peer, and the giver's
//!   [`SessionInfo::standing_in`] counts it. A message is logged at both.

mod bootstrap;
mod clock;
mod connection;
mod driver;
mod entropy;
mod glue;
mod handoff;
pub mod hub;
mod lasting;
mod link;
mod node;
mod origins;
mod outlet;
mod registry;
mod scheduler;

pub use captp::locator::{self, PeerLocator, Sturdyref, SwissNum};
pub use captp::{
    Dialect, ErrorValue, Limits, PeerSettings, PeerViolation, Proof, Record, SessionEnd,
    SwissDigest, TableCounts, Tagged, Traffic,
};
pub use driver::DialError;
pub use hub::TurnedAway;
pub use lasting::{KeptUp, Lasting, LastingLimits, LastingState, Unreachable};
pub use netlayers;
pub use node::{EnlivenError, MintError, Node, NodeBuilder, SessionInfo};
pub use scheduler::TokioScheduler;
pub use syrup::text;
pub use vat_macros::{
    OcapnDurable as Durable, OcapnPassable as Passable, ocapn_interface as interface,
    ocapn_object as object,
};
pub use vat_runtime::actors;
pub use vat_runtime::convert::{FromValue, IntoValue, Mismatch, Passable, Symbol, Type, Typed};
pub use vat_runtime::persist::{Durable, RestoreError};
pub use vat_runtime::typed::{self, Answer, Become, Here, TypedRef};
pub use vat_runtime::{
    Args, Behaviour, Clock, Fault, Limits as VatLimits, LongTurn, Promise, Ref, Reply, Resolver,
    Turn, Value, Vat, persist, promise,
};

/// Compiles and runs the programs of the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
