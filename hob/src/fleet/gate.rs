//! What is granted together with a service: to be used while that runs.

use ocapn::{
    Answer, Args, Behaviour, ErrorValue, Fault, Passable, Ref, Reply, Turn, Value, object,
};

use super::Fleet;
use super::standing::Requirement;

/// Lets through what is meant for an object while a service runs.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) fleet: Fleet,
    pub(crate) kept: Guarded,
}

/// What is stored of a gate.
#[derive(Clone, Passable)]
pub(crate) struct Guarded {
    pub(crate) requirement: Requirement,
    pub(crate) object: Ref,
}

/// That something can't be used now, in a form that programs can tell.
pub(crate) fn unavailable(text: String) -> Fault {
    let fields = vec![Value::symbol("unavailable")];
    Value::Error(Box::new(ErrorValue { message: text.into(), fields, label: None })).into()
}

impl Behaviour for Gate {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        match self.fleet.unavailable(&self.kept.requirement) {
            Some(why) => Err(unavailable(why)),
            None => turn.call(&self.kept.object, args).map(Reply::value),
        }
    }
}

/// Tells whoever was granted something how the service is that it requires.
#[derive(Clone)]
pub(crate) struct Vigil {
    pub(crate) fleet: Fleet,
    pub(crate) kept: Watched,
}

/// What is stored of a vigil.
#[derive(Clone, Passable)]
pub(crate) struct Watched {
    /// That of the grant.
    pub(crate) id: String,
    pub(crate) requirement: Requirement,
}

#[object(reference = pub(crate) VigilRef)]
impl Vigil {
    /// Why what was granted can't be used, if it can't: as soon as that is something else
    /// than what is known.
    #[method]
    fn wait(&self, turn: &mut Turn<'_>, known: Option<String>) -> Answer<Option<String>> {
        let Watched { id, requirement } = self.kept.clone();
        // Before it is looked at, so that no change falls in between.
        let changed = self.fleet.standing.when_changed(&id, &requirement.service);
        let now = self.fleet.unavailable(&requirement);
        if now != known {
            return Answer::ready(now);
        }
        let fleet = self.fleet.clone();
        let changed: Answer<()> = changed.into();
        changed.on_promise(turn, move |_turn, changed| {
            changed?;
            Ok(fleet.unavailable(&requirement))
        })
    }
}
