//! Random programs over two vats that sleep, collect, commit and crash, against a model
//! of what they should be.

use std::collections::BTreeSet;

use vat_runtime::persist::Memory;
use vat_runtime::{Limits, Ref, Value, Vat};

use crate::kit::{Counter, Holder, World, environment, set};

const HOLDERS: usize = 6;
const STEPS: usize = 400;
const SEEDS: u64 = 25;

/// What each counter is at, and which each holder holds.
#[derive(Clone, Default)]
struct Model {
    counts: Vec<i64>,
    held: [Vec<usize>; HOLDERS],
}

impl Model {
    fn reachable(&self) -> usize {
        self.held.iter().flatten().collect::<BTreeSet<_>>().len()
    }
}

struct Program {
    random: u64,
    disk: Memory,
    world: World,
    vats: [Vat; 2],
    model: Model,
    committed: Model,
}

impl Program {
    fn start(seed: u64) -> Self {
        let disk = Memory::new();
        let (world, vats) = open(&disk, false);
        let random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed + 1);
        let (model, committed) = (Model::default(), Model::default());
        let program = Self { random, disk, world, vats, model, committed };
        for holder in 0..HOLDERS {
            let none = || Holder(Value::List(vec![]));
            drop(program.vats[holder % 2].root_or_spawn([holder as u8], none).unwrap());
        }
        program.world.hand.run_until_idle();
        program.world.commit();
        program
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 33).unwrap() % limit.max(1)
    }

    fn holder(&self, holder: usize) -> Ref {
        self.vats[holder % 2].root([holder as u8]).unwrap().unwrap()
    }

    fn held(&self, holder: usize) -> Vec<Value> {
        match self.world.get(&self.holder(holder)) {
            Value::List(held) => held,
            other => panic!("holder {holder} holds {other:?}"),
        }
    }

    fn hold(&self, holder: usize, held: Vec<Value>) {
        assert!(self.world.ask(&self.holder(holder), set(held)).is_ok());
    }

    fn ask(&self, counter: &Value, args: Vec<Value>) -> i64 {
        let answer = self.world.ask(counter.as_ref().unwrap(), args).unwrap();
        answer.as_int().unwrap()
    }

    fn step(&mut self) {
        let (one, other) = (self.below(HOLDERS), self.below(HOLDERS));
        let mut held = self.held(one);
        assert_eq!(held.len(), self.model.held[one].len());
        let index = self.below(held.len());
        match self.below(12) {
            0..=2 => {
                let counter = self.vats[self.below(2)].spawn(Counter(0));
                held.push(Value::Ref(counter));
                self.hold(one, held);
                self.model.held[one].push(self.model.counts.len());
                self.model.counts.push(0);
            }
            3..=5 if !held.is_empty() => {
                let by = i64::try_from(self.below(100)).unwrap() + 1;
                let count = &mut self.model.counts[self.model.held[one][index]];
                *count += by;
                let count = *count;
                assert_eq!(self.ask(&held[index], vec![by.into()]), count);
            }
            6..=7 if !held.is_empty() => {
                let mut theirs = self.held(other);
                theirs.push(held[index].clone());
                self.hold(other, theirs);
                let counter = self.model.held[one][index];
                self.model.held[other].push(counter);
            }
            8 if !held.is_empty() => {
                held.remove(index);
                self.hold(one, held);
                self.model.held[one].remove(index);
            }
            9 => self.commit(),
            10 => drop(self.world.store.collect().unwrap()),
            11 if self.below(8) == 0 => self.crash(),
            _ => {
                for vat in &self.vats {
                    drop(vat.run(|_| Ok(())));
                }
                self.world.hand.run_until_idle();
            }
        }
    }

    fn commit(&mut self) {
        self.world.commit();
        self.committed = self.model.clone();
    }

    fn crash(&mut self) {
        self.disk = self.disk.fork();
        let other_way_round = self.below(2) == 0;
        (self.world, self.vats) = open(&self.disk, other_way_round);
        self.model = self.committed.clone();
        self.check();
    }

    fn check(&self) {
        for (holder, expected) in self.model.held.iter().enumerate() {
            let counts: Vec<_> =
                self.held(holder).iter().map(|counter| self.ask(counter, vec![])).collect();
            let expected: Vec<_> =
                expected.iter().map(|counter| self.model.counts[*counter]).collect();
            assert_eq!(counts, expected, "holder {holder}");
        }
        assert_eq!(self.world.store.doctor().unwrap().ailments, []);
    }
}

fn open(disk: &Memory, other_way_round: bool) -> (World, [Vat; 2]) {
    let world = World::open(disk.clone());
    let vat = |name| world.vat_with(name, Limits::default().awake(3), &environment());
    let vats = if other_way_round {
        let right = vat("right");
        [vat("left"), right]
    } else {
        [vat("left"), vat("right")]
    };
    (world, vats)
}

#[test]
fn random_programs_do_what_their_model_does() {
    for seed in 0..SEEDS {
        let mut program = Program::start(seed);
        for _ in 0..STEPS {
            program.step();
        }
        program.check();
        program.commit();
        // In a new process only what is stored is held, and nothing else is left.
        program.crash();
        program.crash();
        let expected = program.model.reachable() + HOLDERS;
        program.world = World::open(program.disk.fork());
        program.world.store.collect().unwrap();
        program.world.commit();
        let objects = program.world.store.view().unwrap().summary().unwrap().objects;
        assert_eq!(objects, expected as u64, "seed {seed}");
    }
}
