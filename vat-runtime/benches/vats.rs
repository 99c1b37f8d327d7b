//! What the hot paths of a vat cost: a call within a turn, a send with its answer,
//! a spawn with its drop.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use vat_runtime::{Actormap, Args, Behaviour, Fault, Limits, Manual, Reply, Turn, Value, Vat};

/// How many operations one turn makes, so that the turn itself does not count.
const PER_TURN: u64 = 1000;

fn echo(_turn: &mut Turn<'_>, mut args: Args) -> Result<Reply, Fault> {
    Ok(args.pop().unwrap_or_default().into())
}

/// Becomes itself counted up, without an allocation for arguments.
struct Counter(i64);

impl Behaviour for Counter {
    fn receive(&self, _turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
        Ok(Reply::become_with(Self(self.0 + 1), self.0))
    }
}

/// What the log of turns costs: the same sends in a vat with one and in one without.
fn logs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log");
    group.throughput(Throughput::Elements(PER_TURN));
    for (name, limits) in [
        ("none", Limits::default().log(0)),
        ("64 turns", Limits::default().log(64)),
        ("4096 turns", Limits::default().log(4096)),
        ("64 turns and the history of 64", Limits::default().history(64)),
    ] {
        let hand = Manual::new();
        let vat = Vat::with_limits("bench", hand.clone(), limits);
        let counter = vat.spawn(Counter(0));
        hand.run_until_idle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let to = counter.clone();
                drop(vat.run(move |turn| {
                    for _ in 0..PER_TURN {
                        turn.send_only(&to, Vec::new());
                    }
                    Ok(())
                }));
                hand.run_until_idle();
            });
        });
    }
    group.finish();
}

/// How many actors the worlds have that are snapshot and forked.
const WORLD: usize = 100_000;

/// What a world without a vat costs: turns tried, committed and kept apart, and the
/// pointer for each page that a snapshot takes.
fn worlds(criterion: &mut Criterion) {
    let world = Actormap::new();
    let actors: Vec<_> = (0..WORLD).map(|_| world.spawn(Counter(0))).collect();
    let Some(actor) = actors.get(WORLD / 2) else { return };
    let mut group = criterion.benchmark_group("worlds");
    group.bench_function("peek", |bencher| {
        bencher.iter(|| black_box(world.peek(actor, Vec::new())));
    });
    group.bench_function("poke", |bencher| {
        bencher.iter(|| black_box(world.poke(actor, Vec::new())));
    });
    group.bench_function("turn and merge", |bencher| {
        bencher.iter(|| world.turn(actor, Vec::new()).map(|turned| turned.map.merge()));
    });
    group.bench_function("snapshot of 100,000", |bencher| {
        bencher.iter(|| black_box(world.snapshot()));
    });
    group.bench_function("snapshot of 100,000 and poke", |bencher| {
        bencher.iter(|| (world.snapshot(), world.poke(actor, Vec::new())));
    });
    group.bench_function("fork of 100,000 and poke", |bencher| {
        bencher.iter(|| world.fork().map(|fork| fork.poke(actor, Vec::new())));
    });
    group.finish();
}

fn vats(criterion: &mut Criterion) {
    let hand = Manual::new();
    let vat = Vat::new("bench", hand.clone());
    let target = vat.spawn(echo);
    let counter = vat.spawn(Counter(0));
    hand.run_until_idle();

    let mut group = criterion.benchmark_group("vats");
    group.throughput(Throughput::Elements(PER_TURN));
    let run = |body: Arc<dyn Fn(&mut Turn<'_>) + Send + Sync>| {
        drop(vat.run(move |turn| {
            body(turn);
            Ok(())
        }));
        hand.run_until_idle();
    };

    let to = target.clone();
    let body: Arc<dyn Fn(&mut Turn<'_>) + Send + Sync> = Arc::new(move |turn| {
        for _ in 0..PER_TURN {
            let _ = black_box(turn.call(&to, Vec::new()));
        }
    });
    group.bench_function("call", |bencher| bencher.iter(|| run(body.clone())));

    let to = target.clone();
    let body: Arc<dyn Fn(&mut Turn<'_>) + Send + Sync> = Arc::new(move |turn| {
        for number in 0..PER_TURN {
            let _ = black_box(turn.call(&to, vec![Value::from(number)]));
        }
    });
    group.bench_function("call with an argument", |bencher| bencher.iter(|| run(body.clone())));

    let body: Arc<dyn Fn(&mut Turn<'_>) + Send + Sync> = Arc::new(move |turn| {
        for _ in 0..PER_TURN {
            let _ = black_box(turn.call(&counter, Vec::new()));
        }
    });
    group.bench_function("call that becomes", |bencher| bencher.iter(|| run(body.clone())));

    let to = target.clone();
    let body: Arc<dyn Fn(&mut Turn<'_>) + Send + Sync> = Arc::new(move |turn| {
        for number in 0..PER_TURN {
            drop(black_box(turn.send(&to, vec![Value::from(number)])));
        }
    });
    group.bench_function("near send with promise", |bencher| bencher.iter(|| run(body.clone())));

    let to = target.clone();
    let body: Arc<dyn Fn(&mut Turn<'_>) + Send + Sync> = Arc::new(move |turn| {
        for number in 0..PER_TURN {
            turn.send_only(&to, vec![Value::from(number)]);
        }
    });
    group.bench_function("near send", |bencher| bencher.iter(|| run(body.clone())));

    let to = target.clone();
    let body: Arc<dyn Fn(&mut Turn<'_>) + Send + Sync> = Arc::new(move |turn| {
        for number in 0..PER_TURN {
            let answer = turn.send(&to, vec![Value::from(number)]);
            turn.on(answer, |_turn, outcome| drop(black_box(outcome)));
        }
    });
    group.bench_function("near send with handler", |bencher| bencher.iter(|| run(body.clone())));

    group.bench_function("send from outside", |bencher| {
        bencher.iter_batched(
            || (),
            |()| {
                for number in 0..PER_TURN {
                    drop(black_box(target.send(vec![Value::from(number)])));
                }
                hand.run_until_idle();
            },
            BatchSize::PerIteration,
        );
    });

    let body: Arc<dyn Fn(&mut Turn<'_>) + Send + Sync> = Arc::new(move |turn| {
        for _ in 0..PER_TURN {
            drop(black_box(turn.spawn(echo)));
        }
    });
    group.bench_function("spawn and drop", |bencher| bencher.iter(|| run(body.clone())));
    group.finish();
}

criterion_group!(benches, vats, logs, worlds);
criterion_main!(benches);
