//! The desk: where a machine reports to its boss, and learns what it is to be like.

use std::collections::BTreeMap;

use ocapn::actors::Refusal;
use ocapn::{Fault, Passable, Ref, Sturdyref, Turn, object};

use super::machine::MachineRef;
use super::record::{Record, State};
use super::{Fleet, Moment};

/// A machine's desk at its boss. The machine alone has its sturdyref.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) fleet: Fleet,
    pub(crate) machine: MachineRef,
}

/// What a machine says of itself.
#[derive(Clone, Debug, Default, PartialEq, Passable)]
#[passable(default)]
pub(crate) struct Report {
    /// The generation of its desired state that it holds, and the digest of that.
    #[passable(default)]
    pub(crate) generation: u64,
    pub(crate) digest: Option<String>,
    /// The generation that it tries, its digest, and which trial it is.
    pub(crate) trying: Option<(u64, String, u64)>,
    /// The generation that it went back from, and why.
    pub(crate) refused: Option<String>,
    /// Why it could not look, or not go back.
    pub(crate) trouble: Option<String>,
    /// In what it differs from that, a line each.
    #[passable(default)]
    pub(crate) drift: Vec<String>,
    /// What is bound there.
    #[passable(default)]
    pub(crate) bindings: Vec<String>,
    /// In what state its services are, by each of their names.
    #[passable(default)]
    pub(crate) services: BTreeMap<String, String>,
    /// Its version of hob.
    #[passable(default)]
    pub(crate) version: String,
    /// What it found to be so: JSON.
    #[passable(default)]
    pub(crate) facts: String,
}

/// What a machine hears when it has reported.
#[derive(Clone, Copy, Debug, PartialEq, Passable)]
pub(crate) struct Heard {
    /// The generation that it is to have.
    pub(crate) generation: u64,
    /// Whether what it tries is that: it is reached with it, and may keep it.
    pub(crate) confirms: bool,
}

/// What a machine is to be like.
#[derive(Clone, Debug, PartialEq, Passable)]
pub(crate) struct Desired {
    pub(crate) name: String,
    pub(crate) generation: u64,
    /// JSON; nothing if nothing is wanted of it.
    pub(crate) state: Option<String>,
}

impl Desk {
    pub(crate) fn new(fleet: Fleet, machine: &Ref) -> Self {
        Self { fleet, machine: MachineRef::from_ref(machine.clone()) }
    }

    /// The machine's record, if this is its desk still, and it is to be dealt with.
    fn record(&self, turn: &mut Turn<'_>) -> Result<Record, Fault> {
        let record = self.machine.call(turn).record()?;
        let me = turn.me();
        if record.desk.as_ref().is_none_or(|desk| *desk.untyped() != me) {
            let why =
                format!("this was {}'s desk: it has another key now, or is gone", record.name);
            return Err(Refusal::Revoked.fault(&why));
        }
        if record.state == State::Quarantined {
            return Err(format!("{} is quarantined", record.name).into());
        }
        Ok(record)
    }
}

#[object(reference = pub(crate) DeskRef)]
impl Desk {
    /// The machine is there and says how it is. Gives the generation of what it is to be
    /// like, and whether that is what it tries.
    #[method]
    fn report(&self, turn: &mut Turn<'_>, report: Report) -> Result<Heard, Fault> {
        let record = self.record(turn)?;
        let confirms = report.trying.as_ref().is_some_and(|(generation, digest, _)| {
            *generation == record.generation && Some(digest) == record.digest.as_ref()
        });
        let before = self.fleet.health(&record.name).map(|(_, report)| report.services);
        if before.as_ref() != Some(&report.services) {
            // What requires them may be had now.
            self.fleet.wake_after(turn);
        }
        self.fleet.seen(&record.name, Moment::now(), report);
        Ok(Heard { generation: record.generation, confirms })
    }

    /// What the machine is to be like.
    #[method]
    fn desired(&self, turn: &mut Turn<'_>) -> Result<Desired, Fault> {
        let record = self.record(turn)?;
        let (generation, state) = (record.generation, record.desired);
        Ok(Desired { name: record.name, generation, state })
    }

    /// The machine is reached elsewhere.
    #[method]
    fn moved(&self, turn: &mut Turn<'_>, client: Sturdyref) -> Result<(), Fault> {
        self.record(turn)?;
        self.machine.call(turn).moved(client)
    }
}
