//! A session is not read while a vat that it speaks to is behind, and ended when too
//! much of what it said waits for promises. Others notice neither.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use captp::{AnswerPos, RemotePos};
use ocapn::hub::{HubSettings, Link};
use ocapn::{
    Args, Fault, PeerLocator, Ref, Reply, Resolver, SessionEnd, Sturdyref, SwissNum, Turn, Value,
    Vat, VatLimits,
};
use vat_runtime::Manual;

use crate::by_hand::{Bare, ByHand, Said};
use crate::world::{Counter, TRANSPORT, World};

const QUEUE: usize = 10;

/// A vat that runs only when it is told to, and an object in it that notes what it hears.
struct Busy {
    hand: Arc<Manual>,
    vat: Vat,
    heard: Arc<Mutex<Vec<i64>>>,
    sturdyref: Sturdyref,
}

impl Busy {
    fn new(world: &World, who: usize, name: &str) -> Self {
        let hand = Manual::new();
        let vat = Vat::with_limits("busy", hand.clone(), VatLimits::default().queue(QUEUE));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = heard.clone();
        let actor = vat.spawn(move |_turn: &mut Turn<'_>, args: Args| -> Result<Reply, Fault> {
            hears.lock().unwrap().extend(args.first().and_then(Value::as_int));
            Ok(().into())
        });
        let swiss = SwissNum::from_entropy([200; 32]);
        world.hubs[who].register(&swiss, actor);
        // The actor waits to be put in place: the vat is awake, and its scheduler has it.
        Self {
            hand,
            vat,
            heard,
            sturdyref: Sturdyref::new(PeerLocator::new(TRANSPORT, name), swiss),
        }
    }
}

fn flood(world: &mut World, to: &Ref, messages: std::ops::Range<i64>) {
    for message in messages {
        to.send_only(vec![message.into()]);
        world.run();
    }
}

fn links(world: &World, who: usize) -> Vec<Arc<Link>> {
    world.hubs[who].links()
}

#[test]
fn a_session_is_not_read_while_a_vat_that_it_speaks_to_is_behind() {
    let mut world = World::new(&["server", "flood", "calm"], &HubSettings::default());
    let busy = Busy::new(&world, 0, "server");
    let counter = world.export(0, TRANSPORT, Counter(0));
    let flooded = world.resolve(1, &busy.sturdyref);
    let calm = world.resolve(2, &counter);

    flood(&mut world, &flooded, 0..1000);
    let [flooding, other] = &links(&world, 0)[..] else { panic!("two sessions") };
    assert!(flooding.is_paced() && !other.is_paced());
    // The limit and the one message that shows that it is reached; the rest is not read.
    assert_eq!(busy.vat.backlog(), QUEUE + 1);

    let asked = calm.send(vec![5.into()]);
    assert_eq!(world.outcome(&asked), Some(Ok(5.into())), "others go on");

    while busy.hand.step() {
        let backlog = busy.vat.backlog();
        assert_eq!(flooding.is_paced(), backlog > QUEUE / 2, "{backlog} wait");
        world.run();
        assert!(busy.vat.backlog() <= QUEUE + 1);
    }
    assert_eq!(*busy.heard.lock().unwrap(), (0..1000).collect::<Vec<_>>());
    assert_eq!((flooding.intake().queued_bytes(), flooding.is_paced()), (0, false));
    world.end();
}

#[test]
fn a_paced_session_is_not_taken_for_a_dead_one() {
    let mut world = World::new(&["server"], &HubSettings::default());
    let busy = Busy::new(&world, 0, "server");
    let mut old = ByHand::connect(&mut world, 0, "bob", true, 1);
    let actor = old.fetch(&mut world, busy.sturdyref.swiss.as_bytes());
    for message in 0..20 {
        old.ask(&mut world, actor, &[Said::from(message)]);
    }
    assert!(old.link.is_paced());
    world.pass(Duration::from_secs(20));
    let _new = ByHand::connect(&mut world, 0, "bob", true, 2);
    world.pass(Duration::from_secs(250));
    assert!(!old.link.is_ended(), "it is silent because we do not listen");
    busy.hand.run_until_idle();
    world.pass(Duration::from_secs(250));
    assert!(old.link.is_ended(), "now it is silent of itself");
}

#[test]
fn a_paced_session_can_end() {
    let mut world = World::new(&["server", "flood"], &HubSettings::default());
    let busy = Busy::new(&world, 0, "server");
    let flooded = world.resolve(1, &busy.sturdyref);
    flood(&mut world, &flooded, 0..100);
    let flooding = links(&world, 0).remove(0);
    assert!(flooding.is_paced());
    world.hubs[0].stop("enough");
    world.run();
    assert!(flooding.is_ended());
    assert!(links(&world, 1).is_empty(), "the peer was told");
    busy.hand.run_until_idle();
    // What had been read is handled all the same.
    assert_eq!(busy.heard.lock().unwrap().len(), QUEUE);
}

/// Something that answers with a promise which nobody keeps, and a peer that has asked it.
fn unkept(limit: usize) -> (World, ByHand, AnswerPos, Arc<Mutex<Vec<Resolver>>>) {
    let mut settings = HubSettings::default();
    settings.limits.parked_bytes = limit;
    let mut world = World::new(&["server", "calm"], &settings);
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keeps = kept.clone();
    let sturdyref = world.export(0, TRANSPORT, move |turn: &mut Turn<'_>, _: Args| {
        let (promise, resolver) = turn.promise();
        keeps.lock().unwrap().push(resolver);
        Ok::<Reply, Fault>(Reply::value(promise))
    });
    let mut peer = ByHand::connect(&mut world, 0, "bob", true, 1);
    let actor = peer.fetch(&mut world, sturdyref.swiss.as_bytes());
    let asked = peer.session.deliver(&mut Bare, RemotePos::Import(actor), &[], Some(1));
    let answer = asked.ok().flatten().unwrap();
    (world, peer, answer, kept)
}

const LIMIT: usize = 1 << 20;

fn ends_by_its_limit(world: &mut World, peer: &ByHand) {
    match peer.link.end() {
        Some(SessionEnd::Limit(limit)) => {
            assert_eq!((limit.name, limit.limit), ("parked_bytes", LIMIT as u64));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(peer.link.intake().parked_bytes(), 0, "nothing of it is kept");
    let counter = world.export(0, TRANSPORT, Counter(0));
    let calm = world.resolve(1, &counter);
    let asked = calm.send(vec![5.into()]);
    assert_eq!(world.outcome(&asked), Some(Ok(5.into())), "others go on");
}

#[test]
fn what_waits_in_a_promise_is_bounded() {
    let (mut world, mut peer, answer, kept) = unkept(LIMIT);
    let text = Said::from("x".repeat(10_000).as_str());
    let mut said = 0;
    while !peer.link.is_ended() {
        assert!(said < 2 * LIMIT);
        let sent = peer.session.deliver(
            &mut Bare,
            RemotePos::Answer(answer),
            std::slice::from_ref(&text),
            None,
        );
        assert!(sent.is_ok());
        peer.outcome(&mut world, usize::MAX);
        said += 10_000;
        assert!(!peer.link.is_paced());
    }
    assert!(said > LIMIT / 2);
    kept.lock().unwrap().clear();
    ends_by_its_limit(&mut world, &peer);
}

#[test]
fn listeners_are_bounded() {
    let (mut world, mut peer, answer, kept) = unkept(LIMIT);
    let mut listeners = 0;
    while !peer.link.is_ended() {
        assert!(listeners < LIMIT);
        for _ in 0..100 {
            assert!(peer.session.listen(RemotePos::Answer(answer), 7).is_ok());
        }
        peer.outcome(&mut world, usize::MAX);
        listeners += 100;
    }
    assert!(listeners > 1000);
    kept.lock().unwrap().clear();
    ends_by_its_limit(&mut world, &peer);
}
