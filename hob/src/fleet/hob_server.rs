//! The hob-server presence: stands for a machine at its boss.

use ocapn::{Answer, Fault, Promise, Ref, Turn, Value, object};

use super::machine::{MachineRef, State};
use crate::kinds::Name;

/// A hob-server presence: active if its client is known, else pending. The choice is
/// made by what it is made from alone, so that one that is made anew is as it was.
#[derive(Clone, ocapn::Durable)]
pub(crate) struct HobServer {
    machine: MachineRef,
    name: String,
    /// The machine's hob-client presence.
    client: Option<Ref>,
}

impl HobServer {
    pub(crate) const fn new(name: String, machine: MachineRef) -> Self {
        Self { machine, name, client: None }
    }

    /// Passes a message on to the client.
    fn pass(
        &self,
        turn: &mut Turn<'_>,
        method: &'static str,
        args: Vec<Value>,
    ) -> Result<Promise, Fault> {
        let Some(client) = &self.client else {
            let why = match self.machine.call(turn).record()? {
                record if record.state == State::Pending => "it has not registered yet".to_owned(),
                record => record.why.unwrap_or_default(),
            };
            return Err(format!("{} is pending: {why}", self.name).into());
        };
        let mut message = vec![Value::symbol(method)];
        message.extend(args);
        Ok(turn.send(client, message))
    }
}

#[object(reference = pub(crate) HobServerRef)]
impl HobServer {
    /// Becomes what the machine's record says: active once the machine has registered.
    /// Harmless for whoever calls it.
    #[method]
    fn refresh(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let record = self.machine.call(turn).record()?;
        self.client = record.client.filter(|_| record.state == State::Active);
        Ok(())
    }

    /// Binds something to a name on the machine.
    #[method]
    fn register_binding(
        &self,
        turn: &mut Turn<'_>,
        name: Name,
        value: Value,
    ) -> Result<Answer<()>, Fault> {
        Ok(self.pass(turn, "register-binding", vec![name.0.into(), value])?.into())
    }

    /// The services of the machine, by way of the boss: whoever reaches that reaches them.
    #[method]
    fn services(&self, turn: &mut Turn<'_>) -> Result<Ref, Fault> {
        let me = HobServerRef::from_ref(turn.me());
        self.machine.call(turn).relay(me)
    }

    /// The services of the machine, themselves.
    #[method]
    fn tended(&self, turn: &mut Turn<'_>) -> Result<Answer<Ref>, Fault> {
        Ok(self.pass(turn, "services", vec![])?.into())
    }

    /// The names that are bound on the machine.
    #[method]
    fn list_bindings(&self, turn: &mut Turn<'_>) -> Result<Answer<Vec<String>>, Fault> {
        Ok(self.pass(turn, "list-bindings", vec![])?.into())
    }

    /// What is bound to a name on the machine.
    #[method]
    fn get_binding(&self, turn: &mut Turn<'_>, name: Name) -> Result<Answer<Value>, Fault> {
        Ok(self.pass(turn, "get-binding", vec![name.0.into()])?.into())
    }
}
