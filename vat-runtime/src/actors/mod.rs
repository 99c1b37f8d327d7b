//! The actor library: actors that programs are put together from.
//!
//! Methods are named as Spritely Goblins names them where it has the same actor.
//! Each kind is a behaviour to [`Turn::spawn`](crate::Turn::spawn), or a function that
//! spawns what belongs together. What a peer can make grow has a limit with a default
//! ([`DEFAULT_ENTRIES`]) and a setting. Those with state are
//! [`Durable`](crate::Durable), under the names of [`environment()`], unless they say why
//! not. Those with methods answer to `describe`.
//!
//! | to hold things | |
//! |---|---|
//! | [`Cell`], [`ReadOnlyCell`], [`WriteOnlyCell`] | one value, and facets of it |
//! | [`Kv`], [`Ghash`] | values by name; by any value |
//! | [`Set`], [`Vector`], [`Queue`], [`RingBuffer`] | |
//! | [`mint()`], [`withdraw`] | money in purses |
//! | [`nonce_registry()`] | objects by numbers that nobody guesses |
//!
//! | to pass messages on | |
//! |---|---|
//! | [`inbox()`] | messages to be read, perhaps before they are written |
//! | [`pubsub()`] | to all that have subscribed |
//! | [`ticker()`] | to all that live, once a tick |
//! | [`swappable()`], [`pushdown()`] | to a target that changes |
//! | [`call_or_send`] | `$` to what is near, `<-` to what is not |
//!
//! | to give away less than one has | |
//! |---|---|
//! | [`Facet`] | some methods |
//! | [`attenuate()`] | some methods, so many times, so often, until then, until revoked |
//! | [`revocable`], [`Membrane`] | everything that is reached through it, too; logged |
//! | [`sealers()`] | what others carry and only one opens |
//! | [`ward()`], [`warding_pair`], [`enchant`] | methods that only an incanter reaches |
//!
//! | to wait | |
//! |---|---|
//! | [`all_of`], [`any`], [`race`] | for several promises; of [`Promise`](crate::Promise) outside turns |
//! | [`timeout`], [`interval`], [`Timer`], [`UnixClock`] | for a time |
//! | [`Io`], [`after_turn`] | for what would block, and for what is to be done once a turn holds |

mod arguments;
mod attenuate;
mod cell;
mod effect;
mod environment;
mod facet;
mod ghash;
mod inbox;
mod io;
mod joiners;
mod kv;
mod membrane;
mod mint;
mod nonce_registry;
mod opportunistic;
mod pubsub;
mod pushdown;
mod queue;
mod ring_buffer;
mod sealers;
mod set;
mod swappable;
mod table;
mod ticker;
mod timers;
mod vector;
mod ward;

pub use attenuate::{Attenuation, Refusal, attenuate};
pub use cell::{Cell, ReadOnlyCell, WriteOnlyCell};
pub use effect::after_turn;
pub use environment::environment;
pub use facet::Facet;
pub use ghash::Ghash;
pub use inbox::{DEFAULT_INBOX, inbox};
pub use io::Io;
pub use joiners::{all_of, any, race};
pub use kv::Kv;
pub use membrane::{Membrane, revocable};
pub use mint::{mint, withdraw};
pub use nonce_registry::nonce_registry;
pub use opportunistic::call_or_send;
pub use pubsub::{pubsub, pubsub_with_limit};
pub use pushdown::pushdown;
pub use queue::Queue;
pub use ring_buffer::RingBuffer;
pub use sealers::sealers;
pub use set::Set;
pub use swappable::swappable;
pub use table::DEFAULT_ENTRIES;
pub use ticker::ticker;
pub use timers::{Timer, UnixClock, interval, timeout};
pub use vector::Vector;
pub use ward::{enchant, ward, warding_pair};
