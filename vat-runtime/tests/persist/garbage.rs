//! What nothing holds is found, named and dropped; what is lost otherwise is named, too.

use vat_runtime::persist::{Ailment, Memory, Store, StoreOptions};
use vat_runtime::{Limits, Manual, Value, Vat};

use crate::kit::{Counter, Holder, World, environment, set};

#[test]
fn what_nothing_holds_is_named_before_it_is_dropped() {
    let disk = Memory::new();
    let world = World::open(disk.clone());
    let vat = world.vat("v");
    let counter = vat.spawn(Counter(0));
    // A ring that only the root reaches.
    let (a, b) = (vat.spawn(Holder(Value::Null)), vat.spawn(Holder(Value::from(&counter))));
    assert!(world.ask(&a, set(&b)).is_ok());
    assert!(world.ask(&b, set(vec![Value::from(&a), Value::from(&counter)])).is_ok());
    vat.set_root("ring", &a).unwrap();
    world.hand.run_until_idle();
    world.commit();
    drop((a, b, counter));
    assert_eq!(world.store.doctor().unwrap().unheld, []);
    assert_eq!(world.store.collect().unwrap().dropped, []);

    vat.remove_root("ring").unwrap();
    world.commit();
    world.hand.run_until_idle();
    let unheld: Vec<_> =
        world.store.doctor().unwrap().unheld.iter().map(ToString::to_string).collect();
    assert_eq!(
        unheld,
        [] as [String; 0],
        "the ring holds itself in memory as long as the vat runs"
    );
    world.store.close().unwrap();

    let world = World::open(disk);
    let _vat = world.vat("v");
    let report = world.store.doctor().unwrap();
    let mut unheld: Vec<_> = report.unheld.iter().map(ToString::to_string).collect();
    unheld.sort();
    assert_eq!(
        unheld,
        [
            "test counter (counter), object 1 of vat v",
            "test holder (holder), object 2 of vat v",
            "test holder (holder), object 3 of vat v",
        ]
    );
    assert!(report.to_string().contains("nothing holds test counter (counter), object 1 of vat v"));
    let collected = world.store.collect().unwrap();
    assert_eq!((collected.dropped.len(), collected.left), (3, 0));
    assert_eq!(world.store.view().unwrap().summary().unwrap().objects, 3, "not before a commit");
    world.commit();
    assert_eq!(world.store.view().unwrap().summary().unwrap().objects, 0);
}

#[test]
fn what_is_held_only_from_memory_or_only_by_what_is_pending_is_kept() {
    let world = World::open(Memory::new());
    let (vat, other) = (world.vat("v"), world.vat("other"));
    let counters: Vec<_> = (0..4).map(|count| vat.spawn(Counter(count))).collect();
    let plain = Vat::new("plain", world.hand.clone());
    let holder = vat.root_or_spawn("holder", || Holder(Value::from(&counters[0]))).unwrap();
    let far = other.root_or_spawn("far", || Holder(Value::from(&counters[1]))).unwrap();
    let transient = plain.spawn(Holder(Value::from(&counters[2])));
    let fourth = counters[3].clone();
    world.hand.run_until_idle();
    world.commit();
    drop(counters);
    world.hand.run_until_idle();
    assert_eq!(world.store.collect().unwrap().dropped, []);
    // It moves to what is not written yet.
    assert!(world.ask(&holder, set(vec![Value::Ref(fourth)])).is_ok());
    let dropped = world.store.collect().unwrap().dropped;
    assert_eq!(dropped, [], "what was held before is so until that is written");
    world.commit();
    let dropped = world.store.collect().unwrap().dropped;
    assert_eq!(dropped.iter().map(|it| it.at.object).collect::<Vec<_>>(), [1]);
    world.commit();
    let Value::List(held) = world.get(&holder) else { panic!() };
    assert_eq!(world.ask(held[0].as_ref().unwrap(), vec![]), Ok(3.into()));
    let held = world.get(&far);
    assert_eq!(world.ask(held.as_ref().unwrap(), vec![]), Ok(1.into()));
    let held = world.get(&transient);
    assert_eq!(world.ask(held.as_ref().unwrap(), vec![]), Ok(2.into()));
}

#[test]
fn garbage_is_collected_when_there_may_be_much() {
    const CROWDS: u64 = 12;
    const CROWD: u64 = 1000;
    for options in [StoreOptions::default(), StoreOptions::default().keep_garbage()] {
        let keeps = options.keep_garbage;
        let store = Store::open_with(Memory::new(), options).unwrap();
        let hand = Manual::new();
        let limits = Limits::default();
        let vat = Vat::open("v", hand.clone(), limits, &store, &environment()).unwrap();
        let holder = vat.root_or_spawn("holder", || Holder(Value::Null)).unwrap();
        for _ in 0..CROWDS {
            // Each is let go of for the next.
            let counters = (0..CROWD).map(|_| Value::Ref(vat.spawn(Counter(0))));
            holder.send_only(set(counters.collect::<Vec<_>>()));
            hand.run_until_idle();
            store.wait(store.pending()).unwrap();
        }
        let all = CROWDS * CROWD + 1;
        let summary = || store.view().unwrap().summary().unwrap();
        if keeps {
            assert_eq!(summary().objects, all);
            continue;
        }
        // As long as there are so many, a collection is due or at work. It ends with a
        // change of its own.
        loop {
            let next = store.durable() + 1;
            let now = summary();
            if now.objects < 2 * now.collected.max(1024) {
                assert!(now.objects < all, "{now:?}");
                break;
            }
            store.wait(next).unwrap();
        }
    }
}

#[test]
fn what_cannot_be_stored_is_reported_by_name_and_place() {
    let disk = Memory::new();
    let world = World::open(disk.clone());
    let vat = world.vat("v");
    let plain = Vat::new("plain", world.hand.clone());
    let foreign = plain.spawn(Counter(0));
    let closure = vat.spawn(|_: &mut vat_runtime::Turn<'_>, _: Vec<Value>| Ok(7.into()));
    let (_, resolver) = vat_runtime::promise();
    let held = Value::Struct(vec![
        ("foreign".into(), vec![Value::from(1), Value::from(&foreign)].into()),
        ("closure".into(), Value::from(&closure)),
        ("resolver".into(), Value::Ref(resolver.into_ref())),
    ]);
    let holder = vat.root_or_spawn("holder", || Holder(held)).unwrap();
    world.hand.run_until_idle();
    world.commit();
    let report = world.store.doctor().unwrap();
    let said: Vec<_> = report.ailments.iter().map(ToString::to_string).collect();
    let who = "test holder (holder), object 2 of vat v";
    let expect = [
        format!(
            "{who}: an actor of the vat \"plain\", which is not durable at .held.foreign[1] was \
                 not stored"
        ),
        format!("{who}: .held.closure refers to 1/1, which is not stored"),
        format!("{who}: a resolver at .held.resolver was not stored"),
    ];
    for line in &expect {
        assert!(said.contains(line), "{line} is not in {said:#?}");
    }
    assert!(
        report
            .ailments
            .iter()
            .any(|it| { matches!(it, Ailment::NotRestorable(object, _) if object.at.object == 1) })
    );
    drop(holder);

    let world = World::open(disk);
    let vat = world.vat("v");
    let Value::Struct(held) = world.get(&vat.root("holder").unwrap().unwrap()) else { panic!() };
    let field = |name: &str| &held.iter().find(|(key, _)| key == name).unwrap().1;
    let fault = |value: &Value| world.ask(value.as_ref().unwrap(), vec![]).unwrap_err().to_string();
    let Value::List(foreign) = field("foreign") else { panic!() };
    assert_eq!(
        fault(&foreign[1]),
        "not stored: an actor of the vat \"plain\", which is not durable"
    );
    assert_eq!(fault(field("resolver")), "not stored: a resolver");
    assert_eq!(fault(field("closure")), "the object could not be restored");
}

/// What refers to it is a promise as long as its vat is not open.
#[test]
fn what_is_held_from_memory_in_a_vat_that_is_not_open_is_kept() {
    let disk = Memory::new();
    let world = World::open(disk.clone());
    let (left, right) = (world.vat("left"), world.vat("right"));
    let counter = right.spawn(Counter(7));
    drop(left.root_or_spawn("holder", || Holder(Value::from(&counter))).unwrap());
    world.hand.run_until_idle();
    world.commit();
    let world = World::open(disk.fork());
    let left = world.vat("left");
    let holder = left.root("holder").unwrap().unwrap();
    let held = world.get(&holder);
    assert!(world.ask(&holder, set(1)).is_ok());
    world.commit();
    assert_eq!(world.store.collect().unwrap().dropped, []);
    world.commit();
    let right = world.vat("right");
    assert_eq!(world.ask(held.as_ref().unwrap(), vec![]), Ok(7.into()));
    drop(held);
    world.hand.run_until_idle();
    assert_eq!(world.store.collect().unwrap().dropped.len(), 1);
    drop(right);
}
