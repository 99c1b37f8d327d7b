//! `hob node`.

use crate::cli::ServeOptions;
use crate::serve::Serving;

pub(crate) async fn node(options: &ServeOptions) -> anyhow::Result<()> {
    let mut serving = Serving::start(options).await?;
    serving.announce(None)?;
    serving.until_stopped().await
}
