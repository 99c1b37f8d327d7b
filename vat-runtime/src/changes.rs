//! What a turn has changed and wants done, and how that is committed or undone. Owns
//! [`Changes`], the one engine by which vats and actormaps run turns, and the
//! [`Keeper`] that is told of what turns come to.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::behaviour::Behaviour;
use crate::cell::{Listener, Outcome};
use crate::ids::ActorId;
use crate::job::Handler;
use crate::promise::{Message, Resolver};
use crate::reference::{ActorCell, Kind, Ref};
use crate::slab::{Journal, Slab};
use crate::trace::{Cause, Event, Ring, TurnId};
use crate::turn::Turn;
use crate::vat::VatCore;
use crate::{Args, Fault, Value};

/// The vat's actors and what the turn has done so far. Outside turns there is
/// nothing but the actors.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) actors: Slab,
    pub(crate) journal: Journal,
    pub(crate) effects: Vec<Effect>,
    /// Calls that have begun and not returned. Left over only by a panic.
    pub(crate) open_calls: usize,
    /// How many turns there have been.
    pub(crate) turns: u64,
    /// Whom the turn has called, if anybody wants to know.
    pub(crate) called: Option<Vec<ActorId>>,
    /// What a failed call did is not taken back.
    pub(crate) reckless: bool,
    keeper: Option<Box<dyn Keeper>>,
    log: Option<Box<Ring>>,
    past: Past,
}

/// What the last turns have changed.
#[derive(Default)]
struct Past {
    /// How many turns to remember.
    limit: usize,
    turns: VecDeque<(u64, Journal)>,
    /// The last turn that is forgotten.
    forgotten: u64,
}

/// What happens outside the vat's map once the turn ends well.
pub(crate) enum Effect {
    Send(Ref, Message),
    Resolve(Resolver, Box<Outcome>),
    Listen(Ref, Box<Handler>),
    /// A handler of something that is no promise and no reference.
    Handle(Box<Handler>),
}

impl Effect {
    /// Whether this is a message from the vat to itself.
    fn stays_in(&self, vat: &Arc<VatCore>) -> bool {
        matches!(self, Self::Send(Ref(Kind::Actor(cell)), _) if Arc::ptr_eq(&cell.vat, vat))
    }

    pub(crate) fn perform(self) {
        match self {
            Self::Send(to, message) => to.deliver_message(message),
            Self::Resolve(resolver, outcome) => resolver.resolve(*outcome),
            Self::Listen(target, handler) => target.listen_with(Listener::Handler(handler)),
            Self::Handle(handler) => handler.post(),
        }
    }

    /// It will not happen.
    pub(crate) fn refuse(self, fault: &Fault) {
        match self {
            Self::Send(_, message) => message.refuse(|| fault.clone()),
            Self::Resolve(resolver, _) => resolver.break_with(fault.clone()),
            Self::Listen(_, handler) | Self::Handle(handler) => handler.refuse(fault),
        }
    }
}

/// Keeps what the turns of a vat come to: on a disk, for instance.
///
/// It is told of each turn before anybody else can know that the turn has ended, on
/// the vat's strand and in the order of the turns. Without one, nothing is spent.
pub(crate) trait Keeper: Send {
    /// A turn has ended. One that failed has changed nothing.
    fn turn_ended(&mut self, turn: Ended<'_>);

    /// An actor is gone, since nothing refers to it.
    fn actor_gone(&mut self, id: ActorId);

    /// An actor was made in the turn that has not ended yet.
    fn spawned(&mut self, id: ActorId, cell: &Arc<ActorCell>);

    /// An actor was put in place that the keeper knows of already.
    fn installed(&mut self, id: ActorId, cell: &Arc<ActorCell>, behaviour: &dyn Behaviour);

    /// An actor is about to handle a message.
    fn used(&mut self, id: ActorId);

    /// The behaviour of an actor that sleeps.
    fn wake(&mut self, cell: &ActorCell) -> Result<Arc<dyn Behaviour>, Fault>;

    /// Actors that are to sleep from now on. Called between turns.
    fn drowsy(&mut self) -> Vec<ActorId>;
}

/// A turn that has ended.
pub(crate) struct Ended<'a> {
    actors: &'a Slab,
    journal: &'a Journal,
}

/// What became of an actor in a turn.
pub(crate) struct Changed {
    pub(crate) id: ActorId,
    /// What it is now.
    pub(crate) behaviour: Arc<dyn Behaviour>,
}

impl Ended<'_> {
    /// Each actor that the turn has changed, once.
    pub(crate) fn changes(&self) -> impl Iterator<Item = Changed> {
        let changed = self.journal.before(0).into_iter();
        changed.filter_map(|(id, _)| Some(Changed { id, behaviour: self.actors.get(id)? }))
    }
}

/// Does what a turn wanted done, in the order of the program.
fn perform_all(effects: impl Iterator<Item = Effect>, vat: &Arc<VatCore>) {
    let mut effects = effects.peekable();
    loop {
        // What goes to this vat without anything else in between goes together.
        if effects.peek().is_some_and(|effect| effect.stays_in(vat)) {
            vat.post_messages(|| match effects.next_if(|effect| effect.stays_in(vat)) {
                Some(Effect::Send(Ref(Kind::Actor(cell)), message)) => Some((cell, message)),
                _ => None,
            });
        }
        match effects.next() {
            Some(effect) => effect.perform(),
            None => return,
        }
    }
}

/// A point of a turn to go back to.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) journal: usize,
    effects: usize,
}

impl Mark {
    /// Where turns begin.
    pub(crate) const START: Self = Self { journal: 0, effects: 0 };
}

impl Changes {
    pub(crate) const fn mark(&self) -> Mark {
        Mark { journal: self.journal.mark(), effects: self.effects.len() }
    }

    /// The same with a log of so many turns, and what so many have changed.
    pub(crate) fn remembering(mut self, log: usize, history: usize) -> Self {
        self.log = Ring::of(log);
        self.past.limit = history;
        self
    }

    /// Notes in the log that a turn is about to begin.
    pub(crate) fn begin(
        &mut self,
        vat: &VatCore,
        cause: Cause,
        me: Option<&Arc<ActorCell>>,
        args: &[Value],
    ) {
        if let Some(log) = &mut self.log {
            let turn = TurnId { vat: vat.id(), turn: self.turns + 1 };
            log.begin(turn, cause, me.map(|cell| cell.id()), &self.actors, args);
        }
    }

    /// What the log has.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.log.as_ref().map_or_else(Vec::new, |log| log.events())
    }

    /// Makes what the turn has changed final.
    pub(crate) fn settle(&mut self) {
        let Self { journal, past, turns, .. } = self;
        if past.limit > 0 && journal.mark() > 0 {
            if past.turns.len() >= past.limit
                && let Some((forgotten, _)) = past.turns.pop_front()
            {
                past.forgotten = forgotten;
            }
            past.turns.push_back((*turns, std::mem::take(journal)));
        }
        journal.commit();
    }

    /// Calls an actor as everything was after an earlier turn.
    pub(crate) fn look_back(
        &mut self,
        vat: &Arc<VatCore>,
        turn: u64,
        to: &Ref,
        args: Args,
    ) -> Outcome {
        if self.past.limit == 0 || turn < self.past.forgotten || turn > self.turns {
            return Err("the vat does not remember that turn".into());
        }
        let Self { actors, journal, past, .. } = self;
        for (_, changes) in past.turns.iter().rev().take_while(|(number, _)| *number > turn) {
            actors.go_back(changes, journal);
        }
        let turns = self.turns;
        let result = self.attempt(vat, None, |turn| turn.call(to, args));
        self.turns = turns;
        self.undo(Mark::START, &"the turn was only tried".into());
        result
    }

    /// Whether nothing is left of a turn.
    pub(crate) const fn is_settled(&self) -> bool {
        self.journal.mark() == 0 && self.effects.is_empty()
    }

    /// Takes back what happened since the mark.
    pub(crate) fn undo(&mut self, mark: Mark, fault: &Fault) {
        if !self.reckless {
            self.actors.undo(&mut self.journal, mark.journal);
        }
        while self.effects.len() > mark.effects {
            if let Some(effect) = self.effects.pop() {
                effect.refuse(fault);
            }
        }
    }

    /// Changes of a map that is there already.
    pub(crate) fn of(actors: Slab) -> Self {
        Self { actors, ..Self::default() }
    }

    /// Changes of which a keeper is told.
    pub(crate) fn kept(keeper: Box<dyn Keeper>) -> Self {
        Self { keeper: Some(keeper), ..Self::default() }
    }

    /// Runs a turn, takes back what it did if it fails, and leaves what it did to be
    /// committed if it does not.
    pub(crate) fn attempt<T>(
        &mut self,
        vat: &Arc<VatCore>,
        me: Option<&Arc<ActorCell>>,
        body: impl FnOnce(&mut Turn<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.turns += 1;
        let _span = tracing::enabled!(tracing::Level::TRACE)
            .then(|| tracing::trace_span!("turn", vat = vat.name(), turn = self.turns).entered());
        let mark = self.mark();
        let mut turn = Turn::new(vat, self, me);
        let result = catch_unwind(AssertUnwindSafe(|| body(&mut turn)));
        let result = match result {
            Ok(Ok(_)) if self.open_calls > 0 => {
                Err(Fault::from("a panic was caught within the turn"))
            }
            Ok(result) => result,
            Err(_) => {
                // What the panic says is local detail: it stays in this process.
                let actor = me.and_then(|cell| self.actors.get(cell.id()));
                let actor = actor.map_or("none", |behaviour| behaviour.name());
                tracing::error!(vat = vat.name(), actor, "a turn panicked");
                Err(Fault::from("the object failed"))
            }
        };
        self.open_calls = 0;
        if let Err(fault) = &result {
            self.undo(mark, fault);
        }
        result
    }

    /// Runs a turn and commits or undoes it. Its result is told after all that it did.
    pub(crate) fn turn<T: Send + 'static>(
        &mut self,
        vat: &Arc<VatCore>,
        me: Option<&Arc<ActorCell>>,
        body: impl FnOnce(&mut Turn<'_>) -> Result<T, Fault>,
        tell: impl FnOnce(Result<T, Fault>, &VatCore) + Send + 'static,
    ) {
        let result = self.attempt(vat, me, body);
        if let Some(log) = &mut self.log {
            log.end(self.effects.len(), self.journal.mark(), result.as_ref().err());
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.turn_ended(Ended { actors: &self.actors, journal: &self.journal });
        }
        self.settle();
        if !self.effects.is_empty() {
            // Taken out while they are done, and put back for its space.
            let mut effects = std::mem::take(&mut self.effects);
            perform_all(effects.drain(..), vat);
            self.effects = effects;
        }
        tell(result, vat);
        if let Some(keeper) = &mut self.keeper {
            for id in keeper.drowsy() {
                self.actors.put(id, None, &mut Journal::default());
            }
        }
    }

    /// Puts an actor in place from outside any turn.
    pub(crate) fn install(&mut self, cell: &Arc<ActorCell>, behaviour: Arc<dyn Behaviour>) {
        if let Some(id) = self.actors.reserve() {
            self.turns += 1;
            cell.place(id);
            if let Some(keeper) = &mut self.keeper {
                keeper.installed(id, cell, &*behaviour);
            }
            self.actors.put(id, Some(behaviour), &mut self.journal);
            self.settle();
        }
    }

    /// The behaviour of an actor that is to handle a message, woken if it sleeps.
    #[inline]
    pub(crate) fn behaviour(&mut self, cell: &Arc<ActorCell>) -> Result<Arc<dyn Behaviour>, Fault> {
        match self.actors.get(cell.id()) {
            Some(behaviour) if self.keeper.is_none() => Ok(behaviour),
            awake => self.wake(cell, awake),
        }
    }

    fn wake(
        &mut self,
        cell: &Arc<ActorCell>,
        awake: Option<Arc<dyn Behaviour>>,
    ) -> Result<Arc<dyn Behaviour>, Fault> {
        let Some(keeper) = &mut self.keeper else {
            return Err("the actor does not exist".into());
        };
        if let Some(behaviour) = awake {
            keeper.used(cell.id());
            return Ok(behaviour);
        }
        let behaviour = keeper.wake(cell)?;
        if cell.id() == ActorId::NONE {
            cell.place(self.actors.reserve().ok_or("the vat is full")?);
        }
        // Not part of the turn: it stays awake if that fails.
        self.actors.put(cell.id(), Some(behaviour.clone()), &mut Journal::default());
        keeper.installed(cell.id(), cell, &*behaviour);
        Ok(behaviour)
    }

    /// Names an actor that the turn makes.
    pub(crate) fn spawned(&mut self, id: ActorId, cell: &Arc<ActorCell>) {
        if let Some(keeper) = &mut self.keeper {
            keeper.spawned(id, cell);
        }
    }

    /// Lets go of an actor that nothing refers to. The behaviour is handed out so that
    /// the caller chooses when its drop runs.
    pub(crate) fn remove(&mut self, id: ActorId) -> Option<Arc<dyn Behaviour>> {
        if let Some(keeper) = &mut self.keeper {
            keeper.actor_gone(id);
        }
        self.actors.remove(id)
    }
}
