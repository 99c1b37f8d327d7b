//! `hob boss`.

use std::collections::BTreeMap;

use ocapn::Value;

use crate::cli::ServeOptions;
use crate::fleet::reconcile::{Providers, Reconciler};
use crate::fleet::{Boss, BossRef};
use crate::providers::FleetId;
use crate::serve::{Serving, StopSignals};

pub(crate) async fn boss(options: &ServeOptions) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen()?.or_stdin(options.stop_with_stdin);
    let mut serving = Serving::start(options).await?;
    let id = fleet_id(&serving)?;
    let audit = serving.kept.root_or_spawn("audit", || serving.fleet.audit())?;
    let boss =
        serving.kept.root_or_spawn("boss", || Boss::new(serving.fleet.clone(), &id, audit))?;
    serving.node.durable().await?;
    serving.publish(&boss, "boss.cap")?;
    serving.announce()?;
    let providers: Providers = BTreeMap::new();
    let boss = BossRef::from_ref(boss);
    let reconciler = Reconciler::new(serving.fleet.clone(), boss, id, providers);
    serving.until_stopped(&mut signals, reconciler.run()).await
}

/// The mark of this boss's machines, made once.
fn fleet_id(serving: &Serving) -> anyhow::Result<FleetId> {
    if let Some(Value::String(id)) = serving.kept.root_value("fleet-id")? {
        return Ok(id.parse()?);
    }
    let id = FleetId::random()?;
    serving.kept.set_root("fleet-id", Value::string(id.as_str()))?;
    Ok(id)
}
