//! `op:start-session`: who we are, and who the peer says it is.

use syrup::Encoder;

use super::{Event, Session, State};
use crate::crypto::{PublicKey, SessionId, Signature};
use crate::error::PeerViolation;
use crate::locator::{PeerId, PeerLocator};
use crate::runtime::Runtime;
use crate::value::Fatal;
use crate::wire::{self, Reader, WireError};

/// What a handshake established.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Established {
    /// Where the peer says it is. Only as good as `proof`.
    pub location: PeerLocator,
    /// How we know that it is there.
    pub proof: Proof,
    /// The peer's key for this session.
    pub peer_key: PublicKey,
    /// The session's id, the same on both sides.
    pub session_id: SessionId,
}

/// How we know that a peer is who it says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// The netlayer has proven it.
    Netlayer,
    /// It says so, on a netlayer for testing where that counts. Anybody may have.
    FaceValue,
    /// It says so, and anybody may have.
    None,
}

impl Proof {
    /// Whether the session counts as one with that peer: proven, or taken to be. A
    /// session for which it does not is *unverified*.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Netlayer | Self::FaceValue)
    }
}

impl<R: Runtime> Session<R> {
    /// Writes our `op:start-session`.
    pub(super) fn greet(&mut self) {
        let signature = self.config.key.sign_record(&my_location(&self.config.location));
        let mut out = self.outbox.encoder();
        out.begin_record();
        out.symbol("op:start-session");
        out.string(&self.config.version);
        self.config.key.public().encode(&mut out);
        wire::encode_peer(&mut out, &self.config.location);
        signature.encode(&mut out);
        out.end_record();
        self.traffic.messages_out += 1;
    }

    /// Reads the peer's, after its label.
    pub(super) fn greeted(&mut self, input: &mut Reader<'_>) -> Result<(), Fatal> {
        let version = input.string("a version string")?;
        if version != self.config.version {
            return Err(
                PeerViolation::Version { theirs: version.chars().take(64).collect() }.into()
            );
        }
        let peer_key = PublicKey::decode(input)?;
        let (location, encoded) = read_location(input)?;
        let signature = Signature::decode(input)?;
        input.record_end()?;
        input.end()?;
        // Signed is what the peer encoded, which may not be how we would.
        let as_sent = my_location_of(encoded);
        if !peer_key.verify(&as_sent, &signature)
            && !peer_key.verify(&my_location(&location), &signature)
        {
            return Err(PeerViolation::LocationSignature.into());
        }
        let our_key = self.config.key.public();
        if peer_key == our_key {
            return Err(PeerViolation::OurOwnKey.into());
        }
        let proof = self.check_identity(&location)?;
        let session_id = SessionId::between(our_key.id(), peer_key.id());
        self.state = State::Live;
        let established = Established { location, proof, peer_key, session_id };
        self.established = Some(established.clone());
        self.events.push_back(Event::Started(Box::new(established)));
        Ok(())
    }

    /// How well the claimed location is proven.
    ///
    /// A peer that we dialled must answer under the name we dialled: else a
    /// misdirected connection would pass for the peer we wanted.
    fn check_identity(&self, claimed: &PeerLocator) -> Result<Proof, PeerViolation> {
        if let Some(dialled) = &self.config.dialled
            && !dialled.same_peer(claimed)
        {
            let (dialled, claimed) = (dialled.id(), claimed.id());
            return Err(PeerViolation::NotWhoWeDialled { dialled, claimed });
        }
        if let (Some(dialled), Some(proven)) = (&self.config.dialled, &self.config.proven)
            && dialled.designator != *proven
        {
            let claimed = PeerId::new(&dialled.transport, proven);
            return Err(PeerViolation::NotWhoWeDialled { dialled: dialled.id(), claimed });
        }
        if claimed.transport != self.config.location.transport {
            return Ok(Proof::None);
        }
        Ok(match &self.config.proven {
            Some(proven) if *proven == claimed.designator => Proof::Netlayer,
            None if self.config.trust_claims => Proof::FaceValue,
            _ => Proof::None,
        })
    }
}

/// Reads an `ocapn-peer` and the bytes it was read from.
fn read_location<'a>(input: &mut Reader<'a>) -> Result<(PeerLocator, &'a [u8]), WireError> {
    let offset = input.offset();
    let encoded = input.skip()?;
    let copy = bytes::Bytes::copy_from_slice(encoded);
    let mut again = Reader::new(&copy, &copy, &syrup::Options::default());
    if again.record("an ocapn-peer")? != "ocapn-peer" {
        return Err(WireError::unexpected(offset, "an ocapn-peer"));
    }
    Ok((again.peer_fields()?, encoded))
}

/// The record that the session key signs, so that its holder owns up to a location.
fn my_location(location: &PeerLocator) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(160);
    wire::encode_peer(&mut Encoder::new(&mut encoded), location);
    my_location_of(&encoded)
}

fn my_location_of(encoded_peer: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(encoded_peer.len() + 16);
    let mut out = Encoder::new(&mut bytes);
    out.begin_record();
    out.symbol("my-location");
    out.raw(encoded_peer);
    out.end_record();
    bytes
}
