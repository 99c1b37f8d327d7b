//! The slab: which behaviour stands behind which actor.
//!
//! Owns the map ([`Slab`], pages of entries indexed by slot) and a turn's changes over it
//! ([`Journal`]). A turn writes through to the slab and notes what stood there before, so
//! that looking an actor up costs one index however much the turn has changed; undoing
//! the journal to a mark gives a failed call or turn back.
//!
//! Pages are copied only when they are written to while a snapshot has them too: a
//! snapshot or a fork costs one pointer for every [`PAGE`] actors.

use std::sync::Arc;

use crate::Behaviour;
use crate::ids::{ActorId, Dead, Grave, Ids, Realm};

/// How many entries a page has: a write after a snapshot copies that many, and a
/// snapshot takes one pointer for that many.
const PAGE: usize = 64;

/// Where a slab has its names from.
enum Names {
    /// It is the only map of its actors.
    Own(Ids),
    /// It is one of several timelines of the same actors.
    Shared(Arc<Realm>, Arc<Grave>),
}

#[derive(Clone, Default)]
struct Entry {
    generation: u32,
    /// `None` is an actor that is gone, or whose turn failed, or of another timeline.
    behaviour: Option<Arc<dyn Behaviour>>,
}

/// [`PAGE`] entries.
#[derive(Clone, Default)]
struct Page(Box<[Entry]>);

enum Leaf {
    Own(Page),
    /// Perhaps also in a snapshot: copied before it is written to.
    Shared(Arc<Page>),
}

impl Leaf {
    fn page(&self) -> &Page {
        match self {
            Self::Own(page) => page,
            Self::Shared(page) => page,
        }
    }

    /// The page, to be written to.
    fn own(&mut self) -> &mut Page {
        if let Self::Shared(shared) = self {
            let page = Arc::unwrap_or_clone(std::mem::take(shared));
            *self = Self::Own(page);
        }
        match self {
            Self::Own(page) => page,
            // Not reached: it was made its own above.
            Self::Shared(page) => Arc::make_mut(page),
        }
    }

    /// The page, to be kept elsewhere too.
    fn share(&mut self) -> Arc<Page> {
        match self {
            Self::Shared(page) => page.clone(),
            Self::Own(page) => {
                let page = Arc::new(std::mem::take(page));
                *self = Self::Shared(page.clone());
                page
            }
        }
    }
}

/// A map of actors. See the module.
pub(crate) struct Slab {
    leaves: Vec<Leaf>,
    names: Names,
    live: usize,
}

/// What stood in a slab at one moment.
#[derive(Clone)]
pub(crate) struct Image {
    pages: Vec<Arc<Page>>,
    live: usize,
    realm: Arc<Realm>,
}

/// What stood in the map before each change of the turn, oldest first.
#[derive(Default)]
pub(crate) struct Journal(Vec<(ActorId, Option<Arc<dyn Behaviour>>)>);

impl Default for Slab {
    fn default() -> Self {
        Self { leaves: Vec::new(), names: Names::Own(Ids::default()), live: 0 }
    }
}

impl Slab {
    /// The behaviour of an actor, shared out so that the actor may change meanwhile.
    pub(crate) fn get(&self, id: ActorId) -> Option<Arc<dyn Behaviour>> {
        self.entry(id)?.behaviour.clone()
    }

    /// What kind of actor it is.
    pub(crate) fn name(&self, id: ActorId) -> Option<&'static str> {
        Some(self.entry(id)?.behaviour.as_ref()?.name())
    }

    /// Puts back what stood in the map before the changes of an earlier turn, and notes
    /// what stands there now.
    pub(crate) fn go_back(&mut self, past: &Journal, journal: &mut Journal) {
        for (id, before) in past.0.iter().rev() {
            self.put(*id, before.clone(), journal);
        }
    }

    fn entry(&self, id: ActorId) -> Option<&Entry> {
        let page = self.leaves.get(id.index() / PAGE)?.page();
        page.0.get(id.index() % PAGE).filter(|entry| entry.generation == id.generation)
    }

    /// The entry of an actor's slot, unless a later actor has it.
    fn entry_mut(&mut self, id: ActorId) -> Option<&mut Entry> {
        if id == ActorId::NONE {
            return None;
        }
        let leaf = id.index() / PAGE;
        while self.leaves.len() <= leaf {
            self.leaves.push(Leaf::Own(Page(vec![Entry::default(); PAGE].into())));
        }
        let page = self.leaves.get_mut(leaf)?.own();
        page.0.get_mut(id.index() % PAGE).filter(|entry| entry.generation <= id.generation)
    }

    /// Takes a name for a new actor, or `None` when all are in use.
    pub(crate) fn reserve(&mut self) -> Option<ActorId> {
        match &mut self.names {
            Names::Own(ids) => ids.take(),
            Names::Shared(realm, _) => realm.ids().take(),
        }
    }

    /// Gives an actor a behaviour and notes in the journal what stood there. Does
    /// nothing for an actor that is gone.
    pub(crate) fn put(
        &mut self,
        id: ActorId,
        behaviour: Option<Arc<dyn Behaviour>>,
        journal: &mut Journal,
    ) {
        let Some(entry) = self.entry_mut(id) else { return };
        // What an older generation left, in a timeline that has not heard of its end.
        let older = (entry.generation != id.generation).then(|| entry.behaviour.take()).flatten();
        entry.generation = id.generation;
        let here = usize::from(behaviour.is_some());
        let before = std::mem::replace(&mut entry.behaviour, behaviour);
        self.live += here;
        self.live -= usize::from(before.is_some()) + usize::from(older.is_some());
        journal.0.push((id, before));
    }

    /// Frees the slot of an actor that nobody can reach. The behaviour is handed out
    /// so that the caller chooses when its drop runs.
    pub(crate) fn remove(&mut self, id: ActorId) -> Option<Arc<dyn Behaviour>> {
        match &mut self.names {
            Names::Own(ids) => ids.give_back(id),
            Names::Shared(realm, grave) => realm.bury(id, grave),
        }
        self.forget(id)
    }

    /// Lets go of the actors that other timelines have found dead, and hands out what
    /// they were.
    pub(crate) fn forget_dead(&mut self) -> Vec<Arc<dyn Behaviour>> {
        let Names::Shared(_, grave) = &self.names else { return Vec::new() };
        let dead = match grave.take() {
            Dead::These(dead) => dead,
            Dead::Whoever => self.find_dead(),
        };
        dead.into_iter().filter_map(|id| self.forget(id)).collect()
    }

    fn find_dead(&self) -> Vec<ActorId> {
        let entries = self.leaves.iter().flat_map(|leaf| &leaf.page().0);
        let filled = entries.zip(0..).filter(|(entry, _)| entry.behaviour.is_some());
        let ids = filled.map(|(entry, slot)| ActorId { slot, generation: entry.generation });
        self.only(ids, false)
    }

    /// Those of the actors that are alive, or those that are not.
    pub(crate) fn only(&self, actors: impl Iterator<Item = ActorId>, alive: bool) -> Vec<ActorId> {
        let filter = |ids: &Ids| actors.filter(|id| ids.is_alive(*id) == alive).collect();
        match &self.names {
            Names::Own(ids) => filter(ids),
            Names::Shared(realm, _) => filter(&realm.ids()),
        }
    }

    fn forget(&mut self, id: ActorId) -> Option<Arc<dyn Behaviour>> {
        // A page is not copied for nothing.
        self.entry(id)?.behaviour.as_ref()?;
        let behaviour = self.entry_mut(id)?.behaviour.take();
        self.live -= usize::from(behaviour.is_some());
        behaviour
    }

    /// How many actors there are.
    pub(crate) const fn len(&self) -> usize {
        self.live
    }

    /// Puts back what stood in the map when the journal was `mark` long.
    pub(crate) fn undo(&mut self, journal: &mut Journal, mark: usize) {
        while journal.0.len() > mark {
            let Some((id, before)) = journal.0.pop() else {
                return;
            };
            let Some(entry) = self.entry_mut(id) else {
                continue;
            };
            let here = usize::from(before.is_some());
            let after = std::mem::replace(&mut entry.behaviour, before);
            self.live += here;
            self.live -= usize::from(after.is_some());
        }
    }

    /// What stands in the map now. Costs a pointer for each page.
    pub(crate) fn image(&mut self) -> Image {
        let pages = self.leaves.iter_mut().map(Leaf::share).collect();
        Image { pages, live: self.live, realm: self.realm() }
    }

    /// Another timeline that begins as this one is. Also hands out what has been found
    /// dead meanwhile.
    pub(crate) fn fork(&mut self) -> (Self, Vec<Arc<dyn Behaviour>>) {
        let realm = self.realm();
        // Before this one looks, so that the new one hears of all who die after that.
        let names = Names::Shared(realm.clone(), realm.join());
        let dead = self.forget_dead();
        let leaves = self.leaves.iter_mut().map(|leaf| Leaf::Shared(leaf.share())).collect();
        (Self { leaves, names, live: self.live }, dead)
    }

    /// What this map has in common with other timelines of its actors.
    fn realm(&mut self) -> Arc<Realm> {
        if let Names::Own(ids) = &mut self.names {
            let realm = Realm::of(std::mem::take(ids));
            self.names = Names::Shared(realm.clone(), realm.join());
        }
        match &self.names {
            Names::Shared(realm, _) => realm.clone(),
            // Not reached: they were shared above.
            Names::Own(_) => Arc::default(),
        }
    }
}

impl Image {
    /// A map in which stands what stood in the one that the image is of, except for
    /// actors that are gone since.
    pub(crate) fn restore(&self) -> Slab {
        let leaves = self.pages.iter().map(|page| Leaf::Shared(page.clone())).collect();
        // First to hear of the dead, then to look for those of before.
        let names = Names::Shared(self.realm.clone(), self.realm.join());
        let mut slab = Slab { leaves, names, live: self.live };
        for id in slab.find_dead() {
            drop(slab.forget(id));
        }
        slab
    }

    /// How many actors there were.
    pub(crate) const fn len(&self) -> usize {
        self.live
    }
}

impl Journal {
    /// How many changes are noted: a mark to undo to.
    pub(crate) const fn mark(&self) -> usize {
        self.0.len()
    }

    /// Makes the changes final.
    pub(crate) fn commit(&mut self) {
        self.0.clear();
    }

    /// Of each actor that was changed since the mark, once, what it was before: `None`
    /// for one that was spawned.
    pub(crate) fn before(&self, mark: usize) -> Vec<(ActorId, Option<&Arc<dyn Behaviour>>)> {
        let mut changes: Vec<_> =
            self.0.iter().skip(mark).map(|(id, before)| (*id, before.as_ref())).collect();
        // Stable: the oldest note of each actor comes first and stays.
        changes.sort_by_key(|(id, _)| *id);
        changes.dedup_by_key(|(id, _)| *id);
        changes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{ActorId, Journal, Names, PAGE, Slab};
    use crate::{Args, Behaviour, Fault, Reply, Turn};

    struct Numbered(usize);

    impl Behaviour for Numbered {
        fn receive(&self, _turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
            Ok(().into())
        }
    }

    fn numbered(number: usize) -> Option<Arc<dyn Behaviour>> {
        Some(Arc::new(Numbered(number)))
    }

    /// The number of the behaviour that stands behind an actor.
    fn read(slab: &Slab, id: ActorId) -> Option<usize> {
        let behaviour: Arc<dyn std::any::Any + Send + Sync> = slab.get(id)?;
        behaviour.downcast_ref::<Numbered>().map(|numbered| numbered.0)
    }

    fn spawn(slab: &mut Slab, number: usize) -> ActorId {
        let id = slab.reserve().unwrap();
        slab.put(id, numbered(number), &mut Journal::default());
        id
    }

    #[test]
    fn a_removed_slot_is_used_again_under_another_name() {
        let mut slab = Slab::default();
        let first = spawn(&mut slab, 1);
        assert!(slab.remove(first).is_some());
        assert!(slab.get(first).is_none());
        assert_eq!(slab.len(), 0);
        let second = spawn(&mut slab, 2);
        assert_eq!(second.slot, first.slot);
        assert_eq!(read(&slab, first), None, "a dead actor has nothing to do with the next");
        assert_eq!(read(&slab, second), Some(2));
        assert_eq!(slab.len(), 1);
        assert!(slab.remove(first).is_none(), "nor does its end");
        assert_eq!(read(&slab, second), Some(2));
    }

    #[test]
    fn a_slot_that_has_had_every_generation_is_not_used_again() {
        let mut slab = Slab::default();
        let first = spawn(&mut slab, 1);
        let last = ActorId { slot: first.slot, generation: u32::MAX };
        if let Names::Own(ids) = &mut slab.names {
            ids.skip_to_last_generation();
        }
        slab.put(last, numbered(2), &mut Journal::default());
        assert!(slab.remove(last).is_some());
        assert_ne!(spawn(&mut slab, 3).slot, first.slot);
    }

    #[test]
    fn what_an_image_holds_never_stands_behind_a_later_actor() {
        let mut slab = Slab::default();
        let kept = spawn(&mut slab, 0);
        let dead = spawn(&mut slab, 1);
        let image = slab.image();
        drop(slab.remove(dead));
        let next = spawn(&mut slab, 2);
        assert_eq!(next.slot, dead.slot);

        let mut restored = image.restore();
        assert_eq!(read(&restored, kept), Some(0));
        assert_eq!(read(&restored, dead), None, "it is gone");
        assert_eq!(read(&restored, next), None, "there was no such actor then");
        assert_eq!(restored.len(), 1);
        let mut journal = Journal::default();
        restored.put(dead, numbered(3), &mut journal);
        restored.put(next, numbered(4), &mut journal);
        assert_eq!(read(&restored, next), Some(4));
        restored.put(dead, numbered(5), &mut journal);
        assert_eq!(read(&restored, next), Some(4), "the dead do not come back");
        assert_eq!(restored.len(), 2);
        restored.undo(&mut journal, 0);
        assert_eq!((read(&restored, next), restored.len()), (None, 1));
    }

    #[test]
    fn an_image_is_not_changed_and_only_written_pages_are_copied() {
        let mut slab = Slab::default();
        let ids: Vec<_> = (0..3 * PAGE).map(|number| spawn(&mut slab, number)).collect();
        let image = slab.image();
        let mut journal = Journal::default();
        slab.put(ids[PAGE], numbered(1000), &mut journal);
        let restored = image.restore();
        assert_eq!(read(&slab, ids[PAGE]), Some(1000));
        assert_eq!(read(&restored, ids[PAGE]), Some(PAGE));
        let copied = |leaf: usize| {
            let page = slab.leaves[leaf].page();
            !std::ptr::eq(&raw const *page.0, &raw const *restored.leaves[leaf].page().0)
        };
        assert_eq!([0, 1, 2].map(copied), [false, true, false]);
        slab.undo(&mut journal, 0);
        assert_eq!(read(&slab, ids[PAGE]), Some(PAGE));
    }

    #[test]
    fn the_journal_tells_what_each_actor_was_before_the_turn() {
        let mut slab = Slab::default();
        let old = spawn(&mut slab, 1);
        let mut journal = Journal::default();
        let new = slab.reserve().unwrap();
        for (id, number) in [(new, 5), (old, 2), (new, 6), (old, 3)] {
            slab.put(id, numbered(number), &mut journal);
        }
        let before: Vec<_> =
            journal.before(0).iter().map(|(id, was)| (*id, was.is_some())).collect();
        assert_eq!(before, [(old, true), (new, false)]);
        assert_eq!((read(&slab, old), read(&slab, new)), (Some(3), Some(6)));
    }
}
