//! The four tables of a session, with exact reference counts.
//!
//! Exports: what we let the peer name. Imports: what it lets us name. Questions:
//! answers that we may name before they are there. Answers: those that the peer
//! may. Positions of exports and questions are ours to choose and are used again
//! once the peer has let go of them; positions of imports and answers are the
//! peer's to choose.

mod hash;
mod paged;
mod sparse;

use std::collections::HashMap;
use std::fmt::Write as _;

use slab::Slab;

use self::hash::Seeded;
use self::paged::Paged;
use self::sparse::Sparse;
use crate::error::{LimitExceeded, PeerViolation};
use crate::limits::Limits;
use crate::position::{AnswerPos, ExportPos, ImportPos, RemotePos};
use crate::runtime::Runtime;

/// Where the resolver that does nothing stands: a position that no table reaches by
/// counting. Any position will do for a peer, so this one also says, in a message
/// that all understand, that the sender is this crate ("Hobgob").
pub(crate) const IDLE: ExportPos = ExportPos(0x486f_6267_6f62);

/// What stands at an export position.
pub(crate) enum Exported<R: Runtime> {
    /// Position 0.
    Bootstrap,
    /// A reference, under the key that [`Runtime::identify`] gave for it.
    Reference { reference: R::Ref, key: usize },
    /// The resolver of a question of ours, until it is used.
    Resolver(Option<R::Resolver>),
    /// A resolver that does nothing, for peers that insist on one.
    Idle,
}

struct Export<R: Runtime> {
    what: Exported<R>,
    /// How often it was sent and not yet released.
    sent: u64,
}

struct Import<W> {
    weak: W,
    /// How often it was received and not yet released. Before there are too many to count
    /// here, most are given back.
    received: u32,
    /// Which of the references made for this entry in turn is the live one.
    generation: u32,
}

/// How many entries each table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TableCounts {
    /// Objects and promises that the peer may name, resolvers included, without
    /// the bootstrap object and the resolver that does nothing.
    pub exports: usize,
    /// Objects and promises that the peer lets us name.
    pub imports: usize,
    /// Answers that we may name.
    pub questions: usize,
    /// Answers that the peer may name.
    pub answers: usize,
}

/// How often each reference was sent and received and not released since, by position.
/// With nothing under way, what one side sent is what the other received.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ReferenceCounts {
    /// Our exports and how often the peer has been sent each, without the bootstrap
    /// object.
    pub sent: Vec<(u64, u64)>,
    /// Our imports and how often the peer has sent us each.
    pub received: Vec<(u64, u64)>,
}

/// What of the peer's has been let go here and not yet there.
#[derive(Debug, Default)]
pub(crate) struct Released {
    pub(crate) imports: Vec<(ImportPos, u64)>,
    pub(crate) answers: Vec<AnswerPos>,
}

/// For how many entries there stays room in what has been emptied, at most.
const KEPT: usize = 1024;

impl Released {
    pub(crate) fn len(&self) -> usize {
        self.imports.len() + self.answers.len()
    }

    /// Forgets all of it, and keeps a little room for what comes next.
    pub(crate) fn clear(&mut self) {
        self.imports.clear();
        self.imports.shrink_to(KEPT);
        self.answers.clear();
        self.answers.shrink_to(KEPT);
    }
}

pub(crate) struct Tables<R: Runtime> {
    exports: Paged<Export<R>>,
    by_key: HashMap<usize, ExportPos, Seeded>,
    /// Keys of references that are gone, until [`Tables::forget_keys`]: it is quicker to
    /// look at them together.
    gone: Vec<usize>,
    /// References sent in the message being written, to be taken back if it fails.
    journal: Vec<ExportPos>,
    /// What stands at [`IDLE`].
    idle: Option<Export<R>>,
    imports: Sparse<Import<R::Weak>>,
    questions: Slab<()>,
    /// The question asked in the message being written.
    asking: Option<AnswerPos>,
    answers: Sparse<R::Ref>,
    pub(crate) released: Released,
    limits: Limits,
}

impl<R: Runtime> Tables<R> {
    pub(crate) fn new(limits: Limits) -> Self {
        let mut exports = Paged::new();
        exports.insert(Export { what: Exported::Bootstrap, sent: 1 });
        Self {
            exports,
            by_key: HashMap::default(),
            gone: Vec::new(),
            journal: Vec::new(),
            idle: None,
            imports: Sparse::default(),
            questions: Slab::new(),
            asking: None,
            answers: Sparse::default(),
            released: Released::default(),
            limits,
        }
    }

    pub(crate) fn counts(&self) -> TableCounts {
        TableCounts {
            exports: self.exports.len() - 1,
            imports: self.imports.len(),
            questions: self.questions.len(),
            answers: self.answers.len(),
        }
    }

    /// How often each reference was sent and received, in the order of positions.
    pub(crate) fn reference_counts(&self) -> ReferenceCounts {
        let exports = self.exports.iter().filter(|(pos, _)| *pos != 0);
        let sent = exports.map(|(pos, export)| (pos as u64, export.sent)).collect();
        let imports = self.imports.iter().map(|(pos, import)| (pos, import.received.into()));
        let mut received: Vec<_> = imports.collect();
        received.sort_unstable();
        ReferenceCounts { sent, received }
    }

    // Exports.

    /// The position under which a reference is sent now.
    pub(crate) fn export(
        &mut self,
        reference: &R::Ref,
        key: usize,
    ) -> Result<ExportPos, LimitExceeded> {
        if let Some(pos) = self.by_key.get(&key).copied() {
            self.count_sent(pos);
            return Ok(pos);
        }
        let what = Exported::Reference { reference: reference.clone(), key };
        let pos = self.add_export(what)?;
        self.by_key.insert(key, pos);
        Ok(pos)
    }

    /// The position of a new resolver for a question.
    pub(crate) fn export_resolver(
        &mut self,
        resolver: R::Resolver,
    ) -> Result<ExportPos, (LimitExceeded, R::Resolver)> {
        match self.room_to_export() {
            Ok(()) => Ok(self.insert_export(Exported::Resolver(Some(resolver)))),
            Err(limit) => Err((limit, resolver)),
        }
    }

    /// The position of the resolver that does nothing.
    pub(crate) fn export_idle(&mut self) -> ExportPos {
        let idle = self.idle.get_or_insert(Export { what: Exported::Idle, sent: 0 });
        idle.sent += 1;
        self.journal.push(IDLE);
        IDLE
    }

    fn entry(&mut self, pos: ExportPos) -> Option<&mut Export<R>> {
        if pos == IDLE { self.idle.as_mut() } else { self.exports.get_mut(index(pos.0)) }
    }

    fn room_to_export(&self) -> Result<(), LimitExceeded> {
        check_room("exports", self.exports.len(), self.limits.exports)
    }

    fn add_export(&mut self, what: Exported<R>) -> Result<ExportPos, LimitExceeded> {
        self.room_to_export()?;
        Ok(self.insert_export(what))
    }

    fn insert_export(&mut self, what: Exported<R>) -> ExportPos {
        let pos = ExportPos(self.exports.insert(Export { what, sent: 1 }) as u64);
        self.journal.push(pos);
        pos
    }

    fn count_sent(&mut self, pos: ExportPos) {
        if let Some(export) = self.entry(pos) {
            export.sent += 1;
            self.journal.push(pos);
        }
    }

    /// The message being written is finished: what it exports is exported, and what
    /// it asks is asked.
    pub(crate) fn commit_message(&mut self) {
        self.journal.clear();
        self.asking = None;
    }

    /// The message being written is not sent: takes back what it exported and asked,
    /// and gives the resolver that was to hear the answer, if it had one.
    pub(crate) fn abandon_message(&mut self) -> Option<R::Resolver> {
        if let Some(pos) = self.asking.take() {
            self.forget_question(pos);
        }
        let mut resolver = None;
        while let Some(pos) = self.journal.pop() {
            if let Some(Exported::Resolver(Some(found))) = self.give_back(pos, 1) {
                resolver = Some(found);
            }
        }
        self.forget_keys();
        resolver
    }

    /// What stands at a position that the peer named.
    pub(crate) fn exported(&mut self, pos: ExportPos) -> Result<&mut Exported<R>, PeerViolation> {
        self.entry(pos).map(|export| &mut export.what).ok_or(PeerViolation::NoSuchExport(pos))
    }

    /// The peer has let go of `delta` of the references that we sent. Gives what
    /// stood there if that was the last. [`Tables::forget_keys`] is to follow.
    pub(crate) fn release_export(
        &mut self,
        pos: ExportPos,
        delta: u64,
    ) -> Result<Option<Exported<R>>, PeerViolation> {
        let export = self.entry(pos).ok_or(PeerViolation::NoSuchExport(pos))?;
        if matches!(export.what, Exported::Bootstrap) {
            // Position 0 is there for as long as the session; some peers count it.
            return Ok(None);
        }
        if delta > export.sent {
            return Err(PeerViolation::OverRelease { pos, sent: export.sent, delta });
        }
        Ok(self.give_back(pos, delta))
    }

    fn give_back(&mut self, pos: ExportPos, delta: u64) -> Option<Exported<R>> {
        let export = self.entry(pos)?;
        export.sent -= delta;
        if export.sent > 0 {
            return None;
        }
        if pos == IDLE {
            return self.idle.take().map(|export| export.what);
        }
        let export = self.exports.remove(index(pos.0))?;
        if let Exported::Reference { key, .. } = &export.what {
            self.gone.push(*key);
        }
        Some(export.what)
    }

    /// Forgets the keys of the references that are gone.
    pub(crate) fn forget_keys(&mut self) {
        if self.gone.is_empty() {
            return;
        }
        if self.gone.len() > KEPT.max(4 * self.exports.len()) {
            // To begin anew is less work than to look up each of them.
            self.by_key = HashMap::default();
            for (pos, export) in self.exports.iter() {
                if let Exported::Reference { key, .. } = &export.what {
                    self.by_key.insert(*key, ExportPos(pos as u64));
                }
            }
        } else {
            for key in &self.gone {
                self.by_key.remove(key);
            }
        }
        self.gone.clear();
        self.gone.shrink_to(KEPT);
        if self.by_key.capacity() > 8 * self.by_key.len() + KEPT {
            self.by_key.shrink_to(2 * self.by_key.len());
        }
    }

    // Imports.

    /// A reference of the peer's has arrived: one of those we hold, or a new one.
    pub(crate) fn import(
        &mut self,
        runtime: &mut R,
        pos: ImportPos,
        promise: bool,
    ) -> Result<R::Ref, LimitExceeded> {
        let make = |runtime: &mut R, generation| {
            let reference = if promise {
                runtime.import_promise(pos, generation)
            } else {
                runtime.import_object(pos, generation)
            };
            let weak = runtime.downgrade(&reference);
            (reference, weak)
        };
        if let Some(import) = self.imports.get_mut(pos.0) {
            if import.received == u32::MAX {
                self.released.imports.push((pos, (u32::MAX - 1).into()));
                import.received = 1;
            }
            import.received += 1;
            if let Some(reference) = runtime.upgrade(&import.weak) {
                return Ok(reference);
            }
            // The last holder is gone but its release has not reached us. It will
            // name the old generation and so release nothing.
            import.generation = import.generation.wrapping_add(1);
            let (reference, weak) = make(runtime, import.generation);
            import.weak = weak;
            return Ok(reference);
        }
        check_room("imports", self.imports.len(), self.limits.imports)?;
        let (reference, weak) = make(runtime, 0);
        self.imports.insert(pos.0, Import { weak, received: 1, generation: 0 });
        Ok(reference)
    }

    /// Whether the peer has exported something at position 0.
    pub(crate) fn imports_zero(&self) -> bool {
        self.imports.get(0).is_some()
    }

    /// Nobody here holds what stands at `pos` any more.
    pub(crate) fn release(&mut self, pos: RemotePos, generation: u32) {
        match pos {
            RemotePos::Import(pos) => {
                let live = self.imports.get(pos.0).is_some_and(|i| i.generation == generation);
                if live && let Some(import) = self.imports.remove(pos.0) {
                    self.released.imports.push((pos, import.received.into()));
                }
            }
            RemotePos::Answer(pos) => self.released.answers.push(pos),
        }
    }

    // Questions.

    /// A position for the answer to a new question.
    pub(crate) fn ask(&mut self) -> Result<AnswerPos, LimitExceeded> {
        check_room("questions", self.questions.len(), self.limits.questions)?;
        // From 1: a peer (Endo) refuses 0 in some operations.
        let pos = AnswerPos(self.questions.insert(()) as u64 + 1);
        self.asking = Some(pos);
        Ok(pos)
    }

    /// The peer is being told that we shall not name this answer again.
    pub(crate) fn forget_question(&mut self, pos: AnswerPos) {
        self.questions.try_remove(index(pos.0.wrapping_sub(1)));
    }

    // Answers.

    /// Checks that the peer may use an answer position.
    pub(crate) fn room_to_answer(&self, pos: AnswerPos) -> Result<(), crate::SessionEnd> {
        if self.answers.get(pos.0).is_some() {
            return Err(PeerViolation::AnswerInUse(pos).into());
        }
        Ok(check_room("answers", self.answers.len(), self.limits.answers)?)
    }

    /// Keeps the promise that the peer may name as an answer.
    pub(crate) fn add_answer(&mut self, pos: AnswerPos, promise: R::Ref) {
        self.answers.insert(pos.0, promise);
    }

    /// The promise for an answer that the peer named.
    pub(crate) fn answer(&self, pos: AnswerPos) -> Result<&R::Ref, PeerViolation> {
        self.answers.get(pos.0).ok_or(PeerViolation::NoSuchAnswer(pos))
    }

    /// The peer will not name this answer again.
    pub(crate) fn release_answer(&mut self, pos: AnswerPos) -> Result<R::Ref, PeerViolation> {
        self.answers.remove(pos.0).ok_or(PeerViolation::NoSuchAnswer(pos))
    }

    // All of them.

    /// What the peer holds of ours.
    pub(crate) fn exported_references(&self) -> impl Iterator<Item = &R::Ref> {
        self.exports.iter().filter_map(|(_, export)| match &export.what {
            Exported::Reference { reference, .. } => Some(reference),
            _ => None,
        })
    }

    /// What the peer may name, by what it calls it: our exports and its answers.
    pub(crate) fn named(&self) -> impl Iterator<Item = (RemotePos, &R::Ref)> {
        let exports = self.exports.iter().filter_map(|(pos, export)| match &export.what {
            Exported::Reference { reference, .. } => {
                Some((RemotePos::Import(ImportPos(pos as u64)), reference))
            }
            _ => None,
        });
        let answers = self.answers.iter();
        exports.chain(answers.map(|(pos, of)| (RemotePos::Answer(AnswerPos(pos)), of)))
    }

    /// Takes everything out, as at the end of a session: exports and answers.
    /// Dropping them may run their owner's code.
    pub(crate) fn clear(&mut self) -> (Vec<Exported<R>>, Vec<R::Ref>) {
        let ended = std::mem::replace(self, Self::new(self.limits));
        let exports = ended.exports.into_values().map(|export| export.what).collect();
        (exports, ended.answers.into_values().collect())
    }

    /// Checks what must always hold. For tests and simulations.
    ///
    /// # Errors
    ///
    /// Says which invariant is broken.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.idle.as_ref().is_some_and(|idle| idle.sent == 0) {
            return Err("the resolver that does nothing is held by nobody".into());
        }
        let mut references = 0;
        for (pos, export) in self.exports.iter() {
            if export.sent == 0 {
                return Err(format!("export {pos} is held by nobody"));
            }
            if let Exported::Reference { key, .. } = &export.what {
                references += 1;
                if self.by_key.get(key) != Some(&ExportPos(pos as u64)) {
                    return Err(format!("export {pos} is not found by its key"));
                }
            }
        }
        if references != self.by_key.len() || !self.gone.is_empty() {
            return Err("a key leads to no export".into());
        }
        if !matches!(self.exports.get(0), Some(Export { what: Exported::Bootstrap, .. })) {
            return Err("export 0 is not the bootstrap object".into());
        }
        if let Some((pos, _)) = self.imports.iter().find(|(_, import)| import.received == 0) {
            return Err(format!("import {pos} was received from nobody"));
        }
        Ok(())
    }

    /// The tables in words, an entry a line, sorted.
    pub(crate) fn dump(&self) -> String {
        let mut lines = Vec::new();
        let idle = self.idle.iter().map(|export| (index(IDLE.0), export));
        for (pos, export) in self.exports.iter().chain(idle) {
            let what = match &export.what {
                Exported::Bootstrap => "bootstrap",
                Exported::Reference { .. } => "reference",
                Exported::Resolver(Some(_)) => "resolver",
                Exported::Resolver(None) => "resolver, used",
                Exported::Idle => "resolver that does nothing",
            };
            lines.push(format!("export {pos}: {what}, sent {}", export.sent));
        }
        for (pos, import) in self.imports.iter() {
            let Import { received, generation, .. } = import;
            lines.push(format!("import {pos}: received {received}, generation {generation}"));
        }
        for (slot, ()) in &self.questions {
            lines.push(format!("question {}", slot + 1));
        }
        for (pos, _) in self.answers.iter() {
            lines.push(format!("answer {pos}"));
        }
        lines.sort();
        lines.into_iter().fold(String::new(), |mut all, line| {
            let _infallible = writeln!(all, "{line}");
            all
        })
    }
}

fn check_room(name: &'static str, len: usize, limit: usize) -> Result<(), LimitExceeded> {
    if len < limit { Ok(()) } else { Err(LimitExceeded { name, limit: limit as u64 }) }
}

/// A position as an index; one that is too large leads nowhere.
fn index(pos: u64) -> usize {
    usize::try_from(pos).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::rc::{Rc, Weak};

    use super::*;
    use crate::runtime::Identity;

    struct Nowhere;

    impl Runtime for Nowhere {
        type Ref = Rc<ImportPos>;
        type Weak = Weak<ImportPos>;
        type Resolver = ();

        fn import_object(&mut self, pos: ImportPos, _generation: u32) -> Rc<ImportPos> {
            Rc::new(pos)
        }

        fn import_promise(&mut self, pos: ImportPos, _generation: u32) -> Rc<ImportPos> {
            Rc::new(pos)
        }

        fn promise(&mut self) -> (Rc<ImportPos>, ()) {
            (Rc::new(ImportPos(0)), ())
        }

        fn downgrade(&mut self, reference: &Rc<ImportPos>) -> Weak<ImportPos> {
            Rc::downgrade(reference)
        }

        fn upgrade(&mut self, weak: &Weak<ImportPos>) -> Option<Rc<ImportPos>> {
            weak.upgrade()
        }

        fn identify<'r>(&mut self, reference: &'r Rc<ImportPos>) -> Identity<'r, Rc<ImportPos>> {
            Identity::Local { key: Rc::as_ptr(reference).addr(), promise: false }
        }
    }

    #[test]
    fn a_reference_received_too_often_to_count_is_given_back_in_parts() {
        let mut tables = Tables::new(Limits::default());
        let pos = ImportPos(3);
        let held = tables.import(&mut Nowhere, pos, false).unwrap();
        tables.imports.get_mut(3).unwrap().received = u32::MAX;
        let again = tables.import(&mut Nowhere, pos, false).unwrap();
        assert!(Rc::ptr_eq(&held, &again));
        assert_eq!(tables.check(), Ok(()));
        tables.release(RemotePos::Import(pos), 0);
        assert!(tables.released.imports.iter().all(|(told, _)| *told == pos));
        let deltas: u64 = tables.released.imports.iter().map(|(_, delta)| delta).sum();
        assert_eq!(deltas, u64::from(u32::MAX) + 1);
    }
}
