//! The graph at the boss: what there is, in the words of a plan, and the doing of what a
//! plan says. All of it is done in a turn, since it is only decided there; what it means
//! for machines is done by and by, as it is for what people decide by hand.

use std::collections::BTreeMap;

use ocapn::{Fault, Turn, Value};

use super::boss::{Boss, Source};
use super::machine::{Record, State};
use super::names::Service;
use crate::desired::graph::{Graph, Offer};
use crate::desired::limits::Limits;
use crate::desired::machine::Digest;
use crate::desired::names;
use crate::desired::plan::{
    Action, Actual, ActualBinding, ActualMachine, ActualOffer, ActualState, Options, Phase, Plan,
    plan,
};
use crate::kinds::Name;

/// A graph that was passed.
pub(super) fn read(graph: &Value) -> Result<Graph, Fault> {
    Graph::from_value(graph, &Limits::default()).map_err(|error| error.to_string().into())
}

/// A graph that was kept.
pub(super) fn stored(graph: &str) -> Result<Graph, Fault> {
    let json = serde_json::from_str(graph).map_err(|error| error.to_string())?;
    Graph::from_json(&json, &Limits::default()).map_err(|error| error.to_string().into())
}

/// What a machine is told to make for an offer that was kept. `None` if it makes nothing:
/// it is there by hand.
pub(super) fn service_of(offer: &str) -> Option<Service> {
    Some(match serde_json::from_str(offer).ok()? {
        Offer::Tcp(address) => Service::Tcp(address),
        Offer::Unix(path) => Service::Unix(path),
        Offer::Kind(kind) => Service::Kind(Name(kind)),
        Offer::Binding(name) => Service::Binding(Name(name.to_string())),
        Offer::Postgres { database, server, admin, password_file, login_host } => {
            let mut settings = serde_json::json!({ "database": database });
            match server.as_deref().map(|server| (server, server.rsplit_once(':'))) {
                Some((_, Some((host, port)))) => {
                    let plain = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
                    settings["host"] = plain.unwrap_or(host).into();
                    settings["port"] = port.parse::<u16>().ok()?.into();
                }
                Some((directory, None)) => settings["host"] = directory.into(),
                None => {}
            }
            let others =
                [("admin", admin), ("password-file", password_file), ("login-host", login_host)];
            for (key, value) in others {
                if let Some(value) = value {
                    settings[key] = value.into();
                }
            }
            Service::Postgres(settings.to_string())
        }
        Offer::Existing => return None,
    })
}

fn late(machine: &str, name: &str, what: &str, why: &Option<String>) -> String {
    let why = why.as_ref().map_or(String::new(), |why| format!(": {why}"));
    format!("{machine}.{name} is not {what} yet{why}")
}

fn json(offer: &Offer) -> Result<String, Fault> {
    serde_json::to_string(offer).map_err(|error| error.to_string().into())
}

fn place(machine: &str, name: &str) -> Option<names::Place> {
    Some(names::Place { machine: machine.parse().ok()?, name: name.parse().ok()? })
}

impl Boss {
    pub(super) fn planned(
        &self,
        turn: &mut Turn<'_>,
        graph: &Graph,
        prune_machines: bool,
    ) -> Result<Plan, Fault> {
        Ok(plan(graph, &self.actual(turn)?, &Options { prune_machines }))
    }

    /// A plan as JSON, with what was decided and is not there yet.
    pub(super) fn told(&self, turn: &mut Turn<'_>, plan: &Plan) -> Result<String, Fault> {
        let mut json = plan.to_json();
        json["pending"] = self.pending(turn)?.into();
        Ok(json.to_string())
    }

    /// What was decided and is not there yet, a line each.
    fn pending(&self, turn: &mut Turn<'_>) -> Result<Vec<String>, Fault> {
        let mut pending = Vec::new();
        for (machine, entry) in &self.books.machines {
            let record = entry.record.call(turn).record()?;
            if matches!(record.state, State::Pending | State::Leaving) {
                pending.push(format!("{machine} is {}", record.state.word()));
                continue;
            }
            let offers = record.offers.iter().filter(|(_, it)| !it.made);
            pending.extend(offers.map(|(name, it)| late(machine, name, "offered", &it.why)));
            let bindings = record.bindings.iter().filter(|(_, it)| !it.live);
            pending.extend(bindings.map(|(name, it)| late(machine, name, "bound", &it.why)));
            let held = self.fleet.health(machine).and_then(|(_, report)| report.digest);
            if record.digest.is_some() && record.digest != held {
                pending
                    .push(format!("{machine} does not hold generation {} yet", record.generation));
            }
        }
        Ok(pending)
    }

    /// What there is. Names that a graph can't have are none of its business.
    fn actual(&self, turn: &mut Turn<'_>) -> Result<Actual, Fault> {
        let mut actual = Actual::default();
        for entry in self.books.machines.values() {
            let record = entry.record.call(turn).record()?;
            for (name, binding) in &record.bindings {
                let places = (place(&record.name, name), place(&binding.from, &binding.other));
                if let (Some(to), Some(from)) = places {
                    let (rules, owned) = (binding.rules.clone(), binding.by_graph);
                    let requires = binding.requires.clone();
                    let binding = ActualBinding { from, rules, requires, owned, stale: false };
                    actual.bindings.insert(to, binding);
                }
            }
            if let Ok(name) = record.name.parse() {
                let machine = self.actual_machine(&record);
                if let Some(machine) = machine {
                    actual.machines.insert(name, machine);
                }
            }
        }
        Ok(actual)
    }

    /// `None` if it is on its way out.
    fn actual_machine(&self, record: &Record) -> Option<ActualMachine> {
        let report = self.fleet.health(&record.name).map(|(_, report)| report);
        let phase = match record.state {
            State::Pending => Phase::Pending,
            State::Active => Phase::Active,
            State::Failed => Phase::Failed(record.why.clone().unwrap_or_default()),
            State::Quarantined => Phase::Quarantined,
            State::Leaving => return None,
        };
        let mut offers = BTreeMap::new();
        for (name, offered) in &record.offers {
            if let (Ok(name), Ok(offer)) = (name.parse(), serde_json::from_str(&offered.offer)) {
                offers.insert(name, ActualOffer { offer, owned: true });
            }
        }
        let by_hand = report.iter().flat_map(|report| &report.bindings);
        for name in by_hand.filter(|name| !record.bindings.contains_key(*name)) {
            if let Ok(name) = name.parse() {
                let offer = ActualOffer { offer: Offer::Existing, owned: false };
                offers.entry(name).or_insert(offer);
            }
        }
        let digest = record.digest.as_ref().and_then(|digest| digest.parse::<Digest>().ok());
        let number = record.generation;
        let state = digest.map(|digest| ActualState { digest, number, owned: true });
        let drift = report.map_or(0, |report| report.drift.len() as u64);
        let spec = serde_json::from_str(&record.spec).unwrap_or_default();
        let (provider, owned) = (Some(record.provider.clone()), record.by_graph);
        Some(ActualMachine { provider, spec, phase, owned, offers, state, drift })
    }

    /// Decides what a plan says.
    pub(super) fn carry_out(
        &mut self,
        turn: &mut Turn<'_>,
        graph: &Graph,
        plan: &Plan,
    ) -> Result<(), Fault> {
        for step in &plan.steps {
            self.act(turn, graph, &step.action)?;
        }
        self.fleet.wake_after(turn);
        Ok(())
    }

    fn act(&mut self, turn: &mut Turn<'_>, graph: &Graph, action: &Action) -> Result<(), Fault> {
        match action {
            Action::CreateMachine { machine, provider, spec } => {
                let spec = serde_json::Value::Object(spec.clone()).to_string();
                let provider = provider.clone().map(Name);
                let name = Name(machine.to_string());
                self.create_machine(turn, name, provider, Some(spec.into()))?;
                self.entry(machine.as_str())?.record.clone().call(turn).own()
            }
            Action::SetState { machine, digest } => {
                let state = graph.state_of(machine).ok_or("the graph has no such machine")?;
                let state = state.to_json().to_string();
                let record = self.entry(machine.as_str())?.record.clone();
                record.call(turn).desire(state, digest.to_string())?;
                self.push(turn, machine.as_str())
            }
            Action::Offer { place, offer, replaces } => {
                let (machine, name) = (place.machine.as_str(), place.name.as_str());
                let record = self.entry(machine)?.record.clone();
                record.call(turn).offer(name, json(offer)?)?;
                if *replaces {
                    self.regrant(turn, machine, Some(name), false)?;
                }
                self.settle(turn, machine)
            }
            Action::Bind { to, from, rules, requires }
            | Action::Attenuate { to, from, rules, requires, .. }
            | Action::Rebind { to, from, rules, requires, .. } => {
                let source = Source {
                    from: from.machine.to_string(),
                    other: from.name.to_string(),
                    rules: rules.clone(),
                    requires: requires.clone(),
                    by_graph: true,
                };
                let to = (Name(to.machine.to_string()), Name(to.name.to_string()));
                // It is live when it is: the plan does not wait.
                self.bind_to(turn, to.0, to.1, source)?.ignore();
                Ok(())
            }
            Action::Unbind { to, .. } => {
                self.take_back(turn, to.machine.as_str(), to.name.as_str()).map(drop)
            }
            Action::Withdraw { place } => {
                let machine = place.machine.as_str();
                self.entry(machine)?.record.clone().call(turn).withdraw(place.name.as_str())?;
                self.regrant(turn, machine, Some(place.name.as_str()), false)?;
                self.settle(turn, machine)
            }
            Action::DestroyMachine { machine } => {
                self.destroy_machine(turn, Name(machine.to_string())).map(drop)
            }
        }
    }

    /// Has a machine ask what it is to be like; it does so by itself, too.
    fn push(&self, turn: &mut Turn<'_>, machine: &str) -> Result<(), Fault> {
        let record = self.entry(machine)?.record.call(turn).record()?;
        if let Some(client) = super::dealings::reachable(&record) {
            client.send_only(turn).desired_changed();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_database_is_and_who_makes_its_roles_is_told_to_the_machine() {
        let settings = |postgres: &str| {
            let text = format!("[machines.a]\noffers.db.postgres = {{ {postgres} }}");
            let sources = crate::desired::graph::Directory("/".into());
            let graph = Graph::parse(&text, &sources, &Limits::default()).unwrap();
            // As it is told and kept.
            let graph = stored(&graph.to_json().to_string()).unwrap();
            let place = "a.db".parse().unwrap();
            let kept = json(graph.offer(&place).unwrap()).unwrap();
            let Some(Service::Postgres(settings)) = service_of(&kept) else { panic!("{kept}") };
            let told: crate::wrap::PostgresSettings = serde_json::from_str(&settings).unwrap();
            let password = told.password_file.map(|file| file.to_str().unwrap().to_owned());
            (told.host, told.port, told.admin, password, told.login_host)
        };
        let (usual, postgres) = ("/var/run/postgresql".to_owned(), "postgres".to_owned());
        assert_eq!(settings("database = 'shop'"), (usual, 5432, postgres.clone(), None, None));
        let (host, port, ..) = settings("database = 'shop', server = '/run/pg'");
        assert_eq!((&host[..], port), ("/run/pg", 5432));
        let (host, port, ..) = settings("database = 'shop', server = '/run/pg:5433'");
        assert_eq!((&host[..], port), ("/run/pg", 5433));
        let (host, port, ..) = settings("database = 'shop', server = '[::1]:5433'");
        assert_eq!((&host[..], port), ("::1", 5433));
        let all = "database = 'shop', server = 'db:1', admin = 'maker', \
                   password-file = '/etc/hob/password', login-host = '127.0.0.1'";
        let some = |text: &str| Some(text.to_owned());
        let password = some("/etc/hob/password");
        let wanted = ("db".to_owned(), 1, "maker".to_owned(), password, some("127.0.0.1"));
        assert_eq!(settings(all), wanted);
    }
}
