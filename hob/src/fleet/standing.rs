//! How the services of this machine are, for what may not be used without them: known at
//! once, in every turn, since the shepherd tells of each change.

use std::collections::BTreeMap;
use std::sync::Mutex;

use ocapn::{Answer, Fault, Passable, Promise, Ref, Resolver, Turn, Value, Vat, object, promise};

use super::{Fleet, lock};
use crate::services::{Event, Phase, ShepherdRef, Status, WriterRef};

/// Who sees to the services of this machine.
pub(crate) struct Tended {
    pub(crate) shepherd: ShepherdRef,
    /// The right to do everything with them.
    pub(crate) front: Ref,
}

/// That something is there only while a service of its machine runs.
#[derive(Clone, Debug, PartialEq, Eq, Passable)]
pub(crate) struct Requirement {
    pub(crate) service: String,
    /// What the fleet calls the machine: it does not know that itself.
    pub(crate) machine: String,
}

impl Requirement {
    /// That it can't be used now, in words.
    pub(crate) fn unavailable(&self, why: &str) -> String {
        format!("unavailable: {}'s {} {why}", self.machine, self.service)
    }
}

/// How services are, by each of their names.
#[derive(Default)]
pub(crate) struct Standing(Mutex<Known>);

#[derive(Default)]
struct Known {
    phases: BTreeMap<String, Phase>,
    /// Who waits for a change of which service: one for each grant, the last that asked.
    waiting: BTreeMap<String, (String, Resolver)>,
}

impl Standing {
    /// Takes note of how a service is. Whether that is news.
    fn note(&self, status: &Status) -> bool {
        let mut known = lock(&self.0);
        let mut news = false;
        for name in &status.provides {
            news |= known.phases.insert(name.clone(), status.state) != Some(status.state);
        }
        if news {
            let told = known.told(&status.provides);
            drop(known);
            told.into_iter().for_each(|resolver| resolver.fulfill(Value::Undefined));
        }
        news
    }

    /// There is no such service any more.
    fn gone(&self, service: &str) {
        let mut known = lock(&self.0);
        known.phases.remove(service);
        let told = known.told(&[service.to_owned()]);
        drop(known);
        told.into_iter().for_each(|resolver| resolver.fulfill(Value::Undefined));
    }

    /// Why what requires the service can't be used, if it can't: `is stopped`.
    fn why(&self, service: &str) -> Option<String> {
        why(lock(&self.0).phases.get(service).map(|phase| phase.name()))
    }

    /// A promise that is fulfilled when the service is otherwise.
    pub(super) fn when_changed(&self, grant: &str, service: &str) -> Promise {
        let (changed, resolver) = promise();
        // Who asked before has lost its session, and the promise with it.
        lock(&self.0).waiting.insert(grant.to_owned(), (service.to_owned(), resolver));
        changed
    }

    /// All of them, in words.
    pub(super) fn all(&self) -> BTreeMap<String, String> {
        let known = lock(&self.0);
        known.phases.iter().map(|(name, phase)| (name.clone(), phase.name().to_owned())).collect()
    }
}

impl Known {
    /// Those who wait for one of these.
    fn told(&mut self, services: &[String]) -> Vec<Resolver> {
        let concerned =
            |(_, (service, _)): &(&String, &(String, Resolver))| services.contains(service);
        let grants = self.waiting.iter().filter(concerned).map(|(grant, _)| grant.clone());
        let grants: Vec<String> = grants.collect();
        grants.iter().filter_map(|grant| Some(self.waiting.remove(grant)?.1)).collect()
    }
}

/// Why what requires a service can't be used that is in such a state, if it can't.
pub(super) fn why(phase: Option<&str>) -> Option<String> {
    match phase {
        Some("running") => None,
        Some("failed") => Some("has failed".to_owned()),
        Some(phase) => Some(format!("is {phase}")),
        None => Some("is not there".to_owned()),
    }
}

impl Fleet {
    /// Has what concerns services go to that shepherd, and hears of them from now on.
    /// `live` is where what ends with the process lives.
    ///
    /// # Errors
    ///
    /// If the shepherd does not answer.
    pub(crate) async fn tend(
        &self,
        shepherd: &ShepherdRef,
        front: &Ref,
        live: &Vat,
    ) -> Result<(), Fault> {
        let sentinel = Sentinel { fleet: self.clone(), shepherd: shepherd.clone() };
        let sentinel = WriterRef::from_ref(live.spawn(sentinel));
        shepherd.watch(sentinel, None).await?;
        let tended = Tended { shepherd: shepherd.clone(), front: front.clone() };
        // A process has one shepherd.
        let _first = self.tended.set(tended);
        self.look_at_services().await
    }

    /// Learns how all services are: for when there may be others.
    ///
    /// # Errors
    ///
    /// If the shepherd does not answer.
    pub(crate) async fn look_at_services(&self) -> Result<(), Fault> {
        let statuses = self.tended()?.shepherd.statuses().await?;
        statuses.iter().for_each(|status| _ = self.standing.note(status));
        Ok(())
    }

    /// Who sees to the services of this machine.
    pub(super) fn tended(&self) -> Result<&Tended, Fault> {
        Ok(self.tended.get().ok_or("hob sees to no services here")?)
    }

    /// Has a service started, for what requires it. When that is so, it is known to be.
    pub(super) fn started(
        &self,
        turn: &mut Turn<'_>,
        requirement: &Requirement,
    ) -> Result<Answer<()>, Fault> {
        let shepherd = self.tended()?.shepherd.clone();
        let (fleet, service) = (self.clone(), requirement.service.clone());
        let started = shepherd.send(turn).start(service.clone(), None);
        let known: Answer<Value> = started.on_promise(turn, move |turn, started| {
            started?;
            let now = shepherd.send(turn).brief(service);
            let known: Answer<()> = now.on_promise(turn, move |_turn, status| {
                fleet.standing.note(&status?);
                Ok(())
            });
            Ok(known.into())
        });
        Ok(Answer::from_promise(known.into_promise()))
    }

    /// Why what is there by a requirement can't be used now, if it can't.
    pub(super) fn unavailable(&self, requirement: &Requirement) -> Option<String> {
        let why = self.standing.why(&requirement.service)?;
        Some(requirement.unavailable(&why))
    }
}

/// Hears of all that happens to services.
struct Sentinel {
    fleet: Fleet,
    shepherd: ShepherdRef,
}

#[object]
impl Sentinel {
    #[method]
    fn happened(&self, turn: &mut Turn<'_>, event: Event) {
        let fleet = self.fleet.clone();
        let now = self.shepherd.send(turn).brief(event.service.clone());
        now.on(turn, move |_turn, status| {
            match status {
                Ok(status) if !fleet.standing.note(&status) => return,
                Ok(_) => {}
                Err(_removed) => fleet.standing.gone(&event.service),
            }
            fleet.wake.notify_one();
        });
    }

    /// Nothing is asked for that would say anything.
    #[method]
    fn line(&self, _text: String) {}

    #[method]
    fn said(&self, _at: i64, _text: String) {}
}
