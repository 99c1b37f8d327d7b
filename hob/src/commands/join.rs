//! `hob join`: a machine enrols, and serves its bindings.

use anyhow::Context as _;
use ocapn::{DialError, EnlivenError, Ref, Sturdyref, Value};

use crate::capfile;
use crate::cli::Join;
use crate::client::within;
use crate::exit::{BadUsage, Broke, Interrupted};
use crate::fleet::{HobClient, LOG, short};
use crate::serve::{Serving, StopSignals};

pub(crate) async fn join(options: &Join) -> anyhow::Result<()> {
    let enrolment = capfile::read(&options.enrol)?;
    let mut signals = StopSignals::listen()?.or_stdin(options.serve.stop_with_stdin);
    let mut serving = Serving::start(&options.serve).await?;
    let client = serving.vat.spawn(HobClient::default());
    // Before the enrolment is used up: what can fail here must not cost it.
    serving.publish(&client, "hob.cap")?;
    let registered = tokio::select! {
        outcome = within(options.timeout, register(&serving, &enrolment, &client)) => outcome,
        _ = signals.wait() => Err(Interrupted.into()),
    };
    let facet = match registered {
        Ok(facet) => facet,
        Err(error) => {
            serving.end().await;
            return Err(error);
        }
    };
    serving.announce(Some(client))?;
    let node = serving.node.clone();
    let watching = async move {
        if let Some(end) = node.on_sever(&facet).await {
            tracing::warn!("the session with the boss has ended: {end}");
        }
    };
    serving.until_stopped(&mut signals, watching).await
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
    registered.await.map_err(Broke).context("the boss refuses the registration")?;
    tracing::info!(target: LOG, "registered with the boss");
    Ok(facet)
}
