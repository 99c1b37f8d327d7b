//! The enrolment: what a machine's enrolment sturdyref names. It lets whoever holds it
//! register one hob-client presence, once.

use ocapn::actors::Refusal;
use ocapn::{Answer, Fault, Passable, Promise, Ref, Sturdyref, Turn, object};

use super::machine::{Kept, MachineRef};
use super::{Fleet, identity_of, short};

/// A machine's enrolment. Its sturdyref travels by ways that others may read later (user
/// data, a file), so it is worth nothing once it has been used: it names this object
/// until it expires, so that whoever tries it a second time is heard of.
#[derive(Clone)]
pub(crate) struct Enrolment {
    pub(crate) fleet: Fleet,
    pub(crate) kept: Unused,
}

/// What is stored of an enrolment.
#[derive(Clone, Passable)]
pub(crate) struct Unused {
    machine: MachineRef,
    name: String,
    id: String,
    /// Who has used it, and what they were given: for one who did not hear the answer.
    used: Option<(String, Sturdyref)>,
}

impl Enrolment {
    pub(crate) fn new(fleet: Fleet, machine: &Ref, id: &str, kept: &Kept) -> Self {
        let machine = MachineRef::from_ref(machine.clone());
        let (name, id) = (kept.record.name.clone(), id.to_owned());
        Self { fleet, kept: Unused { machine, name, id, used: None } }
    }

    /// Says no. The turn does not fail, so that the audit log keeps what it was told.
    fn refuse(&self, turn: &mut Turn<'_>, why: String) -> Result<Answer<Sturdyref>, Fault> {
        self.kept.machine.call(turn).intruder(why.clone())?;
        Ok(Promise::settled(Err(Refusal::UsedUp.fault(&why))).into())
    }
}

#[object(reference = pub(crate) EnrolmentRef)]
impl Enrolment {
    /// Registers a machine: its hob-client presence, and the sturdyref by which that is
    /// reached. Gives the sturdyref of the machine's desk at the boss.
    ///
    /// The caller is who the presence lives with, by what its netlayer has proven, and
    /// that must be whom the sturdyref names: from then on the machine is nobody else.
    #[method]
    fn register(
        &mut self,
        turn: &mut Turn<'_>,
        client: Ref,
        sturdyref: Sturdyref,
    ) -> Result<Answer<Sturdyref>, Fault> {
        let Unused { name, id, .. } = &self.kept;
        let Some(identity) = identity_of(self.fleet.node.session_of(&client).as_ref()) else {
            let why =
                format!("somebody who has not proven who they are tried enrolment {id} of {name}");
            return self.refuse(turn, why);
        };
        if identity != sturdyref.peer.designator {
            let why = format!(
                "{} tried enrolment {id} of {name} with a presence of {}",
                short(&identity),
                short(&sturdyref.peer.designator)
            );
            return self.refuse(turn, why);
        }
        match &self.kept.used {
            // It has not heard the answer: a crash, a cut. Nothing new is given.
            Some((by, desk)) if *by == identity => Ok(Answer::ready(desk.clone())),
            Some((by, _)) => {
                let why = format!(
                    "{} tried enrolment {id} of {name}, which {} has used already",
                    short(&identity),
                    short(by)
                );
                self.refuse(turn, why)
            }
            None => {
                let machine = self.kept.machine.clone();
                let desk =
                    machine.call(turn).registered(id.clone(), identity.clone(), sturdyref)?;
                self.kept.used = Some((identity, desk.clone()));
                Ok(Answer::ready(desk))
            }
        }
    }
}
