//! Which objects are exported under which swiss numbers, until when, and in which vat of
//! a store that is kept.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use captp::SwissDigest;
use vat_runtime::persist::StoreError;
use vat_runtime::{Ref, Value, Vat};

/// Objects by the digests of their swiss numbers. Whoever reads the table or the store,
/// or times a look-up, learns no number.
#[derive(Default)]
pub(crate) struct Registry {
    exports: Mutex<HashMap<SwissDigest, Export>>,
    /// Its roots are the exports that outlive the process, by their digests.
    kept: OnceLock<Vat>,
}

/// What can be had for a swiss number.
#[derive(Clone)]
pub(crate) struct Export {
    pub(crate) object: Ref,
    /// From when on it can't be had any more.
    pub(crate) expires: Option<SystemTime>,
}

const OBJECT: &str = "object";
const EXPIRES: &str = "expires";

impl Export {
    fn is_over(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// As it is stored: the time in whole seconds since 1970.
    fn to_value(&self) -> Value {
        let mut fields = vec![(OBJECT.into(), Value::from(&self.object))];
        if let Some(expires) = self.expires {
            let since = expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            fields.push((EXPIRES.into(), since.as_secs().into()));
        }
        Value::Struct(fields)
    }

    fn from_value(value: Value) -> Option<Self> {
        let Value::Struct(fields) = value else { return None };
        let (mut object, mut expires) = (None, None);
        for (name, value) in fields {
            match (name.as_str(), value) {
                (OBJECT, Value::Ref(reference)) => object = Some(reference),
                (EXPIRES, Value::Int(seconds)) => {
                    let since = Duration::from_secs(seconds.try_into().ok()?);
                    expires = Some(SystemTime::UNIX_EPOCH.checked_add(since)?);
                }
                _ => return None,
            }
        }
        Some(Self { object: object?, expires })
    }
}

impl Registry {
    /// Exports what was exported when the vat was open last, and keeps there from now on
    /// what can be kept: actors of durable vats.
    pub(crate) fn keep(&self, vat: Vat, now: SystemTime) -> Result<(), StoreError> {
        for (name, value) in vat.roots()? {
            let digest = <[u8; 32]>::try_from(name.as_ref()).map(SwissDigest::from_bytes);
            match (digest, Export::from_value(value)) {
                (Ok(_), Some(export)) if export.is_over(now) => _ = vat.remove_root(&name)?,
                (Ok(digest), Some(export)) => _ = self.lock().insert(digest, export),
                _ => tracing::warn!("an export in the store is none that this version knows"),
            }
        }
        // Only the first has a say, and there is one.
        let _kept = self.kept.set(vat);
        Ok(())
    }

    /// Exports, in the store as well if what is exported is there, unless it is for this
    /// process only.
    pub(crate) fn register(&self, digest: SwissDigest, export: Export, ephemeral: bool) {
        let durable = !ephemeral && export.object.stored_as().is_some();
        if let Some(vat) = self.kept.get().filter(|_| durable) {
            // Fails only for vats without a store.
            let _kept = vat.set_root(digest.as_bytes(), export.to_value());
        }
        let before = self.lock().insert(digest, export);
        drop(before);
    }

    /// Whether there was something to revoke.
    pub(crate) fn revoke(&self, digest: &SwissDigest) -> bool {
        let export = self.lock().remove(digest);
        if let Some(vat) = self.kept.get().filter(|_| export.is_some()) {
            let _forgotten = vat.remove_root(digest.as_bytes());
        }
        export.is_some()
    }

    pub(crate) fn lookup(&self, swiss: &[u8], now: SystemTime) -> Option<Ref> {
        let digest = SwissDigest::of(swiss);
        let export = self.lock().get(&digest).cloned()?;
        if export.is_over(now) {
            self.revoke(&digest);
            return None;
        }
        Some(export.object)
    }

    /// Takes everything out, for this process.
    pub(crate) fn clear(&self) {
        let exports = std::mem::take(&mut *self.lock());
        drop(exports);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SwissDigest, Export>> {
        self.exports.lock().unwrap_or_else(|poison| poison.into_inner())
    }
}
