//! References: capabilities to send to, near or far, settled or not. Owns [`Ref`],
//! [`WeakRef`] and [`Identity`].

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

use captp::{ImportPos, RemotePos};

use crate::cell::{Listener, Outcome, PromiseCell, Settled};
use crate::ids::ActorId;
use crate::link::{Link, RemoteCell};
use crate::promise::{Message, Promise, Resolver, promise};
use crate::route::Route;
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering, lock};
use crate::trace;
use crate::vat::VatCore;
use crate::{Args, Fault, Value};

/// A capability: holding it is the right to send to what it designates, an actor of
/// this process, something at a peer, or a promise for either.
///
/// Cheap to clone, and free to move between threads. When the last clone is
/// dropped, the actor's vat lets the actor go, or the peer is told. Equality and
/// hash are those of this very reference and never change: a promise does not equal
/// what it settles to ([`Ref::identity`] sees through).
#[derive(Clone)]
pub struct Ref(pub(crate) Kind);

#[derive(Clone)]
pub(crate) enum Kind {
    Actor(Arc<ActorCell>),
    Promise(Arc<PromiseCell>),
    Resolver(Arc<ResolverCell>),
    Remote(Arc<RemoteCell>),
}

/// What a reference designates at this moment, for those who must name it to a
/// peer.
pub enum Identity<'a> {
    /// Something of this process.
    Local {
        /// The same for all references that designate it; no other thing has this
        /// key while any of them lives.
        key: usize,
        /// Whether it is a promise: unsettled, or broken.
        promise: bool,
    },
    /// Something at a peer.
    Remote {
        /// The session.
        link: &'a Arc<dyn Link>,
        /// Where in its tables.
        pos: RemotePos,
        /// As for [`Identity::Local`]: what tells it from all others that live.
        key: usize,
        /// Whether it is an unsettled promise.
        promise: bool,
    },
    /// A promise fulfilled with plain data: pass this value instead.
    Value(&'a Value),
}

/// An actor's place in its vat.
pub(crate) struct ActorCell {
    pub(crate) vat: Arc<VatCore>,
    id: AtomicU64,
    /// Its number in a durable vat, for ever; 0 in others.
    pub(crate) object: u64,
}

const USED_UP: &str = "the promise has been resolved already";

/// A resolver that is a capability, until it is used.
pub(crate) struct ResolverCell(pub(crate) Mutex<Option<Resolver>>);

impl ActorCell {
    pub(crate) fn new(vat: Arc<VatCore>, id: Option<ActorId>, object: u64) -> Self {
        Self { vat, id: AtomicU64::new(id.unwrap_or(ActorId::NONE).to_bits()), object }
    }

    /// The actor's name in the vat's map, or one that names none while it has no place
    /// there. Only the vat's strand sets it.
    pub(crate) fn id(&self) -> ActorId {
        ActorId::from_bits(self.id.load(Ordering::Relaxed))
    }

    pub(crate) fn place(&self, id: ActorId) {
        self.id.store(id.to_bits(), Ordering::Relaxed);
    }
}

impl Drop for ActorCell {
    fn drop(&mut self) {
        if let Some(home) = self.vat.home() {
            home.forget(self);
        }
        let id = self.id();
        if id != ActorId::NONE {
            self.vat.discard(id);
        }
    }
}

impl ResolverCell {
    /// What a message to a resolver says.
    fn read(args: &[Value]) -> Result<Outcome, Fault> {
        let (Some(Value::Symbol(verb)), None) = (args.first(), args.get(2)) else {
            return Err("a resolver expects fulfill or break and one value".into());
        };
        let value = args.get(1).cloned().unwrap_or_default();
        match verb.as_str() {
            "fulfill" => Ok(Ok(value)),
            "break" => Ok(Err(value.into())),
            _ => Err("a resolver understands only fulfill and break".into()),
        }
    }

    /// Whether the message would be understood, and the resolver is not used up.
    pub(crate) fn check(&self, args: &[Value]) -> Result<(), Fault> {
        drop(Self::read(args)?);
        match *self.lock() {
            Some(_) => Ok(()),
            None => Err(USED_UP.into()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Resolver>> {
        lock(&self.0)
    }

    fn deliver(&self, message: Message) {
        let done = Self::read(&message.args).and_then(|outcome| {
            let taken = self.lock().take();
            taken.ok_or(USED_UP)?.resolve(outcome);
            Ok(Value::Undefined)
        });
        if let Some(answer) = message.answer {
            answer.resolve(done);
        }
    }
}

/// Whether the value is a reference that can be sent to as it is (`live-refr?`).
#[must_use]
pub const fn is_live(value: &Value) -> bool {
    matches!(value, Value::Ref(_))
}

/// Whether the value names something that has to be enlivened first (`sturdy-refr?`).
#[must_use]
pub const fn is_sturdy(value: &Value) -> bool {
    matches!(value, Value::Sturdyref(_))
}

impl Ref {
    /// A reference to an object that a peer has exported. The link is told with
    /// [`Link::release`] when the last clone is gone.
    #[must_use]
    pub fn remote_object(link: Arc<dyn Link>, pos: ImportPos, generation: u32) -> Self {
        Self(Kind::Remote(Arc::new(RemoteCell { link, pos, generation })))
    }

    /// A reference to a promise that a peer has exported. Messages go to it at once;
    /// the peer is asked what it settles to only when somebody here wants to know.
    #[must_use]
    pub fn remote_promise(link: Arc<dyn Link>, pos: ImportPos, generation: u32) -> Self {
        let route = Route::new(link, RemotePos::Import(pos), generation, None);
        Self(Kind::Promise(Arc::new(PromiseCell::routed(route))))
    }

    /// Sends a message (`<-`) and gives the promise of the answer.
    ///
    /// From within a turn use [`Turn::send`](crate::Turn::send): this one leaves at
    /// once, even if the turn fails.
    pub fn send(&self, args: Args) -> Promise {
        let (promise, resolver) = promise();
        self.deliver(args, Some(resolver));
        promise
    }

    /// Sends a message and wants no answer (`<-np`).
    pub fn send_only(&self, args: Args) {
        self.deliver(args, None);
    }

    /// Sends a message whose answer goes to a resolver: what the other ways to send
    /// are made of.
    pub fn deliver(&self, args: Args, answer: Option<Resolver>) {
        self.deliver_message(Message::new(args, answer, trace::current()));
    }

    pub(crate) fn deliver_message(&self, message: Message) {
        match &self.0 {
            Kind::Actor(cell) => cell.vat.post_message(cell, message),
            Kind::Promise(cell) => cell.deliver(message),
            Kind::Resolver(cell) => cell.deliver(message),
            Kind::Remote(cell) => cell.deliver(message),
        }
    }

    /// Resolves the resolver with what this reference settles to. Anything that is
    /// not a promise is settled, to itself.
    pub fn listen(&self, resolver: Resolver) {
        self.listen_with(Listener::Resolver(resolver));
    }

    /// Sends the resolver `['fulfill value]` or `['break error]` when this reference
    /// settles, at once if it has. The resolver is a capability, such as
    /// [`Resolver::into_ref`] gives, or one of a peer's.
    pub fn tell(&self, resolver: Self) {
        self.listen_with(Listener::Peer(resolver));
    }

    /// Calls back with what this reference settles to, at once if it has. The
    /// callback runs on the thread that settles it, with no lock held, and must be
    /// quick.
    pub fn when_settled(&self, callback: impl FnOnce(Result<Value, Fault>) + Send + 'static) {
        self.listen_with(Listener::Callback(Box::new(callback)));
    }

    pub(crate) fn listen_with(&self, listener: Listener) {
        match &self.0 {
            Kind::Promise(cell) => cell.listen(listener),
            _ => listener.tell(Ok(Value::Ref(self.clone()))),
        }
    }

    /// What the promise has settled to, if it has; for anything else, itself.
    #[must_use]
    pub fn outcome(&self) -> Option<Result<Value, Fault>> {
        match &self.0 {
            Kind::Promise(cell) => cell.end().settled().map(Settled::outcome),
            _ => Some(Ok(Value::Ref(self.clone()))),
        }
    }

    /// Whether this is a promise that has not settled.
    #[must_use]
    pub fn is_promise(&self) -> bool {
        matches!(&self.0, Kind::Promise(cell) if cell.end().settled().is_none())
    }

    /// Whether this designates something of this process. A promise does by what it
    /// settled to, before that by who will settle it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self.identity(), Identity::Local { .. })
    }

    /// Whether this designates something at a peer.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        matches!(self.identity(), Identity::Remote { .. })
    }

    /// What this designates now, seeing through settled promises. Takes no lock.
    ///
    /// The identity of an unsettled promise changes when it settles, once for each
    /// promise on the way.
    #[must_use]
    pub fn identity(&self) -> Identity<'_> {
        match &self.0 {
            Kind::Actor(cell) => Identity::Local { key: address(cell), promise: false },
            Kind::Resolver(cell) => Identity::Local { key: address(cell), promise: false },
            Kind::Remote(cell) => Identity::Remote {
                link: &cell.link,
                pos: RemotePos::Import(cell.pos),
                key: address(cell),
                promise: false,
            },
            Kind::Promise(cell) => {
                let end = cell.end();
                match (end.settled(), end.route()) {
                    (Some(Settled::Fulfilled(Value::Ref(target))), _) => target.identity(),
                    (Some(Settled::Fulfilled(value)), _) => Identity::Value(value),
                    (None, Some(route)) => Identity::Remote {
                        link: &route.link,
                        pos: route.pos,
                        key: address(end),
                        promise: true,
                    },
                    _ => Identity::Local { key: address(end), promise: true },
                }
            }
        }
    }

    /// The local actor that this is, seeing through settled promises.
    pub(crate) fn actor(&self) -> Option<&Arc<ActorCell>> {
        match &self.0 {
            Kind::Actor(cell) => Some(cell),
            Kind::Promise(cell) => match cell.end().settled() {
                Some(Settled::Fulfilled(Value::Ref(Self(Kind::Actor(cell))))) => Some(cell),
                _ => None,
            },
            _ => None,
        }
    }

    /// A reference that does not keep what it designates.
    #[must_use]
    pub fn downgrade(&self) -> WeakRef {
        WeakRef(match &self.0 {
            Kind::Actor(cell) => WeakKind::Actor(Arc::downgrade(cell)),
            Kind::Promise(cell) => WeakKind::Promise(Arc::downgrade(cell)),
            Kind::Resolver(cell) => WeakKind::Resolver(Arc::downgrade(cell)),
            Kind::Remote(cell) => WeakKind::Remote(Arc::downgrade(cell)),
        })
    }

    /// Where the reference itself is: the same for its clones, and for no other while any
    /// of them, or a [`WeakRef`], is there.
    pub(crate) fn address(&self) -> usize {
        match &self.0 {
            Kind::Actor(cell) => address(cell),
            Kind::Promise(cell) => address(cell),
            Kind::Resolver(cell) => address(cell),
            Kind::Remote(cell) => address(cell),
        }
    }
}

fn address<T>(cell: &Arc<T>) -> usize {
    Arc::as_ptr(cell).addr()
}

impl PartialEq for Ref {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

impl Eq for Ref {}

impl Hash for Ref {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}

impl fmt::Debug for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Actor(cell) => {
                write!(f, "Ref(actor {:x} of vat {})", address(cell), cell.vat.name())
            }
            Kind::Resolver(cell) => write!(f, "Ref(resolver {:x})", address(cell)),
            Kind::Remote(cell) => write!(f, "Ref({cell:?})"),
            Kind::Promise(cell) => match self.outcome() {
                None => write!(f, "Ref(promise {:x})", address(cell)),
                Some(Ok(value)) => write!(f, "Ref(promise of a {})", value.kind()),
                Some(Err(fault)) => write!(f, "Ref(broken promise: {fault})"),
            },
        }
    }
}

impl fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { key, promise } => {
                f.debug_struct("Local").field("key", key).field("promise", promise).finish()
            }
            Self::Remote { link, pos, promise, .. } => f
                .debug_struct("Remote")
                .field("link", &link.key())
                .field("pos", pos)
                .field("promise", promise)
                .finish(),
            Self::Value(value) => f.debug_tuple("Value").field(value).finish(),
        }
    }
}

impl From<Ref> for Value {
    fn from(reference: Ref) -> Self {
        Self::Ref(reference)
    }
}

impl From<&Ref> for Value {
    fn from(reference: &Ref) -> Self {
        Self::Ref(reference.clone())
    }
}

impl From<Promise> for Value {
    fn from(promise: Promise) -> Self {
        Self::Ref(promise.0)
    }
}

impl From<&Promise> for Value {
    fn from(promise: &Promise) -> Self {
        Self::Ref(promise.0.clone())
    }
}

/// A reference that does not keep what it designates, for tables of what is in use.
#[derive(Clone)]
pub struct WeakRef(WeakKind);

#[derive(Clone)]
enum WeakKind {
    Actor(Weak<ActorCell>),
    Promise(Weak<PromiseCell>),
    Resolver(Weak<ResolverCell>),
    Remote(Weak<RemoteCell>),
}

impl WeakRef {
    /// The reference, if any clone of it is left.
    #[must_use]
    pub fn upgrade(&self) -> Option<Ref> {
        Some(Ref(match &self.0 {
            WeakKind::Actor(cell) => Kind::Actor(cell.upgrade()?),
            WeakKind::Promise(cell) => Kind::Promise(cell.upgrade()?),
            WeakKind::Resolver(cell) => Kind::Resolver(cell.upgrade()?),
            WeakKind::Remote(cell) => Kind::Remote(cell.upgrade()?),
        }))
    }
}

impl fmt::Debug for WeakRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakRef")
    }
}
