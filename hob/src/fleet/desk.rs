//! The desk: where a machine reports to its boss, and learns what it is to be like.

use ocapn::{Fault, Passable, Ref, Sturdyref, Turn, object};

use super::machine::{MachineRef, State};
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
    /// The generation of its desired state that it has come to.
    #[passable(default)]
    pub(crate) generation: u64,
    /// In what it differs from that, a line each.
    #[passable(default)]
    pub(crate) drift: Vec<String>,
    /// What is bound there.
    #[passable(default)]
    pub(crate) bindings: Vec<String>,
    /// Its version of hob.
    #[passable(default)]
    pub(crate) version: String,
    /// What it found to be so: JSON.
    #[passable(default)]
    pub(crate) facts: String,
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
}

#[object(reference = pub(crate) DeskRef)]
impl Desk {
    /// The machine is there and says how it is. Gives the generation of what it is to be
    /// like.
    #[method]
    fn report(&self, turn: &mut Turn<'_>, report: Report) -> Result<u64, Fault> {
        let record = self.machine.call(turn).record()?;
        if record.state == State::Quarantined {
            return Err(format!("{} is quarantined", record.name).into());
        }
        self.fleet.seen(&record.name, Moment::now(), report);
        Ok(record.generation)
    }

    /// What the machine is to be like.
    #[method]
    fn desired(&self, turn: &mut Turn<'_>) -> Result<Desired, Fault> {
        let record = self.machine.call(turn).record()?;
        if record.state == State::Quarantined {
            return Err(format!("{} is quarantined", record.name).into());
        }
        let (generation, state) = (record.generation, record.desired);
        Ok(Desired { name: record.name, generation, state })
    }

    /// The machine is reached elsewhere.
    #[method]
    fn moved(&self, turn: &mut Turn<'_>, client: Sturdyref) -> Result<(), Fault> {
        self.machine.call(turn).moved(client)
    }
}
