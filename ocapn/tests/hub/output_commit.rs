//! Nothing leaves a node before the turn that it came from is durable; and if the store
//! fails, it never does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use ocapn::hub::HubSettings;
use ocapn::{Args, Behaviour, Fault, Promise, Ref, Reply, SessionEnd, Turn, Value};
use vat_runtime::Barrier;

use crate::world::{Counter, TRANSPORT, World};

/// A store that is as far as the test says.
#[derive(Default)]
struct Store {
    pending: AtomicU64,
    durable: AtomicU64,
    failed: Mutex<Option<Arc<str>>>,
    watchers: Mutex<Vec<Waker>>,
}

impl Store {
    /// A turn changes something.
    fn change(&self) {
        self.pending.fetch_add(1, Ordering::SeqCst);
    }

    fn commit_to(&self, turn: u64) {
        self.durable.store(turn, Ordering::SeqCst);
        self.tell();
    }

    fn commit(&self) {
        self.commit_to(self.pending());
    }

    fn fail(&self) {
        *self.failed.lock().unwrap() = Some("the disk is full".into());
        self.tell();
    }

    fn tell(&self) {
        self.watchers.lock().unwrap().iter().for_each(Waker::wake_by_ref);
    }
}

impl Barrier for Store {
    fn pending(&self) -> u64 {
        self.pending.load(Ordering::SeqCst)
    }

    fn durable(&self) -> u64 {
        self.durable.load(Ordering::SeqCst)
    }

    fn failed(&self) -> Option<Arc<str>> {
        self.failed.lock().unwrap().clone()
    }

    fn watch(&self, waker: Waker) {
        self.watchers.lock().unwrap().push(waker);
    }
}

/// Notes what it hears, in the store if it has one, and answers with how much that is.
#[derive(Clone)]
struct Ledger(Arc<Mutex<Vec<i64>>>, Option<Arc<Store>>);

impl Behaviour for Ledger {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        if let Some(store) = &self.1 {
            store.change();
        }
        let mut heard = self.0.lock().unwrap();
        heard.extend(args.first().and_then(Value::as_int));
        Ok(Reply::value(heard.len() as i64))
    }
}

/// `kept` has a store, `other` and `third` have none.
fn world(store: &Arc<Store>) -> World {
    let transports: &'static [&'static str] = &[TRANSPORT];
    let names = ["kept", "other", "third"].map(|name| (name, transports));
    World::of_each(&names, |who| {
        let mut settings = HubSettings::default();
        settings.barrier = (who == 0).then(|| store.clone() as Arc<dyn Barrier>);
        settings
    })
}

/// A ledger of the kept node's, as another holds it.
fn ledger(world: &mut World, store: &Arc<Store>, holder: usize) -> Ref {
    let ledger = Ledger(Arc::default(), Some(store.clone()));
    let sturdyref = world.export(0, TRANSPORT, ledger);
    world.resolve(holder, &sturdyref)
}

fn answered(promise: &Promise) -> bool {
    promise.outcome().is_some()
}

#[test]
fn an_answer_waits_for_its_turn_and_for_no_later_one() {
    let store = Arc::new(Store::default());
    let mut world = world(&store);
    let ledger = ledger(&mut world, &store, 1);
    let first = ledger.send(vec![Value::Int(1)]);
    world.run();
    assert_eq!(store.pending(), 1, "the turn has been");
    assert!(!answered(&first), "its answer has not left");
    let second = ledger.send(vec![Value::Int(2)]);
    world.run();
    store.commit_to(1);
    world.run();
    assert_eq!(first.outcome(), Some(Ok(Value::Int(1))));
    assert!(!answered(&second));
    store.commit();
    world.run();
    assert_eq!(second.outcome(), Some(Ok(Value::Int(2))));
    drop((ledger, first, second));
    world.end();
}

#[test]
fn what_changes_nothing_waits_for_nothing() {
    let store = Arc::new(Store::default());
    let mut world = world(&store);
    let sturdyref = world.export(0, TRANSPORT, Counter(0));
    let counter = world.resolve(1, &sturdyref);
    let answer = counter.send(vec![Value::Int(3)]);
    assert_eq!(world.outcome(&answer), Some(Ok(Value::Int(3))));
    assert!(world.hubs[0].links().iter().all(|link| !link.is_holding()));
    drop((counter, answer));
    world.end();
}

#[test]
fn messages_wait_too_and_keep_their_order() {
    let store = Arc::new(Store::default());
    let mut world = world(&store);
    let heard: Arc<Mutex<Vec<i64>>> = Arc::default();
    let sturdyref = world.export(1, TRANSPORT, Ledger(heard.clone(), None));
    let theirs = world.resolve(0, &sturdyref);
    for turn in 1..=20 {
        store.change();
        theirs.send_only(vec![Value::Int(turn)]);
        if turn % 3 == 0 {
            world.run();
        }
        if turn % 5 == 0 {
            store.commit_to(turn as u64 - 2);
            world.run();
            let heard = heard.lock().unwrap();
            assert!(heard.iter().all(|heard| *heard <= turn - 2), "{turn}: {heard:?}");
        }
    }
    store.commit();
    world.run();
    assert_eq!(*heard.lock().unwrap(), (1..=20).collect::<Vec<_>>());
    drop(theirs);
    world.end();
}

#[test]
fn who_has_not_heard_of_a_turn_does_not_wait_for_it() {
    let store = Arc::new(Store::default());
    let mut world = world(&store);
    let (one, two) = (ledger(&mut world, &store, 1), ledger(&mut world, &store, 2));
    let before = two.send(vec![Value::Int(1)]);
    world.run();
    let holding = |world: &World| world.hubs[0].links().iter().filter(|l| l.is_holding()).count();
    assert_eq!(holding(&world), 1);
    store.commit();
    world.run();
    assert!(answered(&before));
    // One waits; the other's session has nothing to send that is not durable.
    let later = one.send(vec![Value::Int(1)]);
    world.run();
    assert!(!answered(&later));
    assert_eq!(holding(&world), 1);
    store.commit();
    world.run();
    assert!(answered(&later));
    drop((one, two, before, later));
    world.end();
}

#[test]
fn a_session_that_ends_says_what_is_durable_first() {
    let store = Arc::new(Store::default());
    let mut world = world(&store);
    let ledger = ledger(&mut world, &store, 1);
    let answer = ledger.send(vec![Value::Int(1)]);
    world.run();
    let link = world.hubs[0].links().remove(0);
    link.close("enough");
    let mut out = std::collections::VecDeque::new();
    link.transmit(true, &mut out);
    assert!(out.is_empty() && link.is_holding(), "not even the goodbye overtakes it");
    store.commit();
    link.transmit(true, &mut out);
    let said: Vec<u8> = out.iter().flatten().copied().collect();
    let at = |word: &[u8]| said.windows(word.len()).position(|it| it == word);
    assert!(at(b"fulfill") < at(b"op:abort"), "{:?}", String::from_utf8_lossy(&said));
    assert!(at(b"fulfill").is_some() && !link.is_holding());
    drop((ledger, answer));
    world.kill(0);
}

#[test]
fn when_the_store_fails_nothing_that_waits_leaves() {
    let store = Arc::new(Store::default());
    let mut world = world(&store);
    let (one, two) = (ledger(&mut world, &store, 1), ledger(&mut world, &store, 2));
    let answers = [one.send(vec![Value::Int(1)]), two.send(vec![Value::Int(1)])];
    world.run();
    store.change();
    store.fail();
    world.run();
    for answer in &answers {
        let Some(Err(fault)) = answer.outcome() else { panic!("{:?}", answer.outcome()) };
        assert!(fault.to_string().contains("its store has failed"), "{fault}");
        assert!(!fault.to_string().contains("disk"), "{fault}");
    }
    assert!(world.hubs[0].links().is_empty());
    // And nobody gets a session any more.
    let dialled = world.intrude(0, None);
    assert!(matches!(dialled.end(), Some(SessionEnd::Closed(_))), "{:?}", dialled.end());
    dialled.disconnected();
    drop((one, two, answers));
    world.end();
}
