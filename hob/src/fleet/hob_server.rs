//! The hob-server presence: stands for a machine at its boss.

use std::sync::Arc;

use ocapn::{Args, Behaviour, Fault, Ref, Reply, Turn, Value};

use crate::kinds::{Call, unknown};

const METHODS: &str = "register-binding name value, list-bindings, get-binding name";

/// A hob-server presence: active if its client is known, else pending. The choice is
/// made by the argument alone, so that one that is made anew from its arguments is as
/// it was.
pub(super) fn hob_server(machine: &str, client: Option<Ref>) -> Arc<dyn Behaviour> {
    let machine = machine.into();
    match client {
        Some(client) => Arc::new(Active { machine, client }),
        None => Arc::new(Pending { machine }),
    }
}

/// The machine is not there yet: only it may speak, and only to say that it is.
struct Pending {
    machine: Arc<str>,
}

impl Behaviour for Pending {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let (method, mut call) = Call::method("hob-server", args)?;
        if method != "register" {
            let machine = &self.machine;
            return Err(call.fault(format_args!("{machine} is pending: it has not registered yet")));
        }
        let client: Ref = call.required("client")?;
        call.end()?;
        let active = hob_server(&self.machine, Some(client));
        Ok(Reply::become_shared(active, Value::Undefined))
    }
}

/// The machine is there: what is asked of it is passed through.
struct Active {
    machine: Arc<str>,
    client: Ref,
}

impl Behaviour for Active {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        match args.first().and_then(Value::as_symbol) {
            Some("register-binding" | "list-bindings" | "get-binding") => {
                Ok(turn.send(&self.client, args).into())
            }
            Some("register") => Err(format!("{} has registered already", self.machine).into()),
            _ => {
                let (method, _) = Call::method("hob-server", args)?;
                Err(unknown("hob-server", &method, METHODS))
            }
        }
    }
}
