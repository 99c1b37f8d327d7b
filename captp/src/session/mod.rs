//! One connection to one peer: handshake, messages, tables, garbage, abort.
//!
//! A [`Session`] is fed bytes and commands and gives bytes and [`Event`]s. It has no
//! socket, clock or randomness of its own. After every input, drain
//! [`Session::poll_event`] until it is empty and send what
//! [`Session::poll_transmit`] gives.

mod flush;
mod handshake;
mod receive;
mod send;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use smol_str::SmolStr;
use syrup::Scanner;

pub use self::handshake::{Established, Proof};
pub use self::send::Unsent;
use crate::crypto::{PublicKey, SessionKey};
use crate::dialect::Dialect;
use crate::error::{LimitExceeded, SessionEnd};
use crate::handoff::{GiftId, HandoffGive, HandoffReceive, Signed};
use crate::limits::Limits;
use crate::locator::PeerLocator;
use crate::outbox::Outbox;
use crate::passable::Passable;
use crate::position::RemotePos;
use crate::runtime::Runtime;
use crate::tables::{Exported, ReferenceCounts, TableCounts, Tables};
use crate::value::Fatal;

/// How a session begins.
#[derive(Debug)]
pub struct SessionConfig {
    /// Where others reach us on this session's netlayer.
    pub location: PeerLocator,
    /// The session's key pair: fresh, used for nothing else.
    pub key: Arc<SessionKey>,
    /// Whom we dialled, or `None` if we were.
    pub dialled: Option<PeerLocator>,
    /// The designator that the netlayer proved the other side to have.
    pub proven: Option<String>,
    /// Whether an unproven claim counts as proof, as on netlayers for testing that
    /// can prove nothing.
    pub trust_claims: bool,
    /// What may be sent before the peer is heard.
    pub dialect: Dialect,
    /// The protocol version that we say we speak, and require.
    pub version: String,
    /// What the session may cost.
    pub limits: Limits,
    /// Experimental: whether `op:flush` (#277) is understood and may be sent. Without, it
    /// is an unknown operation. It is not known to keep the order that it is for.
    pub experimental_flush: bool,
}

impl SessionConfig {
    /// The version string of today's peers.
    pub const VERSION: &'static str = "1.0";

    /// A configuration with the defaults: an accepted connection, nothing proven.
    #[must_use]
    pub fn new(location: PeerLocator, key: SessionKey) -> Self {
        Self {
            location,
            key: Arc::new(key),
            dialled: None,
            proven: None,
            trust_claims: false,
            dialect: Dialect::UNHEARD,
            version: Self::VERSION.to_owned(),
            limits: Limits::default(),
            experimental_flush: false,
        }
    }
}

/// Something that happened in a session, for the runtime to act on, in order.
#[non_exhaustive]
pub enum Event<R: Runtime> {
    /// The handshake is done: calls may be made.
    Started(Box<Established>),
    /// A message for one of ours.
    Deliver {
        /// The object or promise that it is for.
        to: R::Ref,
        /// What it says.
        args: Vec<Passable<R::Ref>>,
        /// Who wants to know what comes of it, if anybody.
        question: Option<Question<R>>,
    },
    /// A message for the bootstrap object.
    Bootstrap {
        /// What it asks.
        call: BootstrapCall<R>,
        /// Who wants to know what comes of it, if anybody.
        question: Option<Question<R>>,
    },
    /// The peer gives us a third party's object. A message that the promise for it is
    /// in follows.
    Handoff {
        /// The gift.
        give: Box<Signed<HandoffGive>>,
        /// What settles the promise.
        resolver: R::Resolver,
    },
    /// The peer wants to be told when a promise of ours settles: `listener` gets
    /// `fulfill value` or `break reason`.
    Listen {
        /// The promise.
        to: R::Ref,
        /// Whom to tell.
        listener: R::Ref,
    },
    /// The peer asks for a part of the value of a promise of ours.
    Extract {
        /// The promise.
        from: R::Ref,
        /// Which part.
        part: Part,
        /// Where the part goes.
        question: Question<R>,
    },
    /// Experimental: the peer wants nothing more sent along a promise of its that
    /// `resolver` settles. Have it follow a new promise; then give the resolver of that
    /// to [`Session::confirm_flush`]. Comes only where
    /// [`SessionConfig::experimental_flush`] is set.
    Flush {
        /// The promise's resolver.
        resolver: R::Resolver,
        /// Whom to tell.
        confirm: R::Ref,
    },
    /// A promise of ours is settled by the peer, or by the end of the session.
    Settled {
        /// The promise's resolver.
        resolver: R::Resolver,
        /// The value, or the reason why it broke.
        outcome: Result<Passable<R::Ref>, Passable<R::Ref>>,
    },
    /// Something that always answers with nothing was asked: a resolver of ours.
    Acknowledge(Question<R>),
    /// Values that nobody looked at; dropping what they refer to is the runtime's.
    Unused(Vec<Passable<R::Ref>>),
    /// The peer no longer names these. Dropping them may run code of their owners'.
    Dropped(Vec<R::Ref>),
    /// The session is over. No event follows.
    Ended(SessionEnd),
}

/// What the bootstrap object, export 0, is asked (section "Bootstrap Object" of the
/// CapTP draft).
pub enum BootstrapCall<R: Runtime> {
    /// `fetch swiss-num`: the object with that swiss number.
    Fetch(Bytes),
    /// `deposit-gift id object`: a gift for somebody else.
    DepositGift(GiftId, R::Ref),
    /// `withdraw-gift handoff-receive`: a gift that somebody else left.
    WithdrawGift(Box<Signed<HandoffReceive>>),
    /// Anything else.
    Unknown(Vec<Passable<R::Ref>>),
}

/// A question of the peer's: a promise that it may already send messages to.
pub struct Question<R: Runtime> {
    /// The promise for the answer.
    pub promise: R::Ref,
    /// Its resolver.
    pub resolver: R::Resolver,
    /// Whom to tell when it settles, if anybody.
    pub listener: Option<R::Ref>,
}

/// Part of a value (`op:get`, `op:index`, `op:untag`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A struct's field.
    Field(SmolStr),
    /// A list's element, from 0.
    Index(u64),
    /// The content of a value with this tag.
    Tagged(SmolStr),
}

impl Part {
    /// The part of that value, if it has one.
    #[must_use]
    pub fn take_from<T>(&self, value: Passable<T>) -> Option<Passable<T>> {
        match (self, value) {
            (Self::Field(name), Passable::Struct(fields)) => {
                fields.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
            }
            (Self::Index(index), Passable::List(values)) => {
                usize::try_from(*index).ok().and_then(|index| values.into_iter().nth(index))
            }
            (Self::Tagged(tag), Passable::Tagged(tagged)) if tagged.tag == *tag => {
                Some(tagged.value)
            }
            _ => None,
        }
    }
}

/// Messages and bytes each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Operations received.
    pub messages_in: u64,
    /// Operations sent.
    pub messages_out: u64,
    /// Bytes received in whole messages.
    pub bytes_in: u64,
    /// Bytes handed over for sending.
    pub bytes_out: u64,
}

enum State {
    /// Our `op:start-session` is out, the peer's is not in.
    Greeting,
    Live,
    Ended,
}

/// One CapTP session. See the module's text for how to drive it.
pub struct Session<R: Runtime> {
    config: SessionConfig,
    state: State,
    dialect: Dialect,
    tables: Tables<R>,
    outbox: Outbox,
    scanner: Scanner,
    decoding: syrup::Options,
    events: VecDeque<Event<R>>,
    traffic: Traffic,
    /// Scratch: lengths of the whole messages in the read buffer.
    lengths: Vec<usize>,
    /// Gifts in the message being read.
    handoffs: Vec<(Signed<HandoffGive>, R::Resolver)>,
    established: Option<Established>,
    /// The peer has been shown that we are this crate.
    shown: bool,
    /// The count of our next withdrawal on this session.
    next_withdrawal: u64,
}

impl<R: Runtime> Session<R> {
    /// Begins a session: `op:start-session` is ready to be sent.
    #[must_use]
    pub fn new(config: SessionConfig) -> Self {
        let decoding = config.limits.decoding();
        let mut session = Self {
            state: State::Greeting,
            dialect: config.dialect,
            tables: Tables::new(config.limits),
            outbox: Outbox::default(),
            scanner: Scanner::new(&decoding),
            decoding,
            events: VecDeque::new(),
            traffic: Traffic::default(),
            lengths: Vec::new(),
            handoffs: Vec::new(),
            established: None,
            shown: false,
            next_withdrawal: 0,
            config,
        };
        session.greet();
        session
    }

    /// Takes the whole messages off the front of `input`, leaving a partial one.
    ///
    /// A fault ends the session: an [`Event::Ended`] says how.
    pub fn receive(&mut self, runtime: &mut R, input: &mut BytesMut) {
        if let Err(end) = self.try_receive(runtime, input) {
            self.end(*end);
        }
    }

    fn try_receive(&mut self, runtime: &mut R, input: &mut BytesMut) -> Result<(), Fatal> {
        let mut whole = 0;
        self.lengths.clear();
        let scanned = loop {
            match self.scanner.scan(input.get(whole..).unwrap_or_default()) {
                Ok(Some(length)) => {
                    whole += length;
                    self.lengths.push(length);
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if matches!(self.state, State::Greeting) {
            let limit = self.config.limits.greeting_size;
            if self.lengths.first().copied().unwrap_or(input.len()) > limit {
                return Err(LimitExceeded { name: "greeting_size", limit: limit as u64 }.into());
            }
        }
        // Most often everything there is, in a buffer of its size.
        let all = whole == input.len() && input.capacity() <= 2 * whole;
        let messages = if all { std::mem::take(input) } else { input.split_to(whole) }.freeze();
        let mut rest = &*messages;
        self.traffic.bytes_in += whole as u64;
        let lengths = std::mem::take(&mut self.lengths);
        for length in &lengths {
            if matches!(self.state, State::Ended) {
                return Ok(());
            }
            let (message, after) = rest.split_at_checked(*length).unwrap_or((rest, &[]));
            rest = after;
            self.traffic.messages_in += 1;
            self.receive_message(runtime, message, &messages)?;
        }
        self.lengths = lengths;
        // What came before the fault has been acted on.
        scanned.map_err(|error| Fatal::from(crate::wire::WireError::from(error)))
    }

    /// The connection has closed.
    pub fn disconnected(&mut self) {
        self.end(SessionEnd::Disconnected);
    }

    /// Ends the session from our side; the peer is told `reason`.
    pub fn close(&mut self, reason: impl Into<String>) {
        self.end(SessionEnd::Closed(reason.into()));
    }

    /// Ends the session from our side; of what is written and not yet taken for sending,
    /// the peer hears nothing, but `reason` unless the session is over.
    pub fn close_unsent(&mut self, reason: impl Into<String>) {
        self.outbox.clear();
        self.close(reason);
    }

    /// Ends the session over something found outside of it, such as a limit of the
    /// transport's.
    pub fn fail(&mut self, end: SessionEnd) {
        self.end(end);
    }

    fn end(&mut self, end: SessionEnd) {
        if matches!(self.state, State::Ended) {
            return;
        }
        if let Some(reason) = end.abort_reason() {
            self.send_abort(&reason);
        }
        self.state = State::Ended;
        let reason = Passable::error(end.to_string());
        let (exports, answers) = self.tables.clear();
        let mut dropped = Vec::new();
        for export in exports {
            match export {
                Exported::Reference { reference, .. } => dropped.push(reference),
                Exported::Resolver(Some(resolver)) => {
                    let outcome = Err(reason.clone());
                    self.events.push_back(Event::Settled { resolver, outcome });
                }
                Exported::Resolver(None) | Exported::Bootstrap | Exported::Idle => {}
            }
        }
        dropped.extend(answers);
        self.dropped(dropped);
        self.events.push_back(Event::Ended(end));
    }

    /// The next event, until there are none.
    pub fn poll_event(&mut self) -> Option<Event<R>> {
        self.events.pop_front()
    }

    /// Whether events wait.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// All events that wait, in order, moved to the end of `into`.
    pub fn take_events(&mut self, into: &mut VecDeque<Event<R>>) {
        if into.is_empty() {
            std::mem::swap(into, &mut self.events);
        } else {
            into.append(&mut self.events);
        }
    }

    /// Moves what is to be sent to the end of `out`. References let go of are
    /// announced along with whatever else is sent; with `idle`, when there is nothing
    /// better to do, also on their own.
    pub fn poll_transmit(&mut self, idle: bool, out: &mut VecDeque<Bytes>) {
        self.send_released(idle);
        self.traffic.bytes_out += self.outbox.len() as u64;
        self.outbox.take(out);
    }

    /// Whether [`Session::poll_transmit`] would give anything, with `idle` set.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.outbox.is_empty() || self.may_send_released()
    }

    /// Bytes written and not yet taken for sending.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.outbox.len()
    }

    /// The last reference made for this import, or question, in this generation is
    /// gone. Exactly once for each that was made.
    pub fn release(&mut self, pos: RemotePos, generation: u32) {
        if !matches!(self.state, State::Ended) {
            self.tables.release(pos, generation);
        }
    }

    /// Gives something of this session's peer's to a third party, whose key in its
    /// session with us is `receiver_key`. The caller deposits the gift under the same
    /// id. `None` unless the session is live.
    #[must_use]
    pub fn give(&self, receiver_key: PublicKey, gift: GiftId) -> Option<Signed<HandoffGive>> {
        let peer = self.established.as_ref().filter(|_| self.is_live())?;
        let give = HandoffGive {
            receiver_key,
            exporter: peer.location.clone(),
            session: peer.session_id,
            gifter_side: self.config.key.public().id(),
            gift,
        };
        Some(Signed::new(give, &self.config.key))
    }

    /// Asks this session's peer for a gift. `key` is ours in the session with the
    /// gifter. `None` unless the session is live.
    #[must_use]
    pub fn withdraw(
        &mut self,
        give: Signed<HandoffGive>,
        key: &SessionKey,
    ) -> Option<Signed<HandoffReceive>> {
        let peer = self.established.as_ref().filter(|_| matches!(self.state, State::Live))?;
        let receive = HandoffReceive {
            session: peer.session_id,
            receiver_side: self.config.key.public().id(),
            count: self.next_withdrawal,
            give,
        };
        self.next_withdrawal += 1;
        Some(Signed::new(receive, key))
    }

    /// Our key pair in this session.
    #[must_use]
    pub fn key(&self) -> Arc<SessionKey> {
        Arc::clone(&self.config.key)
    }

    /// Whether calls may be made.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.state, State::Live)
    }

    /// Whether nothing is under way: no reference, question or answer in any table,
    /// and nothing to be sent.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.outbox.is_empty() && self.tables.counts() == TableCounts::default()
    }

    /// Whether the session is over.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Messages and bytes so far.
    #[must_use]
    pub const fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// How full the tables are.
    #[must_use]
    pub fn table_counts(&self) -> TableCounts {
        self.tables.counts()
    }

    /// What the peer holds of ours.
    pub fn exports(&self) -> impl Iterator<Item = &R::Ref> {
        self.tables.exported_references()
    }

    /// What the peer may name, by what it calls it: what it holds of ours, and the answers
    /// that it may still send messages to. For tests and simulations.
    pub fn named(&self) -> impl Iterator<Item = (RemotePos, &R::Ref)> {
        self.tables.named()
    }

    /// How often each reference was sent and received. For tests and simulations.
    #[must_use]
    pub fn reference_counts(&self) -> ReferenceCounts {
        self.tables.reference_counts()
    }

    /// Checks the invariants of the tables. For tests and simulations.
    ///
    /// # Errors
    ///
    /// Says which invariant is broken.
    pub fn check(&self) -> Result<(), String> {
        self.tables.check()
    }

    /// The tables in words, for people.
    #[must_use]
    pub fn dump(&self) -> String {
        self.tables.dump()
    }
}
