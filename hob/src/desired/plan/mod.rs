//! Plans: what must be done so that a fleet becomes what a graph says.
//!
//! A plan is made from the graph and from what there is, and from nothing else. It has
//! no state: whoever is interrupted while carrying one out makes a new one from what
//! there is then, and it has what is left to do.
//!
//! The graph owns what was made for it, and nothing else: what somebody bound or
//! registered by hand, and what that hangs on, is left as it is and mentioned.

mod actual;
mod make;
mod print;
#[cfg(test)]
mod tests;

use serde::Serialize;

use super::Rules;
use super::graph::Offer;
use super::machine::Digest;
use super::names::{Name, Place};

pub(crate) use actual::{Actual, ActualBinding, ActualMachine, ActualOffer, ActualState, Phase};
pub(crate) use make::plan;

/// What a plan may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Destroy the machines that the graph made and no longer has. Without it they are
    /// kept, and mentioned.
    pub(crate) prune_machines: bool,
}

/// What must be done, in that order, and what is to be known about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// What must be done.
    pub(crate) steps: Vec<Step>,
    /// What is not done, and why.
    pub(crate) notes: Vec<Note>,
}

/// Something that must be done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Step {
    /// What.
    #[serde(flatten)]
    pub(crate) action: Action,
    /// Why, for people.
    pub(crate) why: String,
}

/// What a boss can do for a graph. Each of them may be done twice.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub(crate) enum Action {
    /// A machine is made, or made anew after that failed.
    CreateMachine {
        /// Its name.
        machine: Name,
        /// What makes it. `None`: what the boss uses by default.
        provider: Option<String>,
        /// What the provider is asked for.
        spec: serde_json::Map<String, serde_json::Value>,
    },
    /// A machine is told what is to be on it: the state that the graph has for it.
    SetState {
        /// Which machine.
        machine: Name,
        /// The state's digest.
        digest: Digest,
    },
    /// Something is offered.
    Offer {
        /// Where.
        place: Place,
        /// What.
        offer: Offer,
        /// Whether it takes the place of something else.
        replaces: bool,
    },
    /// Something is given.
    Bind {
        /// Where it is bound.
        to: Place,
        /// What it is.
        from: Place,
        /// What may be done with it.
        #[serde(serialize_with = "as_text")]
        rules: Rules,
        /// The service that has to run where it comes from.
        #[serde(skip_serializing_if = "Option::is_none")]
        requires: Option<String>,
    },
    /// Something is given anew under other rules.
    Attenuate {
        /// Where it is bound.
        to: Place,
        /// What it is.
        from: Place,
        /// What may be done with it.
        #[serde(serialize_with = "as_text")]
        rules: Rules,
        /// The service that has to run where it comes from.
        #[serde(skip_serializing_if = "Option::is_none")]
        requires: Option<String>,
        /// What might be done with it so far.
        #[serde(serialize_with = "as_text")]
        before: Rules,
    },
    /// Something else is given instead, or the same anew since it was made anew.
    Rebind {
        /// Where it is bound.
        to: Place,
        /// What it is.
        from: Place,
        /// What may be done with it.
        #[serde(serialize_with = "as_text")]
        rules: Rules,
        /// The service that has to run where it comes from.
        #[serde(skip_serializing_if = "Option::is_none")]
        requires: Option<String>,
        /// What it was so far.
        before: Place,
    },
    /// Something is taken back: it can no longer be used, and is no longer bound.
    Unbind {
        /// Where it is bound.
        to: Place,
        /// What it is.
        from: Place,
    },
    /// Something is offered no longer.
    Withdraw {
        /// Where.
        place: Place,
    },
    /// A machine is destroyed.
    DestroyMachine {
        /// Which.
        machine: Name,
    },
}

fn as_text<S: serde::Serializer>(rules: &Rules, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(rules)
}

/// Something to know about a plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Note {
    /// Whether the fleet does not become what the graph says, for this reason.
    pub(crate) problem: bool,
    /// What it is about: a machine or a place.
    pub(crate) about: String,
    /// What to know about it.
    pub(crate) what: String,
}

impl Plan {
    /// Whether there is nothing to do.
    pub(crate) const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether all of the graph is there once the plan has been carried out.
    pub(crate) fn is_complete(&self) -> bool {
        !self.notes.iter().any(|note| note.problem)
    }

    /// The plan as JSON. `version` is 1, and changes when a field changes its meaning or
    /// goes; new ones may come.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "version": 1,
            "complete": self.is_complete(),
            "summary": self.to_string(),
            "steps": self.steps,
            "notes": self.notes,
        })
    }
}
