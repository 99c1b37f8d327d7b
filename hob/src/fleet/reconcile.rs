//! The boss's hands: has providers make and remove machines, and does again what has not
//! worked yet. Looks at what is durable, and at nothing else, so that it can begin anew
//! at any moment.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use ocapn::Answer;
use tokio::sync::{Semaphore, mpsc};

use super::boss::BossRef;
use super::machine::MachineRef;
use super::record::{Failure, Record, State};
use super::revival::Revival;
use super::{Fleet, LOG, Moment};
use crate::kinds::Name;
use crate::providers::{
    Enrolment, FleetId, Key, Order, Provider, ProviderError, Providers, Target,
};

/// How many machines providers make or remove at the same time.
const AT_ONCE: usize = 16;

/// Runs until it is dropped.
pub(crate) struct Reconciler {
    fleet: Fleet,
    boss: BossRef,
    id: FleetId,
    providers: Arc<Providers>,
    /// The machines that somebody is busy with: never twice at once.
    busy: Arc<Mutex<HashSet<String>>>,
    permits: Arc<Semaphore>,
    revival: Revival,
}

/// What there is to do about a machine outside of the vats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Todo {
    Make,
    Remove,
    /// It has not come in time.
    GiveUp,
    /// Nothing is heard of it: it may have ended.
    Revive,
}

/// What is to be done now.
fn todo(record: &Record, now: u64) -> Option<Todo> {
    match record.state {
        State::Pending if !record.allocated => (record.not_before <= now).then_some(Todo::Make),
        State::Pending => {
            let waits =
                record.tokens.values().any(|token| token.used_by.is_none() && token.expires > now);
            let was_made = record.provider != super::MANUAL;
            (!waits && was_made).then_some(Todo::GiveUp)
        }
        State::Leaving => (record.not_before <= now).then_some(Todo::Remove),
        State::Active | State::Failed | State::Quarantined => None,
    }
}

impl Reconciler {
    pub(crate) fn new(fleet: Fleet, boss: BossRef, id: FleetId, providers: Providers) -> Self {
        Self {
            revival: Revival::new(fleet.settings.revive_after),
            fleet,
            boss,
            id,
            providers: Arc::new(providers),
            busy: Arc::default(),
            permits: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Looks, does, and waits for the next time; for ever.
    pub(crate) async fn run(mut self) {
        loop {
            let next = match self.look().await {
                Ok(next) => next,
                Err(fault) => {
                    tracing::warn!(target: LOG, "the boss could not be asked what is to be done: {fault}");
                    None
                }
            };
            let every = self.fleet.settings.reconcile.min(self.fleet.settings.revive_after);
            let pause = next.map_or(every, |next| every.min(next));
            tokio::select! {
                () = self.fleet.woken() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One look at everything. Gives when something is to be done next, if before the
    /// usual time.
    async fn look(&mut self) -> Result<Option<std::time::Duration>, ocapn::Fault> {
        let now = Moment::now().millis();
        let mut next: Option<u64> = None;
        self.boss.follow_graph().await?;
        let records = self.boss.records().await?;
        for name in self.silent(&records, now) {
            let record = records.iter().find(|record| record.name == name);
            record.into_iter().for_each(|record| self.start(record.clone(), Todo::Revive));
        }
        for record in records {
            match todo(&record, now) {
                Some(todo) => self.start(record, todo),
                None => {
                    if matches!(record.state, State::Pending | State::Leaving)
                        && record.not_before > now
                    {
                        next = Some(
                            next.map_or(record.not_before, |next| next.min(record.not_before)),
                        );
                    }
                    let unsettled = record.moved
                        || !record.ungrants.is_empty()
                        || !record.unbinds.is_empty()
                        || !record.withdrawals.is_empty()
                        || record.offers.values().any(|offer| !offer.made)
                        || record.bindings.values().any(|binding| !binding.live);
                    if record.state == State::Active && unsettled {
                        self.boss.reconnect(Name(record.name)).ignore();
                    }
                }
            }
        }
        Ok(next.map(|next| std::time::Duration::from_millis(next.saturating_sub(now).max(1))))
    }

    /// Those active machines that nothing is heard of, and that somebody has made.
    fn silent(&mut self, records: &[Record], now: u64) -> Vec<String> {
        let active = records.iter().filter(|record| record.state == State::Active);
        let made = active.filter(|record| record.provider != super::MANUAL);
        let fleet = &self.fleet;
        let seen = |name: &str| fleet.health(name).map(|(seen, _)| seen);
        self.revival.due(made.map(|record| (record.name.clone(), seen(&record.name))), now)
    }

    /// Sees to one machine, unless somebody does already.
    fn start(&self, record: Record, todo: Todo) {
        if !super::lock(&self.busy).insert(record.name.clone()) {
            return;
        }
        let (busy, permits, fleet) = (self.busy.clone(), self.permits.clone(), self.fleet.clone());
        let job = Job {
            boss: self.boss.clone(),
            id: self.id.clone(),
            providers: self.providers.clone(),
            fleet: self.fleet.clone(),
        };
        tokio::spawn(async move {
            let name = record.name.clone();
            if let Ok(_permit) = permits.acquire().await
                && let Err(fault) = job.run(record, todo).await
            {
                tracing::warn!(target: LOG, "{name}: {fault}");
            }
            super::lock(&busy).remove(&name);
            // What has been done may leave more to do.
            fleet.wake.notify_one();
        });
    }
}

/// What one task needs.
struct Job {
    boss: BossRef,
    id: FleetId,
    providers: Arc<Providers>,
    fleet: Fleet,
}

impl Job {
    async fn run(&self, record: Record, todo: Todo) -> Result<(), ocapn::Fault> {
        let machine: Answer<MachineRef> = self.boss.machine(Name(record.name.clone()));
        let machine = machine.await?;
        match todo {
            Todo::Make => self.make(&machine).await,
            Todo::Remove => self.remove(record, &machine).await,
            Todo::Revive => self.revive(&machine).await,
            Todo::GiveUp => {
                let why = "it has not registered before its enrolment expired".to_owned();
                machine.set_state(State::Failed, Some(why)).await
            }
        }
    }

    fn provider(&self, name: &str) -> Result<Arc<dyn Provider>, ProviderError> {
        let provider = self.providers.get(name).cloned();
        provider
            .ok_or_else(|| ProviderError::lasting(format!("there is no provider {name} any more")))
    }

    async fn make(&self, machine: &MachineRef) -> Result<(), ocapn::Fault> {
        let record = machine.order(self.fleet.settings.enrol_ttl.into()).await?;
        // The provider hears of nothing that a crash would undo.
        self.fleet.node.durable().await.map_err(|error| error.to_string())?;
        let (sender, mut steps) = mpsc::unbounded_channel();
        let made = async {
            let provider = self.provider(&record.provider)?;
            let order = self.order(&record)?;
            let work = move || {
                provider.create(&order, &move |step: &str| {
                    // Nobody may be listening any more.
                    let _heard = sender.send(step.to_owned());
                })
            };
            let made = tokio::task::spawn_blocking(work).await;
            made.unwrap_or_else(|_| Err(ProviderError::temporary("the provider panicked")))
        };
        let told = async {
            while let Some(step) = steps.recv().await {
                machine.step(step).ignore();
            }
        };
        let (made, ()) = tokio::join!(made, told);
        match made {
            Ok(instance) => machine.allocated(instance.id, instance.address).await,
            Err(error) => machine.failed(error.into()).await,
        }
    }

    async fn revive(&self, machine: &MachineRef) -> Result<(), ocapn::Fault> {
        let record = machine.record().await?;
        if record.state != State::Active {
            return Ok(());
        }
        let revived = match (self.provider(&record.provider), self.target(&record)) {
            (Ok(provider), Ok(target)) => {
                let revived = tokio::task::spawn_blocking(move || provider.revive(&target)).await;
                revived.unwrap_or_else(|_| Err(ProviderError::temporary("the provider panicked")))
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        match revived {
            Ok(true) => machine.revived().await,
            Ok(false) => Ok(()),
            Err(error) => Err(format!("it may have ended, and can't be started: {error}").into()),
        }
    }

    fn order(&self, record: &Record) -> Result<Order, ProviderError> {
        let missing = || ProviderError::temporary("the boss has lost the enrolment");
        let enrolment = record.enrolment.as_ref().ok_or_else(missing)?;
        let target = self.target(record)?;
        Ok(Order {
            name: target.name,
            key: target.key,
            fleet: target.fleet,
            enrolment: Enrolment::new(enrolment.reveal_uri()),
            spec: target.spec,
        })
    }

    fn target(&self, record: &Record) -> Result<Target, ProviderError> {
        let lasting = |what: &str| ProviderError::lasting(format!("the boss has lost the {what}"));
        Ok(Target {
            name: record.name.clone(),
            key: record.key.parse::<Key>().map_err(|_| lasting("key"))?,
            fleet: self.id.clone(),
            spec: serde_json::from_str(&record.spec).map_err(|_| lasting("spec"))?,
            id: record.instance.clone(),
        })
    }

    async fn remove(&self, record: Record, machine: &MachineRef) -> Result<(), ocapn::Fault> {
        let removed = if record.provider == super::MANUAL {
            Ok(())
        } else {
            match (self.provider(&record.provider), self.target(&record)) {
                (Ok(provider), Ok(target)) => {
                    let removed =
                        tokio::task::spawn_blocking(move || provider.destroy(&target)).await;
                    removed
                        .unwrap_or_else(|_| Err(ProviderError::temporary("the provider panicked")))
                }
                (Err(error), _) | (_, Err(error)) => Err(error),
            }
        };
        match removed {
            Ok(()) => self.boss.forget(Name(record.name)).await,
            // It is not to be forgotten while it may be there.
            Err(error) => machine.failed(Failure { temporary: true, ..error.into() }).await,
        }
    }
}
