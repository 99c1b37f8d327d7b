//! The machine's hands: registers with its boss, keeps in touch, and does what it is
//! told to be like.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use ocapn::{DialError, EnlivenError, Node, PeerLocator, Ref, Sturdyref, Value, Vat};

use super::agent::Agent;
use super::desk::DeskRef;
use super::enrolment::EnrolmentRef;
use super::hob_client::HobClientRef;
use super::{Fleet, LOG, short};
use crate::exit::{BadUsage, Broke, Exit, Severed};
use crate::{capfile, exit};

/// How long a machine waits at most before it tries again.
const EVERY: Duration = Duration::from_secs(10);

/// How soon a machine tries again to register, at first.
const AGAIN: Duration = Duration::from_millis(250);

/// What a machine is of a fleet, once it has registered.
pub(crate) struct Membership {
    fleet: Fleet,
    vat: Vat,
    pub(crate) client: HobClientRef,
    desk: DeskRef,
}

impl Membership {
    /// What the state directory knows of a fleet that this machine has joined.
    pub(crate) fn known(fleet: &Fleet, vat: &Vat) -> anyhow::Result<Option<Self>> {
        let (Some(client), Some(Value::Ref(desk))) = (vat.root("hob")?, vat.root_value("desk")?)
        else {
            return Ok(None);
        };
        let (client, desk) = (HobClientRef::from_ref(client), DeskRef::from_ref(desk));
        Ok(Some(Self { fleet: fleet.clone(), vat: vat.clone(), client, desk }))
    }

    /// The machine's hob-client presence, made if there is none.
    pub(crate) fn client(fleet: &Fleet, vat: &Vat) -> anyhow::Result<Ref> {
        Ok(fleet.machinery(vat)?.client.clone())
    }

    /// Registers with an enrolment, and tries again for as long as the boss can't be
    /// reached: it may be starting.
    pub(crate) async fn join(
        fleet: &Fleet,
        vat: &Vat,
        enrolment: &Sturdyref,
    ) -> anyhow::Result<Self> {
        let mut pause = AGAIN;
        loop {
            match Self::register(fleet, vat, enrolment).await {
                Err(error) if exit::code(&error) == Exit::Unreachable => {
                    tracing::warn!(target: LOG, "not registered yet: {error:#}; again in {pause:?}");
                }
                outcome => return outcome,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(EVERY);
        }
    }

    /// Registers with an enrolment. Done again after a crash, it has the same outcome.
    pub(crate) async fn register(
        fleet: &Fleet,
        vat: &Vat,
        enrolment: &Sturdyref,
    ) -> anyhow::Result<Self> {
        let client = Self::client(fleet, vat)?;
        let node = &fleet.node;
        let facet = enliven(node, enrolment).await?;
        let peer = &enrolment.peer;
        tracing::info!(
            target: LOG,
            "enlivened the enrolment over {}: the boss is {}, proven",
            peer.transport,
            short(&peer.designator)
        );
        let own = node.mint_for(&client, &peer.transport)?;
        let location = own.peer.to_string();
        // The boss is to hear of nothing that a crash here would undo.
        node.durable().await?;
        tracing::info!(target: LOG, "spawned the hob-client presence of this machine");
        let answer = EnrolmentRef::from_ref(facet.clone()).register(client.clone(), own).await;
        let desk = match answer {
            Ok(desk) => desk,
            Err(fault) if node.session_of(&facet).is_none() => return Err(Severed(fault).into()),
            Err(fault) => {
                return Err(
                    anyhow::Error::from(Broke(fault)).context("the boss refuses the registration")
                );
            }
        };
        if desk.peer.designator != peer.designator {
            return Err(exit::Mismatch("the boss named somebody else's desk".to_owned()).into());
        }
        let run = fleet.clone();
        let desk = vat.run(move |turn| Ok(run.kept_up(turn, desk))).await.map_err(Broke)?;
        vat.set_root("location", Value::string(&location))?;
        vat.set_root("desk", Value::from(&desk))?;
        node.durable().await?;
        tracing::info!(target: LOG, "registered with the boss");
        let client = HobClientRef::from_ref(client);
        let (fleet, vat) = (fleet.clone(), vat.clone());
        Ok(Self { fleet, vat, client, desk: DeskRef::from_ref(desk) })
    }

    /// Tells the boss if this machine is reached elsewhere than it was.
    async fn moved(&self) -> anyhow::Result<()> {
        let Some(Value::String(known)) = self.vat.root_value("location")? else { return Ok(()) };
        let known: PeerLocator = known.parse()?;
        let mut now = self.fleet.node.locations().into_iter();
        let Some(now) = now.find(|now| now.transport == known.transport) else {
            anyhow::bail!("the fleet knows this machine by {}: --listen so", known.transport);
        };
        if now != known {
            let client = self.fleet.node.mint_for(self.client.untyped(), &known.transport)?;
            self.desk.moved(client).await.map_err(Broke)?;
            self.vat.set_root("location", Value::string(now.to_string()))?;
            tracing::info!(target: LOG, "told the boss that this machine is at {now} now");
        }
        Ok(())
    }

    /// Keeps in touch with the boss and does what it wants, for ever. `state` is the
    /// machine's state directory, and `services` where its services are defined.
    pub(crate) async fn run(self, state: &Path, services: &Path) {
        let agent = Agent::open(&self.fleet, &self.client, &self.desk, state, services);
        let agent = match agent {
            Ok(agent) => agent,
            Err(error) => {
                tracing::error!("this machine can't be made as its boss wants it: {error:#}");
                return std::future::pending().await;
            }
        };
        self.client.attend_all().ignore();
        if let Ok(wrappers) = self.fleet.wrappers() {
            wrappers.send_only(vec![Value::symbol("start")]);
        }
        tokio::join!(self.keep_moving(), agent.run());
    }

    /// Tells the boss where this machine is, until it knows.
    async fn keep_moving(&self) {
        let mut pause = AGAIN;
        while let Err(error) = self.moved().await {
            tracing::warn!(target: LOG, "the boss may not know where this machine is: {error:#}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(EVERY);
        }
    }
}

/// The enrolment's object.
async fn enliven(node: &Node, enrolment: &Sturdyref) -> anyhow::Result<Ref> {
    match node.resolve(enrolment).await {
        Err(EnlivenError::Dial(DialError::NoNetlayer(transport))) => {
            let why = format!(
                "the enrolment is by {transport}, so this machine needs a --listen of that kind"
            );
            Err(BadUsage(why).into())
        }
        outcome => outcome.context("the enrolment"),
    }
}

/// Forgets an enrolment that has been used: it is worth nothing, and is nobody's to keep.
pub(crate) fn discard(path: &Path) {
    if path != Path::new("-") && capfile::read(path).is_ok() {
        match std::fs::remove_file(path) {
            Ok(()) => tracing::info!(target: LOG, "removed {}: it has been used", path.display()),
            Err(error) => tracing::warn!(%error, "can't remove {}", path.display()),
        }
    }
}
