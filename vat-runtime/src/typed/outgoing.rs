//! The message of a method, put together. Owns [`Outgoing`].

use crate::convert::{IntoValue, Type};
use crate::{Args, Value};

/// The arguments of a method in the making.
#[derive(Debug)]
pub struct Outgoing {
    args: Args,
    /// How many of them can't be left out.
    needed: usize,
}

impl Outgoing {
    /// A message to a method, or without one to an object that is called as it is, of about
    /// so many arguments.
    #[must_use]
    pub fn new(method: Option<&'static str>, count: usize) -> Self {
        let mut args = Args::with_capacity(1 + count);
        args.extend(method.map(Value::symbol));
        let needed = args.len();
        Self { args, needed }
    }

    /// One more argument.
    #[must_use]
    pub fn with<T: IntoValue>(mut self, argument: T) -> Self {
        self.args.push(argument.into_value());
        if !matches!(T::TYPE, Type::Optional(_)) {
            self.needed = self.args.len();
        }
        self
    }

    /// What comes after the others, each an argument of its own.
    #[must_use]
    pub fn with_rest<T: IntoValue>(mut self, rest: Vec<T>) -> Self {
        if !rest.is_empty() {
            self.args.extend(rest.into_iter().map(T::into_value));
            self.needed = self.args.len();
        }
        self
    }

    /// The arguments. Optional ones at the end that are not given are left out: what is
    /// not typed may count.
    #[must_use]
    pub fn into_args(mut self) -> Args {
        while self.args.len() > self.needed && self.args.last() == Some(&Value::Undefined) {
            self.args.pop();
        }
        self.args
    }
}
