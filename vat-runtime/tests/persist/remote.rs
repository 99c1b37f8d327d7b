//! References to peers' objects are stored as the sturdyrefs they came from, and
//! enlivened when somebody wants something from them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use captp::locator::Sturdyref;
use vat_runtime::persist::{Backoff, Memory, Realm, Store, StoreOptions};
use vat_runtime::{Fault, Manual, Promise, Ref, SimClock, Value, Vat};

use crate::kit::{Counter, World, set};

/// A network of one object, in another vat of this process.
struct Network {
    object: Ref,
    sturdyref: Sturdyref,
    /// What the next enlivenings come to, before they come to the object.
    failures: Mutex<VecDeque<&'static str>>,
    tries: Mutex<u32>,
}

const NAME: &str = "ocapn://ada.loopback/s/AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

impl Network {
    fn new(hand: &Arc<Manual>) -> (Arc<Self>, Vat) {
        let vat = Vat::new("elsewhere", hand.clone());
        let network = Self {
            object: vat.spawn(Counter(0)),
            sturdyref: NAME.parse().unwrap(),
            failures: Mutex::default(),
            tries: Mutex::default(),
        };
        (Arc::new(network), vat)
    }
}

impl Realm for Network {
    fn sturdyref_of(&self, reference: &Ref) -> Option<Sturdyref> {
        (*reference == self.object).then(|| self.sturdyref.clone())
    }

    fn enliven(&self, sturdyref: &Sturdyref) -> Ref {
        assert_eq!(*sturdyref, self.sturdyref);
        *self.tries.lock().unwrap() += 1;
        let failure = self.failures.lock().unwrap().pop_front();
        let outcome = failure.map_or(Ok(Value::from(&self.object)), |why| Err(Fault::from(why)));
        Promise::settled(outcome).into_ref()
    }

    fn is_passing(&self, fault: &Fault) -> bool {
        fault.to_string() != "no such object"
    }
}

/// A vat restored with a holder of what is stored as a remote reference.
fn restored(tries: u32) -> (World, Arc<Network>, Arc<SimClock>, Ref, (Vat, Vat)) {
    // As a node would have left it.
    let text = format!(
        "<'store 1 9 0>\n<'vat 1 \"v\" 9>\n<'root 1 b\"holder\" <'near 1>>\n\
         <'object 1 1 'holder \"h\" 1 {{\"held\": <'remote \"{NAME}\">}}>"
    );
    let disk = vat_runtime::persist::import_text(&text).unwrap();
    let backoff = Backoff::default().tries(tries);
    let options = StoreOptions::default().by_hand().backoff(backoff);
    let world = World { store: Store::open_with(disk, options).unwrap(), hand: Manual::new() };
    let (network, elsewhere) = Network::new(&world.hand);
    let clock = SimClock::new();
    world.store.connect(network.clone(), Some(clock.clone()));
    let vat = world.vat("v");
    let holder = vat.root("holder").unwrap().unwrap();
    (world, network, clock, holder, (vat, elsewhere))
}

fn pass(by: i64) -> Vec<Value> {
    vec![Value::symbol("pass"), by.into()]
}

#[test]
fn it_is_enlivened_when_it_is_first_used_and_messages_keep_their_order() {
    let (world, network, clock, holder, _vats) = restored(10);
    world.get(&holder);
    assert_eq!(*network.tries.lock().unwrap(), 0, "nobody wanted anything from it");
    network.failures.lock().unwrap().extend(["not reached"; 3]);
    let answers = [1, 2, 3].map(|by| holder.send(pass(by)));
    world.hand.run_until_idle();
    assert_eq!(*network.tries.lock().unwrap(), 1);
    // 250 ms, 500 ms, 1 s.
    for (wait, tries) in [(249, 1), (1, 2), (499, 2), (1, 3), (999, 3), (1, 4)] {
        clock.advance(Duration::from_millis(wait));
        world.hand.run_until_idle();
        assert_eq!(*network.tries.lock().unwrap(), tries);
    }
    let sums = answers.map(|answer| answer.outcome());
    assert_eq!(sums, [Some(Ok(1.into())), Some(Ok(3.into())), Some(Ok(6.into()))]);
    assert_eq!(world.ask(&holder, pass(1)), Ok(7.into()));
    assert_eq!(*network.tries.lock().unwrap(), 4);
}

#[test]
fn who_waits_too_long_is_told_and_who_comes_later_is_not_harmed() {
    let (world, network, clock, holder, _vats) = restored(2);
    network.failures.lock().unwrap().extend(["not reached"; 2]);
    let answer = holder.send(pass(1));
    world.hand.run_until_idle();
    clock.advance(Duration::from_secs(60));
    world.hand.run_until_idle();
    assert_eq!(answer.outcome(), Some(Err("not reached".into())));
    assert_eq!(world.ask(&holder, pass(2)), Ok(2.into()));
    // What will not pass is not waited for.
    let (world, network, clock, holder, _vats) = restored(10);
    network.failures.lock().unwrap().push_back("no such object");
    assert_eq!(world.ask(&holder, pass(1)), Err("no such object".into()));
    clock.advance(Duration::from_secs(600));
    assert_eq!(*network.tries.lock().unwrap(), 1);
}

#[test]
fn it_is_stored_as_its_sturdyref_before_and_after_it_is_enlivened() {
    let (world, _network, _clock, holder, _vats) = restored(10);
    let line = || {
        let mut out = Vec::new();
        vat_runtime::persist::export_text(&*world.store.view().unwrap(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines().find(|line| line.contains("'holder")).unwrap().to_owned()
    };
    let held = world.get(&holder);
    assert!(world.ask(&holder, set(vec![held.clone()])).is_ok());
    world.commit();
    let expected = format!("{{\"held\": [<'remote \"{NAME}\">]}}>");
    assert!(line().ends_with(&expected), "{}", line());
    assert!(world.ask(held.as_ref().unwrap(), vec![1.into()]).is_ok());
    let enlivened = held.as_ref().unwrap().outcome().unwrap().unwrap();
    assert!(world.ask(&holder, set(vec![enlivened, held])).is_ok());
    world.commit();
    // Here the object is an actor of this process, of a vat that is not durable; a
    // node's would be a reference to a peer.
    assert!(line().matches(NAME).count() >= 1, "{}", line());
}

#[test]
fn without_a_network_it_says_so() {
    let text = format!("<'vat 1 \"v\" 9>\n<'root 1 b\"remote\" <'remote \"{NAME}\">>");
    let world = World::open(vat_runtime::persist::import_text(&text).unwrap());
    let vat = world.vat("v");
    let remote = vat.root("remote").unwrap().unwrap();
    let fault = world.ask(&remote, vec![]).unwrap_err();
    assert_eq!(fault.to_string(), "this store's node has no network");
    let _ = Memory::new();
}
