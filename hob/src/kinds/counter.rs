//! `counter`: a number that goes up.

use ocapn::persist::{Durable, RestoreError};
use ocapn::{Args, Behaviour, Fault, Reply, Turn, Value};

use super::arguments::{Call, unknown};

#[derive(Default)]
pub(super) struct Counter(i64);

impl Durable for Counter {
    fn portray(&self) -> Value {
        self.0.into()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let count = portrait.as_int().ok_or_else(|| RestoreError::new("a count is an integer"));
        count.map(Self)
    }
}

impl Behaviour for Counter {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let (method, mut call) = Call::method("counter", args)?;
        match method.as_str() {
            "increment" => {
                let by = call.optional("n")?.unwrap_or(1);
                let sum = self.0.checked_add(by);
                let sum = sum.ok_or_else(|| call.fault("the count would not fit 64 bits"))?;
                call.end()?;
                Ok(Reply::become_with(Self(sum), sum))
            }
            "value" => {
                call.end()?;
                Ok(self.0.into())
            }
            _ => Err(unknown("counter", &method, "increment [n], value")),
        }
    }
}
