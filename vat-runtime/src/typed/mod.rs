//! Objects with interfaces: calls that the compiler checks, over the same messages.
//! Owns what `#[interface]` and `#[object]` generate code for.
//!
//! [`#[interface]`](macro@crate::interface) on a trait makes a reference of its own
//! type, with a method for each of the trait's; [`#[object]`](macro@crate::object) on
//! an `impl` of the trait takes messages apart and calls the method.
//!
//! ```
//! use vat_runtime::{Answer, Fault, Manual, Turn, Vat, interface, object};
//!
//! /// Where seats are found.
//! #[interface]
//! pub trait Lobby {
//!     /// Takes a seat.
//!     fn join(&mut self, turn: &mut Turn<'_>, nick: String) -> SeatRef;
//!     /// How many have joined.
//!     fn count(&self) -> usize;
//! }
//!
//! /// A seat of somebody who has joined.
//! #[interface]
//! pub trait Seat {
//!     /// Says something, and tells what all will hear.
//!     fn say(&self, text: String) -> Result<String, Fault>;
//! }
//!
//! #[derive(Clone)]
//! struct Den(usize);
//!
//! #[object]
//! impl Lobby for Den {
//!     fn join(&mut self, turn: &mut Turn<'_>, nick: String) -> SeatRef {
//!         self.0 += 1;
//!         SeatRef::spawn(turn, Chair(nick))
//!     }
//!
//!     fn count(&self) -> usize {
//!         self.0
//!     }
//! }
//!
//! struct Chair(String);
//!
//! #[object]
//! impl Seat for Chair {
//!     fn say(&self, text: String) -> Result<String, Fault> {
//!         Ok(format!("{}: {text}", self.0))
//!     }
//! }
//!
//! let hand = Manual::new();
//! let vat = Vat::new("den", hand.clone());
//! let lobby = LobbyRef::spawn_in(&vat, Den(0));
//!
//! // To the seat that the lobby will give, before it has.
//! let said: Answer<String> = lobby.join("ada").cap().say("hello");
//! hand.run_until_idle();
//! assert_eq!(said.wait().as_deref(), Ok("ada: hello"));
//!
//! // Within a turn, as a part of it.
//! let count = vat.run(move |turn| lobby.call(turn).count());
//! hand.run_until_idle();
//! assert_eq!(count.wait(), Ok(1));
//! ```
//!
//! # Outside of turns and inside
//!
//! | | sent | gives |
//! |---|---|---|
//! | `lobby.join("ada")` | at once | [`Answer<SeatRef>`](Answer) |
//! | `lobby.send_only_now().join("ada")` | at once | nothing, not even an answer's promise |
//! | `lobby.call(turn).join("ada")` | not sent: a call within the vat | `Result<SeatRef, Fault>` |
//! | `lobby.send(turn).join("ada")` | when the turn ends well | [`Answer<SeatRef>`](Answer) |
//! | `lobby.send_only(turn).join("ada")` | when the turn ends well | nothing |
//!
//! Within a turn use the last three: what is sent at once is not taken back when the
//! turn fails.
//!
//! A method is one turn and can't wait. One that has to answers with [`Answer<T>`](Answer),
//! which it has from another call, from [`Answer::on_promise`], or from an async block of
//! the vat, in which each resumption is a turn: [`Turn::spawn_async`](crate::Turn::spawn_async).
//!
//! # On the wire
//!
//! A message to a typed object is a symbol, the method's name, and its arguments in
//! order: `['join "ada"]`. So the other end need not be typed, nor be written in Rust.
//! A typed reference is a local convenience and proves nothing: arguments are checked
//! by the object, answers by the caller. What does not fit becomes a [`Fault`](crate::Fault) that
//! names method, parameter, what was expected and what was found.
//!
//! Nothing here needs macros: what they generate is a [`Behaviour`](crate::Behaviour)
//! that takes arguments by [`FromValue`](crate::FromValue) and a struct around a
//! [`Ref`]. The examples `chat` and `chat_by_hand` of `ocapn` are one program, with them
//! and without.
//!
//! # What is there
//!
//! An object answers to the method `describe`, unless it has one of its own or says
//! `#[object(describe = false)]`, with a struct: see [`Description`]. Ask with
//! [`describe`].

mod answer;
mod block;
mod description;
mod incoming;
mod mode;
mod outgoing;
mod returned;

pub use answer::{Answer, Answering};
pub use block::{Here, InTurn};
pub use description::{
    Description, Interface, Method, MethodDescription, Parameter, ParameterDescription, describe,
};
pub use mode::{Calling, Mode, Sending, SendingOnly, SendingOnlyNow};
pub use returned::{Become, Returned};

use crate::Ref;
use crate::convert::Passable;

/// A reference to an object with an interface: what
/// [`#[interface]`](macro@crate::interface) makes of a trait.
pub trait TypedRef: Passable + Clone + Send + Sync + 'static {
    /// The interface.
    const INTERFACE: &'static Interface;

    /// A reference that is said to be to an object with this interface, or to a
    /// promise for one. Nothing checks that: a call will show.
    fn from_ref(reference: Ref) -> Self;

    /// The reference without its type.
    fn untyped(&self) -> &Ref;
}

/// What generated code uses besides. No part of the interface of this crate.
#[doc(hidden)]
pub mod __private {
    pub use super::incoming::{Call, Incoming, changed};
    pub use super::outgoing::Outgoing;
    pub use super::{
        Answer, Calling, Interface, Method, Mode, Parameter, Returned, Sending, SendingOnly,
        SendingOnlyNow, TypedRef,
    };
    pub use crate::convert::fields::{FieldsIn, FieldsOut, alternatives, tag_of, tagged, within};
    pub use crate::convert::{FromValue, IntoValue, Mismatch, Type, Typed};
    pub use crate::persist::{Durable, RestoreError};
    pub use crate::{Args, Behaviour, Fault, Promise, Ref, Reply, Turn, Value, Vat};
}
