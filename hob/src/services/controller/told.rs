//! What a controller tells of its service, and what can be done with it besides.

use ocapn::{Answer, Fault, IntoValue as _, Turn, Value};

use super::{Controller, describe};
use crate::services::process::{Exit, Launch};
use crate::services::refusal::not_found;
use crate::services::status::{Phase, Status};

impl Controller {
    pub(super) fn provides(&self) -> Vec<String> {
        std::iter::once(&self.name).chain(&self.definition.provides).cloned().collect()
    }

    /// All but what it has said.
    pub(super) fn told(&self) -> Status {
        let definition = &self.definition;
        let (exit_code, exit_signal) = match self.exit {
            Some(Exit::Code(code)) => (Some(code), None),
            Some(Exit::Signal(signal)) => (None, Some(signal)),
            Some(Exit::Unknown) | None => (None, None),
        };
        let timer = definition.timer.as_ref().map(|timer| {
            let calendar = timer.calendar.as_ref().map(ToString::to_string);
            let every = timer.every.map(|every| format!("every {every}"));
            calendar.or(every).unwrap_or_default()
        });
        let repeats = !definition.one_shot && timer.is_none() && !definition.command.is_empty();
        let own = definition.builtin.map_or(&[][..], |builtin| builtin.actions());
        let actions = definition.actions.keys().map(String::as_str).chain(own.iter().copied());
        Status {
            name: self.name.clone(),
            state: self.phase,
            since: self.since,
            pid: self.process.as_ref().map(|process| process.pid),
            command: definition.command.clone(),
            enabled: self.enabled,
            provides: self.provides(),
            requires: definition.requires.clone(),
            respawn: definition.respawn.enabled && repeats,
            one_shot: definition.one_shot,
            transient: self.transient,
            timer,
            next: self.next,
            sockets: definition.socket.as_ref().map(|of| of.listen.clone()).unwrap_or_default(),
            exit_code,
            exit_signal,
            failure: self.failure.clone(),
            doc: definition.doc.clone(),
            builtin: definition.builtin.map(|builtin| builtin.name().to_owned()),
            actions: actions.map(str::to_owned).collect(),
            messages: Vec::new(),
            remote: None,
            flapping: self.flaps.since(&definition.flapping, self.context.millis()),
        }
    }

    pub(super) fn act(
        &self,
        turn: &mut Turn<'_>,
        name: String,
        args: Vec<Value>,
    ) -> Result<Answer<Value>, Fault> {
        let own = self.definition.builtin.is_some_and(|own| own.actions().contains(&&*name));
        let action = self.definition.actions.get(&name);
        if action.is_none() && !own {
            return Err(not_found(&format!("service {} has no action {name}", self.name)));
        }
        if self.phase != Phase::Running {
            return Err(format!("service {} is not running", self.name).into());
        }
        if let (true, Some(builtin)) = (own, &self.builtin) {
            let args = vec![Value::symbol("act"), name.into(), args.into_value()];
            return Ok(Answer::from_promise(turn.send(builtin, args)));
        }
        let action = action.ok_or("it is another one from its next start on")?;
        if !args.is_empty() {
            return Err(format!("the action {name} takes no arguments").into());
        }
        if let Some(signal) = action.signal {
            let process = self.process.clone().ok_or("it has no process")?;
            self.monitor.call(turn).signal(process, signal.to_string())?;
            return Ok(Answer::ready(format!("Sent {signal} to {}.", self.name).into()));
        }
        let (world, command) = (self.context.world.clone(), action.command.clone());
        let launch = Launch { service: self.name.clone(), definition: self.definition.clone() };
        Ok(turn.spawn_async(async move |_here| {
            let (exit, said) = world.run(launch, command).await?;
            if exit.is_success() {
                Ok(said.into())
            } else {
                Err(format!("{} {said}", describe(exit)).into())
            }
        }))
    }
}
