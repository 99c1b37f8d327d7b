//! Asking for a part of what a reference comes to, without waiting for the whole.

use captp::Part;

use crate::cell::Listener;
use crate::promise::{Promise, Resolver, promise};
use crate::reference::{Kind, Ref};
use crate::{Fault, Value};

impl Ref {
    /// The promise of a field of the struct that this comes to.
    ///
    /// Where the promise is a peer's, the peer takes it apart (`op:get`): messages to the
    /// field are on their way before anything has come back.
    pub fn get(&self, field: &str) -> Promise {
        self.part(Part::Field(field.into()))
    }

    /// The promise of an element, from 0, of the list that this comes to: as
    /// [`Ref::get`], by `op:index`.
    pub fn index(&self, index: u64) -> Promise {
        self.part(Part::Index(index))
    }

    /// The promise of what the tagged value that this comes to holds, if it has that
    /// tag: as [`Ref::get`], by `op:untag`.
    pub fn untag(&self, tag: &str) -> Promise {
        self.part(Part::Tagged(tag.into()))
    }

    fn part(&self, part: Part) -> Promise {
        let (promise, resolver) = promise();
        self.extract(part, resolver);
        promise
    }

    /// Resolves the resolver with a part of what this comes to, and breaks it if there is
    /// no such part.
    pub fn extract(&self, part: Part, answer: Resolver) {
        let answer = match self.ask_for(&part, answer) {
            Ok(()) => return,
            Err(answer) => answer,
        };
        self.listen_with(Listener::Callback(Box::new(move |outcome: Result<Value, Fault>| {
            let found = outcome.and_then(|value| {
                part.take_from(value).ok_or_else(|| Fault::from("the value has no such part"))
            });
            answer.resolve(found);
        })));
    }

    /// Has a peer take its promise apart, if this is one and the peer can.
    fn ask_for(&self, part: &Part, answer: Resolver) -> Result<(), Resolver> {
        let Kind::Promise(cell) = &self.0 else { return Err(answer) };
        match cell.end().hold_route() {
            Some(passage) => passage.extract(part, answer),
            None => Err(answer),
        }
    }
}
