//! How an exported service hears of the one that it stands for, and tells it what to do.
//!
//! It asks what happens next, and is answered when something does: by a session that ends
//! meanwhile the question is broken, so that it is known at once that the machine is cut.
//! Then it asks how things are, which waits until the machine is back.

use std::time::Duration;

use ocapn::actors::Refusal;
use ocapn::{Answer, Fault, FromValue, Here, IntoValue as _, Ref, Unreachable, Value};

use super::controller::Context;
use super::exported::{ExportedRef, Seen};
use super::procedures::pause;
use super::refusal::{is_not_found, relayed, retold};
use super::status::Phase;

/// How long to wait after a question that was of no use, and was not just cut off.
const PAUSE: Duration = Duration::from_secs(1);
/// The same where it is not to be expected that the next one is.
const LONG_PAUSE: Duration = Duration::from_secs(60);

/// The way to a service of another machine.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) me: ExportedRef,
    pub(crate) remote: Ref,
    pub(crate) context: Context,
    /// What it is called there. Empty for the only one that the capability is to.
    pub(crate) service: String,
    pub(crate) machine: String,
    pub(crate) generation: u64,
}

impl Line {
    /// Calls a method of it.
    pub(crate) async fn ask<T: FromValue + 'static>(
        &self,
        here: &Here,
        method: Value,
        args: Vec<Value>,
    ) -> Result<T, Fault> {
        let (remote, service) = (self.remote.clone(), Value::from(self.service.as_str()));
        here.ask(move |turn| {
            let args = [method, service].into_iter().chain(args).collect();
            Answer::from_promise(turn.send(&remote, args))
        })
        .await
    }

    /// What went wrong, to be told here: still told apart from other faults.
    fn told(&self, fault: &Fault) -> Fault {
        let machine = &self.machine;
        if Refusal::of(fault).is_some() {
            return relayed(fault, format!("machine {machine} refuses: {fault}"));
        }
        match Unreachable::of(fault) {
            Some(_) => retold(fault, format!("machine {machine} is unreachable: {fault}")),
            None => retold(fault, format!("machine {machine}: {fault}")),
        }
    }

    /// Hears how things are now, before anybody is told that something is done.
    async fn refresh(&self, here: &Here) -> Result<(), Fault> {
        let me = self.me.clone();
        let mark = here.ask(move |turn| me.send(turn).mark()).await?;
        let args = vec![mark.into_value(), false.into()];
        let seen: Seen = self.ask(here, Value::symbol("observe"), args).await?;
        let (me, generation) = (self.me.clone(), self.generation);
        here.ask(move |turn| me.send(turn).seen(generation, seen)).await.map(drop)
    }
}

/// Hears of it for as long as that is wanted.
pub(crate) async fn watch(here: Here, line: Line) -> Result<(), Fault> {
    let mut mark = None;
    let mut failed = false;
    loop {
        let args = vec![mark.into_value(), mark.is_some().into()];
        let asked: Result<Seen, Fault> = line.ask(&here, Value::symbol("observe"), args).await;
        let (me, generation) = (line.me.clone(), line.generation);
        let wait = match asked {
            Ok(seen) => {
                failed = false;
                // Somebody else was let in for us.
                let idle = mark.is_some() && seen.events.is_empty();
                mark = here.ask(move |turn| me.send(turn).seen(generation, seen)).await?;
                if mark.is_none() {
                    return Ok(());
                }
                if idle { PAUSE } else { Duration::ZERO }
            }
            Err(fault) => {
                mark = None;
                let reason = Unreachable::of(&fault);
                let refused = Refusal::of(&fault).is_some()
                    || is_not_found(&fault)
                    || reason == Some(Unreachable::NoSuchObject);
                let hopeless = refused || reason.is_some_and(Unreachable::is_lasting);
                let why = fault.to_string();
                let wanted =
                    here.ask(move |turn| me.send(turn).lost(generation, why, refused)).await?;
                if !wanted {
                    return Ok(());
                }
                match std::mem::replace(&mut failed, true) {
                    _ if hopeless => LONG_PAUSE,
                    true => PAUSE,
                    false => Duration::ZERO,
                }
            }
        };
        pause(&here, &line.context, wait).await?;
    }
}

/// Has an order carried out, and what came of it known here.
pub(crate) async fn order(
    here: Here,
    line: Line,
    method: Value,
    args: Vec<Value>,
    then: Option<Phase>,
) -> Result<Value, Fault> {
    let outcome: Result<Value, Fault> = line.ask(&here, method, args).await;
    match outcome {
        Ok(value) => {
            if line.refresh(&here).await.is_err()
                && let Some(phase) = then
            {
                let me = line.me.clone();
                here.ask(move |turn| me.send(turn).believe(phase)).await?;
            }
            Ok(value)
        }
        Err(fault) => {
            let known = Unreachable::of(&fault).is_some() || Refusal::of(&fault).is_some();
            if !known
                && let Err(cut) = line.refresh(&here).await
                && Unreachable::of(&cut).is_some()
            {
                let machine = &line.machine;
                let what = format!("machine {machine} was cut off, and may have done it: {fault}");
                return Err(retold(&cut, what));
            }
            Err(line.told(&fault))
        }
    }
}
