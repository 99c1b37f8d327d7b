//! A node's `websocket` identity: an Ed25519 key and the file that keeps it.

use std::path::Path;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use super::peer_auth;
use crate::key_file::{self, IdentityError};
use crate::tcp_tls::designator;

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
        Ok(Self::of(&*seed()?))
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
        key_file::load_or_create(directory.as_ref(), FILE, generate_text, parse)
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

    fn of(seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        let designator = designator::show(&key.verifying_key().to_bytes());
        Self { key, designator }
    }
}

/// Names the peer and hides the key.
impl std::fmt::Debug for WebsocketIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WebsocketIdentity({})", self.designator)
    }
}

/// The key that a designator spells, in its one spelling.
pub(super) fn key_of(designator: &str) -> Option<VerifyingKey> {
    // The base16 of 32 bytes is a designator of tcp-tls only.
    let bytes = designator::parse(designator).filter(|_| designator.len() == 52)?;
    VerifyingKey::from_bytes(&bytes).ok()
}

fn seed() -> Result<Zeroizing<[u8; 32]>, IdentityError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|error| IdentityError::Generate(error.to_string()))?;
    Ok(seed)
}

fn generate_text() -> Result<Zeroizing<String>, IdentityError> {
    let mut text = Zeroizing::new(designator::show(&*seed()?));
    text.push('\n');
    Ok(text)
}

fn parse(text: &[u8]) -> Result<WebsocketIdentity, String> {
    let wanted = || "it does not hold 52 characters of base32 and a line feed".to_owned();
    let text = text.strip_suffix(b"\n").filter(|text| text.len() == 52).ok_or_else(wanted)?;
    let text = std::str::from_utf8(text).map_err(|_not_text| wanted())?;
    let seed = Zeroizing::new(designator::parse(text).ok_or_else(wanted)?);
    Ok(WebsocketIdentity::of(&seed))
}
