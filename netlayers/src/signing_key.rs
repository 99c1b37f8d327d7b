//! Ed25519 keys whose public halves are designators, and the files that keep them.

use std::path::Path;

use ed25519_dalek::{SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::key_file::{self, IdentityError};
use crate::tcp_tls::designator;

/// A new key, kept nowhere.
pub(crate) fn generate() -> Result<SigningKey, IdentityError> {
    Ok(SigningKey::from_bytes(&*seed()?))
}

/// The key kept in the file of this name, made there if there is none. Blocks on the
/// file system.
pub(crate) fn load_or_create(directory: &Path, file: &str) -> Result<SigningKey, IdentityError> {
    key_file::load_or_create(directory, file, generate_text, parse)
}

/// The designator of the key's owner.
pub(crate) fn designator(key: &SigningKey) -> String {
    show(&key.verifying_key())
}

/// The designator of this key's owner.
pub(crate) fn show(key: &VerifyingKey) -> String {
    designator::show(key.as_bytes())
}

/// The key that a designator spells, in its one spelling.
pub(crate) fn key_of(designator: &str) -> Option<VerifyingKey> {
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

fn parse(text: &[u8]) -> Result<SigningKey, String> {
    let wanted = || "it does not hold 52 characters of base32 and a line feed".to_owned();
    let text = text.strip_suffix(b"\n").filter(|text| text.len() == 52).ok_or_else(wanted)?;
    let text = std::str::from_utf8(text).map_err(|_not_text| wanted())?;
    let seed = Zeroizing::new(designator::parse(text).ok_or_else(wanted)?);
    Ok(SigningKey::from_bytes(&seed))
}
