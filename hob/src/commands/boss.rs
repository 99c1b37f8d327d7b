//! `hob boss`.

use crate::cli::ServeOptions;
use crate::fleet::Boss;
use crate::serve::{Serving, StopSignals};

pub(crate) async fn boss(options: &ServeOptions) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen()?.or_stdin(options.stop_with_stdin);
    let mut serving = Serving::start(options).await?;
    let boss = serving.vat.spawn(Boss::new(serving.node.clone()));
    serving.publish(&boss, "boss.cap")?;
    serving.announce(None)?;
    serving.until_stopped(&mut signals, async {}).await
}
