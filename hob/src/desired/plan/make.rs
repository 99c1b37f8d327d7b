//! How plans are made.
//!
//! 1. Machines are made, then told their state, so that what they offer is there.
//! 2. Offers and bindings are made, each after what it is made from; whatever is made
//!    from something that was made anew is bound anew.
//! 3. What the graph made and no longer has is removed: bindings first of all, so that
//!    nobody keeps what he should not have while the rest is under way; offers and
//!    machines at the end, once nothing uses them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use super::{Action, Actual, ActualBinding, Note, Options, Phase, Plan, Step};
use crate::desired::graph::{Binding, Graph, Machine, Offer, Part};
use crate::desired::names::{Name, Place};

/// What must be done so that a fleet becomes what the graph says. The same for the same
/// arguments; and empty, once all of it has been done.
pub(crate) fn plan(graph: &Graph, actual: &Actual, options: &Options) -> Plan {
    let mut planner = Planner {
        graph,
        actual,
        steps: Vec::new(),
        notes: BTreeSet::new(),
        anew: BTreeSet::new(),
        blocked: BTreeSet::new(),
        made: BTreeSet::new(),
    };
    planner.machines();
    planner.states();
    planner.parts();
    let mut after = actual.clone();
    planner.steps.iter().for_each(|step| after.apply(&step.action));
    let needed = needed_by_hand(&after);
    let mut steps = planner.unbind(&after, &needed);
    steps.append(&mut planner.steps);
    steps.append(&mut planner.withdraw(&after, &needed));
    steps.append(&mut planner.destroy(&after, &needed, options));
    Plan { steps, notes: planner.notes.into_iter().collect() }
}

struct Planner<'a> {
    graph: &'a Graph,
    actual: &'a Actual,
    steps: Vec<Step>,
    notes: BTreeSet<Note>,
    /// What is another thing after the plan than before.
    anew: BTreeSet<Part>,
    /// What can't be made as the graph says.
    blocked: BTreeSet<Part>,
    /// The machines that the plan makes.
    made: BTreeSet<Name>,
}

impl Planner<'_> {
    fn step(&mut self, action: Action, why: impl fmt::Display) {
        self.steps.push(Step { action, why: why.to_string() });
    }

    fn note(&mut self, problem: bool, about: impl fmt::Display, what: impl fmt::Display) {
        let (about, what) = (about.to_string(), what.to_string());
        self.notes.insert(Note { problem, about, what });
    }

    fn machines(&mut self) {
        for (name, wanted) in self.graph.machines() {
            match self.actual.machines.get(name) {
                None if wanted.existing => self.note(
                    true,
                    name,
                    "is not there: the graph says that it is existing, and does not make it",
                ),
                None => self.create(name, wanted, "is not there yet".into()),
                Some(actual) => {
                    if let Phase::Failed(why) = &actual.phase {
                        if actual.owned && !wanted.existing {
                            self.create(name, wanted, format!("could not be made: {why}"));
                        } else {
                            self.note(true, name, format_args!("could not be made: {why}"));
                        }
                    } else {
                        self.compare(name, wanted);
                    }
                }
            }
        }
    }

    fn create(&mut self, name: &Name, wanted: &Machine, why: String) {
        let (machine, provider, spec) =
            (name.clone(), wanted.provider.clone(), wanted.spec.clone());
        self.made.insert(name.clone());
        self.step(Action::CreateMachine { machine, provider, spec }, why);
    }

    /// Says in what a machine that is there differs from the graph: it is never replaced.
    fn compare(&mut self, name: &Name, wanted: &Machine) {
        let Some(actual) = self.actual.machines.get(name) else { return };
        if actual.owned && !wanted.existing {
            let text = |provider: &Option<String>| {
                provider.clone().unwrap_or_else(|| "the default provider".to_owned())
            };
            if wanted.provider.is_some() && wanted.provider != actual.provider {
                let what = format!(
                    "was made by {} and not by {}; destroy it first to have it made anew",
                    text(&actual.provider),
                    text(&wanted.provider)
                );
                self.note(true, name, what);
            } else if wanted.spec != actual.spec {
                let what = "was made with another spec; destroy it first to have it made anew";
                self.note(true, name, what);
            }
        }
        match actual.phase {
            Phase::Quarantined => {
                self.note(true, name, "is in quarantine: nothing is given to it or taken from it");
            }
            Phase::Leaving => {
                self.note(true, name, "is being destroyed: plan again once it has gone");
            }
            Phase::Pending | Phase::Active | Phase::Failed(_) => {}
        }
        if actual.drift > 0 {
            let places = if actual.drift == 1 { "place" } else { "places" };
            let what = format!("has drifted in {} {places}; it repairs that itself", actual.drift);
            self.note(false, name, what);
        }
    }

    /// Whether something can be done on a machine; else why not.
    fn usable(&self, name: &Name) -> Result<(), String> {
        match self.actual.machines.get(name).map(|machine| &machine.phase) {
            None if self.made.contains(name) => Ok(()),
            None => Err(format!("{name} is not there")),
            Some(Phase::Quarantined) => Err(format!("{name} is in quarantine")),
            Some(Phase::Leaving) => Err(format!("{name} is being destroyed")),
            Some(_) => Ok(()),
        }
    }

    fn states(&mut self) {
        for name in self.graph.machines().keys() {
            let wanted = self.graph.state_of(name).unwrap_or_default();
            let actual = self.actual.machines.get(name);
            let told = actual.and_then(|machine| machine.state.as_ref());
            let by_hand = told.is_some_and(|state| !state.owned);
            let digest = wanted.digest();
            let same = match actual {
                Some(machine) => machine.digest() == digest,
                None => wanted.is_empty(),
            };
            if same || self.usable(name).is_err() {
                continue;
            }
            if by_hand {
                if !wanted.is_empty() {
                    self.note(true, name, "was told its state by hand: left alone");
                }
                continue;
            }
            let count = wanted.items();
            let why = match (told, count) {
                (_, 0) if wanted.is_empty() => "nothing is to be on it any more".to_owned(),
                (None, _) => format!("{count} packages, files and services"),
                (Some(_), _) => format!("{count} packages, files and services, changed"),
            };
            self.step(Action::SetState { machine: name.clone(), digest }, why);
        }
    }

    fn parts(&mut self) {
        // What is existing may have been made from a binding, by an earlier graph.
        let existing = |place: &Place| match &self.actual.offer(place)?.offer {
            Offer::Binding(name) => {
                let machine = place.machine.clone();
                Some(Part::Binding(Place { machine, name: name.clone() }))
            }
            _ => None,
        };
        let order = self.graph.in_order(&existing).unwrap_or_else(|circle| {
            let about = circle.parts.first().map(Part::place).map(Place::to_string);
            let path = circle.path();
            let what = format!("with what is existing, it goes in a circle: {path}");
            self.note(true, about.unwrap_or_default(), what);
            circle.ordered
        });
        for part in order {
            match &part {
                Part::Offer(place) => self.offer(place, &part),
                Part::Binding(to) => self.binding(to, &part),
            }
        }
    }

    fn block(&mut self, part: &Part, what: impl fmt::Display) {
        self.note(true, part.place(), what);
        self.blocked.insert(part.clone());
    }

    fn offer(&mut self, place: &Place, part: &Part) {
        let Some(wanted) = self.graph.offer(place) else { return };
        let actual = self.actual.offer(place);
        let there =
            actual.is_some_and(|actual| actual.offer == *wanted || *wanted == Offer::Existing);
        if there {
            if let Some(Offer::Binding(name)) = actual.map(|actual| &actual.offer) {
                let machine = place.machine.clone();
                let source = Part::Binding(Place { machine, name: name.clone() });
                if self.anew.contains(&source) {
                    self.anew.insert(part.clone());
                }
                if self.blocked.contains(&source) {
                    self.blocked.insert(part.clone());
                }
            }
            return;
        }
        if *wanted == Offer::Existing {
            return self.block(part, "is not there: the graph says that it is existing");
        }
        if let Some(by_hand) = actual.filter(|actual| !actual.owned) {
            let what = format!(
                "is offered by hand ({}): left alone; say `existing = true` in the graph to use it",
                by_hand.offer
            );
            return self.block(part, what);
        }
        if let Err(why) = self.usable(&place.machine) {
            return self.block(part, format_args!("is not offered: {why}"));
        }
        if let Offer::Binding(name) = wanted {
            let source = Place { machine: place.machine.clone(), name: name.clone() };
            if self.blocked.contains(&Part::Binding(source.clone())) {
                let what = format!("is not offered: {source} is not bound as the graph says");
                return self.block(part, what);
            }
        }
        self.anew.insert(part.clone());
        let (offer, replaces) = (wanted.clone(), actual.is_some());
        let why = match actual {
            Some(actual) => format!("was {}", actual.offer),
            None => "is not offered yet".to_owned(),
        };
        self.step(Action::Offer { place: place.clone(), offer, replaces }, why);
    }

    fn binding(&mut self, to: &Place, part: &Part) {
        let Some(wanted) = self.graph.bindings().get(to) else { return };
        let source = Part::Offer(wanted.from.clone());
        let actual = self.actual.bindings.get(to);
        if let Some(by_hand) = actual.filter(|actual| !actual.owned) {
            return self.by_hand(wanted, by_hand, part);
        }
        let Some((action, why)) = self.change(to, wanted, actual) else {
            if self.blocked.contains(&source) {
                self.blocked.insert(part.clone());
            }
            return;
        };
        let usable = self.usable(&to.machine).and_then(|()| self.usable(&wanted.from.machine));
        if let Err(why) = usable {
            return self.block(part, format_args!("is not bound as the graph says: {why}"));
        }
        if self.blocked.contains(&source) {
            let from = &wanted.from;
            let what = format!("is not bound as the graph says: {from} is not what the graph says");
            return self.block(part, what);
        }
        self.anew.insert(part.clone());
        self.step(action, why);
    }

    /// What must be done for a binding that the graph may change.
    fn change(
        &self,
        to: &Place,
        wanted: &Binding,
        actual: Option<&ActualBinding>,
    ) -> Option<(Action, String)> {
        let (to, from, rules) = (to.clone(), wanted.from.clone(), wanted.rules.clone());
        let requires = wanted.requires.clone();
        let Some(actual) = actual else {
            let action = Action::Bind { to, from, rules, requires };
            return Some((action, "is not bound yet".to_owned()));
        };
        let before = actual.from.clone();
        if before != from {
            let why = format!("was {before}");
            return Some((Action::Rebind { to, from, rules, requires, before }, why));
        }
        if actual.rules != rules {
            let before = actual.rules.clone();
            let text = if before.is_empty() { "no rules".to_owned() } else { before.to_string() };
            let why = format!("was under {text}");
            return Some((Action::Attenuate { to, from, rules, requires, before }, why));
        }
        if actual.requires != requires {
            let before = rules.clone();
            let why = match &actual.requires {
                Some(service) => format!("required {service}"),
                None => "required no service".to_owned(),
            };
            return Some((Action::Attenuate { to, from, rules, requires, before }, why));
        }
        if actual.stale || self.anew.contains(&Part::Offer(from.clone())) {
            let why = format!("{from} is made anew");
            return Some((Action::Rebind { to, from, rules, requires, before }, why));
        }
        None
    }

    fn by_hand(&mut self, wanted: &Binding, actual: &ActualBinding, part: &Part) {
        let same = |actual: &ActualBinding| {
            (&actual.from, &actual.rules, &actual.requires)
                == (&wanted.from, &wanted.rules, &wanted.requires)
        };
        if !same(actual) {
            let from = &actual.from;
            let bar = if actual.rules.is_empty() { "" } else { " | " };
            let what = format!(
                "is bound by hand to {from}{bar}{}: left alone; unbind it first",
                actual.rules
            );
            self.block(part, what);
        } else if actual.stale || self.anew.contains(&Part::Offer(wanted.from.clone())) {
            let what = "is bound by hand to what was offered before: left alone; unbind it first";
            self.block(part, what);
        }
    }

    fn unbind(&mut self, after: &Actual, needed: &Needed) -> Vec<Step> {
        let unwanted = after
            .bindings
            .iter()
            .filter(|(to, binding)| binding.owned && !self.graph.bindings().contains_key(to));
        let mut removed = Vec::new();
        for (to, binding) in unwanted {
            if let Some(why) = needed.parts.get(&Part::Binding(to.clone())) {
                self.note(false, to, format_args!("is no longer in the graph: kept, since {why}"));
            } else {
                removed.push((depth(self.actual, to), to, binding));
            }
        }
        // What is made from something goes before it.
        removed.sort_by(|(a, x, _), (b, y, _)| b.cmp(a).then(x.cmp(y)));
        let step = |(_, to, binding): (usize, &Place, &ActualBinding)| Step {
            action: Action::Unbind { to: to.clone(), from: binding.from.clone() },
            why: "is no longer in the graph".to_owned(),
        };
        removed.into_iter().map(step).collect()
    }

    fn withdraw(&mut self, after: &Actual, needed: &Needed) -> Vec<Step> {
        let mut steps = Vec::new();
        for (machine, entry) in &after.machines {
            for (name, offer) in &entry.offers {
                let place = Place { machine: machine.clone(), name: name.clone() };
                if !offer.owned || self.graph.offer(&place).is_some() {
                    continue;
                }
                let why = "is no longer in the graph";
                if let Some(hand) = needed.parts.get(&Part::Offer(place.clone())) {
                    self.note(false, place, format_args!("{why}: kept, since {hand}"));
                } else {
                    steps.push(Step { action: Action::Withdraw { place }, why: why.to_owned() });
                }
            }
        }
        steps
    }

    fn destroy(&mut self, after: &Actual, needed: &Needed, options: &Options) -> Vec<Step> {
        let mut steps = Vec::new();
        for (name, machine) in &after.machines {
            let leaves = machine.phase == Phase::Leaving;
            if leaves || !machine.owned || self.graph.machines().contains_key(name) {
                continue;
            }
            let why = "is no longer in the graph";
            if let Some(hand) = needed.machines.get(name) {
                self.note(false, name, format_args!("{why}: kept, since {hand}"));
            } else if options.prune_machines {
                let action = Action::DestroyMachine { machine: name.clone() };
                steps.push(Step { action, why: why.to_owned() });
            } else {
                let what = format!("{why}: kept as it is; --prune-machines destroys it");
                self.note(false, name, what);
            }
        }
        steps
    }
}

/// What hangs on which thing that was made by hand.
#[derive(Default)]
struct Needed {
    parts: BTreeMap<Part, String>,
    machines: BTreeMap<Name, String>,
}

fn needed_by_hand(actual: &Actual) -> Needed {
    let mut needed = Needed::default();
    let mut open: VecDeque<(Part, String)> = VecDeque::new();
    for (to, binding) in actual.bindings.iter().filter(|(_, binding)| !binding.owned) {
        let why = format!("{to} is bound by hand");
        needed.machines.entry(to.machine.clone()).or_insert_with(|| why.clone());
        open.push_back((Part::Offer(binding.from.clone()), why));
    }
    for (machine, entry) in &actual.machines {
        for (name, _) in entry.offers.iter().filter(|(_, offer)| !offer.owned) {
            let place = Place { machine: machine.clone(), name: name.clone() };
            let why = format!("{place} is offered by hand");
            open.push_back((Part::Offer(place), why));
        }
    }
    while let Some((part, why)) = open.pop_front() {
        if needed.parts.contains_key(&part) {
            continue;
        }
        let machine = part.place().machine.clone();
        needed.machines.entry(machine.clone()).or_insert_with(|| why.clone());
        match &part {
            Part::Offer(place) => {
                if let Some(Offer::Binding(name)) = actual.offer(place).map(|offer| &offer.offer) {
                    let place = Place { machine, name: name.clone() };
                    open.push_back((Part::Binding(place), why.clone()));
                }
            }
            Part::Binding(to) => {
                if let Some(binding) = actual.bindings.get(to) {
                    open.push_back((Part::Offer(binding.from.clone()), why.clone()));
                }
            }
        }
        needed.parts.insert(part, why);
    }
    needed
}

/// Through how many other bindings a binding comes.
fn depth(actual: &Actual, to: &Place) -> usize {
    let mut at = to.clone();
    for depth in 0..=actual.bindings.len() {
        let from = actual.bindings.get(&at).map(|binding| &binding.from);
        let offer = from.and_then(|from| Some((from, &actual.offer(from)?.offer)));
        match offer {
            Some((from, Offer::Binding(name))) => {
                at = Place { machine: from.machine.clone(), name: name.clone() };
            }
            _ => return depth,
        }
    }
    0
}
