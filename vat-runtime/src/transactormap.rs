//! What changes over an actormap, kept apart from it. Owns [`Transactormap`], how one
//! stands on another, and when two of them can both be merged.
//!
//! A delta holds what each changed actor is now, and what every actor was that its turns
//! called or changed. To run a turn, the deltas from the bottom up are put into the slab
//! of the map at the bottom, the turn runs there like any other, its changes are taken
//! down into the delta and the slab's journal is undone. So there is one engine, and
//! looking an actor up costs the same however high the pile is.
//!
//! What a delta's turns saw must still be so when it is merged, or when it is stood on:
//! else another timeline was merged that it knows nothing of, and merging it would undo
//! changes or rest on what is not so any more.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Fault;
use crate::actormap::{Actormap, After, MapKind};
use crate::behaviour::Behaviour;
use crate::changes::{Changes, Mark};
use crate::ids::ActorId;
use crate::mail::Mail;
use crate::reference::ActorCell;
use crate::slab::Image;
use crate::turn::Turn;
use crate::vat::VatCore;

type State = Option<Arc<dyn Behaviour>>;

/// Changes over an actormap that are not yet part of it.
///
/// It is an actormap itself, with the same operations, and others may stand on it. The
/// map that it stands on does not see the changes until they are merged; dropping it
/// throws them away.
///
/// ```
/// use vat_runtime::{Actormap, Args, Behaviour, Fault, Reply, Turn};
///
/// struct Counter(i64);
///
/// impl Behaviour for Counter {
///     fn receive(&self, _turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
///         Ok(Reply::become_with(Counter(self.0 + 1), self.0 + 1))
///     }
/// }
///
/// let am = Actormap::new();
/// let counter = am.spawn(Counter(0));
/// let turned = am.turn(&counter, vec![])?;
/// assert_eq!(turned.value, 1.into());
/// // In the map nothing has happened; apart, the next turn goes on from there.
/// assert_eq!(am.peek(&counter, vec![])?, 1.into());
/// assert_eq!(turned.map.peek(&counter, vec![])?, 2.into());
///
/// let other = am.turn(&counter, vec![])?;
/// turned.map.merge()?;
/// assert_eq!(am.peek(&counter, vec![])?, 2.into());
/// // The other timeline knows nothing of that.
/// assert!(other.map.merge().is_err());
/// # Ok::<(), Fault>(())
/// ```
#[derive(Clone)]
pub struct Transactormap(Actormap);

impl Deref for Transactormap {
    type Target = Actormap;

    fn deref(&self) -> &Actormap {
        &self.0
    }
}

impl From<Transactormap> for Actormap {
    fn from(map: Transactormap) -> Self {
        map.0
    }
}

/// The changes of a transactormap, and what they stand on.
pub(crate) struct Branch {
    /// Taken only when this is dropped.
    parent: Option<Actormap>,
    delta: Mutex<Delta>,
}

impl Drop for Branch {
    fn drop(&mut self) {
        // One after the other: a pile may be higher than the stack is deep.
        let mut parent = self.parent.take();
        while let Some(mut map) = parent.take().and_then(|parent| Arc::into_inner(parent.0)) {
            if let MapKind::Branch(branch) = &mut map.kind {
                parent = branch.parent.take();
            }
        }
    }
}

#[derive(Default)]
struct Delta {
    merged: bool,
    /// What the actors that were called or changed were in the map below, when that was
    /// first done.
    seen: BTreeMap<ActorId, State>,
    /// What the changed actors are.
    now: BTreeMap<ActorId, State>,
}

/// An actor that a transactormap has changed.
#[derive(Clone)]
#[non_exhaustive]
pub struct Change {
    /// What it was, or `None` if it was spawned.
    pub before: Option<Arc<dyn Behaviour>>,
    /// What it is.
    pub now: Arc<dyn Behaviour>,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("before", &self.before.as_ref().map(|before| before.name()))
            .field("now", &self.now.name())
            .finish()
    }
}

/// Why a transactormap could not be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MergeError {
    /// It has been merged before.
    Merged,
    /// Another timeline, merged meanwhile, has changed actors that this one called or
    /// changed: the kinds of those actors.
    Conflict(Vec<&'static str>),
    /// It was merged from within a turn of the map at the bottom.
    InTurn,
}

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Merged => f.write_str("the transactormap has been merged"),
            Self::Conflict(kinds) => {
                write!(f, "another timeline has changed what this one rests on: ")?;
                f.write_str(&kinds.join(", "))
            }
            Self::InTurn => f.write_str("the actormap is in the middle of a turn"),
        }
    }
}

impl std::error::Error for MergeError {}

impl From<MergeError> for Fault {
    fn from(error: MergeError) -> Self {
        error.to_string().into()
    }
}

impl Transactormap {
    pub(crate) fn over(parent: &Actormap) -> Self {
        let branch = Branch { parent: Some(parent.clone()), delta: Mutex::default() };
        Self(Actormap::of(parent.0.world.clone(), MapKind::Branch(branch)))
    }

    /// Its own part; a transactormap is a branch always.
    fn branch_of(&self) -> Option<&Branch> {
        match &self.0.0.kind {
            MapKind::Branch(branch) => Some(branch),
            MapKind::Base(_) => None,
        }
    }

    /// The map that these are changes over (`transactormap-parent`).
    #[must_use]
    pub fn parent(&self) -> Actormap {
        self.branch_of().and_then(|branch| branch.parent.as_ref()).unwrap_or(&self.0).clone()
    }

    /// What has changed (`transactormap-delta`).
    #[must_use]
    pub fn delta(&self) -> Vec<Change> {
        let Some(branch) = self.branch_of() else { return Vec::new() };
        let delta = branch.delta();
        let changes = delta.now.iter().filter_map(|(id, now)| {
            let before = delta.seen.get(id).cloned().flatten();
            Some(Change { before, now: now.clone()? })
        });
        changes.collect()
    }

    /// Whether the changes are part of the map at the bottom (`transactormap-merged?`).
    #[must_use]
    pub fn is_merged(&self) -> bool {
        self.branch_of().is_none_or(|branch| branch.delta().merged)
    }

    /// Merges this, and the transactormaps that it stands on, into the map at the bottom
    /// (`transactormap-merge!`). What its turns want sent waits there from then on.
    ///
    /// # Errors
    ///
    /// If it has been merged before, or if another timeline has been merged that changed
    /// what this one's turns called or changed. Nothing is merged then.
    pub fn merge(&self) -> Result<(), MergeError> {
        self.merge_if(true)
    }

    /// Like [`Transactormap::merge`], but over what other timelines have changed: where
    /// both have changed an actor, this one's change stays.
    ///
    /// # Errors
    ///
    /// If it has been merged before.
    pub fn merge_anyway(&self) -> Result<(), MergeError> {
        self.merge_if(false)
    }

    fn merge_if(&self, unchanged: bool) -> Result<(), MergeError> {
        let Some(branch) = self.branch_of() else { return Err(MergeError::Merged) };
        if branch.delta().merged {
            return Err(MergeError::Merged);
        }
        let mut held = self.0.hold().map_err(|_| MergeError::InTurn)?;
        let conflict = branch.stand(&mut held.changes);
        if unchanged && let Err(conflict) = conflict {
            held.changes.undo(Mark::START, &conflict.clone().into());
            return Err(conflict);
        }
        held.changes.settle();
        drop(held);
        // From the bottom up.
        let mut pile = vec![&self.0];
        while let Some(below) = pile.last().and_then(|map| map.below()) {
            pile.push(below);
        }
        let Some(bottom) = pile.pop() else { return Ok(()) };
        for map in pile.into_iter().rev() {
            if let MapKind::Branch(branch) = &map.0.kind {
                let before = std::mem::take(&mut *branch.delta());
                branch.delta().merged = true;
                drop(before);
            }
            let mail = std::mem::take(&mut *map.outbox());
            bottom.outbox().extend(mail);
        }
        Ok(())
    }
}

impl fmt::Debug for Transactormap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transactormap")
            .field("changes", &self.delta().len())
            .field("merged", &self.is_merged())
            .finish_non_exhaustive()
    }
}

impl Actormap {
    /// What this stands on.
    pub(crate) fn below(&self) -> Option<&Self> {
        match &self.0.kind {
            MapKind::Branch(branch) => branch.parent.as_ref(),
            MapKind::Base(_) => None,
        }
    }
}

impl Branch {
    fn delta(&self) -> MutexGuard<'_, Delta> {
        self.delta.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the changes of this and all below into the map at the bottom, to be undone.
    /// All are put in even if there is a conflict.
    fn stand(&self, changes: &mut Changes) -> Result<(), MergeError> {
        let mut pile = vec![self];
        while let Some(parent) = pile.last().and_then(|top| top.parent.as_ref()) {
            let MapKind::Branch(below) = &parent.0.kind else { break };
            pile.push(below);
        }
        let mut conflicts = Vec::new();
        for branch in pile.into_iter().rev() {
            branch.delta().put_into(changes, &mut conflicts);
        }
        if conflicts.is_empty() { Ok(()) } else { Err(MergeError::Conflict(conflicts)) }
    }

    /// Runs a turn over the pile, and takes what it changed down if that is to stay.
    pub(crate) fn attempt<T>(
        &self,
        core: &Arc<VatCore>,
        changes: &mut Changes,
        after: After,
        me: Option<&Arc<ActorCell>>,
        body: impl FnOnce(&mut Turn<'_>) -> Result<T, Fault>,
    ) -> Result<(T, Vec<Mail>), Fault> {
        if self.delta().merged {
            return Err(MergeError::Merged.into());
        }
        let mut result = self.stand(changes).map_err(Fault::from).and_then(|()| {
            let mark = changes.mark();
            changes.called = Some(Vec::new());
            let result = changes.attempt(core, me, body);
            let called = changes.called.take().unwrap_or_default();
            let value = result?;
            if after == After::Commit {
                self.delta().note(changes, mark.journal, &called);
                let mail = changes.effects.drain(..).map(Mail::new).collect();
                return Ok((value, mail));
            }
            Ok((value, Vec::new()))
        });
        let why = match &mut result {
            Ok(_) => Fault::from("the turn was only tried"),
            Err(fault) => fault.clone(),
        };
        changes.undo(Mark::START, &why);
        result
    }

    /// What the world is with the changes of this and all below.
    pub(crate) fn image(&self, changes: &mut Changes) -> Result<Image, Fault> {
        let stood = self.stand(changes);
        let image = changes.actors.image();
        changes.undo(Mark::START, &"nothing".into());
        stood?;
        Ok(image)
    }
}

impl Delta {
    /// Lets go of actors that are gone: nothing must give them a behaviour again.
    fn prune(&mut self, changes: &Changes) {
        for map in [&mut self.seen, &mut self.now] {
            for dead in changes.actors.only(map.keys().copied(), false) {
                drop(map.remove(&dead));
            }
        }
    }

    fn put_into(&mut self, changes: &mut Changes, conflicts: &mut Vec<&'static str>) {
        self.prune(changes);
        for (id, seen) in &self.seen {
            let here = changes.actors.get(*id);
            if !is_same(&here, seen) {
                let kind = here.as_ref().or(seen.as_ref());
                conflicts.push(kind.map_or("an actor", |behaviour| behaviour.name()));
            }
        }
        for (id, now) in &self.now {
            changes.actors.put(*id, now.clone(), &mut changes.journal);
        }
    }

    /// Takes down what a turn, whose notes begin at the mark, has called and changed.
    fn note(&mut self, changes: &Changes, mark: usize, called: &[ActorId]) {
        let changed = changes.journal.before(mark);
        for (id, before) in &changed {
            if !self.now.contains_key(id) {
                self.seen.entry(*id).or_insert_with(|| before.cloned());
            }
        }
        for id in called {
            // One that the turn has changed is noted above, any other is as it was.
            if !self.now.contains_key(id) {
                self.seen.entry(*id).or_insert_with(|| changes.actors.get(*id));
            }
        }
        for (id, _) in changed {
            self.now.insert(id, changes.actors.get(id));
        }
    }
}

/// Whether nothing has changed: the very same behaviour, since one that was made anew
/// may differ in ways that nobody can see from here.
fn is_same(one: &State, other: &State) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}
