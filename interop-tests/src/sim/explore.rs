//! Every order in which messages may arrive, for scenarios small enough.
//!
//! A scenario is a setup, which runs as it comes, and a race, in which at every moment
//! either the next message of some direction of some connection arrives, or the next
//! line of some peer's program is done. All ways to choose are tried, by running the
//! world anew for each; if they are more than the bound, so many random ones.

use std::collections::BTreeMap;

use super::rng::Rng;
use super::script::{Line, Script};
use super::world::{Lane, World};

/// What came of a scenario.
#[derive(Clone, Debug, Default)]
pub struct Explored {
    /// How many orders were tried.
    pub runs: usize,
    /// Whether those were all.
    pub complete: bool,
    /// What went wrong first, and in which order of events.
    pub failure: Option<(String, Vec<String>)>,
    /// How many messages were overtaken by a later one of their sender that took
    /// another reference to the same object.
    pub overtakings: u64,
    /// How many gifts were fetched.
    pub handoffs: u64,
}

/// What is chosen between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Choice {
    /// The next message of a direction arrives.
    Arrival(Lane),
    /// A peer does its next line.
    Line(usize),
}

/// Tries the orders in which `race` may go after `setup`: all, or `bound` random ones.
#[must_use]
pub fn explore(setup: &Script, race: &[Line], bound: usize) -> Explored {
    let mut explored = Explored::default();
    // For each choice made: which, and of how many.
    let mut path: Vec<(usize, usize)> = Vec::new();
    while explored.runs < bound {
        let taken: Vec<usize> = path.iter().map(|(choice, _)| *choice).collect();
        let next = |at: usize, _| taken.get(at).copied().unwrap_or_default();
        path = explored.run(setup, race, next);
        if explored.failure.is_some() {
            return explored;
        }
        while path.last().is_some_and(|(choice, of)| choice + 1 >= *of) {
            path.pop();
        }
        match path.last_mut() {
            Some((choice, _)) => *choice += 1,
            None => {
                explored.complete = true;
                return explored;
            }
        }
    }
    // The orders tried so far all begin alike.
    let mut rng = Rng::new(bound as u64);
    for _ in 0..bound {
        explored.run(setup, race, |_, of| rng.below(of as u64) as usize);
        if explored.failure.is_some() {
            break;
        }
    }
    explored
}

impl Explored {
    fn run(
        &mut self,
        setup: &Script,
        race: &[Line],
        mut choose: impl FnMut(usize, usize) -> usize,
    ) -> Vec<(usize, usize)> {
        self.runs += 1;
        let mut world = World::new(setup, false);
        let mut said = Vec::new();
        let mut path = Vec::new();
        world.answer_calls();
        for line in &setup.lines {
            world.perform(line);
            world.settle();
        }
        world.explore();
        let mut programs: BTreeMap<usize, Vec<&Line>> = BTreeMap::new();
        for line in race.iter().rev() {
            programs.entry(line.peer).or_default().push(line);
        }
        loop {
            world.hurry();
            let mut choices: Vec<_> = world.lanes().into_iter().map(Choice::Arrival).collect();
            choices.extend(
                programs.iter().filter(|(_, l)| !l.is_empty()).map(|(p, _)| Choice::Line(*p)),
            );
            if choices.is_empty() || world.failed() {
                break;
            }
            let at = choose(path.len(), choices.len()).min(choices.len() - 1);
            path.push((at, choices.len()));
            match choices[at] {
                Choice::Arrival(lane) => {
                    said.push(world.describe(lane));
                    world.deliver(lane);
                }
                Choice::Line(peer) => {
                    if let Some(line) = programs.get_mut(&peer).and_then(Vec::pop) {
                        said.push(format!("p{peer} {:?}", line.op));
                        world.perform(line);
                    }
                }
            }
        }
        world.finish();
        let report = world.report();
        self.overtakings += report.counters.forks;
        self.handoffs += report.counters.handoffs;
        self.failure = report.failure.map(|failure| (failure, said));
        path
    }
}
