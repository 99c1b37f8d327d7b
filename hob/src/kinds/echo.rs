//! `echo`: answers with its arguments.

use ocapn::{Args, Behaviour, Fault, Reply, Turn, Value};

pub(super) struct Echo;

impl Behaviour for Echo {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        Ok(Value::List(args).into())
    }
}
