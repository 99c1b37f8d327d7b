//! A handoff, in many orders of arrival, and with each of the three gone after every
//! step of it: what is asked is answered or breaks, and nothing is left.

use std::time::Duration;

use ocapn::hub::HubSettings;
use ocapn::{Promise, Value};

use crate::world::{Caller, Counter, TRANSPORT, Wall, World};

const EXPORTER: usize = 0;
const GIFTER: usize = 1;
const RECEIVER: usize = 2;
const NAMES: [&str; 3] = ["exporter", "gifter", "receiver"];

/// The gifter has sessions with both, and asks the receiver to call the exporter's
/// counter: once by a reference that is there, once by a promise that is not.
fn begin(world: &mut World) -> [Promise; 2] {
    let counter = world.export(EXPORTER, TRANSPORT, Counter(0));
    let maker = world.export(EXPORTER, TRANSPORT, |turn: &mut ocapn::Turn<'_>, _: ocapn::Args| {
        Ok(ocapn::Reply::value(Value::Ref(turn.spawn(Counter(10)))))
    });
    let caller = world.export(RECEIVER, TRANSPORT, Caller);
    let counter = world.resolve(GIFTER, &counter);
    let maker = world.resolve(GIFTER, &maker);
    let caller = world.resolve(GIFTER, &caller);
    world.steps = 0;
    let promised = maker.send(vec![]);
    [caller.send(vec![counter.into(), 5.into()]), caller.send(vec![promised.into(), 5.into()])]
}

fn settings(give_promises: bool) -> HubSettings {
    let mut settings = HubSettings::default();
    settings.give_promises = give_promises;
    settings
}

#[test]
fn a_handoff_ends_well_in_every_order_tried() {
    for (give_promises, wall) in [(false, false), (true, false), (false, true), (true, true)] {
        for seed in 0..100 {
            let mut world = World::new(&NAMES, &settings(give_promises)).shuffled(seed);
            if wall {
                world.walls.push((EXPORTER, RECEIVER, Wall::Refused));
            }
            let asked = begin(&mut world);
            let five = world.outcome(&asked[0]);
            assert_eq!(five, Some(Ok(5.into())), "seed {seed}");
            assert_eq!(world.outcome(&asked[1]), Some(Ok(15.into())), "seed {seed}");
            // It has its own session with the exporter, where it can.
            assert_eq!(world.sessions(RECEIVER), if wall { 1 } else { 2 });
            drop(asked);
            world.pass(Duration::from_secs(60));
            for link in world.hubs.iter().flat_map(|hub| hub.links()) {
                assert_eq!(link.table_counts(), ocapn::TableCounts::default(), "{}", link.dump());
            }
            world.end();
        }
    }
}

#[test]
fn whoever_is_gone_after_whichever_step_nothing_hangs_and_nothing_is_left() {
    for who in [EXPORTER, GIFTER, RECEIVER] {
        for (give_promises, wall) in [(false, false), (true, false), (false, true), (true, true)] {
            for seed in 0..4 {
                let mut step = 0;
                let place = |step| format!("{} after {step}, {wall}, seed {seed}", NAMES[who]);
                while gone_after(who, step, give_promises, wall, seed, &place(step)) {
                    step += 1;
                }
                assert!(step > 10, "{step}");
            }
        }
    }
}

/// Whether there was such a step.
fn gone_after(
    who: usize,
    step: usize,
    give_promises: bool,
    wall: bool,
    seed: u64,
    place: &str,
) -> bool {
    let mut world = World::new(&NAMES, &settings(give_promises)).shuffled(seed);
    if wall {
        world.walls.push((EXPORTER, RECEIVER, Wall::Refused));
    }
    let asked = begin(&mut world);
    while world.steps < step && world.step() {}
    let reached = world.steps == step;
    world.kill(who);
    world.pass(Duration::from_secs(120));
    for promise in &asked {
        assert!(promise.outcome().is_some(), "hangs: {place}");
    }
    drop(asked);
    world.end();
    reached
}

/// From gifter to receiver, from there to the exporter with the request for the gift and
/// the call of it in one, and back: two round trips, once receiver and exporter have a
/// session. It takes one to call an object that is there, and as long to enliven it.
#[test]
fn a_handoff_takes_two_round_trips() {
    let mut world = World::new(&NAMES, &settings(false));
    let sturdyref = world.export(EXPORTER, TRANSPORT, Counter(0));
    let caller = world.export(RECEIVER, TRANSPORT, Caller);
    let counter = world.resolve(GIFTER, &sturdyref);
    let caller = world.resolve(GIFTER, &caller);
    let of_receiver = world.resolve(RECEIVER, &sturdyref);
    let give = || vec![Value::Ref(counter.clone()), 1.into()];
    assert_eq!(world.journeys_until(&caller.send(give())), 4);
    assert_eq!(world.journeys_until(&caller.send(give())), 4, "each is a gift of its own");
    assert_eq!(world.journeys_until(&counter.send(vec![1.into()])), 2);
    let enlivened = world.hubs[GIFTER].enliven(&sturdyref);
    assert_eq!(world.journeys_until(&enlivened.send(vec![1.into()])), 2, "call included");
    drop(of_receiver);
}

#[test]
fn several_receivers_of_one_gifter_and_several_gifters_of_one_receiver() {
    for seed in 0..20 {
        let names = ["exporter", "gifter", "second gifter", "receiver", "second receiver"];
        let mut world = World::new(&names, &settings(false)).shuffled(seed);
        let counter = world.export(0, TRANSPORT, Counter(0));
        let callers = [3, 4].map(|who| world.export(who, TRANSPORT, Caller));
        let mut asked = Vec::new();
        for gifter in [1, 2] {
            let counter = world.resolve(gifter, &counter);
            for caller in &callers {
                let caller = world.resolve(gifter, caller);
                // Several gifts, one session: each withdrawal has its own count.
                for _ in 0..3 {
                    asked.push(caller.send(vec![Value::Ref(counter.clone()), 1.into()]));
                }
            }
        }
        world.run();
        let mut counts: Vec<i64> = asked
            .iter()
            .map(|asked| match asked.outcome() {
                Some(Ok(count)) => count.as_int().unwrap(),
                other => panic!("seed {seed}: {other:?}"),
            })
            .collect();
        counts.sort_unstable();
        assert_eq!(counts, (1..=12).collect::<Vec<_>>());
        for receiver in [3, 4] {
            assert_eq!(world.sessions(receiver), 3, "one with each, however many gifts");
        }
    }
}

/// The gifter reaches the exporter by two transports, and can't know that it is one
/// peer: what it got by one comes home by the other by way of the gifter.
#[test]
fn what_comes_home_by_another_transport_goes_by_way_of_the_gifter() {
    let two: &[&str] = &["mem", "other"];
    let mut world = World::of(&[("exporter", two), ("gifter", two)], &settings(false));
    let counter = world.export(0, "mem", Counter(0));
    let counter = world.resolve(1, &counter);
    for (transport, sessions) in [("mem", 1), ("other", 2)] {
        let caller = world.export(0, transport, Caller);
        let caller = world.resolve(1, &caller);
        let asked = caller.send(vec![Value::Ref(counter.clone()), 1.into()]);
        assert_eq!(world.outcome(&asked), Some(Ok(sessions.into())));
        assert_eq!(world.sessions(0), usize::try_from(sessions).unwrap());
    }
}
