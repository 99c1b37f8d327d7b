//! `relay`: passes on to somebody here what another machine says, with that machine's name
//! before each line. They can't be reached from there, and need not be.

use ocapn::persist::RestoreError;
use ocapn::{Args, Behaviour, Durable, Fault, Ref, Reply, Turn, Value};

/// Passes on what a [`Writer`](super::writer::Writer) is told.
pub(crate) struct Relay {
    /// Nobody any more after a restart: whom it was for is gone.
    to: Option<Ref>,
    machine: Option<String>,
}

impl Relay {
    /// One that puts the machine's name before lines about what is done. What services
    /// have said is passed on as it is.
    pub(crate) fn new(to: Ref, machine: Option<String>) -> Self {
        Self { to: Some(to), machine }
    }
}

impl Behaviour for Relay {
    fn receive(&self, turn: &mut Turn<'_>, mut args: Args) -> Result<Reply, Fault> {
        let to = self.to.as_ref().ok_or("nobody listens any more")?;
        if let (Some(Value::Symbol(method)), Some(machine)) = (args.first(), &self.machine)
            && method == "line"
            && let Some(Value::String(text)) = args.get_mut(1)
        {
            *text = format!("{machine}: {text}").into();
        }
        Ok(Reply::value(turn.send(to, args)))
    }
}

impl Durable for Relay {
    fn portray(&self) -> Value {
        Value::Undefined
    }

    fn restore(_portrait: Value) -> Result<Self, RestoreError> {
        Ok(Self { to: None, machine: None })
    }
}
