//! Turns are numbered, written in groups behind their backs, and known to be durable or
//! known never to be.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use vat_runtime::persist::{Backend, Memory, Store, StoreError, Transaction, View};
use vat_runtime::{Limits, Manual, OwnThread, Vat};

use crate::kit::{Counter, Holder, World, environment, set};

/// Counts what it is asked to write, and fails when told to.
#[derive(Clone, Default)]
struct Watched {
    memory: Memory,
    transactions: Arc<Mutex<Vec<Transaction>>>,
    broken: Arc<AtomicBool>,
}

impl Backend for Watched {
    fn view(&self) -> io::Result<Box<dyn View>> {
        self.memory.view()
    }

    fn commit(&self, transaction: &Transaction) -> io::Result<()> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(io::Error::other("the disk is full"));
        }
        self.transactions.lock().unwrap().push(transaction.clone());
        self.memory.commit(transaction)
    }

    fn object(&self, vat: u64, id: u64) -> io::Result<Option<Bytes>> {
        self.memory.object(vat, id)
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn turns_that_change_something_are_numbered_and_written_together() {
    let disk = Watched::default();
    let world = World::open(disk.clone());
    let vat = world.vat("v");
    let counter = vat.root_or_spawn("counter", || Counter(0)).unwrap();
    world.hand.run_until_idle();
    world.commit();
    assert_eq!(disk.transactions.lock().unwrap().len(), 1);
    let before = world.store.durable();
    assert_eq!(world.store.pending(), before);
    for _ in 0..10 {
        world.ask(&counter, vec![1.into()]).unwrap();
    }
    assert_eq!(world.store.pending(), before + 10);
    assert!(world.ask(&counter, vec!["x".into()]).is_err());
    world.ask(&counter, vec![]).unwrap();
    assert_eq!(world.store.pending(), before + 10, "nothing was changed");
    assert_eq!(world.store.durable(), before);
    world.commit();
    assert_eq!(world.store.durable(), before + 10);
    let transactions = disk.transactions.lock().unwrap();
    let last = transactions.last().unwrap();
    assert_eq!((transactions.len(), last.sequence), (2, before + 10));
    assert_eq!(last.objects.len(), 1, "the last behaviour is written, once");
    assert!(last.vats.is_empty() && last.roots.is_empty());
}

#[test]
fn actors_that_are_gone_before_they_are_written_never_are() {
    let disk = Watched::default();
    let world = World::open(disk.clone());
    let vat = world.vat("v");
    let holder = vat.root_or_spawn("holder", || Holder(1.into())).unwrap();
    for _ in 0..10 {
        drop(vat.spawn(Counter(0)));
    }
    let kept = vat.spawn(Counter(1));
    let tasks = vat.run(move |turn| {
        drop(turn.spawn(Counter(2)));
        let held = turn.spawn(Counter(3));
        turn.call(&holder, set(&held)).map(drop)
    });
    world.hand.run_until_idle();
    tasks.wait().unwrap();
    world.commit();
    let objects = world.store.view().unwrap().summary().unwrap().objects;
    assert_eq!(objects, 3, "the root, what it holds, and what this test holds");
    drop(kept);
}

#[test]
fn those_who_wait_are_woken_when_their_turn_is_durable() {
    let world = World::open(Memory::new());
    let vat = world.vat("v");
    let counter = vat.root_or_spawn("counter", || Counter(0)).unwrap();
    world.hand.run_until_idle();
    let (waiting, watching) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    let barrier = world.store.barrier();
    barrier.watch(Waker::from(watching.clone()));
    let mut future = pin!(world.store.until_durable(world.store.pending()));
    let waker = Waker::from(waiting.clone());
    let mut context = Context::from_waker(&waker);
    assert!(future.as_mut().poll(&mut context).is_pending());
    assert!(barrier.durable() < barrier.pending());
    world.commit();
    assert_eq!(barrier.durable(), barrier.pending());
    assert_eq!(waiting.0.load(Ordering::Relaxed), 1);
    assert_eq!(watching.0.load(Ordering::Relaxed), 1);
    assert_eq!(future.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    assert_eq!(world.store.wait(world.store.pending()), Ok(()));
    world.ask(&counter, vec![1.into()]).unwrap();
    world.commit();
    assert_eq!(watching.0.load(Ordering::Relaxed), 2, "a watcher hears of all progress");
}

#[test]
fn a_store_that_fails_has_failed_for_good_and_vats_go_on() {
    let disk = Watched::default();
    let world = World::open(disk.clone());
    let vat = world.vat("v");
    let counter = vat.root_or_spawn("counter", || Counter(0)).unwrap();
    world.hand.run_until_idle();
    world.commit();
    let durable = world.store.durable();
    disk.broken.store(true, Ordering::Relaxed);
    let watching = Arc::new(Woken::default());
    world.store.barrier().watch(Waker::from(watching.clone()));
    assert_eq!(world.ask(&counter, vec![1.into()]), Ok(1.into()));
    let failed = StoreError::Failed("the disk is full".into());
    assert_eq!(world.store.commit_now(), Err(failed.clone()));
    assert_eq!(watching.0.load(Ordering::Relaxed), 1);
    disk.broken.store(false, Ordering::Relaxed);
    // What was changed is known even to who comes back after it was let go of.
    drop(counter);
    world.hand.run_until_idle();
    let counter = vat.root("counter").unwrap().unwrap();
    assert_eq!(world.ask(&counter, vec![]), Ok(1.into()));
    assert_eq!(world.ask(&counter, vec![1.into()]), Ok(2.into()));
    assert_eq!(world.store.commit_now(), Err(failed.clone()));
    assert_eq!(world.store.wait(durable + 1), Err(failed.clone()));
    assert_eq!(world.store.durable(), durable);
    assert!(world.store.pending() > durable);
    assert!(world.store.barrier().failed().unwrap().contains("the disk is full"));
    assert_eq!(world.store.close(), Err(failed));
}

#[test]
fn a_portrait_that_panics_fails_the_store_by_name() {
    use vat_runtime::persist::Environment;
    let mut environment = Environment::new();
    let portray = |_: &Counter| panic!("out of paint");
    environment.kind_with("counter", 1, portray, |_| Ok(Counter(0))).unwrap();
    let world = World::open(Memory::new());
    let vat = world.vat_with("v", Limits::default(), &environment);
    let counter = vat.root_or_spawn("counter", || Counter(0)).unwrap();
    world.hand.run_until_idle();
    let error = world.store.commit_now().unwrap_err().to_string();
    assert!(
        error.contains("the portrait of test counter, object 1, panicked: out of paint"),
        "{error}"
    );
    drop(counter);
}

#[test]
fn the_thread_of_a_store_commits_by_itself() {
    let disk = Memory::new();
    let store = Store::open(disk.clone()).unwrap();
    let thread = OwnThread::start("vats").unwrap();
    let first = Vat::open("v", thread, Limits::default(), &store, &environment()).unwrap();
    let counter = first.root_or_spawn("counter", || Counter(0)).unwrap();
    for count in 1..=100 {
        assert_eq!(counter.send(vec![1.into()]).wait(), Ok(count.into()));
    }
    store.wait(store.pending()).unwrap();
    let world = World::open(disk.fork());
    let vat = world.vat("v");
    let there = vat.root("counter").unwrap().unwrap();
    assert_eq!(world.ask(&there, vec![]), Ok(100.into()));
    assert_eq!(counter.send(vec![1.into()]).wait(), Ok(101.into()));
    drop((first, counter, store));
    let world = World::open(disk);
    let vat = world.vat("v");
    let there = vat.root("counter").unwrap().unwrap();
    assert_eq!(world.ask(&there, vec![]), Ok(101.into()), "the last handle writes what is left");
}

#[test]
fn vats_without_a_store_say_so() {
    let vat = Vat::new("plain", Manual::new());
    assert_eq!(vat.root("x"), Err(StoreError::NotDurable));
    assert_eq!(vat.set_root("x", 1), Err(StoreError::NotDurable));
    assert_eq!(vat.spawn(Counter(0)).stored_as(), None);
}
