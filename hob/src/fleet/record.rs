//! What the boss knows of one machine, and what of that is kept.

use std::collections::{BTreeMap, BTreeSet};

use ocapn::{Fault, Passable, Ref, Sturdyref};

use super::desk::DeskRef;
use super::rules::Rules;
use super::{MANUAL, Moment, random_id};
use crate::providers::{Key, ProviderError};

/// In what state a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Passable)]
pub(crate) enum State {
    /// It is expected to register.
    Pending,
    /// It has registered.
    Active,
    /// It can't be made, or has not registered in time.
    Failed,
    /// It is not to be dealt with until it is released.
    Quarantined,
    /// It is being removed.
    Leaving,
}

impl State {
    /// The word for it, as it is in messages.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Failed => "failed",
            Self::Quarantined => "quarantined",
            Self::Leaving => "leaving",
        }
    }
}

/// All that is kept of a machine.
#[derive(Clone, Debug, Passable)]
pub(crate) struct Record {
    pub(crate) name: String,
    /// The mark by which its provider finds it.
    pub(crate) key: String,
    /// `manual` if it is nobody's: it is there already, and enrols by hand.
    pub(crate) provider: String,
    /// What was ordered, as JSON.
    pub(crate) spec: String,
    pub(crate) state: State,
    /// Why it is as it is, if that needs saying.
    pub(crate) why: Option<String>,
    /// How far its creation has come.
    pub(crate) step: Option<String>,
    /// Whether the provider has made it.
    pub(crate) allocated: bool,
    /// The provider's name for it.
    pub(crate) instance: Option<String>,
    pub(crate) address: Option<String>,
    /// How often the provider was asked in vain, and when it may be asked again.
    #[passable(default)]
    pub(crate) attempts: u32,
    #[passable(default)]
    pub(crate) not_before: u64,
    /// Whether it is for that that somebody else answered than the one whose key is pinned
    /// that it could not be made.
    #[passable(default)]
    pub(crate) identity_mismatch: bool,
    pub(crate) created: u64,
    /// The designator that registered: the machine is who can prove to be this.
    pub(crate) identity: Option<String>,
    /// Its hob-client presence.
    pub(crate) client: Option<Ref>,
    /// What it reports to.
    pub(crate) desk: Option<DeskRef>,
    /// The desk's sturdyref, for a machine that asks again.
    pub(crate) desk_sturdyref: Option<Sturdyref>,
    /// The enrolment that its provider gives it: a secret, forgotten when it is used.
    pub(crate) enrolment: Option<Sturdyref>,
    /// Its enrolments by id.
    #[passable(default)]
    pub(crate) tokens: BTreeMap<String, Token>,
    /// What it has bound by the boss, by name.
    #[passable(default)]
    pub(crate) bindings: BTreeMap<String, Binding>,
    /// Grants that it is to take back, by id.
    #[passable(default)]
    pub(crate) ungrants: BTreeSet<String>,
    /// Names that it is to give up, with the ids of their grants.
    #[passable(default)]
    pub(crate) unbinds: BTreeMap<String, String>,
    /// It is reached elsewhere than it was, which those do not know whom it granted
    /// something.
    #[passable(default)]
    pub(crate) moved: bool,
    /// Whether it was made for the graph; else by hand.
    #[passable(default)]
    pub(crate) by_graph: bool,
    /// What it is to offer for the graph, by name.
    #[passable(default)]
    pub(crate) offers: BTreeMap<String, Offered>,
    /// What it is to offer no longer.
    #[passable(default)]
    pub(crate) withdrawals: BTreeSet<String>,
    /// What it is to be like, as JSON, the digest of that, and which generation it is.
    pub(crate) desired: Option<String>,
    pub(crate) digest: Option<String>,
    #[passable(default)]
    pub(crate) generation: u64,
}

/// Why a provider has not done what was asked.
#[derive(Clone, Debug, PartialEq, Passable)]
pub(crate) struct Failure {
    /// For people.
    pub(crate) why: String,
    /// Whether the same may work later.
    pub(crate) temporary: bool,
    /// Whether somebody else answered than the one whose key is pinned.
    pub(crate) identity_mismatch: bool,
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        let ProviderError { temporary, identity_mismatch, why } = error;
        Self { why, temporary, identity_mismatch }
    }
}

/// Something that a machine is to offer.
#[derive(Clone, Debug, PartialEq, Passable)]
pub(crate) struct Offered {
    /// What, as JSON.
    pub(crate) offer: String,
    /// Whether it does.
    pub(crate) made: bool,
    /// Why it does not.
    pub(crate) why: Option<String>,
}

/// An enrolment that was given out.
#[derive(Clone, Debug, Passable)]
pub(crate) struct Token {
    /// From when on it is worth nothing, in milliseconds since 1970.
    pub(crate) expires: u64,
    pub(crate) made: u64,
    /// Who has used it.
    pub(crate) used_by: Option<String>,
    /// For its revocation.
    pub(super) digest: bytes::Bytes,
}

/// A name on the machine for what another machine has.
#[derive(Clone, Debug, PartialEq, Passable)]
pub(crate) struct Binding {
    /// That of its grant.
    pub(crate) id: String,
    /// The machine that has it.
    pub(crate) from: String,
    /// What it is called there.
    pub(crate) other: String,
    pub(crate) rules: Rules,
    /// The service that has to run there.
    pub(crate) requires: Option<String>,
    /// Whether the graph wants it; else somebody has made it by hand.
    #[passable(default)]
    pub(crate) by_graph: bool,
    pub(crate) live: bool,
    /// Why it is not.
    pub(crate) why: Option<String>,
}

impl Record {
    /// A machine that is expected, and that nothing has been done for.
    pub(crate) fn new(name: &str, key: &Key, provider: &str, spec: String) -> Self {
        Self {
            name: name.to_owned(),
            key: key.to_string(),
            provider: provider.to_owned(),
            spec,
            state: State::Pending,
            why: None,
            step: None,
            allocated: provider == MANUAL,
            instance: None,
            address: None,
            attempts: 0,
            not_before: 0,
            identity_mismatch: false,
            created: Moment::now().millis(),
            identity: None,
            client: None,
            desk: None,
            desk_sturdyref: None,
            enrolment: None,
            tokens: BTreeMap::new(),
            bindings: BTreeMap::new(),
            ungrants: BTreeSet::new(),
            unbinds: BTreeMap::new(),
            moved: false,
            by_graph: false,
            offers: BTreeMap::new(),
            withdrawals: BTreeSet::new(),
            desired: None,
            digest: None,
            generation: 0,
        }
    }
}

/// What a name on a machine is to stand for.
#[derive(Clone, Debug, PartialEq, Passable)]
pub(crate) struct Source {
    pub(crate) from: String,
    pub(crate) other: String,
    #[passable(default)]
    pub(crate) rules: Rules,
    pub(crate) requires: Option<String>,
    #[passable(default)]
    pub(crate) by_graph: bool,
}

impl Source {
    /// Whether that is what is bound.
    pub(super) fn is_of(&self, there: &Binding) -> bool {
        let Self { from, other, rules, requires, by_graph } = self;
        (from, other, rules, requires, by_graph)
            == (&there.from, &there.other, &there.rules, &there.requires, &there.by_graph)
    }

    /// A binding that is not there yet.
    ///
    /// # Errors
    ///
    /// Without randomness.
    pub(super) fn binding(self) -> Result<Binding, Fault> {
        let Self { from, other, rules, requires, by_graph } = self;
        let id = random_id()?;
        Ok(Binding { id, from, other, rules, requires, by_graph, live: false, why: None })
    }
}
