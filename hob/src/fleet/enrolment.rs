//! The enrolment: what a machine's enrolment sturdyref names. It lets whoever holds it
//! register one hob-client presence, once.

use ocapn::{Args, Behaviour, Fault, Node, Ref, Reply, SwissNum, Turn, Value};

use super::{LOG, fields, identity_of, short};
use crate::kinds::{Call, unknown};

/// A machine's enrolment, unused. Its sturdyref travels by ways that others may read
/// later (user data, a file), so it is worth nothing once it has been used.
pub(super) struct Enrolment {
    pub(super) node: Node,
    pub(super) machine: String,
    /// The machine's hob-server presence, near.
    pub(super) server: Ref,
    /// The boss's record of the machine, near.
    pub(super) record: Ref,
    /// The sturdyref's secret, to be revoked.
    pub(super) swiss: SwissNum,
}

impl Behaviour for Enrolment {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let (method, mut call) = Call::method("enrolment", args)?;
        if method != "register" {
            return Err(unknown("enrolment", &method, "register client"));
        }
        let client: Ref = call.required("client")?;
        call.end()?;
        let identity = identity_of(self.node.session_of(&client).as_ref());
        turn.call(&self.server, vec![Value::symbol("register"), (&client).into()])?;
        let shown = identity.as_deref().map_or("unproven".to_owned(), short);
        let record = fields([
            ("state", Value::symbol("active")),
            ("identity", identity.map_or(Value::Undefined, Value::from)),
        ]);
        turn.call(&self.record, vec![Value::symbol("set"), record])?;
        // Last, because it can't be undone if the turn fails.
        self.node.revoke(&self.swiss);
        let machine = &self.machine;
        tracing::info!(
            target: LOG,
            "{machine} has registered (identity {shown}): its hob-server presence became active"
        );
        tracing::info!(target: LOG, "revoked {machine}'s enrolment sturdyref: it has been used");
        Ok(Reply::becomes(Used(machine.clone())))
    }
}

/// An enrolment that has been used, for those who still hold it live.
struct Used(String);

impl Behaviour for Used {
    fn receive(&self, _turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
        tracing::warn!(target: LOG, "somebody tried {}'s enrolment a second time", self.0);
        Err(format!("this enrolment of {} has been used", self.0).into())
    }
}
