//! What a service gives for a grant: the right to connect, until it is taken back.

use ocapn::persist::{Durable, RestoreError};
use ocapn::{Args, Behaviour, Fault, Ref, Reply, Turn, Value};

use crate::kinds::{Call, unknown};

/// `connect sink`: a connection of the service, on behalf of one grant. It says who it is
/// and the service, which lives in the same vat, says whether that still is somebody.
pub(crate) struct Granted {
    service: Ref,
    id: String,
}

impl Granted {
    pub(super) const fn new(service: Ref, id: String) -> Self {
        Self { service, id }
    }
}

impl Durable for Granted {
    fn portray(&self) -> Value {
        Value::List(vec![(&self.service).into(), self.id.as_str().into()])
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let Value::List(parts) = portrait else { return Err(no_portrait()) };
        match <[Value; 2]>::try_from(parts) {
            Ok([Value::Ref(service), Value::String(id)]) => Ok(Self::new(service, id.into())),
            _ => Err(no_portrait()),
        }
    }
}

fn no_portrait() -> RestoreError {
    RestoreError::new("what was granted is a service and an id")
}

impl Behaviour for Granted {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let (method, mut call) = Call::method("granted", args)?;
        if method != "connect" {
            return Err(unknown("granted", &method, "connect sink"));
        }
        let sink: Ref = call.required("sink")?;
        call.end()?;
        let id = self.id.as_str().into();
        let connected =
            turn.call(&self.service, vec![Value::symbol("connect-as"), id, sink.into()])?;
        Ok(connected.into())
    }
}
