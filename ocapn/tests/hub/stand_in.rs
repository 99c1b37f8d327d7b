//! What the receiver can't reach goes by way of the gifter.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ocapn::hub::HubSettings;
use ocapn::{Args, Fault, Ref, Reply, Turn, Value};

use crate::world::{Caller, Counter, TRANSPORT, Wall, World};

const EXPORTER: usize = 0;
const GIFTER: usize = 1;
const RECEIVER: usize = 2;

fn three(wall: Option<Wall>) -> World {
    let mut world = World::new(&["exporter", "gifter", "receiver"], &HubSettings::default());
    world.walls.extend(wall.map(|wall| (EXPORTER, RECEIVER, wall)));
    world
}

/// The gifter's references to a counter of the exporter's and a caller of the receiver's.
fn introduced(world: &mut World) -> (Ref, Ref) {
    let counter = world.export(EXPORTER, TRANSPORT, Counter(0));
    let caller = world.export(RECEIVER, TRANSPORT, Caller);
    (world.resolve(GIFTER, &counter), world.resolve(GIFTER, &caller))
}

#[test]
fn an_exporter_that_can_not_be_reached_is_stood_in_for() {
    for wall in [Wall::Refused, Wall::Silence, Wall::Impostor] {
        let mut world = three(Some(wall));
        let (counter, caller) = introduced(&mut world);
        for expected in 1..=3 {
            let asked = caller.send(vec![Value::Ref(counter.clone()), 1.into()]);
            assert_eq!(world.outcome(&asked), Some(Ok(expected.into())), "{wall:?}");
        }
        assert_eq!(world.sessions(RECEIVER), 1, "only with the gifter");
        assert!(world.steps < 100, "one attempt to reach it is enough: {}", world.steps);
        world.pass(Duration::from_secs(60));
        drop((counter, caller));
        world.pass(Duration::from_secs(60));
        for link in world.hubs.iter().flat_map(|hub| hub.links()) {
            assert_eq!(link.table_counts(), ocapn::TableCounts::default(), "{}", link.dump());
        }
        world.end();
    }
}

/// Keeps the first thing it is told, and passes on what it is told then.
struct Keeper(Option<Ref>);

impl ocapn::Behaviour for Keeper {
    fn receive(&self, turn: &mut Turn<'_>, mut args: Args) -> Result<Reply, Fault> {
        match (&self.0, args.pop()) {
            (None, Some(Value::Ref(kept))) => Ok(Reply::become_with(Self(Some(kept)), ())),
            (Some(kept), Some(arg)) => Ok(Reply::value(turn.send(kept, vec![arg]))),
            _ => Err("something to keep".into()),
        }
    }
}

#[test]
fn standing_in_shows_and_lasts() {
    let mut world = three(Some(Wall::Refused));
    let counter = world.export(EXPORTER, TRANSPORT, Counter(0));
    let keeper = world.export(RECEIVER, TRANSPORT, Keeper(None));
    let (counter, keeper) = (world.resolve(GIFTER, &counter), world.resolve(GIFTER, &keeper));
    keeper.send_only(vec![Value::Ref(counter.clone())]);
    drop(counter);
    world.run();
    assert_eq!(world.standing_in(GIFTER), 1);
    assert_eq!((world.standing_in(EXPORTER), world.standing_in(RECEIVER)), (0, 0));
    // Longer than what was given is held for.
    world.pass(Duration::from_secs(600));
    let asked = keeper.send(vec![1.into()]);
    assert_eq!(world.outcome(&asked), Some(Ok(1.into())));
    assert_eq!(world.standing_in(GIFTER), 1);
    // Who stands in for somebody who is gone says so.
    world.kill(EXPORTER);
    let asked = keeper.send(vec![1.into()]);
    assert!(matches!(world.outcome(&asked), Some(Err(_))));
}

#[test]
fn what_goes_direct_is_not_stood_in_for() {
    let mut world = three(None);
    let counter = world.export(EXPORTER, TRANSPORT, Counter(0));
    let keeper = world.export(RECEIVER, TRANSPORT, Keeper(None));
    let (counter, keeper) = (world.resolve(GIFTER, &counter), world.resolve(GIFTER, &keeper));
    keeper.send_only(vec![Value::Ref(counter.clone())]);
    world.run();
    assert_eq!(world.standing_in(GIFTER), 0);
    assert_eq!(world.sessions(RECEIVER), 2);
}

#[test]
fn without_a_netlayer_in_common_the_gifter_stands_in_at_once() {
    let mut world = World::of(
        &[("exporter", &["one"]), ("gifter", &["one", "two"]), ("receiver", &["two"])],
        &HubSettings::default(),
    );
    let counter = world.export(EXPORTER, "one", Counter(0));
    let keeper = world.export(RECEIVER, "two", Keeper(None));
    let (counter, keeper) = (world.resolve(GIFTER, &counter), world.resolve(GIFTER, &keeper));
    keeper.send_only(vec![Value::Ref(counter)]);
    world.run();
    assert_eq!(world.standing_in(GIFTER), 1);
    let asked = keeper.send(vec![4.into()]);
    assert_eq!(world.outcome(&asked), Some(Ok(4.into())));
    assert_eq!(world.sessions(RECEIVER), 1);
}

/// Told so late that what was given is not held any more, the receiver hears why.
#[test]
fn a_gift_that_is_held_no_more_breaks_with_why_its_exporter_was_not_reached() {
    let mut settings = HubSettings::default();
    settings.peers.stand_in = Duration::ZERO;
    let mut world = World::new(&["exporter", "gifter", "receiver"], &settings);
    world.walls.push((EXPORTER, RECEIVER, Wall::Refused));
    let (counter, caller) = introduced(&mut world);
    let asked = caller.send(vec![Value::Ref(counter), 1.into()]);
    world.hubs[GIFTER].tick();
    let Some(Err(fault)) = world.outcome(&asked) else { panic!("broken") };
    assert!(fault.to_string().contains("can't be reached"), "{fault}");
}

/// Who says more by way of us than its receiver takes is read slowly, so that the
/// receiver's session does not end for it.
#[test]
fn who_floods_another_by_way_of_us_is_slowed() {
    let mut world = three(Some(Wall::Refused));
    let (slot, heard) = (Arc::new(Mutex::new(None)), Arc::new(AtomicUsize::new(0)));
    let (keeps, hears) = (slot.clone(), heard.clone());
    let ear = world.export(EXPORTER, TRANSPORT, move |_: &mut Turn<'_>, args: Args| {
        hears.fetch_add(args.len(), Ordering::SeqCst);
        Ok::<_, Fault>(Reply::value(()))
    });
    let keeper = world.export(RECEIVER, TRANSPORT, move |_: &mut Turn<'_>, mut args: Args| {
        *keeps.lock().unwrap() = args.pop();
        Ok::<_, Fault>(Reply::value(()))
    });
    let (ear, keeper) = (world.resolve(GIFTER, &ear), world.resolve(GIFTER, &keeper));
    keeper.send_only(vec![Value::Ref(ear.clone())]);
    world.run();
    let Some(Value::Ref(ear)) = slot.lock().unwrap().take() else { panic!("a reference") };
    let asked = ear.send(vec![0.into()]);
    assert_eq!(world.outcome(&asked), Some(Ok(Value::Undefined)));

    world.clogged.insert((GIFTER, EXPORTER));
    let slowed = |world: &World| {
        let links = world.hubs[GIFTER].links();
        let slowed = links.iter().filter(|link| link.is_slowed());
        slowed.map(|link| link.peer().unwrap().location.designator.clone()).collect::<Vec<_>>()
    };
    let filler = Value::from("x".repeat(100_000).as_str());
    for said in 1..=12 {
        assert_eq!(slowed(&world).len(), usize::from(said > 11), "after {} messages", said - 1);
        ear.send_only(vec![filler.clone()]);
        world.run();
    }
    assert_eq!(slowed(&world), ["receiver"]);
    assert_eq!(heard.load(Ordering::SeqCst), 1);
    world.clogged.clear();
    world.run();
    assert!(slowed(&world).is_empty());
    assert_eq!(heard.load(Ordering::SeqCst), 13);

    // Nor does it stay slow for a session that has ended.
    world.clogged.insert((GIFTER, EXPORTER));
    for _ in 0..12 {
        ear.send_only(vec![filler.clone()]);
    }
    world.run();
    assert_eq!(slowed(&world), ["receiver"]);
    world.kill(EXPORTER);
    assert!(slowed(&world).is_empty());
}
