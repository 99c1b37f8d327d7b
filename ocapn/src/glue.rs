//! The vat runtime as a CapTP session sees it.

use std::sync::{Arc, Weak};

use captp::{Identity, ImportPos, RemotePos};
use vat_runtime::{Ref, Resolver, WeakRef};

use crate::link::Link;

/// Makes references for one session.
pub(crate) struct Glue {
    link: Weak<Link>,
    key: u64,
}

impl Glue {
    pub(crate) const fn new(link: Weak<Link>, key: u64) -> Self {
        Self { link, key }
    }

    fn link(&self) -> Arc<dyn vat_runtime::Link> {
        // Sessions run only by way of the link that owns them and this.
        self.link.upgrade().expect("a session outlives its link")
    }
}

impl captp::Runtime for Glue {
    type Ref = Ref;
    type Weak = WeakRef;
    type Resolver = Resolver;

    fn import_object(&mut self, pos: ImportPos, generation: u32) -> Ref {
        Ref::remote_object(self.link(), pos, generation)
    }

    fn import_promise(&mut self, pos: ImportPos, generation: u32) -> Ref {
        Ref::remote_promise(self.link(), pos, generation)
    }

    fn promise(&mut self) -> (Ref, Resolver) {
        let (promise, resolver) = vat_runtime::promise();
        (promise.into(), resolver)
    }

    fn downgrade(&mut self, reference: &Ref) -> WeakRef {
        reference.downgrade()
    }

    fn upgrade(&mut self, weak: &WeakRef) -> Option<Ref> {
        weak.upgrade()
    }

    fn identify<'r>(&mut self, reference: &'r Ref) -> Identity<'r, Ref> {
        match reference.identity() {
            vat_runtime::Identity::Local { key, promise } => Identity::Local { key, promise },
            vat_runtime::Identity::Remote { link, pos, key, .. } if link.key() == self.key => {
                Identity::Remote { pos, key }
            }
            // A third party's: we stand in for it until handoffs take us out.
            vat_runtime::Identity::Remote { key, promise, .. } => Identity::Local { key, promise },
            vat_runtime::Identity::Value(value) => Identity::Value(value),
        }
    }
}

/// Where a reference leads, if to a peer: the session's key and the position.
pub(crate) fn remote(reference: &Ref) -> Option<(u64, RemotePos)> {
    match reference.identity() {
        vat_runtime::Identity::Remote { link, pos, .. } => Some((link.key(), pos)),
        _ => None,
    }
}
