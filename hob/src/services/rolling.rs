//! Rolling restarts: of the services of a fleet never more than so many are down at once.

use std::collections::{BTreeMap, VecDeque};

use ocapn::{Fault, Here, Passable};

use super::controller::ControllerRef;
use super::exported::ExportedRef;
use super::orders::{self, Outcomes};
use super::status::{Phase, Status};
use super::writer::Voice;

/// What a rolling restart has come to.
#[derive(Passable, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rolled {
    /// Restarted, and running again.
    pub(crate) done: Vec<String>,
    /// What could not be restarted, and why.
    pub(crate) failed: Vec<(String, String)>,
    /// What was not touched.
    pub(crate) left: Vec<String>,
    /// Why not, if nothing has failed.
    pub(crate) halted: Option<String>,
}

struct Roll {
    here: Here,
    services: BTreeMap<String, ControllerRef>,
    most: usize,
    voice: Voice,
}

impl Roll {
    async fn statuses(&self) -> Result<BTreeMap<String, Status>, Fault> {
        let services = self.services.clone();
        self.here
            .turn(move |turn| {
                let brief = |(name, service): (String, ControllerRef)| {
                    Ok((name, service.call(turn).brief()?))
                };
                services.into_iter().map(brief).collect()
            })
            .await
    }

    /// Why this one can't be restarted now, if it can't.
    async fn objection(&self, next: &str, going: &[String]) -> Result<Option<String>, Fault> {
        let statuses = self.statuses().await?;
        let away = |(name, status): (String, Status)| {
            let counts = name != next && !going.contains(&name) && !is_available(&status);
            counts.then_some(name)
        };
        let away: Vec<String> = statuses.into_iter().filter_map(away).collect();
        if away.len() + going.len() < self.most {
            return Ok(None);
        }
        let (verb, most) = (if away.len() == 1 { "is" } else { "are" }, self.most);
        let names = away.join(", ");
        Ok(Some(format!("{names} {verb} not running, and no more than {most} may be down")))
    }
}

/// Whether it does what it is for, as far as is known here.
fn is_available(status: &Status) -> bool {
    !status.is_cut() && status.state == Phase::Running
}

/// Those that are down come first, for that takes nothing away; those that can't be
/// reached last.
fn rank(status: &Status) -> u8 {
    match (status.is_cut(), is_available(status)) {
        (false, false) => 0,
        (false, true) => 1,
        (true, _) => 2,
    }
}

/// Restarts them, until one fails.
pub(crate) async fn roll(
    here: Here,
    services: BTreeMap<String, ControllerRef>,
    most: usize,
    voice: Voice,
) -> Result<Rolled, Fault> {
    let roll = Roll { here, services, most, voice };
    let mut rolled = Rolled::default();
    let mut order: Vec<(String, Status)> = roll.statuses().await?.into_iter().collect();
    order.sort_by_key(|(_, status)| rank(status));
    let mut left: VecDeque<String> = order.into_iter().map(|(name, _)| name).collect();
    let mut going = Outcomes::<bool>::default();
    loop {
        while rolled.failed.is_empty() && going.len() < most {
            let Some(next) = left.front() else { break };
            if let Some(objection) = roll.objection(next, &going.names()).await? {
                if going.is_empty() {
                    rolled.halted = Some(objection);
                }
                break;
            }
            let Some(next) = left.pop_front() else { break };
            let Some(service) = roll.services.get(&next) else { break };
            let (service, voice) = (ExportedRef::of(service), roll.voice.clone());
            let restart =
                move |turn: &mut ocapn::Turn<'_>| Ok(service.send(turn).restart(Some(voice)));
            going.add(next, roll.here.turn(restart).await?);
        }
        let Some((name, outcome)) = going.next().await else { break };
        let running = roll.statuses().await?.get(&name).is_some_and(is_available);
        match outcome {
            Ok(_) if running => {
                let text = format!("Service {name} has been restarted.");
                orders::line(&roll.here, &roll.voice, text).await?;
                rolled.done.push(name);
            }
            Ok(_) => rolled.failed.push((name, "it has not stayed up".to_owned())),
            Err(fault) => rolled.failed.push((name, fault.to_string())),
        }
    }
    rolled.left = left.into();
    Ok(rolled)
}
