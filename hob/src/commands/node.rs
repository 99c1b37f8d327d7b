//! `hob node`.

use crate::cli::ServeOptions;
use crate::serve::{Serving, StopSignals};

pub(crate) async fn node(options: &ServeOptions) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen()?.or_stdin(options.stop_with_stdin);
    let mut serving = Serving::start(options).await?;
    serving.announce()?;
    serving.until_stopped(&mut signals, async {}).await
}
