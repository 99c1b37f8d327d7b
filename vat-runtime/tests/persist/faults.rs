//! A disk that fails or tears at any write: what is found afterwards is what was durable
//! or a later turn's, never anything in between.

use std::io;
use std::sync::{Arc, Mutex};

use redb::StorageBackend;
use vat_runtime::persist::{Redb, Store, StoreOptions};
use vat_runtime::{Limits, Manual, Value, Vat};

use crate::kit::{Counter, Purse, World, environment};

/// A disk whose writes are safe only once it was synced. At the operation that it is
/// told, power fails: of what was not synced, some is there and some is not.
#[derive(Debug, Default)]
struct Platter {
    synced: Vec<u8>,
    /// Writes since, in order: where, and what. A length is a write of nothing.
    writes: Vec<(u64, Vec<u8>)>,
    current: Vec<u8>,
    operations: u64,
    fails_at: Option<u64>,
    random: u64,
    dead: bool,
}

#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Platter>>);

impl Platter {
    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// Counts an operation; at the one it is to fail at, the power is gone.
    fn operate(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.dead || self.fails_at == Some(self.operations) {
            self.dead = true;
            return Err(io::Error::other("the power has failed"));
        }
        Ok(())
    }

    /// What is on the platter after the power failed.
    fn after_failure(&mut self) -> Vec<u8> {
        let mut left = self.synced.clone();
        let writes = std::mem::take(&mut self.writes);
        for (offset, data) in writes {
            let kept = match self.next() % 4 {
                0 => 0,
                1 => usize::try_from(self.next()).unwrap_or(0) % (data.len() + 1),
                _ => data.len(),
            };
            let (start, end) = (offset as usize, offset as usize + kept);
            if left.len() < end {
                left.resize(end, 0);
            }
            left[start..end].copy_from_slice(&data[..kept]);
        }
        left
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.0.lock().unwrap();
        let start = offset as usize;
        let data = disk.current.get(start..start + out.len());
        out.copy_from_slice(data.ok_or_else(|| io::Error::other("read past the end"))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.operate()?;
        disk.current.resize(len as usize, 0);
        // Lengths are kept: a file system journals them.
        disk.synced.resize(len as usize, 0);
        disk.writes.retain(|(offset, data)| offset + data.len() as u64 <= len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.operate()?;
        disk.synced = disk.current.clone();
        disk.writes.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        let outcome = disk.operate();
        let start = offset as usize;
        // Also of the write that fails, some may have been done.
        disk.writes.push((offset, data.to_vec()));
        outcome?;
        disk.current[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}

const PURSES: u32 = 4;
const EACH: u32 = 100;

/// Opens the bank on a disk, moves money until the disk fails or all is done. Gives how
/// many transfers were known to be durable.
fn load(disk: &Disk, transfers: u64) -> Option<u64> {
    let backend = Redb::on_storage(disk.clone()).ok()?;
    let store = Store::open_with(backend, StoreOptions::default().by_hand()).ok()?;
    let hand = Manual::new();
    let limits = Limits::default();
    let vat = Vat::open("bank", hand.clone(), limits, &store, &environment()).ok()?;
    let purses: Vec<_> = (0..PURSES).map(|_| vat.spawn(Purse(EACH))).collect();
    let count = vat.spawn(Counter(0));
    vat.set_root("purses", purses.iter().map(Value::from).collect::<Vec<_>>()).ok()?;
    vat.set_root("count", &count).ok()?;
    hand.run_until_idle();
    let mut durable = None;
    if store.commit_now().is_ok() {
        durable = Some(0);
    }
    for number in 0..transfers {
        let index = |by: u64| usize::try_from((number * by) % u64::from(PURSES)).unwrap();
        let (from, to) = (purses[index(3)].clone(), purses[index(5) ^ 1].clone());
        let count = count.clone();
        drop(vat.run(move |turn| {
            if from != to {
                turn.call(&to, vec![Value::symbol("deposit"), 1.into(), Value::Ref(from)])?;
            }
            turn.call(&count, vec![1.into()])
        }));
        hand.run_until_idle();
        if number % 3 == 0 && store.commit_now().is_ok() {
            durable = Some(number + 1);
        }
    }
    let _ = store.close();
    durable
}

/// What is found: how many transfers there were. Money is conserved. None if there is
/// no bank yet, or no database.
fn found(platter: Vec<u8>) -> Option<u64> {
    let disk = Disk::default();
    disk.0.lock().unwrap().synced.clone_from(&platter);
    disk.0.lock().unwrap().current = platter;
    let world = World::open(Redb::on_storage(disk).ok()?);
    let vat = world.vat("bank");
    let Value::List(purses) = vat.root_value("purses").unwrap()? else { panic!("no list") };
    let balance = |purse: &Value| {
        let answer = world.ask(purse.as_ref().unwrap(), vec![Value::symbol("balance")]);
        answer.unwrap().as_int().unwrap()
    };
    let sum: i64 = purses.iter().map(balance).sum();
    assert_eq!(sum, i64::from(PURSES * EACH), "money is conserved");
    let count = vat.root("count").unwrap().unwrap();
    let count = world.ask(&count, vec![]).unwrap().as_int().unwrap();
    assert_eq!(world.store.doctor().unwrap().ailments, []);
    Some(u64::try_from(count).unwrap())
}

#[test]
fn power_that_fails_at_any_operation_leaves_a_whole_turn_and_no_earlier_one() {
    let disk = Disk::default();
    assert_eq!(load(&disk, 20), Some(19));
    let operations = disk.0.lock().unwrap().operations;
    assert_eq!(found(disk.0.lock().unwrap().current.clone()), Some(20));
    assert!(operations > 20, "{operations}");
    let mut lost = 0;
    for fails_at in 1..=operations {
        for seed in 1..=3 {
            let disk = Disk::default();
            {
                let mut disk = disk.0.lock().unwrap();
                disk.fails_at = Some(fails_at);
                disk.random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed).wrapping_add(fails_at);
            }
            let durable = load(&disk, 20);
            let platter = disk.0.lock().unwrap().after_failure();
            match (found(platter), durable) {
                (there, None) => lost += u64::from(there.is_none()),
                (Some(there), Some(durable)) => {
                    assert!(there >= durable, "{there} of {durable}, failing at {fails_at}");
                }
                (None, Some(durable)) => panic!("{durable} transfers lost at {fails_at}"),
            }
        }
    }
    assert!(lost > 0, "early failures leave nothing");
}
