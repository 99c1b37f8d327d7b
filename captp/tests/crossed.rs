//! Two connections with one peer, and which of them is the session.

mod support;

use std::time::Duration;

use captp::{Action, ConnId, Event, Peer, PeerSettings, SessionEnd, SessionKey};
use support::{Side, config, location};

/// A session with bob as alice sees it, proven.
fn bob() -> captp::Established {
    let (mut alice, mut bob) = (Side::new(config("alice", 1)), Side::new(config("bob", 2)));
    alice.receive(&bob.transmit(true));
    let Event::Started(mut established) = alice.next() else { panic!("no start") };
    established.proof = captp::Proof::Netlayer;
    *established
}

/// Endo refuses a connection that comes when it has a session already, in its own words,
/// even if by the keys it is the session that should give way.
#[test]
fn a_session_that_gave_way_is_taken_when_the_other_connection_is_refused() {
    let (now, theirs) = (Duration::ZERO, bob());
    let bob = location("bob");
    let keys = (0..).map(|seed| SessionKey::from_entropy([seed; 32]).public().id());
    let higher = keys.into_iter().find(|id| *id > theirs.peer_key.id()).unwrap();
    for refusal in ["internal error", "crossed hellos"] {
        let mut alice = Peer::<(), ()>::new(PeerSettings::default());
        assert_eq!(alice.dial(&bob), None);
        assert_eq!(alice.poll_action(), Some(Action::Connect(bob.clone())));
        alice.opened(ConnId(1), Some(&bob), higher, now);
        alice.opened(ConnId(2), None, higher, now);
        alice.established(ConnId(2), &theirs, now);
        assert_eq!(alice.session_with(&bob.id()), None, "ours is to stay");

        alice.ended(ConnId(1), &SessionEnd::PeerAborted(refusal.into()), now);
        assert_eq!(alice.session_with(&bob.id()), Some(ConnId(2)), "{refusal}");
        let told = alice.poll_action();
        assert!(
            matches!(&told, Some(Action::Dialled(to, Ok(ConnId(2)))) if *to == bob.id()),
            "{told:?}"
        );
        assert_eq!(alice.check(), Ok(()));
    }
}
