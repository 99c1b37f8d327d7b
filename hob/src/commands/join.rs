//! `hob join`: a machine enrols, serves its bindings, and sees to its services.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::capfile;
use crate::cli::Join;
use crate::client::within;
use crate::exit::{BadUsage, Broke, Interrupted};
use crate::fleet::membership::{Membership, discard};
use crate::serve::{Serving, StopSignals};
use crate::services::Flock;

pub(crate) async fn join(options: &Join) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen()?.or_stdin(options.serve.stop_with_stdin);
    let mut serving = Serving::start(&options.serve).await?;
    // Before the enrolment is used up: what can fail here must not cost it.
    let client = Membership::client(&serving.fleet, &serving.kept)?;
    serving.publish(&client, "hob.cap")?;
    let source = services(options, &serving)?;
    let flock = Flock::open(&serving.node, serving.state(), &source, None).await?;
    let tended = serving.fleet.tend(&flock.shepherd, &flock.front, &flock.live);
    tended.await.map_err(Broke)?;
    let outcome = tokio::select! {
        outcome = membership(options, &serving) => outcome,
        _ = signals.wait() => Err(Interrupted.into()),
    };
    let membership = match outcome {
        Ok(membership) => membership,
        Err(error) => {
            // Of its services nothing was begun.
            flock.end(true).await;
            serving.end().await;
            return Err(error);
        }
    };
    flock.define_anew().await;
    serving.fleet.look_at_services().await.map_err(Broke)?;
    let tending = flock.tend();
    serving.publish(&flock.front, "herd.cap")?;
    serving.announce()?;
    let state = serving.state().to_owned();
    let services = flock.source().to_owned();
    let work = async {
        tokio::join!(membership.run(&state, &services), tending);
    };
    serving.until_told(&mut signals, work).await;
    flock.end(false).await;
    serving.end().await;
    Ok(())
}

/// Where the services of this machine are defined.
fn services(options: &Join, serving: &Serving) -> anyhow::Result<PathBuf> {
    if let Some(path) = &options.services {
        return Ok(path.clone());
    }
    let path = serving.state().join("services");
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
    made.with_context(|| path.display().to_string())?;
    Ok(path)
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
