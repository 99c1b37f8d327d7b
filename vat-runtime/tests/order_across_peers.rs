//! End-to-end reference FIFO: messages of one sender to one reference arrive in the
//! order sent, whatever way they take. Promises of several nodes in a row resolve, to
//! each other and at last to an object anywhere, while messages are under way, and
//! every order of arrival is tried. Positions are released exactly once in all of them.

mod network;
mod recorder;

use std::sync::{Arc, Mutex};

use network::{Node, Run, Script, World, explore, sample};
use recorder::Recorder;
use vat_runtime::{Args, Promise, Ref, Turn, Value, promise};

/// Answers that are waited for.
type Sent = Arc<Mutex<Vec<(i64, Promise)>>>;

/// What a run is about.
#[derive(Clone)]
struct Shape {
    /// Node 0 sends to a promise of node 1, which becomes one of node 2, and so on: how
    /// many promises there are.
    promises: Node,
    /// Where the object lives that the last one becomes.
    home: Node,
    handoffs: bool,
    /// Which nodes send to the promise at node 1, each what its letters say, in order:
    /// `?` a message with an answer, `.` one without; `l` listens, `x` finds the link
    /// to the next node cut.
    senders: Vec<(Node, &'static str)>,
    /// Node 0 knows the promise only as the answer to a question.
    by_answer: bool,
}

impl Shape {
    fn new(promises: Node, home: Node, senders: &[(Node, &'static str)]) -> Self {
        let senders = senders.to_vec();
        Self { promises, home, handoffs: false, senders, by_answer: false }
    }

    fn handoffs(mut self) -> Self {
        self.handoffs = true;
        self
    }

    fn by_an_answer(mut self) -> Self {
        self.by_answer = true;
        self
    }

    fn start(&self) -> Run {
        let world = World::new(self.home.max(self.promises) + 1, self.handoffs);
        let recorder = Recorder::default();
        let object = world.spawn(self.home, recorder.clone());
        let mut scripts: Vec<Script> = Vec::new();
        // From the far end: what each promise becomes, as its own node knows it.
        let mut next = (self.home, object);
        for node in (1..=self.promises).rev() {
            let (promise, resolver) = promise();
            let target = if next.0 == node {
                next.1.clone()
            } else {
                world.introduce(next.0, &next.1, node)
            };
            scripts.push((node, vec![Box::new(move || resolver.fulfill(target))]));
            next = (node, promise.into());
        }
        let sent = Sent::default();
        for (node, letters) in &self.senders {
            let to = if *node == 1 {
                next.1.clone()
            } else if self.by_answer {
                let answer = next.1.clone();
                let asked = move |_: &mut Turn<'_>, _: Args| Ok(Value::from(&answer).into());
                let asked = world.spawn(1, asked);
                world.introduce(1, &asked, *node).send(vec![]).into_ref()
            } else {
                world.introduce(1, &next.1, *node)
            };
            let actions = actions(&world, *node, letters, &to, &sent);
            match scripts.iter_mut().find(|(other, _)| other == node) {
                Some((_, script)) => {
                    // Sent before, and after, what the node resolves.
                    let after = actions.into_iter().enumerate();
                    after.for_each(|(at, action)| script.insert(script.len().min(at * 2), action));
                }
                None => scripts.push((*node, actions)),
            }
        }
        let cut = self.senders.iter().any(|(_, letters)| letters.contains('x'));
        let senders = self.senders.clone();
        let check = Box::new(move || check(&recorder, &sent, &senders, cut));
        Run { world, scripts, check }
    }
}

fn actions(
    world: &Arc<World>,
    node: Node,
    letters: &str,
    to: &Ref,
    sent: &Sent,
) -> Vec<Box<dyn FnOnce()>> {
    let mut number = i64::try_from(node).unwrap() * 100;
    let action = |letter: char| -> Box<dyn FnOnce()> {
        let (to, sent, world, this) = (to.clone(), sent.clone(), world.clone(), number);
        number += i64::from(matches!(letter, '?' | '.'));
        match letter {
            '?' => Box::new(move || {
                let answer = to.send(vec![this.into()]);
                sent.lock().unwrap().push((this, answer));
            }),
            '.' => Box::new(move || to.send_only(vec![this.into()])),
            'l' => Box::new(move || to.when_settled(drop)),
            _ => Box::new(move || world.cut(node, node + 1)),
        }
    };
    letters.chars().map(action).collect()
}

/// Each sender's messages have arrived in order, and all of them unless a link was cut;
/// all answers have come.
fn check(recorder: &Recorder, sent: &Sent, senders: &[(Node, &'static str)], cut: bool) {
    let heard: Vec<i64> = recorder.heard().iter().filter_map(Value::as_int).collect();
    for (node, letters) in senders {
        let first = i64::try_from(*node).unwrap() * 100;
        let mine: Vec<_> = heard.iter().filter(|&&id| id / 100 == first / 100).copied().collect();
        let count = letters.chars().filter(|letter| matches!(letter, '?' | '.')).count();
        if cut {
            assert!(mine.is_sorted_by(|one, two| one < two), "out of order: {mine:?}");
        } else {
            let all: Vec<_> = (first..first + i64::try_from(count).unwrap()).collect();
            assert_eq!(mine, all, "lost or out of order");
        }
    }
    for (number, answer) in sent.lock().unwrap().drain(..) {
        match answer.outcome() {
            Some(Ok(value)) => assert_eq!(value, number.into()),
            Some(Err(_)) if cut => {}
            other => panic!("the answer to {number}: {other:?}"),
        }
    }
}

/// All texts of `.` and `?` of a length, with an `l` at each place.
fn programs(length: u32) -> Vec<&'static str> {
    let mut programs = Vec::new();
    for bits in 0..1_u32 << length {
        for listen in 0..length {
            let letter = |at: u32| if bits >> at & 1 == 1 { "?" } else { "." };
            let text = |at: u32| [if at == listen { "l" } else { "" }, letter(at)].concat();
            let program: String = (0..length).map(text).collect();
            programs.push(&*program.leak());
        }
    }
    programs
}

fn explore_all(what: &str, shapes: impl IntoIterator<Item = Shape>) {
    let runs: usize = shapes.into_iter().map(|shape| explore(|| shape.start())).sum();
    eprintln!("{what}: {runs} orders");
    assert!(runs > 1);
}

/// Scenario 1: messages go to a peer's promise and come back.
#[test]
fn loop_back() {
    let programs = programs(3).into_iter();
    explore_all("loop-back", programs.map(|program| Shape::new(1, 0, &[(0, program)])));
}

/// Scenarios 2, 3 and 11: a promise becomes a third party's object, given or stood in
/// for, with every link as slow as can be.
#[test]
fn three_parties() {
    for program in programs(3) {
        let shape = Shape::new(1, 2, &[(0, program)]);
        explore_all("three parties, by proxy", [shape.clone()]);
        explore_all("three parties, by handoff", [shape.handoffs()]);
    }
}

/// Scenario 10: the promise is known only by the position of an answer.
#[test]
fn the_promise_of_an_answer() {
    for home in [0, 1, 2] {
        let shape = |program| Shape::new(1, home, &[(0, program)]).by_an_answer();
        explore_all("an answer, by proxy", programs(2).into_iter().map(shape));
        explore_all("an answer", programs(2).into_iter().map(|it| shape(it).handoffs()));
    }
}

/// Scenarios 4 and 11: two promises in a row, so that a message may be slow two hops
/// further on; they become an object at any of the nodes.
#[test]
fn two_promises_in_a_row() {
    for home in 0..=3 {
        let shape = |program| Shape::new(2, home, &[(0, program)]);
        explore_all("two promises, by proxy", programs(2).into_iter().map(shape));
        explore_all("two promises", ["l?.", "l.?"].map(|program| shape(program).handoffs()));
    }
}

/// Scenario 6: the node in the middle sends too.
#[test]
fn the_node_in_the_middle_sends_too() {
    for home in [0, 2] {
        let shape = |first, second| Shape::new(1, home, &[(0, first), (1, second)]);
        explore_all("two senders", [shape("l?.", "?."), shape("l.?", "..")]);
        let shape = Shape::new(2, 3, &[(0, "l.?"), (1, "?.")]);
        sample(0..500, || shape.start());
        let shape = shape.handoffs();
        sample(0..500, || shape.start());
    }
}

/// Scenarios 5 and 7: the promises of a longer row resolve at any time, some while a
/// shorter way is being taken around others. Too many orders to try them all.
#[test]
fn promises_in_a_row_resolve_at_the_same_time() {
    let senders: [&[_]; 4] = [
        &[(0, "l????")],
        &[(0, "?.l?.?")],
        &[(0, "l?.?."), (1, "?.?")],
        &[(0, "l..??.?"), (1, "l?"), (4, "l.?.")],
    ];
    for (index, senders) in (0..).zip(senders) {
        for home in 0..=4 {
            let shape = Shape::new(3, home, senders);
            let seeds = index * 1000 + home * 100;
            sample(seeds..seeds + 100, || shape.start());
            let shape = shape.handoffs();
            sample(seeds..seeds + 100, || shape.start());
        }
    }
}

/// Scenario 13: a connection on the way is lost, at either end of a hop, and what was
/// sent before is still in the buffers of a system.
#[test]
fn a_cut_on_the_way() {
    for handoffs in [false, true] {
        let cuts: [&[_]; 5] = [
            &[(0, "l.?x?.")],
            &[(0, "l?.x.?")],
            &[(0, "l..??"), (1, "x")],
            &[(0, "l.?.?"), (1, "?x?")],
            &[(0, "l??.?x?")],
        ];
        for senders in cuts {
            let shape = Shape { handoffs, ..Shape::new(2, 3, senders) };
            sample(0..300, || shape.start());
        }
        let shape = |program| Shape { handoffs, ..Shape::new(1, 2, &[(0, program)]) };
        explore_all("a cut", ["l.x.", "l?x.", "l.?x.", "l?.x?"].map(shape));
    }
}
