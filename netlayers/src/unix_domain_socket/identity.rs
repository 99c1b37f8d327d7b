//! The Ed25519 keys of peers and of introduction servers, and the files that keep them.

use std::path::Path;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::wire::Challenge;
use crate::key_file::IdentityError;
use crate::signing_key;

/// A peer's file in an identity's directory.
const PEER_FILE: &str = "unix-domain-socket-key";

/// An introduction server's.
const SERVER_FILE: &str = "introduction-server-key";

/// Who a peer, or an introduction server, is on `unix-domain-socket`: an Ed25519 key.
pub struct UnixDomainSocketIdentity {
    key: SigningKey,
    designator: String,
}

impl UnixDomainSocketIdentity {
    /// A new identity, kept nowhere.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Generate`] if the system has no randomness to give.
    pub fn generate() -> Result<Self, IdentityError> {
        signing_key::generate().map(Self::of)
    }

    /// The peer's identity kept in `directory`, made there if there is none. The
    /// directory is made too, mode 0700, and the file has mode 0600. Processes that do
    /// this at the same time get the same identity. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] if others may read the file or write to the directory, if the
    /// file is no key, or if the file system fails. What exists is never changed.
    pub fn load_or_create(directory: impl AsRef<Path>) -> Result<Self, IdentityError> {
        signing_key::load_or_create(directory.as_ref(), PEER_FILE).map(Self::of)
    }

    /// The introduction server's identity kept in `directory`, in a file of its own.
    ///
    /// # Errors
    ///
    /// As [`load_or_create`](Self::load_or_create).
    pub fn load_or_create_server(directory: impl AsRef<Path>) -> Result<Self, IdentityError> {
        signing_key::load_or_create(directory.as_ref(), SERVER_FILE).map(Self::of)
    }

    /// The name under which others know us; of a server, the name of the hint.
    #[must_use]
    pub fn designator(&self) -> &str {
        &self.designator
    }

    pub(super) fn public(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    /// Signs nothing but what is of a challenge's length.
    pub(super) fn sign(&self, challenge: &Challenge) -> Signature {
        self.key.sign(challenge)
    }

    fn of(key: SigningKey) -> Self {
        let designator = signing_key::designator(&key);
        Self { key, designator }
    }
}

/// Names the peer and hides the key.
impl std::fmt::Debug for UnixDomainSocketIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UnixDomainSocketIdentity({})", self.designator)
    }
}
