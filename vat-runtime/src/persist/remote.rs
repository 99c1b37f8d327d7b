//! References to peers' objects across restarts. Owns [`Realm`], by which a store asks
//! the node for sturdyrefs and their objects, and how long it goes on asking.

use std::sync::Arc;
use std::time::Duration;

use captp::locator::Sturdyref;

use crate::cell::{Origin, PromiseCell, Source};
use crate::promise::Resolver;
use crate::reference::Kind;
use crate::{Clock, Fault, Ref};

/// The world of peers around a store: a node.
///
/// Nothing is called with a lock held.
pub trait Realm: Send + Sync + 'static {
    /// The sturdyref from which a reference was enlivened, if it was, also while it is
    /// still a promise. None for what a peer gave along the way: that ends with its
    /// session, and cannot be stored.
    fn sturdyref_of(&self, reference: &Ref) -> Option<Sturdyref>;

    /// A promise for the object that a sturdyref names.
    fn enliven(&self, sturdyref: &Sturdyref) -> Ref;

    /// Whether a sturdyref that could not be enlivened for this reason may be so a
    /// little later: the peer was not reached, say, as opposed to that it knows no such
    /// object.
    fn is_passing(&self, _fault: &Fault) -> bool {
        true
    }
}

/// How long to go on trying to enliven a stored reference that somebody wants.
///
/// After the last try everything that waits for the reference breaks. The reference does
/// not: who sends to it next begins anew.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backoff {
    /// How long to wait after the first try. Default 250 ms; twice as long after each
    /// further one.
    pub first: Duration,
    /// The longest time to wait between two tries. Default one minute.
    pub most: Duration,
    /// How many tries there are. Default 10, which with the other defaults takes some
    /// three minutes.
    pub tries: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(250), most: Duration::from_secs(60), tries: 10 }
    }
}

impl Backoff {
    /// The same with another [`Backoff::first`].
    #[must_use]
    pub const fn first(mut self, first: Duration) -> Self {
        self.first = first;
        self
    }

    /// The same with another [`Backoff::most`].
    #[must_use]
    pub const fn most(mut self, most: Duration) -> Self {
        self.most = most;
        self
    }

    /// The same with another [`Backoff::tries`].
    #[must_use]
    pub const fn tries(mut self, tries: u32) -> Self {
        self.tries = tries;
        self
    }

    /// How long to wait after that many tries, counted from 0.
    #[must_use]
    pub fn after(&self, tries: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << tries.min(30));
        doubled.min(self.most)
    }
}

/// What stored references are enlivened with.
#[derive(Clone)]
pub(crate) struct Outside {
    pub(crate) realm: Arc<dyn Realm>,
    /// What waits between two tries; without one there is one try.
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) backoff: Backoff,
}

/// A reference that is enlivened when somebody first wants something from it.
pub(crate) fn stored(sturdyref: Sturdyref, outside: Option<&Outside>) -> Ref {
    let search = outside
        .map(|outside| Arc::new(Search { sturdyref: sturdyref.clone(), outside: outside.clone() }));
    let ask = move |resolver: Resolver| match &search {
        Some(search) => search.attempt(0, resolver),
        None => resolver.disappoint(&"this store's node has no network".into()),
    };
    let source = Source { origin: Origin::Remote(sturdyref), ask: Box::new(ask) };
    Ref(Kind::Promise(Arc::new(PromiseCell::sourced(source))))
}

struct Search {
    sturdyref: Sturdyref,
    outside: Outside,
}

impl Search {
    fn attempt(self: &Arc<Self>, before: u32, resolver: Resolver) {
        let reference = self.outside.realm.enliven(&self.sturdyref);
        let search = self.clone();
        reference.when_settled(move |outcome| match outcome {
            Ok(found) => resolver.fulfill(found),
            Err(fault) => search.failed(before + 1, resolver, fault),
        });
    }

    fn failed(self: Arc<Self>, tries: u32, resolver: Resolver, fault: Fault) {
        let Outside { realm, clock, backoff } = &self.outside;
        let again = clock.as_ref().filter(|_| tries < backoff.tries && realm.is_passing(&fault));
        let Some(clock) = again.cloned() else {
            let sturdyref = self.sturdyref.redacted().to_string();
            tracing::warn!(sturdyref, tries, %fault, "a stored reference could not be enlivened");
            return resolver.disappoint(&fault);
        };
        let due = clock.now() + backoff.after(tries - 1);
        clock.at(due, Box::new(move || self.attempt(tries, resolver)));
    }
}
