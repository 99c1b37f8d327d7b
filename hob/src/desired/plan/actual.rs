//! What there is, as the boss knows it, and what each action makes of it.

use std::collections::BTreeMap;

use super::Action;
use crate::desired::Rules;
use crate::desired::graph::Offer;
use crate::desired::machine::{DesiredState, Digest};
use crate::desired::names::{Name, Place};

/// A fleet as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Actual {
    /// The machines.
    pub(crate) machines: BTreeMap<Name, ActualMachine>,
    /// The bindings, by where they are bound.
    pub(crate) bindings: BTreeMap<Place, ActualBinding>,
}

/// A machine as it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ActualMachine {
    /// What made it.
    pub(crate) provider: Option<String>,
    /// What the provider was asked for.
    pub(crate) spec: serde_json::Map<String, serde_json::Value>,
    /// How far it is.
    pub(crate) phase: Phase,
    /// Whether it was made for the graph; else by hand.
    pub(crate) owned: bool,
    /// What it offers.
    pub(crate) offers: BTreeMap<Name, ActualOffer>,
    /// What it was told to have on it. `None`: nothing, so far.
    pub(crate) state: Option<ActualState>,
    /// In how many places it differs from that, by its last report.
    pub(crate) drift: u64,
}

/// How far a machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is being made. What it is sent waits for it.
    Pending,
    /// It has registered.
    Active,
    /// It could not be made: why.
    Failed(String),
    /// It is being destroyed.
    Leaving,
    /// It is shut off. Nothing is given to it or taken from it.
    Quarantined,
}

/// What a machine was told to have on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActualState {
    /// Which state.
    pub(crate) digest: Digest,
    /// The number that the boss gave it.
    pub(crate) number: u64,
    /// Whether the graph said so.
    pub(crate) owned: bool,
}

/// What is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActualOffer {
    /// What: [`Offer::Existing`], if somebody registered it by hand.
    pub(crate) offer: Offer,
    /// Whether it is offered for the graph.
    pub(crate) owned: bool,
}

/// What is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActualBinding {
    /// What it is.
    pub(crate) from: Place,
    /// What may be done with it.
    pub(crate) rules: Rules,
    /// The service that has to run where it comes from.
    pub(crate) requires: Option<String>,
    /// Whether it was bound for the graph.
    pub(crate) owned: bool,
    /// Whether what is offered there has been made anew since it was given: what is bound
    /// is then still the former.
    pub(crate) stale: bool,
}

impl Actual {
    /// What is offered at a place.
    pub(crate) fn offer(&self, place: &Place) -> Option<&ActualOffer> {
        self.machines.get(&place.machine)?.offers.get(&place.name)
    }

    /// What there is after an action: what the boss must see to.
    pub(crate) fn apply(&mut self, action: &Action) {
        match action {
            Action::CreateMachine { machine, provider, spec } => {
                let entry = self.machines.entry(machine.clone());
                let entry = entry.or_insert_with(|| ActualMachine {
                    provider: None,
                    spec: serde_json::Map::new(),
                    phase: Phase::Pending,
                    owned: true,
                    offers: BTreeMap::new(),
                    state: None,
                    drift: 0,
                });
                entry.provider.clone_from(provider);
                entry.spec.clone_from(spec);
                entry.phase = Phase::Pending;
            }
            Action::SetState { machine, digest } => {
                if let Some(entry) = self.machines.get_mut(machine) {
                    let number = entry.state.as_ref().map_or(1, |state| state.number + 1);
                    entry.state = Some(ActualState { digest: *digest, number, owned: true });
                }
            }
            Action::Offer { place, offer, .. } => {
                if let Some(entry) = self.machines.get_mut(&place.machine) {
                    let offer = ActualOffer { offer: offer.clone(), owned: true };
                    entry.offers.insert(place.name.clone(), offer);
                }
                self.made_anew(place);
            }
            Action::Bind { to, from, rules, requires }
            | Action::Attenuate { to, from, rules, requires, .. }
            | Action::Rebind { to, from, rules, requires, .. } => {
                let (from, rules, requires) = (from.clone(), rules.clone(), requires.clone());
                let binding = ActualBinding { from, rules, requires, owned: true, stale: false };
                self.bindings.insert(to.clone(), binding);
                self.bound_anew(to);
            }
            // What is offered from it is nothing now: it is another thing once it is bound
            // again.
            Action::Unbind { to, .. } => _ = self.bindings.remove(to),
            Action::Withdraw { place } => {
                if let Some(entry) = self.machines.get_mut(&place.machine) {
                    entry.offers.remove(&place.name);
                }
                self.made_anew(place);
            }
            Action::DestroyMachine { machine } => {
                self.machines.remove(machine);
                self.bindings.retain(|place, _| place.machine != *machine);
                let gone = self.bindings.values_mut();
                let gone = gone.filter(|binding| binding.from.machine == *machine);
                gone.for_each(|binding| binding.stale = true);
            }
        }
    }

    /// What is bound from there is still the former.
    fn made_anew(&mut self, offer: &Place) {
        let bindings = self.bindings.values_mut().filter(|binding| binding.from == *offer);
        bindings.for_each(|binding| binding.stale = true);
    }

    /// What is offered from that binding is another thing from now on.
    fn bound_anew(&mut self, to: &Place) {
        let Some(machine) = self.machines.get(&to.machine) else { return };
        let made_from = Offer::Binding(to.name.clone());
        let offers = machine.offers.iter().filter(|(_, offer)| offer.offer == made_from);
        let places: Vec<Place> = offers
            .map(|(name, _)| Place { machine: to.machine.clone(), name: name.clone() })
            .collect();
        places.iter().for_each(|place| self.made_anew(place));
    }
}

impl ActualMachine {
    /// The digest of what it was told to have on it.
    pub(super) fn digest(&self) -> Digest {
        let state = self.state.as_ref();
        state.map_or_else(|| DesiredState::default().digest(), |state| state.digest)
    }
}
