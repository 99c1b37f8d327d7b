//! `greeter`: an object without methods that greets whom it is called with.

use ocapn::{Args, Behaviour, Fault, Reply, Turn};

use super::arguments::Call;

pub(super) struct Greeter;

impl Behaviour for Greeter {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut call = Call::plain("greeter", args);
        let name: String = call.required("name")?;
        call.end()?;
        Ok(format!("Hello, {name}!").into())
    }
}
