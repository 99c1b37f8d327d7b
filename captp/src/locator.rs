//! Peer locators and sturdyrefs: what they are and their `ocapn://` URIs.

use std::collections::BTreeMap;

/// Where and who a peer is: transport, designator and hints.
///
/// Two locators name the same peer when transport and designator agree; hints only
/// say how to reach it ([`PeerLocator::same_peer`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerLocator {
    /// The netlayer's name, such as `tcp-tls`.
    pub transport: String,
    /// Who the peer is, in the netlayer's own terms.
    pub designator: String,
    /// How to reach it, such as `host` and `port`.
    pub hints: BTreeMap<String, String>,
}

/// A long-lived name of an object at a peer. Whoever holds it may call the object:
/// `Debug` redacts the swiss number and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Sturdyref {
    /// The peer that exports the object.
    pub peer: PeerLocator,
    /// The unguessable number of the object at that peer.
    pub swiss: SwissNum,
}

/// The unguessable number that names an object at its peer. A secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SwissNum(Box<[u8]>);

impl std::fmt::Debug for Sturdyref {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sturdyref").field("peer", &self.peer).finish_non_exhaustive()
    }
}
