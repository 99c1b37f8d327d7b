//! `hob fleet`: what an operator asks of a boss, by the boss's capability alone.

mod backup;
mod bindings;
mod events;
mod graph;
mod machines;
pub(crate) mod shown;
mod svc;
mod tokens;

use std::time::Duration;

use anyhow::Context as _;
use ocapn::{FromValue, Ref, Value};
use serde_json::json;

use crate::capfile;
use crate::cli::fleet::{BossChoice, FleetCommand};
use crate::client::{Client, within};
use crate::exit::{Broke, Exit, Failure};
use crate::fleet::Revoked;
use crate::output;
use crate::output::screen::Screen;
use crate::state::StateDir;

/// How often it is looked whether what is waited for has come.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) async fn fleet(
    command: &FleetCommand,
    screen: Screen,
    quiet: bool,
) -> anyhow::Result<()> {
    match command {
        FleetCommand::Backup { to, common } => return backup::backup(to, common).await,
        FleetCommand::Restore { from, consent, common } => {
            return backup::restore(from, *consent, common);
        }
        _ => {}
    }
    let boss = Boss::open(&command.common().boss).await?;
    if let FleetCommand::Svc(options) = command {
        return svc::svc(boss, options).await;
    }
    let outcome = ask(&boss, command, screen, quiet).await;
    boss.client.end().await;
    outcome
}

async fn ask(
    boss: &Boss,
    command: &FleetCommand,
    screen: Screen,
    quiet: bool,
) -> anyhow::Result<()> {
    let json = command.common().form.json;
    match command {
        FleetCommand::Create(options) => machines::create(boss, options, screen, quiet).await,
        FleetCommand::List { watch: true, .. } => machines::watch(boss).await,
        FleetCommand::List { .. } => machines::list(boss, json, screen).await,
        FleetCommand::Show { name, .. } => machines::show(boss, name, json).await,
        FleetCommand::Destroy { names, consent, waiting, .. } => {
            machines::consented(*consent, &format!("destroy {}", names.join(", ")))?;
            let destroy = async |name: &str| machines::destroy(boss, name, *waiting, quiet).await;
            each(names, json, destroy).await
        }
        FleetCommand::Bind(options) => bindings::bind(boss, options, false, quiet).await,
        FleetCommand::Rebind(options) => bindings::bind(boss, options, true, quiet).await,
        FleetCommand::Unbind { place, .. } => bindings::unbind(boss, place, json).await,
        FleetCommand::Plan(options) => graph::plan(boss, options, screen).await,
        FleetCommand::Apply(options) => graph::apply(boss, options, screen, quiet).await,
        FleetCommand::Events(options) => events::events(boss, options).await,
        FleetCommand::Token(command) => tokens::token(boss, command, screen).await,
        FleetCommand::Quarantine { names, why, .. } => {
            let quarantine =
                async |name: &str| machines::quarantine(boss, name, why.as_deref()).await;
            each(names, json, quarantine).await
        }
        FleetCommand::Release { names, .. } => {
            each(names, json, async |name: &str| machines::release(boss, name).await).await
        }
        // They are done.
        FleetCommand::Svc(_) | FleetCommand::Backup { .. } | FleetCommand::Restore { .. } => Ok(()),
    }
}

/// A boss that can be asked.
struct Boss {
    client: Client,
    object: Ref,
    patience: Duration,
}

impl Boss {
    async fn open(choice: &BossChoice) -> anyhow::Result<Self> {
        let patience = choice.patience.timeout;
        let (path, missing) = match &choice.file {
            Some(path) => (path.clone(), None),
            None => {
                let state = StateDir::named(choice.state.clone())?;
                let directory = state.path().display();
                let what = format!("no boss runs in {directory}");
                let next = format!(
                    "start one with: hob boss --state {directory}; or name its capability with \
                     --file"
                );
                let missing = Failure::new(Exit::Unreachable, what).next(next);
                (state.path().join("boss.cap"), Some(missing))
            }
        };
        let opened = within(patience, async {
            let sturdyref = match (capfile::read(&path), missing) {
                (Err(error), Some(missing)) if error.is_missing() => return Err(missing.into()),
                (outcome, _) => outcome?,
            };
            let client = Client::start([&sturdyref].into_iter()).await?;
            match client.resolve(&sturdyref).await {
                Ok(object) => Ok((client, object)),
                Err(error) => {
                    client.end().await;
                    Err(error.context("the boss"))
                }
            }
        });
        let (client, object) = opened.await?;
        Ok(Self { client, object, patience })
    }

    /// What the boss answers to a message.
    async fn call(&self, method: &'static str, args: Vec<Value>) -> anyhow::Result<Value> {
        within(self.patience, self.ask(method, args)).await
    }

    /// The same, however long it takes.
    async fn ask(&self, method: &'static str, args: Vec<Value>) -> anyhow::Result<Value> {
        let mut message = vec![Value::symbol(method)];
        message.extend(args);
        self.client.call(&self.object, message).await.map_err(|error| {
            match error.downcast::<Broke>() {
                Ok(broke) => said(&broke).into(),
                Err(error) => error,
            }
        })
    }

    /// The same, if the answer is of that type.
    async fn typed<T: FromValue>(
        &self,
        method: &'static str,
        args: Vec<Value>,
    ) -> anyhow::Result<T> {
        let answer = self.call(method, args).await?;
        T::from_value(answer).with_context(|| format!("the boss's answer to {method}"))
    }
}

/// What the boss has said instead of an answer.
fn said(broke: &Broke) -> Failure {
    let error = Failure::new(broke.exit(), broke.why());
    match broke.exit() {
        Exit::NoSuchObject => error.next("hob fleet list, hob fleet token list"),
        _ => error,
    }
}

/// Does something to each of several machines, also when it fails with some of them.
async fn each(
    names: &[String],
    json: bool,
    work: impl AsyncFn(&str) -> anyhow::Result<Revoked>,
) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    let mut done = Vec::new();
    for name in names {
        match work(name).await {
            Ok(revoked) if json => done.push(shown::done(name, &revoked)),
            Ok(revoked) => say_revoked(&revoked)?,
            Err(error) => failed.push((name, error)),
        }
    }
    if json {
        output::json::print(json!({"machines": done}))?;
    }
    let (count, all) = (failed.len(), names.len());
    let whys: Vec<String> =
        failed.iter().map(|(name, error)| format!("{name}: {error:#}")).collect();
    match failed.into_iter().next() {
        None => Ok(()),
        // They have all the same code, or at least the first one's is true.
        Some((_, error)) if count == all => Err(error),
        Some(_) => {
            let what = format!("done for {} of {all}; {}", all - count, whys.join("; "));
            Err(Failure::new(Exit::Partial, what).next("hob fleet list").into())
        }
    }
}

/// Says what was taken back, and what stays valid all the same.
fn say_revoked(revoked: &Revoked) -> anyhow::Result<()> {
    for what in &revoked.revoked {
        output::line(&output::harmless(&format!("revoked {what}")))?;
    }
    for what in &revoked.stays {
        output::line(&output::harmless(&format!("stays valid: {what}")))?;
    }
    Ok(())
}

/// The same, as JSON if that is wanted.
fn tell_revoked(revoked: &Revoked, json: bool) -> anyhow::Result<()> {
    if json { output::json::print(shown::revoked(revoked)) } else { say_revoked(revoked) }
}

#[cfg(test)]
mod tests;
