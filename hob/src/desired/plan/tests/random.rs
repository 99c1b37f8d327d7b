//! From any fleet to any graph: a plan leads there, also if it is interrupted.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Map, json};

use super::super::*;
use crate::desired::graph::Graph;
use crate::desired::limits::Limits;

const MACHINES: [&str; 4] = ["a", "b", "c", "d"];
const OFFERS: [&str; 2] = ["x", "y"];
const BINDINGS: [&str; 2] = ["m", "n"];
const RULES: [&str; 2] = ["", "read-only"];

/// What a graph is made from. Numbers choose from the names above.
#[derive(Clone, Debug)]
struct Draft {
    /// Per machine: none, one that is made, one that is existing; and its packages.
    machines: Vec<(u8, u8)>,
    /// Per machine and name: nothing, three kinds of things, two bindings, existing.
    offers: Vec<u8>,
    /// Per machine and name: from which offer, and under which rules; or nothing.
    bindings: Vec<Option<(usize, usize)>>,
}

fn draft() -> impl Strategy<Value = Draft> {
    let machines = prop::collection::vec((0..6u8, 0..3u8), MACHINES.len());
    let offers = prop::collection::vec(0..8u8, MACHINES.len() * OFFERS.len());
    let sources = MACHINES.len() * OFFERS.len();
    let binding = prop::option::weighted(0.7, (0..sources, 0..RULES.len()));
    let bindings = prop::collection::vec(binding, MACHINES.len() * BINDINGS.len());
    (machines, offers, bindings).prop_map(|(machines, offers, bindings)| Draft {
        machines,
        offers,
        bindings,
    })
}

fn offer_of(number: u8) -> Option<serde_json::Value> {
    Some(match number {
        0 => return None,
        1 | 2 => json!({"kind": "kv"}),
        3 => json!({"kind": "counter"}),
        4 | 5 => json!({"binding": "m"}),
        6 => json!({"binding": "n"}),
        _ => json!({"existing": true}),
    })
}

impl Draft {
    /// The graph, less what is not consistent.
    fn graph(&self) -> Graph {
        let mut machines = Map::new();
        for (index, (kind, packages)) in self.machines.iter().enumerate() {
            let mut entry = match kind {
                0 => continue,
                1 => json!({"existing": true}),
                _ => json!({"spec": {"size": 1}}),
            };
            if *packages > 0 {
                entry["state"] = json!({"packages": [format!("package{packages}")]});
            }
            entry["offers"] = json!({});
            for (offset, name) in OFFERS.iter().enumerate() {
                let number = self.offers[index * OFFERS.len() + offset];
                if let Some(offer) = offer_of(number) {
                    entry["offers"][name] = offer;
                }
            }
            machines.insert(MACHINES[index].to_owned(), entry);
        }
        let mut bindings: Vec<(Place, Place, &str)> = Vec::new();
        for (index, binding) in self.bindings.iter().enumerate() {
            let Some((source, rules)) = binding else { continue };
            bindings.push((
                at(MACHINES[index / BINDINGS.len()], BINDINGS[index % BINDINGS.len()]),
                at(MACHINES[source / OFFERS.len()], OFFERS[source % OFFERS.len()]),
                RULES[*rules],
            ));
        }
        // Whatever names something that is not there goes, and what names that.
        loop {
            let before = bindings.len();
            bindings.retain(|(to, from, _)| {
                let offers = |machine: &Name| machines.get(machine.as_str());
                offers(&to.machine).is_some()
                    && offers(&from.machine)
                        .is_some_and(|entry| entry["offers"].get(from.name.as_str()).is_some())
            });
            let mut dropped = bindings.len() != before;
            for (machine, entry) in &mut machines {
                let bound = |name: &str| {
                    bindings
                        .iter()
                        .any(|(to, ..)| to.machine.as_str() == machine && to.name.as_str() == name)
                };
                let offers = entry["offers"].as_object_mut().unwrap();
                let before = offers.len();
                offers.retain(|_, offer| offer["binding"].as_str().is_none_or(bound));
                dropped |= offers.len() != before;
            }
            if !dropped {
                break;
            }
        }
        let mut tables = json!({});
        for (to, from, rules) in &bindings {
            let bar = if rules.is_empty() { "" } else { " | " };
            let text = format!("{from}{bar}{rules}");
            tables[to.machine.as_str()][to.name.as_str()] = json!(text);
        }
        let json = json!({"machines": machines, "bindings": tables});
        Graph::from_json(&json, &Limits::default()).unwrap_or_default()
    }
}

fn at(machine: &str, name: &str) -> Place {
    Place { machine: machine.parse().unwrap(), name: name.parse().unwrap() }
}

/// What people, time and other graphs did to a fleet.
#[derive(Clone, Debug)]
enum Mischief {
    MachineByHand(usize),
    OfferByHand(usize, usize, u8),
    BindingByHand(usize, usize, usize),
    Phase(usize, u8),
    Stale(usize, usize),
    Unbound(usize, usize),
    StateByHand(usize),
}

fn mischief() -> impl Strategy<Value = Mischief> {
    let machine = 0..MACHINES.len();
    prop_oneof![
        machine.clone().prop_map(Mischief::MachineByHand),
        (machine.clone(), 0..OFFERS.len(), 1..8u8)
            .prop_map(|(a, b, c)| Mischief::OfferByHand(a, b, c)),
        (machine.clone(), 0..BINDINGS.len(), 0..MACHINES.len() * OFFERS.len())
            .prop_map(|(a, b, c)| Mischief::BindingByHand(a, b, c)),
        (machine.clone(), 0..4u8).prop_map(|(a, b)| Mischief::Phase(a, b)),
        (machine.clone(), 0..BINDINGS.len()).prop_map(|(a, b)| Mischief::Stale(a, b)),
        (machine.clone(), 0..BINDINGS.len()).prop_map(|(a, b)| Mischief::Unbound(a, b)),
        machine.prop_map(Mischief::StateByHand),
    ]
}

fn disturb(actual: &mut Actual, mischief: &Mischief) {
    let name = |index: usize| -> Name { MACHINES[index].parse().unwrap() };
    match *mischief {
        Mischief::MachineByHand(machine) => {
            actual.machines.entry(name(machine)).or_insert_with(|| ActualMachine {
                provider: None,
                spec: Map::new(),
                phase: Phase::Active,
                owned: false,
                offers: Default::default(),
                state: None,
                drift: 1,
            });
        }
        Mischief::OfferByHand(machine, offer, kind) => {
            let offer_kind = match kind {
                1..=3 => Offer::Kind("kv".into()),
                4..=6 => Offer::Binding("m".parse().unwrap()),
                _ => Offer::Existing,
            };
            if let Some(entry) = actual.machines.get_mut(MACHINES[machine]) {
                let offer_there = ActualOffer { offer: offer_kind, owned: false };
                entry.offers.insert(OFFERS[offer].parse().unwrap(), offer_there);
            }
        }
        Mischief::BindingByHand(machine, binding, source) => {
            if actual.machines.contains_key(MACHINES[machine]) {
                let from = at(MACHINES[source / OFFERS.len()], OFFERS[source % OFFERS.len()]);
                let (rules, requires) = (Rules::default(), None);
                let entry = ActualBinding { from, rules, requires, owned: false, stale: false };
                actual.bindings.insert(at(MACHINES[machine], BINDINGS[binding]), entry);
            }
        }
        Mischief::Phase(machine, phase) => {
            if let Some(entry) = actual.machines.get_mut(MACHINES[machine]) {
                entry.phase = match phase {
                    0 => Phase::Active,
                    1 => Phase::Failed("no quota".into()),
                    2 => Phase::Leaving,
                    _ => Phase::Quarantined,
                };
            }
        }
        Mischief::Stale(machine, binding) => {
            let place = at(MACHINES[machine], BINDINGS[binding]);
            if let Some(entry) = actual.bindings.get_mut(&place) {
                entry.stale = true;
            }
        }
        Mischief::Unbound(machine, binding) => {
            actual.bindings.remove(&at(MACHINES[machine], BINDINGS[binding]));
        }
        Mischief::StateByHand(machine) => {
            if let Some(entry) = actual.machines.get_mut(MACHINES[machine]) {
                let digest = Digest::of(b"by hand");
                entry.state = Some(ActualState { digest, number: 5, owned: false });
            }
        }
    }
}

fn carried_out(graph: &Graph, actual: &Actual, options: &Options) -> Actual {
    let mut actual = actual.clone();
    let plan = plan(graph, &actual, options);
    plan.steps.iter().for_each(|step| actual.apply(&step.action));
    actual
}

/// What was made by hand is as it was.
fn hands_off(before: &Actual, after: &Actual) -> Result<(), TestCaseError> {
    for (place, binding) in before.bindings.iter().filter(|(_, binding)| !binding.owned) {
        let now = after.bindings.get(place);
        let same = now.is_some_and(|now| {
            !now.owned && now.from == binding.from && now.rules == binding.rules
        });
        prop_assert!(same, "{place}");
    }
    for (name, machine) in &before.machines {
        let by_hand = machine.offers.iter().filter(|(_, offer)| !offer.owned);
        for (offer, there) in by_hand {
            prop_assert_eq!(after.machines[name].offers.get(offer), Some(there));
        }
        if !machine.owned {
            prop_assert!(after.machines.contains_key(name));
        }
    }
    Ok(())
}

/// If a plan says that the graph is there, it is.
fn reached(graph: &Graph, actual: &Actual) -> Result<(), TestCaseError> {
    for (place, binding) in graph.bindings() {
        let actual = actual.bindings.get(place);
        let same = actual.is_some_and(|actual| {
            actual.from == binding.from && actual.rules == binding.rules && !actual.stale
        });
        prop_assert!(same, "{place}");
    }
    for (name, machine) in graph.machines() {
        for (offer, wanted) in &machine.offers {
            let there = &actual.machines[name].offers[offer].offer;
            prop_assert!(there == wanted || *wanted == Offer::Existing);
        }
        if !machine.state.is_empty() {
            prop_assert_eq!(actual.machines[name].digest(), machine.state.digest());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plans_lead_to_the_graph(
        first in draft(),
        disturbances in prop::collection::vec(mischief(), 0..8),
        second in draft(),
        prune_machines: bool,
    ) {
        let options = Options { prune_machines };
        let mut start = carried_out(&first.graph(), &Actual::default(), &options);
        disturbances.iter().for_each(|mischief| disturb(&mut start, mischief));
        let graph = second.graph();
        let steps = plan(&graph, &start, &options).steps;
        let goal = carried_out(&graph, &start, &options);
        let rest = plan(&graph, &goal, &options);
        prop_assert!(rest.is_empty(), "{:#}\nleaves\n{rest:#}", plan(&graph, &start, &options));
        hands_off(&start, &goal)?;
        if rest.is_complete() {
            reached(&graph, &goal)?;
        }
        // Interrupted after any step, a new plan leads to the same.
        let mut actual = start;
        for step in &steps {
            actual.apply(&step.action);
            let recovered = carried_out(&graph, &actual, &options);
            prop_assert!(plan(&graph, &recovered, &options).is_empty());
            prop_assert_eq!(&recovered, &goal);
        }
    }
}
