//! What the boss has decided about bindings, told to the machines that it concerns: now, if
//! they are there, and else again and again until they are.

use ocapn::{Answer, Fault, Turn};

use super::boss::Boss;
use super::grant::GrantRef;
use super::graph::service_of;
use super::hob_client::HobClientRef;
use super::record::{Binding, Offered, Record, State};
use super::shown::Revoked;
use super::standing::Requirement;
use crate::kinds::Name;

impl Boss {
    /// Has a machine take back a grant, now if it can, else when it is there.
    pub(super) fn ungrant(&self, turn: &mut Turn<'_>, from: &str, id: &str) -> Result<(), Fault> {
        // A machine that is gone has taken all it granted with it.
        let Some(entry) = self.books.machines.get(from) else { return Ok(()) };
        entry.record.call(turn).ungrant(id)?;
        self.settle(turn, from)
    }

    /// Has a machine told all that it is to take back and to give up.
    pub(super) fn settle(&self, turn: &mut Turn<'_>, name: &str) -> Result<(), Fault> {
        let entry = self.entry(name)?;
        let record = entry.record.call(turn).record()?;
        let Some(client) = reachable(&record) else { return Ok(()) };
        for id in record.ungrants {
            let done = client.send(turn).ungrant(id.clone());
            let machine = entry.record.clone();
            done.on(turn, move |turn, outcome| {
                // What did not work is done again by and by.
                if outcome.is_ok() {
                    // A machine that is gone needs no telling.
                    let _gone = machine.call(turn).ungranted(id);
                }
            });
        }
        for (binding, id) in record.unbinds {
            let done = client.send(turn).unbind(Name(binding.clone()), Some(id.clone()));
            let machine = entry.record.clone();
            done.on(turn, move |turn, outcome| {
                if outcome.is_ok() {
                    let _gone = machine.call(turn).unbound(binding, id);
                }
            });
        }
        for name in record.withdrawals {
            let done = client.send(turn).withdraw(Name(name.clone()));
            let machine = entry.record.clone();
            done.on(turn, move |turn, outcome| {
                if outcome.is_ok() {
                    let _gone = machine.call(turn).withdrawn(name);
                }
            });
        }
        for (name, Offered { offer, .. }) in record.offers.into_iter().filter(|(_, it)| !it.made) {
            let Some(service) = service_of(&offer) else { continue };
            let done = client.send(turn).offer_service(Name(name.clone()), service);
            let machine = entry.record.clone();
            done.on(turn, move |turn, outcome| {
                let why = outcome.err().map(|fault| fault.to_string());
                let _gone = machine.call(turn).offered(name, offer, why);
            });
        }
        Ok(())
    }

    /// Takes back what is bound on a machine under a name.
    pub(super) fn take_back(
        &self,
        turn: &mut Turn<'_>,
        to: &str,
        name: &str,
    ) -> Result<Revoked, Fault> {
        let target = self.entry(to)?.record.clone();
        let Some(binding) = target.call(turn).unbind(name)? else {
            return Err(super::not_found(format!("nothing is bound as {name:?} on {to}")));
        };
        self.ungrant(turn, &binding.from, &binding.id)?;
        self.settle(turn, to)?;
        let source = format!("{}:{}", binding.from, binding.other);
        let revoked = vec![format!("{to}'s {name}, which was {source}")];
        let stays = vec![format!("what {to} has read of it, and other bindings of {source}")];
        Ok(Revoked { revoked, stays })
    }

    /// Asks the machine that has something to grant it, and passes the promise of the
    /// grant on to the machine that is to have it, before it is known.
    pub(super) fn connect(
        &self,
        turn: &mut Turn<'_>,
        to: &str,
        name: &str,
    ) -> Result<Option<Answer<()>>, Fault> {
        let target = self.entry(to)?.record.clone();
        let record = target.call(turn).record()?;
        let Some(binding) = record.bindings.get(name).cloned() else { return Ok(None) };
        let source = self.entry(&binding.from)?.record.call(turn).record()?;
        let (Some(giver), Some(taker)) = (reachable(&source), reachable(&record)) else {
            return Ok(None);
        };
        // What is not there yet is bound when it is: that is told, and looked at then.
        if source.offers.get(&binding.other).is_some_and(|offered| !offered.made) {
            return Ok(None);
        }
        let Binding { id, from, other, rules, requires, .. } = binding;
        let requirement = requires.map(|service| Requirement { service, machine: from.clone() });
        let grant: Answer<GrantRef> = giver.send(turn).grant(
            id.clone(),
            Name(other.clone()),
            rules.clone(),
            to.to_owned(),
            requirement.clone(),
        );
        let accepted = taker.send(turn).accept(
            id.clone(),
            Name(name.to_owned()),
            grant.cap(),
            format!("{from}:{other}"),
            rules,
            requirement.clone(),
        );
        let (bound, fleet) = (name.to_owned(), self.fleet.clone());
        accepted.on(turn, move |turn, outcome| {
            if let (Ok(()), Some(Requirement { service, machine })) = (&outcome, &requirement) {
                // It would not have been granted else; the machine's own word may take longer.
                fleet.runs(machine, service);
            }
            let why = outcome.err().map(|fault| fault.to_string());
            let _gone = target.call(turn).bound(bound, id, why);
        });
        tracing::info!(
            target: super::LOG,
            "asked {from} to grant its {other}, and passed the promise of it on to {to} \
             as {name} in the same turn, before any answer"
        );
        Ok(Some(accepted))
    }

    /// Takes back what a machine has granted others, under one name or all, and, if it
    /// says so, what it was granted: all of it is to be granted anew, when that may be.
    pub(super) fn regrant(
        &self,
        turn: &mut Turn<'_>,
        name: &str,
        other: Option<&str>,
        and_its_own: bool,
    ) -> Result<Vec<String>, Fault> {
        let mut revoked = Vec::new();
        for (to, entry) in &self.books.machines {
            if to == name && !and_its_own {
                continue;
            }
            let from = (to != name).then(|| name.to_owned());
            for binding in entry.record.call(turn).regrant(from, other.map(str::to_owned))? {
                revoked.push(format!("{to}'s {}:{}", binding.from, binding.other));
                self.ungrant(turn, &binding.from, &binding.id)?;
            }
        }
        Ok(revoked)
    }
}

/// The hob-client presence of a machine that may be spoken to.
pub(super) fn reachable(record: &Record) -> Option<HobClientRef> {
    let client = record.client.as_ref().filter(|_| record.state == State::Active)?;
    Some(HobClientRef::from_ref(client.clone()))
}
