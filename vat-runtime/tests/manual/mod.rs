//! Actors of Goblins' manuals, as they are used in several of their chapters.

#![allow(dead_code, reason = "no test needs all of them")]

use vat_runtime::{Args, Behaviour, Fault, Reply, Turn, Value};

/// `^cell`: answers its value, and becomes a cell of what it is given.
pub(crate) struct Cell(pub(crate) Value);

impl Behaviour for Cell {
    fn receive(&self, _turn: &mut Turn<'_>, mut args: Args) -> Result<Reply, Fault> {
        match args.pop() {
            Some(value) => Ok(Reply::becomes(Self(value))),
            None => Ok(self.0.clone().into()),
        }
    }
}

/// `^noisy-incrementer`: counts up by what it is given, or one, and says so.
pub(crate) struct NoisyIncrementer(pub(crate) i64);

impl Behaviour for NoisyIncrementer {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let by = args.first().map_or(Some(1), Value::as_int).ok_or("not an integer")?;
        let count = self.0 + by;
        Ok(Reply::become_with(Self(count), format!("My new count is: {count}")))
    }
}

/// `^greeter`: greets whoever it is told.
pub(crate) struct Greeter(pub(crate) &'static str);

impl Behaviour for Greeter {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let name = args.first().and_then(Value::as_str).ok_or("whom?")?;
        Ok(format!("Hello {name}, my name is {}!", self.0).into())
    }
}
