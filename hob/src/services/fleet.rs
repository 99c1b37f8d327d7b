//! Fleet services: ordinary ones without a command that require services of other
//! machines, so that one name stands for all of those.

use std::collections::{BTreeMap, BTreeSet};

use ocapn::{Answer, Fault, Here, Turn};

use super::controller::ControllerRef;
use super::orders::{self, Outcomes};
use super::refusal::retold;
use super::shepherd::{Shepherd, ShepherdRef};
use super::status::Status;
use super::writer::{Voice, WriterRef};

/// What belongs to a service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members {
    /// Services of this machine, itself first.
    pub(crate) local: Vec<String>,
    /// Services of others.
    pub(crate) exported: BTreeMap<String, ControllerRef>,
}

impl Members {
    /// Whether this is a fleet, and not one service.
    pub(crate) fn is_fleet(&self) -> bool {
        !self.local.is_empty() && !self.exported.is_empty()
    }
}

impl Shepherd {
    /// What the service requires and what that requires, by way of services of this
    /// machine that are as asked for.
    fn walk(
        &self,
        turn: &mut Turn<'_>,
        name: &str,
        by_way_of: fn(&Status) -> bool,
    ) -> Result<Members, Fault> {
        let mut members = Members::default();
        let mut seen = BTreeSet::new();
        let mut next = vec![name.to_owned()];
        while let Some(name) = next.pop() {
            // What was removed meanwhile is missed when it is started.
            let Ok((name, service)) = self.find(turn, &name) else { continue };
            if !seen.insert(name.clone()) {
                continue;
            }
            let status = service.call(turn).brief()?;
            if status.remote.is_some() {
                members.exported.insert(name, service);
            } else if by_way_of(&status) {
                members.local.push(name);
                next.extend(status.requires);
            }
        }
        Ok(members)
    }

    /// The services of other machines that the service stands for.
    pub(crate) fn members(&self, turn: &mut Turn<'_>, name: &str) -> Result<Members, Fault> {
        self.walk(turn, name, |status| status.command.is_empty())
    }

    /// In what words to tell what is done with a service: with the name of this machine, if
    /// others have a part in it.
    pub(crate) fn voice(
        &self,
        turn: &mut Turn<'_>,
        name: &str,
        writer: Option<WriterRef>,
    ) -> Result<Voice, Fault> {
        let alone = self.walk(turn, name, |_| true)?.exported.is_empty();
        let machine = (!alone).then(|| self.context.world.machine());
        Ok(Voice { writer, machine })
    }
}

/// Stops a fleet: the service, and then those of other machines that nothing else here
/// requires, all at once. Whether there was something to stop.
pub(crate) async fn stop(
    here: Here,
    shepherd: ShepherdRef,
    members: Members,
    voice: Voice,
) -> Result<bool, Fault> {
    let mut stopped = false;
    for (index, name) in members.local.into_iter().enumerate() {
        let shepherd = shepherd.clone();
        let dependents = {
            let (shepherd, name) = (shepherd.clone(), name.clone());
            here.turn(move |turn| shepherd.call(turn).required_by(name)).await?
        };
        // The first is what was asked for; those that it consists of may be part of others.
        if !dependents.is_empty() && index > 0 {
            continue;
        }
        let voice = voice.clone();
        stopped |= here.ask(move |turn| shepherd.send(turn).take_down(name, voice)).await?;
    }
    let mut going: Outcomes<bool> = Outcomes::default();
    for name in members.exported.into_keys() {
        let (asking, of) = (shepherd.clone(), name.clone());
        let dependents = here.turn(move |turn| asking.call(turn).required_by(of)).await?;
        if !dependents.is_empty() {
            let text = format!("Service {name} goes on: {} requires it.", dependents.join(", "));
            orders::line(&here, &voice, text).await?;
            continue;
        }
        let (shepherd, voice, of) = (shepherd.clone(), voice.clone(), name.clone());
        let answer: Answer<bool> =
            here.turn(move |turn| Ok(shepherd.send(turn).take_down(of, voice))).await?;
        going.add(name, answer);
    }
    let mut outcome = Ok(());
    while let Some((name, result)) = going.next().await {
        match result {
            Ok(was_up) => stopped |= was_up,
            Err(fault) => {
                let what = retold(&fault, format!("service {name} could not be stopped: {fault}"));
                outcome = outcome.and(Err(what));
            }
        }
    }
    outcome.map(|()| stopped)
}

/// Stops a fleet and starts it again, all of it at once.
pub(crate) async fn restart(
    here: Here,
    shepherd: ShepherdRef,
    name: String,
    members: Members,
    voice: Voice,
) -> Result<bool, Fault> {
    stop(here.clone(), shepherd.clone(), members, voice.clone()).await?;
    here.ask(move |turn| shepherd.send(turn).bring_up(name, voice)).await
}
