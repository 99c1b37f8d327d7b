//! How the shepherd does what it is told: async blocks over many services.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use ocapn::{Answer, Fault, FromValue, Here, Turn, Value};

use super::controller::ControllerRef;
use super::exported::ExportedRef;
use super::refusal::retold;
use super::shepherd::ShepherdRef;
use super::writer::Voice;

/// What is to be done with which service.
pub(crate) struct Orders {
    pub(crate) shepherd: ShepherdRef,
    pub(crate) name: String,
    pub(crate) service: ControllerRef,
    /// Whether it is of another machine.
    pub(crate) remote: bool,
}

/// Answers to wait for, each with the name of the service that it is about.
pub(crate) struct Outcomes<T>(Vec<(String, Pin<Box<Settling<T>>>)>);

/// What tells what has come of something.
type Settling<T> = dyn Future<Output = Result<T, Fault>> + Send;

impl<T> Default for Outcomes<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: FromValue + Send + 'static> Outcomes<T> {
    pub(crate) fn add(&mut self, name: String, answer: Answer<T>) {
        self.0.push((name, Box::pin(answer.into_future())));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The one that is there first.
    pub(crate) async fn next(&mut self) -> Option<(String, Result<T, Fault>)> {
        if self.is_empty() {
            return None;
        }
        let (at, outcome) = poll_fn(|context| {
            let there =
                self.0.iter_mut().enumerate().find_map(|(at, (_, settling))| {
                    match settling.as_mut().poll(context) {
                        Poll::Ready(outcome) => Some((at, outcome)),
                        Poll::Pending => None,
                    }
                });
            there.map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        let (name, _) = self.0.remove(at);
        Some((name, outcome))
    }
}

/// Says something in this step.
pub(crate) async fn line(here: &Here, voice: &Voice, text: String) -> Result<(), Fault> {
    let voice = voice.clone();
    here.turn(move |turn| {
        voice.say(turn, text);
        Ok(())
    })
    .await
}

/// Ends the step, so that what was said in it is not taken back by a failure.
async fn said(here: &Here) -> Result<(), Fault> {
    here.ask(|turn| Answer::from_promise(turn.on_promise(Value::Undefined, |_, value| value))).await
}

/// Starts what a service requires, all of it at once. Whether any of it had to be started.
async fn require(
    here: &Here,
    orders: &Orders,
    requires: Vec<String>,
    voice: &Voice,
) -> Result<bool, Fault> {
    let (shepherd, telling) = (orders.shepherd.clone(), voice.clone());
    let going = here
        .turn(move |turn| {
            let bring = |required: String| {
                (required.clone(), shepherd.send(turn).bring_up(required, telling.clone()))
            };
            Ok(requires.into_iter().map(bring).collect::<Vec<_>>())
        })
        .await?;
    let mut missing = Vec::new();
    let mut started = false;
    for (required, going) in going {
        match going.await {
            Ok(had_to) => started |= had_to,
            Err(_) => missing.push(required),
        }
    }
    if missing.is_empty() {
        return Ok(started);
    }
    let (name, missing) = (&orders.name, missing.join(", "));
    let text = format!("Service {name} depends on {missing}, which could not be started.");
    line(here, voice, text).await?;
    said(here).await?;
    Err(format!("service {name} depends on {missing}, which could not be started").into())
}

/// Starts what is missing of a fleet that was started before.
pub(crate) async fn complete(
    here: Here,
    orders: Orders,
    requires: Vec<String>,
    voice: Voice,
) -> Result<bool, Fault> {
    let started = require(&here, &orders, requires, &voice).await?;
    let what = if started { "complete" } else { "already running" };
    line(&here, &voice, format!("Service {} is {what}.", orders.name)).await?;
    Ok(started)
}

/// Starts what a service requires, all of it at once, and then the service.
pub(crate) async fn start(
    here: Here,
    orders: Orders,
    requires: Vec<String>,
    stopping: Option<Answer<bool>>,
    voice: Voice,
) -> Result<bool, Fault> {
    if let Some(stopping) = stopping {
        let _stopped_or_not = stopping.await;
    }
    require(&here, &orders, requires, &voice).await?;
    let Orders { name, service, remote, .. } = orders;
    let telling = Some(voice.clone());
    let started = here.ask(move |turn| match remote {
        true => ExportedRef::of(&service).send(turn).start(telling),
        false => service.send(turn).start(),
    });
    match started.await {
        Ok(_) => {
            line(&here, &voice, format!("Service {name} has been started.")).await?;
            Ok(true)
        }
        Err(fault) => {
            let why = if remote { format!(": {fault}.") } else { ".".to_owned() };
            line(&here, &voice, format!("Service {name} could not be started{why}")).await?;
            said(&here).await?;
            Err(retold(&fault, format!("service {name} could not be started: {fault}")))
        }
    }
}

/// Stops those that require a service, all at once, and then the service.
pub(crate) async fn stop(
    here: Here,
    orders: Orders,
    dependents: Vec<(String, ControllerRef)>,
    voice: Voice,
) -> Result<bool, Fault> {
    let Orders { shepherd, name, service, remote } = orders;
    let dependents = dependents.into_iter().map(|(name, _)| name);
    all_down(&here, &shepherd, dependents).await?;
    let telling = Some(voice.clone());
    let stopping = here.ask(move |turn| match remote {
        true => ExportedRef::of(&service).send(turn).stop(telling),
        false => service.send(turn).stop(),
    });
    let stopped = stopping.await?;
    if stopped {
        // Who has asked for it on one machine is told nothing, for that is what was asked.
        let voice = if voice.machine.is_some() { voice } else { Voice::default() };
        line(&here, &voice, format!("Service {name} has been stopped.")).await?;
    }
    Ok(stopped)
}

/// Stops services and those that require them, all at once.
async fn all_down(
    here: &Here,
    shepherd: &ShepherdRef,
    names: impl IntoIterator<Item = String> + Send + 'static,
) -> Result<(), Fault> {
    let shepherd = shepherd.clone();
    let going = here
        .turn(move |turn| {
            let stop = |name| shepherd.send(turn).take_down(name, Voice::default());
            Ok(names.into_iter().map(stop).collect::<Vec<_>>())
        })
        .await?;
    for going in going {
        going.await?;
    }
    Ok(())
}

/// Stops a service with its dependents, and starts them again.
pub(crate) async fn restart(
    here: Here,
    orders: Orders,
    dependents: BTreeSet<String>,
    voice: Voice,
) -> Result<bool, Fault> {
    let Orders { shepherd, name, service, remote } = orders;
    let (shepherding, telling) = (shepherd.clone(), voice.clone());
    let started = if remote {
        all_down(&here, &shepherd, dependents.clone()).await?;
        let restart =
            move |turn: &mut Turn<'_>| ExportedRef::of(&service).send(turn).restart(Some(telling));
        let started = here.ask(restart).await.map_err(|fault| {
            retold(&fault, format!("service {name} could not be restarted: {fault}"))
        })?;
        line(&here, &voice, format!("Service {name} has been restarted.")).await?;
        started
    } else {
        let stopped = name.clone();
        here.ask(move |turn| shepherding.send(turn).take_down(stopped, Voice::default())).await?;
        let starting = shepherd.clone();
        here.ask(move |turn| starting.send(turn).bring_up(name, telling)).await?
    };
    let going = here
        .turn(move |turn| {
            let bring = |name| shepherd.send(turn).bring_up(name, voice.clone());
            Ok(dependents.into_iter().map(bring).collect::<Vec<_>>())
        })
        .await?;
    for going in going {
        going.await?;
    }
    Ok(started)
}

/// Takes up what is there and starts what is to run; gives what failed.
pub(crate) async fn boot(
    here: Here,
    shepherd: ShepherdRef,
    services: BTreeMap<String, ControllerRef>,
    fresh: bool,
) -> Result<Vec<String>, Fault> {
    let all = services.clone();
    let recovering = here
        .turn(move |turn| {
            let recover = |service: ControllerRef| service.send(turn).recover();
            Ok(all.into_values().map(recover).collect::<Vec<_>>())
        })
        .await?;
    let mut to_start = Vec::new();
    for ((name, service), recovering) in services.into_iter().zip(recovering) {
        let runs = recovering.await?;
        let of = here.turn(move |turn| service.call(turn).relations()).await?;
        let wanted = if fresh { of.autostart && of.enabled } else { of.wanted };
        if wanted && !runs {
            to_start.push(name);
        }
    }
    let going = here
        .turn(move |turn| {
            let bring =
                |name: String| (name.clone(), shepherd.send(turn).bring_up(name, Voice::default()));
            Ok(to_start.into_iter().map(bring).collect::<Vec<_>>())
        })
        .await?;
    let mut failed = Vec::new();
    for (name, going) in going {
        if going.await.is_err() {
            failed.push(name);
        }
    }
    Ok(failed)
}

/// Stops everything that runs here.
pub(crate) async fn shut_down(
    here: Here,
    shepherd: ShepherdRef,
    services: BTreeMap<String, ControllerRef>,
) -> Result<(), Fault> {
    all_down(&here, &shepherd, services.into_keys()).await?;
    here.ask(move |turn| shepherd.send(turn).clean()).await
}
