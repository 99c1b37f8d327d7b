//! Bindings between machines.

use std::time::Instant;

use anyhow::Context as _;
use ocapn::{IntoValue as _, Value};
use serde_json::json;

use super::shown::requires;
use super::{Boss, LOOK, tell_revoked};
use crate::cli::fleet::{Bind, Place};
use crate::exit::{Exit, Failure};
use crate::fleet::{Binding, Revoked, Shown};
use crate::output::progress::Progress;
use crate::output::{self, json};

/// Binds a name. One that stands for something else is left alone, unless it is to be
/// bound `anew`.
pub(super) async fn bind(
    boss: &Boss,
    options: &Bind,
    anew: bool,
    quiet: bool,
) -> anyhow::Result<()> {
    let Bind { place, from, attenuate, requires, waiting, .. } = options;
    match (bound(boss, place).await?, anew) {
        (None, true) => {
            let what = format!("nothing is bound as {place}");
            let next = format!("hob fleet bind {place} --from {from}");
            return Err(Failure::new(Exit::NoSuchObject, what).next(next).into());
        }
        (Some(there), false) if !is_that(&there, options) => {
            let what = format!("{place} is bound already, to {}", source(&there));
            let next = format!("hob fleet rebind {place} --from {from}");
            return Err(Failure::new(Exit::Failed, what).next(next).into());
        }
        _ => {}
    }
    let args = vec![
        place.machine.as_str().into(),
        place.name.as_str().into(),
        from.machine.as_str().into(),
        from.name.as_str().into(),
        attenuate.clone().into_value(),
        requires.clone().into_value(),
    ];
    boss.call("bind", args).await?;
    let mut progress = Progress::new(&place.to_string(), quiet);
    let deadline = Instant::now() + waiting.wait_for;
    loop {
        let there = bound(boss, place).await?.context("the binding has gone again")?;
        if there.live {
            drop(progress);
            return say(options, &there);
        }
        if !waiting.wait || Instant::now() >= deadline {
            drop(progress);
            let why = there.why.as_deref().unwrap_or("both machines must be there for it");
            let what = format!("{place} is not there yet: {why}");
            let next = format!("it comes by itself; hob fleet show {}", place.machine);
            return Err(Failure::new(Exit::Pending, what).next(next).into());
        }
        progress.step(there.why.as_deref().unwrap_or("waiting for both machines"));
        tokio::time::sleep(LOOK).await;
    }
}

fn is_that(there: &Binding, options: &Bind) -> bool {
    (&there.from, &there.other, &there.rules, &there.requires)
        == (&options.from.machine, &options.from.name, &options.attenuate, &options.requires)
}

/// Where something bound comes from, and by which rules.
fn source(binding: &Binding) -> String {
    let bar = if binding.rules.is_empty() { "" } else { " | " };
    let requires = requires(binding.requires.as_deref());
    format!("{}:{}{requires}{bar}{}", binding.from, binding.other, binding.rules)
}

fn say(options: &Bind, there: &Binding) -> anyhow::Result<()> {
    let Bind { place, .. } = options;
    if options.common.form.json {
        return json::print(json!({
            "machine": place.machine,
            "name": place.name,
            "from": there.from,
            "other": there.other,
            "rules": there.rules.to_string(),
            "requires": there.requires,
            "live": there.live,
        }));
    }
    output::line(&format!("● {place} = {}", source(there)))
}

async fn bound(boss: &Boss, place: &Place) -> anyhow::Result<Option<Binding>> {
    let machine: Shown = boss.typed("show", vec![place.machine.as_str().into()]).await?;
    Ok(machine.bindings.get(&place.name).cloned())
}

pub(super) async fn unbind(boss: &Boss, place: &Place, json: bool) -> anyhow::Result<()> {
    let args: Vec<Value> = vec![place.machine.as_str().into(), place.name.as_str().into()];
    let revoked: Revoked = boss.typed("unbind", args).await?;
    tell_revoked(&revoked, json)
}
