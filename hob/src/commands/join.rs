//! `hob join`: a machine enrols, and serves its bindings.

use crate::capfile;
use crate::cli::Join;
use crate::client::within;
use crate::exit::{BadUsage, Interrupted};
use crate::fleet::membership::{Membership, discard};
use crate::serve::{Serving, StopSignals};

pub(crate) async fn join(options: &Join) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen()?.or_stdin(options.serve.stop_with_stdin);
    let mut serving = Serving::start(&options.serve).await?;
    // Before the enrolment is used up: what can fail here must not cost it.
    let client = Membership::client(&serving.fleet, &serving.kept)?;
    serving.publish(&client, "hob.cap")?;
    let outcome = tokio::select! {
        outcome = membership(options, &serving) => outcome,
        _ = signals.wait() => Err(Interrupted.into()),
    };
    let membership = match outcome {
        Ok(membership) => membership,
        Err(error) => {
            serving.end().await;
            return Err(error);
        }
    };
    serving.announce()?;
    serving.until_stopped(&mut signals, membership.run()).await
}

/// What the machine is already, or what it becomes by its enrolment.
async fn membership(options: &Join, serving: &Serving) -> anyhow::Result<Membership> {
    let fleet = &serving.fleet;
    if let Some(known) = Membership::known(fleet, &serving.kept)? {
        tracing::info!("this machine has joined already");
        if let Some(path) = &options.enrol {
            discard(path);
        }
        return Ok(known);
    }
    let path = options.enrol.as_ref().ok_or_else(|| {
        BadUsage(
            "this machine has not joined a fleet yet: name its enrolment with --enrol".to_owned(),
        )
    })?;
    let enrolment = capfile::read(path)?;
    let registered = Membership::join(fleet, &serving.kept, &enrolment);
    let membership = within(options.timeout, registered).await?;
    discard(path);
    Ok(membership)
}
