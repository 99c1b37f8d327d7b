//! What was durable is there after a restart, and is the same.

use vat_runtime::persist::{Memory, StoreError};
use vat_runtime::{Limits, Value, Vat};

use crate::kit::{Counter, Holder, Purse, World, environment, set};

#[test]
fn a_counter_counts_on_from_what_was_committed() {
    let disk = Memory::new();
    let world = World::open(disk.clone());
    let vat = world.vat("counts");
    let counter = vat.spawn(Counter(0));
    vat.set_root("counter", &counter).unwrap();
    assert_eq!(world.ask(&counter, vec![5.into()]), Ok(5.into()));
    world.commit();
    assert_eq!(world.ask(&counter, vec![5.into()]), Ok(10.into()));
    let committed = disk.fork();

    // What was not committed is lost, and nothing else is.
    let world = World::open(committed);
    let vat = world.vat("counts");
    let counter = vat.root("counter").unwrap().unwrap();
    assert_eq!(vat.actor_count(), 0, "it sleeps until it is called");
    assert_eq!(world.ask(&counter, vec![1.into()]), Ok(6.into()));
    assert_eq!(vat.actor_count(), 1);
    assert_eq!(vat.root("nobody").unwrap(), None);
}

#[test]
fn closing_commits_what_is_pending() {
    let disk = Memory::new();
    let world = World::open(disk.clone());
    let vat = world.vat("counts");
    let counter = vat.root_or_spawn("counter", || Counter(0)).unwrap();
    assert_eq!(world.ask(&counter, vec![3.into()]), Ok(3.into()));
    world.store.close().unwrap();
    assert_eq!(world.store.commit_now(), Err(StoreError::Closed));
    let world = World::open(disk);
    let vat = world.vat("counts");
    let counter = vat.root_or_spawn("counter", || Counter(0)).unwrap();
    assert_eq!(world.ask(&counter, vec![]), Ok(3.into()));
}

#[test]
fn a_failed_turn_changes_nothing_that_is_stored() {
    let disk = Memory::new();
    let world = World::open(disk.clone());
    let vat = world.vat("bank");
    let (ada, ben) = (vat.spawn(Purse(10)), vat.spawn(Purse(0)));
    vat.set_root("purses", vec![Value::from(&ada), Value::from(&ben)]).unwrap();
    let transfer =
        |amount: u32, from| vec![Value::symbol("deposit"), amount.into(), Value::Ref(from)];
    assert!(world.ask(&ben, transfer(7, ada.clone())).is_ok());
    assert!(world.ask(&ben, transfer(7, ada)).is_err());
    world.commit();
    let world = World::open(disk);
    let vat = world.vat("bank");
    let Some(Value::List(purses)) = vat.root_value("purses").unwrap() else { panic!() };
    let balance =
        |purse: &Value| world.ask(purse.as_ref().unwrap(), vec![Value::symbol("balance")]).unwrap();
    assert_eq!(purses.iter().map(balance).collect::<Vec<_>>(), [3.into(), 7.into()]);
}

#[test]
fn the_same_object_reached_by_two_ways_is_one_actor() {
    let disk = Memory::new();
    let world = World::open(disk.clone());
    let vat = world.vat("shared");
    let counter = vat.spawn(Counter(0));
    for name in ["left", "right"] {
        vat.set_root(name, vat.spawn(Holder(Value::from(&counter)))).unwrap();
    }
    let at = counter.stored_as();
    world.hand.run_until_idle();
    world.commit();

    let world = World::open(disk);
    let vat = world.vat("shared");
    let held = |name| world.get(&vat.root(name).unwrap().unwrap()).as_ref().unwrap().clone();
    let (left, right) = (held("left"), held("right"));
    assert_eq!(left, right);
    assert_eq!(left.stored_as(), at, "an object keeps its number");
    assert_eq!(world.ask(&left, vec![1.into()]), Ok(1.into()));
    assert_eq!(world.ask(&right, vec![1.into()]), Ok(2.into()));
}

#[test]
fn cycles_come_back_and_numbers_are_not_used_again() {
    let disk = Memory::new();
    let world = World::open(disk.clone());
    let vat = world.vat("ring");
    let (a, b) = (vat.spawn(Holder(Value::Null)), vat.spawn(Holder(Value::Null)));
    assert!(world.ask(&a, set(&b)).is_ok());
    assert!(world.ask(&b, set(&a)).is_ok());
    vat.set_root("a", &a).unwrap();
    let numbers = [&a, &b].map(|it| it.stored_as().unwrap().object);
    world.commit();

    let world = World::open(disk);
    let vat = world.vat("ring");
    let a = vat.root("a").unwrap().unwrap();
    let b = world.get(&a).as_ref().unwrap().clone();
    assert_eq!(world.get(&b), Value::from(&a));
    let new = vat.spawn(Counter(0)).stored_as().unwrap().object;
    assert!(new > numbers[0].max(numbers[1]));
}

#[test]
fn vats_of_one_store_come_back_in_any_order() {
    for first in ["left", "right"] {
        let disk = Memory::new();
        let world = World::open(disk.clone());
        let (left, right) = (world.vat("left"), world.vat("right"));
        let counter = right.spawn(Counter(0));
        let holder = left.spawn(Holder(Value::from(&counter)));
        let back = right.spawn(Holder(Value::from(&holder)));
        left.set_root("holder", &holder).unwrap();
        right.set_root("back", &back).unwrap();
        right.set_root("counter", &counter).unwrap();
        world.hand.run_until_idle();
        world.commit();

        let world = World::open(disk);
        let pass = |by: i64| vec![Value::symbol("pass"), by.into()];
        if first == "left" {
            let left = world.vat("left");
            let holder = left.root("holder").unwrap().unwrap();
            let answers = [1, 2, 3].map(|by| holder.send(pass(by)));
            world.hand.run_until_idle();
            assert!(answers.iter().all(|answer| answer.outcome().is_none()), "they wait");
            let right = world.vat("right");
            world.hand.run_until_idle();
            let sums = answers.map(|answer| answer.outcome().unwrap());
            assert_eq!(sums, [Ok(1.into()), Ok(3.into()), Ok(6.into())]);
            let counter = right.root("counter").unwrap().unwrap();
            let held = world.get(&holder).as_ref().unwrap().outcome().unwrap().unwrap();
            assert_eq!(held, Value::from(&counter));
        } else {
            let right = world.vat("right");
            let back = right.root("back").unwrap().unwrap();
            let held = world.get(&back).as_ref().unwrap().clone();
            // Written again while the other vat is not open, and read again.
            assert!(world.ask(&back, set(vec![Value::Ref(held)])).is_ok());
            world.commit();
            let left = world.vat("left");
            let Value::List(held) = world.get(&back) else { panic!() };
            let held = held[0].as_ref().unwrap();
            assert_eq!(world.ask(held, pass(4)), Ok(4.into()));
            let holder = left.root("holder").unwrap().unwrap();
            assert_eq!(held.outcome(), Some(Ok(Value::from(&holder))));
            let ailments = world.store.doctor().unwrap().ailments;
            assert_eq!(ailments, []);
        }
    }
}

#[test]
fn a_vat_is_open_once_at_a_time() {
    let world = World::open(Memory::new());
    let vat = world.vat("one");
    let counter = vat.root_or_spawn("counter", || Counter(7)).unwrap();
    let again = || {
        let limits = Limits::default();
        Vat::open("one", world.hand.clone(), limits, &world.store, &environment())
    };
    assert_eq!(again().err(), Some(StoreError::AlreadyOpen("one".into())));
    world.hand.run_until_idle();
    drop(vat);
    assert!(world.ask(&counter, vec![]).is_err(), "its vat has stopped");
    let vat = again().unwrap();
    let counter = vat.root("counter").unwrap().unwrap();
    assert_eq!(world.ask(&counter, vec![]), Ok(7.into()), "also before it was committed");
}

#[test]
fn roots_are_listed_replaced_and_taken_away() {
    let disk = Memory::new();
    let world = World::open(disk.clone());
    let vat = world.vat("names");
    vat.set_root(b"\x01\xff", 1).unwrap();
    vat.set_root("b", "two").unwrap();
    vat.set_root("c", 3).unwrap();
    world.commit();
    vat.remove_root("b").unwrap();
    vat.set_root("c", 4).unwrap();
    let roots = vat.roots().unwrap();
    let expected = [(vec![1, 255], Value::from(1)), (b"c".to_vec(), 4.into())];
    let plain = |roots: Vec<(_, Value)>| -> Vec<(Vec<u8>, Value)> {
        roots.into_iter().map(|(name, value): (bytes::Bytes, _)| (name.to_vec(), value)).collect()
    };
    assert_eq!(plain(roots), expected);
    world.commit();
    let world = World::open(disk);
    assert_eq!(plain(world.vat("names").roots().unwrap()), expected);
    assert!(world.vat("others").roots().unwrap().is_empty());
}
