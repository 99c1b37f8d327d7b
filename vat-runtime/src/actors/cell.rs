//! A cell: one value that can be read and written, and facets for either alone.

use super::arguments::{Call, whole};
use crate::{Args, Behaviour, Durable, Fault, Ref, Reply, RestoreError, Turn, Value};

/// Holds one value.
///
/// Called with nothing, or `get`, it answers with the value; called with a value, or
/// `set value`, it holds that from then on. The symbol `get` itself can only be
/// written with `set`.
#[derive(Clone, Debug, Default)]
pub struct Cell(Value);

impl Cell {
    /// A cell that holds a value.
    pub fn new(value: impl Into<Value>) -> Self {
        Self(value.into())
    }
}

impl Behaviour for Cell {
    fn receive(&self, _turn: &mut Turn<'_>, mut args: Args) -> Result<Reply, Fault> {
        match args.first() {
            None => Ok(self.0.clone().into()),
            Some(Value::Symbol(method)) if method == "get" => {
                Call::method("cell", args)?.end()?;
                Ok(self.0.clone().into())
            }
            Some(_) if args.len() == 1 => Ok(Reply::becomes(Self(args.remove(0)))),
            Some(_) => {
                let mut call = Call::method("cell", args)?;
                match call.name() {
                    "set" => Ok(Reply::becomes(Self(call.only("value")?))),
                    _ => call.otherwise("get, set value"),
                }
            }
        }
    }
}

impl Durable for Cell {
    fn portray(&self) -> Value {
        self.0.clone()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        Ok(Self(portrait))
    }
}

/// Reads a cell, called with nothing or `get`, and does nothing else.
pub struct ReadOnlyCell(Ref);

impl ReadOnlyCell {
    /// A facet of a cell.
    #[must_use]
    pub const fn new(cell: Ref) -> Self {
        Self(cell)
    }
}

impl Behaviour for ReadOnlyCell {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        match args.as_slice() {
            [] => {}
            [Value::Symbol(method)] if method == "get" => {}
            _ => return Err("this cell can only be read".into()),
        }
        super::call_or_send(turn, &self.0, vec![]).map(Reply::value)
    }
}

impl Durable for ReadOnlyCell {
    fn portray(&self) -> Value {
        self.0.clone().into()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        whole("read-only cell", portrait).map(Self)
    }
}

/// Writes a cell, called with a value or `set value`, and does nothing else.
pub struct WriteOnlyCell(Ref);

impl WriteOnlyCell {
    /// A facet of a cell.
    #[must_use]
    pub const fn new(cell: Ref) -> Self {
        Self(cell)
    }
}

impl Behaviour for WriteOnlyCell {
    fn receive(&self, turn: &mut Turn<'_>, mut args: Args) -> Result<Reply, Fault> {
        let value = match args.as_slice() {
            // Only `set` in front of it keeps a value from being read as a method.
            [_] => args.remove(0),
            [Value::Symbol(method), _] if method == "set" => args.remove(1),
            _ => return Err("this cell can only be written, with one value".into()),
        };
        super::call_or_send(turn, &self.0, vec![Value::symbol("set"), value]).map(Reply::value)
    }
}

impl Durable for WriteOnlyCell {
    fn portray(&self) -> Value {
        self.0.clone().into()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        whole("write-only cell", portrait).map(Self)
    }
}
