//! Actors sleep when there are more than the vat may have awake, and wake when called.

use std::sync::Arc;

use vat_runtime::persist::{Environment, EnvironmentError, Memory};
use vat_runtime::{Args, Behaviour, Fault, Limits, Reply, Turn, Value, Vat};

use crate::kit::{Counter, Holder, World, environment, set};

const ACTORS: i64 = 1000;
const AWAKE: usize = 50;

fn crowded(world: &World) -> Vat {
    world.vat_with("crowd", Limits::default().awake(AWAKE), &environment())
}

/// One turn, so that those who may sleep do.
fn breathe(world: &World, vat: &Vat) {
    vat.run(|_| Ok(())).wait_on(world);
}

trait WaitOn<T> {
    fn wait_on(self, world: &World) -> T;
}

impl<T> WaitOn<T> for vat_runtime::Settling<T> {
    fn wait_on(self, world: &World) -> T {
        world.hand.run_until_idle();
        self.wait().unwrap()
    }
}

#[test]
fn a_vat_holds_more_actors_than_may_be_awake() {
    let disk = Memory::new();
    let world = World::open(disk.clone());
    let vat = crowded(&world);
    let counters: Vec<_> = (0..ACTORS).map(|count| vat.spawn(Counter(count))).collect();
    let all: Vec<Value> = counters.iter().map(Value::from).collect();
    vat.set_root("all", all).unwrap();
    breathe(&world, &vat);
    assert_eq!(vat.actor_count(), ACTORS as usize, "what is not durable stays awake");
    world.commit();
    breathe(&world, &vat);
    breathe(&world, &vat);
    assert!(vat.actor_count() <= AWAKE, "{} are awake", vat.actor_count());
    // Everybody still counts, whether asleep or not, in every order.
    for round in 1..4 {
        for (number, counter) in (0..).zip(&counters) {
            assert_eq!(world.ask(counter, vec![1.into()]), Ok((number + round).into()));
            if number % 10 == 0 {
                world.commit();
            }
        }
        assert!(vat.actor_count() <= AWAKE + 20, "{} are awake", vat.actor_count());
    }
    world.commit();
    let world = World::open(disk);
    let vat = crowded(&world);
    let Some(Value::List(all)) = vat.root_value("all").unwrap() else { panic!() };
    for (number, counter) in (0..).zip(&all) {
        assert_eq!(world.ask(counter.as_ref().unwrap(), vec![]), Ok((number + 3i64).into()));
        assert!(vat.actor_count() <= AWAKE + 1);
    }
}

#[test]
fn calls_within_a_turn_wake_too_and_failed_turns_put_back_what_woke() {
    let world = World::open(Memory::new());
    let vat = crowded(&world);
    let counters: Vec<_> = (0..ACTORS).map(|_| vat.spawn(Counter(0))).collect();
    world.hand.run_until_idle();
    world.commit();
    breathe(&world, &vat);
    breathe(&world, &vat);
    let all = counters.clone();
    let failing = vat.run(move |turn| {
        for counter in &all {
            turn.call(counter, vec![1.into()])?;
        }
        Err::<(), _>("never mind".into())
    });
    world.hand.run_until_idle();
    assert!(failing.wait().is_err());
    let all = counters.clone();
    let sum = vat.run(move |turn| {
        let mut sum = 0;
        for counter in &all {
            sum += turn.call(counter, vec![2.into()])?.as_int().unwrap();
        }
        Ok(sum)
    });
    assert_eq!(sum.wait_on(&world), 2 * ACTORS);
    for counter in &counters {
        assert_eq!(world.ask(counter, vec![]), Ok(2.into()));
    }
}

/// What is held only by an actor that sleeps is found again when it wakes.
#[test]
fn a_chain_of_sleepers_keeps_its_state() {
    let world = World::open(Memory::new());
    let vat = world.vat_with("chain", Limits::default().awake(1), &environment());
    let counter = vat.spawn(Counter(0));
    let mut last = counter.clone();
    for _ in 0..20 {
        last = vat.spawn(Holder(Value::Ref(last)));
    }
    vat.set_root("chain", &last).unwrap();
    assert_eq!(world.ask(&counter, vec![41.into()]), Ok(41.into()));
    drop(counter);
    world.commit();
    for _ in 0..50 {
        breathe(&world, &vat);
    }
    assert!(vat.actor_count() <= 1);
    let mut at = last;
    for _ in 0..20 {
        at = world.get(&at).as_ref().unwrap().clone();
    }
    assert_eq!(world.ask(&at, vec![1.into()]), Ok(42.into()));
}

#[test]
fn who_would_come_back_as_less_stays_awake() {
    let world = World::open(Memory::new());
    let vat = world.vat_with("keen", Limits::default().awake(1), &environment());
    let (promise, resolver) = vat_runtime::promise();
    let waiting = vat.root_or_spawn("waiting", || Holder(promise.into())).unwrap();
    // Holds the one above, and is held by nobody in memory once it sleeps itself.
    let outer = vat.root_or_spawn("outer", || Holder(Value::from(&waiting))).unwrap();
    let closure = vat.spawn(|_: &mut Turn<'_>, _: Vec<Value>| Ok(7.into()));
    world.hand.run_until_idle();
    drop(waiting);
    world.commit();
    for _ in 0..10 {
        breathe(&world, &vat);
    }
    assert_eq!(vat.actor_count(), 2, "the one that waits, and the one of no kind");
    assert_eq!(world.ask(&closure, vec![]), Ok(7.into()));
    resolver.fulfill(5);
    let waiting = world.get(&outer).as_ref().unwrap().clone();
    assert_eq!(world.get(&waiting).as_ref().unwrap().outcome(), Some(Ok(5.into())));
    world.commit();
    drop((waiting, outer));
    for _ in 0..10 {
        breathe(&world, &vat);
    }
    assert_eq!(vat.actor_count(), 1, "it was stored whole once the promise had settled");
    let waiting = vat.root("waiting").unwrap().unwrap();
    assert_eq!(world.get(&waiting).as_ref().unwrap().outcome(), Some(Ok(5.into())));
    assert!(world.ask(&waiting, set(1)).is_ok());
}

/// It can be found again from the store after the last who knew it in memory let go.
#[test]
fn who_would_come_back_as_less_and_is_let_go_of_is_kept_as_it_was() {
    let world = World::open(Memory::new());
    let vat = world.vat_with("keen", Limits::default().awake(1), &environment());
    let waiting = vat.spawn(Holder(Value::Null));
    let outer = vat.root_or_spawn("outer", || Holder(Value::from(&waiting))).unwrap();
    world.hand.run_until_idle();
    world.commit();
    for _ in 0..10 {
        breathe(&world, &vat);
    }
    let (promise, resolver) = vat_runtime::promise();
    assert!(world.ask(&waiting, set(promise)).is_ok());
    drop(waiting);
    for _ in 0..10 {
        breathe(&world, &vat);
    }
    world.commit();
    let held = |of: &vat_runtime::Ref| world.get(of).as_ref().unwrap().clone();
    assert!(held(&held(&outer)).is_promise(), "it is not what was stored of it");
    resolver.fulfill(5);
    assert_eq!(held(&held(&outer)).outcome(), Some(Ok(5.into())));
}

#[test]
fn the_behaviour_of_one_that_sleeps_is_replaced_and_stored() {
    let disk = Memory::new();
    let world = World::open(disk.clone());
    let vat = world.vat("upgraded");
    drop(vat.root_or_spawn("counter", || Counter(1)).unwrap());
    world.hand.run_until_idle();
    world.store.close().unwrap();
    let world = World::open(disk.clone());
    let vat = world.vat("upgraded");
    let counter = vat.root("counter").unwrap().unwrap();
    vat.replace_behaviour(&counter, Holder(7.into())).wait_on(&world);
    assert_eq!(world.get(&counter), 7.into());
    world.commit();
    let world = World::open(disk.fork());
    let vat = world.vat("upgraded");
    assert_eq!(world.get(&vat.root("counter").unwrap().unwrap()), 7.into());
}

/// Holds what tells how many of it there are.
struct Guard {
    _one: Arc<()>,
}

impl Behaviour for Guard {
    fn receive(&self, _turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
        Ok(Reply::value(true))
    }
}

fn guarded(guards: &Arc<()>) -> Environment {
    let (mut environment, guards) = (environment(), guards.clone());
    let restore = move |_| Ok(Guard { _one: guards.clone() });
    environment.kind_with("guard", 1, |_: &Guard| Value::Null, restore).unwrap();
    environment.awake("guard").unwrap();
    environment
}

#[test]
fn those_that_are_to_be_awake_are_so_from_the_opening_of_their_vat_until_nothing_holds_them() {
    let unknown = Environment::new().awake("guard").unwrap_err();
    assert_eq!(unknown, EnvironmentError::NoSuchKind("guard".into()));

    let disk = Memory::new();
    let guards = Arc::new(());
    let count = || Arc::strong_count(&guards) - 1;
    let world = World::open(disk.clone());
    let environment = guarded(&guards);
    let others = count();
    let vat = world.vat_with("guards", Limits::default(), &environment);
    vat.set_root("guard", vat.spawn(Guard { _one: guards.clone() })).unwrap();
    drop(vat.spawn(Guard { _one: guards.clone() }));
    world.hand.run_until_idle();
    world.commit();
    assert_eq!(count() - others, 1, "also if nothing in memory refers to it");
    drop((vat, environment));
    world.store.close().unwrap();
    drop(world);
    assert_eq!(count(), 0);

    let world = World::open(disk);
    let environment = guarded(&guards);
    let others = count();
    let vat = world.vat_with("guards", Limits::default().awake(1), &environment);
    assert_eq!(count() - others, 1, "nobody has called it");
    let guard = vat.root("guard").unwrap().unwrap();
    assert_eq!(world.ask(&guard, vec![]), Ok(true.into()));
    drop(guard);
    for _ in 0..10 {
        drop(vat.spawn(Counter(0)));
        breathe(&world, &vat);
        world.commit();
    }
    assert_eq!(count() - others, 1, "it does not sleep, and there are not two");
    vat.remove_root("guard").unwrap();
    world.commit();
    world.store.collect().unwrap();
    world.commit();
    breathe(&world, &vat);
    assert_eq!(count() - others, 0);
}
