//! The boss between two who need not reach each other: an operator, and a machine's
//! services.

use ocapn::{Args, Behaviour, Fault, Ref, Reply, Turn, Value, Vat};

use super::hob_server::HobServerRef;

/// Passes on what it is sent. For references that are passed with it, or answered, it has
/// others like itself stand, so that nobody is asked to dial anybody.
pub(crate) struct Relay {
    to: To,
    /// Where the others live. They end with the process.
    live: Vat,
}

/// Whom it passes messages on to.
enum To {
    /// The services of a machine, as they are found anew for each message: it may have
    /// been restarted, or cut off.
    Services(HobServerRef),
    Object(Ref),
}

impl Relay {
    /// What stands for the services of a machine.
    pub(super) fn to_services(server: HobServerRef, live: &Vat) -> Ref {
        live.spawn(Self { to: To::Services(server), live: live.clone() })
    }
}

/// What stands for a reference; other values stand for themselves.
fn instead(value: Value, live: &Vat) -> Value {
    match value {
        Value::Ref(object) => {
            live.spawn(Relay { to: To::Object(object), live: live.clone() }).into()
        }
        other => other,
    }
}

impl Behaviour for Relay {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let target = match &self.to {
            To::Services(server) => server.send(turn).tended().into(),
            To::Object(object) => object.clone(),
        };
        let args = args.into_iter().map(|arg| instead(arg, &self.live)).collect();
        let answer = turn.send(&target, args);
        let live = self.live.clone();
        let answer = turn.on_promise(answer, move |_turn, answer| Ok(instead(answer?, &live)));
        Ok(Value::from(answer).into())
    }
}
