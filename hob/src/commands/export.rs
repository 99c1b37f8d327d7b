//! `hob export` and `hob revoke`: the running node's admin object does the work.

use anyhow::bail;
use ocapn::{Ref, Value};

use crate::cli::{Export, NodeChoice, Revoke};
use crate::client::{Client, within};
use crate::exit::{BadUsage, Broke};
use crate::state::StateDir;
use crate::{capfile, output};

pub(crate) async fn export(options: &Export) -> anyhow::Result<()> {
    // Before anything is exported that nobody could then name.
    capfile::check_writable(&options.output)?;
    let mut args = vec![
        Value::symbol("export"),
        options.name.as_str().into(),
        Value::symbol(options.kind.name()),
    ];
    args.extend(options.transport.as_deref().map(Value::from));
    let Value::Sturdyref(sturdyref) = ask(&options.node, args).await? else {
        bail!("the node's admin object gave no sturdyref");
    };
    capfile::write(&options.output, &sturdyref)
        .map_err(anyhow::Error::from)
        .map_err(|error| error.context("exported, but its capability is not written"))
}

pub(crate) async fn revoke(options: &Revoke) -> anyhow::Result<()> {
    let args = vec![Value::symbol("revoke"), options.name.as_str().into()];
    match ask(&options.node, args).await? {
        Value::Bool(true) => output::line(&format!(
            "revoked {}; whoever is connected and has it already keeps it until then",
            options.name
        )),
        _ => Err(crate::exit::NotExported(options.name.clone()).into()),
    }
}

/// Asks the node's admin object.
async fn ask(choice: &NodeChoice, args: Vec<Value>) -> anyhow::Result<Value> {
    let state = StateDir::named(choice.state.clone())?;
    within(choice.timeout, async {
        let (client, admin) = Client::of_node(&state).await?;
        let answer = answer(&client, &admin, args).await;
        client.end().await;
        answer
    })
    .await
}

async fn answer(client: &Client, admin: &Ref, args: Vec<Value>) -> anyhow::Result<Value> {
    let answer = client.call(admin, args).await;
    // The arguments are the user's own, so what the admin object minds are those.
    answer.map_err(|error| match error.downcast::<Broke>() {
        Ok(broke) => BadUsage(broke.why()).into(),
        Err(error) => error,
    })
}
