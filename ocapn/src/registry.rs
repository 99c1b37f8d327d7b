//! Which objects are exported under which swiss numbers.

use std::collections::HashMap;
use std::sync::Mutex;

use captp::SwissDigest;
use vat_runtime::Ref;

/// Objects by the digests of their swiss numbers. Whoever reads the table, or times
/// a look-up, learns no number.
#[derive(Default)]
pub(crate) struct Registry {
    objects: Mutex<HashMap<SwissDigest, Ref>>,
}

impl Registry {
    pub(crate) fn register(&self, digest: SwissDigest, object: Ref) {
        let before = self.lock().insert(digest, object);
        drop(before);
    }

    /// Whether there was something to revoke.
    pub(crate) fn revoke(&self, digest: &SwissDigest) -> bool {
        let object = self.lock().remove(digest);
        object.is_some()
    }

    pub(crate) fn lookup(&self, digest: &SwissDigest) -> Option<Ref> {
        self.lock().get(digest).cloned()
    }

    /// Takes everything out.
    pub(crate) fn clear(&self) {
        let objects = std::mem::take(&mut *self.lock());
        drop(objects);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SwissDigest, Ref>> {
        self.objects.lock().unwrap_or_else(|poison| poison.into_inner())
    }
}
