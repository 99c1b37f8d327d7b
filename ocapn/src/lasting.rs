//! References that heal by themselves: actors that stand for what a sturdyref names,
//! whichever session leads there just now. Owns [`Lasting`] and what users see of it.

mod line;
mod lines;
mod unreachable;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use captp::locator::Sturdyref;
use vat_runtime::persist::{Backoff, Environment, EnvironmentError, RestoreError};
use vat_runtime::{Args, Behaviour, Clock, Fault, Ref, Reply, Turn, Value, Vat};

use crate::Node;
use crate::hub::Hub;

use self::line::Line;
pub(crate) use self::lines::Lines;
pub use self::unreachable::Unreachable;

/// What a [`Lasting`] may cost, and how long it tries.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastingLimits {
    /// How long a message waits for its peer before its answer breaks with
    /// [`Unreachable::Away`]. Default 30 s.
    pub patience: Duration,
    /// How many messages may wait; further ones break with [`Unreachable::Full`]. All that
    /// stand for the same sturdyref at a node count together. Default 1,024.
    pub waiting: usize,
    /// How long to wait between two tries, of which a random part of up to a half is left
    /// out. There is no last try: [`Backoff::tries`] does not count. A session that has
    /// lasted four times [`Backoff::first`] is had again at once. Default from 250 ms to
    /// 15 s.
    pub backoff: Backoff,
}

impl Default for LastingLimits {
    fn default() -> Self {
        let backoff = Backoff::default().most(Duration::from_secs(15));
        Self { patience: Duration::from_secs(30), waiting: 1024, backoff }
    }
}

impl LastingLimits {
    /// The same with another [`LastingLimits::patience`].
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The same with another [`LastingLimits::waiting`].
    #[must_use]
    pub const fn waiting(mut self, waiting: usize) -> Self {
        self.waiting = waiting;
        self
    }

    /// The same with another [`LastingLimits::backoff`].
    #[must_use]
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }
}

/// An actor that stands for a peer's object, by its sturdyref, and passes on all messages
/// in order. Spawn it in any vat of the node:
///
/// ```
/// # use ocapn::netlayers::LoopbackNetwork;
/// # use ocapn::{Args, Fault, Lasting, Node, Reply, Turn};
/// # fn greet(_turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
/// #     Ok(Reply::value("Hello!"))
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let network = LoopbackNetwork::new();
/// # let ada = Node::builder().netlayer(network.netlayer("ada")?).start();
/// # let ben = Node::builder().netlayer(network.netlayer("ben")?).start();
/// # let sturdyref = ada.mint(&ada.vat("greeters").spawn(greet))?;
/// let greeter = ben.vat("friends").spawn(Lasting::new(&ben, sturdyref));
/// assert_eq!(greeter.send(vec![]).await?, "Hello!".into());
/// # Ok(())
/// # }
/// ```
///
/// - While there is no session with the peer, messages wait in order and the sturdyref is
///   enlivened, again and again: with a pause that grows ([`LastingLimits::backoff`]), or
///   as soon as a session with the peer comes up for any other reason, such as that it
///   dials us: also where it was not noticed yet that the one before is dead.
/// - Each message is delivered at most once. Those that were on their way when the session
///   ended break with how it ended, and nobody knows whether they have arrived, or will
///   yet: a peer may come to read them after what is sent by the next session. All others
///   arrive in order.
/// - A message that has waited for [`LastingLimits::patience`] breaks. Where the peer
///   refuses, or is not who the sturdyref names, all that wait break at once. Such faults
///   are told from those of the object by [`Unreachable::of`]. The next message tries anew.
/// - Messages may be sent to the answers at once. They are pipelined.
/// - A turn that fails has sent nothing.
/// - Its portrait is the sturdyref, also while the peer is away: see [`Lasting::kind`].
///
/// A reference to it that is given to somebody leads here, not to the object: it is of use
/// to them for as long as they reach this node, and [`Node::session_of`] has no session for
/// it. Give them the sturdyref, or [`LastingState::object`], for them to reach the object
/// directly.
pub struct Lasting {
    line: Arc<Line>,
    limits: LastingLimits,
}

impl Lasting {
    /// One that is enlivened when the first message comes.
    #[must_use]
    pub fn new(node: &Node, sturdyref: Sturdyref) -> Self {
        let place = Place::of(node);
        let line = Line::of(node.hub(), &place.clock, sturdyref);
        Self { line, limits: LastingLimits::default() }
    }

    /// The same, with a reference to the object that is at hand already: nothing is
    /// enlivened before its session ends. If it is not one that is live, it is not used.
    #[must_use]
    pub fn of(node: &Node, live: &Ref, sturdyref: Sturdyref) -> Self {
        let lasting = Self::new(node, sturdyref);
        lasting.line.adopt(live);
        lasting
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: LastingLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The same, enlivened from now on and whenever the session has ended, also without a
    /// message. It goes on trying for as long as it is there.
    #[must_use]
    pub fn keep_up(self) -> KeptUp {
        self.line.keep_up(&self.limits.backoff);
        KeptUp { lasting: self }
    }

    /// What names the object.
    #[must_use]
    pub fn sturdyref(&self) -> &Sturdyref {
        self.line.sturdyref()
    }

    /// Has actors of durable vats be stored: those of [`Lasting::new`] under the name, and
    /// those of [`Lasting::keep_up`] under the name with `-kept-up` after it. The latter are
    /// enlivened as soon as their vat is open. All that come back have these limits.
    ///
    /// # Errors
    ///
    /// As [`Environment::kind`].
    pub fn kind<'e>(
        environment: &'e mut Environment,
        name: &str,
        node: &Node,
        limits: &LastingLimits,
    ) -> Result<&'e mut Environment, EnvironmentError> {
        let place = Arc::new(Place::of(node));
        let restore = {
            let limits = limits.clone();
            move |portrait| place.restore(portrait, limits.clone())
        };
        let kept_up = format!("{name}-kept-up");
        let portray = |kept: &KeptUp| kept.lasting.portray();
        let again = restore.clone();
        environment
            .kind_with(name, 1, Self::portray, restore)?
            .kind_with(&kept_up, 1, portray, move |portrait| Ok(again(portrait)?.keep_up()))?
            .awake(&kept_up)
    }

    fn portray(&self) -> Value {
        self.sturdyref().clone().into()
    }
}

impl fmt::Debug for Lasting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lasting").field("sturdyref", self.sturdyref()).finish_non_exhaustive()
    }
}

impl Behaviour for Lasting {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let (answer, resolver) = turn.promise();
        let (line, limits) = (self.line.clone(), self.limits.clone());
        // In its place among what the turn sends, and not if it fails.
        let (ended, end) = turn.promise();
        ended.when_settled(move |outcome| {
            if outcome.is_ok() {
                line.forward(args, resolver, &limits);
            }
        });
        turn.resolve(end, Ok(().into()));
        Ok(answer.into())
    }
}

/// A [`Lasting`] that is enlivened without being asked: [`Lasting::keep_up`].
#[derive(Debug)]
pub struct KeptUp {
    lasting: Lasting,
}

impl KeptUp {
    /// What names the object.
    #[must_use]
    pub fn sturdyref(&self) -> &Sturdyref {
        self.lasting.sturdyref()
    }
}

impl Behaviour for KeptUp {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        self.lasting.receive(turn, args)
    }
}

impl Drop for KeptUp {
    fn drop(&mut self) {
        self.lasting.line.let_go();
    }
}

/// How a [`Lasting`] stands: what its owner, who knows the sturdyref, may ask the node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LastingState {
    /// The object, if it is connected: see [`Node::session_of`] for who is behind it.
    pub object: Option<Ref>,
    /// Since when it is connected, or is not.
    pub since: SystemTime,
    /// How many messages wait.
    pub waiting: usize,
    /// What went wrong last, if anything has.
    pub last_error: Option<String>,
}

impl LastingState {
    /// Whether messages go through.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.object.is_some()
    }
}

impl Node {
    /// Spawns a [`Lasting`] with the default limits.
    pub fn lasting(&self, vat: &Vat, sturdyref: &Sturdyref) -> Ref {
        vat.spawn(Lasting::new(self, sturdyref.clone()))
    }

    /// How what stands for this sturdyref is doing: all [`Lasting`]s of the node for the
    /// same sturdyref share one connection. `None` if there is none, or it is stored and
    /// has not been used since.
    #[must_use]
    pub fn lasting_state(&self, sturdyref: &Sturdyref) -> Option<LastingState> {
        Some(self.hub().lines().find(self.hub(), sturdyref)?.describe())
    }
}

/// What is needed of a node, without keeping it.
struct Place {
    hub: Weak<Hub>,
    clock: Arc<dyn Clock>,
}

impl Place {
    fn of(node: &Node) -> Self {
        Self { hub: node.hub().handle(), clock: node.clock() }
    }

    fn restore(&self, portrait: Value, limits: LastingLimits) -> Result<Lasting, RestoreError> {
        let Value::Sturdyref(sturdyref) = portrait else {
            return Err(RestoreError::new("a lasting reference is a sturdyref"));
        };
        let hub = self.hub.upgrade().ok_or_else(|| RestoreError::new("its node has ended"))?;
        Ok(Lasting { line: Line::of(&hub, &self.clock, *sturdyref), limits })
    }
}
