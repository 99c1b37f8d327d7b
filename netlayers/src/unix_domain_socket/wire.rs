//! The four records that are spoken with an introduction server.
//!
//! Goblins 0.18 writes them in these very bytes, canonical Syrup.

use captp::locator::PeerLocator;
use ed25519_dalek::{Signature, VerifyingKey};
use syrup::{Decoder, Encoder, Token};

use super::TRANSPORT;
use crate::signing_key;

/// Random bytes that the other end is to sign.
pub(super) type Challenge = [u8; 64];

/// `<uds:register PEER CHALLENGE>`: a client's first word.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Register {
    pub(super) designator: String,
    pub(super) key: VerifyingKey,
    pub(super) challenge: Challenge,
}

/// `<uds:server-response PUBLIC-KEY CHALLENGE SIGNATURE>`: the server's answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServerResponse {
    pub(super) key: VerifyingKey,
    pub(super) challenge: Challenge,
    pub(super) signature: Signature,
}

/// `<uds:new-connection FROM TO>`, by their designators.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NewConnection {
    pub(super) from: String,
    pub(super) to: String,
}

impl Register {
    pub(super) fn encode(designator: &str, challenge: &Challenge) -> Vec<u8> {
        record("uds:register", |out| {
            // Goblins names no servers here, as it may be with none yet.
            peer(out, designator, &[]);
            out.bytes(challenge);
        })
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut input = Fields::of(bytes, "uds:register")?;
        let designator = input.peer()?;
        let challenge = input.array()?;
        input.end()?;
        Some(Self { key: signing_key::key_of(&designator)?, designator, challenge })
    }
}

impl ServerResponse {
    pub(super) fn encode(&self) -> Vec<u8> {
        record("uds:server-response", |out| {
            out.begin_list();
            out.symbol("public-key");
            out.begin_list();
            out.symbol("ecc");
            for (name, value) in [("curve", "Ed25519"), ("flags", "eddsa")] {
                out.begin_list();
                out.symbol(name);
                out.symbol(value);
                out.end_list();
            }
            named(out, "q", self.key.as_bytes());
            out.end_list();
            out.end_list();
            out.bytes(&self.challenge);
            out.begin_list();
            out.symbol("sig-val");
            out.begin_list();
            out.symbol("eddsa");
            named(out, "r", self.signature.r_bytes());
            named(out, "s", self.signature.s_bytes());
            out.end_list();
            out.end_list();
        })
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut input = Fields::of(bytes, "uds:server-response")?;
        input.list("public-key")?;
        input.list("ecc")?;
        for (name, value) in [("curve", "Ed25519"), ("flags", "eddsa")] {
            input.list(name)?;
            input.symbol(value)?;
            input.token(&Token::ListEnd)?;
        }
        let key = input.named("q")?;
        input.token(&Token::ListEnd)?;
        input.token(&Token::ListEnd)?;
        let challenge = input.array()?;
        input.list("sig-val")?;
        input.list("eddsa")?;
        let (r, s) = (input.named("r")?, input.named("s")?);
        input.token(&Token::ListEnd)?;
        input.token(&Token::ListEnd)?;
        input.end()?;
        let key = VerifyingKey::from_bytes(&key).ok()?;
        Some(Self { key, challenge, signature: Signature::from_components(r, s) })
    }
}

/// `<uds:signature CHALLENGE SIGNATURE>`, the signature in its bare 64 bytes.
pub(super) fn encode_signature(challenge: &Challenge, signature: &Signature) -> Vec<u8> {
    record("uds:signature", |out| {
        out.bytes(challenge);
        out.bytes(&signature.to_bytes());
    })
}

pub(super) fn parse_signature(bytes: &[u8]) -> Option<(Challenge, Signature)> {
    let mut input = Fields::of(bytes, "uds:signature")?;
    let (challenge, signature) = (input.array()?, input.array()?);
    input.end()?;
    Some((challenge, Signature::from_bytes(&signature)))
}

impl NewConnection {
    pub(super) fn encode(from: &PeerLocator, to: &PeerLocator) -> Vec<u8> {
        record("uds:new-connection", |out| {
            for locator in [from, to] {
                let hints: Vec<_> = locator.hints.iter().collect();
                peer(out, &locator.designator, &hints);
            }
        })
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut input = Fields::of(bytes, "uds:new-connection")?;
        let (from, to) = (input.peer()?, input.peer()?);
        input.end()?;
        signing_key::key_of(&to)?;
        Some(Self { from, to })
    }
}

fn record(label: &str, fields: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut out = Encoder::new(&mut bytes);
    out.begin_record();
    out.symbol(label);
    fields(&mut out);
    out.end_record();
    bytes
}

fn peer(out: &mut Encoder<'_>, designator: &str, hints: &[(&String, &String)]) {
    out.begin_record();
    out.symbol("ocapn-peer");
    out.symbol(TRANSPORT);
    out.string(designator);
    if hints.is_empty() {
        out.bool(false);
    } else {
        let hints = hints.iter().copied();
        // A locator's hints have no name twice.
        let _no_duplicates = out.dict(hints, |out, key| out.string(key), |out, v| out.string(v));
    }
    out.end_record();
}

fn named(out: &mut Encoder<'_>, name: &str, value: &[u8]) {
    out.begin_list();
    out.symbol(name);
    out.bytes(value);
    out.end_list();
}

/// The fields of a record, one after the other. `None` is what is not as it should be.
struct Fields<'a>(Decoder<'a>);

impl<'a> Fields<'a> {
    fn of(bytes: &'a [u8], label: &str) -> Option<Self> {
        let mut fields = Self(Decoder::new(bytes));
        fields.token(&Token::RecordStart)?;
        fields.symbol(label)?;
        Some(fields)
    }

    fn token(&mut self, wanted: &Token<'_>) -> Option<()> {
        (self.0.token().ok()? == *wanted).then_some(())
    }

    fn symbol(&mut self, wanted: &str) -> Option<()> {
        self.token(&Token::Symbol(wanted))
    }

    fn list(&mut self, first: &str) -> Option<()> {
        self.token(&Token::ListStart)?;
        self.symbol(first)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        match self.0.token().ok()? {
            Token::Bytes(bytes) => bytes.try_into().ok(),
            _ => None,
        }
    }

    fn named(&mut self, name: &str) -> Option<[u8; 32]> {
        self.list(name)?;
        let value = self.array()?;
        self.token(&Token::ListEnd)?;
        Some(value)
    }

    /// The designator of a peer on this transport. Its hints are as they may be:
    /// Goblins' own have strings in them, and booleans.
    fn peer(&mut self) -> Option<String> {
        self.token(&Token::RecordStart)?;
        self.symbol("ocapn-peer")?;
        self.symbol(TRANSPORT)?;
        let Token::String(designator) = self.0.token().ok()? else {
            return None;
        };
        let designator = designator.to_owned();
        self.0.skip().ok()?;
        self.token(&Token::RecordEnd)?;
        Some(designator)
    }

    fn end(&mut self) -> Option<()> {
        self.token(&Token::RecordEnd)?;
        self.0.end().ok()
    }
}
