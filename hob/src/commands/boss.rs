//! `hob boss`.

use crate::cli::ServeOptions;
use crate::fleet::Boss;
use crate::serve::Serving;

pub(crate) async fn boss(options: &ServeOptions) -> anyhow::Result<()> {
    let mut serving = Serving::start(options).await?;
    let boss = serving.vat.spawn(Boss::new(serving.node.clone()));
    serving.publish(&boss, "boss.cap")?;
    serving.announce(None)?;
    serving.until_stopped().await
}
