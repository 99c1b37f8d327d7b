//! The boss: knows the machines by name, and who may use what of whom.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ocapn::{Answer, Fault, Passable, Ref, Sturdyref, Turn, Value, object};

use super::audit::{AuditRef, Page};
use super::graph::{read, stored};
use super::hob_server::{HobServer, HobServerRef};
use super::machine::{Machine, MachineRef};
pub(super) use super::record::Source;
use super::record::{Binding, Record, State};
use super::rules::Rules;
use super::shown::{Revoked, Shown, ShownToken};
use super::standing::{Requirement, why};
use super::{Fleet, MANUAL};
use crate::desired::plan::Action;
use crate::kinds::Name;
use crate::providers::{FleetId, Key};

/// How many machines a boss has at most.
const MACHINES: usize = 10_000;

/// The boss of a fleet.
#[derive(Clone)]
pub(crate) struct Boss {
    pub(crate) fleet: Fleet,
    pub(crate) books: Books,
}

/// What is stored of a boss.
#[derive(Clone, Passable)]
pub(crate) struct Books {
    /// The mark of all its machines.
    pub(crate) fleet: String,
    pub(crate) machines: BTreeMap<String, Entry>,
    pub(crate) audit: AuditRef,
    /// The graph that was applied last, as JSON.
    pub(crate) graph: Option<String>,
    /// What the graph wants and people have taken back since, as `machine.name`.
    #[passable(default)]
    pub(crate) withheld: BTreeSet<String>,
}

/// The two ends of a machine that are with the boss.
#[derive(Clone, Passable)]
pub(crate) struct Entry {
    pub(crate) record: MachineRef,
    pub(crate) server: HobServerRef,
}

impl Boss {
    /// A boss without machines.
    pub(crate) fn new(fleet: Fleet, id: &FleetId, audit: Ref) -> Self {
        let books = Books {
            fleet: id.to_string(),
            machines: BTreeMap::new(),
            audit: AuditRef::from_ref(audit),
            graph: None,
            withheld: BTreeSet::new(),
        };
        Self { fleet, books }
    }

    pub(super) fn entry(&self, name: &str) -> Result<&Entry, Fault> {
        let entry = self.books.machines.get(name);
        entry.ok_or_else(|| super::not_found(format!("there is no machine {name:?}")))
    }

    fn shown(&self, turn: &mut Turn<'_>, entry: &Entry) -> Result<Shown, Fault> {
        let record = entry.record.call(turn).record()?;
        let health = self.fleet.health(&record.name);
        let expires = record.tokens.values().filter(|token| token.used_by.is_none());
        let enrol_expires = match record.state {
            State::Pending => expires.map(|token| token.expires).max(),
            _ => None,
        };
        let mut bindings = record.bindings;
        bindings.values_mut().for_each(|binding| self.overcast(binding));
        let (seen, report) =
            health.map_or((None, None), |(seen, report)| (Some(seen), Some(report)));
        Ok(Shown {
            name: record.name,
            provider: record.provider,
            state: record.state,
            why: record.why,
            identity_mismatch: record.identity_mismatch,
            step: record.step,
            identity: record.identity,
            instance: record.instance,
            address: record.address,
            spec: record.spec,
            created: record.created,
            seen,
            enrol_expires,
            bindings,
            generation: record.generation,
            report,
        })
    }

    /// Shows a binding as one that can't be used, if the service that it requires does not
    /// run by what its machine has said last.
    fn overcast(&self, binding: &mut Binding) {
        let (true, Some(service)) = (binding.live, binding.requires.clone()) else { return };
        let Some((_, report)) = self.fleet.health(&binding.from) else { return };
        if let Some(why) = why(report.services.get(&service).map(String::as_str)) {
            let requirement = Requirement { service, machine: binding.from.clone() };
            (binding.live, binding.why) = (false, Some(requirement.unavailable(&why)));
        }
    }
}

/// Whether it can be a machine's name: it becomes a host name.
fn check_name(name: &str) -> Result<(), Fault> {
    let good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if name.is_empty()
        || name.len() > 63
        || !name.bytes().all(good)
        || name.starts_with('-')
        || name.ends_with('-')
    {
        let why = format!("{name:?} is no machine's name: 1 to 63 of a-z, 0-9 and - make one");
        return Err(why.into());
    }
    Ok(())
}

#[object(reference = pub(crate) BossRef)]
impl Boss {
    /// Has a provider make a machine, and gives its management reference, its hob-server
    /// presence, at once: pending until it registers. Idempotent by name.
    #[method]
    pub(super) fn create_machine(
        &mut self,
        turn: &mut Turn<'_>,
        name: Name,
        provider: Option<Name>,
        spec: Option<Value>,
    ) -> Result<HobServerRef, Fault> {
        let Name(name) = name;
        check_name(&name)?;
        let provider = match provider {
            Some(Name(provider)) => provider,
            None => self.fleet.settings.default_provider.clone(),
        };
        let spec = super::spec_json(spec)?;
        if let Some(entry) = self.books.machines.get(&name).cloned() {
            let record = entry.record.call(turn).record()?;
            if record.provider != provider || record.spec != spec {
                let why = format!(
                    "{name} is there already, by {} with {}: destroy it first",
                    record.provider, record.spec
                );
                return Err(why.into());
            }
            if record.state == State::Failed {
                entry.record.call(turn).set_state(State::Pending, None)?;
            }
            return Ok(entry.server);
        }
        if provider != MANUAL && !self.fleet.settings.providers.contains(&provider) {
            let there = self.fleet.settings.providers.join(", ");
            let why = format!("there is no provider {provider:?}; there are {MANUAL}, {there}");
            return Err(super::not_found(why));
        }
        if self.books.machines.len() >= MACHINES {
            return Err(format!("a boss has at most {MACHINES} machines").into());
        }
        let key = Key::random().map_err(|error| error.to_string())?;
        let record = Record::new(&name, &key, &provider, spec);
        let machine = Machine::new(self.fleet.clone(), self.books.audit.clone(), record);
        let record = MachineRef::spawn(turn, machine);
        let server = HobServerRef::spawn(turn, HobServer::new(name.clone(), record.clone()));
        record.call(turn).set_server(server.clone())?;
        let text = format!("expected, to be made by {provider}: pending");
        self.books.audit.call(turn).record("created", Some(name.clone()), text)?;
        self.books.machines.insert(name, Entry { record, server: server.clone() });
        self.fleet.wake_after(turn);
        Ok(server)
    }

    /// A machine's management reference.
    #[method]
    fn get_machine(&self, name: Name) -> Result<HobServerRef, Fault> {
        Ok(self.entry(&name.0)?.server.clone())
    }

    /// All machines, as structs.
    #[method]
    fn list_machines(&self, turn: &mut Turn<'_>) -> Result<Vec<Shown>, Fault> {
        self.books.machines.values().map(|entry| self.shown(turn, entry)).collect()
    }

    /// One machine, as a struct.
    #[method]
    fn show(&self, turn: &mut Turn<'_>, name: Name) -> Result<Shown, Fault> {
        let entry = self.entry(&name.0)?.clone();
        self.shown(turn, &entry)
    }

    /// Has a machine removed by its provider, and what it granted and was granted taken
    /// back. The entry goes when the machine has gone.
    #[method]
    pub(super) fn destroy_machine(
        &mut self,
        turn: &mut Turn<'_>,
        name: Name,
    ) -> Result<Revoked, Fault> {
        let Name(name) = name;
        let entry = self.entry(&name)?.clone();
        let revoked = self.regrant(turn, &name, None, true)?;
        entry.record.call(turn).set_state(State::Leaving, None)?;
        Ok(Revoked { revoked, stays: vec!["what others have copied from it".to_owned()] })
    }

    /// The names of the providers.
    #[method]
    fn providers(&self) -> Vec<String> {
        self.fleet.settings.providers.clone()
    }

    /// A new enrolment of a machine, for one that is made by hand or enrols anew. It is
    /// good for a time, in milliseconds.
    #[method]
    fn token(&self, turn: &mut Turn<'_>, name: Name, ttl: Option<u64>) -> Result<Sturdyref, Fault> {
        let ttl = ttl.map_or(self.fleet.settings.enrol_ttl, Duration::from_millis);
        let record = self.entry(&name.0)?.record.clone();
        let (_, sturdyref) = record.call(turn).token(ttl.into())?;
        Ok(sturdyref)
    }

    /// All enrolments that were given out and have not been forgotten.
    #[method]
    fn tokens(&self, turn: &mut Turn<'_>) -> Result<Vec<ShownToken>, Fault> {
        let mut shown = Vec::new();
        for (machine, entry) in &self.books.machines {
            for (id, token) in entry.record.call(turn).record()?.tokens {
                shown.push(ShownToken {
                    id,
                    machine: machine.clone(),
                    made: token.made,
                    expires: token.expires,
                    used_by: token.used_by,
                });
            }
        }
        Ok(shown)
    }

    /// Takes an enrolment back.
    #[method]
    fn revoke_token(&self, turn: &mut Turn<'_>, id: String) -> Result<Revoked, Fault> {
        for (name, entry) in &self.books.machines {
            let used = entry
                .record
                .call(turn)
                .record()?
                .tokens
                .get(&id)
                .map(|token| token.used_by.clone());
            let Some(used) = used else { continue };
            entry.record.call(turn).revoke_token(id.clone())?;
            let stays = used.map(|_| {
                format!("{name} has used it and stays registered: see quarantine and destroy")
            });
            return Ok(Revoked {
                revoked: vec![format!("enrolment {id} of {name}")],
                stays: stays.into_iter().collect(),
            });
        }
        Err(super::not_found(format!("there is no enrolment {id:?}")))
    }

    /// Deals no more with a machine until it is released: what it granted and what it
    /// was granted is taken back.
    #[method]
    fn quarantine(
        &self,
        turn: &mut Turn<'_>,
        name: Name,
        why: Option<String>,
    ) -> Result<Revoked, Fault> {
        let Name(name) = name;
        let entry = self.entry(&name)?.clone();
        let revoked = self.regrant(turn, &name, None, true)?;
        let why = why.unwrap_or_else(|| "quarantined".to_owned());
        entry.record.call(turn).set_state(State::Quarantined, Some(why))?;
        let stays = vec![
            format!("{name} itself runs on, and its programs may use what it has of its own"),
            format!(
                "what {name} granted is cut off by itself alone: others were told to give it up"
            ),
        ];
        Ok(Revoked { revoked, stays })
    }

    /// Deals with a machine again.
    #[method]
    fn release(&self, turn: &mut Turn<'_>, name: Name) -> Result<(), Fault> {
        let entry = self.entry(&name.0)?.clone();
        let record = entry.record.call(turn).record()?;
        if record.state != State::Quarantined {
            return Err(
                format!("{} is not quarantined, but {}", name.0, record.state.word()).into()
            );
        }
        let state = if record.client.is_some() { State::Active } else { State::Pending };
        entry.record.call(turn).set_state(state, None)
    }

    /// Binds on a machine, under a name, what another machine has bound, by rules, and
    /// only while a service runs there, if one is required. The answer comes when it is
    /// live; if a machine is not there yet, at once.
    #[method]
    #[expect(clippy::too_many_arguments, reason = "who, what, whence, and on which terms")]
    fn bind(
        &self,
        turn: &mut Turn<'_>,
        machine: Name,
        name: Name,
        other_machine: Name,
        other_name: Option<Name>,
        rules: Option<Rules>,
        requires: Option<Name>,
    ) -> Result<Answer<()>, Fault> {
        let other = other_name.unwrap_or_else(|| name.clone()).0;
        let (from, rules) = (other_machine.0, rules.unwrap_or_default());
        let requires = requires.map(|Name(service)| service);
        self.bind_to(turn, machine, name, Source { from, other, rules, requires, by_graph: false })
    }

    /// Like `bind`, also for the graph: what that has bound goes when it wants it no more.
    #[method]
    pub(super) fn bind_to(
        &self,
        turn: &mut Turn<'_>,
        machine: Name,
        name: Name,
        source: Source,
    ) -> Result<Answer<()>, Fault> {
        let (Name(to), Name(name)) = (machine, name);
        let target = self.entry(&to)?.record.clone();
        self.entry(&source.from)?;
        match target.call(turn).record()?.bindings.get(&name) {
            Some(there) if source.is_of(there) && there.live => return Ok(Answer::ready(())),
            Some(there) if source.is_of(there) => {}
            _ => {
                if let Some(former) = target.call(turn).bind(name.clone(), source.binding()?)? {
                    self.ungrant(turn, &former.from, &former.id)?;
                }
            }
        }
        Ok(self.connect(turn, &to, &name)?.unwrap_or_else(|| Answer::ready(())))
    }

    /// Takes back what is bound on a machine under a name. If the graph wants it, it does
    /// not come back before a graph is applied again.
    #[method]
    fn unbind(&mut self, turn: &mut Turn<'_>, machine: Name, name: Name) -> Result<Revoked, Fault> {
        let (Name(to), Name(name)) = (machine, name);
        self.books.withheld.insert(format!("{to}.{name}"));
        self.take_back(turn, &to, &name)
    }

    /// The audit log after that number.
    #[method]
    fn events(
        &self,
        turn: &mut Turn<'_>,
        after: Option<u64>,
        limit: Option<u64>,
    ) -> Result<Page, Fault> {
        self.books.audit.call(turn).after(after.unwrap_or(0), limit)
    }

    /// A promise that is fulfilled when there is something in the audit log after that
    /// number.
    #[method]
    fn wait(&self, turn: &mut Turn<'_>, after: u64) -> Answer<()> {
        self.books.audit.send(turn).wait(after)
    }

    /// What there is to be done so that the fleet becomes what a graph says: a plan, as
    /// JSON, with what was decided and is not there yet as `pending`. `prune` destroys machines that the graph made and has no longer.
    #[method]
    fn plan(
        &self,
        turn: &mut Turn<'_>,
        graph: Value,
        prune: Option<bool>,
    ) -> Result<String, Fault> {
        let plan = self.planned(turn, &read(&graph)?, prune.unwrap_or(false))?;
        self.told(turn, &plan)
    }

    /// Does what `plan` says, and keeps the graph: what can't be done yet is done when it
    /// can. Gives the plan.
    #[method]
    fn apply(
        &mut self,
        turn: &mut Turn<'_>,
        graph: Value,
        prune: Option<bool>,
    ) -> Result<String, Fault> {
        let graph = read(&graph)?;
        let plan = self.planned(turn, &graph, prune.unwrap_or(false))?;
        let text = format!("a graph is applied: {plan}");
        self.books.audit.call(turn).record("apply", None, text)?;
        self.carry_out(turn, &graph, &plan)?;
        self.books.graph = Some(graph.to_json().to_string());
        self.books.withheld.clear();
        self.told(turn, &plan)
    }

    /// Does what the graph that was applied last has not come to: for the boss's own
    /// process. It makes no machines: what failed, or somebody has destroyed since, is for
    /// people to see, and to apply again.
    #[method]
    fn follow_graph(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let Some(graph) = &self.books.graph else { return Ok(()) };
        let mut there = BTreeSet::new();
        for (name, entry) in &self.books.machines {
            let state = entry.record.call(turn).record()?.state;
            if !matches!(state, State::Failed | State::Leaving) {
                there.insert(name.clone());
            }
        }
        let graph = stored(graph)?.without_making(|name| !there.contains(name.as_str()));
        let mut plan = self.planned(turn, &graph, false)?;
        plan.steps.retain(|step| match &step.action {
            Action::Bind { to, .. } => !self.books.withheld.contains(&to.to_string()),
            _ => true,
        });
        if plan.is_empty() { Ok(()) } else { self.carry_out(turn, &graph, &plan) }
    }

    /// The graph that was applied last, as JSON.
    #[method]
    fn graph(&self) -> Option<String> {
        self.books.graph.clone()
    }

    /// What is kept of all machines, secrets among it: for the boss's own process.
    #[method]
    fn records(&self, turn: &mut Turn<'_>) -> Result<Vec<Record>, Fault> {
        self.books.machines.values().map(|entry| entry.record.call(turn).record()).collect()
    }

    /// A machine's record: for the boss's own process.
    #[method]
    fn machine(&self, name: Name) -> Result<MachineRef, Fault> {
        Ok(self.entry(&name.0)?.record.clone())
    }

    /// Does again what has not worked yet of what was decided about a machine's bindings
    /// and grants: for the boss's own process.
    #[method]
    fn reconnect(&self, turn: &mut Turn<'_>, name: Name) -> Result<(), Fault> {
        let Name(name) = name;
        let entry = self.entry(&name)?.clone();
        if entry.record.call(turn).record()?.moved {
            self.regrant(turn, &name, None, false)?;
            entry.record.call(turn).settled_down()?;
            self.fleet.wake_after(turn);
        }
        self.settle(turn, &name)?;
        let bindings = entry.record.call(turn).record()?.bindings;
        for (binding, state) in bindings {
            if !state.live {
                self.connect(turn, &name, &binding)?;
            }
        }
        Ok(())
    }

    /// A machine has gone: for the boss's own process.
    #[method]
    fn forget(&mut self, turn: &mut Turn<'_>, name: Name) -> Result<(), Fault> {
        if let Some(entry) = self.books.machines.remove(&name.0) {
            entry.record.call(turn).gone()?;
            self.fleet.forget(&name.0);
        }
        Ok(())
    }
}
