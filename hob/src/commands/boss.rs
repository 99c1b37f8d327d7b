//! `hob boss`.

use anyhow::Context as _;
use ocapn::Value;

use crate::cli::ServeOptions;
use crate::fleet::reconcile::Reconciler;
use crate::fleet::{Boss, BossRef};
use crate::providers::{FleetId, Providers};
use crate::serve::{Serving, StopSignals};

pub(crate) async fn boss(options: &ServeOptions) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen()?.or_stdin(options.stop_with_stdin);
    let program = std::env::current_exe().context("where this program is")?;
    let mut made = None;
    let mut serving = Serving::start_with(options, |state| {
        let state = state.join("providers");
        let set = &options.settings;
        let providers = Providers::from_config(set.provider_tables(), &state, &program)
            .map_err(|error| set.of_provider(&error))?;
        let names = providers.names().map(str::to_owned).collect();
        made = Some(providers);
        Ok(names)
    })
    .await?;
    let providers = made.context("there are no providers")?;
    let id = fleet_id(&serving)?;
    let audit = serving.kept.root_or_spawn("audit", || serving.fleet.audit())?;
    let boss =
        serving.kept.root_or_spawn("boss", || Boss::new(serving.fleet.clone(), &id, audit))?;
    serving.node.durable().await?;
    serving.publish(&boss, "boss.cap")?;
    serving.announce()?;
    let reconciler = Reconciler::new(serving.fleet.clone(), BossRef::from_ref(boss), id, providers);
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
