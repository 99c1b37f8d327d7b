//! Whether a graph is consistent: what it names is there, and nothing is given in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Graph, Offer};
use crate::desired::names::{Name, Place, did_you_mean};
use crate::desired::tree::{Invalid, join};

/// Something of a graph that is made from other things of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// What is offered at a place.
    Offer(Place),
    /// What is bound at a place.
    Binding(Place),
}

impl Part {
    /// Where it is.
    pub(crate) const fn place(&self) -> &Place {
        match self {
            Self::Offer(place) | Self::Binding(place) => place,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offer(place) => write!(f, "{place} is offered"),
            Self::Binding(place) => write!(f, "{place} is bound"),
        }
    }
}

/// Where in the text things are said, for errors.
#[derive(Default)]
pub(super) struct Marks(pub(super) BTreeMap<Part, Option<usize>>);

impl Marks {
    fn invalid(&self, part: &Part, what: impl fmt::Display) -> Invalid {
        let path = match part {
            Part::Offer(Place { machine, name }) => {
                join(&join(&join("machines", machine.as_str()), "offers"), name.as_str())
            }
            Part::Binding(Place { machine, name }) => {
                join(&join("bindings", machine.as_str()), name.as_str())
            }
        };
        Invalid::new(&path, self.0.get(part).copied().flatten(), what)
    }
}

/// No such machine, and which one may be meant.
pub(super) fn no_machine(graph: &Graph, name: &str) -> String {
    let hint = did_you_mean(name, graph.machines.keys().map(Name::as_str));
    format!("there is no machine {name:?} in the graph{hint}")
}

/// Everything that is named is there, and nothing is made from itself.
pub(super) fn check(graph: &Graph, marks: &Marks) -> Result<(), Invalid> {
    for (to, binding) in &graph.bindings {
        let part = Part::Binding(to.clone());
        let from = &binding.from;
        for machine in [&to.machine, &from.machine] {
            if !graph.machines.contains_key(machine) {
                return Err(marks.invalid(&part, no_machine(graph, machine.as_str())));
            }
        }
        if graph.offer(from).is_none() {
            let machine = graph.machines.get(&from.machine);
            let names: Vec<&str> = machine
                .iter()
                .flat_map(|machine| machine.offers.keys())
                .map(Name::as_str)
                .collect();
            let hint = did_you_mean(from.name.as_str(), names.iter().copied());
            let offers = if names.is_empty() { "nothing".into() } else { names.join(", ") };
            let what = format!(
                "{} offers no {:?}{hint} (it offers {offers})",
                from.machine,
                from.name.as_str()
            );
            return Err(marks.invalid(&part, what));
        }
    }
    for (machine, entry) in &graph.machines {
        for (name, offer) in &entry.offers {
            let Offer::Binding(bound) = offer else { continue };
            let at = Place { machine: machine.clone(), name: bound.clone() };
            if !graph.bindings.contains_key(&at) {
                let place = Place { machine: machine.clone(), name: name.clone() };
                let names = graph.bindings.keys().filter(|place| place.machine == *machine);
                let hint = did_you_mean(bound.as_str(), names.map(|place| place.name.as_str()));
                let what = format!("nothing is bound as {at} in the graph{hint}");
                return Err(marks.invalid(&Part::Offer(place), what));
            }
        }
    }
    in_order(graph, &|part| source(graph, part)).map(drop).map_err(|circle| {
        let what = format!("what is given goes in a circle: {}", circle.path());
        match circle.parts.first() {
            Some(part) => marks.invalid(part, what),
            None => Invalid::new("", None, what),
        }
    })
}

/// What a part is made from, if that is another part.
pub(super) fn source(graph: &Graph, part: &Part) -> Option<Part> {
    match part {
        Part::Binding(place) => Some(Part::Offer(graph.bindings.get(place)?.from.clone())),
        Part::Offer(place) => match graph.offer(place)? {
            Offer::Binding(name) => {
                let machine = place.machine.clone();
                Some(Part::Binding(Place { machine, name: name.clone() }))
            }
            _ => None,
        },
    }
}

/// Parts that are made from one another.
#[derive(Clone, Debug)]
pub(crate) struct Circle {
    /// The circle, which ends with the part that it begins with.
    pub(crate) parts: Vec<Part>,
    /// All that is in no circle and made from none, in order.
    pub(crate) ordered: Vec<Part>,
}

impl Circle {
    /// The circle as text.
    pub(crate) fn path(&self) -> String {
        let parts: Vec<String> = self.parts.iter().map(Part::to_string).collect();
        parts.join(" from what ")
    }
}

/// All parts of a graph, each after what it is made from, as `source` says.
pub(super) fn in_order(
    graph: &Graph,
    source: &dyn Fn(&Part) -> Option<Part>,
) -> Result<Vec<Part>, Circle> {
    let offers = graph.machines.iter().flat_map(|(machine, entry)| {
        let place = |name: &Name| Place { machine: machine.clone(), name: name.clone() };
        entry.offers.keys().map(move |name| Part::Offer(place(name)))
    });
    let all: BTreeSet<Part> =
        offers.chain(graph.bindings.keys().cloned().map(Part::Binding)).collect();
    let mut heirs: BTreeMap<Part, Vec<&Part>> = BTreeMap::new();
    let mut ready = BTreeSet::new();
    for part in &all {
        match source(part).filter(|source| all.contains(source)) {
            Some(source) => heirs.entry(source).or_default().push(part),
            None => {
                ready.insert(part);
            }
        }
    }
    let mut ordered = Vec::with_capacity(all.len());
    while let Some(part) = ready.pop_first() {
        ready.extend(heirs.remove(part).unwrap_or_default());
        ordered.push(part.clone());
    }
    let Some(mut part) = heirs.values().flatten().next().map(|part| (*part).clone()) else {
        return Ok(ordered);
    };
    // Whoever is left is in a circle or made from one; going back to the source ends in it.
    let mut path = Vec::new();
    while !path.contains(&part) {
        path.push(part.clone());
        match source(&part) {
            Some(source) => part = source,
            None => break,
        }
    }
    let begin = path.iter().position(|seen| *seen == part).unwrap_or_default();
    let mut parts = path.split_off(begin);
    parts.push(part);
    Err(Circle { parts, ordered })
}
