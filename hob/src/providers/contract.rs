//! What every provider has to keep to, as a test that its writer runs.
//!
//! It orders machines from the provider, disturbs them, and counts what is really there
//! by other means than the provider's: those of a [`World`].

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::{Enrolment, FleetId, Instance, Key, Order, Provider, ProviderError, Target};

/// How many machines are ordered at once.
const AT_ONCE: usize = 4;

/// The outside, as the test sees it.
pub trait World: Sync {
    /// How many machines run that are marked with the key, however they came to be.
    fn running(&self, key: &Key) -> usize;

    /// Has the machine that is marked with the key end at once and without a word, as by
    /// `kill -9` or a power cut. Returns when it has ended.
    fn cut(&self, key: &Key);

    /// Whether anything is left of a machine with that key: files, namespaces, entries in
    /// somebody's list.
    fn traces(&self, key: &Key) -> bool;

    /// A provider as it is after the boss has been killed and started again.
    fn another(&self) -> Arc<dyn Provider>;
}

/// Checks a provider that has made nothing yet. It must be able to make four machines,
/// and leaves none.
///
/// # Panics
///
/// If the provider does not keep to the contract, with what it has done instead.
pub fn check(world: &dyn World) {
    let fleet = FleetId::random().expect("randomness");
    let provider = world.another();
    listed(&*provider, &fleet, &[]);
    destroying_what_never_was(&*provider, &fleet);
    one_machine(world, &fleet);
    many_at_once(world, &fleet);
    listed(&*provider, &fleet, &[]);
}

/// An order for a machine of that name, with an enrolment that nobody answers.
///
/// # Panics
///
/// Without randomness.
pub fn order(name: &str, fleet: &FleetId) -> Order {
    let nobody = "ocapn://nobody.tcp-tls/s/bm90LWEtc2VjcmV0?host=127.0.0.1&port=9";
    Order {
        name: name.to_owned(),
        key: Key::random().expect("randomness"),
        fleet: fleet.clone(),
        enrolment: Enrolment::new(nobody),
        spec: serde_json::Map::new(),
    }
}

/// Does what a provider is asked for, again as long as it says that it may work later.
fn patiently<T>(what: &str, ask: impl Fn() -> Result<T, ProviderError>) -> T {
    for _ in 0..10 {
        match ask() {
            Ok(done) => return done,
            Err(error) => assert!(error.temporary, "{what}: {error}"),
        }
    }
    panic!("{what}: never came to be");
}

fn create(provider: &dyn Provider, order: &Order) -> Instance {
    let steps = Mutex::new(0_usize);
    let count = |step: &str| {
        assert!(!step.is_empty() && step.len() < 40, "a step is a word or three: {step:?}");
        *steps.lock().expect("no panic before") += 1;
    };
    let instance = patiently("create", || provider.create(order, &count));
    assert!(*steps.lock().expect("no panic before") > 0, "create says nothing of its progress");
    assert_eq!(instance.key, order.key.as_str(), "create gives the key of the order");
    instance
}

fn listed(provider: &dyn Provider, fleet: &FleetId, expected: &[&Instance]) {
    let mut found = patiently("list", || provider.list(fleet));
    found.sort_by(|a, b| a.key.cmp(&b.key));
    let mut expected: Vec<_> = expected.iter().map(|instance| (*instance).clone()).collect();
    expected.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(found, expected, "list gives all that create has made, and as create gave it");
}

fn destroying_what_never_was(provider: &dyn Provider, fleet: &FleetId) {
    let target = order("never-was", fleet).target();
    patiently("destroying what never was", || provider.destroy(&target));
}

fn one_machine(world: &dyn World, fleet: &FleetId) {
    let order = order("one", fleet);
    let provider = world.another();
    let first = create(&*provider, &order);
    assert_eq!(world.running(&order.key), 1, "create makes a machine");
    assert_eq!(create(&*provider, &order), first, "create finds what is there");
    assert_eq!(world.running(&order.key), 1, "the same order twice is one machine");
    // The boss is killed, and has forgotten that it had an answer.
    drop(provider);
    let provider = world.another();
    assert_eq!(create(&*provider, &order), first, "also one that has just been started");
    assert_eq!(world.running(&order.key), 1, "the same order to another boss is one machine");
    listed(&*provider, fleet, &[&first]);
    let others = FleetId::random().expect("randomness");
    listed(&*provider, &others, &[]);
    let theirs = Target { fleet: others, ..order.target() };
    // Whether that is an error is the provider's choice: with the key, it can't be meant.
    let _either = provider.destroy(&theirs);
    assert_eq!(world.running(&order.key), 1, "another fleet's machines stay");
    world.cut(&order.key);
    assert_eq!(world.running(&order.key), 0, "the test's own means of ending a machine");
    revived(world, &*provider, &order, &first);
    assert_eq!(create(&*provider, &order), first, "create brings back what has ended");
    assert_eq!(world.running(&order.key), 1, "one machine after it was brought back");
    gone(world, &*provider, &order, Some(&first));
    // Gone is gone, for a boss that has heard of nothing as well.
    gone(world, &*world.another(), &order, None);
    // A machine that ended before it was to go is no obstacle.
    let second = create(&*provider, &order);
    world.cut(&order.key);
    gone(world, &*provider, &order, Some(&second));
}

/// A machine that has ended is started again without an enrolment, or left alone; and
/// ends as it was before.
fn revived(world: &dyn World, provider: &dyn Provider, order: &Order, first: &Instance) {
    let target = Target { id: Some(first.id.clone()), ..order.target() };
    let revive = || patiently("revive", || provider.revive(&target));
    if !revive() {
        assert_eq!(world.running(&order.key), 0, "revive says what it does");
        return;
    }
    assert_eq!(world.running(&order.key), 1, "revive brings back what has ended");
    assert!(!revive(), "revive leaves alone what runs");
    assert_eq!(world.running(&order.key), 1, "and makes no second one");
    listed(provider, &order.fleet, &[first]);
    world.cut(&order.key);
}

fn gone(world: &dyn World, provider: &dyn Provider, order: &Order, known: Option<&Instance>) {
    let id = known.map(|instance| instance.id.clone());
    let target = Target { id, ..order.target() };
    patiently("destroy", || provider.destroy(&target));
    assert_eq!(world.running(&order.key), 0, "destroy ends the machine");
    assert!(!world.traces(&order.key), "destroy leaves nothing behind");
    listed(provider, &order.fleet, &[]);
}

fn many_at_once(world: &dyn World, fleet: &FleetId) {
    let provider = world.another();
    let orders: Vec<_> = (0..AT_ONCE).map(|n| order(&format!("many-{n}"), fleet)).collect();
    let instances: Vec<_> = std::thread::scope(|scope| {
        let create = |order| create(&*provider, order);
        let made: Vec<_> = orders.iter().map(|o| scope.spawn(move || create(o))).collect();
        made.into_iter().map(|made| made.join().expect("create panicked")).collect()
    });
    let ids: BTreeSet<_> = instances.iter().map(|instance| &instance.id).collect();
    assert_eq!(ids.len(), AT_ONCE, "each machine has a name of its own: {instances:?}");
    for order in &orders {
        assert_eq!(world.running(&order.key), 1, "many at once are one each");
    }
    listed(&*provider, fleet, &instances.iter().collect::<Vec<_>>());
    let destroy = |order: &Order| patiently("destroy", || provider.destroy(&order.target()));
    std::thread::scope(|scope| {
        for order in &orders {
            scope.spawn(move || destroy(order));
        }
    });
    for order in &orders {
        assert_eq!(world.running(&order.key), 0, "many at once are gone");
        assert!(!world.traces(&order.key), "many at once leave nothing behind");
    }
}
