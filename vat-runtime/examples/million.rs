//! Many durable actors in one vat, more than may be awake:
//!
//! ```text
//! cargo run --release -p vat-runtime --example million -- [ACTORS [AWAKE]]
//! ```
//!
//! Spawns a million counters (or so many), makes them durable, opens the store again,
//! calls each of them once, and prints how long each took and what memory the process
//! then has. The store is made in a temporary folder and removed.

use std::error::Error;
use std::fs;
use std::sync::Arc;
use std::time::Instant;

use vat_runtime::persist::{Durable, Environment, Redb, RestoreError, Store};
use vat_runtime::{Args, Behaviour, Fault, Limits, Manual, Reply, Turn, Value, Vat};

/// How many are spawned, or called, between two waits for the disk.
const BATCH: u64 = 10_000;

struct Counter(i64);

impl Behaviour for Counter {
    fn receive(&self, _turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
        Ok(Reply::become_with(Self(self.0 + 1), self.0 + 1))
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

/// What the process has in memory, in MiB, where the system tells.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1024)
}

fn tell(what: &str, actors: u64, since: Instant) {
    let seconds = since.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let rate = actors as f64 / seconds;
    let memory = resident().map_or_else(String::new, |mib| format!(", {mib} MiB resident"));
    println!("{what}: {seconds:.3} s, {rate:.0}/s{memory}");
}

struct World {
    hand: Arc<Manual>,
    store: Store,
    vat: Vat,
}

impl World {
    fn open(path: &std::path::Path, awake: usize) -> Result<Self, Box<dyn Error>> {
        let mut environment = Environment::new();
        environment.kind::<Counter>("counter")?;
        let store = Store::open(Redb::open(path)?)?;
        let hand = Manual::new();
        let limits = Limits::default().awake(awake);
        let vat = Vat::open("crowd", hand.clone(), limits, &store, &environment)?;
        Ok(Self { hand, store, vat })
    }

    fn settle(&self) -> Result<(), Box<dyn Error>> {
        self.hand.run_until_idle();
        self.store.wait(self.store.pending())?;
        // A turn, so that those who may sleep do.
        drop(self.vat.run(|_| Ok(())));
        self.hand.run_until_idle();
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let actors = args.next().map_or(Ok(1_000_000), |number| number.parse())?;
    let awake = args.next().map_or(Ok(50_000), |number| number.parse())?;
    let folder = std::env::temp_dir().join(format!("hobgoblin-million-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let path = folder.join("store.redb");

    let start = Instant::now();
    let world = World::open(&path, awake)?;
    for first in (0..actors).step_by(usize::try_from(BATCH)?) {
        for number in first..actors.min(first + BATCH) {
            let counter = world.vat.spawn(Counter(0));
            world.vat.set_root(number.to_be_bytes(), counter)?;
        }
        world.settle()?;
    }
    tell("spawned, named and durable", actors, start);
    println!("store: {} MiB", fs::metadata(&path)?.len() >> 20);
    drop(world);

    let start = Instant::now();
    let world = World::open(&path, awake)?;
    println!("opened again: {:?}", start.elapsed());
    let start = Instant::now();
    for first in (0..actors).step_by(usize::try_from(BATCH)?) {
        for number in first..actors.min(first + BATCH) {
            let counter = world.vat.root(number.to_be_bytes())?.ok_or("a counter is lost")?;
            counter.send_only(vec![]);
        }
        world.settle()?;
    }
    tell("woken, changed and durable", actors, start);
    println!("left in memory: {} actors", world.vat.actor_count());
    drop(world);
    fs::remove_dir_all(folder)?;
    Ok(())
}
