//! How the shepherd does what it is told: async blocks over many services.

use std::collections::{BTreeMap, BTreeSet};

use ocapn::{Answer, Fault, Here, Value};

use super::controller::ControllerRef;
use super::shepherd::ShepherdRef;
use super::writer::{WriterRef, say};

/// What is to be done with which service.
pub(crate) struct Orders {
    pub(crate) shepherd: ShepherdRef,
    pub(crate) name: String,
    pub(crate) service: ControllerRef,
}

/// Says something in this step.
async fn line(here: &Here, writer: &Option<WriterRef>, text: String) -> Result<(), Fault> {
    let writer = writer.clone();
    here.turn(move |turn| {
        say(turn, writer.as_ref(), text);
        Ok(())
    })
    .await
}

/// Ends the step, so that what was said in it is not taken back by a failure.
async fn said(here: &Here) -> Result<(), Fault> {
    here.ask(|turn| Answer::from_promise(turn.on_promise(Value::Undefined, |_, value| value))).await
}

/// Starts what a service requires, all of it at once, and then the service.
pub(crate) async fn start(
    here: Here,
    orders: Orders,
    requires: Vec<String>,
    stopping: Option<Answer<bool>>,
    writer: Option<WriterRef>,
) -> Result<bool, Fault> {
    let Orders { shepherd, name, service } = orders;
    if let Some(stopping) = stopping {
        let _stopped_or_not = stopping.await;
    }
    let telling = writer.clone();
    let going = here
        .turn(move |turn| {
            let bring = |required: String| {
                (required.clone(), shepherd.send(turn).bring_up(required, telling.clone()))
            };
            Ok(requires.into_iter().map(bring).collect::<Vec<_>>())
        })
        .await?;
    let mut missing = Vec::new();
    for (required, going) in going {
        if going.await.is_err() {
            missing.push(required);
        }
    }
    if !missing.is_empty() {
        let missing = missing.join(", ");
        let text = format!("Service {name} depends on {missing}, which could not be started.");
        line(&here, &writer, text).await?;
        said(&here).await?;
        let why = format!("service {name} depends on {missing}, which could not be started");
        return Err(why.into());
    }
    match here.ask(move |turn| service.send(turn).start()).await {
        Ok(_) => {
            line(&here, &writer, format!("Service {name} has been started.")).await?;
            Ok(true)
        }
        Err(fault) => {
            line(&here, &writer, format!("Service {name} could not be started.")).await?;
            said(&here).await?;
            Err(format!("service {name} could not be started: {fault}").into())
        }
    }
}

/// Stops those that require a service, all at once, and then the service.
pub(crate) async fn stop(
    here: Here,
    orders: Orders,
    dependents: Vec<(String, ControllerRef)>,
) -> Result<bool, Fault> {
    let Orders { shepherd, name, service } = orders;
    let going = here
        .turn(move |turn| {
            let stop = |(name, _)| shepherd.send(turn).stop(name, None);
            Ok(dependents.into_iter().map(stop).collect::<Vec<_>>())
        })
        .await?;
    for going in going {
        going.await?;
    }
    let stopped = here.ask(move |turn| service.send(turn).stop()).await?;
    if stopped {
        line(&here, &None, format!("Service {name} has been stopped.")).await?;
    }
    Ok(stopped)
}

/// Stops a service with its dependents, and starts them again.
pub(crate) async fn restart(
    here: Here,
    orders: Orders,
    dependents: BTreeSet<String>,
    writer: Option<WriterRef>,
) -> Result<bool, Fault> {
    let Orders { shepherd, name, .. } = orders;
    let (stopping, stopped) = (shepherd.clone(), name.clone());
    here.ask(move |turn| stopping.send(turn).stop(stopped, None)).await?;
    let (starting, telling) = (shepherd.clone(), writer.clone());
    let started = here.ask(move |turn| starting.send(turn).bring_up(name, telling)).await?;
    let going = here
        .turn(move |turn| {
            let bring = |name| shepherd.send(turn).bring_up(name, writer.clone());
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
            let bring = |name: String| (name.clone(), shepherd.send(turn).bring_up(name, None));
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

/// Stops everything.
pub(crate) async fn shut_down(
    here: Here,
    shepherd: ShepherdRef,
    services: BTreeMap<String, ControllerRef>,
) -> Result<(), Fault> {
    let stopping = shepherd.clone();
    let going = here
        .turn(move |turn| {
            let stop = |name| stopping.send(turn).stop(name, None);
            Ok(services.into_keys().map(stop).collect::<Vec<_>>())
        })
        .await?;
    for going in going {
        going.await?;
    }
    here.ask(move |turn| shepherd.send(turn).clean()).await
}
