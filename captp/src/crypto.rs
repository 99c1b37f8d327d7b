//! Session keys, signatures and the ids made from them.
//!
//! Owns the Syrup shapes of public keys and signatures
//! (`[public-key [ecc …]]`, `[sig-val [eddsa …]]`), the public id
//! (`sha256(sha256(key))`) and the session id (section "Session ID" of the CapTP
//! draft). Keys come from entropy that the caller passes in.
//!
//! # What is signed
//!
//! Signing is no oracle: whatever a peer sends, none of our keys signs bytes that it
//! chose, but only records whose label and place in the protocol we chose.
//!
//! | key | signs | what a peer chose of it |
//! |---|---|---|
//! | a [`SessionKey`], fresh for each connection | `my-location` with our own locator, once | nothing |
//! | | `desc:handoff-give`, when we give something away | the receiver's key and the exporter's locator, where it said it is |
//! | | `desc:handoff-receive`, when we fetch a gift | the whole of a `desc:handoff-give`, which stands inside the record beside its own signature |
//! | the key of a `websocket` designator (crate `netlayers`) | `init:peer-auth`, when dialled | 32 bytes inside the record; anything that is not exactly that record is refused |
//! | the key of a `tcp-tls` certificate (crate `netlayers`) | TLS 1.3 transcripts | what TLS lets it choose |
//!
//! The labels differ, all is encoded canonically, and no key signs for two protocols: a
//! signature that was made for one place is none for another. There is no way in for
//! other bytes: [`SessionKey`] signs within this crate only, and
//! [`HandoffRecord`](crate::HandoffRecord) can't be implemented outside of it.

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};
use syrup::{Encoder, Token};

use crate::wire::{Reader, WireError};

/// How the records begin that session keys sign.
const SIGNED: [&[u8]; 3] =
    [b"<11'my-location", b"<17'desc:handoff-give", b"<20'desc:handoff-receive"];

/// A SHA-256 digest taken twice, as CapTP ids are.
pub(crate) fn double_sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// The key pair of one session. Made fresh for each, and forgotten with it.
pub struct SessionKey(SigningKey);

impl SessionKey {
    /// The key pair that belongs to 32 bytes of entropy.
    #[must_use]
    pub fn from_entropy(entropy: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&entropy))
    }

    /// The key with the highest [`PublicId`] of some that belong to `entropy`'s bytes: of
    /// 32, and of up to 256 as long as it is not above `claim`. Each costs some 20 us.
    ///
    /// Of two connections that are crossed, the one whose opener's key has the lower id
    /// gives way; with a key of high rank it is hardly ever ours. For connections to
    /// peers that could not prove who they are if they had dialled us: see
    /// [`Peer::claim_on`](crate::Peer::claim_on).
    #[must_use]
    pub fn of_high_rank(claim: Option<PublicId>, mut entropy: impl FnMut() -> [u8; 32]) -> Self {
        const USUAL: usize = 32;
        const MOST: usize = 256;
        let mut key = Self::from_entropy(entropy());
        let mut id = key.public().id();
        for tried in 1..MOST {
            if tried >= USUAL && claim.is_none_or(|claim| id > claim) {
                break;
            }
            let other = Self::from_entropy(entropy());
            let other_id = other.public().id();
            if other_id > id {
                (key, id) = (other, other_id);
            }
        }
        key
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs the Syrup of a record. Every caller passes the encoding of a record
    /// whose label it chose itself, so that signing is never an oracle for bytes
    /// that a peer picked.
    pub(crate) fn sign_record(&self, encoded_record: &[u8]) -> Signature {
        debug_assert!(SIGNED.iter().any(|label| encoded_record.starts_with(label)));
        Signature(self.0.sign(encoded_record).to_bytes())
    }
}

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SessionKey").field(&self.public()).finish()
    }
}

/// An Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Whether `signature` is this key's over `message`.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.0) else {
            return false;
        };
        key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature.0)).is_ok()
    }

    /// The public id: what a session's side is called.
    #[must_use]
    pub fn id(&self) -> PublicId {
        let mut bytes = Vec::with_capacity(96);
        self.encode(&mut Encoder::new(&mut bytes));
        PublicId(double_sha256(&bytes))
    }

    /// Writes the `[public-key …]` list.
    pub(crate) fn encode(&self, out: &mut Encoder<'_>) {
        out.begin_list();
        out.symbol("public-key");
        out.begin_list();
        out.symbol("ecc");
        pair(out, "curve", |out| out.symbol("Ed25519"));
        pair(out, "flags", |out| out.symbol("eddsa"));
        pair(out, "q", |out| out.bytes(&self.0));
        out.end_list();
        out.end_list();
    }

    /// Reads the `[public-key …]` list.
    pub(crate) fn decode(input: &mut Reader<'_>) -> Result<Self, WireError> {
        input.open_list()?;
        input.symbol("public-key")?;
        input.open_list()?;
        input.symbol("ecc")?;
        read_pair(input, "curve", |input| input.symbol("Ed25519"))?;
        read_pair(input, "flags", |input| input.symbol("eddsa"))?;
        let key = read_pair(input, "q", Reader::bytes32)?;
        input.close_list()?;
        input.close_list()?;
        Ok(Self(key))
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({})", Hex(&self.0))
    }
}

/// An Ed25519 signature, `R` then `S`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    /// Writes the `[sig-val …]` list.
    pub(crate) fn encode(&self, out: &mut Encoder<'_>) {
        let (r, s) = self.0.split_at(32);
        out.begin_list();
        out.symbol("sig-val");
        out.begin_list();
        out.symbol("eddsa");
        pair(out, "r", |out| out.bytes(r));
        pair(out, "s", |out| out.bytes(s));
        out.end_list();
        out.end_list();
    }

    /// Reads the `[sig-val …]` list.
    pub(crate) fn decode(input: &mut Reader<'_>) -> Result<Self, WireError> {
        input.open_list()?;
        input.symbol("sig-val")?;
        input.open_list()?;
        input.symbol("eddsa")?;
        let r = read_pair(input, "r", Reader::bytes32)?;
        let s = read_pair(input, "s", Reader::bytes32)?;
        input.close_list()?;
        input.close_list()?;
        let mut both = [0; 64];
        let (low, high) = both.split_at_mut(32);
        low.copy_from_slice(&r);
        high.copy_from_slice(&s);
        Ok(Self(both))
    }
}

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signature({})", Hex(&self.0))
    }
}

/// The public id of one side of a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicId(pub [u8; 32]);

impl std::fmt::Debug for PublicId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicId({})", Hex(&self.0))
    }
}

/// The id of a session, the same on both sides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; 32]);

impl SessionId {
    /// The id of the session between two sides, in either order.
    #[must_use]
    pub fn between(one: PublicId, other: PublicId) -> Self {
        let (lower, higher) = if one <= other { (one, other) } else { (other, one) };
        let mut bytes = Vec::with_capacity(69);
        bytes.extend_from_slice(b"prot0");
        bytes.extend_from_slice(&lower.0);
        bytes.extend_from_slice(&higher.0);
        Self(double_sha256(&bytes))
    }
}

impl std::fmt::Debug for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionId({})", Hex(&self.0))
    }
}

/// The digest of a swiss number: enough to recognise it, not to use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SwissDigest([u8; 32]);

impl SwissDigest {
    /// The digest of a swiss number.
    #[must_use]
    pub fn of(swiss: &[u8]) -> Self {
        Self(Sha256::digest(swiss).into())
    }

    /// A digest that was made before.
    #[must_use]
    pub const fn from_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The SHA-256 digest itself.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

struct Hex<'a>(&'a [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn pair(out: &mut Encoder<'_>, name: &str, value: impl FnOnce(&mut Encoder<'_>)) {
    out.begin_list();
    out.symbol(name);
    value(out);
    out.end_list();
}

fn read_pair<'a, T>(
    input: &mut Reader<'a>,
    name: &'static str,
    value: impl FnOnce(&mut Reader<'a>) -> Result<T, WireError>,
) -> Result<T, WireError> {
    input.open_list()?;
    input.symbol(name)?;
    let value = value(input)?;
    input.close_list()?;
    Ok(value)
}

impl<'a> Reader<'a> {
    fn open_list(&mut self) -> Result<(), WireError> {
        self.expect("a list", |token| matches!(token, Token::ListStart))
    }

    fn close_list(&mut self) -> Result<(), WireError> {
        self.expect("the end of a list", |token| matches!(token, Token::ListEnd))
    }

    fn symbol(&mut self, name: &'static str) -> Result<(), WireError> {
        self.expect(name, |token| matches!(token, Token::Symbol(found) if *found == name))
    }

    pub(crate) fn bytes32(&mut self) -> Result<[u8; 32], WireError> {
        let offset = self.offset();
        match self.token()? {
            Token::Bytes(bytes) => {
                bytes.try_into().map_err(|_| WireError::unexpected(offset, "32 bytes"))
            }
            _ => Err(WireError::unexpected(offset, "32 bytes")),
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "SIGNED")]
    fn nothing_but_our_records_is_signed() {
        SessionKey::from_entropy([1; 32]).sign_record(b"<14'init:peer-auth32:>");
    }
}
