//! Vats on threads of their own that sleep, while the store's thread commits and garbage
//! is collected: nothing is lost and nobody is two.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use vat_runtime::persist::{Memory, Redb, Store, StoreOptions};
use vat_runtime::{Limits, Manual, OwnThread, Ref, Value, Vat};

use crate::kit::{Counter, Holder, World, environment};

const VATS: u8 = 3;
const COUNTERS: u8 = 40;
const SENDERS: u64 = 3;
const MESSAGES: u64 = 4000;

fn open(store: &Store, vat: u8) -> Vat {
    let thread = OwnThread::start("vat").unwrap();
    let limits = Limits::default().awake(5);
    Vat::open(&format!("vat {vat}"), thread, limits, store, &environment()).unwrap()
}

fn root(vat: &Vat, name: u8) -> Ref {
    vat.root([name]).unwrap().unwrap()
}

#[test]
fn vats_on_threads_lose_nothing_while_they_sleep_and_garbage_goes() {
    let disk = Memory::new();
    let store = Store::open_with(disk.clone(), StoreOptions::default().keep_garbage()).unwrap();
    let vats: Vec<_> = (0..VATS).map(|vat| open(&store, vat)).collect();
    for (index, vat) in vats.iter().enumerate() {
        for name in 0..COUNTERS {
            // Each is reached by way of a holder in the next vat only.
            let counter = vats[(index + 1) % vats.len()].spawn(Counter(0));
            let holder = vat.spawn(Holder(Value::Ref(counter)));
            vat.set_root([name], holder).unwrap();
        }
    }
    let done = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let vats = &vats;
                scope.spawn(move || {
                    let mut random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(sender + 1);
                    let mut sum = 0;
                    for _ in 0..MESSAGES {
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        let vat = &vats[usize::try_from(random % u64::from(VATS)).unwrap()];
                        let name = u8::try_from((random >> 20) % u64::from(COUNTERS)).unwrap();
                        let by = i64::try_from(random >> 60).unwrap();
                        let answer = root(vat, name).send(vec![Value::symbol("pass"), by.into()]);
                        // Some are waited for, so that the others do not only pile up.
                        if random >> 40 & 7 == 0 {
                            answer.wait().unwrap();
                        }
                        drop(vat.spawn(Counter(1)));
                        sum += by;
                    }
                    sum
                })
            })
            .collect();
        let collector = scope.spawn(|| {
            let mut dropped = 0;
            while !done.load(Ordering::Relaxed) {
                dropped += store.collect().unwrap().dropped.len();
                assert_eq!(store.doctor().unwrap().ailments, []);
                thread::yield_now();
            }
            dropped
        });
        let sent: i64 = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
        done.store(true, Ordering::Relaxed);
        collector.join().unwrap();
        sent
    });
    let sum = || {
        let names = vats.iter().flat_map(|vat| (0..COUNTERS).map(move |name| (vat, name)));
        let answers = names.map(|(vat, name)| {
            root(vat, name).send(vec![Value::symbol("pass"), 0.into()]).wait().unwrap()
        });
        answers.map(|answer| answer.as_int().unwrap()).sum::<i64>()
    };
    assert_eq!(sum(), sent);
    store.close().unwrap();
    drop((vats, store));

    let world = World::open(disk);
    let vats: Vec<_> = (0..VATS).map(|vat| world.vat(&format!("vat {vat}"))).collect();
    let mut found = 0;
    for vat in &vats {
        for name in 0..COUNTERS {
            let pass = vec![Value::symbol("pass"), 0.into()];
            found += world.ask(&root(vat, name), pass).unwrap().as_int().unwrap();
        }
    }
    assert_eq!(found, sent);
    world.store.collect().unwrap();
    world.commit();
    let objects = world.store.view().unwrap().summary().unwrap().objects;
    assert_eq!(objects, 2 * u64::from(VATS) * u64::from(COUNTERS));
}

#[test]
fn a_store_that_is_closed_can_be_opened_at_once_though_it_was_being_collected() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    for _ in 0..10 {
        let store = Store::open(Redb::open(&path).unwrap()).unwrap();
        let hand = Manual::new();
        let limits = Limits::default();
        let vat = Vat::open("crowd", hand.clone(), limits, &store, &environment()).unwrap();
        // Twice as many as there were, which is when a collection begins.
        let crowd: Vec<_> = (0..3000).map(|_| vat.spawn(Counter(0))).collect();
        vat.set_root("crowd", Value::List(crowd.iter().map(Value::from).collect())).unwrap();
        hand.run_until_idle();
        store.wait(store.pending()).unwrap();
        drop((vat, crowd));
        store.close().unwrap();
    }
}
