//! A node's `websocket` identity: an Ed25519 key and the file that keeps it.

use std::path::Path;

use ed25519_dalek::{Signer as _, SigningKey};
use zeroize::Zeroizing;

use super::peer_auth;
use crate::key_file::IdentityError;
use crate::signing_key;

/// The file in an identity's directory.
const FILE: &str = "websocket-key";

/// Who we are on `websocket`: an Ed25519 key.
pub struct WebsocketIdentity {
    key: SigningKey,
    designator: String,
}

impl WebsocketIdentity {
    /// A new identity, kept nowhere.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Generate`] if the system has no randomness to give.
    pub fn generate() -> Result<Self, IdentityError> {
        Ok(Self::of(signing_key::generate()?))
    }

    /// The identity kept in `directory`, made there if there is none. The directory is
    /// made too, mode 0700, and the file has mode 0600. Processes that do this at the
    /// same time get the same identity. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] if others may read the file or write to the directory, if the
    /// file is no key, or if the file system fails. What exists is never changed.
    pub fn load_or_create(directory: impl AsRef<Path>) -> Result<Self, IdentityError> {
        signing_key::load_or_create(directory.as_ref(), FILE).map(Self::of)
    }

    /// The name under which others know us.
    #[must_use]
    pub fn designator(&self) -> &str {
        &self.designator
    }

    /// The answer to a dialler's request. Signs nothing but a
    /// [`Request`](peer_auth::Request), which is a record of one shape only.
    pub(super) fn answer(&self, request: &peer_auth::Request) -> Vec<u8> {
        request.envelope(&self.key.sign(request.as_bytes()))
    }

    /// The key in PKCS #8, as RFC 8410 has it.
    pub(super) fn pkcs8(&self) -> Zeroizing<Vec<u8>> {
        const BEFORE: &[u8] = b"\x30\x2e\x02\x01\0\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
        Zeroizing::new([BEFORE, self.key.as_bytes()].concat())
    }

    fn of(key: SigningKey) -> Self {
        let designator = signing_key::designator(&key);
        Self { key, designator }
    }
}

/// Names the peer and hides the key.
impl std::fmt::Debug for WebsocketIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WebsocketIdentity({})", self.designator)
    }
}
