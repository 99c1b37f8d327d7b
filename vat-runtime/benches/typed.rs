//! What typed references cost over messages by hand: the same object called and sent to
//! in both ways, and async blocks against handlers.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vat_runtime::{
    Args, Become, Behaviour, Fault, Here, Manual, Reply, Turn, Value, Vat, interface, object,
};

/// How many operations one turn makes, so that the turn itself does not count.
const PER_TURN: i64 = 1000;

#[interface]
trait Counter {
    fn value(&self) -> i64;
    fn add(&self, by: i64) -> Become<Self, i64>;
    fn add_in_place(&mut self, by: i64) -> i64;
}

#[derive(Clone)]
struct Typed(i64);

#[object]
impl Counter for Typed {
    fn value(&self) -> i64 {
        self.0
    }

    fn add(&self, by: i64) -> Become<Self, i64> {
        let count = self.0.wrapping_add(by);
        Become::new(Self(count)).and(count)
    }

    fn add_in_place(&mut self, by: i64) -> i64 {
        self.0 = self.0.wrapping_add(by);
        self.0
    }
}

struct ByHand(i64);

impl Behaviour for ByHand {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        match args.as_slice() {
            [Value::Symbol(method)] if method == "value" => Ok(Reply::value(self.0)),
            [Value::Symbol(method), Value::Int(by)] if method == "add" => {
                let count = self.0.wrapping_add(*by);
                Ok(Reply::become_with(Self(count), count))
            }
            _ => Err("a counter has value and add".into()),
        }
    }
}

type Body = Arc<dyn Fn(&mut Turn<'_>) + Send + Sync>;

fn typed(criterion: &mut Criterion) {
    let hand = Manual::new();
    let vat = Vat::new("bench", hand.clone());
    let by_hand = vat.spawn(ByHand(0));
    let counter = CounterRef::spawn_in(&vat, Typed(0));
    hand.run_until_idle();
    let (to, of) = (by_hand, counter.clone());
    let bodies: [(&str, Body); 7] = [
        ("call of value/by hand", {
            let to = to.clone();
            Arc::new(move |turn| {
                for _ in 0..PER_TURN {
                    let _ = black_box(turn.call(&to, vec![Value::symbol("value")]));
                }
            })
        }),
        ("call of value/typed", {
            let of = of.clone();
            Arc::new(move |turn| {
                for _ in 0..PER_TURN {
                    let _ = black_box(of.call(turn).value());
                }
            })
        }),
        ("call of add/by hand", {
            let to = to.clone();
            Arc::new(move |turn| {
                for by in 0..PER_TURN {
                    let _ = black_box(turn.call(&to, vec![Value::symbol("add"), by.into()]));
                }
            })
        }),
        ("call of add/typed, becoming", {
            let of = of.clone();
            Arc::new(move |turn| {
                for by in 0..PER_TURN {
                    let _ = black_box(of.call(turn).add(by));
                }
            })
        }),
        ("call of add/typed, in place", {
            let of = of.clone();
            Arc::new(move |turn| {
                for by in 0..PER_TURN {
                    let _ = black_box(of.call(turn).add_in_place(by));
                }
            })
        }),
        ("send of add/by hand", {
            Arc::new(move |turn| {
                for by in 0..PER_TURN {
                    drop(black_box(turn.send(&to, vec![Value::symbol("add"), by.into()])));
                }
            })
        }),
        ("send of add/typed", {
            Arc::new(move |turn| {
                for by in 0..PER_TURN {
                    drop(black_box(of.send(turn).add(by)));
                }
            })
        }),
    ];
    let mut group = criterion.benchmark_group("typed");
    group.throughput(Throughput::Elements(PER_TURN.unsigned_abs()));
    for (name, body) in bodies {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let body = body.clone();
                drop(vat.run(move |turn| {
                    body(turn);
                    Ok(())
                }));
                hand.run_until_idle();
            });
        });
    }
    group.bench_function("one question after the other/handlers", |bencher| {
        bencher.iter(|| {
            let counter = counter.clone();
            drop(vat.run(move |turn| {
                ask(turn, counter, PER_TURN);
                Ok(())
            }));
            hand.run_until_idle();
        });
    });
    group.bench_function("one question after the other/async block", |bencher| {
        bencher.iter(|| {
            let counter = counter.clone();
            let asked = vat.spawn_async(async move |here: Here| {
                for _ in 0..PER_TURN {
                    let counter = counter.clone();
                    black_box(here.ask(move |turn| counter.send(turn).value()).await?);
                }
                Ok(())
            });
            hand.run_until_idle();
            asked.ignore();
        });
    });
    group.finish();
}

fn ask(turn: &mut Turn<'_>, counter: CounterRef, more: i64) {
    if more > 0 {
        counter.send(turn).value().on(turn, move |turn, value| {
            let _ = black_box(value);
            ask(turn, counter, more - 1);
        });
    }
}

criterion_group!(benches, typed);
criterion_main!(benches);
