//! What durability costs: turns of a durable vat, one at a time and in groups, against
//! the same number of commits of the bare database, of appends with `fsync` to a file,
//! and of turns that are not durable.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use redb::{Database, TableDefinition};
use vat_runtime::persist::{Durable, Environment, Memory, Redb, RestoreError, Store, StoreOptions};
use vat_runtime::{Args, Behaviour, Fault, Limits, Manual, Ref, Reply, Turn, Value, Vat};

/// How many turns are waited for together.
const BATCH: u64 = 1000;
const TABLE: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("objects");
/// About what is stored of a counter.
const ENTRY: &[u8] = b"[7'counter15'durable::Counter1+1234567+]";

struct Counter(i64);

impl Behaviour for Counter {
    fn receive(&self, _turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
        Ok(Reply::become_with(Self(self.0 + 1), self.0))
    }
}

impl Durable for Counter {
    fn portray(&self) -> Value {
        self.0.into()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        Ok(Self(portrait.as_int().ok_or_else(|| RestoreError::new("a counter is a number"))?))
    }
}

struct World {
    hand: Arc<Manual>,
    store: Store,
    _vat: Vat,
    counters: Vec<Ref>,
}

fn world(store: Store, counters: u64) -> World {
    let hand = Manual::new();
    let mut environment = Environment::new();
    let known = environment.kind::<Counter>("counter").is_ok();
    assert!(known, "the first kind of an environment");
    let vat = Vat::open("bench", hand.clone(), Limits::default(), &store, &environment);
    let vat = vat.expect("a new store has no vat");
    let counters = (0..counters).map(|_| vat.spawn(Counter(0))).collect();
    hand.run_until_idle();
    World { hand, store, _vat: vat, counters }
}

impl World {
    /// One turn for each counter, and all of them durable.
    fn turns(&self) {
        for counter in &self.counters {
            counter.send_only(vec![]);
        }
        self.hand.run_until_idle();
        self.store.commit_now().expect("the store works");
    }
}

fn redb_store(folder: &tempfile::TempDir, name: &str) -> Store {
    let backend = Redb::open(folder.path().join(name)).expect("a new database");
    Store::open_with(backend, StoreOptions::default().by_hand()).expect("a new store")
}

fn durable(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for the stores");
    let mut group = criterion.benchmark_group("durable");
    group.sample_size(20);

    group.throughput(Throughput::Elements(1));
    let one = world(redb_store(&folder, "one.redb"), 1);
    group.bench_function("one turn, redb", |bencher| bencher.iter(|| one.turns()));
    let database = Database::create(folder.path().join("raw.redb")).expect("a new database");
    let commit = |entries: u64| {
        let write = database.begin_write().expect("the database works");
        let mut table = write.open_table(TABLE).expect("the database works");
        for entry in 0..entries {
            table.insert((1, entry), ENTRY).expect("the database works");
        }
        drop(table);
        write.commit().expect("the database works");
    };
    group.bench_function("one commit, bare redb", |bencher| bencher.iter(|| commit(1)));
    let mut file = File::create(folder.path().join("raw")).expect("a new file");
    group.bench_function("one append and fsync", |bencher| {
        bencher.iter(|| {
            file.write_all(ENTRY).expect("the file works");
            file.sync_data().expect("the file works");
        });
    });

    group.throughput(Throughput::Elements(BATCH));
    let many = world(redb_store(&folder, "many.redb"), BATCH);
    group.bench_function("1000 turns of 1000 actors, redb", |bencher| {
        bencher.iter(|| many.turns());
    });
    group.bench_function("1000 entries in one commit, bare redb", |bencher| {
        bencher.iter(|| commit(BATCH));
    });
    let memory = Store::open_with(Memory::new(), StoreOptions::default().by_hand());
    let memory = world(memory.expect("a new store"), BATCH);
    group.bench_function("1000 turns of 1000 actors, memory", |bencher| {
        bencher.iter(|| memory.turns());
    });
    let hot = world(redb_store(&folder, "hot.redb"), 1);
    group.bench_function("1000 turns of one actor, redb", |bencher| {
        bencher.iter(|| {
            for _ in 0..BATCH {
                hot.counters.iter().for_each(|counter| counter.send_only(vec![]));
            }
            hot.hand.run_until_idle();
            hot.store.commit_now().expect("the store works");
        });
    });
    let hand = Manual::new();
    let vat = Vat::new("plain", hand.clone());
    let counters: Vec<_> = (0..BATCH).map(|_| vat.spawn(Counter(0))).collect();
    group.bench_function("1000 turns, not durable", |bencher| {
        bencher.iter(|| {
            counters.iter().for_each(|counter| counter.send_only(vec![]));
            hand.run_until_idle();
        });
    });
    group.finish();
}

criterion_group!(benches, durable);
criterion_main!(benches);
