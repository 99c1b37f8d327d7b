//! stub
pub(crate) async fn demo(_options: &crate::cli::Demo) -> anyhow::Result<()> {
    Ok(())
}
