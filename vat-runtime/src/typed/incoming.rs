//! A message, taken apart for the method that it is for. Owns the faults of those that
//! fit none.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::convert::{FromValue, IntoValue};
use crate::typed::description::{DESCRIBE, Description, Interface, Method};
use crate::{Args, Behaviour, Fault, Reply, Value};

/// A message to an object.
#[derive(Debug)]
pub struct Call {
    args: Args,
}

/// The arguments of a method that is there.
#[derive(Debug)]
pub struct Incoming {
    method: &'static Method,
    /// The next argument first.
    args: std::vec::IntoIter<Value>,
    given: usize,
}

impl Call {
    /// A message.
    #[must_use]
    pub const fn new(args: Args) -> Self {
        Self { args }
    }

    fn name(&self) -> Option<&str> {
        self.args.first().and_then(Value::as_symbol)
    }

    /// The number of the interface's method that this is for, and its arguments.
    ///
    /// # Errors
    ///
    /// The message, if there is no such method.
    pub fn select(self, interface: &'static Interface) -> Result<(usize, Incoming), Self> {
        let name = self.name();
        let mut found = None;
        for (at, method) in interface.methods().iter().enumerate() {
            match method.wire_name() {
                None => found = found.or(Some((at, method))),
                named if named == name => {
                    found = Some((at, method));
                    break;
                }
                Some(_) => {}
            }
        }
        let Some((at, method)) = found else { return Err(self) };
        let mut args = self.args.into_iter();
        if method.wire_name().is_some() {
            args.next();
        }
        let given = args.len();
        Ok((at, Incoming { method, args, given }))
    }

    /// What a message comes to that is for none of an object's methods: a fault that
    /// says which there are, or their description if that was asked for.
    ///
    /// # Errors
    ///
    /// Whatever was not understood.
    pub fn otherwise(
        self,
        interfaces: &[&'static Interface],
        describes: bool,
    ) -> Result<Reply, Fault> {
        if describes && self.name() == Some(DESCRIBE) && self.args.len() == 1 {
            return Ok(Reply::value(Description::of_all(interfaces).into_value()));
        }
        let mut message = match self.args.first() {
            None => String::from("the message names no method"),
            Some(Value::Symbol(name)) => format!("no method {name:?}"),
            Some(other) => {
                format!("expected the name of a method, a symbol, found a {}", other.kind())
            }
        };
        let names: Vec<_> = interfaces.iter().map(|interface| interface.name()).collect();
        let _ = write!(message, ": {} has", names.join(" and "));
        let methods = interfaces.iter().flat_map(|interface| interface.methods());
        let mut before = " ";
        for name in methods.filter_map(Method::wire_name) {
            let _writing_to_a_string_succeeds = write!(message, "{before}{name:?}");
            before = ", ";
        }
        if before == " " {
            message.push_str(" no methods");
        }
        Err(message.into())
    }
}

impl Incoming {
    /// The next argument.
    ///
    /// # Errors
    ///
    /// A fault that says which method wants what, and what was found instead.
    #[allow(clippy::should_implement_trait, reason = "each is of another type")]
    pub fn next<T: FromValue>(&mut self, name: &str) -> Result<T, Fault> {
        match self.args.next().map(given_or_left_out::<T>) {
            Some(Some(value)) => T::from_value(value)
                .map_err(|wrong| self.in_method(wrong.within(format_args!("argument {name:?}")))),
            None | Some(None) => T::absent().ok_or_else(|| self.wrong_count()),
        }
    }

    /// All further arguments.
    ///
    /// # Errors
    ///
    /// As [`Incoming::next`].
    pub fn rest<T: FromValue>(&mut self, name: &str) -> Result<Vec<T>, Fault> {
        let mut rest = Vec::with_capacity(self.args.len());
        for (at, value) in self.args.by_ref().enumerate() {
            rest.push(T::from_value(value).map_err(|wrong| {
                let wrong = wrong.within(format_args!("argument {name:?} {at}"));
                wrong.within(self.method.in_words())
            })?);
        }
        Ok(rest)
    }

    /// Sees to it that nothing is left.
    ///
    /// # Errors
    ///
    /// A fault that says how many arguments there should be.
    pub fn end(&self) -> Result<(), Fault> {
        if self.args.len() == 0 { Ok(()) } else { Err(self.wrong_count()) }
    }

    fn in_method(&self, wrong: crate::Mismatch) -> Fault {
        wrong.within(self.method.in_words()).into()
    }

    fn wrong_count(&self) -> Fault {
        format!(
            "{}: expected {}, found {}",
            self.method.in_words(),
            self.method.count_in_words(),
            self.given
        )
        .into()
    }
}

/// The value, unless it stands for one that was left out.
fn given_or_left_out<T: FromValue>(value: Value) -> Option<Value> {
    match value {
        Value::Undefined if T::absent().is_some() => None,
        value => Some(value),
    }
}

/// The reply of a method with `&mut self` that has changed a copy of its actor.
///
/// # Errors
///
/// What the method returned: the copy is dropped then.
pub fn changed<S: Behaviour>(copy: S, reply: Result<Reply, Fault>) -> Result<Reply, Fault> {
    reply.map(|mut reply| {
        reply.next.get_or_insert_with(|| Arc::new(copy));
        reply
    })
}
