//! `cell`: holds one value.

use ocapn::{Args, Behaviour, Fault, Reply, Turn, Value};

use super::arguments::{Call, unknown};

/// Holds one value, nothing at first.
#[derive(Default)]
pub(crate) struct Cell(pub(crate) Value);

impl Behaviour for Cell {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let (method, mut call) = Call::method("cell", args)?;
        match method.as_str() {
            "get" => {
                call.end()?;
                Ok(self.0.clone().into())
            }
            "set" => {
                let value = call.required("value")?;
                call.end()?;
                Ok(Reply::becomes(Self(value)))
            }
            _ => Err(unknown("cell", &method, "get, set v")),
        }
    }
}
