//! Every order in which messages may arrive, for scenarios small enough.
//!
//! A scenario is a setup, which runs as it comes, and a race, in which at every moment
//! either the next message of some direction of some connection arrives, or the next
//! line of some peer's program is done. All ways to choose are tried, by running the
//! world anew for each; if they are more than the bound, so many random ones.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::rng::Rng;
use super::script::{Line, Script};
use super::world::{Event, World};

/// One direction of a connection: the connection, and the end that it leads to.
type Lane = (usize, usize);

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

impl World {
    /// From now on messages travel one by one.
    fn explore(&mut self) {
        self.exploring = true;
    }

    /// Lets everything happen but arrivals.
    fn hurry(&mut self) {
        loop {
            let mut events: Vec<_> = std::mem::take(&mut self.events).into_vec();
            events.sort();
            // The least comes last.
            let next = events.iter().rposition(|Reverse((.., event))| {
                matches!(
                    event,
                    Event::Flush { idle: false, .. } | Event::Turn { .. } | Event::Dialled { .. }
                )
            });
            let event = next.map(|at| events.remove(at).0.2);
            self.events = events.into();
            let Some(event) = event else { return };
            self.moving -= 1;
            self.happen(event);
            self.answer_calls();
        }
    }

    /// The directions in which something is on its way.
    fn lanes(&self) -> Vec<Lane> {
        let lanes = self.events.iter().filter_map(|Reverse((.., event))| lane(event));
        let lanes: BTreeSet<Lane> = lanes.collect();
        lanes.into_iter().collect()
    }

    /// What comes next in a direction, in words.
    fn describe(&self, (conn, side): Lane) -> String {
        let end = &self.conns[conn].ends[side];
        let text = end.coming.front().map_or("the end".into(), |bytes| super::words(bytes));
        format!("to p{} from p{}: {text}", end.peer, self.conns[conn].ends[1 - side].peer)
    }

    /// Lets the next of a direction arrive.
    fn deliver(&mut self, which: Lane) {
        let mut events: Vec<_> = std::mem::take(&mut self.events).into_vec();
        events.sort();
        let next = events.iter().rposition(|Reverse((.., event))| lane(event) == Some(which));
        let event = next.map(|at| events.remove(at).0.2);
        self.events = events.into();
        if let Some(event) = event {
            self.moving -= 1;
            self.happen(event);
            self.answer_calls();
        }
    }
}

fn lane(event: &Event) -> Option<Lane> {
    match event {
        Event::Arrive { conn, side } | Event::End { conn, side } => Some((*conn, *side)),
        _ => None,
    }
}
