//! The services of a machine, through the boss: what `hob svc` is on the machine itself.

use anyhow::Context as _;
use ocapn::{FromValue as _, Ref, Value};

use super::Boss;
use crate::cli::fleet::FleetSvc;
use crate::client::within;
use crate::services::svc_on;

pub(super) async fn svc(boss: Boss, options: &FleetSvc) -> anyhow::Result<()> {
    let FleetSvc { machine, command, common } = options;
    let common = &common.0;
    let found = services(&boss, machine).await;
    let Boss { client, patience, .. } = boss;
    match found {
        Ok(services) => svc_on(client, services, command, common.form.json, patience).await,
        Err(error) => {
            client.end().await;
            Err(error)
        }
    }
}

async fn services(boss: &Boss, machine: &str) -> anyhow::Result<Ref> {
    let server: Ref = boss.typed("get-machine", vec![machine.into()]).await?;
    let message = vec![Value::symbol("services")];
    let answer = within(boss.patience, boss.client.call(&server, message)).await?;
    Ref::from_value(answer).context("the machine's answer to services")
}
