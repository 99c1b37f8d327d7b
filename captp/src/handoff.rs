//! Third-party handoffs: the records that carry a reference from one session to
//! another (section "Third-Party Handoffs" of the CapTP draft).
//!
//! The *gifter* has a reference to an object of the *exporter*'s and gives it to the
//! *receiver*: it deposits the object at the exporter as a gift and sends the receiver
//! a signed [`HandoffGive`]; the receiver shows the exporter that, in a signed
//! [`HandoffReceive`], and gets the gift.

use bytes::Bytes;
use syrup::{Encoder, Token};

use crate::crypto::{PublicId, PublicKey, SessionId, SessionKey, Signature};
use crate::locator::PeerLocator;
use crate::passable::Passable;
use crate::wire::{self, Reader, WireError};

/// What a gift is called between gifter and exporter: any value, encoded.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GiftId(Bytes);

impl GiftId {
    /// The id that the draft asks for: 32 random bytes.
    #[must_use]
    pub fn from_entropy(entropy: [u8; 32]) -> Self {
        Self::from_bytes(&entropy)
    }

    /// The id that is these bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut encoded = Vec::with_capacity(bytes.len() + 4);
        Encoder::new(&mut encoded).bytes(bytes);
        Self(encoded.into())
    }

    /// The bytes that the id is, if it is not a string or an integer.
    #[must_use]
    pub fn to_bytes(&self) -> Option<Bytes> {
        match syrup::Decoder::new(&self.0).token() {
            Ok(Token::Bytes(bytes)) => Some(Bytes::copy_from_slice(bytes)),
            _ => None,
        }
    }

    /// Reads the id that a peer gave: bytes, a string or an integer.
    pub(crate) fn decode(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let offset = input.offset();
        let encoded = input.skip()?;
        match syrup::Decoder::new(encoded).token()? {
            Token::Bytes(_) | Token::String(_) | Token::Int(_) => {
                Ok(Self(Bytes::copy_from_slice(encoded)))
            }
            _ => Err(WireError::unexpected(offset, "a gift's id")),
        }
    }
}

/// A gifter's word that a receiver may have a gift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandoffGive {
    /// The receiver's key in its session with the gifter: who may have it.
    pub receiver_key: PublicKey,
    /// Where the gift is.
    pub exporter: PeerLocator,
    /// The session between gifter and exporter.
    pub session: SessionId,
    /// The gifter's side of that session.
    pub gifter_side: PublicId,
    /// The gift.
    pub gift: GiftId,
}

/// A receiver's request for a gift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandoffReceive {
    /// The session between receiver and exporter.
    pub session: SessionId,
    /// The receiver's side of that session.
    pub receiver_side: PublicId,
    /// Which of the receiver's requests on that session this is: none is made twice.
    pub count: u64,
    /// The gifter's word.
    pub give: Signed<HandoffGive>,
}

/// A handoff record and the signature over its encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<T> {
    record: T,
    /// The record as it was signed. What a peer encoded may not be how we would, and
    /// the signature is over that.
    encoded: Bytes,
    signature: Signature,
}

/// A handoff record, as [`Signed`] wants it: one of the two here, so that nothing else
/// gets signed with a session's key.
pub trait HandoffRecord: Sized + sealed::Sealed {
    /// Writes the record.
    fn encode(&self, out: &mut Encoder<'_>);
}

impl<T: HandoffRecord> Signed<T> {
    /// Signs a record. The key is one of a session of ours, and the record one that we
    /// made: signing is no oracle.
    #[must_use]
    pub fn new(record: T, key: &SessionKey) -> Self {
        let mut encoded = Vec::with_capacity(512);
        record.encode(&mut Encoder::new(&mut encoded));
        let signature = key.sign_record(&encoded);
        Self { record, encoded: encoded.into(), signature }
    }

    /// Whether the record is signed with `key`.
    #[must_use]
    pub fn is_by(&self, key: &PublicKey) -> bool {
        key.verify(&self.encoded, &self.signature)
    }

    /// The `desc:sig-envelope`, to be sent as an argument.
    #[must_use]
    pub fn to_passable<R>(&self) -> Passable<R> {
        let mut encoded = Vec::with_capacity(640);
        self.encode_envelope(&mut Encoder::new(&mut encoded));
        Passable::Encoded(encoded.into())
    }

    fn encode_envelope(&self, out: &mut Encoder<'_>) {
        out.begin_record();
        out.symbol("desc:sig-envelope");
        out.raw(&self.encoded);
        self.signature.encode(out);
        out.end_record();
    }
}

impl<T> Signed<T> {
    /// The record.
    pub const fn record(&self) -> &T {
        &self.record
    }
}

impl HandoffRecord for HandoffGive {
    fn encode(&self, out: &mut Encoder<'_>) {
        out.begin_record();
        out.symbol("desc:handoff-give");
        self.receiver_key.encode(out);
        wire::encode_peer(out, &self.exporter);
        out.bytes(&self.session.0);
        out.bytes(&self.gifter_side.0);
        out.raw(&self.gift.0);
        out.end_record();
    }
}

impl HandoffRecord for HandoffReceive {
    fn encode(&self, out: &mut Encoder<'_>) {
        out.begin_record();
        out.symbol("desc:handoff-receive");
        out.bytes(&self.session.0);
        out.bytes(&self.receiver_side.0);
        out.uint(self.count);
        self.give.encode_envelope(out);
        out.end_record();
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::HandoffGive {}
    impl Sealed for super::HandoffReceive {}
}

/// What a `desc:sig-envelope` among arguments holds.
pub(crate) enum Envelope {
    Give(Signed<HandoffGive>),
    Receive(Signed<HandoffReceive>),
}

impl Envelope {
    /// Reads the rest of an envelope whose label has been read.
    pub(crate) fn decode(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let offset = input.offset();
        let encoded = Bytes::copy_from_slice(input.skip()?);
        let signature = Signature::decode(input)?;
        input.record_end()?;
        let copy = encoded.clone();
        let record = &mut Reader::new(&copy, &copy, &syrup::Options::default());
        match record.record("a handoff")? {
            "desc:handoff-give" => {
                let record = give(record)?;
                Ok(Self::Give(Signed { record, encoded, signature }))
            }
            "desc:handoff-receive" => {
                let record = receive(record)?;
                Ok(Self::Receive(Signed { record, encoded, signature }))
            }
            _ => Err(WireError::unexpected(offset, "a handoff")),
        }
    }
}

fn give(input: &mut Reader<'_>) -> Result<HandoffGive, WireError> {
    let receiver_key = PublicKey::decode(input)?;
    let offset = input.offset();
    if input.record("an ocapn-peer")? != "ocapn-peer" {
        return Err(WireError::unexpected(offset, "an ocapn-peer"));
    }
    let exporter = input.peer_fields()?;
    let session = SessionId(input.bytes32()?);
    let gifter_side = PublicId(input.bytes32()?);
    let gift = GiftId::decode(input)?;
    input.record_end()?;
    Ok(HandoffGive { receiver_key, exporter, session, gifter_side, gift })
}

fn receive(input: &mut Reader<'_>) -> Result<HandoffReceive, WireError> {
    let session = SessionId(input.bytes32()?);
    let receiver_side = PublicId(input.bytes32()?);
    let count = input.position()?;
    let offset = input.offset();
    if input.record("a sig-envelope")? != "desc:sig-envelope" {
        return Err(WireError::unexpected(offset, "a sig-envelope"));
    }
    let Envelope::Give(give) = Envelope::decode(input)? else {
        return Err(WireError::unexpected(offset, "a signed handoff-give"));
    };
    input.record_end()?;
    Ok(HandoffReceive { session, receiver_side, count, give })
}
