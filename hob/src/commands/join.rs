//! `hob join`: a machine enrols, and serves its bindings.

use anyhow::Context as _;
use ocapn::{DialError, EnlivenError, Ref, Sturdyref, Value};

use crate::capfile;
use crate::cli::Join;
use crate::client::within;
use crate::exit::{BadUsage, Broke};
use crate::fleet::{HobClient, LOG, short};
use crate::serve::Serving;

pub(crate) async fn join(options: &Join) -> anyhow::Result<()> {
    let enrolment = capfile::read(&options.enrol)?;
    let mut serving = Serving::start(&options.serve).await?;
    let client = serving.vat.spawn(HobClient::default());
    let registered = within(options.timeout, register(&serving, &enrolment, &client));
    let facet = match registered.await {
        Ok(facet) => facet,
        Err(error) => {
            serving.end().await;
            return Err(error);
        }
    };
    serving.publish(&client, "hob.cap")?;
    serving.announce(Some(client))?;
    let node = serving.node.clone();
    let watching = tokio::spawn(async move {
        if let Some(end) = node.on_sever(&facet).await {
            tracing::warn!("the session with the boss has ended: {end}");
        }
    });
    let outcome = serving.until_stopped().await;
    watching.abort();
    outcome
}

/// Registers the hob-client presence; gives the enrolment, which it has used up.
async fn register(serving: &Serving, enrolment: &Sturdyref, client: &Ref) -> anyhow::Result<Ref> {
    let facet = match serving.node.resolve(enrolment).await {
        Err(EnlivenError::Dial(DialError::NoNetlayer(transport))) => {
            let why = format!(
                "the enrolment is by {transport}, so this machine needs a --listen of that kind"
            );
            return Err(BadUsage(why).into());
        }
        outcome => outcome.context("the enrolment")?,
    };
    let peer = &enrolment.peer;
    tracing::info!(
        target: LOG,
        "enlivened the enrolment over {}: the boss is {}, proven",
        peer.transport,
        short(&peer.designator)
    );
    tracing::info!(target: LOG, "spawned the hob-client presence of this machine");
    let registered = facet.send(vec![Value::symbol("register"), client.into()]);
    registered
        .await
        .map_err(Broke)
        .context("the boss refuses the registration")?;
    tracing::info!(target: LOG, "registered with the boss");
    Ok(facet)
}
