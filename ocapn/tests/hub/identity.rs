//! Who claims to be somebody without proof gets nothing of what is that somebody's.

use std::time::Duration;

use ocapn::Proof;
use ocapn::hub::HubSettings;

use crate::by_hand::{BOOTSTRAP, ByHand, Said};
use crate::world::{Counter, TRANSPORT, World};

#[test]
fn a_hundred_concurrent_enlivens_open_one_connection() {
    let mut world = World::new(&["server", "client"], &HubSettings::default());
    let counter = world.export(0, TRANSPORT, Counter(0));
    let asked: Vec<_> = (0..100).map(|_| world.hubs[1].enliven(&counter)).collect();
    world.run();
    assert!(asked.iter().all(|asked| matches!(asked.outcome(), Some(Ok(_)))));
    assert_eq!((world.sessions(0), world.sessions(1)), (1, 1));
}

#[test]
fn an_impostor_takes_no_place_and_is_sent_nothing() {
    for first in [true, false] {
        let mut world = World::new(&["victim", "client"], &HubSettings::default());
        let counter = world.export(0, TRANSPORT, Counter(0));
        if !first {
            world.resolve(1, &counter);
        }
        let impostor = ByHand::connect(&mut world, 1, "victim", false, 7);
        assert_eq!(impostor.link.peer().unwrap().proof, Proof::None);
        let before = impostor.link.traffic().messages_out;
        let live = world.resolve(1, &counter);
        let asked = live.send(vec![1.into()]);
        assert_eq!(world.outcome(&asked), Some(Ok(1.into())));
        assert_eq!(impostor.link.traffic().messages_out, before, "nothing was for it");
        assert_eq!(world.sessions(0), 1);
        assert!(!impostor.link.is_ended(), "it is served for what it is");
    }
}

/// A peer that has restarted while its old connection looks alive. What was held by that
/// breaks when it has been silent for long enough; if it is heard, it stays.
#[test]
fn what_a_peer_superseded_and_left_silent_breaks() {
    for heard in [false, true] {
        let mut world = World::new(&["server"], &HubSettings::default());
        let counter = world.export(0, TRANSPORT, Counter(0));
        let mut old = ByHand::connect(&mut world, 0, "bob", true, 1);
        old.fetch(&mut world, counter.swiss.as_bytes());
        world.pass(Duration::from_secs(20));
        let new = ByHand::connect(&mut world, 0, "bob", true, 2);
        for _ in 0..5 {
            world.pass(Duration::from_secs(50));
            if heard {
                old.ask(&mut world, BOOTSTRAP, &[Said::symbol("hello")]);
            }
        }
        assert_eq!(old.link.is_ended(), !heard);
        assert!(!new.link.is_ended());
    }
}
